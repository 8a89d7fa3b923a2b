//! The JSON of peers, and of what they say of streams.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PathView, ValueTypeView};

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
