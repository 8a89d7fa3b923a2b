//! The data folder: what lies where in it, and which process may use it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The folder that holds a node's identity and all of its streams.
///
/// ```text
/// key          secret key, libp2p's protobuf encoding, mode 0600
/// token        token of the local API, 64 hex digits, mode 0600
/// tokens       hashes of the tokens of programs, JSON, mode 0600
/// config.toml  options of the node
/// aliases      what the user calls streams of others, JSON
/// store/       streams
/// lock         held by the process that has the store open; its process id
/// wanted       while another process waits for the lock
/// api.addr     while a node runs: where its API listens, `ip:port`
/// node.addrs   while a node runs: its multiaddrs, one a line
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir {
    path: PathBuf,
    /// Where the mark lies, if that was said.
    mark_dir: Option<PathBuf>,
}

/// The right to open the store. It ends when this is dropped, or when the
/// process ends, however that comes about.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the store may not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it open.
    #[error("data folder {} is in use by {holder}", .path.display())]
    Held {
        /// The data folder.
        path: PathBuf,
        /// The process, as far as it is known.
        holder: String,
    },
    /// The lock's file cannot be used.
    #[error(transparent)]
    Io(FileError),
}

/// A file, or a folder, with which something cannot be done.
#[derive(Debug, thiserror::Error)]
#[error("{what} {}: {cause}", .path.display())]
pub struct FileError {
    /// What cannot be done, such as `cannot write`.
    pub what: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    pub cause: io::Error,
}

impl FileError {
    pub(crate) fn new(what: &'static str, path: &Path, cause: io::Error) -> Self {
        let path = path.to_owned();
        Self { what, path, cause }
    }
}

/// The user has no home folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no home folder is known; name a data folder with --data-dir")]
pub struct NoHome;

/// Why there is no folder for the mark.
#[derive(Debug, thiserror::Error)]
pub enum MarkDirError {
    /// It would lie in the data folder.
    #[error(
        "mark_dir: {} lies in the data folder, whose backup would take it along; name another folder",
        .0.display()
    )]
    InDataDir(PathBuf),
    /// Where this process runs is not known.
    #[error(transparent)]
    Nowhere(#[from] io::Error),
}

impl DataDir {
    /// A data folder at this place.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            mark_dir: None,
        }
    }

    /// The folder that is used when none is named: `headwater` in the user's
    /// folder for application data (XDG).
    ///
    /// # Errors
    /// The user has no home folder.
    pub fn of_user() -> Result<Self, NoHome> {
        let dirs = directories::ProjectDirs::from("", "", "headwater");
        Ok(Self::new(dirs.ok_or(NoHome)?.data_dir()))
    }

    /// With the folder of the mark where a user wants it.
    #[must_use]
    pub fn with_mark_dir(mut self, mark_dir: Option<PathBuf>) -> Self {
        self.mark_dir = mark_dir;
        self
    }

    /// The folder in which the mark lies: what was signed, noted where no backup
    /// of the data folder takes it along. As it was said, or else as the config
    /// has it, or else in the user's folder for states (XDG); `None` where there
    /// is no such folder.
    ///
    /// # Errors
    /// It would lie in the data folder.
    pub fn mark_dir(&self, configured: Option<&Path>) -> Result<Option<PathBuf>, MarkDirError> {
        let said = self.mark_dir.as_deref().or(configured);
        let Some(said) = said else {
            let dirs = directories::ProjectDirs::from("", "", "headwater");
            return Ok(dirs.and_then(|dirs| dirs.state_dir().map(Path::to_owned)));
        };
        let said = std::path::absolute(said)?;
        if said.starts_with(std::path::absolute(&self.path)?) {
            return Err(MarkDirError::InDataDir(said));
        }
        Ok(Some(said))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The node's secret key.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.path.join("key")
    }

    /// The token of the local API.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.path.join("token")
    }

    /// The tokens that programs were given.
    #[must_use]
    pub fn tokens_file(&self) -> PathBuf {
        self.path.join("tokens")
    }

    /// What the user calls streams of others.
    #[must_use]
    pub fn aliases_file(&self) -> PathBuf {
        self.path.join("aliases")
    }

    /// The node's options.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The folder of the streams.
    #[must_use]
    pub fn store_dir(&self) -> PathBuf {
        self.path.join("store")
    }

    /// Where the address of a running node's API is written.
    #[must_use]
    pub fn api_addr_file(&self) -> PathBuf {
        self.path.join("api.addr")
    }

    /// Where the multiaddrs of a running node are written.
    #[must_use]
    pub fn node_addrs_file(&self) -> PathBuf {
        self.path.join("node.addrs")
    }

    /// Where the peers are written that the node may look for at its next start.
    #[must_use]
    pub fn peers_file(&self) -> PathBuf {
        self.path.join("peers")
    }

    /// A command on this folder, to be pasted into a shell.
    #[must_use]
    pub fn command(&self, words: &str) -> String {
        match Self::of_user() {
            Ok(own) if own == *self => format!("headwater {words}"),
            _ => format!("headwater --data-dir {} {words}", quoted(&self.path)),
        }
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Whether it has an identity.
    #[must_use]
    pub fn is_initialised(&self) -> bool {
        self.key_file().exists()
    }

    /// Creates the folder, readable by its owner alone. One that is there stays
    /// as it is.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create(&self) -> Result<(), FileError> {
        if self.path.is_dir() {
            return Ok(());
        }
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&self.path)
            .map_err(|cause| FileError::new("cannot create the data folder", &self.path, cause))
    }

    /// Claims the store for this process.
    ///
    /// # Errors
    /// Another process has it, or the folder is not writable.
    pub fn lock(&self) -> Result<Lock, LockError> {
        let path = self.lock_file();
        let failed = |cause| LockError::Io(FileError::new("cannot lock", &path, cause));
        // Not truncated before it is ours: it names the process that has it.
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let (mut file, is_written) = match opened {
            Ok(file) => (file, true),
            // What cannot be written can be read, and be locked, all the same.
            Err(error) if is_for_lack_of_writing(&error) => {
                let file = File::open(&path).or_else(|_| File::open(&self.path));
                (file.map_err(failed)?, false)
            }
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
                return Err(LockError::Held {
                    path: self.path.clone(),
                    holder: match known {
                        true => process(pid.trim()),
                        false => "another process".to_owned(),
                    },
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if is_written {
            // Without room for it the lock is as good.
            let named = (file.set_len(0)).and_then(|()| writeln!(file, "{}", std::process::id()));
            match named {
                Err(error) if !is_for_lack_of_writing(&error) => return Err(failed(error)),
                _ => {}
            }
        }
        Ok(Lock { _file: file })
    }

    fn wanted_file(&self) -> PathBuf {
        self.path.join("wanted")
    }

    /// Says to the process that has the lock that another one waits for it.
    pub fn want(&self) {
        if !self.is_wanted() {
            // Where nothing can be written one waits without a word.
            let _ = File::create_new(self.wanted_file());
        }
    }

    /// Whether another process waits for the lock.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted_file().exists()
    }

    /// Takes that back: the lock was got, or nobody waits any more.
    pub fn forget_wanted(&self) {
        let _ = fs::remove_file(self.wanted_file());
    }

    /// The address of the API of the node that runs on this folder, or of one
    /// that was killed.
    #[must_use]
    pub fn api_addr(&self) -> Option<SocketAddr> {
        let text = fs::read_to_string(self.api_addr_file()).ok()?;
        text.trim().parse().ok()
    }

    /// Writes down where the API listens.
    ///
    /// # Errors
    /// The folder is not writable.
    pub fn write_api_addr(&self, address: SocketAddr) -> Result<(), FileError> {
        write_whole(
            &self.api_addr_file(),
            format!("{address}\n").as_bytes(),
            Access::All,
        )
    }

    /// Writes down the node's multiaddrs.
    ///
    /// # Errors
    /// The folder is not writable.
    pub fn write_node_addrs(&self, addresses: &[String]) -> Result<(), FileError> {
        let text: String = addresses.iter().map(|a| format!("{a}\n")).collect();
        write_whole(&self.node_addrs_file(), text.as_bytes(), Access::All)
    }

    /// Removes the addresses of a node that runs no more. Whoever calls this
    /// has the lock, so that they cannot be those of a node that has just
    /// started.
    pub fn forget_addresses(&self, _lock: &Lock) {
        // They may be gone already.
        let _ = fs::remove_file(self.api_addr_file());
        let _ = fs::remove_file(self.node_addrs_file());
    }
}

/// A process by its id, with what it was called with where the system tells.
fn process(pid: &str) -> String {
    let known = pid.parse::<u32>().ok();
    let line = known.and_then(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok());
    let line = line.unwrap_or_default();
    let words: Vec<_> = line
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    match words.as_slice() {
        [] => format!("process {pid}"),
        words => format!("process {pid} (`{}`)", words.join(" ")),
    }
}

/// A path as one word of a shell.
#[must_use]
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Whether a file could be read, but not be written.
fn is_for_lack_of_writing(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(
        error.kind(),
        ReadOnlyFilesystem | StorageFull | QuotaExceeded
    )
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its owner alone (0600).
    Owner,
    /// Whoever the umask lets.
    All,
}

/// Writes a file under another name, makes it durable, then renames it: nobody
/// ever sees a part of it.
///
/// # Errors
/// The folder is not writable, or the disk is full.
pub fn write_whole(path: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
    let write = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}", std::process::id()));
        let temporary = folder.join(name);
        let written = write_durably(&temporary, bytes, access)
            .and_then(|()| fs::rename(&temporary, path))
            .and_then(|()| File::open(folder)?.sync_all());
        if written.is_err() {
            // What went wrong before is what the user must hear of.
            let _ = fs::remove_file(&temporary);
        }
        written
    };
    write().map_err(|cause| FileError::new("cannot write", path, cause))
}

fn write_durably(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    // A leftover of the same name could be readable by others.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if access == Access::Owner {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_that_is_in_use_names_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(folder.path());
        let lock = data_dir.lock().unwrap();
        let error = data_dir.lock().unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(lock);
        data_dir.lock().unwrap();
    }

    #[test]
    fn a_command_to_paste_names_the_folder_as_one_word() {
        let command = |path: &str| DataDir::new(path).command("init");
        assert_eq!(
            command("/srv/node-1"),
            "headwater --data-dir /srv/node-1 init"
        );
        assert_eq!(
            command("/tmp/sp ace ü/zz"),
            "headwater --data-dir '/tmp/sp ace ü/zz' init"
        );
        assert_eq!(command("it's"), r"headwater --data-dir 'it'\''s' init");
        assert_eq!(
            command("$(reboot)"),
            "headwater --data-dir '$(reboot)' init"
        );
        if let Ok(own) = DataDir::of_user() {
            assert_eq!(own.command("run"), "headwater run");
        }
    }

    #[test]
    fn addresses_are_read_as_they_were_written_and_then_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(folder.path());
        assert_eq!(data_dir.api_addr(), None);
        let address = "[::1]:8600".parse().unwrap();
        data_dir.write_api_addr(address).unwrap();
        assert_eq!(data_dir.api_addr(), Some(address));
        data_dir.forget_addresses(&data_dir.lock().unwrap());
        assert_eq!(data_dir.api_addr(), None);
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_else_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write_whole(&file, b"long before", Access::All).unwrap();
        write_whole(&file, b"after", Access::Owner).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"after");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_new_data_folder_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(folder.path().join("a/b"));
        data_dir.create().unwrap();
        let mode = fs::metadata(data_dir.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
