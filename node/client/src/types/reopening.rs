//! The JSON of streams of this node's own that are not written to before their
//! peers were asked.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is known of a stream of this node's own that is not written to.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct ReopeningView {
    /// Why it is not written to, and what it waits for.
    pub why: String,
    /// Records that this node has signed, as the mark outside of its data folder
    /// says; absent without one.
    pub signed_size: Option<u64>,
    /// When the last of them were signed, RFC 3339.
    pub signed_time: Option<String>,
    /// Peer ids of followers that are known to have had all of it once.
    pub followers: Vec<String>,
    /// What peers have said, who has most first.
    pub answers: Vec<AnswerView>,
}

/// What one peer says that it has.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct AnswerView {
    /// Who says it.
    pub peer_id: String,
    /// Records under the head that it has.
    pub size: u64,
    /// When that head was signed, RFC 3339.
    pub signed: String,
    /// Whether it counts: two followers that had everything once, and have what
    /// they cannot have from this node since its start, open the stream.
    pub counts: bool,
}
