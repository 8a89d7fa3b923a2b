//! Evidence files: JSON that shows, to whoever has nothing else, an equivocation: that
//! the publisher of a stream signed two histories of it, or went on after its end.

use bytes::Bytes;
use headwater_protocols::engine::LogStatus;
use headwater_protocols::id::LogId;
use headwater_protocols::log::ForkProof;
use headwater_protocols::manifest::SignedManifest;
use headwater_protocols::wire::v1;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::verify::{ProofFileError, agrees_with, hashes, head, manifest, parse};
use super::{base64, hexes};
use crate::object;

/// Two signed heads of one stream that cannot both be true: no tree can hold both, or
/// one closes the stream and the other one goes on. Hashes are lower-case hex, bytes
/// base64.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceFile {
    /// The stream id.
    pub stream: String,
    /// Public key of the publisher (ed25519, 32 bytes), base64.
    pub publisher: String,
    /// The manifest as first written, base64.
    pub manifest: String,
    /// The publisher's signature over it, base64.
    pub manifest_signature: String,
    /// The signed note of the head of the smaller tree (a C2SP checkpoint), or of one
    /// that closes the stream.
    pub first_head: String,
    /// The publisher's signature in it, base64.
    pub first_head_signature: String,
    /// Records below it.
    pub first_size: u64,
    /// Root of the tree over them.
    pub first_root: String,
    /// The signed note of the head of the larger tree, or of another one of the same
    /// size, or of one that goes on after the end.
    pub second_head: String,
    /// The publisher's signature in it, base64.
    pub second_head_signature: String,
    /// Records below it.
    pub second_size: u64,
    /// Root of the tree over them.
    pub second_root: String,
    /// In the larger tree, the hashes of the subtrees that cover the first
    /// `first_size` records: they do not make up `first_root`. None for equal
    /// sizes, and where the first head closes the stream.
    pub left: Vec<String>,
    /// The hashes of the subtrees that cover the rest: with `left` they make up
    /// `second_root`. None for equal sizes.
    pub right: Vec<String>,
    /// What both trees begin with; absent where nobody has found it out.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "object::optional"
    )]
    pub common: Option<CommonPart>,
}

/// What both trees begin with.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommonPart {
    /// Records that are the same in both.
    pub size: u64,
    /// The hashes of the subtrees that cover them.
    pub tree: Vec<String>,
    /// Level of the nodes behind them that differ: 0 for records; the stream's
    /// chunk level where the records of that chunk were dropped.
    pub level: u8,
    /// In the first tree, the hash of the node that differs, and those of the
    /// subtrees that cover the rest: with `tree` they make up `first_root`.
    pub first_rest: Vec<String>,
    /// The same in the second tree. Its first hash is another one: the two trees
    /// have no more in common.
    pub second_rest: Vec<String>,
}

/// What an evidence file has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedFork {
    /// The stream's manifest, signed by its publisher.
    pub manifest: SignedManifest,
    /// The two heads.
    pub fork: ForkProof,
}

/// The evidence that is known of a stream; `None` when its publisher is not
/// known to have signed two histories.
#[must_use]
pub fn evidence(status: &LogStatus) -> Option<EvidenceFile> {
    let (manifest, fork) = (status.manifest.as_ref()?, status.fork.as_ref()?);
    let common = fork.common.as_ref().map(|common| CommonPart {
        size: common.size(),
        tree: hexes(common.tree.hashes()),
        level: common.level,
        first_rest: hexes(&common.smaller),
        second_rest: hexes(&common.larger),
    });
    Some(EvidenceFile {
        stream: manifest.stream().to_string(),
        publisher: base64(&manifest.publisher.to_bytes()),
        manifest: base64(manifest.bytes()),
        manifest_signature: base64(manifest.signature()),
        first_head: fork.smaller.note(&manifest.publisher),
        first_head_signature: base64(fork.smaller.signature()),
        first_size: fork.smaller.size,
        first_root: fork.smaller.root.to_string(),
        second_head: fork.larger.note(&manifest.publisher),
        second_head_signature: base64(fork.larger.signature()),
        second_size: fork.larger.size,
        second_root: fork.larger.root.to_string(),
        left: hexes(&fork.left),
        right: hexes(&fork.right),
        common,
    })
}

/// Checks an evidence file, and that it is about the stream `expected` when that
/// is given.
///
/// # Errors
/// It proves nothing; the error says what is wrong with it.
pub fn verify_evidence(json: &str, expected: Option<LogId>) -> Result<ProvedFork, ProofFileError> {
    let file: EvidenceFile = parse(json)?;
    let manifest = manifest(
        &file.stream,
        &file.publisher,
        &file.manifest,
        &file.manifest_signature,
        expected,
    )?;
    let first = ["first_head", "first_head_signature"];
    let first = head(
        &manifest,
        first,
        &file.first_head,
        &file.first_head_signature,
    )?;
    let second = ["second_head", "second_head_signature"];
    let second = head(
        &manifest,
        second,
        &file.second_head,
        &file.second_head_signature,
    )?;
    let fields = ["first_size", "first_root"];
    agrees_with(&first, fields, file.first_size, &file.first_root)?;
    let fields = ["second_size", "second_root"];
    agrees_with(&second, fields, file.second_size, &file.second_root)?;
    let common = file.common.as_ref().map(|common| {
        Ok::<_, ProofFileError>(v1::Common {
            size: common.size,
            tree: wire("common.tree", &common.tree)?,
            smaller: wire("common.first_rest", &common.first_rest)?,
            larger: wire("common.second_rest", &common.second_rest)?,
            level: common.level.into(),
        })
    });
    let proof = v1::ForkProof {
        smaller: Some(first.to_wire()),
        larger: Some(second.to_wire()),
        left: wire("left", &file.left)?,
        right: wire("right", &file.right)?,
        common: common.transpose()?,
    };
    let fork = ForkProof::verify(proof, manifest.stream(), &manifest);
    let fork = fork.map_err(|error| ProofFileError::NoFork(error.to_string()))?;
    Ok(ProvedFork { manifest, fork })
}

impl ProvedFork {
    /// Records that are the same in both histories, once somebody has found it
    /// out.
    #[must_use]
    pub fn common_size(&self) -> Option<u64> {
        common_size(&self.fork)
    }
}

/// Records that both heads' trees begin with, as far as that is known.
#[must_use]
pub fn common_size(fork: &ForkProof) -> Option<u64> {
    let is_known = fork.common.is_some() || fork.is_of_closing();
    is_known.then(|| fork.common_size())
}

fn wire(field: &'static str, texts: &[String]) -> Result<Vec<Bytes>, ProofFileError> {
    let hashes = hashes(field, texts)?;
    let bytes = hashes.iter().map(|hash| Bytes::copy_from_slice(&hash.0));
    Ok(bytes.collect())
}
