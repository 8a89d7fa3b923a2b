//! The key of a private network, in the form that other libp2p programs read
//! too (swarm.key): 32 bytes that all its nodes share.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use headwater_client::data_dir::{Access, write_whole};
use headwater_client::keys::{random_bytes, refuse_existing};
use sha2::{Digest, Sha256};

use crate::failure::usage;

/// The first line of the file: what it is.
const KIND: &str = "/key/swarm/psk/1.0.0/";

/// The second line: how the key is written. Other ways exist, nobody uses them.
const ENCODING: &str = "/base16/";

/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// A key file has about 100 bytes; whatever is longer is something else.
const MAX_FILE_BYTES: u64 = 1_024;

/// Hashed before the key, so that the fingerprint says nothing about anything
/// else that is made of it.
const FINGERPRINT_DOMAIN: &[u8] = b"headwater/1/private-network/fingerprint\0";

/// What the nodes of a private network share. It is not shown in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkKey([u8; KEY_BYTES]);

impl NetworkKey {
    /// A key that came from somewhere.
    #[must_use]
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Makes a key and writes it down, for its owner alone to read.
    ///
    /// # Errors
    /// The file exists or cannot be written, or the system has no random bytes.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        refuse_existing(path)?;
        let key = Self(random_bytes()?);
        write_whole(path, key.file_text().as_bytes(), Access::Owner)?;
        Ok(key)
    }

    /// Reads a key. As ssh does with private keys, a file that others may read
    /// is refused: whoever has read it is in the network.
    ///
    /// # Errors
    /// The file cannot be read, others may read it, or it holds something else.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        Self::read(path).map_err(usage)
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let mut file = File::open(path).with_context(|| {
            format!(
                "cannot read the network key {shown}; copy it from another node of the network, \
                 or make a new one with `headwater network new {shown}`"
            )
        })?;
        refuse_readable_by_others(&file, path)?;
        let mut text = Vec::new();
        (&mut file)
            .take(MAX_FILE_BYTES)
            .read_to_end(&mut text)
            .with_context(|| format!("cannot read the network key {shown}"))?;
        Self::parse(&text).with_context(|| {
            format!(
                "{shown} is not a network key (three lines: {KIND}, {ENCODING}, 64 hex digits); \
                 copy it anew from another node of the network"
            )
        })
    }

    fn parse(text: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(text)
            .ok()
            .context("it is not a text file")?;
        let mut lines = text.trim_end().lines().map(str::trim_end);
        let kind = lines.next().unwrap_or_default();
        ensure!(kind == KIND, "its first line is not {KIND}");
        let encoding = lines.next().unwrap_or_default();
        ensure!(encoding == ENCODING, "its second line is not {ENCODING}");
        let digits = lines.next().unwrap_or_default();
        ensure!(
            lines.next().is_none(),
            "something stands after the third line"
        );
        ensure!(
            digits.chars().all(|digit| digit.is_ascii_hexdigit()),
            "its third line has other characters than hex digits"
        );
        let length = digits.len();
        match HEXLOWER_PERMISSIVE.decode(digits.as_bytes()) {
            Ok(bytes) => match bytes.try_into() {
                Ok(bytes) => Ok(Self(bytes)),
                Err(_) => bail!("its third line has {length} hex digits instead of 64"),
            },
            Err(_) => bail!("its third line has {length} hex digits instead of 64"),
        }
    }

    /// The file that holds it.
    fn file_text(&self) -> String {
        format!("{KIND}\n{ENCODING}\n{}\n", HEXLOWER.encode(&self.0))
    }

    /// The secret itself.
    pub(crate) fn secret(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Eight hex digits by which people compare keys without showing them: the
    /// beginning of a hash of the key.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = Sha256::new()
            .chain_update(FINGERPRINT_DOMAIN)
            .chain_update(self.0)
            .finalize();
        HEXLOWER.encode(&hash[..4])
    }
}

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkKey({}…)", self.fingerprint())
    }
}

#[cfg(unix)]
fn refuse_readable_by_others(file: &File, path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file
        .metadata()
        .with_context(|| format!("cannot read the network key {}", path.display()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        bail!(
            "the network key {path} is a secret, but others may read or change it (mode \
             {mode:04o}); run: chmod 600 {path}"
        );
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_readable_by_others(_file: &File, _path: &Path) -> anyhow::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn written(text: impl AsRef<[u8]>) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("swarm.key");
        write_whole(&path, text.as_ref(), Access::Owner).unwrap();
        (folder, path)
    }

    fn refused(text: impl AsRef<[u8]>) -> String {
        let (_folder, path) = written(text);
        let error = format!("{:#}", NetworkKey::load(&path).unwrap_err());
        assert!(error.contains("swarm.key is not a network key"), "{error}");
        error
    }

    #[test]
    fn a_key_is_read_as_it_was_written_and_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("swarm.key");
        let created = NetworkKey::create(&path).unwrap();
        assert_eq!(NetworkKey::load(&path).unwrap(), created);
        let text = fs::read_to_string(&path).unwrap();
        let error = NetworkKey::create(&path).unwrap_err().to_string();
        assert!(error.contains("is not overwritten"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        // Other programs read the same file in the same way.
        let theirs: libp2p::pnet::PreSharedKey = text.parse().unwrap();
        assert_eq!(theirs, libp2p::pnet::PreSharedKey::new(*created.secret()));
        assert_eq!(theirs.to_key_file(), text);
    }

    #[test]
    fn a_key_of_another_program_is_read() {
        let digits = "6189C5CF0B87FB800C1A9FEEDA73C6AB5E998DB48FB9E6A978575C770CEEF683";
        for text in [
            format!("/key/swarm/psk/1.0.0/\n/base16/\n{digits}"),
            format!("/key/swarm/psk/1.0.0/\r\n/base16/\r\n{digits}\r\n\r\n"),
        ] {
            let (_folder, path) = written(text);
            let key = NetworkKey::load(&path).unwrap();
            assert_eq!(HEXLOWER.encode(key.secret()), digits.to_lowercase());
        }
    }

    #[test]
    fn a_file_that_holds_something_else_is_refused_with_what_is_wrong() {
        let head = "/key/swarm/psk/1.0.0/\n/base16/\n";
        assert!(refused("").contains("first line"));
        assert!(refused("deadbeef").contains("first line"));
        assert!(refused("/key/swarm/psk/1.0.0/\n/bin/\nx").contains("second line"));
        assert!(refused(head).contains("0 hex digits"));
        assert!(refused(format!("{head}{}", "a".repeat(63))).contains("63 hex digits"));
        assert!(refused(format!("{head}{}", "a".repeat(66))).contains("66 hex digits"));
        assert!(refused(format!("{head}{}", "g".repeat(64))).contains("other characters"));
        assert!(refused(format!("{head}{}", "ä".repeat(32))).contains("other characters"));
        assert!(refused(format!("{head}{}\nx", "a".repeat(64))).contains("after the third"));
        assert!(refused([0xff, 0xfe]).contains("not a text file"));
        assert!(refused(vec![b'a'; 1 << 20]).contains("first line"));
    }

    #[test]
    fn a_missing_file_is_named_with_the_command_that_makes_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = NetworkKey::load(&folder.path().join("none")).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("headwater network new"), "{error}");
        assert!(error.contains("No such file"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("swarm.key");
        NetworkKey::create(&path).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = NetworkKey::load(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        NetworkKey::load(&path).unwrap();
    }

    #[test]
    fn the_fingerprint_tells_keys_apart_and_the_key_is_not_shown() {
        let (one, other) = (NetworkKey::new([1; 32]), NetworkKey::new([2; 32]));
        assert_eq!(one.fingerprint().len(), 8);
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert!(!format!("{one:?}").contains("0101"));
    }
}
