//! The one place that opens the folder: for writing, after what is damaged was
//! mended, or for reading alone, where its disk cannot be written. And opening it
//! anew, after a write that failed or to take damaged table files out, while
//! others read on.

use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLockReadGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

use headwater_protocols::store::{Batch, Change, Durability, Store, StoreError, Table};
use rocksdb::{ColumnFamily, DB, WriteBatch};

use super::damage::Places;
use super::mended::Mended;
use super::mending::{self, Opening};
use super::open_error::is_for_lack_of_writing;
use super::wal::{self, LostWrites};
use super::{OpenError, RocksStore, family, keep_logs, lock, open_tables_for_reading};

/// How long readers of the tables that are closed are waited for. The longest
/// read one part of an export.
const READERS_LEAVE: Duration = Duration::from_secs(10);

/// What is open now.
#[derive(Clone)]
pub(super) enum Handle {
    /// The tables, for writing or for reading alone.
    Open(Arc<Tables>),
    /// For a moment, while the folder is opened anew and cannot be read besides; or
    /// for longer, when that has failed.
    Closed,
}

/// The tables as they are open now.
pub(super) struct Tables {
    pub(super) db: DB,
    writes: bool,
    /// Dropped last: when nobody has it any more, the folder is closed.
    open: Arc<()>,
}

impl Tables {
    fn new(db: DB, writes: bool) -> Self {
        let open = Arc::default();
        Self { db, writes, open }
    }

    pub(super) fn family(&self, table: Table) -> Result<&ColumnFamily, StoreError> {
        family(&self.db, table)
    }

    pub(super) fn encode(&self, batch: &Batch) -> Result<WriteBatch, StoreError> {
        let mut encoded = WriteBatch::default();
        for change in batch.changes() {
            match change {
                Change::Put(table, key, value) => {
                    encoded.put_cf(self.family(*table)?, key, value);
                }
                Change::Delete(table, key) => encoded.delete_cf(self.family(*table)?, key),
                Change::DeleteRange(table, from, to) if from < to => {
                    encoded.delete_range_cf(self.family(*table)?, from, to);
                }
                // RocksDB refuses a range that ends before it begins.
                Change::DeleteRange(..) => {}
            }
        }
        Ok(encoded)
    }

    /// Whether a read has failed because the files are not those any more that were
    /// there when they were opened for reading alone. That is no damage.
    pub(super) fn is_outdated(&self, error: &rocksdb::Error) -> bool {
        !self.writes && error.as_ref().contains("No such file or directory")
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        if self.writes {
            self.db.cancel_all_background_work(true);
        }
    }
}

/// The tables while they may be written.
pub(super) struct Writable<'a> {
    tables: Arc<Tables>,
    _turn: RwLockReadGuard<'a, ()>,
}

impl<'a> Writable<'a> {
    pub(super) fn new(tables: Arc<Tables>, turn: RwLockReadGuard<'a, ()>) -> Self {
        let _turn = turn;
        Self { tables, _turn }
    }

    /// For work that takes long and changes nothing that is read: the folder may be
    /// opened anew meanwhile, which ends it.
    pub(super) fn into_tables(self) -> Arc<Tables> {
        self.tables
    }
}

impl Deref for Writable<'_> {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.tables
    }
}

impl Opening {
    /// Looks for what the disk has lost of the logs of writes, before they are read
    /// for good, and keeps a copy of them, unless that was known.
    pub(super) fn look_at_logs(
        &mut self,
        dir: &Path,
        known: Option<&LostWrites>,
    ) -> io::Result<Option<LostWrites>> {
        let lost = wal::lost_writes(dir)?;
        if let Some(lost) = lost.as_ref().filter(|lost| Some(*lost) != known) {
            let (log, at, behind) = (lost.file.display(), lost.at, lost.behind);
            tracing::warn!(%log, at, behind, "the disk has lost a part of the log of writes");
            keep_logs(dir)?;
        }
        self.lost_writes = lost.is_some();
        Ok(lost)
    }

    /// Opens the folder: for reading alone, with the reason, where its disk cannot
    /// be written.
    pub(super) fn open(&mut self, dir: &Path) -> Result<(Handle, Option<StoreError>), OpenError> {
        let error = match mending::open(dir, self) {
            Ok(db) => return Ok((Handle::open(Tables::new(db, true)), None)),
            Err(error) => error,
        };
        let failure = match &error {
            OpenError::Full { why, .. } => StoreError::Full(why.clone()),
            OpenError::Failed { why, .. } if is_for_lack_of_writing(why) => {
                StoreError::Failed(why.clone())
            }
            _ => return Err(error),
        };
        match open_tables_for_reading(dir) {
            Ok(db) => Ok((Handle::open(Tables::new(db, false)), Some(failure))),
            // There is nothing to read yet, or it is damaged, too.
            Err(_) => Err(error),
        }
    }
}

impl Handle {
    fn open(tables: Tables) -> Self {
        Self::Open(Arc::new(tables))
    }
}

impl RocksStore {
    /// What is open now, to read from.
    pub(super) fn tables(&self) -> Result<Arc<Tables>, StoreError> {
        let handle = self.handle.read().unwrap_or_else(PoisonError::into_inner);
        match &*handle {
            Handle::Open(tables) => Ok(tables.clone()),
            Handle::Closed => {
                let why = "the store is being opened anew and cannot be read meanwhile; try again";
                Err(StoreError::Failed(why.to_owned()))
            }
        }
    }

    /// Lets everybody who comes see something else. What is returned is gone when
    /// the tables of before are closed.
    fn swap(&self, other: Handle) -> Weak<()> {
        let mut current = self.handle.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, other);
        // Not closed while readers wait for the lock: closing takes time.
        drop(current);
        match old {
            Handle::Open(tables) => Arc::downgrade(&tables.open),
            Handle::Closed => Weak::new(),
        }
    }

    /// Has it written again after a failure: the tables are closed and opened
    /// anew, so that what is seen from then on is what the files have, and
    /// survives the loss of power. Meanwhile reading goes on.
    ///
    /// # Errors
    /// The disk still cannot be written.
    pub fn reopen(&self) -> Result<(), StoreError> {
        let _alone = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        if self.failure().is_none() {
            return Ok(());
        }
        self.open_anew(self.damage.take()).map(drop)
    }

    /// Closes what is open and opens it anew, without what is known to be damaged;
    /// what was done besides. Whoever calls it has the turn alone.
    pub(super) fn open_anew(&self, noticed: Places) -> Result<Mended, StoreError> {
        let mut opening = Opening {
            noticed,
            was_open: true,
            ..Opening::default()
        };
        let opened = match self.close() {
            Ok(()) => self.open_closed(&mut opening),
            Err(error) => Err(error),
        };
        self.damage.put_back(std::mem::take(&mut opening.noticed));
        if let Some(mut mended) = opening.mended() {
            mended.number = self.lost_parts.last_repair() + 1;
            opening.mended = mended.clone();
            self.lost_parts.add(&mended.lost, mended.number);
            lock(&self.repaired).push(mended);
        }
        let mut failure = lock(&self.failure);
        match opened {
            Ok(()) => *failure = None,
            Err(error) => {
                failure.get_or_insert_with(|| error.clone());
                return Err(error);
            }
        }
        Ok(opening.mended)
    }

    fn open_closed(&self, opening: &mut Opening) -> Result<(), StoreError> {
        let failed = |error: io::Error| StoreError::Failed(error.to_string());
        let known = lock(&self.lost_since).clone();
        let lost = opening.look_at_logs(&self.dir, known.as_ref());
        *lock(&self.lost_since) = lost.map_err(failed)?;
        let opened = opening.open(&self.dir);
        let (handle, failure) = opened.map_err(|error| match error {
            OpenError::Full { why, .. } => StoreError::Full(why),
            OpenError::Damaged { why, .. } => StoreError::Damaged(why),
            error => StoreError::Failed(error.to_string()),
        })?;
        drop(self.swap(handle));
        failure.map_or(Ok(()), Err)
    }

    /// Closes the tables that can be written. Whoever reads sees them as their files
    /// are, if that is possible.
    fn close(&self) -> Result<(), StoreError> {
        if let Ok(tables) = self.tables()
            && tables.writes
        {
            if self.failure().is_none()
                && let Err(error) = tables.db.flush_wal(true)
            {
                tracing::warn!(%error, "what was written last could not be synced");
            }
            // RocksDB must not go on by itself with what it has in memory.
            tables.db.cancel_all_background_work(true);
            let view = open_tables_for_reading(&self.dir);
            let view = view.map_or(Handle::Closed, |db| Handle::open(Tables::new(db, false)));
            drop(tables);
            *lock(&self.leaving) = self.swap(view);
        }
        let leaving = lock(&self.leaving).clone();
        let since = Instant::now();
        while leaving.strong_count() > 0 {
            if since.elapsed() > READERS_LEAVE {
                let why = "the tables cannot be opened anew while they are still read";
                return Err(StoreError::Failed(why.to_owned()));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Tries whether it can be written, table files included, after
    /// [`reopen`](Self::reopen) if need be.
    ///
    /// # Errors
    /// It cannot.
    pub fn probe(&self) -> Result<(), StoreError> {
        self.reopen()?;
        let mut batch = Batch::new();
        // It leaves nothing behind, but it has to be written.
        batch.delete(Table::Meta, b"probe");
        self.commit(batch, Durability::Synced)?;
        self.prove()
    }
}
