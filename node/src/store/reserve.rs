//! Room on the disk that is kept back, so that streams can be deleted when there
//! is none: a file that says nothing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

/// Enough for RocksDB to open its folder and to write what a deletion needs,
/// however many small tables it has; nobody misses it on a disk of today.
const RESERVE_BYTES: u64 = 16 << 20;

/// Of a small disk no more than one part in so many is kept back.
const RESERVE_PART: u64 = 16;

/// How much a file system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may still be written.
    pub free: u64,
    /// Bytes of all.
    pub total: u64,
}

impl Space {
    /// Of the file system on which a folder is.
    ///
    /// # Errors
    /// The system does not say.
    pub fn of(dir: &Path) -> io::Result<Self> {
        let found = statvfs(dir)?;
        #[allow(clippy::useless_conversion)] // Their sizes differ by system.
        let bytes = |blocks| u64::from(blocks).saturating_mul(found.fragment_size().into());
        Ok(Self {
            free: bytes(found.blocks_available()),
            total: bytes(found.blocks()),
        })
    }

    /// What is kept back of it.
    #[must_use]
    pub fn reserve(&self) -> u64 {
        (self.total / RESERVE_PART).min(RESERVE_BYTES)
    }
}

/// The file, whether or not it is there.
#[derive(Clone, Debug)]
pub struct Reserve(PathBuf);

impl Reserve {
    /// Of a store's folder.
    #[must_use]
    pub fn of(store_dir: &Path) -> Self {
        Self(store_dir.join(super::RESERVE_FILE))
    }

    /// Bytes that are kept back now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        fs::metadata(&self.0).map_or(0, |file| file.len())
    }

    /// Keeps so many bytes back.
    ///
    /// # Errors
    /// There is no room, or the folder is not writable. Nothing is kept then.
    pub fn make(&self, bytes: u64) -> io::Result<()> {
        let made = File::create(&self.0).and_then(|file| fill(&file, bytes));
        if made.is_err() {
            self.give_back();
        }
        made
    }

    /// Gives the room back.
    pub fn give_back(&self) {
        // It may not be there.
        let _ = fs::remove_file(&self.0);
    }
}

/// Has the disk keep so many bytes for a file.
fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use nix::fcntl::{FallocateFlags, fallocate};
        let length = i64::try_from(bytes).unwrap_or(i64::MAX);
        match fallocate(file, FallocateFlags::empty(), 0, length) {
            Ok(()) => return Ok(()),
            // Some file systems cannot promise room.
            Err(nix::errno::Errno::EOPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let block = [0xa5; 64 << 10];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(block.len() as u64);
        file.write_all(&block[..part as usize])?;
        left -= part;
    }
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_back_takes_room_until_it_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::of(dir.path());
        assert_eq!(reserve.bytes(), 0);
        reserve.make(1 << 20).unwrap();
        assert_eq!(reserve.bytes(), 1 << 20);
        use std::os::unix::fs::MetadataExt;
        assert!(fs::metadata(&reserve.0).unwrap().blocks() * 512 >= 1 << 20);
        reserve.give_back();
        assert_eq!(reserve.bytes(), 0);
    }

    #[test]
    fn a_small_disk_keeps_less_back() {
        let space = |total| Space { free: 0, total }.reserve();
        assert_eq!(space(48 << 20), 3 << 20);
        assert_eq!(space(1 << 40), RESERVE_BYTES);
        let dir = tempfile::tempdir().unwrap();
        let found = Space::of(dir.path()).unwrap();
        assert!(found.total >= found.free && found.total > 0);
    }
}
