//! Boxes that one reader can open: sealed to an x25519 key that was made for
//! one message, by somebody who needs no key of their own.
//!
//! A box is the sealer's x25519 public key (32 bytes, used once), then the
//! ciphertext and the tag (16 bytes) of ChaCha20-Poly1305 (RFC 8439). Its key
//! is HKDF-SHA-256 (RFC 5869) of the shared secret (RFC 7748), with both public
//! keys as salt and the purpose as info; because no key is used twice, the nonce
//! is zero. Whoever opens it must name the same context as the sealer.

use std::fmt;

use bytes::Bytes;
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;

/// Bytes that a box is longer than what is in it.
pub const OVERHEAD_BYTES: usize = KEY_BYTES + TAG_BYTES;

const TAG_BYTES: usize = 16;

/// What a box is for. One made for a purpose cannot be opened for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The answer to a join.
    Offer,
    /// The answer to an offer.
    Accept,
}

impl Purpose {
    fn info(self) -> &'static [u8] {
        match self {
            Self::Offer => b"headwater/1/offer",
            Self::Accept => b"headwater/1/accept",
        }
    }
}

/// The public key that a box is sealed to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealingKey(pub [u8; KEY_BYTES]);

impl SealingKey {
    /// From the 32 bytes of the key; `None` for another length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Seals something. `random` makes the key that is used for it; it must
    /// never be given twice. `None` when this is no key that anybody can have.
    #[must_use]
    pub fn seal(
        self,
        purpose: Purpose,
        context: &[u8],
        plain: &[u8],
        random: [u8; KEY_BYTES],
    ) -> Option<Bytes> {
        let ephemeral = OpeningKey(random);
        let public = ephemeral.public();
        let cipher = cipher(purpose, &ephemeral, self, public, self)?;
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
        sealed.extend_from_slice(&public.0);
        sealed.extend_from_slice(plain);
        let body = &mut sealed[KEY_BYTES..];
        let tag = cipher.encrypt_in_place_detached(&Nonce::default(), context, body);
        sealed.extend_from_slice(&tag.ok()?);
        Some(sealed.into())
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// The secret key that opens a box.
#[derive(Clone)]
pub struct OpeningKey([u8; KEY_BYTES]);

impl OpeningKey {
    /// From random bytes that nobody else has.
    #[must_use]
    pub fn from_random(random: [u8; KEY_BYTES]) -> Self {
        Self(random)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> SealingKey {
        SealingKey(x25519(self.0, X25519_BASEPOINT_BYTES))
    }

    /// Opens a box; `None` when it was sealed to another key, for another
    /// purpose or context, or was altered.
    #[must_use]
    pub fn open(&self, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Option<Bytes> {
        let (public, rest) = sealed.split_at_checked(KEY_BYTES)?;
        let public = SealingKey::from_slice(public)?;
        let (body, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
        let cipher = cipher(purpose, self, public, public, self.public())?;
        let mut plain = body.to_vec();
        let tag = Tag::from_slice(tag);
        let opened = cipher.decrypt_in_place_detached(&Nonce::default(), context, &mut plain, tag);
        opened.ok().map(|()| plain.into())
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpeningKey(of {:?})", self.public())
    }
}

/// The cipher of one box; `None` when the other side's key forces the shared
/// secret (RFC 7748, section 6.1).
fn cipher(
    purpose: Purpose,
    ours: &OpeningKey,
    theirs: SealingKey,
    sealer: SealingKey,
    reader: SealingKey,
) -> Option<ChaCha20Poly1305> {
    let shared = x25519(ours.0, theirs.0);
    if shared == [0; KEY_BYTES] {
        return None;
    }
    let salt = [sealer.0, reader.0].concat();
    let mut key = Key::default();
    let hkdf = Hkdf::<Sha256>::new(Some(&salt), &shared);
    hkdf.expand(purpose.info(), &mut key).ok()?;
    Some(ChaCha20Poly1305::new(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reader_opens_a_box_and_only_as_what_it_was_sealed_as() {
        let reader = OpeningKey::from_random([7; 32]);
        let sealed = reader
            .public()
            .seal(Purpose::Offer, b"here", b"words", [9; 32])
            .unwrap();
        assert_eq!(sealed.len(), b"words".len() + OVERHEAD_BYTES);
        let opened = reader.open(Purpose::Offer, b"here", &sealed);
        assert_eq!(opened.as_deref(), Some(&b"words"[..]));

        assert_eq!(reader.open(Purpose::Accept, b"here", &sealed), None);
        assert_eq!(reader.open(Purpose::Offer, b"there", &sealed), None);
        let other = OpeningKey::from_random([8; 32]);
        assert_eq!(other.open(Purpose::Offer, b"here", &sealed), None);
        for place in 0..sealed.len() {
            let mut altered = sealed.to_vec();
            altered[place] ^= 1;
            assert_eq!(reader.open(Purpose::Offer, b"here", &altered), None);
            let short = &sealed[..place];
            assert_eq!(reader.open(Purpose::Offer, b"here", short), None);
        }
    }

    #[test]
    fn a_key_that_forces_the_secret_is_refused() {
        let zero = SealingKey([0; 32]);
        assert_eq!(zero.seal(Purpose::Offer, b"", b"words", [9; 32]), None);
    }

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
    }

    /// RFC 7748, section 6.1: Bob's keys.
    #[test]
    fn a_public_key_is_that_of_x25519() {
        let secret = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        let public = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        let key = OpeningKey::from_random(secret.try_into().unwrap());
        assert_eq!(key.public().0[..], public);
    }

    /// Made by Python's `cryptography` package from the same keys.
    #[test]
    fn a_box_is_the_one_that_another_implementation_makes() {
        let sealed = OpeningKey::from_random([7; 32]).public().seal(
            Purpose::Offer,
            b"here",
            b"words",
            [9; 32],
        );
        let expected = hex(
            "57db4b359f23ae5e146e4e2512056704722506348c150c14753d0c933d04d421\
             7711f7e34680c0deef69e7e130da611df174d1e4c6",
        );
        assert_eq!(sealed.as_deref(), Some(&expected[..]));
    }
}
