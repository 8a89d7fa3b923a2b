//! What a stream is: written once, signed, and named by its hash.

mod likeness;
mod name;

use bytes::Bytes;
use prost::Message;

use crate::id::LogId;
use crate::identity::{BadSignature, Domain, PublicKey, SigningKey};
use crate::limits::{MAX_CHUNK_LEVEL, MAX_LOG_SIZE, MAX_MANIFEST_BYTES, MAX_NAME_BYTES};
use crate::merkle::Hash;
use crate::number;
use crate::record::max_value_bytes;
use crate::time::Timestamp;
use crate::wire::{WireError, decode_canonical, v1};

pub use self::likeness::{Likeness, likeness};
pub use self::name::{NameError, check_name, is_invisible};

/// What the values of a stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A finite number, kept as the token that was given, which is one of JSON.
    Number,
    /// UTF-8 text.
    Text,
    /// One JSON value, kept as the token that was given.
    Json,
    /// Any bytes.
    Bytes,
}

impl ValueType {
    /// Checks a value against its type.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn check(self, value: &[u8]) -> Result<(), &'static str> {
        if matches!(self, Self::Bytes) {
            return Ok(());
        }
        let text = std::str::from_utf8(value).map_err(|_| "is not UTF-8")?;
        match self {
            Self::Number => match text.parse::<f64>() {
                Ok(number) if number.is_infinite() && number::json_token(text).is_some() => {
                    Err("is beyond the largest number of 64 bits, 1.8e308")
                }
                Ok(number) if !number.is_finite() => Err("is not a finite number"),
                // Readers of JSON, too, must take it for a number.
                Ok(_) if number::is_json(text) => Ok(()),
                Ok(_) => Err("is not a number as JSON writes it"),
                Err(_) => Err("is not a number"),
            },
            // The JSON itself is parsed at the edge, where the value comes in.
            Self::Json if text.trim().is_empty() => Err("is not JSON"),
            Self::Text | Self::Json | Self::Bytes => Ok(()),
        }
    }
}

/// Who may know of a stream.
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

/// Describes a stream. Its encoding never changes once it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Who signs the heads.
    pub publisher: PublicKey,
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
    /// Expected microseconds between two observations; 0 when not known.
    pub cadence_us: u64,
    /// A chunk is an aligned run of 2^chunk_level records.
    pub chunk_level: u8,
    /// The stream that this one continues.
    pub prior: Option<Prior>,
    /// Who may know of it.
    pub visibility: Visibility,
    /// Holders may drop records older than this many microseconds; 0: never.
    pub retain_us: u64,
    /// Holders need to keep this many of the latest records; 0: all.
    pub retain_records: u64,
    /// When it was written.
    pub created: Timestamp,
}

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not a manifest in its one encoding.
    #[error(transparent)]
    Wire(#[from] WireError),
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
    /// Writes and signs the manifest.
    ///
    /// # Errors
    /// A field is over its limit.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedManifest, ManifestError> {
        let bytes = Bytes::from(self.to_wire().encode_to_vec());
        let signature = Bytes::from(key.sign(Domain::Manifest, &bytes));
        UnverifiedManifest { bytes, signature }.verify(None)
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

    fn to_wire(&self) -> v1::Manifest {
        let value_type = match self.value_type {
            ValueType::Number => v1::ValueType::Number,
            ValueType::Text => v1::ValueType::Text,
            ValueType::Json => v1::ValueType::Json,
            ValueType::Bytes => v1::ValueType::Bytes,
        };
        let visibility = match self.visibility {
            Visibility::Public => v1::Visibility::Public,
            Visibility::Private => v1::Visibility::Private,
        };
        let retains_all = self.retain_us == 0 && self.retain_records == 0;
        v1::Manifest {
            publisher: Bytes::copy_from_slice(&self.publisher.to_bytes()),
            name: self.name.clone(),
            description: self.description.clone(),
            source: self.source.clone(),
            target: self
                .target
                .map_or_else(Bytes::new, |log| Bytes::copy_from_slice(&log.0)),
            unit: self.unit.clone(),
            value_type: value_type.into(),
            cadence_us: self.cadence_us,
            chunk_level: self.chunk_level.into(),
            prior: self.prior.map(|prior| v1::Prior {
                stream: Bytes::copy_from_slice(&prior.stream.0),
                size: prior.size,
                root: Bytes::copy_from_slice(&prior.root.0),
            }),
            visibility: visibility.into(),
            retention: (!retains_all).then_some(v1::Retention {
                age_us: self.retain_us,
                records: self.retain_records,
            }),
            created_us: self.created.0,
        }
    }

    fn from_wire(wire: v1::Manifest) -> Result<Self, WireError> {
        let bad = |field| WireError::BadField {
            what: "a manifest",
            field,
        };
        let value_type = match wire.value_type() {
            v1::ValueType::Number => ValueType::Number,
            v1::ValueType::Text => ValueType::Text,
            v1::ValueType::Json => ValueType::Json,
            v1::ValueType::Bytes => ValueType::Bytes,
            v1::ValueType::Unspecified => return Err(bad("value type")),
        };
        let visibility = match wire.visibility() {
            v1::Visibility::Public => Visibility::Public,
            v1::Visibility::Private => Visibility::Private,
            v1::Visibility::Unspecified => return Err(bad("visibility")),
        };
        let target = match &wire.target[..] {
            [] => None,
            digest => Some(LogId::from_slice(digest).ok_or_else(|| bad("target"))?),
        };
        let prior = wire.prior.map(|prior| {
            Some(Prior {
                stream: LogId::from_slice(&prior.stream)?,
                size: Some(prior.size).filter(|&size| size <= MAX_LOG_SIZE)?,
                root: Hash::from_slice(&prior.root)?,
            })
        });
        let prior = match prior {
            None => None,
            Some(prior) => Some(prior.ok_or_else(|| bad("prior"))?),
        };
        if wire.name.is_empty() || wire.name.len() > MAX_NAME_BYTES {
            return Err(bad("name (1 to 128 bytes)"));
        }
        Ok(Self {
            publisher: PublicKey::from_bytes(&wire.publisher).ok_or_else(|| bad("publisher"))?,
            name: wire.name,
            description: wire.description,
            source: wire.source,
            target,
            unit: wire.unit,
            value_type,
            cadence_us: wire.cadence_us,
            chunk_level: u8::try_from(wire.chunk_level)
                .ok()
                .filter(|&level| level <= MAX_CHUNK_LEVEL)
                .ok_or_else(|| bad("chunk level (at most 12)"))?,
            prior,
            visibility,
            retain_us: wire.retention.as_ref().map_or(0, |r| r.age_us),
            retain_records: wire.retention.as_ref().map_or(0, |r| r.records),
            created: Timestamp(wire.created_us),
        })
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
        let wire = decode_canonical("a manifest", &self.bytes, MAX_MANIFEST_BYTES)?;
        let manifest = Manifest::from_wire(wire)?;
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
    bytes: Bytes,
    signature: Bytes,
}

impl SignedManifest {
    /// The stream that it describes.
    #[must_use]
    pub fn stream(&self) -> LogId {
        self.stream
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
pub(crate) mod tests {
    use super::*;

    pub(crate) fn manifest(key: &SigningKey, name: &str, chunk_level: u8) -> Manifest {
        Manifest {
            publisher: key.public(),
            name: name.to_owned(),
            description: String::new(),
            source: String::new(),
            target: None,
            unit: "°C".to_owned(),
            value_type: ValueType::Number,
            cadence_us: 3_600_000_000,
            chunk_level,
            prior: None,
            visibility: Visibility::Public,
            retain_us: 0,
            retain_records: 0,
            created: Timestamp(1_262_304_000_000_000),
        }
    }

    #[test]
    fn a_signed_manifest_names_its_stream_and_comes_back_whole() {
        let key = SigningKey::from_secret(&mut [1; 32]);
        let mut original = manifest(&key, "temperature", 8);
        original.target = Some(LogId([9; 32]));
        original.retain_records = 5;
        original.prior = Some(Prior {
            stream: LogId([3; 32]),
            size: 12,
            root: Hash([4; 32]),
        });
        let signed = original.sign(&key).unwrap();
        let back = UnverifiedManifest::from(signed.to_wire())
            .verify(Some(signed.stream()))
            .unwrap();
        assert_eq!(*back, original);
        assert_eq!(back.stream(), LogId::of_manifest(signed.bytes()));
    }

    #[test]
    fn a_manifest_of_another_stream_another_key_or_with_altered_bytes_is_refused() {
        let key = SigningKey::from_secret(&mut [1; 32]);
        let signed = manifest(&key, "temperature", 8).sign(&key).unwrap();
        let wire = UnverifiedManifest::from(signed.to_wire());

        let other = LogId([0; 32]);
        assert!(matches!(
            wire.clone().verify(Some(other)),
            Err(ManifestError::OtherStream { expected, .. }) if expected == other
        ));
        let stranger = SigningKey::from_secret(&mut [2; 32]);
        let mut forged = wire.clone();
        forged.signature = stranger.sign(Domain::Manifest, &wire.bytes).into();
        assert_eq!(
            forged.verify(None),
            Err(ManifestError::Signature(BadSignature))
        );
        let mut altered = wire;
        altered.bytes = manifest(&key, "pressure", 8).sign(&key).unwrap().bytes;
        assert_eq!(
            altered.verify(None),
            Err(ManifestError::Signature(BadSignature))
        );
    }

    #[test]
    fn a_manifest_of_somebody_else_is_taken_whatever_its_name() {
        let key = SigningKey::from_secret(&mut [1; 32]);
        for name in ["\x1b[2J", "..", " lead", "bafkreiabc", "a\nb"] {
            let signed = manifest(&key, name, 8).sign(&key).unwrap();
            let back = UnverifiedManifest::from(signed.to_wire()).verify(None);
            assert_eq!(back.unwrap().name, name);
        }
    }

    #[test]
    fn a_manifest_over_a_limit_cannot_be_signed() {
        let key = SigningKey::from_secret(&mut [1; 32]);
        for (name, level) in [("", 8), ("x", 13), (&*"n".repeat(129), 8)] {
            let result = manifest(&key, name, level).sign(&key);
            assert!(matches!(
                result,
                Err(ManifestError::Wire(WireError::BadField { .. }))
            ));
        }
        let mut long = manifest(&key, "x", 8);
        long.description = "d".repeat(MAX_MANIFEST_BYTES);
        assert!(matches!(
            long.sign(&key),
            Err(ManifestError::Wire(WireError::TooLong { .. }))
        ));
    }

    #[test]
    fn a_number_is_a_finite_number() {
        for good in ["0", "-1.5e3", "1016.60", "-0.5"] {
            assert_eq!(ValueType::Number.check(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [
            "",
            "x",
            "NaN",
            "inf",
            "-infinity",
            // Numbers, but none of JSON.
            "+4",
            ".5",
            "5.",
            "007",
            "1e999",
            "1 ",
            "\u{ff11}",
        ] {
            assert!(ValueType::Number.check(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(ValueType::Text.check(b"\xff"), Err("is not UTF-8"));
        assert_eq!(ValueType::Bytes.check(b"\xff"), Ok(()));
    }
}
