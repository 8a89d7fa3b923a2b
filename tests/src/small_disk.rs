//! A file system of its own, with little room.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

/// A tmpfs, until it is dropped.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// One with room for this many MiB; `None` where none can be mounted.
    ///
    /// # Errors
    /// `mount` cannot be run.
    pub fn new(mib: u64) -> Result<Option<Self>> {
        let disk = Self(tempfile::tempdir()?);
        if disk.mount(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])? {
            return Ok(Some(disk));
        }
        ensure!(
            std::env::var_os("CI").is_none(),
            "a tmpfs cannot be mounted here"
        );
        eprintln!("skipped: a tmpfs cannot be mounted here");
        Ok(None)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes room, or takes it away.
    ///
    /// # Errors
    /// It has more than that.
    pub fn resize(&self, mib: u64) -> Result<()> {
        ensure!(self.mount(&["-o", &format!("remount,size={mib}m")])?);
        Ok(())
    }

    /// Mounts it for reading alone, or for writing, too.
    ///
    /// # Errors
    /// Somebody writes to it.
    pub fn set_read_only(&self, is_read_only: bool) -> Result<()> {
        let how = if is_read_only { "ro" } else { "rw" };
        ensure!(self.mount(&["-o", &format!("remount,{how}")])?);
        Ok(())
    }

    /// Fills it to the last byte; what is returned is to be removed then.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn fill(&self) -> Result<PathBuf> {
        let path = self.path().join("another program's");
        let mut file = File::create(&path)?;
        while file.write_all(&[0xa5; 4_096]).is_ok() {}
        Ok(path)
    }

    fn mount(&self, args: &[&str]) -> Result<bool> {
        let mut mount = Command::new("mount");
        Ok(mount.args(args).arg(self.path()).status()?.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
        let _ = fs::remove_dir(self.path());
    }
}
