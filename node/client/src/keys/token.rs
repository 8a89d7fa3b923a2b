//! The token of the local API: what a caller must know.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use data_encoding::HEXLOWER;

use super::{SecretError, TOKEN_BYTES, random_bytes, refuse_existing, warn_if_others_can_read};
use crate::data_dir::{Access, FileError, write_whole};

/// Characters of a token that a user has written: below it, it can be guessed.
pub(super) const MIN_CHARACTERS: usize = 16;

/// What a caller of the local API must know. It is not shown in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token that came from somewhere.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Makes a token and writes it down.
    ///
    /// # Errors
    /// The file exists or cannot be written, or the system has no random bytes.
    pub fn create(path: &Path) -> Result<Self, SecretError> {
        refuse_existing(path)?;
        Self::write_new(path)
    }

    fn write_new(path: &Path) -> Result<Self, SecretError> {
        let token = HEXLOWER.encode(&random_bytes()?);
        write_whole(path, format!("{token}\n").as_bytes(), Access::Owner)?;
        Ok(Self(token))
    }

    /// Reads a token.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token, or only a part of one.
    pub fn load(path: &Path) -> Result<Self, SecretError> {
        match Stored::read(path)? {
            Stored::Whole(token) => Ok(token),
            Stored::Cut(digits) => {
                let path = path.to_owned();
                Err(SecretError::CutToken { path, digits })
            }
        }
    }

    /// Reads a token, or makes one where there is none, or where only a part of one
    /// is left: what was cut off is nowhere else, so that whoever was given the
    /// whole of it is shut out in any case.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else, or there is none and it
    /// cannot be written.
    pub fn load_or_create(path: &Path) -> Result<Self, SecretError> {
        let digits = match Stored::read(path) {
            Ok(Stored::Whole(token)) => return Ok(token),
            Ok(Stored::Cut(digits)) => digits,
            Err(error) if is_absent(&error) => return Self::create(path),
            Err(error) => return Err(error),
        };
        let was = format!(
            "{} was cut short ({digits} of {} digits of an API token were left)",
            path.display(),
            2 * TOKEN_BYTES
        );
        match Self::write_new(path) {
            Ok(token) => {
                tracing::warn!(
                    "{was}; a new token is written, and programs that have the old one need the \
                     new one"
                );
                Ok(token)
            }
            // Reading goes on without it.
            Err(error) => {
                tracing::warn!("{was}, and nobody can write here before it is replaced: {error}");
                Ok(Self(HEXLOWER.encode(&random_bytes()?)))
            }
        }
    }

    /// The secret itself.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What a token's file holds.
enum Stored {
    Whole(Token),
    /// The first digits of one that was written here, and how many: a disk that
    /// was full, or lost power, leaves that, also with zeros behind, and never the
    /// end of the line.
    Cut(usize),
}

impl Stored {
    fn read(path: &Path) -> Result<Self, SecretError> {
        let unreadable = |cause| FileError::new("cannot read the API token", path, cause);
        let bytes = fs::read(path).map_err(|cause| SecretError::Unreadable(unreadable(cause)))?;
        let written = bytes.iter().rposition(|&byte| byte != 0);
        let left = &bytes[..written.map_or(0, |last| last + 1)];
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if left.iter().all(is_digit) && left.len() < 2 * TOKEN_BYTES {
            return Ok(Self::Cut(left.len()));
        }
        let text = String::from_utf8_lossy(left);
        let token = text.trim();
        let visible = |byte: u8| byte.is_ascii_graphic();
        if !token.bytes().all(visible) {
            return Err(SecretError::NoToken(path.to_owned()));
        }
        if token.len() < MIN_CHARACTERS {
            let (path, characters) = (path.to_owned(), token.len());
            return Err(SecretError::ShortToken { path, characters });
        }
        warn_if_others_can_read(path);
        Ok(Self::Whole(Token(token.to_owned())))
    }
}

fn is_absent(error: &SecretError) -> bool {
    match error {
        SecretError::Unreadable(error) => error.cause.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let created = Token::load_or_create(&path).unwrap();
        assert_eq!(created.secret().len(), 2 * TOKEN_BYTES);
        assert_eq!(Token::load(&path).unwrap(), created);
        assert_eq!(Token::load_or_create(&path).unwrap(), created);
        assert!(Token::create(&path).is_err());
        assert_eq!(format!("{created:?}"), "Token(…)");
    }

    #[test]
    fn what_is_left_of_a_token_is_none_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let before = Token::create(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..2 * TOKEN_BYTES {
            for zeros in [0, whole.len() - length] {
                let mut left = whole[..length].to_vec();
                left.resize(length + zeros, 0);
                fs::write(&path, left).unwrap();
                let error = Token::load(&path).unwrap_err().to_string();
                assert!(error.contains(&format!("it has {length} of 64")), "{error}");
                let token = Token::load_or_create(&path).unwrap();
                assert_ne!(token, before);
                assert_eq!(Token::load(&path).unwrap(), token);
            }
        }
        // Without its end of line it is whole.
        fs::write(&path, &whole[..2 * TOKEN_BYTES]).unwrap();
        assert_eq!(Token::load_or_create(&path).unwrap(), before);
    }

    #[test]
    fn what_a_user_has_written_is_taken_or_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "correct-horse-battery\n").unwrap();
        let token = Token::load_or_create(&path).unwrap();
        assert_eq!(token.secret(), "correct-horse-battery");
        // Digits like those that are written here, but on a whole line.
        fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        let token = Token::load_or_create(&path).unwrap();
        assert_eq!(token.secret(), "0123456789abcdef0123456789abcdef");
        for (text, word) in [
            ("secret", "can be guessed"),
            ("to\r\nken", "holds no API token"),
            ("\u{fffd}", "holds no API token"),
        ] {
            fs::write(&path, text).unwrap();
            for read in [Token::load(&path), Token::load_or_create(&path)] {
                let error = read.unwrap_err().to_string();
                assert!(error.contains(word), "{error}");
            }
            assert_eq!(fs::read(&path).unwrap(), text.as_bytes());
        }
    }
}
