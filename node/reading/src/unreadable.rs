//! Why records cannot be read.

use headwater_protocols::engine::CommandError;
use headwater_protocols::id::LogId;
use headwater_protocols::manifest::TooNew;
use headwater_protocols::ranges::Interval;
use headwater_protocols::store::{ReadError, StoreError};

/// Why what was asked for cannot be read, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There is no head yet, or no manifest.
    #[error(
        "nothing of stream {0} has come from its peers yet; `headwater show` tells whether there are any"
    )]
    NotComeYet(LogId),
    /// Only a later version knows how to.
    #[error("{}", CommandError::TooNew { log: *log, newer: *newer })]
    TooNew {
        /// The stream.
        log: LogId,
        /// What is not known of it.
        newer: TooNew,
    },
    /// It was dropped by the stream's retention.
    #[error(
        "record {index} of stream {log} was dropped by the stream's retention: what is kept begins at \
         index {begin}; ask from there on"
    )]
    Dropped {
        /// The stream.
        log: LogId,
        /// The record that was asked for.
        index: u64,
        /// The first that is kept.
        begin: u64,
    },
    /// It is not held here.
    #[error(
        "the records {} to {} of stream {log} are not held here; {}, or ask for what is held",
        hole.from, hole.to - 1, way_to_it(*log, *followed)
    )]
    Hole {
        /// The stream.
        log: LogId,
        /// Whether it is kept in step.
        followed: bool,
        /// What is missing first.
        hole: Interval,
    },
    /// Only one of two histories has it, or it is disowned; says which.
    #[error("{0}")]
    Disputed(String),
    /// The store fails, or a record is not where it should be.
    #[error(transparent)]
    Read(#[from] ReadError),
}

fn way_to_it(log: LogId, followed: bool) -> String {
    if followed {
        format!("wait until it is synced: `headwater sync {log}`")
    } else {
        format!("follow it: `headwater follow {log}`")
    }
}

impl From<StoreError> for Unreadable {
    fn from(error: StoreError) -> Self {
        Self::Read(error.into())
    }
}
