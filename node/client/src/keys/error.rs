//! Why there is no key, or no token.

use std::path::PathBuf;

use super::TOKEN_BYTES;
use super::token::MIN_CHARACTERS;
use crate::data_dir::FileError;

/// Why a key or a token cannot be read, or made.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Its file cannot be read.
    #[error(transparent)]
    Unreadable(FileError),
    /// Its file cannot be written.
    #[error(transparent)]
    Unwritable(#[from] FileError),
    /// There is a file already.
    #[error("{} exists; it is not overwritten", .0.display())]
    Exists(PathBuf),
    /// The file of the key holds something else, or only a part of one.
    #[error(
        "{} is damaged: it has {size} bytes and is no ed25519 key of 68; restore it from a backup \
         (with another key this node would be another publisher)",
        .path.display()
    )]
    DamagedKey {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        size: usize,
    },
    /// What has the form of a key is none.
    #[error(
        "{} ({size} bytes) is not a libp2p private key; restore it from a backup: {cause}",
        .path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        size: usize,
        /// What is wrong with them.
        cause: String,
    },
    /// A new key cannot be made, or written as bytes.
    #[error("cannot make a key: {0}")]
    NotMade(String),
    /// Only a part of a token is left, as a full disk leaves it.
    #[error(
        "{} was cut short: it has {digits} of {} digits of an API token; start the node anew, and it \
         writes another one",
        .path.display(),
        2 * TOKEN_BYTES
    )]
    CutToken {
        /// The file.
        path: PathBuf,
        /// Digits that are left.
        digits: usize,
    },
    /// The file of the token holds something else.
    #[error(
        "{} holds no API token (one line of letters and digits); remove it, and the next \
         `headwater run` writes a new one",
        .0.display()
    )]
    NoToken(PathBuf),
    /// A token that can be guessed.
    #[error(
        "{} holds an API token of {characters} characters, which can be guessed; write one of at \
         least {MIN_CHARACTERS}, or remove it, and the next `headwater run` writes a new one",
        .path.display()
    )]
    ShortToken {
        /// The file.
        path: PathBuf,
        /// Its characters.
        characters: usize,
    },
    /// The system has no random bytes.
    #[error("the system has no random bytes: {0}")]
    NoRandomBytes(String),
}
