//! Why a data folder could not be opened.

use std::path::{Path, PathBuf};

use headwater_protocols::store::{StoreError, Table};
use rocksdb::{DB, Options};

use super::{FORMAT_KEY, FORMAT_VERSION, store_error};

/// Why a data folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody has it open.
    #[error("the data folder {} is open in another process; stop it, or use its API", .0.display())]
    Locked(PathBuf),
    /// It was written by a later version of this program.
    #[error(
        "the data folder {} has format {found}, this version knows {known}; use a newer version",
        .dir.display()
    )]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// The format that it has.
        found: u32,
        /// The latest format known here.
        known: u32,
    },
    /// It was written by a version whose format is no longer read.
    #[error(
        "the data folder {} has format {found}, this version reads {known}; use an older version",
        .dir.display()
    )]
    Older {
        /// The folder.
        dir: PathBuf,
        /// The format that it has.
        found: u32,
        /// The earliest format that is read here.
        known: u32,
    },
    /// There is no room to open it.
    #[error("the data folder {} needs room on its disk; free some and try again ({why})", .dir.display())]
    Full {
        /// The folder.
        dir: PathBuf,
        /// What the disk said.
        why: String,
    },
    /// What is stored does not have the form that was written.
    #[error(
        "the data folder {} is damaged; keep a copy of it, then restore a backup ({why})",
        .dir.display()
    )]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Something else, most often missing rights.
    #[error("the data folder {} cannot be opened; check its path and rights ({why})", .dir.display())]
    Failed {
        /// The folder.
        dir: PathBuf,
        /// What went wrong.
        why: String,
    },
}

pub(super) fn check_version(dir: &Path, found: &[u8]) -> Result<(), OpenError> {
    let Ok(found) = found.try_into().map(u32::from_be_bytes) else {
        return Err(OpenError::Damaged {
            dir: dir.to_owned(),
            why: format!("its format version is {} bytes long", found.len()),
        });
    };
    let (dir, known) = (dir.to_owned(), FORMAT_VERSION);
    match found.cmp(&known) {
        std::cmp::Ordering::Less => Err(OpenError::Older { dir, found, known }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(OpenError::Newer { dir, found, known }),
    }
}

pub(super) fn open_error(dir: &Path, error: &rocksdb::Error) -> OpenError {
    let message = error.as_ref();
    // The two ways to say that the file LOCK is held: by another process, by this one.
    if message.contains("While lock file") || message.contains("lock hold by current process") {
        return OpenError::Locked(dir.to_owned());
    }
    // A table that is not known here: a later version has more of them.
    if message.contains("Column families not opened")
        && let Some(Err(refused)) = stored_version(dir).map(|found| check_version(dir, &found))
    {
        return refused;
    }
    unusable(dir, store_error(error))
}

/// The format version of a folder that has tables which are not known here.
fn stored_version(dir: &Path) -> Option<Vec<u8>> {
    let meta = Table::Meta.name();
    let db = DB::open_cf_for_read_only(&Options::default(), dir, [meta], false).ok()?;
    db.get_cf(db.cf_handle(meta)?, FORMAT_KEY).ok()?
}

pub(super) fn unusable(dir: &Path, error: StoreError) -> OpenError {
    let dir = dir.to_owned();
    match error {
        StoreError::Full(why) => OpenError::Full { dir, why },
        StoreError::Damaged(why) => OpenError::Damaged { dir, why },
        StoreError::Failed(why) | StoreError::Unclear(why) => OpenError::Failed { dir, why },
    }
}

/// Whether the folder could be read, but not be written.
pub(super) fn is_for_lack_of_writing(message: &str) -> bool {
    [
        "No space left on device",
        "Disk quota exceeded",
        "Read-only file system",
        "Too many open files",
        "Input/output error",
    ]
    .iter()
    .any(|why| message.contains(why))
}
