//! What a body is, by the `Content-Type` that its client sends.

use axum::http::StatusCode;

use super::problem::ApiError;
use crate::import::incoming::Form;

/// The form that a `Content-Type` names; JSON when it names none, or one that
/// clients send when nobody has said what the body is.
///
/// # Errors
/// It names something else.
pub(super) fn form(content_type: Option<&str>) -> Result<Form, ApiError> {
    let media_type = content_type.and_then(|text| text.split(';').next());
    let media_type = media_type.unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/x-ndjson"
        | "application/ndjson"
        | "text/x-ndjson"
        | "application/jsonl"
        | "application/x-jsonl"
        | "application/jsonlines"
        | "application/x-jsonlines" => Ok(Form::Ndjson),
        ""
        | "application/json"
        | "text/json"
        | "text/plain"
        | "application/octet-stream"
        // As curl says of whatever it is given.
        | "application/x-www-form-urlencoded" => Ok(Form::Json),
        json if json.ends_with("+json") => Ok(Form::Json),
        other => {
            let other: String = other.chars().take(64).collect();
            let detail = format!(
                "a body of the type {other} is not read here; send JSON (application/json) or NDJSON \
                 (application/x-ndjson). Files are published by `headwater publish --file`"
            );
            Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_told_by_the_content_type() {
        let of = |content_type| form(content_type).map_err(|error| error.problem().status);
        for lines in ["Application/X-NDJSON; charset=utf-8", "application/jsonl"] {
            assert_eq!(of(Some(lines)), Ok(Form::Ndjson), "{lines}");
        }
        for json in [
            "application/json",
            "application/vnd.x+json",
            "text/plain",
            "",
        ] {
            assert_eq!(of(Some(json)), Ok(Form::Json), "{json}");
        }
        // As curl says of everything.
        assert_eq!(
            of(Some("application/x-www-form-urlencoded")),
            Ok(Form::Json)
        );
        assert_eq!(of(None), Ok(Form::Json));
        for other in [
            "text/csv",
            "application/vnd.apache.parquet",
            "multipart/form-data; boundary=x",
        ] {
            assert_eq!(of(Some(other)), Err(415), "{other}");
        }
    }
}
