//! Proof files: JSON that shows, to whoever has the stream's id alone, that a
//! record is at its place in the stream, or that an earlier state of the stream
//! is the beginning of a later one. No clock, no network, no store is needed to
//! check one.
//!
//! The way is always the same: the manifest hashes to the id and names the
//! publisher's key; the key signed the manifest and a head; RFC 9162 paths lead
//! to the root in that head. Fields that repeat what is in the signed bytes are
//! there for people and other verifiers, and are checked against them.

mod evidence;
mod export;
mod file;
mod verify;

#[cfg(test)]
mod tests;

use data_encoding::BASE64;
use headwater_protocols::engine::LogStatus;
use headwater_protocols::head::SignedHead;
use headwater_protocols::manifest::SignedManifest;
use headwater_protocols::merkle::{self, Hash, ProveError, Subtree};
use headwater_protocols::store::{History, ReadError, Store, StoreError};

pub use evidence::{CommonPart, EvidenceFile, ProvedFork, common_size, evidence, verify_evidence};
pub use export::{ExportProof, MAX_PROVED_RUNS, ProvedRuns, prove_export};
pub use file::{ConsistencyProof, InclusionProof};
pub use verify::{ProofFileError, Proved, Verified, verify};

/// Why there is no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoProof {
    /// Nothing to prove against.
    #[error("no signed head of the stream has come yet; sync it first")]
    NoHead,
    /// What was adopted is in the form of version 0.1.0.
    #[error(
        "the head of the stream that is known here was signed for version 0.1.0, and cannot be shown to \
         others; connect to its publisher, or to whoever has a newer head"
    )]
    Early,
    /// It lies beyond what the publisher signed.
    #[error("{position} is beyond the signed head, whose size is {size}")]
    BeyondHead {
        /// The index or size asked for.
        position: u64,
        /// Records below the adopted head.
        size: u64,
    },
    /// The publisher signed two histories, and it is not in both.
    #[error("{0}")]
    Disputed(String),
    /// RFC 9162 has no such proof.
    #[error("there is no such proof: {0}")]
    Impossible(String),
    /// The record is not here.
    #[error("record {0} is not held here; sync the stream first")]
    NotHeld(u64),
    /// A part of the tree is not here.
    #[error("the hashes of the records {} to {} are not held here; sync the stream first", .0.begin(), .0.end() - 1)]
    NodesNotHeld(Subtree),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ReadError> for NoProof {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotHeld(index) => Self::NotHeld(index),
            ReadError::Store(error) => Self::Store(error),
        }
    }
}

impl From<ProveError<StoreError>> for NoProof {
    fn from(error: ProveError<StoreError>) -> Self {
        match error {
            ProveError::Missing(subtree) => Self::NodesNotHeld(subtree),
            ProveError::BeyondSize { position, size } => Self::BeyondHead { position, size },
            ProveError::Impossible(error) => Self::Impossible(error.to_string()),
            ProveError::Source(error) => Self::Store(error),
        }
    }
}

/// Shows that the record at `index` is in the stream, below the adopted head.
///
/// # Errors
/// The record or the hashes beside its way to the root are not held, or the
/// store fails.
pub fn prove_inclusion<S: Store + ?Sized>(
    status: &LogStatus,
    history: &History<'_, S>,
    index: u64,
) -> Result<InclusionProof, NoProof> {
    let signed = Signed::of(status)?;
    let size = signed.head.size;
    require_undisputed(status, index.saturating_add(1))?;
    let path = merkle::prove_inclusion(history, index, size)?;
    let record = history.record(index)?;
    Ok(InclusionProof {
        stream: signed.manifest.stream().to_string(),
        publisher: base64(&signed.manifest.publisher.to_bytes()),
        manifest: base64(signed.manifest.bytes()),
        manifest_signature: base64(signed.manifest.signature()),
        head: signed.note(),
        head_signature: base64(signed.head.signature()),
        size,
        root: signed.head.root.to_string(),
        index,
        leaf_hash: record.leaf().to_string(),
        record: base64(record.as_bytes()),
        path: hexes(&path),
    })
}

/// Shows that the first `first` records are the beginning of the first
/// `second`, and those the beginning of what the adopted head has.
///
/// # Errors
/// `first` is 0 or more than `second`, `second` is beyond the adopted head, the
/// hashes are not held, or the store fails.
pub fn prove_consistency<S: Store + ?Sized>(
    status: &LogStatus,
    history: &History<'_, S>,
    first: u64,
    second: u64,
) -> Result<ConsistencyProof, NoProof> {
    let signed = Signed::of(status)?;
    let size = signed.head.size;
    let position = second.max(first);
    if position > size {
        return Err(NoProof::BeyondHead { position, size });
    }
    require_undisputed(status, position)?;
    let path = merkle::prove_consistency(history, first, second)?;
    let head_path = merkle::prove_consistency(history, second, size)?;
    Ok(ConsistencyProof {
        stream: signed.manifest.stream().to_string(),
        publisher: base64(&signed.manifest.publisher.to_bytes()),
        manifest: base64(signed.manifest.bytes()),
        manifest_signature: base64(signed.manifest.signature()),
        first_head: None,
        first_head_signature: None,
        head: signed.note(),
        head_signature: base64(signed.head.signature()),
        first_size: first,
        first_root: root_at(history, first, signed.head)?.to_string(),
        second_size: second,
        second_root: root_at(history, second, signed.head)?.to_string(),
        path: hexes(&path),
        head_path: hexes(&head_path),
    })
}

/// Refuses to call something verified that only one of two histories has.
fn require_undisputed(status: &LogStatus, size: u64) -> Result<(), NoProof> {
    match status.disputed_from {
        Some(from) if size > from => Err(NoProof::Disputed(disputed(status, from))),
        _ => Ok(()),
    }
}

/// Says from where on a stream is disputed, and what is left.
#[must_use]
pub fn disputed(status: &LogStatus, from: u64) -> String {
    let log = status.log;
    if let Some(end) = status
        .recovered
        .as_ref()
        .map(|recovered| recovered.tree().size)
    {
        return match from < end {
            true => format!(
                "the recovery key of stream {log} has ended it with {end} records, of which those before \
                 index {from} are known here so far"
            ),
            false => format!(
                "the recovery key of stream {log} has ended it with {end} records: those from index {from} \
                 on are disowned, and those before count"
            ),
        };
    }
    format!(
        "the publisher of stream {log} signed two histories of it, so that the records from index {from} \
         on are disputed; those before are in both (`--to {from}`). The evidence: headwater evidence \
         show {log}"
    )
}

/// The root of the tree over the first `size` records.
fn root_at<S: Store + ?Sized>(
    history: &History<'_, S>,
    size: u64,
    head: &SignedHead,
) -> Result<Hash, NoProof> {
    if size == head.size {
        return Ok(head.root);
    }
    let hashes = merkle::cover(0, size, merkle::MAX_LEVEL)
        .map(|subtree| {
            let node = merkle::Nodes::node(history, subtree)?;
            node.ok_or(NoProof::NodesNotHeld(subtree))
        })
        .collect::<Result<Vec<_>, _>>()?;
    merkle::CompactRange::from_hashes(0, size, hashes)
        .ok()
        .and_then(|range| range.root())
        .ok_or_else(|| NoProof::Impossible(format!("no tree has {size} records")))
}

/// What a proof hangs from.
struct Signed<'a> {
    manifest: &'a SignedManifest,
    head: &'a SignedHead,
}

impl<'a> Signed<'a> {
    fn of(status: &'a LogStatus) -> Result<Self, NoProof> {
        let (Some(manifest), Some(_)) = (&status.manifest, &status.head) else {
            return Err(NoProof::NoHead);
        };
        let head = status.counted_head().ok_or(NoProof::Early)?;
        Ok(Self { manifest, head })
    }

    /// The head as tools of other logs read it.
    fn note(&self) -> String {
        self.head.note(&self.manifest.publisher)
    }
}

fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

fn hexes(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(Hash::to_string).collect()
}
