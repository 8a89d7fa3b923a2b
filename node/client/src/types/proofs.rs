//! The JSON of heads, and of publishers that signed two histories.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
