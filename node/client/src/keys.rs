//! The secrets that every node has: its key and the token of its API, each in a
//! file that its owner alone may read.

mod error;
mod token;

use std::fs;
use std::path::Path;

use libp2p_identity::Keypair;

use crate::data_dir::{Access, FileError, write_whole};

pub use error::SecretError;
pub use token::Token;

/// Bytes of an API token: as hard to guess as the key itself.
const TOKEN_BYTES: usize = 32;

/// Makes a key pair (ed25519) and writes it down.
///
/// # Errors
/// The file exists or cannot be written, or the system has no random bytes.
pub fn create_key(path: &Path) -> Result<Keypair, SecretError> {
    refuse_existing(path)?;
    let mut secret = random_bytes()?;
    let not_made = |cause: &dyn std::error::Error| SecretError::NotMade(cause.to_string());
    let keypair = Keypair::ed25519_from_bytes(&mut secret).map_err(|cause| not_made(&cause))?;
    let bytes = keypair.to_protobuf_encoding();
    let bytes = bytes.map_err(|cause| not_made(&cause))?;
    write_whole(path, &bytes, Access::Owner)?;
    Ok(keypair)
}

/// Reads a key pair.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub fn load_key(path: &Path) -> Result<Keypair, SecretError> {
    let unreadable = |cause| FileError::new("cannot read the key", path, cause);
    let bytes = fs::read(path).map_err(|cause| SecretError::Unreadable(unreadable(cause)))?;
    warn_if_others_can_read(path);
    let (path, size) = (path.to_owned(), bytes.len());
    // Protobuf: the type ed25519, then 64 bytes, secret and public.
    if size != 68 || !bytes.starts_with(&[0x08, 0x01, 0x12, 0x40]) {
        return Err(SecretError::DamagedKey { path, size });
    }
    Keypair::from_protobuf_encoding(&bytes).map_err(|cause| {
        let cause = cause.to_string();
        SecretError::NoKey { path, size, cause }
    })
}

/// Bytes that nobody can guess.
///
/// # Errors
/// The system has none.
pub fn random_bytes() -> Result<[u8; TOKEN_BYTES], SecretError> {
    let mut bytes = [0; TOKEN_BYTES];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|cause| SecretError::NoRandomBytes(cause.to_string()))?;
    Ok(bytes)
}

/// Refuses to write a secret over another one.
///
/// # Errors
/// There is a file already.
pub fn refuse_existing(path: &Path) -> Result<(), SecretError> {
    match path.exists() {
        true => Err(SecretError::Exists(path.to_owned())),
        false => Ok(()),
    }
}

/// Says in the log that a secret is not for its owner alone.
#[cfg(unix)]
pub fn warn_if_others_can_read(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let others = |mode: u32| mode & 0o077 != 0;
    if fs::metadata(path).is_ok_and(|file| others(file.permissions().mode())) {
        let path = path.display();
        tracing::warn!("{path} is a secret, but others may read it; run: chmod 600 {path}");
    }
}

/// Who may read a file is not known here.
#[cfg(not(unix))]
pub fn warn_if_others_can_read(_path: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let created = create_key(&path).unwrap();
        assert_eq!(load_key(&path).unwrap().public(), created.public());

        let error = create_key(&path).unwrap_err().to_string();
        assert!(error.contains("is not overwritten"), "{error}");
        assert_eq!(load_key(&path).unwrap().public(), created.public());
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (key, token) = (folder.path().join("key"), folder.path().join("token"));
        create_key(&key).unwrap();
        Token::create(&token).unwrap();
        for path in [key, token] {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_holds_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        let error = load_key(&path).unwrap_err().to_string();
        assert!(error.contains("is damaged: it has 0 bytes"), "{error}");
    }
}
