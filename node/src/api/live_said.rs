//! What live clients get, whatever way it goes to them.

use std::sync::Arc;

use headwater_client::types::{Ended, Reset};

use super::event_id::Epoch;

/// What live clients get.
#[derive(Debug)]
pub(super) enum Said {
    /// A record, and which history it is of, where clients may have another one.
    Observation(Observation, Option<Epoch>),
    /// The recovery key of the stream has ended it.
    Reset(Reset),
    /// The client has all that counts of a stream that has come to its end.
    Ended(Ended),
    /// Problem details: nothing more comes.
    End(String),
    /// The client took nothing for too long.
    TooSlow,
}

/// A record, as live clients get it.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) index: u64,
    /// The object that NDJSON has in lines.
    pub(super) json: Arc<str>,
}
