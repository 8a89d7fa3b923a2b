//! A store in memory whose power can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Batch, Change, Durability, Store, StoreError, Table, Visitor};

type Tables = BTreeMap<(Table, Vec<u8>), Bytes>;

/// Keeps everything in memory. [`MemoryStore::lose_power`] takes away what was
/// not synced, faults can be set for the next commits, and rows can be damaged.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the process sees.
    seen: Tables,
    /// What survives the loss of power.
    synced: Tables,
    /// What was committed since the last sync, in order.
    unsynced: Vec<Batch>,
    /// Synced commits so far.
    syncs: u64,
    /// Commits until one fails.
    fails_in: Option<(u64, StoreError)>,
    /// Rows that cannot be read until they are written or deleted.
    damaged: BTreeSet<(Table, Vec<u8>)>,
    /// Why every commit fails.
    fails: Option<StoreError>,
    /// Batches whose commit failed in an unclear way, in order: nobody sees
    /// them, and the disk may have them.
    unclear: Vec<Batch>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power: of the batches that were not synced, the first `kept`
    /// are on the disk all the same, the others are lost.
    pub fn lose_power(&self, kept: usize) {
        let state = &mut *self.lock();
        let mut unsynced = std::mem::take(&mut state.unsynced);
        unsynced.append(&mut state.unclear);
        for batch in unsynced.iter().take(kept) {
            apply(&mut state.synced, batch);
        }
        state.seen = state.synced.clone();
    }

    /// Another store with what the process sees in this one.
    #[must_use]
    pub fn copy(&self) -> Self {
        let seen = self.lock().seen.clone();
        let state = State {
            synced: seen.clone(),
            seen,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Takes on what another one has, as a disk does that loses what it was given.
    pub fn become_copy_of(&self, other: &Self) {
        let seen = other.lock().seen.clone();
        let state = &mut *self.lock();
        state.synced.clone_from(&seen);
        state.seen = seen;
        state.unsynced.clear();
        state.unclear.clear();
        state.damaged.clear();
    }

    /// Batches that the loss of power could take away.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        let state = self.lock();
        state.unsynced.len() + state.unclear.len()
    }

    /// Batches of which nobody knows whether the disk has them.
    #[must_use]
    pub fn unclear(&self) -> usize {
        self.lock().unclear.len()
    }

    /// Opens it anew, as a process does that does not know what its disk has: of
    /// the batches that are unclear the first `kept` turn out to be there.
    pub fn reopen(&self, kept: usize) {
        let state = &mut *self.lock();
        for batch in std::mem::take(&mut state.unclear).into_iter().take(kept) {
            state.overwrite_damaged(&batch);
            apply(&mut state.seen, &batch);
            state.unsynced.push(batch);
        }
    }

    /// Synced commits so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Lets `commits` commits succeed and fails the next one.
    pub fn fail_after(&self, commits: u64, error: StoreError) {
        self.lock().fails_in = Some((commits, error));
    }

    /// Damages the rows of a table that `which` chooses by their keys, and says how
    /// many they are. Each of them cannot be read until it is written or deleted.
    pub fn damage(&self, table: Table, which: impl Fn(&[u8]) -> bool) -> usize {
        let state = &mut *self.lock();
        let rows = state
            .seen
            .keys()
            .filter(|(of, key)| *of == table && which(key));
        let rows: Vec<_> = rows.cloned().collect();
        let count = rows.len();
        state.damaged.extend(rows);
        count
    }

    /// Makes of the rows of a table that `which` chooses what `what` says: others,
    /// or none. Nobody who reads them is told. Says how many they are.
    pub fn falsify(
        &self,
        table: Table,
        which: impl Fn(&[u8]) -> bool,
        what: impl Fn(&Bytes) -> Option<Bytes>,
    ) -> usize {
        let state = &mut *self.lock();
        let mut count = 0;
        for tables in [&mut state.seen, &mut state.synced] {
            let rows = tables
                .iter()
                .filter(|((of, key), _)| *of == table && which(key));
            let rows: Vec<_> = rows.map(|(key, row)| (key.clone(), what(row))).collect();
            count = rows.len();
            for (key, row) in rows {
                match row {
                    Some(row) => tables.insert(key, row),
                    None => tables.remove(&key),
                };
            }
        }
        count
    }

    /// Fails every commit from now on; none any more without an error.
    pub fn fail_while(&self, error: Option<StoreError>) {
        let state = &mut *self.lock();
        if error.is_none() {
            state.fails_in = None;
        }
        state.fails = error;
    }

    /// Keys in a table.
    #[must_use]
    pub fn len(&self, table: Table) -> usize {
        let state = self.lock();
        state.seen.keys().filter(|(of, _)| *of == table).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let state = self.lock();
        let row = (table, key.to_vec());
        if state.damaged.contains(&row) {
            return Err(damaged(table));
        }
        Ok(state.seen.get(&row).cloned())
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: Visitor<'_>,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let found: Vec<_> = {
            let state = self.lock();
            let rows = state
                .seen
                .range((table, from.to_vec())..(table, to.to_vec()));
            rows.map(|(row, value)| (row.1.clone(), value.clone(), state.damaged.contains(row)))
                .collect()
        };
        for (key, value, is_damaged) in found {
            if is_damaged {
                return Err(damaged(table));
            }
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        let state = &mut *self.lock();
        if let Some(error) = state.fails.clone() {
            return state.failed(batch, error);
        }
        match &mut state.fails_in {
            Some((0, _)) => {
                let (_, error) = state.fails_in.take().expect("it is set");
                return state.failed(batch, error);
            }
            Some((commits, _)) => *commits -= 1,
            None => {}
        }
        state.overwrite_damaged(&batch);
        apply(&mut state.seen, &batch);
        state.unsynced.push(batch);
        if durability == Durability::Synced {
            for batch in std::mem::take(&mut state.unsynced) {
                apply(&mut state.synced, &batch);
            }
            state.syncs += 1;
        }
        Ok(())
    }
}

fn damaged(table: Table) -> StoreError {
    StoreError::Damaged(format!("a row of {} was damaged", table.name()))
}

impl State {
    /// What is written anew is not damaged any more.
    fn overwrite_damaged(&mut self, batch: &Batch) {
        for change in batch.changes() {
            match change {
                Change::Put(table, key, _) | Change::Delete(table, key) => {
                    self.damaged.remove(&(*table, key.clone()));
                }
                Change::DeleteRange(table, from, to) => {
                    self.damaged
                        .retain(|(of, key)| of != table || key < from || key >= to);
                }
            }
        }
    }

    fn failed(&mut self, batch: Batch, error: StoreError) -> Result<(), StoreError> {
        if matches!(error, StoreError::Unclear(_)) {
            self.unclear.push(batch);
        }
        Err(error)
    }
}

fn apply(tables: &mut Tables, batch: &Batch) {
    for change in batch.changes() {
        match change {
            Change::Put(table, key, value) => {
                tables.insert((*table, key.clone()), value.clone());
            }
            Change::Delete(table, key) => {
                tables.remove(&(*table, key.clone()));
            }
            Change::DeleteRange(table, from, to) if from < to => {
                let doomed: Vec<_> = tables
                    .range((*table, from.clone())..(*table, to.clone()))
                    .map(|(key, _)| key.clone())
                    .collect();
                for key in doomed {
                    tables.remove(&key);
                }
            }
            Change::DeleteRange(..) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Batch {
        let mut batch = Batch::new();
        batch.put(Table::Records, key, value.to_owned());
        batch
    }

    #[test]
    fn lost_power_takes_away_what_was_not_synced_and_nothing_else() {
        let store = MemoryStore::new();
        store.commit(put("a", "1"), Durability::Written).unwrap();
        store.commit(put("b", "2"), Durability::Synced).unwrap();
        store.commit(put("c", "3"), Durability::Written).unwrap();
        store.commit(put("d", "4"), Durability::Written).unwrap();
        assert_eq!(store.len(Table::Records), 4);
        store.lose_power(1);
        let keys = ["a", "b", "c", "d"]
            .map(|key| store.get(Table::Records, key.as_bytes()).unwrap().is_some());
        assert_eq!(keys, [true, true, true, false]);
    }

    #[test]
    fn a_failed_commit_leaves_no_trace() {
        let store = MemoryStore::new();
        store.fail_after(1, StoreError::Full("0 bytes left".to_owned()));
        store.commit(put("a", "1"), Durability::Synced).unwrap();
        assert!(store.commit(put("b", "2"), Durability::Synced).is_err());
        assert_eq!(store.get(Table::Records, b"b"), Ok(None));
        store.commit(put("c", "3"), Durability::Synced).unwrap();
        store.reopen(9);
        assert_eq!(store.get(Table::Records, b"b"), Ok(None));
    }

    #[test]
    fn an_unclear_commit_is_there_or_not_when_the_store_is_opened_anew() {
        for kept in [0, 1] {
            let store = MemoryStore::new();
            store.fail_after(0, StoreError::Unclear("no sync".to_owned()));
            assert!(store.commit(put("a", "1"), Durability::Synced).is_err());
            assert_eq!(store.get(Table::Records, b"a"), Ok(None));
            store.reopen(kept);
            let found = store.get(Table::Records, b"a").unwrap();
            assert_eq!(found.is_some(), kept == 1);
            store.lose_power(0);
            assert_eq!(store.get(Table::Records, b"a"), Ok(None));
        }
    }
}
