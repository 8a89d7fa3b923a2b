//! Files that a command writes: nobody sees a part of one.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, IsTerminal, Write, stdout};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::output::Output;
use super::terminal::TerminalText;

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 256 * 1024;

/// Names beside a file that may be taken already before no other one is tried.
const MAX_NAMES_TAKEN: u32 = 100;

/// Links that lead to each other, at most; Linux follows as many.
const MAX_LINKS: usize = 40;

/// Where a command's bytes go.
#[derive(Debug)]
pub(crate) enum Target {
    /// To stdout, as they come.
    Stdout,
    /// To a terminal, which gets nothing that it would obey.
    Terminal(TerminalText),
    /// Into a device or a pipe, as they come.
    Special(File, PathBuf),
    /// Into a file of another name, which takes its place when it is whole.
    File(Box<NewFile>),
}

/// A file that is not there before it is whole.
#[derive(Debug)]
pub(crate) struct NewFile {
    out: Option<BufWriter<File>>,
    temporary: PathBuf,
    path: PathBuf,
}

impl Target {
    /// The file at this path; stdout without one, or for `-`.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(match stdout().is_terminal() {
                true => Self::Terminal(TerminalText::default()),
                false => Self::Stdout,
            });
        };
        let cannot = || format!("cannot write {}", path.display());
        require_own_links(path).with_context(cannot)?;
        // A link stays, and what it points to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
            // Replacing /dev/null by a file would be a bad surprise.
            let file = OpenOptions::new()
                .write(true)
                .open(&path)
                .with_context(cannot)?;
            return Ok(Self::Special(file, path));
        }
        NewFile::create(path)
            .map(|file| Self::File(Box::new(file)))
            .with_context(cannot)
    }

    /// The file at a path that nobody has named, beside one that was: a link
    /// there is replaced, wherever it leads.
    ///
    /// # Errors
    /// It cannot be written, or is something else than a file.
    pub(crate) fn beside(path: PathBuf) -> anyhow::Result<Self> {
        let cannot = || format!("cannot write {}", path.display());
        let is_other = |there: &fs::Metadata| !there.is_file() && !there.is_symlink();
        if fs::symlink_metadata(&path).is_ok_and(|there| is_other(&there)) {
            bail!(
                "cannot write {}, which is there and no file",
                path.display()
            );
        }
        NewFile::create(path.clone())
            .map(|file| Self::File(Box::new(file)))
            .with_context(cannot)
    }

    /// Writes some bytes.
    ///
    /// # Errors
    /// The disk is full, or stdout was closed.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Stdout => Output::bytes(bytes),
            Self::Terminal(text) => Output::bytes(text.push(bytes).as_bytes()),
            Self::Special(file, path) => {
                let written = file.write_all(bytes);
                written.with_context(|| format!("cannot write {}", path.display()))
            }
            Self::File(file) => file.write(bytes),
        }
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// The disk is full.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout | Self::Terminal(_) | Self::Special(..) => Ok(()),
            Self::File(file) => file.finish(),
        }
    }
}

impl NewFile {
    fn create(path: PathBuf) -> std::io::Result<Self> {
        let (file, temporary) = create_beside(&path)?;
        Ok(Self {
            out: Some(BufWriter::with_capacity(BUFFER_BYTES, file)),
            temporary,
            path,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = self.out.as_mut().map_or(Ok(()), |out| out.write_all(bytes));
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let close = |out: BufWriter<File>| -> std::io::Result<()> {
            out.into_inner()
                .map_err(std::io::IntoInnerError::into_error)?
                .sync_all()?;
            fs::rename(&self.temporary, &self.path)
        };
        let closed = self.out.take().map_or(Ok(()), close);
        closed.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Follows links as whoever writes would: those that somebody else has put
/// there, in a folder that many may write to, lead to files of his choice.
fn require_own_links(path: &Path) -> anyhow::Result<()> {
    let own = [nix::unistd::geteuid().as_raw(), 0];
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let there = fs::symlink_metadata(&path).ok();
        let Some(link) = there.filter(fs::Metadata::is_symlink) else {
            return Ok(());
        };
        if !own.contains(&link.uid()) {
            bail!(
                "{} is a link that another user has made; remove it, or name the file that is meant",
                path.display()
            );
        }
        let to = fs::read_link(&path)?;
        path = path.parent().unwrap_or(Path::new("")).join(to);
    }
    bail!("it is a link to a link, {MAX_LINKS} times over")
}

/// A file of a name that nothing had, beside another one. What stands there
/// already, be it what a process of the same id has left or a link that somebody
/// planted, is neither followed nor overwritten.
fn create_beside(path: &Path) -> std::io::Result<(File, PathBuf)> {
    let mut turn = 0;
    loop {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}-{turn}.part", std::process::id()));
        let temporary = path.with_file_name(name);
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary);
        match created {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && turn < MAX_NAMES_TAKEN => {
                turn += 1;
            }
            created => return created.map(|file| (file, temporary)),
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Gone already when it has taken its place.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_when_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wind.csv");
        fs::write(&path, "before").unwrap();

        let mut target = Target::open(Some(&path)).unwrap();
        target.write(b"a part").unwrap();
        drop(target);
        assert_eq!(fs::read(&path).unwrap(), b"before");

        let mut target = Target::open(Some(&path)).unwrap();
        target.write(b"aft").unwrap();
        target.write(b"er").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"before");
        target.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_device_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, "before").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut target = Target::open(Some(&link)).unwrap();
        target.write(b"after").unwrap();
        target.finish().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"after");

        let mut target = Target::open(Some(Path::new("/dev/null"))).unwrap();
        assert!(matches!(target, Target::Special(..)));
        target.write(b"nothing").unwrap();
        target.finish().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_file_beside_another_is_never_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let beside = folder.path().join("wind.csv.proof.json");
        for planted in [&precious, &folder.path().join("nothing")] {
            std::os::unix::fs::symlink(planted, &beside).unwrap();
            let mut target = Target::beside(beside.clone()).unwrap();
            target.write(b"a proof").unwrap();
            target.finish().unwrap();
            assert_eq!(fs::read(&beside).unwrap(), b"a proof");
            assert!(fs::symlink_metadata(&beside).unwrap().is_file());
            fs::remove_file(&beside).unwrap();
        }
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        assert!(!folder.path().join("nothing").exists());
        fs::create_dir(&beside).unwrap();
        let error = Target::beside(beside).unwrap_err().to_string();
        assert!(error.contains("no file"), "{error}");
    }

    #[test]
    fn links_of_other_users_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let links = ["second", "first"].map(|name| folder.path().join(name));
        std::os::unix::fs::symlink(&precious, &links[0]).unwrap();
        std::os::unix::fs::symlink(&links[0], &links[1]).unwrap();
        // Only root can play another user.
        if std::os::unix::fs::lchown(&links[0], Some(65_534), None).is_err() {
            return;
        }
        for link in &links {
            let error = format!("{:#}", Target::open(Some(link)).unwrap_err());
            assert!(error.contains("another user has made"), "{error}");
        }
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        let round = folder.path().join("round");
        std::os::unix::fs::symlink(&round, &round).unwrap();
        assert!(Target::open(Some(&round)).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn what_stands_in_the_way_is_neither_followed_nor_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wind.csv");
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let planted = |turn| {
            let id = std::process::id();
            folder.path().join(format!(".wind.csv.{id}-{turn}.part"))
        };
        std::os::unix::fs::symlink(&precious, planted(0)).unwrap();
        std::os::unix::fs::symlink(folder.path().join("nothing"), planted(1)).unwrap();
        fs::write(planted(2), "another's").unwrap();
        let mut target = Target::open(Some(&path)).unwrap();
        target.write(b"after").unwrap();
        target.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        assert!(!folder.path().join("nothing").exists());
        assert_eq!(fs::read(planted(2)).unwrap(), b"another's");
        assert!(fs::symlink_metadata(planted(0)).unwrap().is_symlink());
        for turn in 3..=MAX_NAMES_TAKEN {
            fs::write(planted(turn), "").unwrap();
        }
        assert!(Target::open(Some(&path)).is_err());
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/wind.csv");
        let error = Target::open(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("cannot write"), "{error}");
    }
}
