//! The bytes by which two nodes prove to each other that they have the same
//! network key, without showing it. See docs/formats.md.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use libp2p::PeerId;
use sha2::Sha256;

use crate::keys::NetworkKey;

/// What each end says first. Exactly as long as `\x13/multistream/1.0.0\n`, with
/// which a node without a key begins, so that one read tells them apart.
pub(super) const GREETING: [u8; 20] = *b"/headwater/private/1";

/// How everything begins that libp2p's own negotiation says.
pub(super) const MULTISTREAM: [u8; 20] = *b"\x13/multistream/1.0.0\n";

/// Bytes of a nonce: never twice the same one, however many are drawn.
pub(super) const NONCE_BYTES: usize = 32;

/// Bytes of a tag: all of HMAC-SHA256.
pub(super) const TAG_BYTES: usize = 32;

/// Separates the key of the proof from whatever else is made of the network
/// key, pnet's cipher for one.
const DOMAIN: &[u8] = b"headwater/1/private-network/proof\0";

/// What one end has drawn for one connection.
pub(super) type Nonce = [u8; NONCE_BYTES];

/// The key of the proofs of one private network.
#[derive(Clone)]
pub(super) struct ProofKey(Hmac<Sha256>);

/// One end of a connection.
#[derive(Clone, Copy)]
pub(super) struct End {
    /// Who it is, as the connection's own handshake has shown.
    pub(super) peer: PeerId,
    /// What it has drawn.
    pub(super) nonce: Nonce,
}

impl ProofKey {
    /// HKDF-SHA256 of the network key, without salt.
    pub(super) fn new(key: &NetworkKey) -> Self {
        let mut bytes = [0; 32];
        (Hkdf::<Sha256>::new(None, key.secret()).expand(DOMAIN, &mut bytes))
            .expect("HKDF-SHA256 gives up to 8,160 bytes");
        Self(Hmac::new_from_slice(&bytes).expect("HMAC takes keys of any length"))
    }

    /// By which `prover` shows `verifier` that it has the key.
    pub(super) fn tag(&self, prover: &End, verifier: &End) -> [u8; TAG_BYTES] {
        self.over(prover, verifier).finalize().into_bytes().into()
    }

    /// Whether `prover` has the key, by the tag that it sent; compared in
    /// constant time.
    pub(super) fn verifies(&self, tag: &[u8], prover: &End, verifier: &End) -> bool {
        self.over(prover, verifier).verify_slice(tag).is_ok()
    }

    fn over(&self, prover: &End, verifier: &End) -> Hmac<Sha256> {
        let mut hmac = self.0.clone();
        hmac.update(&[role(prover, verifier)]);
        for end in [prover, verifier] {
            let id = end.peer.to_bytes();
            // A peer id has at most 42 bytes.
            hmac.update(&[u8::try_from(id.len()).unwrap_or(u8::MAX)]);
            hmac.update(&id);
        }
        hmac.update(&prover.nonce);
        hmac.update(&verifier.nonce);
        hmac
    }
}

/// 1 for the end with the smaller peer id, 2 for the other. Not dialler and
/// listener: when a hole is punched over QUIC both ends dial, and libp2p does not
/// tell them which of the two they are on the connection that comes of it.
fn role(prover: &End, verifier: &End) -> u8 {
    if prover.peer.to_bytes() <= verifier.peer.to_bytes() {
        1
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn ends() -> (End, End) {
        // The identity multihash of a protobuf ed25519 key: `00 24 08 01 12 20`.
        let peer = |byte: u8| {
            let mut id = vec![0, 0x24, 8, 1, 0x12, 0x20];
            id.extend([byte; 32]);
            PeerId::from_bytes(&id).unwrap()
        };
        let end = |byte: u8| End {
            peer: peer(byte),
            nonce: [byte + 0x10; 32],
        };
        (end(1), end(2))
    }

    /// Computed with Python's hmac, after docs/formats.md.
    #[test]
    fn the_tag_is_the_documented_one() {
        let (one, other) = ends();
        let key = ProofKey::new(&NetworkKey::new([7; 32]));
        assert_eq!(
            HEXLOWER.encode(&key.tag(&one, &other)),
            "687c189bb0379ff80fdb1d3c08b040725a69e9fe69f66be1e85d8d214715b1ab"
        );
        assert_eq!(
            HEXLOWER.encode(&key.tag(&other, &one)),
            "5420448db6c8132d43ea65ba7c714d6ced75fdfac40894b6dfddd8c6aed45e10"
        );
    }

    #[test]
    fn a_tag_is_good_for_its_sender_its_receiver_and_their_nonces_alone() {
        let (one, other) = ends();
        let key = ProofKey::new(&NetworkKey::new([7; 32]));
        let tag = key.tag(&one, &other);
        assert!(key.verifies(&tag, &one, &other));
        // Sent back to where it came from.
        assert!(!key.verifies(&tag, &other, &one));
        // Of another key.
        let wrong = ProofKey::new(&NetworkKey::new([8; 32]));
        assert!(!wrong.verifies(&tag, &one, &other));
        // Of another connection, or another peer.
        let nonce = [0; NONCE_BYTES];
        assert!(!key.verifies(&tag, &End { nonce, ..one }, &other));
        assert!(!key.verifies(&tag, &one, &End { nonce, ..other }));
        let peer = PeerId::random();
        assert!(!key.verifies(&tag, &End { peer, ..one }, &other));
        assert!(!key.verifies(&tag, &one, &End { peer, ..other }));
        // In part, or with a single bit changed.
        assert!(!key.verifies(&[], &one, &other));
        assert!(!key.verifies(&tag[..31], &one, &other));
        for bit in 0..8 * TAG_BYTES {
            let mut changed = tag;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verifies(&changed, &one, &other), "bit {bit}");
        }
    }

    #[test]
    fn the_greeting_is_as_long_as_libp2p_s_own() {
        assert_eq!(GREETING.len(), MULTISTREAM.len());
        assert_ne!(GREETING, MULTISTREAM);
    }
}
