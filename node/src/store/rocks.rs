//! The tables in RocksDB, one column family each.

mod damage;
mod manifest;
mod mended;
mod mending;
mod open_error;
mod opening;
mod options;
mod past_cache;
mod patient;
mod space;

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use damage::{LostParts, Noticed, is_damage};
use headwater_protocols::store::{Batch, Change, Durability, Store, StoreError, Table};
pub use mended::{Lost, Mended};
use mending::Opening;
pub use open_error::OpenError;
use open_error::{check_version, unusable};
use opening::{Handle, Writable};
use options::{MAX_FIRST_LEVEL_FILES, families, store_options, write_options};
pub use past_cache::PastCache;
pub use patient::Patient;
use rocksdb::{
    ColumnFamily, DB, DBRecoveryMode, ErrorKind, Options, ReadOptions, WriteOptions, properties,
};

use super::wal::{self, LostWrites};

/// The form of what is stored; docs/formats.md draws it. A folder that says
/// another number is refused.
pub const FORMAT_VERSION: u32 = 2;

/// That of version 0.1.0, whose folders are carried over: what is in them is read in
/// both forms, so that no more is to be done before anything is written in the new one.
const EARLY_VERSION: u32 = 1;

/// Key of [`Table::Meta`]: [`FORMAT_VERSION`] as 4 bytes, big-endian.
const FORMAT_KEY: &[u8] = b"format_version";

/// Full write buffers of a table at which history waits. Writes of all kinds
/// wait for the disk from one more on.
const HISTORY_BUFFERS: u64 = 3;
/// How long a commit waits for background work to catch up. A flush of every
/// buffer takes a few seconds on a slow disk.
const STALL_LIMIT: Duration = Duration::from_secs(60);
const STALL_POLL: Duration = Duration::from_millis(2);

/// The tables of a node in a folder of their own.
///
/// One process at a time has it open. Dropping it syncs what was written and
/// waits for background work to end.
///
/// After a commit has failed, reading goes on and further commits fail for the
/// same reason, until [`RocksStore::reopen`] has succeeded: what RocksDB has in
/// memory then may not be what its files have. A folder that cannot be written
/// at all, because its disk is full, say, is opened for reading alone; it is as
/// if a commit had failed already.
pub struct RocksStore {
    dir: PathBuf,
    /// What is open now. It is changed by whoever has `turn` alone.
    handle: RwLock<Handle>,
    /// Whoever writes has it together with others, whoever opens the folder anew
    /// has it alone: nothing is written meanwhile.
    turn: RwLock<()>,
    /// The tables that were open before, as long as somebody still reads them.
    leaving: Mutex<Weak<()>>,
    damage: Noticed,
    mended: Option<Mended>,
    /// What was mended while it was open, until somebody asks.
    repaired: Mutex<Vec<Mended>>,
    /// Rows that were lost, and that nobody is told are not there.
    lost_parts: LostParts,
    read: ReadOptions,
    written: WriteOptions,
    synced: WriteOptions,
    fsyncs: AtomicU64,
    /// Which logs there are has changed since that was written to table files.
    knows_more_logs: AtomicBool,
    /// Table files that somebody asked for, and that could not be written.
    failed_flushes: AtomicU64,
    /// What the disk has lost of the logs of writes, at the start, and when they
    /// were looked at last.
    lost: Option<LostWrites>,
    lost_since: Mutex<Option<LostWrites>>,
    /// Why it cannot be written.
    failure: Mutex<Option<StoreError>>,
}

impl RocksStore {
    /// Opens the folder, and creates it if need be.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing was changed if it is locked or of another
    /// format.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        create_durably(dir).map_err(|error| OpenError::Failed {
            dir: dir.to_owned(),
            why: error.to_string(),
        })?;
        let mut opening = Opening::default();
        let lost = opening.look_at_logs(dir, None);
        let lost = lost.map_err(|error| OpenError::Failed {
            dir: dir.to_owned(),
            why: error.to_string(),
        })?;
        let (handle, failure) = opening.open(dir)?;
        let store = Self {
            dir: dir.to_owned(),
            handle: RwLock::new(handle),
            turn: RwLock::default(),
            leaving: Mutex::default(),
            damage: Noticed::default(),
            mended: opening.mended(),
            repaired: Mutex::default(),
            lost_parts: LostParts::default(),
            read: ReadOptions::default(),
            written: write_options(Durability::Written),
            synced: write_options(Durability::Synced),
            fsyncs: AtomicU64::new(0),
            knows_more_logs: AtomicBool::new(false),
            failed_flushes: AtomicU64::new(0),
            lost_since: Mutex::new(lost.clone()),
            lost,
            failure: Mutex::new(failure),
        };
        store.check_format(dir)?;
        if let Some(mended) = &store.mended {
            store.lost_parts.add(&mended.lost, mended.number);
        }
        Ok(store)
    }

    /// Why it cannot be written, if it cannot.
    #[must_use]
    pub fn failure(&self) -> Option<StoreError> {
        lock(&self.failure).clone()
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Commits so far that reached the disk itself.
    #[must_use]
    pub fn fsyncs(&self) -> u64 {
        self.fsyncs.load(Ordering::Relaxed)
    }

    /// What the disk has lost of the logs of writes: RocksDB has read them up to
    /// there. A copy of the files is kept.
    #[must_use]
    pub fn lost_writes(&self) -> Option<&LostWrites> {
        self.lost.as_ref()
    }

    /// Whether the disk has so much to do that writes will soon have to wait for
    /// it, all of them alike. One write buffer, and some table files of the
    /// first level, are left for what must not wait.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let Ok(tables) = self.tables() else {
            return false;
        };
        let Ok(chunks) = tables.family(Table::Chunks) else {
            return false;
        };
        let full_buffers =
            (tables.db).property_int_value_cf(chunks, properties::NUM_IMMUTABLE_MEM_TABLE);
        let full_buffers = full_buffers.ok().flatten().unwrap_or(0);
        let files = (tables.db).property_value_cf(chunks, properties::num_files_at_level(0));
        let files: i32 = (files.ok().flatten()).map_or(0, |files| files.parse().unwrap_or(0));
        full_buffers >= HISTORY_BUFFERS || files >= MAX_FIRST_LEVEL_FILES * 3 / 4
    }

    /// Length of all files in the folder.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn disk_bytes(&self) -> io::Result<u64> {
        self.bytes_of_files(|name| name != super::RESERVE_FILE)
    }

    /// Length of the log of writes: what is not in a table file yet, and may take
    /// as much once more when it is written into one.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn log_bytes(&self) -> io::Result<u64> {
        self.bytes_of_files(|name| name.ends_with(".log"))
    }

    fn bytes_of_files(&self, wanted: impl Fn(&str) -> bool) -> io::Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(&wanted) {
                continue;
            }
            match entry.metadata() {
                Ok(file) => bytes += file.len(),
                // Removed meanwhile by compaction.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    fn check_format(&self, dir: &Path) -> Result<(), OpenError> {
        let found = match self.get(Table::Meta, FORMAT_KEY) {
            Ok(None) if self.mended.is_some() || mended::was_mended(dir) => None,
            // A row that cannot be read is written anew: a later format has other tables.
            Err(StoreError::Damaged(_)) => None,
            Ok(None) if !self.is_blank().map_err(|error| unusable(dir, error))? => {
                return Err(OpenError::Damaged {
                    dir: dir.to_owned(),
                    why: "it holds data, but no format version".to_owned(),
                });
            }
            found => found.map_err(|error| unusable(dir, error))?,
        };
        match found {
            Some(found) if found[..] == EARLY_VERSION.to_be_bytes() => self.carry_over(dir),
            Some(found) => check_version(dir, &found),
            // It is read as it is.
            None if self.failure().is_some() && self.is_blank() != Ok(true) => Ok(()),
            None => self.put_version(dir),
        }
    }

    fn put_version(&self, dir: &Path) -> Result<(), OpenError> {
        let mut batch = Batch::new();
        let version = FORMAT_VERSION.to_be_bytes().to_vec();
        batch.put(Table::Meta, FORMAT_KEY, version);
        self.commit(batch, Durability::Synced)
            .map_err(|error| unusable(dir, error))
    }

    /// Makes a folder of version 0.1.0 one of today, of which that version knows that
    /// it does not know it. One that cannot be written is read as it is.
    fn carry_over(&self, dir: &Path) -> Result<(), OpenError> {
        match self.put_version(dir) {
            Err(_) if self.failure().is_some() => Ok(()),
            written => {
                if written.is_ok() {
                    tracing::info!(
                        "{} is of version 0.1.0 and was carried over; that version does not open it any \
                         more",
                        dir.display()
                    );
                }
                written
            }
        }
    }

    /// Whether no table has a row: just created, or created by a process that
    /// ended before it wrote the format.
    fn is_blank(&self) -> Result<bool, StoreError> {
        let tables = self.tables()?;
        for table in Table::ALL {
            let mut rows = tables.db.raw_iterator_cf(tables.family(table)?);
            rows.seek_to_first();
            if rows.valid() {
                return Ok(false);
            }
            rows.status().map_err(|error| store_error(&error))?;
        }
        Ok(true)
    }

    /// Writes a batch, and waits here while background work is behind. RocksDB
    /// would wait by itself, but when the disk became full meanwhile it was seen
    /// not to return before there was room again.
    fn write(&self, batch: &Batch, options: &WriteOptions) -> Result<(), StoreError> {
        let mut waiting_since = None;
        let mut was_mended = false;
        loop {
            let written = {
                let tables = self.writable()?;
                tables.db.write_opt(tables.encode(batch)?, options)
            };
            let error = match written {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if is_damage(&error) && !was_mended {
                // Background work has met damage, since when nothing is written.
                was_mended = true;
                self.damage.notice_files(error.as_ref());
                self.mend()?;
                continue;
            }
            if !is_stall(&error) {
                return Err(self.failed(&error));
            }
            let since = *waiting_since.get_or_insert_with(Instant::now);
            if since.elapsed() > STALL_LIMIT {
                return Err(StoreError::Failed(format!(
                    "background work has held back writes for {} s; \
                     the disk is too slow or nearly full",
                    STALL_LIMIT.as_secs()
                )));
            }
            thread::sleep(STALL_POLL);
        }
    }

    /// The tables, unless they cannot be written; they stay open for writing until
    /// this is dropped. Whatever is asked of them after a failure, nothing is
    /// written. It must not be called by whoever has them already, nor before the
    /// folder is opened anew: that one would wait for itself.
    fn writable(&self) -> Result<Writable<'_>, StoreError> {
        let turn = self.turn.read().unwrap_or_else(PoisonError::into_inner);
        match self.failure() {
            None => Ok(Writable::new(self.tables()?, turn)),
            Some(StoreError::Unclear(why)) => Err(StoreError::Failed(why)),
            Some(error) => Err(error),
        }
    }

    /// From the first failure on nothing is written.
    fn failed(&self, error: &rocksdb::Error) -> StoreError {
        (lock(&self.failure).get_or_insert_with(|| write_error(error))).clone()
    }
}

impl Store for RocksStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.get_with(table, key, &self.read)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        self.scan_with(table, from, to, ReadOptions::default(), visit)
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        let knows_more_logs = batch.changes().iter().any(|change| match change {
            Change::Put(table, ..) | Change::Delete(table, _) | Change::DeleteRange(table, ..) => {
                *table == Table::Logs
            }
        });
        if knows_more_logs {
            self.knows_more_logs.store(true, Ordering::Relaxed);
        }
        match durability {
            Durability::Written => self.write(&batch, &self.written)?,
            Durability::Synced => {
                if batch.is_empty() {
                    let tables = self.writable()?;
                    (tables.db.flush_wal(true)).map_err(|error| self.failed(&error))?;
                } else {
                    self.write(&batch, &self.synced)?;
                }
                self.fsyncs.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

impl Drop for RocksStore {
    fn drop(&mut self) {
        // What could not be written has been said already.
        if let Ok(tables) = self.writable()
            && let Err(error) = tables.db.flush_wal(true)
        {
            tracing::warn!(%error, "what was written last could not be synced");
        }
    }
}

impl std::fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (f.debug_struct("RocksStore"))
            .field("dir", &self.dir)
            .field("fsyncs", &self.fsyncs())
            .finish_non_exhaustive()
    }
}

fn family(db: &DB, table: Table) -> Result<&ColumnFamily, StoreError> {
    (db.cf_handle(table.name()))
        .ok_or_else(|| StoreError::Failed(format!("the table {} is not open", table.name())))
}

/// Opens every table, past the system's cache where the file system can do that.
fn open_tables(
    dir: &Path,
    mode: DBRecoveryMode,
    adjust: impl Fn(&mut Options),
) -> Result<DB, rocksdb::Error> {
    let mut options = store_options();
    options.set_wal_recovery_mode(mode);
    adjust(&mut options);
    // Table files are written past the system's cache: copied into it, they cost
    // half of the processor time of a long sync, and a publisher's sync on the
    // same disk waited for them, too.
    options.set_use_direct_io_for_flush_and_compaction(true);
    match DB::open_cf_descriptors(&options, dir, families()) {
        Err(error) if is_for_lack_of_direct_io(&error) => {
            options.set_use_direct_io_for_flush_and_compaction(false);
            DB::open_cf_descriptors(&options, dir, families())
        }
        opened => opened,
    }
}

/// Opens every table for reading alone, as its files are now. Needs neither room
/// nor rights to write.
fn open_tables_for_reading(dir: &Path) -> Result<DB, rocksdb::Error> {
    let mut options = store_options();
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    DB::open_cf_descriptors_read_only(&options, dir, families(), false)
}

/// Creates a folder whose name survives the loss of power. RocksDB syncs what
/// is in its folder, but not the folder that this one is in.
fn create_durably(dir: &Path) -> io::Result<()> {
    let missing: Vec<_> = dir.ancestors().take_while(|path| !path.exists()).collect();
    fs::create_dir_all(dir)?;
    for parent in missing.iter().filter_map(|path| path.parent()) {
        let parent = match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        };
        fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Copies the logs of writes. RocksDB removes the files once it has read them, and
/// some of what it does not find in damaged ones may be worth a lot to somebody.
fn keep_logs(dir: &Path) -> io::Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let kept = format!("store-damaged-{}", now.map_or(0, |now| now.as_secs()));
    let kept = dir.with_file_name(kept);
    let copy = |log: &Path| -> io::Result<()> {
        fs::create_dir_all(&kept)?;
        fs::copy(log, kept.join(log.file_name().unwrap_or_default()))?;
        Ok(())
    };
    for log in wal::logs(dir)? {
        // Where there is no room for it, the node has to start all the same.
        if let Err(error) = copy(&log) {
            tracing::warn!(log = %log.display(), %error, "no copy of it can be kept");
        }
    }
    Ok(())
}

/// RocksDB passes errors through its C interface as text only.
fn store_error(error: &rocksdb::Error) -> StoreError {
    let message = error.as_ref();
    let is_full =
        message.contains("No space left on device") || message.contains("Disk quota exceeded");
    match error.kind() {
        _ if is_full => StoreError::Full(message.to_owned()),
        _ if is_damage(error) => StoreError::Damaged(message.to_owned()),
        _ => StoreError::Failed(message.to_owned()),
    }
}

/// What a failed write left. One that was to be synced may be there all the same;
/// so may one whose last bytes could not be written to a broken disk. Where there
/// was no room for them, the rest is not taken for a write.
fn write_error(error: &rocksdb::Error) -> StoreError {
    let message = error.as_ref();
    let is_sync = ["While fsync", "While fdatasync", "While sync_file_range"]
        .iter()
        .any(|what| message.contains(what));
    let is_append = message.contains("While appending to file") && message.contains(".log");
    match store_error(error) {
        StoreError::Full(_) | StoreError::Failed(_) if is_sync => {
            StoreError::Unclear(message.to_owned())
        }
        StoreError::Failed(_) if is_append => StoreError::Unclear(message.to_owned()),
        error => error,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the file system of the folder cannot write past the system's cache:
/// RocksDB tries when it opens the folder.
fn is_for_lack_of_direct_io(error: &rocksdb::Error) -> bool {
    error.kind() == ErrorKind::InvalidArgument
        && error.as_ref().contains("Direct I/O is not supported")
}

/// Whether nothing was written because background work is behind.
fn is_stall(error: &rocksdb::Error) -> bool {
    error.kind() == ErrorKind::Incomplete && error.as_ref().contains("Write stall")
}
