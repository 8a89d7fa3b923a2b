//! Errors that the API answers with.

use std::fmt;

use headwater_protocols::manifest::is_invisible;
use http::StatusCode;

use super::{Error, read_json};
use crate::types::Problem;

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

    /// What the event `error` of a live stream says.
    ///
    /// # Errors
    /// It says nothing that is known.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let problem = read_json(
            json,
            "the node has ended the live stream without saying why",
        )?;
        Ok(Self { problem })
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.problem.status
    }
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
