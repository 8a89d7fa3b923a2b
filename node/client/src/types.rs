//! The JSON of the local API, as the server writes it and the client reads it.

mod ending;
mod gaps;
mod manifest;
mod node;
mod observations;
mod peers;
mod proofs;
mod reopening;
mod stream;
mod unsigned;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::ending::{Close, Ended, Recover, RecoveredView, Reset};
pub use self::gaps::{Gaps, Misplaced, TimeGap};
pub use self::manifest::{ColumnView, ManifestView, NewColumn, NewStream, WitnessesView};
pub use self::node::{
    BootstrapView, DashboardLink, DiskStateView, Health, MappingView, MaxDiskView, NatView,
    NodeView, PathView, ReachabilityView, Ready, SeverityView, TroubleView,
};
pub use self::observations::{NewObservation, Observation, ObservationsBody, PublishAnswer};
pub use self::peers::{DiscoveryView, FoundStreamView, PeerView, StreamPeerView};
pub use self::proofs::{EvidenceView, HeadView, HeadsView, KnownHead};
pub use self::reopening::{AnswerView, ReopeningView};
pub use self::stream::{LagView, RoleView, StreamView, ValueTypeView};
pub use self::unsigned::{SaidView, SilentView, UnsignedView, WalkNews, WalkReport};
pub use crate::proof::{CommonPart, ConsistencyProof, EvidenceFile, ExportProof, InclusionProof};

/// The answer to `POST /v1/streams`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct CreatedStream {
    /// The stream id.
    pub id: String,
}

/// `PUT /v1/streams/{id}/subscription` and `POST /v1/streams/{id}/peers`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Subscription {
    /// Multiaddrs of peers that have it, publisher first.
    pub peers: Vec<String>,
    /// Fill in the latest records first.
    pub newest_first: bool,
    /// What the stream is to be called on this node alone; empty: no longer by
    /// another name than its own. Absent: as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

/// `GET` and `POST /v1/streams/{id}/scrub`: all that is held is read and hashed.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct ScrubView {
    /// The stream.
    pub id: String,
    /// Whether it is still read.
    pub running: bool,
    /// When that was begun (RFC 3339).
    pub begun: String,
    /// When everything had been read (RFC 3339).
    pub ended: Option<String>,
    /// Records that were read, and hash to what was proved.
    pub records: u64,
    /// Bytes of these records.
    pub bytes: u64,
    /// Records that could not be read, or do not.
    pub bad_records: u64,
    /// Where they are, from an index up to another one that is left out; the first
    /// 64 parts.
    pub bad: Vec<(u64, u64)>,
    /// Records that were damaged and are not back from peers.
    pub damaged_records: u64,
    /// Peers that have something of the stream.
    pub sources: Vec<String>,
}

/// Records that are fetched before all others.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct FetchView {
    /// The first index.
    pub from: u64,
    /// The index behind the last one.
    pub to: u64,
}

/// `POST /v1/streams/{id}/reopen`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reopen {
    /// Open it for writing at once: the user says that no other copy of it has
    /// more.
    pub none_is_larger: bool,
    /// Beside that: so many records that this node has signed, as the mark outside of
    /// its data folder says, and that are not here any more, are given up. Needed where
    /// there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub give_up: Option<u64>,
}

/// `GET /v1/streams/{id}/gaps`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct GapReport {
    /// The stream id.
    pub stream: String,
    /// The first index that was looked at.
    pub from: u64,
    /// The index behind the last one.
    pub to: u64,
    /// Runs of indexes that are not held here.
    pub holes: u64,
    /// Records in them.
    pub missing_in_holes: u64,
    /// The first of them, half-open.
    pub first_holes: Vec<(u64, u64)>,
    /// Of a forked stream: the index from which on records are disputed, and
    /// not looked at.
    pub disputed_from: Option<u64>,
    /// What the times of the records that are held say.
    pub times: Gaps,
}

/// The answer to `POST /v1/streams/{id}/observations`: the records are durable.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Published {
    /// Index of the first record.
    pub from: u64,
    /// Index after the last one: the stream's size.
    pub to: u64,
}

/// `DELETE /v1/streams/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct DeletedStream {
    /// Its id.
    pub id: String,
    /// Records that were held of it.
    pub held_records: u64,
}

/// The type of a problem with a time that is before the last one, in a stream whose
/// times never go back.
pub const BACKWARDS: &str = "urn:headwater:backwards";

/// An error, RFC 9457 (`application/problem+json`).
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Problem {
    /// `about:blank`, or what names this kind of error.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, to what, and what to do.
    pub detail: String,
    /// Every bad item of a body, when there are some: its place, what is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ItemProblem>,
}

/// One bad item of a body.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct ItemProblem {
    /// Its place in the body, from 0: the element of an array, the line of
    /// NDJSON.
    pub place: usize,
    /// What is wrong with it.
    pub detail: String,
}
