//! Tells the store that was written here last from a copy of it: one that was
//! restored from a backup, cloned, or moved to another disk.
//!
//! At each start the store gets a new random id, which also stands in the file
//! `instance` beside its tables, together with the moment at which that file was
//! born. The moment of birth belongs to the file and cannot be copied: in a
//! copy the file says another one than it has. And whatever was put back without
//! that file has another id.
//!
//! A file that is linked instead of copied keeps its birth (`cp -al`, and what
//! restores by moving). What tells such a copy cannot lie in what is copied: the
//! store counts its starts, and the mark outside of the folder (`mark`) has the
//! number of the last one. A store that counts fewer is an older one. Without a
//! mark a file with a second name is not believed. Snapshots of a whole machine
//! cannot be told from the original in any way, so peers are asked as well.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use headwater_protocols::store::around::readable;
use headwater_protocols::store::{Batch, Durability, Store, StoreError, Table};

/// Key of [`Table::Meta`]: how often the node was started on this store, u64.
const STARTS: &[u8] = b"starts";

/// Key of [`Table::Meta`]: the id of the start that has ended cleanly.
const ENDED: &[u8] = b"ended";

/// Key of [`Table::Meta`]: the id of this start and the one that the file had
/// before it, 16 bytes each.
const KEY: &[u8] = b"instance";
const ID_BYTES: usize = 16;
const FILE: &str = "instance";

/// What is known of the store before it is written to.
#[derive(Debug)]
pub struct Instance {
    file: PathBuf,
    /// The id that the file has; in a copy, that of the last start. Kept beside
    /// the next one, however many starts end before the file is written.
    last: Option<[u8; ID_BYTES]>,
    starts: u64,
    copied: bool,
    ended_well: bool,
}

/// A start that the store knows of.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    id: [u8; ID_BYTES],
    /// Starts so far, this one included.
    pub starts: u64,
}

impl Instance {
    /// Looks at a store that was just opened. `marked` are the starts that the
    /// mark outside of it knows of.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of<S: Store>(store: &S, dir: &Path, marked: Option<u64>) -> anyhow::Result<Self> {
        let file = dir.join(FILE);
        // One that cannot be read is as good as none: then it may be a copy.
        let row = readable(store.get(Table::Meta, KEY))?.flatten();
        let (last, before) = match row.as_deref() {
            Some(row) => (id_at(row, 0), id_at(row, 1)),
            None => (None, None),
        };
        let written = match fs::read(&file) {
            Ok(text) => Some(String::from_utf8_lossy(&text).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let cannot = format!("cannot read {}", file.display());
                return Err(anyhow::Error::new(error).context(cannot));
            }
        };
        let starts = readable(store.get(Table::Meta, STARTS))?.flatten();
        let starts =
            (starts.as_deref().and_then(|row| row.try_into().ok())).map_or(0, u64::from_be_bytes);
        let ended = readable(store.get(Table::Meta, ENDED))?.flatten();
        let ended_well = match last {
            Some(last) => ended.as_deref() == Some(&last),
            None => true,
        };
        let (found, copied) = match (&written, last) {
            // A new store, or one of a version that left no mark.
            (None, None) => (None, false),
            (Some(text), Some(last)) => {
                let metadata = fs::metadata(&file)?;
                let birth = birth_of(&metadata);
                // A crash may have come between the store and the file.
                let mut ids = [Some(last), before].into_iter().flatten();
                let found = ids.find(|id| *text == content(id, &birth));
                let is_older = match marked {
                    Some(marked) => marked > starts,
                    None => metadata.nlink() > 1,
                };
                (found, found.is_none() || is_older)
            }
            (Some(_), None) | (None, Some(_)) => (None, true),
        };
        let last = found.or(last);
        Ok(Self {
            file,
            last,
            starts: starts.max(marked.unwrap_or(0)),
            copied,
            ended_well,
        })
    }

    /// Whether it is a copy of another one.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        self.copied
    }

    /// Whether the store was started before by a version that keeps a mark.
    #[must_use]
    pub fn had_starts(&self) -> bool {
        self.starts > 0
    }

    /// Whether the last start has ended by itself.
    #[must_use]
    pub fn ended_well(&self) -> bool {
        self.ended_well
    }

    /// Makes it this start's: the next one finds it where it was.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn renew<S: Store>(self, store: &S) -> anyhow::Result<Started> {
        let mut id = [0; ID_BYTES];
        getrandom::fill(&mut id).context("the system has no random bytes")?;
        // Before the file: a store that is put back without it is found out.
        let mut batch = Batch::new();
        let row = [&id[..], self.last.as_ref().map_or(&[][..], |last| last)].concat();
        batch.put(Table::Meta, KEY, Bytes::from(row));
        let starts = self.starts + 1;
        batch.put(Table::Meta, STARTS, starts.to_be_bytes().to_vec());
        store.commit(batch, Durability::Synced)?;
        let written = write(&self.file, &id);
        written.with_context(|| format!("cannot write {}", self.file.display()))?;
        Ok(Started { id, starts })
    }
}

impl Started {
    /// Notes that it has ended by itself: nothing that was signed is missing.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn ended<S: Store>(&self, store: &S) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.put(Table::Meta, ENDED, self.id.to_vec());
        store.commit(batch, Durability::Written)
    }
}

fn id_at(row: &[u8], place: usize) -> Option<[u8; ID_BYTES]> {
    let id = row.chunks_exact(ID_BYTES).nth(place)?;
    id.try_into().ok()
}

fn content(id: &[u8; ID_BYTES], birth: &str) -> String {
    format!("{}\n{birth}\n", HEXLOWER.encode(id))
}

/// When a file was born, to the nanosecond; on file systems that do not know,
/// where it lies.
fn birth_of(file: &fs::Metadata) -> String {
    let born = file.created().ok();
    if let Some(born) = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok()) {
        return format!("born {}.{:09}", born.as_secs(), born.subsec_nanos());
    }
    format!("inode {}", file.ino())
}

/// Replaces the file by a new one that says when it was born.
fn write(path: &Path, id: &[u8; ID_BYTES]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(&temporary)?;
    let text = content(id, &birth_of(&file.metadata()?));
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use headwater_protocols::store::MemoryStore;

    use super::*;

    fn is_copy(store: &MemoryStore, dir: &Path) -> bool {
        Instance::of(store, dir, None).unwrap().is_copy()
    }

    fn start(store: &MemoryStore, dir: &Path) -> bool {
        let instance = Instance::of(store, dir, None).unwrap();
        let copied = instance.is_copy();
        instance.renew(store).unwrap();
        copied
    }

    #[test]
    fn a_store_that_stays_where_it_is_is_no_copy_however_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let store = MemoryStore::new();
        for _ in 0..3 {
            assert!(!start(&store, dir.path()));
        }
        store.lose_power(0);
        assert!(!start(&store, dir.path()));
        // The crash came between the store and the file.
        let file = dir.path().join(FILE);
        let written = fs::read(&file).unwrap();
        let kept = dir.path().join("kept");
        fs::rename(&file, &kept).unwrap();
        assert!(start(&store, dir.path()), "without the file it is one");
        fs::rename(&kept, &file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), written);
        assert!(!start(&store, dir.path()));
        // Moved as a whole.
        let moved = dir.path().join("moved");
        fs::create_dir(&moved).unwrap();
        fs::rename(&file, moved.join(FILE)).unwrap();
        assert!(!start(&store, &moved));
    }

    #[test]
    fn any_number_of_starts_may_end_between_the_store_and_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = MemoryStore::new();
        start(&store, dir.path());
        // A folder in the way: the file is not replaced.
        let in_the_way = dir.path().join(FILE).with_extension("new");
        fs::create_dir(&in_the_way).unwrap();
        for _ in 0..4 {
            let instance = Instance::of(&store, dir.path(), None).unwrap();
            assert!(!instance.is_copy());
            assert!(instance.renew(&store).is_err());
        }
        fs::remove_dir(&in_the_way).unwrap();
        assert!(!start(&store, dir.path()));
        assert!(!start(&store, dir.path()));
    }

    #[test]
    fn a_copy_is_found_out_and_only_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = MemoryStore::new();
        start(&store, dir.path());
        let copy = tempfile::tempdir().unwrap();
        fs::copy(dir.path().join(FILE), copy.path().join(FILE)).unwrap();
        let copied = store.copy();
        assert!(start(&copied, copy.path()));
        assert!(!start(&copied, copy.path()));
        assert!(!start(&store, dir.path()));
    }

    #[test]
    fn an_older_store_that_is_put_back_is_found_out_with_and_without_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = MemoryStore::new();
        start(&store, dir.path());
        let (backup, file) = (store.copy(), fs::read(dir.path().join(FILE)).unwrap());
        start(&store, dir.path());
        assert!(is_copy(&backup, dir.path()));
        // Written into the file that is there, which keeps its birth.
        fs::write(dir.path().join(FILE), file).unwrap();
        assert!(is_copy(&backup, dir.path()));
    }

    #[test]
    fn a_linked_folder_that_is_put_back_is_an_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = MemoryStore::new();
        let starts = |store: &MemoryStore, dir: &Path, marked| {
            let instance = Instance::of(store, dir, marked).unwrap();
            let copied = instance.is_copy();
            (copied, instance.renew(store).unwrap().starts)
        };
        assert_eq!(starts(&store, dir.path(), None), (false, 1));
        // `cp -al`: every file gets a second name.
        let link = tempfile::tempdir().unwrap();
        fs::hard_link(dir.path().join(FILE), link.path().join(FILE)).unwrap();
        let linked = store.copy();
        // The mark knows that the folder is the one that was used last.
        assert_eq!(starts(&store, dir.path(), Some(1)), (false, 2));
        let put_back = Instance::of(&linked, link.path(), Some(2)).unwrap();
        assert!(put_back.is_copy());
        // Nothing tells that without a mark, but for the second name.
        fs::hard_link(link.path().join(FILE), link.path().join("second")).unwrap();
        assert!(is_copy(&linked, link.path()));
        // The copy counts on from there: now the other one is the older.
        assert_eq!(starts(&linked, link.path(), Some(2)), (true, 3));
        assert!(Instance::of(&store, dir.path(), Some(3)).unwrap().is_copy());
    }

    #[test]
    fn a_start_has_ended_well_only_if_it_said_so() {
        let dir = tempfile::tempdir().unwrap();
        let store = MemoryStore::new();
        let ended_well = || Instance::of(&store, dir.path(), None).unwrap().ended_well();
        let begin = || {
            Instance::of(&store, dir.path(), None)
                .unwrap()
                .renew(&store)
                .unwrap()
        };
        let had_starts = || Instance::of(&store, dir.path(), None).unwrap().had_starts();
        assert!(ended_well(), "nothing has begun");
        assert!(!had_starts());
        let started = begin();
        assert!(had_starts());
        assert!(!ended_well());
        started.ended(&store).unwrap();
        assert!(ended_well());
        begin();
        assert!(!ended_well());
    }
}
