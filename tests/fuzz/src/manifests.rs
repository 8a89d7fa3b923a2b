//! Manifests and heads that their owner has signed, and recoveries, whatever they say.

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use headwater_protocols::head::checkpoint::{origin, verifier_key};
use headwater_protocols::head::{Closing, Head, SignedHead, UnverifiedHead};
use headwater_protocols::id::LogId;
use headwater_protocols::identity::{Domain, ED25519, PublicKey, SigningKey, key_hash};
use headwater_protocols::kind::Kind;
use headwater_protocols::limits::{MAX_CHUNK_LEVEL, MAX_LOG_SIZE, MAX_SIGNED_HEAD_BYTES};
use headwater_protocols::manifest::{
    Column, ColumnType, Cosigner, Manifest, Prior, Private, UnverifiedManifest, ValueType,
    Visibility, Witnesses,
};
use headwater_protocols::merkle::Hash;
use headwater_protocols::recovery::{Recovered, Recovery, UnverifiedRecovery, strongest};
use headwater_protocols::time::Timestamp;
use headwater_protocols::wire::v1;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use prost::Message;

use crate::memory::bounded;

/// The stream of all heads here.
const LOG: LogId = LogId([7; 32]);

/// The first byte says what is signed: the other bytes as they are, or what they
/// make as the fields of a manifest, a head or a recovery.
pub fn manifests(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let key = SigningKey::from_secret(&mut [1; 32]);
    let signed = |domain| Bytes::from(key.sign(domain, bytes));
    let bytes = Bytes::copy_from_slice(bytes);
    match kind % 6 {
        0 => manifest(bytes.clone(), signed(Domain::Manifest)),
        1 => note(&key, &bytes),
        2 => drop(any_manifest(&key, &mut Unstructured::new(&bytes))),
        3 => drop(any_head(&key, &mut Unstructured::new(&bytes))),
        4 => drop(any_recovery(&key, &mut Unstructured::new(&bytes))),
        _ => recovery(&key.public(), bytes.clone(), signed(Domain::Recovery)),
    }
}

fn manifest(bytes: Bytes, signature: Bytes) {
    let unverified = UnverifiedManifest {
        bytes: bytes.clone(),
        signature,
    };
    let verified = bounded("a manifest", bytes.len(), 8, || {
        unverified.clone().verify(None)
    });
    let Ok(manifest) = verified else {
        return;
    };
    assert_eq!(manifest.bytes(), &bytes);
    assert_eq!(manifest.stream(), LogId::of_manifest(&bytes));
    assert!(manifest.chunk_level <= MAX_CHUNK_LEVEL);
    let again = UnverifiedManifest::from(manifest.to_wire());
    assert_eq!(
        again.clone().verify(Some(manifest.stream())),
        Ok(manifest.clone())
    );
    assert!(again.clone().verify(Some(LOG)).is_err());
    let mut altered = again;
    altered.signature = flipped(&altered.signature, bytes.len());
    assert!(altered.verify(None).is_err());
    for size in [0, 1, bytes.len() as u64, u64::MAX] {
        assert!(manifest.begin_by_number(size) <= size);
        assert!(manifest.last_begin(size) <= size);
    }
}

/// A text that the owner has signed, as a note: either it is refused, or it is the
/// one text of its head.
fn note(key: &SigningKey, text: &[u8]) {
    let Some(text) = std::str::from_utf8(text).ok() else {
        return;
    };
    if text.contains('\0') {
        return;
    }
    let owner = key.public();
    let vkey = verifier_key(LOG, &owner);
    let id = vkey.split('+').nth(1).unwrap_or_default();
    let id = HEXLOWER.decode(id.as_bytes()).expect("it is hexadecimal");
    let signature = BASE64.encode(&[&id, &key.sign_text(text)[..]].concat());
    let note = format!("{text}\n\u{2014} {} {signature}\n", origin(LOG));
    let read = bounded("a note", note.len(), 8, || {
        SignedHead::from_note(&note, LOG, &owner)
    });
    if let Ok(head) = read {
        assert_eq!(head.checkpoint().as_str(), text);
        assert_eq!(head.note(&owner), note);
    }
    let _ = SignedHead::from_note(text, LOG, &owner);
}

fn head(key: &SigningKey, wire: v1::SignedHead) {
    let bytes = wire.encoded_len();
    let unverified = UnverifiedHead(wire);
    let owner = key.public();
    let verified = bounded("a head", bytes, 8, || unverified.verify(LOG, &owner));
    let Ok(head) = verified else {
        return;
    };
    assert!(head.log == LOG && head.size <= MAX_LOG_SIZE);
    assert!(head.to_wire().encoded_len() <= MAX_SIGNED_HEAD_BYTES);
    // What it says has no other form.
    assert_eq!((*head).clone().sign(key), head);
    assert_eq!(
        SignedHead::from_note(&head.note(&owner), LOG, &owner),
        Ok(head.clone())
    );
    let again = UnverifiedHead::try_from(Some(head.to_wire())).expect("it is there");
    assert_eq!(again.clone().verify(LOG, &owner), Ok(head.clone()));
    let stranger = SigningKey::from_secret(&mut [2; 32]).public();
    assert!(again.clone().verify(LOG, &stranger).is_err());
    let other = LogId([8; 32]);
    assert!(again.clone().verify(other, &owner).is_err());
    let mut altered = again;
    altered.0.root = flipped(&altered.0.root, bytes);
    assert!(altered.verify(LOG, &owner).is_err());
}

/// The same with one bit changed.
fn flipped(bytes: &Bytes, place: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    let place = place % bytes.len();
    bytes[place] ^= 1 << (place % 8);
    bytes.into()
}

fn any_manifest(key: &SigningKey, fields: &mut Unstructured<'_>) -> Result<()> {
    let types = [
        ValueType::Number,
        ValueType::Text,
        ValueType::Json,
        ValueType::Bytes,
    ];
    let written = Manifest {
        kind: *fields.choose(&Kind::ALL)?,
        publisher: key.public(),
        nonce: fields.arbitrary()?,
        name: fields.arbitrary()?,
        description: fields.arbitrary()?,
        source: fields.arbitrary()?,
        target: fields.arbitrary::<Option<[u8; 32]>>()?.map(LogId),
        unit: fields.arbitrary()?,
        value_type: *fields.choose(&types)?,
        cadence_us: fields.arbitrary()?,
        chunk_level: fields.arbitrary()?,
        prior: fields
            .arbitrary::<Option<(u64, [u8; 32])>>()?
            .map(|(size, root)| Prior {
                stream: LOG,
                size,
                root: Hash(root),
            }),
        visibility: *fields.choose(&[None, Some(Visibility::Public), Some(Visibility::Private)])?,
        columns: columns(fields)?,
        ordered: fields.arbitrary()?,
        private: fields
            .arbitrary::<Option<([u8; 32], u32)>>()?
            .map(|(sealed, pad)| Private {
                readers: LOG,
                sealed,
                pad,
            }),
        recovery: fields.arbitrary()?,
        witnesses: fields.arbitrary::<Option<(String, [u8; 32], u32)>>()?.map(
            |(name, key, threshold)| Witnesses {
                keys: vec![Cosigner::of_ed25519(&name, &key)],
                threshold,
            },
        ),
        about: fields.arbitrary::<Option<[u8; 32]>>()?.map(LogId),
        tags: fields.arbitrary()?,
        content_type: fields.arbitrary()?,
        licence: fields.arbitrary()?,
        retain_us: fields.arbitrary()?,
        retain_records: fields.arbitrary()?,
        created: Timestamp(fields.arbitrary()?),
    };
    if let Ok(signed) = written.sign(key) {
        assert_eq!(signed.too_new(), None);
    }
    if let Ok(signed) = written.sign_as_it_is(key) {
        assert_eq!(*signed, written);
        later(key, signed.bytes());
        manifest(signed.bytes().clone(), signed.signature().clone());
    }
    Ok(())
}

/// The same with a field of a later version behind it: one that is ignored, and
/// one that is not where nothing of a higher number stands in front.
fn later(key: &SigningKey, bytes: &Bytes) {
    for (field, is_ignored) in [(&[0x82, 0x08, 0][..], true), (&[0xc2, 0x02, 0], false)] {
        let bytes = Bytes::from([bytes, field].concat());
        let signature = Bytes::from(key.sign(Domain::Manifest, &bytes));
        let unverified = UnverifiedManifest { bytes, signature };
        if let Ok(signed) = unverified.verify(None) {
            assert!(is_ignored || signed.too_new().is_some());
        }
    }
}

fn columns(fields: &mut Unstructured<'_>) -> Result<Vec<Column>> {
    let types = ColumnType::all();
    let mut columns = Vec::new();
    while columns.len() < 80 && fields.arbitrary()? {
        columns.push(Column {
            name: fields.arbitrary()?,
            unit: fields.arbitrary()?,
            column_type: *fields.choose(&types)?,
            description: fields.arbitrary()?,
        });
    }
    Ok(columns)
}

fn any_head(key: &SigningKey, fields: &mut Unstructured<'_>) -> Result<()> {
    let closing = fields.arbitrary::<Option<Option<[u8; 32]>>>()?;
    let written = Head {
        log: LOG,
        size: fields.arbitrary()?,
        root: Hash(fields.arbitrary()?),
        time: Timestamp(fields.arbitrary()?),
        closing: closing.map(|successor| Closing {
            successor: successor.map(LogId),
        }),
        lines: fields.arbitrary()?,
    };
    if written.lines.iter().all(|line| !line.contains('\0')) {
        head(key, written.sign(key).to_wire());
    }
    Ok(())
}

/// Bytes that the recovery key has signed; that of the stream is its owner's, too.
fn recovery(owner: &PublicKey, bytes: Bytes, signature: Bytes) {
    let public_key = owner.to_bytes();
    let hash = key_hash(ED25519, &public_key);
    let wire = v1::SignedRecovery {
        recovery: bytes.clone(),
        signature_type: ED25519.into(),
        public_key: Bytes::copy_from_slice(&public_key),
        signature,
    };
    let unverified = UnverifiedRecovery(wire);
    let verify = || unverified.clone().verify(LOG, owner, Some(&hash));
    let Ok(read) = bounded("a recovery", bytes.len(), 8, verify) else {
        return;
    };
    assert_eq!(read.head.log, LOG);
    assert_ne!(read.successor, Some(LOG));
    let wire = read.to_wire();
    assert_eq!(wire.recovery, bytes);
    let again = UnverifiedRecovery(wire.clone());
    assert_eq!(
        again.clone().verify(LOG, owner, Some(&hash)),
        Ok(read.clone())
    );
    assert!(again.clone().verify(LOG, owner, None).is_err());
    assert!(
        again
            .clone()
            .verify(LogId([8; 32]), owner, Some(&hash))
            .is_err()
    );
    let stranger = SigningKey::from_secret(&mut [2; 32]).public();
    assert!(again.verify(LOG, &stranger, Some(&hash)).is_err());
    let mut altered = UnverifiedRecovery(wire);
    altered.0.recovery = flipped(&altered.0.recovery, bytes.len() / 2);
    assert!(altered.verify(LOG, owner, Some(&hash)).is_err());
    // Said twice it is said once.
    let said = Recovered::from(read);
    assert_eq!(strongest(said.clone(), said.clone()), said);
}

fn any_recovery(key: &SigningKey, fields: &mut Unstructured<'_>) -> Result<()> {
    let written = Recovery {
        head: Head {
            log: LOG,
            size: fields.arbitrary::<u64>()? % (MAX_LOG_SIZE + 1),
            root: Hash(fields.arbitrary()?),
            time: Timestamp(fields.arbitrary()?),
            closing: None,
            lines: Vec::new(),
        }
        .sign(key),
        successor: fields.arbitrary::<Option<[u8; 32]>>()?.map(LogId),
        issued: Timestamp(fields.arbitrary()?),
    };
    let signed = written.sign(key).to_wire();
    recovery(&key.public(), signed.recovery, signed.signature);
    Ok(())
}
