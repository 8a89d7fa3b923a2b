//! Opens a store of which files are damaged, and takes damaged table files out of
//! one that is open. First comes what loses nothing: CURRENT is written anew. Then
//! table files are taken out one by one, after all rows of them that can be read
//! were written anew. Only without a MANIFEST RocksDB makes another one from the
//! table files that it finds. What is replaced or removed is kept in a folder
//! beside the store before that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::PoisonError;

use headwater_protocols::store::{StoreError, Table};
use rocksdb::{
    DB, DBRecoveryMode, ErrorKind, IteratorMode, LiveFile, Options, ReadOptions, WriteBatch,
};

use super::damage::{Noticed, Places, is_damage};
use super::mended::{Lost, Mended};
use super::open_error::{is_for_lack_of_writing, open_error};
use super::{OpenError, RocksStore, family, lock, manifest, open_tables, store_error, unusable};

/// Rounds of opening in which damaged table files are taken out; each time all
/// that are named go.
const MAX_ROUNDS: usize = 32;

/// Rows of a damaged table file that are written anew at once.
const SALVAGE_BYTES: usize = 4 << 20;

/// What is known before the folder is opened, and what was done to it meanwhile.
#[derive(Default)]
pub(super) struct Opening {
    /// Its logs of writes are damaged.
    pub(super) lost_writes: bool,
    /// What of it is known to be damaged.
    pub(super) noticed: Places,
    /// This process had it open: what is torn was not written whole by it.
    pub(super) was_open: bool,
    /// What was done.
    pub(super) mended: Mended,
}

impl Opening {
    /// What was done, if it was anything.
    pub(super) fn mended(&self) -> Option<Mended> {
        (self.mended != Mended::default()).then(|| self.mended.clone())
    }
}

/// Opens a folder for writing, whatever its state is, as far as that is possible.
pub(super) fn open(dir: &Path, opening: &mut Opening) -> Result<DB, OpenError> {
    let lost_writes = opening.lost_writes;
    let mended = &mut opening.mended;
    let io_failed = |error: io::Error| OpenError::Failed {
        dir: dir.to_owned(),
        why: error.to_string(),
    };
    mend_current(dir, mended).map_err(io_failed)?;
    // Where a write to it has failed here it is torn, and RocksDB goes on from the
    // logs of writes.
    if !opening.was_open && manifest::is_cut(dir).map_err(io_failed)? {
        let path = manifest::current(dir).unwrap_or_default();
        let what = format!("{} was cut short", path.display());
        tracing::warn!("{what}; the store is being repaired");
        rebuild(dir, &what, mended).map_err(|error| unusable(dir, error))?;
    }
    if !opening.noticed.is_empty() {
        match take_out(dir, &opening.noticed, mended) {
            Ok(_) => opening.noticed = Places::default(),
            Err(error) if is_for_lack_of_writing(&error.to_string()) => {
                return Err(unusable(dir, error));
            }
            // What is wrong besides is looked for below.
            Err(error) => tracing::warn!(%error, "damaged table files could not be taken out"),
        }
    }
    for _ in 0..MAX_ROUNDS {
        let error = match open_strictly(dir, lost_writes) {
            Ok(db) => return Ok(db),
            Err(error) => error,
        };
        if !is_damage(&error) && !names_no_manifest(&error) {
            return Err(open_error(dir, &error));
        }
        tracing::warn!(%error, "the store is damaged and is being repaired");
        let noticed = Noticed::default();
        let of_tables = noticed.notice_files(error.as_ref());
        let taken = match of_tables {
            true => take_out(dir, &noticed.take(), mended),
            false => rebuild(dir, error.as_ref(), mended),
        };
        match taken {
            Ok(true) => {}
            Err(error) if is_for_lack_of_writing(&error.to_string()) => {
                return Err(unusable(dir, error));
            }
            // RocksDB names files that its list does not have, say.
            Ok(false) | Err(_) if !mended.is_rebuilt => {
                rebuild(dir, error.as_ref(), mended).map_err(|error| unusable(dir, error))?;
            }
            Ok(false) => return Err(open_error(dir, &error)),
            Err(error) => return Err(unusable(dir, error)),
        }
    }
    Err(OpenError::Damaged {
        dir: dir.to_owned(),
        why: "it was repaired many times and is still damaged".to_owned(),
    })
}

/// Opens a store as it is, or says what is wrong with it.
fn open_strictly(dir: &Path, lost_writes: bool) -> Result<DB, rocksdb::Error> {
    match open_tables(dir, DBRecoveryMode::PointInTime, |_| {}) {
        // Some tables have later writes than the log is whole up to: there is no
        // one point in time to go back to. What is read is checked anyway.
        Err(error) if lost_writes && is_of_logs(&error) => {
            open_tables(dir, DBRecoveryMode::SkipAnyCorruptedRecord, |_| {})
        }
        opened => opened,
    }
}

/// Opens a store though table files of it are damaged or missing: reading what
/// stands in them fails.
fn open_leniently(dir: &Path) -> Result<DB, rocksdb::Error> {
    let adjust = |options: &mut Options| {
        options.set_paranoid_checks(false);
        options.set_disable_auto_compactions(true);
    };
    match open_tables(dir, DBRecoveryMode::PointInTime, adjust) {
        Err(error) if is_of_logs(&error) => {
            open_tables(dir, DBRecoveryMode::SkipAnyCorruptedRecord, adjust)
        }
        opened => opened,
    }
}

/// Whether what is wrong is no table file.
fn is_of_logs(error: &rocksdb::Error) -> bool {
    error.kind() == ErrorKind::Corruption && !error.as_ref().contains(".sst")
}

/// What is said of a MANIFEST that is not there.
fn names_no_manifest(error: &rocksdb::Error) -> bool {
    let message = error.as_ref();
    message.contains("No such file or directory") && message.contains("MANIFEST")
}

/// Has CURRENT name the MANIFEST that is there. Without it RocksDB would begin an
/// empty store in its place, and remove the files of this one.
fn mend_current(dir: &Path, mended: &mut Mended) -> io::Result<()> {
    if manifest::current(dir).is_some() {
        return Ok(());
    }
    let newest = manifest::newest(dir)?;
    let has_data = fs::read_dir(dir)?.any(|entry| {
        let name = entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_table = |name: &str| name.ends_with(".sst");
        let is_log = |name: &str| name.trim_end_matches(".log").parse::<u64>().is_ok();
        name.is_ok_and(|name| is_table(&name) || name.ends_with(".log") && is_log(&name))
    });
    let bad = dir.join("CURRENT");
    let what = match bad.exists() {
        true => format!("{} does not name a file that is there", bad.display()),
        false => format!("{} was missing", bad.display()),
    };
    match newest {
        Some(name) => {
            mended.keep(dir, &["CURRENT".to_owned(), name.clone()])?;
            tracing::warn!("{what}; it is written anew, and names {name}");
            mended.what.push(what);
            manifest::set_current(dir, &name)
        }
        None if has_data => rebuild(dir, &format!("{what}, and there is no MANIFEST"), mended)
            .map(drop)
            .map_err(|error| io::Error::other(error.to_string())),
        None => Ok(()),
    }
}

/// Has RocksDB make a MANIFEST from the table files and logs that are there.
fn rebuild(dir: &Path, why: &str, mended: &mut Mended) -> Result<bool, StoreError> {
    let failed = |error: io::Error| StoreError::Failed(error.to_string());
    let names = fs::read_dir(dir).map_err(failed)?;
    let names =
        names.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    let is_kept = |name: &String| {
        name.starts_with("MANIFEST-") || name == "CURRENT" || name.ends_with(".log")
    };
    let names: Vec<_> = names.filter(is_kept).collect();
    mended.keep(dir, &names).map_err(failed)?;
    mended.what.push(why.to_owned());
    mended.is_rebuilt = true;
    name_families(dir).map_err(failed)?;
    let mut options = Options::default();
    options.set_paranoid_checks(false);
    DB::repair(&options, dir).map_err(|error| store_error(&error))?;
    keep_lost(dir, mended).map_err(failed)?;
    // All files stand in the first level now, where writes would wait for them.
    let db = open_leniently(dir).map_err(|error| store_error(&error))?;
    for table in Table::ALL {
        let family = family(&db, table)?;
        let _ = db.delete_cf(family, FAMILY_ROW);
    }
    Ok(true)
}

/// A row that makes a table file of each table. No table has such a key.
const FAMILY_ROW: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
\xff\xff\xff\xff\xff\xff";

/// Puts a table file of each table beside the others. A repair knows the tables
/// from their files alone, and would throw away what the logs of writes have of
/// others.
fn name_families(dir: &Path) -> io::Result<()> {
    let beside = tempfile::tempdir_in(dir.parent().unwrap_or(dir))?;
    let other = |error: rocksdb::Error| io::Error::other(error.to_string());
    {
        let db = open_tables(beside.path(), DBRecoveryMode::PointInTime, |_| {}).map_err(other)?;
        for table in Table::ALL {
            let family = family(&db, table).map_err(|error| io::Error::other(error.to_string()))?;
            db.put_cf(family, FAMILY_ROW, b"").map_err(other)?;
            db.flush_cf(family).map_err(other)?;
        }
    }
    let mut numbers = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let digits: String = name.chars().filter(char::is_ascii_digit).collect();
        numbers.extend(digits.parse::<u64>().ok());
    }
    let mut next = numbers.last().map_or(1, |last| last + 1);
    for entry in fs::read_dir(beside.path())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sst") {
            fs::copy(&path, dir.join(format!("{next:06}.sst")))?;
            next += 1;
        }
    }
    Ok(())
}

/// Moves what a repair has thrown away to what is kept.
fn keep_lost(dir: &Path, mended: &mut Mended) -> io::Result<()> {
    let lost = dir.join("lost");
    if !lost.is_dir() {
        return Ok(());
    }
    mended.keep(dir, &[])?;
    let Some(kept) = &mended.kept else {
        return Ok(());
    };
    fs::create_dir_all(kept.join("lost"))?;
    for entry in fs::read_dir(&lost)? {
        let entry = entry?;
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "sst")
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            mended
                .what
                .push(format!("{} could not be read", dir.join(name).display()));
        }
        fs::rename(entry.path(), kept.join("lost").join(entry.file_name()))?;
    }
    fs::remove_dir(&lost)
}

/// Takes damaged table files out of a store that nobody has open, after what can
/// be read of them was written anew; whether there were any.
fn take_out(dir: &Path, noticed: &Places, mended: &mut Mended) -> Result<bool, StoreError> {
    let failed = |error: io::Error| StoreError::Failed(error.to_string());
    let db = open_leniently(dir).map_err(|error| store_error(&error))?;
    let live = db.live_files().map_err(|error| store_error(&error))?;
    let bad = bad_files(&live, noticed);
    if bad.is_empty() {
        return Ok(false);
    }
    let mut names = Vec::new();
    for (file, why) in bad.values() {
        let name = file.name.trim_start_matches('/').to_owned();
        mended
            .what
            .push(format!("{}: {why}", dir.join(&name).display()));
        mended.lost.extend(salvage(&db, file)?);
        names.push(name);
    }
    // What was written anew must not depend on the log of writes alone.
    for table in Table::ALL {
        (db.flush_cf(family(&db, table)?)).map_err(|error| store_error(&error))?;
    }
    drop(db);
    mended.keep(dir, &names).map_err(failed)?;
    if let Some(current) = manifest::current(dir).and_then(|path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    }) {
        mended.keep(dir, &[current]).map_err(failed)?;
    }
    let numbers: Vec<_> = bad.keys().copied().collect();
    manifest::take_out(dir, &numbers).map_err(failed)?;
    Ok(true)
}

/// The files that were named, and those that have a key which could not be read.
fn bad_files<'a>(
    live: &'a [LiveFile],
    noticed: &'a Places,
) -> BTreeMap<u64, (&'a LiveFile, &'a str)> {
    let mut bad = BTreeMap::new();
    for file in live {
        let Some(number) = number_of(file) else {
            continue;
        };
        let named = noticed.files.get(&number).map(String::as_str);
        let holds = |(table, key, why): &'a (Table, Vec<u8>, String)| {
            let is_behind = file.end_key.as_ref().is_none_or(|end| end < key);
            (table.name() == file.column_family_name && !is_behind).then_some(why.as_str())
        };
        if let Some(why) = named.or_else(|| noticed.keys.iter().find_map(holds)) {
            bad.insert(number, (file, why));
        }
    }
    bad
}

fn number_of(file: &LiveFile) -> Option<u64> {
    let digits = file.name.trim_start_matches('/').trim_end_matches(".sst");
    digits.parse().ok()
}

/// Writes the rows anew that can be read where a table file lies: from its
/// beginning to the damage, and from its end back to it. Returns what lies between.
fn salvage(db: &DB, file: &LiveFile) -> Result<Option<Lost>, StoreError> {
    let Some(table) =
        (Table::ALL.into_iter()).find(|table| table.name() == file.column_family_name)
    else {
        return Ok(None);
    };
    let from = file.start_key.clone().unwrap_or_default();
    let to = [file.end_key.clone().unwrap_or_default(), vec![0]].concat();
    let mut writer = Writer {
        db,
        table,
        batch: WriteBatch::default(),
        bytes: 0,
    };
    let mut last = from.clone();
    let is_whole = writer.copy(&from, &to, true, &mut last)?;
    if is_whole {
        writer.flush()?;
        return Ok(None);
    }
    let mut first = to.clone();
    writer.copy(&last, &to, false, &mut first)?;
    writer.flush()?;
    Ok(Some(Lost {
        table,
        from: last,
        to: first,
    }))
}

struct Writer<'a> {
    db: &'a DB,
    table: Table,
    batch: WriteBatch,
    bytes: usize,
}

impl Writer<'_> {
    /// Writes rows anew until one cannot be read; whether there was none.
    fn copy(
        &mut self,
        from: &[u8],
        to: &[u8],
        forward: bool,
        reached: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_iterate_range(from..to);
        let mode = match forward {
            true => IteratorMode::Start,
            false => IteratorMode::End,
        };
        let family = family(self.db, self.table)?;
        for row in self.db.iterator_cf_opt(family, options, mode) {
            let Ok((key, value)) = row else {
                return Ok(false);
            };
            *reached = key.to_vec();
            self.bytes += key.len() + value.len();
            self.batch.put_cf(family, key, value);
            if self.bytes >= SALVAGE_BYTES {
                self.flush()?;
            }
        }
        Ok(true)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        self.db.write(batch).map_err(|error| store_error(&error))
    }
}

impl RocksStore {
    /// What was done when it was opened, if it was damaged.
    #[must_use]
    pub fn mended(&self) -> Option<&Mended> {
        self.mended.as_ref()
    }

    /// Waits until reading or writing has met damage, or this time is over; whether
    /// it has.
    #[must_use]
    pub fn wait_for_damage(&self, time: std::time::Duration) -> bool {
        self.damage.wait(time)
    }

    /// Takes the table files out that are known to be damaged, after what can be
    /// read of them was written anew. Whoever writes waits meanwhile, about as long
    /// as a start takes; whoever reads sees what the files had before.
    ///
    /// # Errors
    /// The disk fails. If it cannot be written, it is mended when it is opened anew.
    pub fn mend(&self) -> Result<Option<Mended>, StoreError> {
        let _alone = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = self.failure() {
            return Err(error);
        }
        // Who read by the files of before may have met what is taken out by now.
        let live = (self.tables()?.db.live_files()).map_err(|error| store_error(&error))?;
        let live: BTreeSet<_> = live.iter().filter_map(number_of).collect();
        let mut noticed = self.damage.take();
        noticed.files.retain(|number, _| live.contains(number));
        if noticed.is_empty() {
            return Ok(None);
        }
        self.open_anew(noticed).map(Some)
    }

    /// The rows that were lost up to this repair are made up for, or known to be
    /// missing. Returns whether there was none after it.
    pub fn forget_lost(&self, repair: u64) -> bool {
        self.lost_parts.forget(repair)
    }

    /// What was mended since this was asked for last.
    pub fn take_repaired(&self) -> Vec<Mended> {
        std::mem::take(&mut *lock(&self.repaired))
    }
}

#[cfg(test)]
impl RocksStore {
    /// Writes all table files of a table anew.
    fn compact_all(&self, table: Table) {
        let tables = self.tables().unwrap();
        let family = tables.family(table).unwrap();
        (tables.db).compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
    }
}

#[cfg(test)]
#[path = "mending/tests.rs"]
mod tests;
