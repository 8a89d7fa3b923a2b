//! Errors that the API answers with.

use std::fmt;

use headwater_protocols::manifest::is_invisible;
use http::StatusCode;

use crate::types::{BACKWARDS, Problem};

/// Bad items that are listed; of a long body the first ones tell enough.
const MAX_LISTED: usize = 100;

/// The API refused a request, or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What it says.
    pub problem: Problem,
}

impl ApiError {
    /// What an answer says that is no success.
    #[must_use]
    pub fn from_answer(status: StatusCode, body: &[u8]) -> Self {
        let problem = serde_json::from_slice(body).unwrap_or_else(|_| Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: format!(
                "the node answered {status} without saying why; is it a headwater node?"
            ),
            errors: Vec::new(),
        });
        Self { problem }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.problem.status
    }
}

/// Whether a node answered that there is no such record, or that it is not kept
/// any more.
#[must_use]
pub fn is_gone(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<ApiError>();
    refused.is_some_and(|refused| matches!(refused.status(), 404 | 410))
}

/// Whether a node answered that a time is before the last one of a stream whose
/// times never go back.
#[must_use]
pub fn is_backwards(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<ApiError>();
    refused.is_some_and(|refused| refused.problem.kind == BACKWARDS)
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.problem.detail))?;
        let items = &self.problem.errors;
        for item in items.iter().take(MAX_LISTED) {
            write!(f, "\n  item {}: {}", item.place, one_line(&item.detail))?;
        }
        if items.len() > MAX_LISTED {
            write!(f, "\n  and {} more", items.len() - MAX_LISTED)?;
        }
        Ok(())
    }
}

/// What names and values of others have in it could look like another line.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match is_invisible(c) {
            true => line.extend(c.escape_unicode()),
            false => line.push(c),
        }
    }
    line
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_shown_with_every_bad_item() {
        let body = r#"{"type":"about:blank","title":"Bad Request","status":400,
            "detail":"2 of 3 observations are bad",
            "errors":[{"place":0,"detail":"value is not a number"},{"place":2,"detail":"time"}]}"#;
        let error = ApiError::from_answer(StatusCode::BAD_REQUEST, body.as_bytes());
        assert_eq!(error.status(), 400);
        assert_eq!(
            error.to_string(),
            "2 of 3 observations are bad\n  item 0: value is not a number\n  item 2: time"
        );
    }

    #[test]
    fn an_answer_of_something_else_is_an_error_too() {
        let error = ApiError::from_answer(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(error.status(), 502);
        assert!(error.to_string().contains("502 Bad Gateway"));
    }
}
