//! The JSON of the local API, as the server writes it and the client reads it.

mod gaps;
mod manifest;
mod observations;
mod reopening;
mod unsigned;

use headwater_protocols::manifest::ValueType;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::gaps::{Gaps, Misplaced, TimeGap};
pub use self::manifest::{ColumnView, ManifestView, NewStream, WitnessesView};
pub use self::observations::{NewObservation, Observation, ObservationsBody, PublishAnswer};
pub use self::reopening::{AnswerView, ReopeningView};
pub use self::unsigned::{SaidView, SilentView, UnsignedView, WalkNews, WalkReport};
pub use crate::proof::{CommonPart, ConsistencyProof, EvidenceFile, ExportProof, InclusionProof};

/// `GET /v1/node`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct NodeView {
    /// The node's libp2p peer id.
    pub peer_id: String,
    /// Multiaddrs at which others reach it, each with its peer id.
    pub addresses: Vec<String>,
    /// What it does for others: `peer`, `bootstrap`, …
    pub roles: Vec<String>,
    /// Fingerprint of the key of the private network that it is in; `null` in
    /// the public one.
    pub private_network: Option<String>,
    /// The program's version.
    pub version: String,
    /// Peers that are connected.
    pub connections: usize,
    /// How it goes with the configured bootstrap nodes.
    #[serde(default)]
    pub bootstrap: BootstrapView,
    /// Streams that are known.
    pub streams: usize,
    /// Bytes of the data folder.
    pub disk_bytes: u64,
    /// The bound of what streams take on the disk, if there is one.
    #[serde(default)]
    pub max_disk: Option<MaxDiskView>,
    /// Seconds since the node started.
    pub uptime_s: u64,
    /// The ways to it.
    pub nat: NatView,
    /// What is wrong with it now. Each ends by itself when its cause ends.
    #[serde(default)]
    pub troubles: Vec<TroubleView>,
}

/// Something that is wrong with a node now.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct TroubleView {
    /// Names it, the same as long as it lasts: `disk`, …
    pub name: String,
    /// How bad it is.
    pub severity: SeverityView,
    /// When it began, RFC 3339.
    pub since: String,
    /// What happened, to what.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

/// How bad a trouble is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeverityView {
    /// The node does its work; somebody should look at it.
    Warning,
    /// The node cannot do its work, or a part of it.
    Failure,
}

/// `GET /ready`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Ready {
    /// Whether it can be given work.
    pub ready: bool,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// The bound of what streams take on the disk.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct MaxDiskView {
    /// Bytes of the store's files.
    pub used_bytes: u64,
    /// Bytes that they may have.
    pub max_bytes: u64,
    /// What is done about it.
    pub state: DiskStateView,
}

/// What is taken while there is a bound.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskStateView {
    /// Everything.
    Free,
    /// No more histories; live records, and what is published.
    NoHistory,
    /// Nothing.
    Full,
}

/// What is known of the ways to a node.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct NatView {
    /// From where others reach it directly.
    pub reachability: ReachabilityView,
    /// How the router before it maps its ports.
    pub mapping: MappingView,
    /// Peer ids of the relays through which others reach it.
    pub relays: Vec<String>,
    /// Relayed connections that a direct one followed, since the start.
    pub punched: u64,
    /// Attempts at that which failed.
    pub not_punched: u64,
    /// Bytes that went through relays since the start, both directions.
    pub relayed_bytes: u64,
    /// What may go through them a second.
    pub relayed_bytes_per_second: u64,
}

/// From where others reach a node directly.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReachabilityView {
    /// Nobody has tested it yet.
    Unknown,
    /// From nowhere.
    Private,
    /// From its own network.
    Site,
    /// From anywhere.
    Public,
}

/// How a router maps ports (RFC 4787).
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MappingView {
    /// Peers see the address that the node listens on.
    None,
    /// Too few peers have told what they see.
    Unknown,
    /// All peers see one address: a cone router.
    EndpointIndependent,
    /// Each peer sees another port: a symmetric router.
    EndpointDependent,
}

/// Which way the connections to a peer take.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PathView {
    /// At least one is direct.
    Direct,
    /// All lead through relays.
    Relayed,
}

/// The bootstrap nodes in `GET /v1/node`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct BootstrapView {
    /// Those that are configured.
    pub known: usize,
    /// Those that are connected.
    pub connected: usize,
    /// There are some, all were dialled, and none answered; they are dialled
    /// again.
    pub silent: bool,
    /// Why one of them could not be reached.
    pub last_error: Option<String>,
    /// It is there, and may be in a private network whose key this node does not
    /// have, or lack the key that this node has.
    #[serde(default)]
    pub key_in_doubt: bool,
}

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
    /// Records below the adopted head that are kept and not held.
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
    /// came, is fsynced, and nothing of it is known to be damaged.
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
    /// Id of the stream that continues it, if it is closed and names one.
    #[serde(default)]
    pub successor: Option<String>,
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

/// A link to the dashboard.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct DashboardLink {
    /// What stands behind the address of the API. It opens the dashboard once.
    pub path: String,
    /// Seconds until it opens nothing any more.
    pub expires_in_s: u64,
}

impl StreamView {
    /// Records that are verified once they are held: those below the adopted
    /// head that are not disputed.
    #[must_use]
    pub fn usable_size(&self) -> u64 {
        self.disputed_from
            .map_or(self.size, |from| from.min(self.size))
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

/// `POST /v1/streams/{id}/recovery`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recover {
    /// A `SignedRecovery` of docs/formats.md, base64.
    pub statement: String,
}

/// What the recovery key of a stream has said: how much of it counts, whatever its
/// publisher's key has signed.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct RecoveredView {
    /// Records that count. What comes behind them is disowned.
    pub size: u64,
    /// Root of the tree over them, lower-case hex.
    pub root: String,
    /// When that was said, RFC 3339.
    pub issued: String,
    /// Id of the stream that continues it.
    pub successor: Option<String>,
    /// The key has said other things, too: the smallest counts, and nothing continues the
    /// stream.
    pub contradicted: bool,
}

/// The data of the event `reset` of `GET /v1/streams/{id}/live`: the recovery key of the
/// stream has ended it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Reset {
    /// The first index that does not count; whoever has it, or what follows, should
    /// disown it.
    pub from: u64,
    /// Id of the stream that continues it.
    pub successor: Option<String>,
}

/// The data of the event `ended` of `GET /v1/streams/{id}/live`: the client has all that
/// counts, and nothing more comes, because the stream was closed by its publisher or ended
/// by its recovery key.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Ended {
    /// Records that count.
    pub size: u64,
    /// Id of the stream that continues it.
    pub successor: Option<String>,
}

/// `GET /v1/streams/{id}/heads`: the heads that this node knows.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct HeadsView {
    /// The stream id.
    pub stream: String,
    /// Public key of the publisher (ed25519, 32 bytes), base64.
    pub publisher: String,
    /// With this key any tool that reads signed notes opens the checkpoints.
    pub verifier_key: String,
    /// The largest first. Earlier ones are kept of streams with a recovery key alone.
    pub heads: Vec<KnownHead>,
}

/// A head that the node knows.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct KnownHead {
    /// Records below it.
    pub size: u64,
    /// Root of the tree over them, lower-case hex.
    pub root: String,
    /// When it was signed, RFC 3339.
    pub time: String,
    /// The signed note of the head: a C2SP checkpoint.
    pub checkpoint: String,
}

/// `POST /v1/streams/{id}/close`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Close {
    /// Whole id of the stream that continues this one.
    pub successor: Option<String>,
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

/// A stream in `GET /v1/evidence`: its publisher signed two histories.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct EvidenceView {
    /// The stream id.
    pub stream: String,
    /// Its name.
    pub name: String,
    /// Peer id of the publisher.
    pub publisher: String,
    /// Records below the head of the smaller tree.
    pub first_size: u64,
    /// Its root, lower-case hex.
    pub first_root: String,
    /// When it was signed, RFC 3339.
    pub first_time: String,
    /// Records below the other head.
    pub second_size: u64,
    /// Its root, lower-case hex.
    pub second_root: String,
    /// When it was signed, RFC 3339.
    pub second_time: String,
    /// Records that both begin with, as the evidence shows; absent where nobody
    /// has found it out.
    pub common_size: Option<u64>,
    /// The index from which on records are disputed here.
    pub disputed_from: u64,
}

/// The answer to `POST /v1/streams/{id}/observations`: the records are durable.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Published {
    /// Index of the first record.
    pub from: u64,
    /// Index after the last one: the stream's size.
    pub to: u64,
}

/// `GET /v1/streams/{id}/head`: the adopted head, to be checked by whoever has
/// the stream id and the manifest.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct HeadView {
    /// The stream id.
    pub stream: String,
    /// Public key of the publisher (ed25519, 32 bytes), base64.
    pub publisher: String,
    /// Records below the head.
    pub size: u64,
    /// Root of the tree over them, lower-case hex.
    pub root: String,
    /// When it was signed, RFC 3339.
    pub time: String,
    /// Whether it is the last one: its publisher has closed the stream for good.
    #[serde(default)]
    pub closed: bool,
    /// Id of the stream that continues this one, once it is closed.
    pub successor: Option<String>,
    /// Of a forked stream: the index from which on the publisher signed
    /// something else, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disputed_from: Option<u64>,
    /// The signed note of the head: a C2SP checkpoint.
    pub checkpoint: String,
    /// With this key any tool that reads signed notes opens the checkpoint.
    pub verifier_key: String,
    /// The publisher's signature in the checkpoint, base64.
    pub head_signature: String,
    /// The manifest as first written, base64.
    pub manifest: String,
    /// The publisher's signature over it, base64.
    pub manifest_signature: String,
}

/// `GET /v1/discover`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct DiscoveryView {
    /// What was found, those that most peers know first.
    pub streams: Vec<FoundStreamView>,
    /// Peers that were asked.
    pub asked: usize,
    /// Those of them that answered in time.
    pub answered: usize,
}

/// A stream that was found.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct FoundStreamView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What a reader should know.
    pub description: String,
    /// Where the values come from.
    pub source: String,
    /// The unit of the values.
    pub unit: String,
    /// What the values are.
    pub value_type: ValueTypeView,
    /// Words or `key=value`, sorted.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The terms of use, as an SPDX expression.
    #[serde(default)]
    pub licence: Option<String>,
    /// What this version does not know of its manifest, and would have to.
    #[serde(default)]
    pub too_new: Option<String>,
    /// Peer id of its publisher.
    pub publisher: String,
    /// Records of the largest head that was told, under its publisher's
    /// signature.
    pub size: u64,
    /// When that was signed.
    pub head_time: Option<String>,
    /// Milliseconds since then; negative if it is dated ahead of this node's clock.
    pub head_age_ms: Option<i64>,
    /// Connected peers that know it.
    pub peers: usize,
    /// Whether this node knows it.
    pub known: bool,
    /// What another machine needs to follow it.
    pub invite: String,
}

/// `DELETE /v1/streams/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct DeletedStream {
    /// Its id.
    pub id: String,
    /// Records that were held of it.
    pub held_records: u64,
}

/// `GET /health`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Health {
    /// `ok`, or `failing`.
    pub status: String,
    /// The node's peer id.
    #[serde(default)]
    pub peer_id: String,
    /// What keeps the node from its work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<TroubleView>,
}

/// A peer in `GET /v1/peers`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub struct PeerView {
    /// Its peer id.
    pub peer_id: String,
    /// Remote ends of its connections; one through a relay has `/p2p-circuit`.
    pub addresses: Vec<String>,
    /// Which way they take.
    pub path: PathView,
    /// What it calls itself.
    pub agent: Option<String>,
    /// The last round trip in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Whether history can be exchanged with it.
    pub syncs: bool,
    /// Whether it dialled us.
    pub inbound: bool,
    /// Ids of the streams that it has something of.
    pub streams: Vec<String>,
}

/// A peer in `GET /v1/streams/{id}/peers`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct StreamPeerView {
    /// Its peer id.
    pub peer_id: String,
    /// Whether it publishes the stream.
    pub publisher: bool,
    /// Whether it is connected.
    pub connected: bool,
    /// Whether it is connected and has something of the stream.
    pub source: bool,
    /// Multiaddrs at which it says that it is, each with its peer id.
    pub addresses: Vec<String>,
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
