//! The key that a publisher keeps in a drawer, for the day on which the key of
//! its node is lost or stolen: it signs which head of a stream is the last. With
//! it goes a key for readers of private streams, so that what only the node could
//! read is not lost with the node.

mod form;
mod sealing;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use headwater_client::data_dir::Access;
use headwater_client::keys::{random_bytes, refuse_existing, warn_if_others_can_read};
use headwater_protocols::identity::{ED25519, SigningKey};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroizing;

pub use self::form::{FormError, PublicHalf, Suite, recovery_hash};
use self::form::{SecretFile, parse_public};
use self::sealing::Sealing;
pub use self::sealing::{Passphrase, PassphraseError};
use super::limits::MAX_RECOVERY_FILE_BYTES;
use crate::failure::usage;

/// Bytes of either secret.
const SECRET_BYTES: usize = 32;

/// What stands in the file for whoever finds it.
const REMARKS: &str = "\
# Secret, and stronger than the key of the node: whoever has it can end the
# streams that name it, and disown all that was published. Keep two copies of it
# in two places, on no machine that is in use; paper will do.
";

/// A recovery key. Its secrets are wiped when it is dropped, and never shown.
pub struct RecoveryKey {
    public: PublicHalf,
    signing: Zeroizing<[u8; SECRET_BYTES]>,
    reader: Zeroizing<Vec<u8>>,
}

/// What is known of a file without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What everybody may know.
    pub public: PublicHalf,
    /// Whether it is the secret file.
    pub is_secret: bool,
    /// Whether its secret needs a passphrase.
    pub has_passphrase: bool,
}

impl RecoveryKey {
    /// From two secrets.
    fn of(signing: [u8; SECRET_BYTES], reader: [u8; SECRET_BYTES]) -> Self {
        let (signing, reader) = (Zeroizing::new(signing), Zeroizing::new(reader));
        let public = PublicHalf {
            signature_type: ED25519,
            signing_key: signing_key(&signing).public().to_bytes().to_vec(),
            suite: Suite::X25519,
            reader_key: x25519(*reader, X25519_BASEPOINT_BYTES).to_vec(),
        };
        let reader = Zeroizing::new(reader.to_vec());
        Self {
            public,
            signing,
            reader,
        }
    }

    /// Makes a key and writes it down: its secret half at `path`, for its owner
    /// alone to read, and its public half beside it, with `.pub` behind the name.
    /// Neither ever stands there half, and nothing is overwritten.
    ///
    /// # Errors
    /// One of the files exists or cannot be written, or the system has no random
    /// bytes or too little memory.
    pub fn create(path: &Path, passphrase: Option<&Passphrase>) -> anyhow::Result<Self> {
        let public_path = public_path(path);
        refuse_existing(path)?;
        refuse_existing(&public_path)?;
        let key = Self::of(random_bytes()?, random_bytes()?);
        let mut salt = [0; 16];
        salt.copy_from_slice(&random_bytes()?[..16]);
        let sealed_by = passphrase.map(|passphrase| (passphrase, Sealing::new(salt)));
        let text = key
            .to_text(sealed_by)
            .context("there is too little memory for the passphrase")?;
        // With the public half alone streams could be created that nobody can
        // ever end.
        put_new(path, text.as_bytes(), Access::Owner)?;
        let written = put_new(&public_path, key.public.to_text().as_bytes(), Access::All);
        if written.is_err() {
            // What went wrong before is what the user must hear of.
            let _ = std::fs::remove_file(path);
        }
        written?;
        // It will be needed on a bad day, years from now.
        let opens = Self::reopened(path, passphrase)
            .is_ok_and(|read| read.public == key.public && *read.signing == *key.signing);
        let names = read(&public_path).is_ok_and(|text| *text == key.public.to_text());
        if !opens || !names {
            let files = [path, &public_path];
            let removed = files.map(|file| std::fs::remove_file(file).is_ok());
            let shown = path.display();
            bail!(
                "what was written to {shown} cannot be read back as it was, and {}; write it to another disk",
                match removed {
                    [true, true] => "was removed",
                    _ => "must not be used",
                }
            );
        }
        Ok(key)
    }

    /// Reads a file that was just written.
    fn reopened(path: &Path, passphrase: Option<&Passphrase>) -> anyhow::Result<Self> {
        Self::opened(SecretFile::parse(&read(path)?)?, passphrase)
    }

    fn to_text(&self, sealed_by: Option<(&Passphrase, Sealing)>) -> Option<Zeroizing<String>> {
        let mut secret = Zeroizing::new(Vec::with_capacity(2 * SECRET_BYTES));
        secret.extend_from_slice(&*self.signing);
        secret.extend_from_slice(&self.reader);
        let sealing = match sealed_by {
            None => None,
            Some((passphrase, sealing)) => {
                let head = SecretFile::head(&self.public, Some(&sealing));
                secret = sealing.seal(passphrase, &head, &secret)?;
                Some(sealing)
            }
        };
        let file = SecretFile {
            public: self.public.clone(),
            sealing,
            secret,
        };
        let lines = file.to_text();
        let (first, rest) = lines.split_once('\n')?;
        let mut text = Zeroizing::new(String::with_capacity(lines.len() + REMARKS.len()));
        for part in [first, "\n", REMARKS, rest] {
            text.push_str(part);
        }
        Some(text)
    }

    /// Reads a secret file. `ask` is called for the passphrase if it has one.
    ///
    /// # Errors
    /// The file cannot be read or is no such key, or the passphrase is another.
    pub fn load(
        path: &Path,
        ask: impl FnOnce() -> anyhow::Result<Passphrase>,
    ) -> anyhow::Result<Self> {
        let text = read(path)?;
        let shown = path.display();
        let file = SecretFile::parse(&text)
            .with_context(|| format!("{shown} cannot be used as a recovery key"))
            .map_err(usage)?;
        // The public half is no secret.
        warn_if_others_can_read(path);
        let passphrase = file.sealing.as_ref().map(|_| ask()).transpose()?;
        Self::opened(file, passphrase.as_ref())
            .with_context(|| format!("cannot open the recovery key {shown}"))
            .map_err(usage)
    }

    fn opened(file: SecretFile, passphrase: Option<&Passphrase>) -> anyhow::Result<Self> {
        let secret = match (&file.sealing, passphrase) {
            (None, _) => file.secret,
            (Some(sealing), Some(passphrase)) => {
                let head = SecretFile::head(&file.public, Some(sealing));
                (sealing.open(passphrase, &head, &file.secret))
                    .context("it has another passphrase")?
            }
            (Some(_), None) => bail!("it has a passphrase"),
        };
        let public = file.public;
        if public.signature_type != ED25519 {
            return Err(FormError::Signature(public.signature_type).into());
        }
        // The length of a reader's secret is a matter of its kind.
        let (signing, reader) =
            (secret.split_first_chunk::<SECRET_BYTES>()).context("its secret is too short")?;
        let key = Self {
            public,
            signing: Zeroizing::new(*signing),
            reader: Zeroizing::new(reader.to_vec()),
        };
        let signs = key.signing_key().public().to_bytes();
        ensure!(
            signs[..] == key.public.signing_key[..],
            "its secret is not that of its signing key"
        );
        if key.public.suite.kem == Suite::X25519.kem {
            let secret: Option<[u8; SECRET_BYTES]> = key.reader[..].try_into().ok();
            let reads = secret.map(|secret| x25519(secret, X25519_BASEPOINT_BYTES));
            ensure!(
                reads.is_some_and(|reads| reads[..] == key.public.reader_key[..]),
                "its secret is not that of its reader key"
            );
        }
        Ok(key)
    }

    /// What everybody may know of it.
    #[must_use]
    pub fn public(&self) -> &PublicHalf {
        &self.public
    }

    /// The key that signs.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        signing_key(&self.signing)
    }
}

impl std::fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RecoveryKey").field(&self.public).finish()
    }
}

/// Says what a file is, without its secret.
///
/// # Errors
/// It cannot be read, or is no recovery key.
pub fn show(path: &Path) -> anyhow::Result<Shown> {
    let text = read(path)?;
    let (public, passphrase) = parse_public(&text)
        .with_context(|| format!("{} cannot be read", path.display()))
        .map_err(usage)?;
    Ok(Shown {
        public,
        is_secret: passphrase.is_some(),
        has_passphrase: passphrase == Some(true),
    })
}

/// What a manifest has of the key that `text` names: the file of its public half,
/// or the hash itself in 64 hex digits.
///
/// # Errors
/// It is neither.
pub fn hash_named(text: &str) -> anyhow::Result<[u8; 32]> {
    if let Ok(hash) = recovery_hash(text) {
        return Ok(hash);
    }
    let file = read(Path::new(text))
        .with_context(|| format!("`{text}` is neither a file nor the hash of a key, 64 hex digits"))
        .map_err(usage)?;
    recovery_hash(&file)
        .with_context(|| format!("{text} names no recovery key"))
        .map_err(usage)
}

/// Where the public half of a key stands.
#[must_use]
pub fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn signing_key(secret: &[u8; SECRET_BYTES]) -> SigningKey {
    // It is wiped there.
    let mut secret = *secret;
    SigningKey::from_secret(&mut secret)
}

fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let shown = path.display();
    let opened = File::open(path).with_context(|| format!("cannot open {shown}"));
    let file = opened.map_err(usage)?;
    let mut text = Zeroizing::new(String::with_capacity(MAX_RECOVERY_FILE_BYTES + 1));
    let limit = MAX_RECOVERY_FILE_BYTES as u64 + 1;
    match file.take(limit).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            let other = anyhow::Error::new(FormError::Other);
            Err(usage(other.context(format!("{shown} cannot be read"))))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {shown}")),
    }
}

/// Writes a new file: whole, durable, and never over another.
fn put_new(path: &Path, bytes: &[u8], access: Access) -> anyhow::Result<()> {
    let put = || -> std::io::Result<()> {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".headwater-key-");
        // One that its owner alone may read, unless it is said otherwise. Said as
        // the file is made: a stick with FAT lets nobody change it afterwards.
        #[cfg(unix)]
        if access == Access::All {
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        if synced.is_err() {
            // What went wrong before is what the user must hear of.
            let _ = std::fs::remove_file(path);
        }
        synced
    };
    put().with_context(|| format!("cannot write {}", path.display()))
}
