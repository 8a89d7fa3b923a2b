//! Manifests as bytes: written in one form, and read with what a later version
//! has added.

use bytes::Bytes;

use super::bounds::{self, BadField};
use super::witnesses::Cosigner;
use super::{
    Column, Manifest, ManifestError, NONCE_BYTES, Prior, Private, TooNew, ValueType, Visibility,
    Witnesses,
};
use crate::id::LogId;
use crate::identity::PublicKey;
use crate::kind::Kind;
use crate::limits::{MAX_MANIFEST_BYTES, MAX_NAME_BYTES};
use crate::merkle::Hash;
use crate::time::Timestamp;
use crate::wire::{Field, Form, Shape, WireError, decode_canonical, scan, v1};

const WHAT: &str = "a manifest";

const PRIOR: Form = Form {
    what: "its prior",
    fields: &[
        Field::one(1, Shape::Bytes),
        Field::one(2, Shape::Varint),
        Field::one(3, Shape::Bytes),
    ],
};
const RETENTION: Form = Form {
    what: "its retention",
    fields: &[Field::one(1, Shape::Varint), Field::one(2, Shape::Varint)],
};
const COLUMN: Form = Form {
    what: "one of its columns",
    fields: &[
        Field::one(1, Shape::Bytes),
        Field::one(2, Shape::Bytes),
        Field::one(3, Shape::Varint),
        Field::one(4, Shape::Bytes),
    ],
};
const PRIVATE: Form = Form {
    what: "its private part",
    fields: &[
        Field::one(1, Shape::Bytes),
        Field::one(2, Shape::Bytes),
        Field::one(3, Shape::Varint),
    ],
};
const WITNESSES: Form = Form {
    what: "its witnesses",
    fields: &[Field::many(1, Shape::Bytes), Field::one(2, Shape::Varint)],
};
const MANIFEST: Form = Form {
    what: WHAT,
    fields: &[
        Field::one(1, Shape::Bytes),
        Field::one(2, Shape::Bytes),
        Field::one(3, Shape::Bytes),
        Field::one(4, Shape::Bytes),
        Field::one(5, Shape::Bytes),
        Field::one(6, Shape::Bytes),
        Field::one(7, Shape::Varint),
        Field::one(8, Shape::Varint),
        Field::one(9, Shape::Varint),
        Field::one(10, Shape::Message(&PRIOR)),
        Field::one(11, Shape::Varint),
        Field::one(12, Shape::Message(&RETENTION)),
        Field::one(13, Shape::Varint),
        Field::one(14, Shape::Varint),
        Field::one(15, Shape::Bytes),
        Field::many(16, Shape::Message(&COLUMN)),
        Field::one(17, Shape::Varint),
        Field::one(18, Shape::Message(&PRIVATE)),
        Field::one(19, Shape::Bytes),
        Field::one(20, Shape::Message(&WITNESSES)),
        Field::one(64, Shape::Bytes),
        Field::many(65, Shape::Bytes),
        Field::one(66, Shape::Bytes),
        Field::one(67, Shape::Bytes),
    ],
};

/// Reads a manifest, and tells what only a later version understands.
///
/// # Errors
/// It is not in its form, or a field has a value that it cannot have.
pub(super) fn read(bytes: &Bytes) -> Result<(Manifest, Option<TooNew>), ManifestError> {
    if bytes.len() > MAX_MANIFEST_BYTES {
        let (what, bytes, max) = (WHAT, bytes.len(), MAX_MANIFEST_BYTES);
        return Err(WireError::TooLong { what, bytes, max }.into());
    }
    let scanned = scan(bytes, &MANIFEST)?;
    let wire: v1::Manifest = decode_canonical(WHAT, &scanned.known.into(), MAX_MANIFEST_BYTES)?;
    let newer = scanned.newer.map(TooNew::Field);
    if let Some(newer) = newer.or_else(|| unknown_value(&wire)) {
        return Ok((what_the_tree_needs(&wire)?, Some(newer)));
    }
    let manifest = Manifest::from_wire(wire)?;
    bounds::check(&manifest)?;
    let too_new = not_built(&manifest);
    Ok((manifest, too_new))
}

/// The first value of an enumeration that this version does not know.
fn unknown_value(wire: &v1::Manifest) -> Option<TooNew> {
    let unknown =
        |is_known: bool, what, value| (!is_known).then_some(TooNew::Value { what, value });
    let value_type = v1::ValueType::try_from(wire.value_type).is_ok();
    let visibility = v1::Visibility::try_from(wire.visibility).is_ok();
    unknown(Kind::from_number(wire.kind).is_some(), "kind", wire.kind)
        .or_else(|| unknown(value_type, "value type", wire.value_type))
        .or_else(|| unknown(visibility, "visibility", wire.visibility))
        .or_else(|| {
            wire.columns.iter().find_map(|column| {
                let is_known = v1::ColumnType::try_from(column.r#type).is_ok();
                unknown(is_known, "column type", column.r#type)
            })
        })
}

/// What is known by name and not read yet.
fn not_built(manifest: &Manifest) -> Option<TooNew> {
    if manifest.private.is_some() {
        return Some(TooNew::NotBuilt("private values"));
    }
    match manifest.kind {
        Kind::Observations => None,
        Kind::Page => Some(TooNew::NotBuilt("the kind page")),
        Kind::Readers => Some(TooNew::NotBuilt("the kind readers")),
        Kind::Heads => Some(TooNew::NotBuilt("the kind heads")),
        Kind::Bin => Some(TooNew::NotBuilt("the kind bin")),
        Kind::Evicted => Some(TooNew::NotBuilt("the kind evicted")),
    }
    .filter(|_| manifest.kind.rules().is_none())
}

/// What a log is stored and served by whose manifest is not understood. A later
/// version may have other bounds, so that the rest is not judged; what people
/// know the stream by is taken where it is as it was.
fn what_the_tree_needs(wire: &v1::Manifest) -> Result<Manifest, ManifestError> {
    let name = Some(&wire.name).filter(|name| name.len() <= MAX_NAME_BYTES);
    let (retain_us, retain_records) = retention(wire);
    Ok(Manifest {
        name: name.cloned().unwrap_or_default(),
        description: wire.description.clone(),
        source: wire.source.clone(),
        cadence_us: wire.cadence_us,
        chunk_level: level(wire)?,
        retain_us,
        retain_records,
        created: Timestamp(wire.created_us),
        ..Manifest::blank(publisher(wire)?)
    })
}

fn publisher(wire: &v1::Manifest) -> Result<PublicKey, BadField> {
    let key = PublicKey::from_bytes(&wire.publisher);
    key.ok_or_else(|| BadField::new("publisher", "it is no key of ed25519"))
}

fn level(wire: &v1::Manifest) -> Result<u8, BadField> {
    let level = u8::try_from(wire.chunk_level).unwrap_or(u8::MAX);
    bounds::check_level(level).map(|()| level)
}

fn retention(wire: &v1::Manifest) -> (u64, u64) {
    let retention = wire.retention.unwrap_or_default();
    (retention.age_us, retention.records)
}

/// Bytes of a fixed length, or nothing.
fn fixed<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<Option<[u8; N]>, BadField> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let why = || format!("it has {} bytes, and {N} are needed", bytes.len());
    let bytes = bytes.try_into().map_err(|_| BadField::new(field, why()))?;
    Ok(Some(bytes))
}

/// The same where there must be something.
fn needed<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], BadField> {
    fixed(field, bytes)?.ok_or_else(|| BadField::new(field, format!("it needs {N} bytes")))
}

impl Manifest {
    pub(super) fn to_wire(&self) -> v1::Manifest {
        let digest = |digest: &[u8]| Bytes::copy_from_slice(digest);
        let retains_all = self.retain_us == 0 && self.retain_records == 0;
        let visibility = match self.visibility {
            None => v1::Visibility::Unspecified,
            Some(Visibility::Public) => v1::Visibility::Public,
            Some(Visibility::Private) => v1::Visibility::Private,
        };
        v1::Manifest {
            publisher: digest(&self.publisher.to_bytes()),
            name: self.name.clone(),
            description: self.description.clone(),
            source: self.source.clone(),
            target: self.target.map_or_else(Bytes::new, |log| digest(&log.0)),
            unit: self.unit.clone(),
            value_type: self.value_type.to_wire().into(),
            cadence_us: self.cadence_us,
            chunk_level: self.chunk_level.into(),
            prior: self.prior.map(|prior| v1::Prior {
                stream: digest(&prior.stream.0),
                size: prior.size,
                root: digest(&prior.root.0),
            }),
            visibility: visibility.into(),
            retention: (!retains_all).then_some(v1::Retention {
                age_us: self.retain_us,
                records: self.retain_records,
            }),
            created_us: self.created.0,
            kind: self.kind.to_wire().into(),
            nonce: self.nonce.map_or_else(Bytes::new, |nonce| digest(&nonce)),
            columns: self.columns.iter().map(Column::to_wire).collect(),
            ordered: self.ordered,
            private: self.private.map(|private| v1::Private {
                readers: digest(&private.readers.0),
                sealed: digest(&private.sealed),
                pad: private.pad,
            }),
            recovery: self.recovery.map_or_else(Bytes::new, |hash| digest(&hash)),
            witnesses: self.witnesses.as_ref().map(|witnesses| v1::Witnesses {
                vkey: witnesses.keys.iter().map(ToString::to_string).collect(),
                threshold: witnesses.threshold,
            }),
            about: self.about.map_or_else(Bytes::new, |page| digest(&page.0)),
            tags: self.tags.clone(),
            content_type: self.content_type.clone(),
            licence: self.licence.clone(),
        }
    }

    /// A manifest of which all fields and values are known.
    fn from_wire(wire: v1::Manifest) -> Result<Self, BadField> {
        let (retain_us, retain_records) = retention(&wire);
        let kind = Kind::from_number(wire.kind).unwrap_or_default();
        let value_type = match ValueType::from_wire(wire.value_type()) {
            Some(value_type) => value_type,
            // Only observations are values of one type.
            None if kind != Kind::Observations => ValueType::Bytes,
            None => return Err(BadField::new("value type", "it is not said")),
        };
        Ok(Self {
            kind,
            publisher: publisher(&wire)?,
            nonce: fixed::<NONCE_BYTES>("nonce", &wire.nonce)?,
            target: fixed("target", &wire.target)?.map(LogId),
            value_type,
            visibility: match wire.visibility() {
                v1::Visibility::Unspecified => None,
                v1::Visibility::Public => Some(Visibility::Public),
                v1::Visibility::Private => Some(Visibility::Private),
            },
            chunk_level: level(&wire)?,
            prior: wire.prior.as_ref().map(read_prior).transpose()?,
            private: wire.private.as_ref().map(read_private).transpose()?,
            recovery: fixed("recovery", &wire.recovery)?,
            witnesses: wire.witnesses.as_ref().map(read_witnesses).transpose()?,
            about: fixed("about", &wire.about)?.map(LogId),
            columns: read_columns(wire.columns)?,
            name: wire.name,
            description: wire.description,
            source: wire.source,
            unit: wire.unit,
            cadence_us: wire.cadence_us,
            ordered: wire.ordered,
            retain_us,
            retain_records,
            created: Timestamp(wire.created_us),
            tags: wire.tags,
            content_type: wire.content_type,
            licence: wire.licence,
        })
    }
}

fn read_prior(wire: &v1::Prior) -> Result<Prior, BadField> {
    Ok(Prior {
        stream: LogId(needed("prior", &wire.stream)?),
        size: wire.size,
        root: Hash(needed("prior", &wire.root)?),
    })
}

fn read_private(wire: &v1::Private) -> Result<Private, BadField> {
    Ok(Private {
        readers: LogId(needed("private", &wire.readers)?),
        sealed: needed("private", &wire.sealed)?,
        pad: wire.pad,
    })
}

fn read_columns(wire: Vec<v1::Column>) -> Result<Vec<Column>, BadField> {
    let columns: Option<Vec<_>> = wire.into_iter().map(Column::from_wire).collect();
    columns.ok_or_else(|| BadField::new("columns", "one of them has no type"))
}

fn read_witnesses(wire: &v1::Witnesses) -> Result<Witnesses, BadField> {
    let keys: Result<Vec<Cosigner>, _> = wire.vkey.iter().map(|key| key.parse()).collect();
    Ok(Witnesses {
        keys: keys.map_err(|error| BadField::new("witnesses", error.to_string()))?,
        threshold: wire.threshold,
    })
}
