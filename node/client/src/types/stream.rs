//! The JSON of a stream: what it is, and how it stands.

use headwater_protocols::manifest::ValueType;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ManifestView, RecoveredView, ReopeningView};

/// A stream in `GET /v1/streams` and `GET /v1/streams/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub struct StreamView {
    /// The stream id, a CIDv1.
    pub id: String,
    /// Its name; empty until the manifest has come.
    pub name: String,
    /// What this node's user calls it, if that was said (`follow --as`); it names
    /// the stream here as its name does.
    #[serde(default)]
    pub alias: Option<String>,
    /// Ids of other streams here that have the name by which this one was asked
    /// for; only in the answer about one stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namesakes: Vec<String>,
    /// Ids of other streams here whose names a reader takes for the one of this
    /// stream, although they are written with other characters; only in the answer
    /// about one stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookalikes: Vec<String>,
    /// Peer id of the publisher; absent until the manifest has come.
    pub publisher: Option<String>,
    /// What a reader should know.
    pub description: String,
    /// Where the values come from.
    pub source: String,
    /// Unit of the values.
    pub unit: String,
    /// `number`, `text`, `json` or `bytes`.
    pub value_type: Option<ValueTypeView>,
    /// Expected microseconds between two observations.
    pub cadence_us: Option<u64>,
    /// A chunk is 2^chunk_level records.
    pub chunk_level: Option<u8>,
    /// Id of the stream that this one predicts.
    pub target: Option<String>,
    /// Id of the stream that this one continues.
    pub prior: Option<String>,
    /// When the manifest was written, RFC 3339.
    pub created: Option<String>,
    /// What else the manifest says.
    #[serde(flatten)]
    pub manifest: ManifestView,
    /// `publisher` or `follower`.
    pub role: RoleView,
    /// Whether it is kept in step with its publisher.
    pub followed: bool,
    /// Records below the adopted head.
    pub size: u64,
    /// Root of the tree over them, lower-case hex; absent before a head is adopted.
    pub root: Option<String>,
    /// When the adopted head was signed, RFC 3339.
    pub head_time: Option<String>,
    /// Milliseconds since then; negative if it is dated ahead of this node's clock.
    pub head_age_ms: Option<i64>,
    /// Milliseconds by which the publisher's clock is ahead of this node's, as its
    /// heads came in live; negative if it is behind; absent while none came.
    #[serde(default)]
    pub clock_ahead_ms: Option<i64>,
    /// Whether records that are too old by this node's clock are kept all the same,
    /// because it is not sure that the clock is right.
    #[serde(default)]
    pub holds_back: bool,
    /// Intervals of indexes that are held, half-open; at most 1,024.
    pub held: Vec<(u64, u64)>,
    /// Records that are held.
    pub held_records: u64,
    /// Microseconds for which records are kept, by the manifest; absent: for ever.
    #[serde(default)]
    pub retain_age_us: Option<u64>,
    /// How many of the latest records are kept, by the manifest; absent: all.
    #[serde(default)]
    pub retain_records: Option<u64>,
    /// The first record that is kept. Those before were dropped by the stream's
    /// retention: nobody waits for them.
    #[serde(default)]
    pub begin: u64,
    /// Records that count, are kept, and are not held: those below the adopted head; of a
    /// stream that has ended those of its last head, also where another tree is here.
    pub missing_records: u64,
    /// Whether they are not fetched because the disk, or `max_disk`, leaves no
    /// room for them.
    #[serde(default)]
    pub waits_for_room: bool,
    /// Records that were held, were found to be damaged on the disk, and are not
    /// back.
    #[serde(default)]
    pub damaged_records: u64,
    /// Everything below the adopted head that is kept is held, was verified when it
    /// came, is fsynced, and nothing of it is known to be damaged. Of a stream that has
    /// ended: everything below its last head.
    pub synced: bool,
    /// How far this node is behind what its sources have and say.
    #[serde(default)]
    pub lag: LagView,
    /// Bytes of the records that are held, each with its length.
    #[serde(default)]
    pub record_bytes: u64,
    /// About how many bytes the stream takes on the disk, compressed; `null` in
    /// a list unless it was asked for.
    #[serde(default)]
    pub disk_bytes: Option<u64>,
    /// Records delivered to others since the node started.
    pub served_records: u64,
    /// Peer ids that have something of it.
    pub sources: Vec<String>,
    /// Multiaddrs that the user gave for it.
    pub known_peers: Vec<String>,
    /// A text to paste on another machine: `headwater:<id>?peer=<multiaddr>`.
    pub invite: String,
    /// What its recovery key has said of its end; `null` while it has not.
    #[serde(default)]
    pub recovered: Option<RecoveredView>,
    /// Whether its publisher has closed it for good.
    #[serde(default)]
    pub closed: bool,
    /// Id of the stream that continues it, if it is closed and names one. Where two ends
    /// were signed that name different ones, none does.
    #[serde(default)]
    pub successor: Option<String>,
    /// How many records count for good, if it has ended: those of the last head, which
    /// its recovery key has picked, or which has closed it. Absent while it may grow, and
    /// where two histories were signed that nothing decides between.
    #[serde(default)]
    pub ends_at: Option<u64>,
    /// The publisher signed two histories: only what both begin with counts.
    pub forked: bool,
    /// Of a forked stream: the index from which on records are disputed. They
    /// are not served.
    #[serde(default)]
    pub disputed_from: Option<u64>,
    /// Why a stream of this node's own is not written to before its peers were
    /// asked, or its user has decided, and what they have said meanwhile.
    #[serde(default)]
    pub reopening: Option<ReopeningView>,
    /// The `why` of `reopening`, under the name that it had before.
    #[serde(default)]
    #[schema(deprecated)]
    pub recovering: Option<String>,
    /// Of a stream of this node's own: followers that are known to have had all
    /// of it. Should this data folder be restored one day, their word opens it.
    #[serde(default)]
    pub known_followers: u64,
    /// Why nothing is written to it. With `stopped_since` it goes on by itself
    /// when the disk works again.
    #[serde(default)]
    pub stopped: Option<String>,
    /// Since when, RFC 3339.
    #[serde(default)]
    pub stopped_since: Option<String>,
}

/// How a stream stands to what its sources have.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct LagView {
    /// Records below the largest head heard of that are not held here.
    pub records: u64,
    /// Milliseconds from the newest head with which everything was held here to
    /// the newest one heard of; `null` while there was no such head.
    pub ms: Option<u64>,
    /// Sources of which everything that they hold is held here, too. One that has
    /// not delivered anything yet does not count, whatever it says.
    pub synced_sources: u64,
    /// Sources that hold everything below the adopted head; the same goes for
    /// these.
    pub full_sources: u64,
}

impl StreamView {
    /// Records that are verified once they are held: those below the adopted
    /// head that are not disputed.
    #[must_use]
    pub fn usable_size(&self) -> u64 {
        self.disputed_from
            .map_or(self.size, |from| from.min(self.size))
    }

    /// Records that count: those of its last head once it has one, whatever is here.
    #[must_use]
    pub fn counted_size(&self) -> u64 {
        self.ends_at.unwrap_or_else(|| self.usable_size())
    }
}

/// What the values of a stream are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueTypeView {
    /// A finite number.
    Number,
    /// UTF-8 text.
    Text,
    /// One JSON value.
    Json,
    /// Any bytes; base64 in text formats.
    Bytes,
}

impl From<ValueType> for ValueTypeView {
    fn from(value_type: ValueType) -> Self {
        match value_type {
            ValueType::Number => Self::Number,
            ValueType::Text => Self::Text,
            ValueType::Json => Self::Json,
            ValueType::Bytes => Self::Bytes,
        }
    }
}

impl From<ValueTypeView> for ValueType {
    fn from(view: ValueTypeView) -> Self {
        match view {
            ValueTypeView::Number => Self::Number,
            ValueTypeView::Text => Self::Text,
            ValueTypeView::Json => Self::Json,
            ValueTypeView::Bytes => Self::Bytes,
        }
    }
}

/// Who writes a stream.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleView {
    /// This node.
    Publisher,
    /// Somebody else.
    Follower,
}
