//! What a peer is asked when others are looked for.

use std::sync::Arc;

use headwater_protocols::id::LogId;

use super::peer_record::SignedRecord;

/// A question, with the record of whoever asks checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(super) streams: Vec<LogId>,
    pub(super) count: usize,
    pub(super) record: Option<Arc<SignedRecord>>,
    /// What was false in it.
    pub(super) falsehood: Option<String>,
}
