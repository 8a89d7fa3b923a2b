//! The JSON of a node: who it is, how it is reached, and what is wrong with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// What it has done since it started, in numbers that never fall: records by the way
    /// they came, frames and gossip messages, bans, commands. Later versions have more.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
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

/// A link to the dashboard.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct DashboardLink {
    /// What stands behind the address of the API. It opens the dashboard once.
    pub path: String,
    /// Seconds until it opens nothing any more.
    pub expires_in_s: u64,
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
