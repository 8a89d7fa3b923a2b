//! What was done to a damaged store, and where the files are kept that were replaced
//! or removed for it: in a folder beside the store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use headwater_protocols::store::Table;

/// A part of a table of which rows may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The table.
    pub table: Table,
    /// The last key before it that could be read, or where it begins.
    pub from: Vec<u8>,
    /// The first key behind it that could be read, or where it ends.
    pub to: Vec<u8>,
}

/// What was done to open a damaged store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// What was wrong, and with which file, each in words.
    pub what: Vec<String>,
    /// Where the files are kept that were replaced or removed.
    pub kept: Option<PathBuf>,
    /// Parts of tables of which rows may be lost.
    pub lost: Vec<Lost>,
    /// Any row may be lost, or may be an older one.
    pub is_rebuilt: bool,
    /// How often this store was mended before, since it was opened.
    pub number: u64,
}

impl Mended {
    /// Keeps files of the folder `dir` with these names, as links or copies.
    pub(super) fn keep(&mut self, dir: &Path, names: &[String]) -> io::Result<()> {
        let kept = match &self.kept {
            Some(kept) => kept.clone(),
            None => {
                let kept = new_folder(dir)?;
                self.kept.insert(kept).clone()
            }
        };
        for name in names {
            let (from, to) = (dir.join(name), kept.join(name));
            if from.exists() && !to.exists() && fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to)?;
            }
        }
        Ok(())
    }
}

/// Whether something of this store was repaired before: what was taken out of it
/// lies beside it.
pub(super) fn was_mended(dir: &Path) -> bool {
    let (Some(name), Some(folder)) = (dir.file_name(), dir.parent()) else {
        return false;
    };
    let begin = format!("{}-damaged-", name.to_string_lossy());
    let is_kept = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&begin);
    fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(is_kept))
}

fn new_folder(dir: &Path) -> io::Result<PathBuf> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    let name = dir
        .file_name()
        .map_or_else(|| "store".into(), |name| name.to_string_lossy());
    for attempt in 0..100 {
        let again = match attempt {
            0 => String::new(),
            again => format!("-{again}"),
        };
        let path = dir.with_file_name(format!("{name}-damaged-{seconds}{again}"));
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(path),
        }
    }
    Err(io::Error::other(
        "there are too many folders of damaged files",
    ))
}
