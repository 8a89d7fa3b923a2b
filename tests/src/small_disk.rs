//! A file system of its own that is soon full.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

/// A tmpfs, mounted for as long as this lives.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// One with room for so many MiB; `None` where none can be mounted.
    ///
    /// # Errors
    /// There is no place for it.
    pub fn new(mib: u64) -> Result<Option<Self>> {
        let folder = tempfile::Builder::new()
            .prefix("headwater-small-disk")
            .tempdir()?;
        let disk = Self(folder);
        let size = format!("size={mib}m");
        let is_mounted = disk.mount(&["-t", "tmpfs", "-o", &size, "tmpfs"])?;
        Ok(is_mounted.then_some(disk))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Gives it more room, or less.
    ///
    /// # Errors
    /// What lies there needs more.
    pub fn resize(&self, mib: u64) -> Result<()> {
        let size = format!("remount,size={mib}m");
        ensure!(self.mount(&["-o", &size])?, "the disk cannot be resized");
        Ok(())
    }

    fn mount(&self, args: &[&str]) -> Result<bool> {
        let mut mount = Command::new("mount");
        Ok(mount.args(args).arg(self.path()).status()?.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
