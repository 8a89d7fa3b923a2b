//! A secret under a passphrase: the key is made by Argon2id (RFC 9106), whose cost
//! stands beside it, and used once. Pure.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use data_encoding::HEXLOWER;
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, Zeroizing};

use crate::keys::limits::{
    MAX_LANES, MAX_MEMORY_KIB, MAX_PASSES, MAX_PASSPHRASE_BYTES, PASSPHRASE_COST,
};

/// Bytes of the salt.
const SALT_BYTES: usize = 16;

/// What the secret is sealed with, by its number in RFC 9180: ChaCha20-Poly1305.
const AEAD: &str = "0003";

/// What people say to open a key. It is never shown.
pub struct Passphrase(Zeroizing<String>);

/// Why a text is no passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// It protects nothing.
    #[error("the passphrase is empty")]
    Empty,
    /// It is a file of something else.
    #[error("the passphrase has {0} bytes; give at most {MAX_PASSPHRASE_BYTES}")]
    TooLong(usize),
    /// It is not text.
    #[error("the passphrase is not text in UTF-8")]
    NoText,
}

impl Passphrase {
    /// From what was typed, or from a file: without the end of the line, and the
    /// same whatever way a keyboard has made letters with accents (NFC).
    ///
    /// # Errors
    /// There is none, or it is no text.
    pub fn new(bytes: &[u8]) -> Result<Self, PassphraseError> {
        if bytes.len() > MAX_PASSPHRASE_BYTES + 2 {
            return Err(PassphraseError::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| PassphraseError::NoText)?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(PassphraseError::Empty);
        }
        let mut composed = Zeroizing::new(String::with_capacity(3 * text.len()));
        composed.extend(text.nfc());
        Ok(Self(composed))
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// How a secret is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealing {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; SALT_BYTES],
}

impl Sealing {
    /// With a new salt, at today's cost.
    pub(super) fn new(salt: [u8; SALT_BYTES]) -> Self {
        let (memory_kib, passes, lanes) = PASSPHRASE_COST;
        Self {
            memory_kib,
            passes,
            lanes,
            salt,
        }
    }

    pub(super) fn to_text(&self) -> String {
        let (m, t, p) = (self.memory_kib, self.passes, self.lanes);
        let salt = HEXLOWER.encode(&self.salt);
        format!("argon2id v=19 m={m} t={t} p={p} salt={salt} aead={AEAD}")
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let form = || {
            "it should be `none`, or like `argon2id v=19 m=65536 t=3 p=4 salt=… aead=0003`"
                .to_owned()
        };
        let parts: Vec<_> = text.split(' ').collect();
        let ["argon2id", "v=19", memory, passes, lanes, salt, aead] = parts[..] else {
            return Err(form());
        };
        let number = |part: &str, name: &str, most: u32| {
            let number: u32 = (part.strip_prefix(name))
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(form)?;
            match (1..=most).contains(&number) {
                true => Ok(number),
                false => Err(format!("{name}{number} is out of 1 to {most}")),
            }
        };
        let salt = salt.strip_prefix("salt=").ok_or_else(form)?;
        let salt = (HEXLOWER.decode(salt.as_bytes()).ok())
            .and_then(|salt| salt.try_into().ok())
            .ok_or_else(form)?;
        if aead.strip_prefix("aead=") != Some(AEAD) {
            return Err(form());
        }
        let sealing = Self {
            memory_kib: number(memory, "m=", MAX_MEMORY_KIB)?,
            passes: number(passes, "t=", MAX_PASSES)?,
            lanes: number(lanes, "p=", MAX_LANES)?,
            salt,
        };
        match sealing.to_text() == text && sealing.memory_kib >= 8 * sealing.lanes {
            true => Ok(sealing),
            false => Err(form()),
        }
    }

    fn cipher(&self, passphrase: &Passphrase) -> Option<ChaCha20Poly1305> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok()?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.0.as_bytes(), &self.salt, &mut *key)
            .ok()?;
        ChaCha20Poly1305::new_from_slice(&*key).ok()
    }

    /// Seals a secret; `head` are the lines before it. `None` where there is not
    /// enough memory.
    pub(super) fn seal(
        &self,
        passphrase: &Passphrase,
        head: &str,
        secret: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let mut sealed = Zeroizing::new(Vec::with_capacity(secret.len() + 16));
        sealed.extend_from_slice(secret);
        // The key is that of this one secret: its salt is new.
        let tag = self.cipher(passphrase)?.encrypt_in_place_detached(
            &Nonce::default(),
            head.as_bytes(),
            &mut sealed,
        );
        sealed.extend_from_slice(&tag.ok()?);
        Some(sealed)
    }

    /// Opens a secret; `None` with another passphrase, or other lines before it.
    pub(super) fn open(
        &self,
        passphrase: &Passphrase,
        head: &str,
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let (body, tag) = sealed.split_at_checked(sealed.len().checked_sub(16)?)?;
        let mut secret = Zeroizing::new(body.to_vec());
        let opened = self.cipher(passphrase)?.decrypt_in_place_detached(
            &Nonce::default(),
            head.as_bytes(),
            &mut secret,
            tag.into(),
        );
        if opened.is_err() {
            secret.zeroize();
            return None;
        }
        Some(secret)
    }
}
