//! The witnesses that a publisher names: a default for those who have chosen none
//! themselves.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

use crate::limits::{MAX_WITNESSES, MAX_WITNESSES_BYTES};

/// The type of a key that cosigns with Ed25519 and a timestamp (C2SP
/// tlog-cosignature).
const COSIGNATURE_V1: u8 = 4;

/// Bytes of such a key.
const ED25519_BYTES: usize = 32;

/// Who is asked to cosign, and how many of them are enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnesses {
    /// Their keys.
    pub keys: Vec<Cosigner>,
    /// How many of them are enough.
    pub threshold: u32,
}

/// The key of a cosigner, with its name: a verifier key of C2SP signed-note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigner {
    name: String,
    /// The type of the signature, and the key.
    key: Vec<u8>,
}

/// A text that is no verifier key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no key of a witness (name+id+base64): {why}")]
pub struct BadCosigner {
    text: String,
    why: &'static str,
}

impl Cosigner {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A witness with such a key.
    #[must_use]
    pub fn of_ed25519(name: &str, key: &[u8; ED25519_BYTES]) -> Self {
        Self::of_type(name, COSIGNATURE_V1, key)
    }

    /// A cosigner with a key of some type.
    #[must_use]
    pub fn of_type(name: &str, signature_type: u8, key: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            key: [&[signature_type], key].concat(),
        }
    }

    /// What its signatures are told by.
    fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(&self.name)
            .chain_update(b"\n")
            .chain_update(&self.key)
            .finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("it has not three parts with `+` between them");
        };
        if name.is_empty() || name.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err("its name is empty, or has a blank or a control character");
        }
        let id = HEXLOWER.decode(id.as_bytes());
        let id = id.map_err(|_| "its id is not 8 digits of hexadecimal, in small letters")?;
        let key = BASE64.decode(key.as_bytes());
        let key = key.map_err(|_| "its key is not in base64")?;
        let cosigner = Self {
            name: name.to_owned(),
            key,
        };
        if cosigner.key.len() < 2 {
            return Err("its key is too short");
        }
        if id != cosigner.id() {
            return Err("its id is not that of its name and key; is it complete?");
        }
        Ok(cosigner)
    }

    fn is_new_enough(&self) -> bool {
        self.key[0] == COSIGNATURE_V1 && self.key.len() == 1 + ED25519_BYTES
    }
}

impl FromStr for Cosigner {
    type Err = BadCosigner;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).map_err(|why| BadCosigner {
            text: text.escape_debug().to_string(),
            why,
        })
    }
}

impl fmt::Display for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, key) = (HEXLOWER.encode(&self.id()), BASE64.encode(&self.key));
        write!(f, "{}+{id}+{key}", self.name)
    }
}

/// How many of so many witnesses are enough by themselves: as many as hold two
/// histories apart while a third of them, rounded down, are bad.
#[must_use]
pub fn enough_of(witnesses: usize) -> u32 {
    let bad = witnesses.saturating_sub(1) / 3;
    ((witnesses + bad) / 2 + 1).min(witnesses) as u32
}

/// What every reader of witnesses must be able to rely on.
pub(super) fn check(witnesses: &Witnesses) -> Result<(), String> {
    let Witnesses { keys, threshold } = witnesses;
    if keys.is_empty() || keys.len() > MAX_WITNESSES {
        let count = keys.len();
        return Err(format!(
            "{count} are named, and 1 to {MAX_WITNESSES} are allowed"
        ));
    }
    let bytes: usize = keys.iter().map(|key| key.to_string().len()).sum();
    if bytes > MAX_WITNESSES_BYTES {
        return Err(format!(
            "their keys have {bytes} bytes, more than the {MAX_WITNESSES_BYTES} allowed"
        ));
    }
    if *threshold == 0 || *threshold as usize > keys.len() {
        let count = keys.len();
        return Err(format!("{threshold} of {count} cannot be enough"));
    }
    for (place, key) in keys.iter().enumerate() {
        // One key is one witness, whatever it calls itself.
        if keys[..place].iter().any(|other| other.key == key.key) {
            return Err(format!("the key of `{}` is named twice", key.name));
        }
    }
    Ok(())
}

/// What is asked of new ones beside that.
pub(super) fn check_new(witnesses: &Witnesses) -> Result<(), String> {
    let foreign = |key: &&Cosigner| !key.is_new_enough() || key.name.contains(char::is_whitespace);
    match witnesses.keys.iter().find(foreign) {
        Some(key) => Err(format!(
            "`{key}` is not the key of a witness that cosigns with Ed25519 (of type 4, with 32 bytes)"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosigner() -> Cosigner {
        Cosigner::of_ed25519("witness.example/w1", &[9; ED25519_BYTES])
    }

    #[test]
    fn a_key_comes_back_from_its_text() {
        let text = cosigner().to_string();
        assert_eq!(text.parse(), Ok(cosigner()));
        assert!(cosigner().is_new_enough());
    }

    #[test]
    fn a_text_that_is_no_key_says_why() {
        let text = cosigner().to_string();
        let id = &text["witness.example/w1+".len()..][..8];
        for (wrong, why) in [
            ("w1".to_owned(), "three parts"),
            (text.replace("/w1", "/w2"), "its id is not that"),
            (text.replace(id, &id.to_uppercase()), "small letters"),
            (text.replace(id, "0000"), "its id is not that"),
            (text[..text.len() - 1].to_owned(), "base64"),
            (text.replace("witness.example/w1", ""), "its name is empty"),
            (
                text.replace("/w1", " w1"),
                "its name is empty, or has a blank",
            ),
        ] {
            let error = wrong.parse::<Cosigner>().unwrap_err().to_string();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    #[test]
    fn enough_are_as_many_as_bear_a_third_of_bad_ones() {
        let counts = [0, 1, 2, 3, 4, 5, 7, 10, 16];
        assert_eq!(counts.map(enough_of), [0, 1, 2, 2, 3, 4, 5, 7, 11]);
    }
}
