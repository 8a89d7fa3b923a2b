//! A disk of its own that loses its power: what no fsync has reached is gone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// Bytes of the disk; its file takes what is written.
const BYTES: u64 = 512 << 20;

/// The shutdown of ext4: at once, with its journal dropped
/// (`EXT4_IOC_SHUTDOWN`, `EXT4_GOING_FLAGS_NOLOGFLUSH`).
const SHUTDOWN: &str = "\
import fcntl, os, struct, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(folder, 0x8004587D, struct.pack('I', 2))
";

/// An ext4 in a file, mounted for as long as this lives.
#[derive(Debug)]
pub(crate) struct PowerDisk {
    folder: TempDir,
}

impl PowerDisk {
    /// `None` where none can be made: it takes root and loop devices.
    pub(crate) fn new() -> Result<Option<Self>> {
        let folder = tempfile::Builder::new()
            .prefix("headwater-long-disk")
            .tempdir()?;
        let disk = Self { folder };
        File::create(disk.image())?.set_len(BYTES)?;
        fs::create_dir(disk.path())?;
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"]);
        if !succeeds(make.arg(disk.image())) || disk.mount().is_err() {
            return Ok(None);
        }
        Ok(Some(disk))
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn mount(&self) -> Result<()> {
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]);
        ensure!(
            succeeds(mount.arg(self.image()).arg(self.path())),
            "{} cannot be mounted",
            self.image().display()
        );
        Ok(())
    }

    /// From now on nothing is written any more, and nothing read.
    pub(crate) fn cut(&self) -> Result<()> {
        let mut python = Command::new("python3");
        ensure!(
            succeeds(python.args(["-c", SHUTDOWN]).arg(self.path())),
            "the disk cannot be cut off"
        );
        Ok(())
    }

    /// The power is back. Nobody may use the disk meanwhile.
    pub(crate) fn restore(&self) -> Result<()> {
        ensure!(unmount(&self.path()), "the disk is still in use");
        self.mount().context("after the power was cut")
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        if !unmount(&self.path()) {
            let _ = Command::new("umount").arg("-l").arg(self.path()).status();
        }
    }
}

fn unmount(path: &Path) -> bool {
    succeeds(Command::new("umount").arg(path))
}

fn succeeds(command: &mut Command) -> bool {
    let output = command.output();
    output.is_ok_and(|output| output.status.success())
}
