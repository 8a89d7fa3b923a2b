//! The JSON of histories that nobody signed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A history that nobody signed.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct UnsignedView {
    /// Always true: nothing proves what is in it.
    pub unsigned: bool,
    /// Its name, by which peers know it.
    pub name: String,
    /// Where it comes from: `imported` from a file; `incomplete`, from peers as
    /// far as they have agreed; `complete`, from peers to its beginning.
    pub state: String,
    /// Observations.
    pub observations: u64,
    /// Those of them that one peer was taken at its word for, because nobody
    /// else could be asked.
    pub on_one_word: u64,
    /// Bytes of all of them: of each 8 for its time, and its value.
    pub record_bytes: u64,
    /// The earliest time (RFC 3339), if there is one.
    pub earliest: Option<String>,
    /// The latest time.
    pub latest: Option<String>,
    /// Peers were asked for what lies before this time.
    pub before: Option<String>,
    /// What lies before this time is to be asked for next.
    pub next: Option<String>,
    /// Whether peers that ask are told of it, as of what nobody signed.
    pub told_to_peers: bool,
}

/// A line of the answer to `POST /v1/unsigned/{name}/walk`. Without an error and
/// without a report there is more to come, unless the history is `complete`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct WalkNews {
    /// What there is of it now.
    pub history: UnsignedView,
    /// Peers do not agree: the last line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stopped: Option<WalkReport>,
    /// It cannot go on: the last line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// Who said what, where peers do not agree.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct WalkReport {
    /// What lies just before this time was asked for.
    pub before: String,
    /// Votes of those who were asked. All peers in a part of the address space
    /// have one.
    pub asked: usize,
    /// Votes of those who answered.
    pub answered: usize,
    /// Votes for the same that would have been enough.
    pub needed: usize,
    /// What was said; what has most votes first.
    pub said: Vec<SaidView>,
    /// Who said nothing.
    pub silent: Vec<SilentView>,
}

/// One thing that peers said.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct SaidView {
    /// The time of the observations; absent: that there are none.
    pub time: Option<String>,
    /// Their values; of many and of long ones the beginning.
    pub values: Vec<String>,
    /// How many there are.
    pub count: usize,
    /// Votes for it.
    pub votes: usize,
    /// The peers that say so.
    pub peers: Vec<String>,
    /// Parts of the address space whose peers contradict each other, so that
    /// their vote is void.
    pub void: Vec<String>,
}

/// A peer that said nothing.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct SilentView {
    /// Its peer id.
    pub peer: String,
    /// Why.
    pub why: String,
}
