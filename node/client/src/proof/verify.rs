//! Checks a proof file with nothing but the file itself.

use std::fmt::Display;

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use headwater_protocols::head::SignedHead;
use headwater_protocols::head::checkpoint::NoteError;
use headwater_protocols::id::LogId;
use headwater_protocols::manifest::{ManifestError, SignedManifest, TooNew, UnverifiedManifest};
use headwater_protocols::merkle::{Hash, ProofError, verify_consistency, verify_inclusion};
use headwater_protocols::record::Record;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::file::{ConsistencyProof, InclusionProof};
use crate::base64;
use crate::object;

/// What a proof file has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The stream's manifest, signed by its publisher.
    pub manifest: SignedManifest,
    /// The head that the publisher signed.
    pub head: SignedHead,
    /// What is true of it.
    pub proved: Proved,
}

impl Verified {
    /// The stream that the file is about. Whoever did not say which stream to
    /// expect has to compare this with the id that they trust.
    #[must_use]
    pub fn stream(&self) -> LogId {
        self.manifest.stream()
    }
}

/// What a proof file is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proved {
    /// A record is in the stream.
    Record {
        /// Its place.
        index: u64,
        /// The record.
        record: Record,
    },
    /// The first tree is the beginning of the second one, and that one of the
    /// head's.
    Consistency {
        /// Records in the first tree.
        first_size: u64,
        /// Its root.
        first_root: Hash,
        /// Records in the second tree.
        second_size: u64,
        /// Its root.
        second_root: Hash,
    },
}

/// Why a proof file proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofFileError {
    /// Not JSON, or fields are missing.
    #[error("the proof file cannot be read: {0}")]
    NotJson(String),
    /// JSON of something else.
    #[error("the file is neither an inclusion proof nor a consistency proof")]
    NotProof,
    /// The proof of an export, without the records.
    #[error("the file is the proof of an export; verify the exported file that it belongs to")]
    OfExport,
    /// The evidence of a fork.
    #[error(
        "the file is the evidence that a publisher signed two histories; check it with: \
         headwater evidence verify FILE"
    )]
    Evidence,
    /// A field that is not in its form.
    #[error("the field `{field}` is not {expected}")]
    Form {
        /// Its name.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A field that says something else than the signed bytes.
    #[error("the field `{field}` says {says}, but what is signed says {signed}")]
    Disagrees {
        /// Its name.
        field: &'static str,
        /// What it says.
        says: String,
        /// What the signed bytes say.
        signed: String,
    },
    /// Another stream than the one asked about.
    #[error("the proof is about stream {found}, not {expected}")]
    OtherStream {
        /// The stream asked about.
        expected: LogId,
        /// The stream in the file.
        found: LogId,
    },
    /// Only a later version reads the records of the stream.
    #[error(
        "the manifest of its stream has what this version does not know: {0}; a newer version of \
         headwater checks it"
    )]
    TooNew(TooNew),
    /// The manifest is not what the publisher signed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The head is not what the publisher signed.
    #[error("the field `{field}` is no checkpoint of its stream: {error}")]
    Head {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        error: NoteError,
    },
    /// The head is in the form of version 0.1.0.
    #[error(
        "the field `{0}` is in the form of version 0.1.0, which this version does not check; make the \
         file anew with headwater prove, export or evidence show"
    )]
    Early(&'static str),
    /// The two heads do not contradict each other.
    #[error("it does not show that the publisher signed two histories: {0}")]
    NoFork(String),
    /// The hashes do not lead to the signed root.
    #[error("the hashes in `{field}` do not prove it: {error}")]
    Path {
        /// The field with the hashes.
        field: &'static str,
        /// What is wrong with them.
        error: ProofError,
    },
}

pub(super) type Result<T> = std::result::Result<T, ProofFileError>;

/// What tells the two kinds of proof files apart.
#[derive(Deserialize)]
struct Kind {
    index: Option<IgnoredAny>,
    first_size: Option<IgnoredAny>,
    runs: Option<IgnoredAny>,
    second_head: Option<IgnoredAny>,
}

/// Checks a proof file, and that it is about the stream `expected` when that is
/// given. Without it the file proves something about *some* stream: compare
/// [`Verified::stream`] with an id that came from elsewhere.
///
/// # Errors
/// It proves nothing; the error says what is wrong with it.
pub fn verify(json: &str, expected: Option<LogId>) -> Result<Verified> {
    let kind: Kind = parse(json)?;
    if kind.second_head.is_some() {
        return Err(ProofFileError::Evidence);
    }
    match (kind.index, kind.first_size) {
        (Some(_), None) => inclusion(&parse(json)?, expected),
        (None, Some(_)) => consistency(&parse(json)?, expected),
        (None, None) if kind.runs.is_some() => Err(ProofFileError::OfExport),
        _ => Err(ProofFileError::NotProof),
    }
}

pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T> {
    object::from_json(json).map_err(|error| ProofFileError::NotJson(error.to_string()))
}

fn inclusion(file: &InclusionProof, expected: Option<LogId>) -> Result<Verified> {
    let manifest = readable(manifest(
        &file.stream,
        &file.publisher,
        &file.manifest,
        &file.manifest_signature,
        expected,
    )?)?;
    let head = head(
        &manifest,
        ["head", "head_signature"],
        &file.head,
        &file.head_signature,
    )?;
    agrees_with(&head, ["size", "root"], file.size, &file.root)?;
    let record = Record::from_bytes(bytes("record", &file.record)?);
    let record = record.map_err(|_| ProofFileError::Form {
        field: "record",
        expected: "a record: 8 bytes of time, then the value",
    })?;
    agrees(
        "leaf_hash",
        hash("leaf_hash", &file.leaf_hash)?,
        record.leaf(),
    )?;
    let path = hashes("path", &file.path)?;
    verify_inclusion(record.leaf(), file.index, head.size, &path, head.root).map_err(|error| {
        ProofFileError::Path {
            field: "path",
            error,
        }
    })?;
    let index = file.index;
    Ok(Verified {
        manifest,
        head,
        proved: Proved::Record { index, record },
    })
}

fn consistency(file: &ConsistencyProof, expected: Option<LogId>) -> Result<Verified> {
    let manifest = manifest(
        &file.stream,
        &file.publisher,
        &file.manifest,
        &file.manifest_signature,
        expected,
    )?;
    let head = head(
        &manifest,
        ["head", "head_signature"],
        &file.head,
        &file.head_signature,
    )?;
    let first_root = hash("first_root", &file.first_root)?;
    let second_root = hash("second_root", &file.second_root)?;
    let (first_size, second_size) = (file.first_size, file.second_size);
    check_path(
        "head_path",
        (second_size, second_root),
        (head.size, head.root),
        &file.head_path,
    )?;
    check_path(
        "path",
        (first_size, first_root),
        (second_size, second_root),
        &file.path,
    )?;
    check_first_head(file, &manifest)?;
    Ok(Verified {
        manifest,
        head,
        proved: Proved::Consistency {
            first_size,
            first_root,
            second_size,
            second_root,
        },
    })
}

fn check_path(
    field: &'static str,
    (first, first_root): (u64, Hash),
    (second, second_root): (u64, Hash),
    path: &[String],
) -> Result<()> {
    let path = hashes(field, path)?;
    verify_consistency(first, second, first_root, second_root, &path)
        .map_err(|error| ProofFileError::Path { field, error })
}

/// A first head that is given must be signed and say the same.
fn check_first_head(file: &ConsistencyProof, manifest: &SignedManifest) -> Result<()> {
    let (bytes, signature) = match (&file.first_head, &file.first_head_signature) {
        (None, None) => return Ok(()),
        (Some(bytes), Some(signature)) => (bytes, signature),
        _ => {
            return Err(ProofFileError::Form {
                field: "first_head",
                expected: "given together with `first_head_signature`",
            });
        }
    };
    let first = head(
        manifest,
        ["first_head", "first_head_signature"],
        bytes,
        signature,
    )?;
    let fields = ["first_size", "first_root"];
    agrees_with(&first, fields, file.first_size, &file.first_root)
}

pub(super) fn manifest(
    stream: &str,
    publisher: &str,
    manifest: &str,
    signature: &str,
    expected: Option<LogId>,
) -> Result<SignedManifest> {
    let unverified = UnverifiedManifest {
        bytes: bytes("manifest", manifest)?,
        signature: bytes("manifest_signature", signature)?,
    };
    let manifest = unverified.verify(None)?;
    let found = manifest.stream();
    if let Some(expected) = expected.filter(|&expected| expected != found) {
        return Err(ProofFileError::OtherStream { expected, found });
    }
    agrees("stream", stream, found.to_string().as_str())?;
    agrees(
        "publisher",
        publisher,
        BASE64.encode(&manifest.publisher.to_bytes()).as_str(),
    )?;
    Ok(manifest)
}

/// Refuses to show records that only a later version knows how to read. What is
/// said of trees alone holds all the same.
pub(super) fn readable(manifest: SignedManifest) -> Result<SignedManifest> {
    match manifest.too_new().copied() {
        None => Ok(manifest),
        Some(newer) => Err(ProofFileError::TooNew(newer)),
    }
}

pub(super) fn head(
    manifest: &SignedManifest,
    [head_field, signature_field]: [&'static str; 2],
    head: &str,
    signature: &str,
) -> Result<SignedHead> {
    // A note has lines and blanks, bytes in base64 have none.
    if !head.is_empty() && base64::decode(head.as_bytes()).is_ok() {
        return Err(ProofFileError::Early(head_field));
    }
    let read = SignedHead::from_note(head, manifest.stream(), &manifest.publisher);
    let head = read.map_err(|error| ProofFileError::Head {
        field: head_field,
        error,
    })?;
    agrees(
        signature_field,
        signature,
        BASE64.encode(head.signature()).as_str(),
    )?;
    Ok(head)
}

/// Whether the fields that repeat a head say the same.
pub(super) fn agrees_with(
    head: &SignedHead,
    [size_field, root_field]: [&'static str; 2],
    size: u64,
    root: &str,
) -> Result<()> {
    agrees(size_field, size, head.size)?;
    agrees(root_field, hash(root_field, root)?, head.root)
}

fn agrees<T: PartialEq + Display>(field: &'static str, says: T, signed: T) -> Result<()> {
    if says == signed {
        return Ok(());
    }
    Err(ProofFileError::Disagrees {
        field,
        says: says.to_string(),
        signed: signed.to_string(),
    })
}

pub(super) fn bytes(field: &'static str, text: &str) -> Result<Bytes> {
    let bytes = base64::decode(text.as_bytes());
    bytes.map(Bytes::from).map_err(|_| ProofFileError::Form {
        field,
        expected: "base64 with padding",
    })
}

fn hash(field: &'static str, text: &str) -> Result<Hash> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok();
    bytes
        .and_then(|bytes| Hash::from_slice(&bytes))
        .ok_or(ProofFileError::Form {
            field,
            expected: "32 bytes in lower-case hex",
        })
}

pub(super) fn hashes(field: &'static str, texts: &[String]) -> Result<Vec<Hash>> {
    texts.iter().map(|text| hash(field, text)).collect()
}
