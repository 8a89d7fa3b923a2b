//! The JSON of proof files.
//!
//! All of them, and evidence, begin with the same fields: what is signed. They are
//! written out in each, because serde does not promise to refuse unknown fields where one
//! struct is flattened into another. They are made of a `Signed`, and checked by
//! `manifest` and `head` in `verify`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A proof file. Hashes are lower-case hex, bytes base64; `path` runs from the
/// leaf upwards (RFC 9162, 2.1.3). Whoever has the stream id alone can check it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InclusionProof {
    /// The stream id.
    pub stream: String,
    /// Public key of the publisher (ed25519, 32 bytes), base64.
    pub publisher: String,
    /// The manifest as first written, base64.
    pub manifest: String,
    /// The publisher's signature over it, base64.
    pub manifest_signature: String,
    /// The signed note of the head: a C2SP checkpoint.
    pub head: String,
    /// The publisher's signature in it, base64.
    pub head_signature: String,
    /// Records below the head.
    pub size: u64,
    /// Root of the tree over them.
    pub root: String,
    /// Place of the record.
    pub index: u64,
    /// The record: 8 bytes big-endian microseconds, then the value; base64.
    pub record: String,
    /// SHA-256 of 0x00 and the record.
    pub leaf_hash: String,
    /// The hashes beside the way from the leaf to the root.
    pub path: Vec<String>,
}

/// A consistency proof file: the first tree is the beginning of the second
/// (RFC 9162, 2.1.4), and the second that of the signed head's tree. The first
/// head is not kept after a larger one was adopted; `first_root` is computed
/// from the stored tree, and the two paths bind it to the one signed head.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyProof {
    /// The stream id.
    pub stream: String,
    /// Public key of the publisher (ed25519, 32 bytes), base64.
    pub publisher: String,
    /// The manifest as first written, base64.
    pub manifest: String,
    /// The publisher's signature over it, base64.
    pub manifest_signature: String,
    /// The signed note of the first tree's head, where it is still known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_head: Option<String>,
    /// The publisher's signature in it, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_head_signature: Option<String>,
    /// The signed note of the head whose tree both belong to: a C2SP checkpoint.
    pub head: String,
    /// The publisher's signature in it, base64.
    pub head_signature: String,
    /// Records in the first tree.
    pub first_size: u64,
    /// Its root.
    pub first_root: String,
    /// Records in the second tree.
    pub second_size: u64,
    /// Its root.
    pub second_root: String,
    /// The proof from the first tree to the second, as RFC 9162 orders it.
    pub path: Vec<String>,
    /// The proof from the second tree to the head's; empty when they are one.
    #[serde(default)]
    pub head_path: Vec<String>,
}
