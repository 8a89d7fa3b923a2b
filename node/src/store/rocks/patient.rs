//! Reading for somebody who can wait: damaged table files are taken out within a
//! moment, and what stands beside the damage can be read again after it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use headwater_protocols::store::{Batch, Durability, LogKey, Store, StoreError, Table, Visitor};

use super::RocksStore;

/// How long one who reads waits in all: a repair takes about as long as a start,
/// and nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A store whose reads wait while it is mended. What is lost for good fails after
/// that. The engine and whoever mends must not read by it: the repair waits for
/// them.
#[derive(Debug)]
pub struct Patient<'a> {
    store: &'a RocksStore,
    /// Microseconds for which it may still wait.
    left_us: AtomicU64,
}

impl<'a> Patient<'a> {
    /// For one request.
    #[must_use]
    pub fn new(store: &'a RocksStore) -> Self {
        let left = u64::try_from(PATIENCE.as_micros()).unwrap_or(u64::MAX);
        Self {
            store,
            left_us: AtomicU64::new(left),
        }
    }

    /// As [`RocksStore::disk_bytes_of`].
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn disk_bytes_of(&self, log: LogKey) -> Result<u64, StoreError> {
        self.retry(|| self.store.disk_bytes_of(log))
    }

    /// Reads until it comes about, or waiting is of no use.
    ///
    /// # Errors
    /// The last one.
    fn retry<T>(&self, mut read: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
        loop {
            match read() {
                Err(_) if self.waits() => {}
                done => return done,
            }
        }
    }

    /// Waits a moment, if there is one left and what cannot be read is being mended.
    fn waits(&self) -> bool {
        let pause = u64::try_from(PAUSE.as_micros()).unwrap_or(u64::MAX);
        let spend = |left: u64| left.checked_sub(pause);
        let may_wait = self.store.is_being_mended()
            && (self.left_us)
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
                .is_ok();
        if may_wait {
            thread::sleep(PAUSE);
        }
        may_wait
    }
}

impl Store for Patient<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.retry(|| self.store.get(table, key))
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: Visitor<'_>,
    ) -> Result<(), StoreError> {
        // It goes on behind the last row that was seen.
        let mut next = from.to_vec();
        self.retry(|| {
            let begin = next.clone();
            let visit = &mut |key: &[u8], value: &[u8]| {
                next.clear();
                next.extend_from_slice(key);
                next.push(0);
                visit(key, value)
            };
            self.store.scan(table, &begin, to, visit)
        })
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        self.store.commit(batch, durability)
    }
}

impl RocksStore {
    /// Whether what cannot be read now may be readable in a moment: damage was met
    /// and is not taken out yet, the folder is being opened anew, or rows that were
    /// lost are looked for.
    fn is_being_mended(&self) -> bool {
        if self.failure().is_some() {
            // It is opened anew when the disk can be written, and nobody knows when.
            return false;
        }
        let is_opened_anew = matches!(
            self.turn.try_read(),
            Err(std::sync::TryLockError::WouldBlock)
        );
        is_opened_anew || self.lost_parts.are_some() || self.wait_for_damage(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::ops::ControlFlow;
    use std::time::Instant;

    use headwater_protocols::store::tables::index_key;

    use super::*;

    const ROWS: u64 = 3_000;

    /// A store with a damaged block in its only table file of records.
    fn damaged(dir: &std::path::Path) -> RocksStore {
        let store = RocksStore::open(dir).unwrap();
        let mut batch = Batch::new();
        for index in 0..ROWS {
            let value = vec![index as u8; 200];
            batch.put(Table::Records, index_key(1, index), value);
        }
        store.commit(batch, Durability::Synced).unwrap();
        store.flush().unwrap();
        drop(store);
        let mut tables: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "sst"))
            .collect();
        tables.sort_by_key(|path| fs::metadata(path).unwrap().len());
        let table = tables.pop().unwrap();
        let mut bytes = fs::read(&table).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 4;
        fs::write(table, bytes).unwrap();
        RocksStore::open(dir).unwrap()
    }

    fn scan(store: &impl Store) -> Result<u64, StoreError> {
        let mut rows = 0;
        let [from, to] = [0, ROWS].map(|index| index_key(1, index));
        let visit = &mut |_: &[u8], _: &[u8]| {
            rows += 1;
            ControlFlow::Continue(())
        };
        store.scan(Table::Records, &from, &to, visit)?;
        Ok(rows)
    }

    #[test]
    fn who_reads_beside_damage_waits_until_it_is_taken_out() {
        let dir = tempfile::tempdir().unwrap();
        let store = damaged(dir.path());
        scan(&store).unwrap_err();
        let patient = Patient::new(&store);
        let until_it_waits = || {
            let (begun, before) = (Instant::now(), patient.left_us.load(Ordering::Relaxed));
            while patient.left_us.load(Ordering::Relaxed) == before {
                assert!(begun.elapsed() < PATIENCE, "nobody waits");
                thread::yield_now();
            }
        };
        let rows = thread::scope(|scope| {
            scope.spawn(|| {
                until_it_waits();
                let mended = store.mend().unwrap().unwrap();
                assert_eq!(mended.lost.len(), 1);
                until_it_waits();
                assert!(store.forget_lost(mended.number));
            });
            scan(&patient).unwrap()
        });
        // Each row that can still be read comes once.
        assert!(rows > ROWS / 2 && rows < ROWS, "{rows}");
        assert_eq!(scan(&store).unwrap(), rows);
    }

    #[test]
    fn nobody_waits_for_ever_and_not_for_what_no_repair_brings() {
        let dir = tempfile::tempdir().unwrap();
        let store = damaged(dir.path());
        scan(&store).unwrap_err();
        let patient = Patient::new(&store);
        let begun = Instant::now();
        // Nobody mends it.
        scan(&patient).unwrap_err();
        assert!(begun.elapsed() >= PATIENCE);
        scan(&patient).unwrap_err();
        assert!(begun.elapsed() < 2 * PATIENCE);
    }
}
