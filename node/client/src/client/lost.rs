//! A node that was lost on the way.

use std::error::Error;

/// The node did not answer, or not to the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Nothing was sent to it.
    #[error("cannot connect to the node at {base}: {cause}")]
    Absent {
        /// Where it was looked for.
        base: String,
        /// What the system says.
        cause: String,
    },
    /// A request was sent, perhaps, and no answer came.
    #[error("lost the node at {base}: {cause}")]
    Unanswered {
        /// Where it was.
        base: String,
        /// What the system says.
        cause: String,
    },
    /// The answer ended too early.
    #[error("the node's answer was cut off: {0}")]
    CutOff(String),
    /// A live stream ended without a word.
    #[error("the node has ended the live stream of {0}; it may have been stopped")]
    Ended(String),
}

impl Lost {
    pub(super) fn cut_off(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::CutOff(root_cause(error).to_string())
    }
}

/// The innermost cause: the outer ones repeat the URL, or each other.
pub(super) fn root_cause(error: &dyn Error) -> &dyn Error {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}
