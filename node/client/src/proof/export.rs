//! The proof of a run of records that was exported.

use headwater_protocols::engine::LogStatus;
use headwater_protocols::head::SignedHead;
use headwater_protocols::id::LogId;
use headwater_protocols::manifest::SignedManifest;
use headwater_protocols::merkle::{
    Hash, MAX_LEVEL, Nodes, RangeProof, Subtree, cover, cover_len, prove_range, verify_range,
};
use headwater_protocols::store::{History, Store};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::verify::{self, ProofFileError};
use super::{NoProof, Signed, base64, hexes, require_undisputed};

/// Runs of records that a proof tells apart: enough to find a changed record
/// among four thousand, or a run of 2,048 among ten million, in 270 KB.
pub const MAX_PROVED_RUNS: u64 = 4_096;

/// What shows that the records `[from, to)` are those that the publisher
/// signed: the hashes of runs of them, and those beside the way to the root of
/// a signed head. It stands in a Parquet file's metadata, or in a file beside a
/// CSV file. Hashes are lower-case hex, bytes base64.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportProof {
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
    /// The first record.
    pub from: u64,
    /// The index behind the last one.
    pub to: u64,
    /// The runs are the largest aligned ones of at most 2^level records.
    pub level: u8,
    /// The hash of each run, from the left to the right.
    pub runs: Vec<String>,
    /// The hashes of what lies before `from`, from the left to the right.
    pub left: Vec<String>,
    /// The hashes of what lies from `to` on.
    pub right: Vec<String>,
}

/// A proof that holds: whoever has these runs has what the publisher signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedRuns {
    /// The stream's manifest, signed by its publisher.
    pub manifest: SignedManifest,
    /// The head that the publisher signed.
    pub head: SignedHead,
    /// The first record.
    pub from: u64,
    /// The index behind the last one.
    pub to: u64,
    /// The runs with their hashes, from the left to the right.
    pub runs: Vec<(Subtree, Hash)>,
}

impl ExportProof {
    /// Its JSON, the same for the same proof.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the JSON of one, of which nothing is checked yet.
    ///
    /// # Errors
    /// It is something else.
    pub fn from_json(json: &str) -> Result<Self, ProofFileError> {
        verify::parse(json)
    }

    /// Checks everything but the records, and that it is about the stream
    /// `expected` when that is given.
    ///
    /// # Errors
    /// It proves nothing; the error says what is wrong with it.
    pub fn verify(&self, expected: Option<LogId>) -> Result<ProvedRuns, ProofFileError> {
        let (manifest, head) = signed(self, expected)?;
        let (from, to) = (self.from, self.to);
        let hashes = verify::hashes("runs", &self.runs)?;
        // Before anything is counted, so that no claim makes the cover long.
        let wrong = ProofFileError::Form {
            field: "runs",
            expected: "one hash for each run of `from`, `to` and `level`",
        };
        if from > to || cover_len(from, to, self.level) != hashes.len() as u64 {
            return Err(wrong);
        }
        let runs: Vec<_> = cover(from, to, self.level).zip(hashes).collect();
        let beside = RangeProof {
            left: verify::hashes("left", &self.left)?,
            right: verify::hashes("right", &self.right)?,
        };
        verify_range(
            from,
            to,
            head.size,
            &runs,
            &beside,
            head.root,
            &mut |_, _| (),
        )
        .map_err(|error| ProofFileError::Path {
            field: "runs",
            error,
        })?;
        Ok(ProvedRuns {
            manifest,
            head,
            from,
            to,
            runs,
        })
    }
}

/// What the proof of an export hangs from.
fn signed(
    file: &ExportProof,
    expected: Option<LogId>,
) -> Result<(SignedManifest, SignedHead), ProofFileError> {
    let manifest = verify::readable(verify::manifest(
        &file.stream,
        &file.publisher,
        &file.manifest,
        &file.manifest_signature,
        expected,
    )?)?;
    let head = verify::head(
        &manifest,
        ["head", "head_signature"],
        &file.head,
        &file.head_signature,
    )?;
    verify::agrees_with(&head, ["size", "root"], file.size, &file.root)?;
    Ok((manifest, head))
}

/// Shows that the records `[from, to)` are in the stream, below the adopted
/// head.
///
/// # Errors
/// The records or the hashes beside them are not held, or the store fails.
pub fn prove_export<S: Store + ?Sized>(
    status: &LogStatus,
    history: &History<'_, S>,
    from: u64,
    to: u64,
) -> Result<ExportProof, NoProof> {
    let signed = Signed::of(status)?;
    require_undisputed(status, to)?;
    let size = signed.head.size;
    let beside = prove_range(history, from, to, size)?;
    let level = (0..MAX_LEVEL)
        .find(|&level| cover_len(from, to, level) <= MAX_PROVED_RUNS)
        .unwrap_or(MAX_LEVEL);
    let runs = cover(from, to, level).map(|run| {
        let hash = history.node(run)?;
        hash.ok_or(NoProof::NodesNotHeld(run))
    });
    Ok(ExportProof {
        stream: signed.manifest.stream().to_string(),
        publisher: base64(&signed.manifest.publisher.to_bytes()),
        manifest: base64(signed.manifest.bytes()),
        manifest_signature: base64(signed.manifest.signature()),
        head: signed.note(),
        head_signature: base64(signed.head.signature()),
        size,
        root: signed.head.root.to_string(),
        from,
        to,
        level,
        runs: hexes(&runs.collect::<Result<Vec<_>, _>>()?),
        left: hexes(&beside.left),
        right: hexes(&beside.right),
    })
}
