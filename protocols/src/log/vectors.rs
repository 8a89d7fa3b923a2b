//! Heads that were made with nothing but docs/formats.md: `tests/vectors/heads.py`.

use data_encoding::HEXLOWER;
use prost::Message;
use serde::Deserialize;

use super::{ForkProof, Relation};
use crate::head::checkpoint::{NoteError, origin, verifier_key};
use crate::head::{Closing, Head, HeadError, SignedHead, UnverifiedHead};
use crate::id::LogId;
use crate::identity::SigningKey;
use crate::manifest::{Manifest, NONCE_BYTES};
use crate::merkle::Hash;
use crate::time::Timestamp;
use crate::wire::v1;

const VECTORS: &str = include_str!("../../../docs/vectors/heads.json");

#[derive(Deserialize)]
struct Vectors {
    secret_key: String,
    public_key: String,
    digest: String,
    stream: String,
    origin: String,
    vkey: String,
    heads: Vec<Vector>,
    pairs: Vec<Pair>,
    refused_fields: Vec<RefusedFields>,
    refused_notes: Vec<RefusedNote>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    size: String,
    root: String,
    time: String,
    closed: Option<String>,
    lines: Vec<String>,
    wire: String,
    text: String,
    signature: String,
    note: String,
}

#[derive(Deserialize)]
struct Pair {
    first: String,
    second: String,
    later: String,
    proof: String,
}

#[derive(Deserialize)]
struct RefusedFields {
    why: String,
    wire: String,
}

#[derive(Deserialize)]
struct RefusedNote {
    why: String,
    note: String,
    signed: bool,
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).expect("it is hex")
}

fn vectors() -> Vectors {
    serde_json::from_str(VECTORS).expect("the vectors are in this repository")
}

impl Vectors {
    fn key(&self) -> SigningKey {
        let secret = hex(&self.secret_key).try_into();
        SigningKey::from_secret(&mut secret.expect("a secret key has 32 bytes"))
    }

    fn log(&self) -> LogId {
        LogId::from_slice(&hex(&self.digest)).expect("a digest has 32 bytes")
    }

    fn verify(&self, wire: &[u8]) -> Result<SignedHead, HeadError> {
        let wire = v1::SignedHead::decode(wire).expect("it is a message of the kind");
        UnverifiedHead(wire).verify(self.log(), &self.key().public())
    }

    fn head(&self, name: &str) -> SignedHead {
        let vector = self.heads.iter().find(|vector| vector.name == name);
        let wire = &vector.expect("it is among the heads").wire;
        self.verify(&hex(wire)).expect("it is a head")
    }
}

impl Vector {
    fn head(&self, log: LogId) -> Head {
        let successor = |hex_digest: &String| LogId::from_slice(&hex(hex_digest));
        Head {
            log,
            size: self.size.parse().expect("a number"),
            root: Hash::from_slice(&hex(&self.root)).expect("a root has 32 bytes"),
            time: Timestamp(self.time.parse().expect("a number")),
            closing: self.closed.as_ref().map(|digest| Closing {
                successor: successor(digest),
            }),
            lines: self.lines.clone(),
        }
    }
}

#[test]
fn the_heads_of_the_documents_are_what_is_written_signed_and_read() {
    let vectors = vectors();
    let (key, log) = (vectors.key(), vectors.log());
    let owner = key.public();
    assert_eq!(owner.to_bytes()[..], hex(&vectors.public_key));
    assert_eq!(log.to_string(), vectors.stream);
    assert_eq!(origin(log), vectors.origin);
    assert_eq!(verifier_key(log, &owner), vectors.vkey);
    for vector in &vectors.heads {
        let (name, head) = (&vector.name, vector.head(log));
        assert_eq!(head.checkpoint().as_str(), vector.text, "{name}");
        let signed = head.clone().sign(&key);
        assert_eq!(signed.signature()[..], hex(&vector.signature), "{name}");
        assert_eq!(
            signed.to_wire().encode_to_vec(),
            hex(&vector.wire),
            "{name}"
        );
        assert_eq!(signed.note(&owner), vector.note, "{name}");
        assert_eq!(vectors.verify(&hex(&vector.wire)).as_ref(), Ok(&signed));
        let read = SignedHead::from_note(&vector.note, log, &owner);
        assert_eq!(read.as_ref(), Ok(&signed), "{name}");
    }
}

/// What a head says to who has adopted another one.
fn says(adopted: &SignedHead, heard: &SignedHead) -> &'static str {
    match Relation::of_heads(&adopted.clone().into(), heard) {
        Relation::Older | Relation::Same => "no",
        Relation::Renews | Relation::Extends | Relation::Unproven => "later",
        Relation::Fork(_) => "fork",
        Relation::Other => "other",
    }
}

#[test]
fn the_documents_say_which_of_two_heads_is_later() {
    let vectors = vectors();
    for pair in &vectors.pairs {
        let (first, second) = (vectors.head(&pair.first), vectors.head(&pair.second));
        let expected = match &pair.later[..] {
            "first" => ("no", "later"),
            "second" => ("later", "no"),
            "same" => ("no", "no"),
            other => (other, other),
        };
        let found = (says(&first, &second), says(&second, &first));
        assert_eq!(found, expected, "{} and {}", pair.first, pair.second);
    }
}

#[test]
fn fork_proofs_of_the_documents_are_what_is_written_and_prove_forks_alone() {
    let vectors = vectors();
    let key = vectors.key();
    let manifest = Manifest::new(key.public(), "numbers", [7; NONCE_BYTES]);
    let manifest = manifest.sign(&key).expect("it is a manifest");
    for pair in &vectors.pairs {
        let names = format!("{} and {}", pair.first, pair.second);
        let bytes = hex(&pair.proof);
        let wire = v1::ForkProof::decode(&bytes[..]).expect("it is a message of the kind");
        let proved = ForkProof::verify(wire, vectors.log(), &manifest);
        let (first, second) = (vectors.head(&pair.first), vectors.head(&pair.second));
        let ours = ForkProof::of_heads(&first, &second);
        assert_eq!(ours.is_some(), pair.later == "fork", "{names}");
        assert_eq!(proved.as_ref().ok(), ours.as_deref(), "{names}");
        if let Some(ours) = ours {
            assert_eq!(ours.to_wire().encode_to_vec(), bytes, "{names}");
        }
    }
}

#[test]
fn what_the_documents_have_to_be_refused_is_refused() {
    let vectors = vectors();
    for refused in &vectors.refused_fields {
        let read = vectors.verify(&hex(&refused.wire));
        assert!(read.is_err(), "{}: {read:?}", refused.why);
    }
    for refused in &vectors.refused_notes {
        let owner = vectors.key().public();
        let read = SignedHead::from_note(&refused.note, vectors.log(), &owner);
        let is_form = matches!(read, Err(ref error) if !is_about_signature(error));
        // What is signed is refused for its text, and for nothing else.
        assert!(
            is_form || read.is_err() && !refused.signed,
            "{}: {read:?}",
            refused.why
        );
    }
}

fn is_about_signature(error: &NoteError) -> bool {
    use NoteError::{Head, NoSignature, TwoSignatures};
    matches!(
        error,
        Head(HeadError::Signature(_)) | NoSignature(_) | TwoSignatures
    )
}
