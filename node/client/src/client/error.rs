//! Why a node did not do what it was asked for.

use std::path::PathBuf;

use super::{ApiError, EventError, Lost};
use crate::data_dir::{DataDir, NoHome};
use crate::keys::SecretError;
use crate::types::BACKWARDS;

/// Why there is no answer of a node, or not the one that was hoped for. It says all of
/// it by itself: what is behind it is in its words, and not a source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No node answers, or not to the end. The same may be asked again; [`Patience`]
    /// waits.
    ///
    /// [`Patience`]: super::Patience
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The node refuses: its status, and the type, title and detail of the problem.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// It was waited for, and stays away.
    #[error("the node stays away: {0}")]
    StaysAway(Box<Error>),
    /// What came is no answer of a node, or is that of another version.
    #[error("{what}: {cause}")]
    NotUnderstood {
        /// What it should have been.
        what: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// A line without end.
    #[error("the node sent a line without end")]
    LineTooLong,
    /// Live events that are none.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The URL of a node is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Nothing was ever created in the data folder.
    #[error("there is no node in {}; create one with: {create}", .data_dir.display())]
    NoNode {
        /// The folder.
        data_dir: PathBuf,
        /// The command that creates one.
        create: String,
    },
    /// There is a node in the data folder, and it does not run.
    #[error("no node runs on {}; start it with: {start}", .data_dir.display())]
    NotRunning {
        /// The folder.
        data_dir: PathBuf,
        /// The command that starts it.
        start: String,
    },
    /// There is no data folder without a name, as the user has no home.
    #[error(transparent)]
    NoHome(#[from] NoHome),
    /// The key or the token in the data folder cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// What was asked for cannot be sent, such as a token with a line break.
    #[error("the request cannot be written: {0}")]
    Request(String),
    /// The system has no room for a client.
    #[error("cannot set up an HTTP client: {0}")]
    SetUp(String),
}

/// A text that is not the URL of a node's API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is no URL, or not one of HTTP, or has a user in it.
    #[error("`{0}` is not the URL of a node's API, such as http://127.0.0.1:8600")]
    NotAUrl(String),
    /// The API does not speak TLS.
    #[error("`{0}`: the API speaks http; over a network, use an SSH tunnel to the node's machine")]
    Https(String),
    /// More than scheme, host and port.
    #[error("`{0}` has a path; name the scheme, host and port only")]
    HasPath(String),
}

impl Error {
    /// Nothing was ever created in this folder.
    #[must_use]
    pub fn no_node_in(data_dir: &DataDir) -> Self {
        Self::NoNode {
            data_dir: data_dir.path().to_owned(),
            create: data_dir.command("init"),
        }
    }

    pub(super) fn not_running(data_dir: &DataDir) -> Self {
        Self::NotRunning {
            data_dir: data_dir.path().to_owned(),
            start: data_dir.command("run"),
        }
    }

    pub(super) fn request(cause: &http::Error) -> Self {
        Self::Request(cause.to_string())
    }

    /// What it was before it was waited for.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::StaysAway(cause) => cause.cause(),
            other => other,
        }
    }

    /// How the node was lost, if it was.
    #[must_use]
    pub fn lost(&self) -> Option<&Lost> {
        match self.cause() {
            Self::Lost(lost) => Some(lost),
            _ => None,
        }
    }

    /// What the node refused with, if it did.
    #[must_use]
    pub fn refused(&self) -> Option<&ApiError> {
        match self.cause() {
            Self::Refused(refused) => Some(refused),
            _ => None,
        }
    }

    /// The HTTP status with which the node refused.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.refused().map(ApiError::status)
    }

    /// Whether the node went away, is stopping, or has too much to do: what was asked
    /// of it may be asked again.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost().is_some() || self.status() == Some(503)
    }

    /// Whether the node answered that there is no such record, or that it is not kept
    /// any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.status(), Some(404 | 410))
    }

    /// Whether the node answered that a time is before the last one of a stream whose
    /// times never go back.
    #[must_use]
    pub fn is_backwards(&self) -> bool {
        self.refused()
            .is_some_and(|refused| refused.problem.kind == BACKWARDS)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn refused(status: StatusCode) -> Error {
        ApiError::from_answer(status, b"{}").into()
    }

    #[test]
    fn what_says_that_the_node_is_away_is_told_from_what_it_refuses() {
        let cut_off = Error::from(Lost::CutOff("x".to_owned()));
        assert!(cut_off.is_lost());
        assert!(Error::StaysAway(Box::new(cut_off)).is_lost());
        assert!(refused(StatusCode::SERVICE_UNAVAILABLE).is_lost());
        for other in [
            refused(StatusCode::CONFLICT),
            Error::LineTooLong,
            Error::no_node_in(&DataDir::new("x")),
        ] {
            assert!(!other.is_lost(), "{other}");
        }
        assert!(refused(StatusCode::GONE).is_gone());
        assert!(!refused(StatusCode::CONFLICT).is_gone());
    }

    #[test]
    fn an_error_says_once_all_that_is_known() {
        let lost = Lost::Absent {
            base: "http://127.0.0.1:1".to_owned(),
            cause: "Connection refused (os error 111)".to_owned(),
        };
        let error = Error::StaysAway(Box::new(lost.into()));
        assert_eq!(
            error.to_string(),
            "the node stays away: cannot connect to the node at http://127.0.0.1:1: Connection refused \
             (os error 111)"
        );
        assert!(std::error::Error::source(&error).is_none());
    }
}
