//! Keys and signatures: ed25519, each kind of signed thing in a domain of its
//! own, so that a signature under one can never pass as one under another.

use std::fmt;

use libp2p_identity::{PeerId, ed25519};
use sha2::{Digest, Sha256};

/// Length of a signature in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// The one type of signature that is known where a type is told: Ed25519.
pub const ED25519: u8 = 1;

/// What names a key where the key itself is not to be seen before it is used: the
/// hash of its type and of the public key.
#[must_use]
pub fn key_hash(signature_type: u8, public_key: &[u8]) -> [u8; 32] {
    let hash = Sha256::new().chain_update([signature_type]);
    hash.chain_update(public_key).finalize().into()
}

/// What a signature is about. A prefix with a byte 0 stands before the signed bytes,
/// so that no text which is signed without a prefix is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The description of a stream.
    Manifest,
    /// The state of a log, as version 0.1.0 signed it. Now a text is signed.
    EarlyHead,
    /// Which head of a log is the last, by the key that its owner keeps offline.
    Recovery,
}

impl Domain {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Manifest => b"headwater/1/manifest\0",
            Self::EarlyHead => b"headwater/1/head\0",
            Self::Recovery => b"headwater/1/recovery\0",
        }
    }

    fn message(self, bytes: &[u8]) -> Vec<u8> {
        [self.prefix(), bytes].concat()
    }
}

/// A signature that does not belong to the key and the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not belong to this key and these bytes")]
pub struct BadSignature;

/// The public key of a log's owner.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey(ed25519::PublicKey);

impl PublicKey {
    /// From the 32 bytes of the key; `None` when they are no point of the curve.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        ed25519::PublicKey::try_from_bytes(bytes).ok().map(Self)
    }

    /// The 32 bytes of the key.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The libp2p peer id of the node that uses this key.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        libp2p_identity::PublicKey::from(self.0.clone()).to_peer_id()
    }

    /// Checks that the owner of this key signed `bytes` as a thing of `domain`.
    ///
    /// # Errors
    /// It did not.
    pub fn verify(
        &self,
        domain: Domain,
        bytes: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        if signature.len() == SIGNATURE_BYTES && self.0.verify(&domain.message(bytes), signature) {
            Ok(())
        } else {
            Err(BadSignature)
        }
    }
}

impl PublicKey {
    /// Checks that the owner of this key signed a text, as it stands. One with a byte
    /// 0 would be a thing of some [`Domain`].
    ///
    /// # Errors
    /// It did not.
    pub fn verify_text(
        &self,
        text: &str,
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), BadSignature> {
        match !text.contains('\0') && self.0.verify(text.as_bytes(), signature) {
            true => Ok(()),
            false => Err(BadSignature),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.peer_id())
    }
}

/// The secret key of a log's owner.
#[derive(Clone)]
pub struct SigningKey(ed25519::Keypair);

impl SigningKey {
    /// From a libp2p ed25519 key pair.
    #[must_use]
    pub fn new(keypair: ed25519::Keypair) -> Self {
        Self(keypair)
    }

    /// From 32 secret bytes, which are wiped.
    #[must_use]
    pub fn from_secret(secret: &mut [u8; 32]) -> Self {
        let secret = ed25519::SecretKey::try_from_bytes(secret).expect("any 32 bytes are a secret");
        Self(secret.into())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public())
    }

    /// Signs `bytes` as a thing of `domain`.
    #[must_use]
    pub fn sign(&self, domain: Domain, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(&domain.message(bytes))
    }

    /// Signs a text, as it stands.
    ///
    /// # Panics
    /// It has a byte 0: it would be signed as a thing of some [`Domain`], too.
    #[must_use]
    pub fn sign_text(&self, text: &str) -> [u8; SIGNATURE_BYTES] {
        assert!(!text.contains('\0'), "a text has no byte 0");
        let signature = self.0.sign(text.as_bytes());
        signature.try_into().expect("a signature has 64 bytes")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {:?})", self.public())
    }
}

/// A peer that no other call in the same test has given.
#[cfg(test)]
pub(crate) fn another_peer() -> PeerId {
    use std::cell::Cell;
    thread_local!(static NEXT: Cell<u64> = const { Cell::new(0) });
    let number = NEXT.replace(NEXT.get() + 1);
    let identity = multihash::Multihash::wrap(0, &number.to_be_bytes());
    PeerId::from_multihash(identity.expect("8 bytes fit")).expect("an identity is a peer id")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that is signed, each by the same key.
    fn signed(key: &SigningKey) -> Vec<(Vec<u8>, Vec<u8>)> {
        let bytes = b"headwater/1/";
        let of = |domain: Domain| (domain.message(bytes), key.sign(domain, bytes));
        let text = "headwater/1/";
        let domains = [Domain::Manifest, Domain::EarlyHead, Domain::Recovery];
        let mut all: Vec<_> = domains.map(of).into();
        all.push((text.into(), key.sign_text(text).to_vec()));
        all
    }

    #[test]
    fn a_text_that_a_domain_begins_is_never_verified() {
        let key = SigningKey::from_secret(&mut [7; 32]);
        let text = "headwater/1/manifest\0bytes";
        let signature = key.sign(Domain::Manifest, b"bytes");
        let signature = <[u8; SIGNATURE_BYTES]>::try_from(signature).unwrap();
        assert_eq!(
            key.public().verify_text(text, &signature),
            Err(BadSignature)
        );
    }

    #[test]
    fn each_signed_thing_is_refused_as_every_other() {
        let key = SigningKey::from_secret(&mut [7; 32]);
        let all = signed(&key);
        let text = b"headwater/1/";
        for (at, (message, _)) in all.iter().enumerate() {
            for (of, (other, signature)) in all.iter().enumerate() {
                assert_eq!(key.0.public().verify(message, signature), at == of);
                assert!(at == of || other == text || !message.starts_with(other));
            }
        }
    }

    #[test]
    fn a_signature_holds_for_its_own_domain_bytes_and_key_only() {
        let key = SigningKey::from_secret(&mut [7; 32]);
        let other = SigningKey::from_secret(&mut [8; 32]);
        let signature = key.sign(Domain::Recovery, b"bytes");

        let verify = |key: &SigningKey, domain, bytes: &[u8], signature: &[u8]| {
            key.public().verify(domain, bytes, signature)
        };
        assert_eq!(verify(&key, Domain::Recovery, b"bytes", &signature), Ok(()));
        assert_eq!(
            verify(&key, Domain::Manifest, b"bytes", &signature),
            Err(BadSignature)
        );
        assert_eq!(
            verify(&key, Domain::Recovery, b"bytez", &signature),
            Err(BadSignature)
        );
        assert_eq!(
            verify(&other, Domain::Recovery, b"bytes", &signature),
            Err(BadSignature)
        );
        assert_eq!(
            verify(&key, Domain::Recovery, b"bytes", &signature[..63]),
            Err(BadSignature)
        );
        assert_eq!(
            verify(&key, Domain::Recovery, b"bytes", &[]),
            Err(BadSignature)
        );
    }
}
