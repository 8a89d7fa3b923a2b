//! Bodies that are not plain UTF-8. Those that come compressed are not unpacked:
//! a short one could be of any length. They are refused with what to do, instead
//! of being read as nonsense, and so are those that are said to be in another
//! charset, whose bytes may be read as another text.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};

use super::problem::ApiError;

/// What UTF-8 reads as it is meant.
const CHARSETS: [&str; 4] = ["utf-8", "utf8", "us-ascii", "ascii"];

/// The answer to a request whose body is in a coding (RFC 9110, 15.5.16) or in
/// another charset.
pub(super) fn refusal(request: &Request) -> Option<ApiError> {
    let headers = request.headers();
    // Questions have no bodies, whatever their headers say.
    let has_body = !request.method().is_safe();
    if let Some(charset) = charset(headers).filter(|_| has_body) {
        let detail = format!(
            "a body with charset={charset} is not read; send it as UTF-8. Nothing was stored"
        );
        return Some(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let coding = coding(headers)?;
    let detail = format!(
        "a body with Content-Encoding: {coding} is not read; send it as it is, without that header"
    );
    let error = ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
    Some(error.with_header(header::ACCEPT_ENCODING, "identity"))
}

/// The charset of a body, if it is said and another than UTF-8.
fn charset(headers: &HeaderMap) -> Option<String> {
    let types = headers.get_all(header::CONTENT_TYPE).iter();
    let types = types.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let is_utf8 = |charset: &str| {
        CHARSETS
            .iter()
            .any(|utf8| charset.eq_ignore_ascii_case(utf8))
    };
    types.into_iter().find_map(|text| {
        let parameters = text
            .split(';')
            .skip(1)
            .filter_map(|text| text.split_once('='));
        let mut charsets = parameters
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
            .map(|(_, charset)| charset.trim().trim_matches('"'));
        let other = charsets.find(|charset| !is_utf8(charset));
        other.map(|charset| charset.chars().take(32).collect())
    })
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
    fn a_body_is_utf_8_unless_its_type_says_otherwise() {
        let charset = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_TYPE, value.parse().unwrap());
            }
            charset(&headers)
        };
        for utf8 in [
            "application/json",
            "application/json; charset=utf-8",
            "text/plain;Charset=\"UTF-8\"",
            "application/x-ndjson; x=y; charset=utf8",
            "text/plain; charset = us-ascii",
            "application/json; x=\"charset\"",
            "charset=utf-16",
            "",
        ] {
            assert_eq!(charset(&[utf8]), None, "{utf8}");
        }
        assert_eq!(charset(&[]), None);
        for (other, name) in [
            ("application/json; charset=utf-16", "utf-16"),
            ("application/json;CHARSET=\"UTF-16LE\"", "UTF-16LE"),
            ("application/x-ndjson; x=y;charset=iso-8859-1", "iso-8859-1"),
            ("text/plain; charset=", ""),
            ("text/plain; charset=utf-8; charset=utf-16", "utf-16"),
        ] {
            assert_eq!(charset(&[other]).as_deref(), Some(name), "{other}");
            assert!(charset(&["application/json", other]).is_some(), "{other}");
        }
    }

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
