//! Recoveries that were made with nothing but docs/formats.md:
//! `tests/vectors/recoveries.py`.

use data_encoding::HEXLOWER;
use prost::Message;
use serde::Deserialize;

use super::*;

const VECTORS: &str = include_str!("../../../docs/vectors/recoveries.json");

#[derive(Deserialize)]
struct Vectors {
    stream: String,
    owner: String,
    recovery_key: String,
    recovery: String,
    secret_keys: Secrets,
    recoveries: Vec<Vector>,
    several: Vec<Several>,
    newer: Vec<Odd>,
    refused: Vec<Odd>,
}

#[derive(Deserialize)]
struct Secrets {
    owner: String,
    recovery: String,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    wire: String,
    size: String,
    root: String,
    successor: String,
    issued: String,
}

#[derive(Deserialize)]
struct Several {
    of: Vec<String>,
    counts: String,
    successor: String,
}

#[derive(Deserialize)]
struct Odd {
    why: String,
    wire: String,
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).expect("it is hex")
}

fn key(secret: &str) -> SigningKey {
    let secret = hex(secret).try_into();
    SigningKey::from_secret(&mut secret.expect("a secret key has 32 bytes"))
}

impl Vectors {
    fn read() -> Self {
        serde_json::from_str(VECTORS).expect("the vectors are in this repository")
    }

    fn log(&self) -> LogId {
        LogId::from_slice(&hex(&self.stream)).expect("a digest has 32 bytes")
    }

    fn verify(&self, wire: &str) -> Result<SignedRecovery, RecoveryError> {
        let wire = v1::SignedRecovery::decode(&hex(wire)[..]).expect("it is a message of the kind");
        let owner = PublicKey::from_bytes(&hex(&self.owner)).expect("a key has 32 bytes");
        let hash = hex(&self.recovery).try_into().expect("a hash has 32 bytes");
        UnverifiedRecovery(wire).verify(self.log(), &owner, Some(&hash))
    }

    fn recovery(&self, name: &str) -> SignedRecovery {
        let vector = self.recoveries.iter().find(|vector| vector.name == name);
        let wire = &vector.expect("it is among the recoveries").wire;
        self.verify(wire).expect("it is a recovery")
    }
}

#[test]
fn the_recoveries_of_the_documents_are_what_is_written_signed_and_read() {
    let vectors = Vectors::read();
    let drawer = key(&vectors.secret_keys.recovery);
    let public = drawer.public().to_bytes();
    assert_eq!(public[..], hex(&vectors.recovery_key));
    assert_eq!(key_hash(ED25519, &public)[..], hex(&vectors.recovery));
    let owner = key(&vectors.secret_keys.owner).public();
    assert_eq!(owner.to_bytes()[..], hex(&vectors.owner));
    for vector in &vectors.recoveries {
        let name = &vector.name;
        let read = vectors.verify(&vector.wire).expect(name);
        assert_eq!(read.to_wire().encode_to_vec(), hex(&vector.wire), "{name}");
        assert_eq!(read.head.size.to_string(), vector.size, "{name}");
        assert_eq!(read.head.root.0[..], hex(&vector.root), "{name}");
        let successor = read.successor.map_or(Vec::new(), |log| log.0.to_vec());
        assert_eq!(successor, hex(&vector.successor), "{name}");
        assert_eq!(read.issued.0.to_string(), vector.issued, "{name}");
        // Those with nothing of a later version are just what is signed here.
        let again = (*read).clone().sign(&drawer);
        let has_later = again.bytes.len() < read.bytes.len();
        assert!(has_later || again == read, "{name}");
    }
}

#[test]
fn several_recoveries_of_the_documents_come_to_what_they_say_in_any_order() {
    let vectors = Vectors::read();
    for several in &vectors.several {
        let mut all: Vec<_> = (several.of.iter())
            .map(|name| vectors.recovery(name))
            .collect();
        for _ in 0..2 {
            let mut recovered = Recovered::from(all[0].clone());
            for other in &all[1..] {
                recovered = strongest(recovered, other.clone().into());
            }
            let counts = vectors.recovery(&several.counts);
            assert_eq!(recovered.head(), &counts.head, "{:?}", several.of);
            let successor = recovered
                .successor()
                .map_or(Vec::new(), |log| log.0.to_vec());
            assert_eq!(successor, hex(&several.successor), "{:?}", several.of);
            all.reverse();
        }
    }
}

#[test]
fn what_the_documents_refuse_is_refused_and_what_is_newer_is_nobodys_fault() {
    let vectors = Vectors::read();
    for newer in &vectors.newer {
        let error = vectors.verify(&newer.wire).expect_err(&newer.why);
        assert!(error.is_newer(), "{}: {error}", newer.why);
    }
    for refused in &vectors.refused {
        let error = vectors.verify(&refused.wire).expect_err(&refused.why);
        assert!(!error.is_newer(), "{}: {error}", refused.why);
    }
}
