//! Logs that a user deletes. The log is forgotten at once, in one synced write;
//! its rows, which nobody finds any more, go in bounded steps between other
//! work, and the disk is told to give back their room. A start goes on where a
//! crash interrupted it.
//!
//! Of a log of our own the last head is kept under a number of its own: should
//! the log come back, it is open for writing only when everything up to that
//! head has come back from peers. Begun anew it would be another tree under the
//! same name.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use prost::Message;

use super::log_state::reopening::{Reopening, Why};
use super::rows::{deletion_key, forget_name, put_deletion, put_fork, put_head, put_row};
use super::{CommandError, Engine, Output, Reply};
use crate::id::{LogId, Topic};
use crate::limits::{DELETED_CHUNKS_PER_STEP, DELETION_PAUSE_US, DELETION_RETRY_US};
use crate::merkle::Hash;
use crate::store::addresses::delete_place;
use crate::store::around::{readable, scan_around};
use crate::store::tables::{DELETIONS, OF_LOGS, index_of, level_key, log_range};
use crate::store::{Batch, Durability, Store, StoreError, Table};
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::stored_log::Reopening as Stored;

/// What is being deleted, and which logs of our own were.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    /// By log number; as many as users have deleted logs lately.
    open: BTreeMap<u32, v1::StoredDeletion>,
    /// When the next step is taken.
    due: Option<Timestamp>,
    /// Our own logs that were deleted: one row for each that a user created.
    tombstones: BTreeMap<LogId, v1::StoredLog>,
}

impl Deletions {
    /// When [`Engine::deleting_is_due`] is to be called.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Whether this is a log of our own that was deleted here.
    pub(super) fn is_deleted(&self, log: LogId) -> bool {
        self.tombstones.contains_key(&log)
    }

    pub(super) fn keep_tombstone(&mut self, log: LogId, row: v1::StoredLog) {
        self.tombstones.insert(log, row);
    }

    /// Numbers of logs whose rows are being deleted.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        let tombstones = self.tombstones.values().map(|row| row.number);
        self.open.keys().copied().chain(tombstones)
    }

    /// Writes all rows of what is being deleted, and of what was.
    pub(super) fn put_all(&self, batch: &mut Batch) {
        for (&number, deletion) in &self.open {
            put_deletion(batch, number, deletion);
        }
        for (log, row) in &self.tombstones {
            batch.put(Table::Logs, log.0, row.encode_to_vec());
        }
    }

    /// Has the rows of a number deleted.
    pub(super) fn begin(&mut self, number: u32, deletion: v1::StoredDeletion, now: Timestamp) {
        self.open.insert(number, deletion);
        self.due = Some(now);
    }

    /// What was known before, of which the rows cannot be read any more.
    pub(super) fn take_over(&mut self, old: Self, now: Timestamp) {
        for (number, deletion) in old.open {
            self.open.entry(number).or_insert(deletion);
        }
        for (log, row) in old.tombstones {
            self.tombstones.entry(log).or_insert(row);
        }
        self.due = Some(now);
    }

    /// The rows whose turn it is.
    fn next(&self) -> Option<(u32, v1::StoredDeletion)> {
        let mut open = self.open.iter();
        let (&number, deletion) = open.find(|(_, deletion)| !deletion.is_reclaiming)?;
        Some((number, *deletion))
    }
}

impl<S: Store> Engine<S> {
    /// Forgets a log, and begins to delete what is held of it.
    pub(super) fn delete(
        &mut self,
        log: LogId,
        own: bool,
        now: Timestamp,
    ) -> Result<Reply, CommandError> {
        let publisher = self.key.public();
        let state = (self.logs.get(&log)).ok_or(CommandError::UnknownStream(log))?;
        let manifest = state.manifest();
        // One of ours that only the mark knows of has no manifest yet.
        let is_ours = match manifest {
            Some(manifest) => manifest.publisher == publisher,
            None => state.is_ours(),
        };
        if is_ours && !own {
            return Err(CommandError::OwnStream(log));
        }
        // What was to be replaced goes as well.
        self.go_back(log, now);
        // Who was told that it is published hears of it before it goes.
        self.commit_published(now);
        let mut batch = Batch::new();
        let tombstone = if is_ours {
            Some(self.put_tombstone(log, &mut batch))
        } else {
            batch.delete(Table::Logs, log.0);
            None
        };
        let state = &self.logs[&log];
        let number = state.number();
        let deletion = v1::StoredDeletion {
            chunk_level: state.key().map_or(0, |key| key.chunk_level.into()),
            next_chunk: 0,
            is_reclaiming: false,
        };
        put_deletion(&mut batch, number, &deletion);
        forget_name(&mut batch, number);
        self.store.commit(batch, Durability::Synced)?;
        self.deletions.begin(number, deletion, now);
        if let Some(row) = tombstone {
            self.deletions.keep_tombstone(log, row);
        }
        self.forget(log, now);
        Ok(Reply::Done)
    }

    /// Writes what is kept of a log of our own.
    fn put_tombstone(&mut self, log: LogId, batch: &mut Batch) -> v1::StoredLog {
        let number = self.take_number(batch);
        let state = &self.logs[&log];
        let row = v1::StoredLog {
            number,
            followed: false,
            peers: Vec::new(),
            owned: true,
            reopening: Stored::Deleted.into(),
            deleted: true,
            ..state.to_stored()
        };
        batch.put(Table::Logs, log.0, row.encode_to_vec());
        if let Some(head) = state.signed_head() {
            put_head(batch, number, head);
        }
        state.put_recovered_as(batch, number);
        if let Some(fork) = state.fork() {
            put_fork(batch, number, fork);
        }
        row
    }

    /// Takes a log out of everything that is done.
    pub(super) fn forget(&mut self, log: LogId, now: Timestamp) {
        self.drop_staged(log);
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        // Nothing is asked for any more while its questions are given up.
        let was_followed = state.unfollow();
        self.provider.forget_ends(state.number());
        self.joining.forget(log);
        self.early.remove(&log);
        let asked = self.requests.which(|request| request.log() == Some(log));
        for id in asked {
            self.withdraw(id, now);
        }
        if was_followed {
            for topic in [Topic::Data(log), Topic::Meta(log)] {
                self.outputs.push_back(Output::Unsubscribe(topic));
            }
        }
        for peer in self.peers.values_mut() {
            peer.topics.remove(&log);
        }
        self.forget_unsynced(log);
        self.hungry.remove(&log);
        self.suspects.forget(log);
        self.logs.remove(&log);
        self.changed.insert(log);
    }

    /// Brings a log of our own back that was deleted here: it is followed, and
    /// not open for writing until its peers have given back what was signed.
    pub(super) fn revive(&mut self, log: LogId, now: Timestamp) -> Result<(), StoreError> {
        let Some(row) = self.deletions.tombstones.get(&log) else {
            return Ok(());
        };
        let mut row = row.clone();
        (row.deleted, row.followed) = (false, true);
        let mut state = self.load_log(log, row.clone(), now)?;
        if !state.is_limited() {
            state.wait_for_others(Reopening::new(Why::Deleted, state.size(), now));
            state.poll_at(now);
        }
        let mut batch = Batch::new();
        put_row(&mut batch, log, &row);
        self.store.commit(batch, Durability::Synced)?;
        self.deletions.tombstones.remove(&log);
        self.logs.insert(log, state);
        self.subscribe(log);
        self.changed.insert(log);
        Ok(())
    }

    /// Reads which rows are still to be deleted; whether some could not be read. What a log
    /// has is none of them, whatever a row says that has come back with a damaged table.
    pub(super) fn load_deletions(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let mut rows = Vec::new();
        let (from, to) = (deletion_key(0), [DELETIONS, &[0xff; 5]].concat());
        let is_damaged = scan_around(&self.store, Table::Meta, &from, &to, &mut |key, row| {
            let number = key.last_chunk().map(|number| u32::from_be_bytes(*number));
            rows.push((number, v1::StoredDeletion::decode(row)));
            ControlFlow::Continue(())
        })?;
        let logs = self.stored_rows()?.rows;
        let used: BTreeSet<u32> = logs.iter().map(|(_, row)| row.number).collect();
        for (number, row) in rows {
            // Of a damaged one, rows are left behind that nobody finds.
            let (Some(number), Ok(row)) = (number, row) else {
                continue;
            };
            if used.contains(&number) {
                continue;
            }
            if row.is_reclaiming {
                self.outputs.push_back(Output::Reclaim(number));
            } else {
                self.deletions.due = Some(now);
            }
            self.deletions.open.insert(number, row);
        }
        self.pass_deleted_numbers();
        Ok(is_damaged)
    }

    /// Takes the next step.
    pub(super) fn deleting_is_due(&mut self, now: Timestamp) {
        if self.deletions.due.is_none_or(|due| due > now) {
            return;
        }
        let Some((number, deletion)) = self.deletions.next() else {
            self.deletions.due = None;
            return;
        };
        // The disk may have room, or be readable, in a while.
        let pause = match self.delete_rows(number, deletion) {
            Ok(()) => DELETION_PAUSE_US,
            Err(_) => DELETION_RETRY_US,
        };
        self.deletions.due = Some(now.plus(pause));
    }

    /// Removes the addresses of some chunks, or when they have none any more
    /// everything else.
    fn delete_rows(
        &mut self,
        number: u32,
        mut deletion: v1::StoredDeletion,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        let next = self.delete_addresses(number, &deletion, &mut batch)?;
        match next {
            Some(next) => deletion.next_chunk = next,
            None => {
                let (from, to) = log_range(number);
                for table in OF_LOGS {
                    batch.delete_range(table, from.clone(), to.clone());
                }
                deletion.is_reclaiming = true;
            }
        }
        put_deletion(&mut batch, number, &deletion);
        self.store.commit(batch, Durability::Written)?;
        if deletion.is_reclaiming {
            self.outputs.push_back(Output::Reclaim(number));
        }
        self.deletions.open.insert(number, deletion);
        Ok(())
    }

    /// Removes addresses of chunks that lead to these rows; the chunk to go on
    /// with, if there are more. One that another log has as well is still found
    /// there.
    fn delete_addresses(
        &self,
        number: u32,
        deletion: &v1::StoredDeletion,
        batch: &mut Batch,
    ) -> Result<Option<u64>, StoreError> {
        let Ok(level) = u8::try_from(deletion.chunk_level) else {
            return Err(StoreError::Damaged("rows to be deleted".to_owned()));
        };
        let from = level_key(number, level, deletion.next_chunk);
        let to = level_key(number, level, u64::MAX);
        let mut addresses = Vec::new();
        let mut next = None;
        scan_around(&self.store, Table::Nodes, &from, &to, &mut |key, hash| {
            if addresses.len() == DELETED_CHUNKS_PER_STEP {
                next = index_of(key);
                return ControlFlow::Break(());
            }
            addresses.push((Hash::from_slice(hash), index_of(key)));
            ControlFlow::Continue(())
        })?;
        for address in addresses {
            // An address that is not deleted leads to nothing.
            if let (Some(address), Some(chunk)) = address {
                readable(delete_place(&self.store, batch, &address, number, chunk))?;
            }
        }
        Ok(next)
    }

    /// The disk has given back the room of deleted rows.
    pub(super) fn reclaimed(&mut self, number: u32) {
        let mut batch = Batch::new();
        batch.delete(Table::Meta, deletion_key(number));
        // If this is lost, the next start has the disk look once more.
        if self.store.commit(batch, Durability::Written).is_ok() {
            self.deletions.open.remove(&number);
        }
    }
}
