//! What a stream is: written once, signed, and named by its hash.

mod bounds;
mod columns;
mod encoding;
mod likeness;
mod media_type;
mod name;
mod new;
mod newer;
mod tags;
mod witnesses;

use bytes::Bytes;
use prost::Message;

use crate::id::LogId;
use crate::identity::{BadSignature, Domain, PublicKey, SigningKey};
use crate::kind::{Kind, Terms};
use crate::merkle::Hash;
use crate::record::max_value_bytes;
use crate::time::Timestamp;
use crate::wire::{WireError, v1};

pub use self::bounds::BadField;
pub use self::columns::{Column, ColumnType};
pub use self::likeness::{Likeness, likeness};
pub use self::name::{NameError, check_name, is_invisible};
pub use self::newer::TooNew;
pub use self::tags::is_tagged;
pub use self::witnesses::{Cosigner, Witnesses, enough_of};
pub use crate::kind::ValueType;

/// Who may know of a stream, as manifests of version 0.1.0 say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Anyone.
    Public,
    /// Its readers.
    Private,
}

/// The stream that another one continues, as it was when it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prior {
    /// The old stream.
    pub stream: LogId,
    /// Its final size.
    pub size: u64,
    /// Its final root.
    pub root: Hash,
}

/// What a stream says that only its readers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Private {
    /// The log that lets readers in.
    pub readers: LogId,
    /// SHA-256 of the sealed description.
    pub sealed: [u8; 32],
    /// Values are filled up to a multiple of this many bytes.
    pub pad: u32,
}

/// Describes a stream. Its encoding never changes once it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What its records are.
    pub kind: Kind,
    /// Who signs the heads.
    pub publisher: PublicKey,
    /// 16 random bytes; nothing in manifests of version 0.1.0.
    pub nonce: Option<[u8; NONCE_BYTES]>,
    /// A short name.
    pub name: String,
    /// What a reader should know.
    pub description: String,
    /// Where the values come from.
    pub source: String,
    /// The stream that this one predicts.
    pub target: Option<LogId>,
    /// The unit of the values.
    pub unit: String,
    /// What the values are.
    pub value_type: ValueType,
    /// What the elements of a value are that is a JSON array; none: it is one value.
    pub columns: Vec<Column>,
    /// Expected microseconds between two observations; 0 when not known.
    pub cadence_us: u64,
    /// Whether the owner's node refuses a time that is before the last one.
    pub ordered: bool,
    /// A chunk is an aligned run of 2^chunk_level records.
    pub chunk_level: u8,
    /// The stream that this one continues.
    pub prior: Option<Prior>,
    /// Who may know of it; nothing in manifests that this version writes.
    pub visibility: Option<Visibility>,
    /// What makes it private.
    pub private: Option<Private>,
    /// Holders may drop records older than this many microseconds; 0: never.
    pub retain_us: u64,
    /// Holders need to keep this many of the latest records; 0: all.
    pub retain_records: u64,
    /// When it was written.
    pub created: Timestamp,
    /// SHA-256 of the type and the bytes of a key that is kept offline.
    pub recovery: Option<[u8; 32]>,
    /// Who is asked to cosign.
    pub witnesses: Option<Witnesses>,
    /// A page of the same publisher that says what may change.
    pub about: Option<LogId>,
    /// Words or `key=value`, sorted.
    pub tags: Vec<String>,
    /// The media type of a value; empty when it is not said.
    pub content_type: String,
    /// The terms, as an SPDX expression; empty when they are not said.
    pub licence: String,
}

/// Bytes of a nonce: enough that nobody guesses one.
pub const NONCE_BYTES: usize = 16;

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not a manifest in its one encoding.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A field has a value that it cannot have.
    #[error(transparent)]
    Field(#[from] BadField),
    /// Signed by somebody else, or altered.
    #[error("a manifest is not signed by its publisher")]
    Signature(#[from] BadSignature),
    /// The manifest of another stream.
    #[error("a manifest is that of stream {found}, not of {expected}")]
    OtherStream {
        /// The stream that was asked for.
        expected: LogId,
        /// The stream whose manifest this is.
        found: LogId,
    },
}

impl Manifest {
    /// Of observations that are numbers, with nothing said but who publishes
    /// them and what they are called.
    #[must_use]
    pub fn new(publisher: PublicKey, name: &str, nonce: [u8; NONCE_BYTES]) -> Self {
        Self {
            nonce: Some(nonce),
            name: name.to_owned(),
            value_type: ValueType::Number,
            ..Self::blank(publisher)
        }
    }

    /// With nothing but a publisher.
    fn blank(publisher: PublicKey) -> Self {
        Self {
            kind: Kind::Observations,
            publisher,
            nonce: None,
            name: String::new(),
            description: String::new(),
            source: String::new(),
            target: None,
            unit: String::new(),
            value_type: ValueType::Bytes,
            columns: Vec::new(),
            cadence_us: 0,
            ordered: false,
            chunk_level: 0,
            prior: None,
            visibility: None,
            private: None,
            retain_us: 0,
            retain_records: 0,
            created: Timestamp(0),
            recovery: None,
            witnesses: None,
            about: None,
            tags: Vec::new(),
            content_type: String::new(),
            licence: String::new(),
        }
    }

    /// Writes and signs the manifest.
    ///
    /// # Errors
    /// A field is over its limit, or says what no new manifest should.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedManifest, ManifestError> {
        bounds::check(self)?;
        new::check(self)?;
        self.sign_as_it_is(key)
    }

    /// Signs what would be taken from others, too, such as a manifest in the
    /// form of version 0.1.0.
    ///
    /// # Errors
    /// A field is over its limit.
    pub fn sign_as_it_is(&self, key: &SigningKey) -> Result<SignedManifest, ManifestError> {
        let bytes = Bytes::from(self.to_wire().encode_to_vec());
        let signature = Bytes::from(key.sign(Domain::Manifest, &bytes));
        UnverifiedManifest { bytes, signature }.verify(None)
    }

    /// What it says of a record.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            value_type: self.value_type,
            max_value_bytes: self.max_value_bytes(),
            ordered: self.ordered,
        }
    }

    /// Whether only its readers may know of it.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.private.is_some() || self.visibility == Some(Visibility::Private)
    }

    /// Largest value, in bytes.
    #[must_use]
    pub fn max_value_bytes(&self) -> usize {
        max_value_bytes(self.chunk_level)
    }

    /// Whether holders may drop anything.
    #[must_use]
    pub fn drops(&self) -> bool {
        self.retain_us > 0 || self.retain_records > 0
    }

    /// Where the chunks begin that holders of `size` records have to keep for
    /// their number: those before may be dropped. The same for everybody.
    #[must_use]
    pub fn begin_by_number(&self, size: u64) -> u64 {
        match self.retain_records {
            0 => 0,
            keep => self.chunk_begin(size.saturating_sub(keep)),
        }
    }

    /// Where the chunk begins that the last of `size` records lies in. It is
    /// kept however old it is: with it everything else can be proved.
    #[must_use]
    pub fn last_begin(&self, size: u64) -> u64 {
        self.chunk_begin(size.saturating_sub(1))
    }

    /// Where the chunk begins that an index lies in.
    #[must_use]
    pub fn chunk_begin(&self, index: u64) -> u64 {
        index >> self.chunk_level << self.chunk_level
    }
}

/// A manifest as it came from somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedManifest {
    /// A `Manifest`, as first written.
    pub bytes: Bytes,
    /// The publisher's signature.
    pub signature: Bytes,
}

impl UnverifiedManifest {
    /// Checks form and signature, and that it is the manifest of `expected`
    /// when the stream is known.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(self, expected: Option<LogId>) -> Result<SignedManifest, ManifestError> {
        let (manifest, too_new) = encoding::read(&self.bytes)?;
        let found = LogId::of_manifest(&self.bytes);
        if let Some(expected) = expected.filter(|&expected| expected != found) {
            return Err(ManifestError::OtherStream { expected, found });
        }
        manifest
            .publisher
            .verify(Domain::Manifest, &self.bytes, &self.signature)?;
        Ok(SignedManifest {
            stream: found,
            manifest,
            too_new,
            // Copies: what is kept must not keep the frame it came in.
            bytes: Bytes::copy_from_slice(&self.bytes),
            signature: Bytes::copy_from_slice(&self.signature),
        })
    }
}

/// A manifest whose form and signature were checked, with its bytes as first
/// written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    stream: LogId,
    manifest: Manifest,
    too_new: Option<TooNew>,
    bytes: Bytes,
    signature: Bytes,
}

impl SignedManifest {
    /// The stream that it describes.
    #[must_use]
    pub fn stream(&self) -> LogId {
        self.stream
    }

    /// What only a later version understands. The log is stored, relayed and
    /// served all the same, by its publisher and chunk level; by its retention, what
    /// others may have dropped is not asked for, and nothing is dropped. Nothing else of
    /// the manifest counts, and its records are not read.
    #[must_use]
    pub fn too_new(&self) -> Option<&TooNew> {
        self.too_new.as_ref()
    }

    /// The bytes as first written.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The publisher's signature over the bytes.
    #[must_use]
    pub fn signature(&self) -> &Bytes {
        &self.signature
    }

    /// As it travels.
    #[must_use]
    pub fn to_wire(&self) -> v1::SignedManifest {
        v1::SignedManifest {
            manifest: self.bytes.clone(),
            signature: self.signature.clone(),
        }
    }
}

impl std::ops::Deref for SignedManifest {
    type Target = Manifest;

    fn deref(&self) -> &Manifest {
        &self.manifest
    }
}

impl From<v1::SignedManifest> for UnverifiedManifest {
    fn from(wire: v1::SignedManifest) -> Self {
        Self {
            bytes: wire.manifest,
            signature: wire.signature,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
