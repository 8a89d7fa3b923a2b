//! Files that a command writes: nobody sees a part of one.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::output::Output;

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 256 * 1024;

/// Where a command's bytes go.
#[derive(Debug)]
pub(crate) enum Target {
    /// To stdout, as they come.
    Stdout,
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
            return Ok(Self::Stdout);
        };
        let cannot = || format!("cannot write {}", path.display());
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

    /// Writes some bytes.
    ///
    /// # Errors
    /// The disk is full, or stdout was closed.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Stdout => Output::bytes(bytes),
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
            Self::Stdout | Self::Special(..) => Ok(()),
            Self::File(file) => file.finish(),
        }
    }
}

impl NewFile {
    fn create(path: PathBuf) -> std::io::Result<Self> {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}.part", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = File::create(&temporary)?;
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
    fn a_folder_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/wind.csv");
        let error = Target::open(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("cannot write"), "{error}");
    }
}
