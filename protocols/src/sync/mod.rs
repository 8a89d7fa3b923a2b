//! History from peer to peer: who serves what to whom, and who is asked next.

mod ends;
mod lane;
mod outbox;
pub mod provider;
mod readers;
pub mod retrieval;
pub mod scheduler;
mod serving;
pub mod session;
mod turns;
mod window;

use crate::wire::v1;
pub use lane::Lane;
pub use outbox::frame_cost;

/// How urgent a range is: a user's request before live records, those before
/// history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// What was recorded before the stream was followed.
    History,
    /// What has been recorded since.
    Live,
    /// What a user waits for.
    User,
}

impl Priority {
    /// The lane of deliveries of this priority.
    #[must_use]
    pub fn lane(self) -> Lane {
        match self {
            Self::History => Lane::Bulk,
            Self::Live | Self::User => Lane::Urgent,
        }
    }

    /// As it travels.
    #[must_use]
    pub fn to_wire(self) -> v1::Priority {
        match self {
            Self::History => v1::Priority::History,
            Self::Live => v1::Priority::Live,
            Self::User => v1::Priority::User,
        }
    }

    /// From the wire.
    #[must_use]
    pub fn from_wire(wire: v1::Priority) -> Self {
        match wire {
            v1::Priority::History => Self::History,
            v1::Priority::Live => Self::Live,
            v1::Priority::User => Self::User,
        }
    }
}
