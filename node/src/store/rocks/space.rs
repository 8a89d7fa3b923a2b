//! What the rows of a log take on the disk, and how it is given back.

use std::ptr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use headwater_protocols::store::tables::{OF_LOGS, index_key, log_range};
use headwater_protocols::store::{History, LogKey, StoreError, Table};
use rocksdb::{CompactOptions, Range, WriteBatch, properties};

use super::damage::is_damage;
use super::opening::Tables;
use super::{RocksStore, is_stall, store_error};

impl RocksStore {
    /// About how many bytes the rows of a log take on the disk, compressed; the
    /// length of its records while all of them are in the log of writes only.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn disk_bytes_of(&self, log: LogKey) -> Result<u64, StoreError> {
        let (from, to) = log_range(log.number);
        let tables = self.tables()?;
        let mut bytes = 0;
        for table in OF_LOGS {
            let range = Range::new(&from, &to);
            let sizes = (tables.db).get_approximate_sizes_cf(tables.family(table)?, &[range]);
            bytes += sizes.iter().sum::<u64>();
        }
        match bytes {
            0 => History::new(self, log).bytes(),
            bytes => Ok(bytes),
        }
    }

    /// Writes table files of what is in memory and in the log of writes only.
    ///
    /// # Errors
    /// The disk fails.
    pub fn flush(&self) -> Result<(), StoreError> {
        let tables = self.writable()?.into_tables();
        self.flush_these(&tables, &Table::ALL)
    }

    fn flush_these(&self, tables: &Tables, these: &[Table]) -> Result<(), StoreError> {
        for &table in these {
            if let Err(error) = tables.db.flush_cf(tables.family(table)?) {
                self.failed_flushes.fetch_add(1, Ordering::Relaxed);
                return Err(self.noticed(&error));
            }
        }
        Ok(())
    }

    /// What background work has met may be damage, which is mended by itself; nobody
    /// who reads has to meet it, too.
    fn noticed(&self, error: &rocksdb::Error) -> StoreError {
        if is_damage(error) {
            self.damage.notice_files(error.as_ref());
        }
        store_error(error)
    }

    /// How often background work has failed since the folder was opened: a table
    /// file, or the next log of writes, could not be made, say. RocksDB keeps that for
    /// whoever writes next, however well the disk is by then.
    #[must_use]
    pub fn background_errors(&self) -> u64 {
        // RocksDB counts what its own threads met.
        let asked_for = self.failed_flushes.load(Ordering::Relaxed);
        let Ok(tables) = self.tables() else {
            return asked_for;
        };
        let errors = (tables.db).property_int_value(properties::BACKGROUND_ERRORS);
        asked_for + errors.ok().flatten().unwrap_or(0)
    }

    /// Writes to the log and table files of all that is in memory, and so finds out
    /// whether both works. What is in the way, also from before, is a failure of
    /// the store from then on, as one of a commit is.
    ///
    /// # Errors
    /// It does not; or, which is no failure, background work is behind.
    pub fn prove(&self) -> Result<(), StoreError> {
        let tables = {
            let tables = self.writable()?;
            // Nothing is in it: where this is asked again and again, a row would be one
            // more table file each time, until there are too many for any write.
            let written = tables.db.write_opt(WriteBatch::default(), &self.synced);
            match written {
                Ok(()) => {}
                Err(error) if is_stall(&error) || is_damage(&error) => {
                    return Err(self.noticed(&error));
                }
                Err(error) => return Err(self.failed(&error)),
            }
            tables.into_tables()
        };
        for table in Table::ALL {
            match tables.db.flush_cf(tables.family(table)?) {
                Ok(()) => {}
                // Nobody is stopped meanwhile.
                Err(error) if is_damage(&error) => return Err(self.noticed(&error)),
                Err(error) => return Err(self.failed_in(tables, &error)),
            }
        }
        Ok(())
    }

    /// A failure of the store, if these are still its tables: whoever opens the folder
    /// anew has closed them before.
    fn failed_in(&self, tables: Arc<Tables>, error: &rocksdb::Error) -> StoreError {
        let failed = Arc::downgrade(&tables);
        // That one has the turn, and waits until nobody has them any more.
        drop(tables);
        let _turn = self.turn.read().unwrap_or_else(PoisonError::into_inner);
        let is_open = |now: Arc<Tables>| ptr::eq(Arc::as_ptr(&now), failed.as_ptr());
        match self.tables().is_ok_and(is_open) {
            true => self.failed(error),
            false => store_error(error),
        }
    }

    /// Writes a table file of which logs there are, if that has changed: should
    /// the log of writes be lost, they are still known, and fetched again.
    ///
    /// # Errors
    /// The disk fails.
    pub fn flush_known_logs(&self) -> Result<(), StoreError> {
        if !self.knows_more_logs.load(Ordering::Relaxed) {
            return Ok(());
        }
        let tables = self.writable()?.into_tables();
        self.knows_more_logs.store(false, Ordering::Relaxed);
        // The number of the next log first: no two logs may ever have the same.
        let flushed = self.flush_these(&tables, &[Table::Meta, Table::Logs]);
        if flushed.is_err() {
            self.knows_more_logs.store(true, Ordering::Relaxed);
        }
        flushed
    }

    /// Gives back the room of the rows with this log number, which were deleted.
    /// Table files that hold nothing else go at once, and need no room for it;
    /// the others are written anew, which takes about as long as writing one
    /// of them: the calling thread waits.
    ///
    /// # Errors
    /// The disk fails. Compaction gives the room back some day all the same.
    pub fn reclaim(&self, log: u32) -> Result<(), StoreError> {
        let (from, to) = log_range(log);
        for table in OF_LOGS {
            self.drop_files(table, &from, &to)?;
            self.compact(table, &from, &to)?;
        }
        Ok(())
    }

    /// Gives back the room of the chunks of a log number before `end`, which were
    /// dropped: the table files that have some of them are written anew without
    /// them. None of them is just removed, because what it says is gone may still
    /// stand in another one, together with rows that are not.
    ///
    /// # Errors
    /// There is no such table.
    pub fn reclaim_chunks(&self, log: u32, end: u64) -> Result<(), StoreError> {
        let (from, to) = (index_key(log, 0), index_key(log, end));
        self.compact(Table::Chunks, &from, &to)
    }

    fn drop_files(&self, table: Table, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        let tables = self.writable()?.into_tables();
        let family = tables.family(table)?;
        let dropped = (tables.db).delete_file_in_range_cf(family, from, to);
        dropped.map_err(|error| store_error(&error))
    }

    fn compact(&self, table: Table, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        let mut options = CompactOptions::default();
        // Other work of the store must not wait for this.
        options.set_exclusive_manual_compaction(false);
        let tables = self.writable()?.into_tables();
        let family = tables.family(table)?;
        (tables.db).compact_range_cf_opt(family, Some(from), Some(to), &options);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rocksdb::{DB, Options};

    use super::super::damage::Places;
    use super::*;

    #[test]
    fn who_waits_to_say_that_tables_have_failed_keeps_nobody_from_opening_them_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = RocksStore::open(&dir.path().join("store")).unwrap();
        let error = DB::list_cf(&Options::default(), dir.path().join("nothing")).unwrap_err();
        let tables = store.tables().unwrap();
        let alone = store.turn.write().unwrap();
        thread::scope(|scope| {
            let fails = scope.spawn(|| store.failed_in(tables, &error));
            let opened = store.open_anew(Places::default());
            drop(alone);
            fails.join().unwrap();
            opened.unwrap();
        });
        // They were those of before.
        assert_eq!(store.failure(), None);
        store.failed_in(store.tables().unwrap(), &error);
        assert!(store.failure().is_some());
    }
}
