//! Bodies that come compressed are not unpacked: a short one could be of any
//! length. They are refused with what to do, instead of being read as nonsense.

use axum::http::{HeaderMap, StatusCode, header};

use super::problem::ApiError;

/// The answer to a body in a coding (RFC 9110, 15.5.16).
pub(super) fn refusal(headers: &HeaderMap) -> Option<ApiError> {
    let coding = coding(headers)?;
    let detail = format!(
        "a body with Content-Encoding: {coding} is not read; send it as it is, without that header"
    );
    let error = ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
    Some(error.with_header(header::ACCEPT_ENCODING, "identity"))
}

/// The coding of a body, if it has one.
fn coding(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = values.flat_map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let codings = text
            .split(',')
            .map(|coding| coding.trim().to_ascii_lowercase());
        codings.collect::<Vec<_>>()
    });
    let found = codings.find(|coding| !coding.is_empty() && coding != "identity");
    found.map(|coding| coding.chars().take(32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_plain_unless_its_header_says_otherwise() {
        let coding = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
            }
            coding(&headers)
        };
        assert_eq!(coding(&[]), None);
        assert_eq!(coding(&["", "Identity"]), None);
        assert_eq!(coding(&["GZIP"]).as_deref(), Some("gzip"));
        assert_eq!(coding(&["identity, zstd"]).as_deref(), Some("zstd"));
    }
}
