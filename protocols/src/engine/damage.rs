//! Rows that a disk has damaged. What cannot be read, or is not what was proved,
//! is no longer held, and comes back from peers like anything else that is
//! missing; of our own logs too, below the head that we signed: the hashes of
//! what is missing are known. What follows from the rest is written anew.

use std::collections::BTreeMap;

use super::log_state::{LogState, put_log};
use super::rows::put_held;
use super::{CommandError, Engine, Output};
use crate::head::Tree;
use crate::id::LogId;
use crate::limits::{AUDITED_CHUNKS_PER_STEP, DELETION_PAUSE_US, DELETION_RETRY_US};
use crate::merkle::{MAX_LEVEL, cover};
use crate::ranges::{Interval, IntervalSet};
use crate::store::around::readable;
use crate::store::audit::{Audit, Findings};
use crate::store::tables::{NEXT_NUMBER, OF_LOGS, log_range};
use crate::store::times::FANOUT_BITS;
use crate::store::{
    Batch, Change, Durability, History, LogKey, ReadError, Store, StoreError, Table,
};
use crate::time::Timestamp;

/// What is known of the damage of a log, for those who watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Records that were lost and are not back.
    pub records: u64,
    /// The first of them.
    pub first: u64,
    /// What else is wrong, in words: what names or proves the log was damaged.
    pub what: Option<String>,
}

/// A part of a table in which rows were lost, between two keys that may be there.
/// Those that say what the logs are, and what is held of them, are written anew
/// from what is known; the others are read and compared with the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRows {
    /// The table.
    pub table: Table,
    /// The key before it.
    pub from: Vec<u8>,
    /// The key behind it.
    pub to: Vec<u8>,
}

impl LostRows {
    /// The chunks of a log that the rows belong to, if there are any.
    fn chunks(&self, key: LogKey) -> Option<Interval> {
        let (begin, end) = log_range(key.number);
        if self.to < begin || self.from >= end {
            return None;
        }
        let all = Interval {
            from: 0,
            to: u64::MAX,
        };
        let is_first = self.from.starts_with(&begin);
        let is_last = self.to.starts_with(&begin);
        let from = is_first.then(|| self.place(&self.from, key)).flatten();
        let to = is_last.then(|| self.place(&self.to, key)).flatten();
        match (from, to) {
            (Some(from), Some(to)) if from.0 == to.0 => Some(Interval {
                from: from.1,
                to: to.2,
            }),
            _ => Some(all),
        }
    }

    /// The height of a row's node, and the chunks below it.
    fn place(&self, row: &[u8], key: LogKey) -> Option<(u8, u64, u64)> {
        let index = |from: usize| {
            let bytes = row.get(from..from + 8)?;
            Some(u64::from_be_bytes(bytes.try_into().ok()?))
        };
        let (height, bits, index) = match self.table {
            Table::Chunks | Table::Edges => (0, 0, index(4)?),
            Table::Records => (0, 0, key.chunk_of(index(4)?)),
            Table::Nodes => {
                let height = row.get(4)?.checked_sub(key.chunk_level)?;
                (height, u32::from(height), index(5)?)
            }
            Table::Times => {
                let height = *row.get(4)?;
                (height, u32::from(height) * FANOUT_BITS, index(5)?)
            }
            _ => return None,
        };
        let first = index.checked_shl(bits)?;
        Some((
            height,
            first,
            first.saturating_add(1_u64.checked_shl(bits)?),
        ))
    }
}

/// What is to be read and compared with the tree, by chunks.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    chunks: BTreeMap<LogId, IntervalSet>,
    due: Option<Timestamp>,
    /// The last repair of the store that was heard of.
    repair: u64,
    /// Rows that say what is known could not be written anew yet.
    rows: bool,
}

impl Suspects {
    /// Whether something of a log is still to be read.
    pub(super) fn has(&self, log: LogId) -> bool {
        self.chunks.contains_key(&log)
    }

    pub(super) fn forget(&mut self, log: LogId) {
        self.chunks.remove(&log);
    }
}

impl LogState {
    /// What is stored of what the log is.
    fn rows(&self, log: LogId) -> Batch {
        let mut rows = Batch::new();
        put_log(&mut rows, log, self);
        self.put_adopted_again(&mut rows);
        self.put_fork(&mut rows);
        self.put_recovered(&mut rows);
        rows
    }

    /// A log of ours that is open and lacks records below its own head.
    pub(super) fn mends(&self) -> bool {
        let is_open = self.is_writable() && !self.is_limited();
        self.is_open() && is_open && !self.is_complete()
    }

    /// Whether records from peers are taken: of others' logs, and of our own what
    /// is missing below the head that we know.
    pub(super) fn fetches(&self) -> bool {
        self.takes() || self.mends()
    }

    /// Records that are compared with the tree.
    pub(super) fn proved_size(&self) -> u64 {
        self.proved().map_or(0, |tree| tree.size)
    }

    /// The tree that what is held is compared with. Where nothing shows how much of a
    /// recovered log counts, that is all that is here: what is damaged of it may be why.
    fn proved(&self) -> Option<Tree> {
        if self.recovered().is_some() && self.target() == 0 {
            return self.tree();
        }
        let adopted = self.tree().filter(|tree| tree.size == self.target());
        self.tree_of(self.target()).or(adopted)
    }
}

impl<S: Store> Engine<S> {
    /// Has what is held of an interval read and compared with the tree: somebody
    /// could not read it.
    pub(super) fn suspect(&mut self, log: LogId, interval: Interval) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        state.suspect_replaced();
        let Some(key) = state.key() else {
            return;
        };
        let to = interval.to.min(state.proved_size());
        if interval.from >= to {
            return;
        }
        self.changed.insert(log);
        let chunks = self.suspects.chunks.entry(log).or_default();
        let _ = chunks.insert(key.chunk_of(interval.from), key.chunk_of(to - 1) + 1);
        // At once.
        self.suspects.due.get_or_insert(self.opened_at);
    }

    /// Has everything of a log compared with the tree.
    pub(super) fn suspect_all(&mut self, log: LogId) {
        let all = Interval {
            from: 0,
            to: u64::MAX,
        };
        self.suspect(log, all);
    }

    /// Has the nodes that the tree of a size ends with, and what they are computed
    /// from, compared with the tree.
    pub(super) fn suspect_end(&mut self, log: LogId, size: u64) {
        let proved = self.logs.get(&log).map_or(0, LogState::proved_size);
        for subtree in cover(0, size.min(proved), MAX_LEVEL) {
            let last = Interval {
                from: subtree.end() - 1,
                to: subtree.end(),
            };
            self.suspect(log, last);
        }
    }

    /// Writes the rows anew that say what a log is and what is held of it, if they
    /// cannot be read, from what is known here.
    pub(super) fn restore_rows(&mut self, log: LogId) -> Result<(), StoreError> {
        let Some(state) = self.logs.get(&log) else {
            return Ok(());
        };
        let mut batch = Batch::new();
        // A start finds what was here before.
        for state in state.before().into_iter().chain([state]) {
            self.put_lost(log, state, &mut batch)?;
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.store.commit(batch, Durability::Synced)
    }

    /// Puts those rows into a batch that are not what is known here.
    fn put_lost(&self, log: LogId, state: &LogState, batch: &mut Batch) -> Result<(), StoreError> {
        for row in state.rows(log).into_changes() {
            if let Change::Put(table, key, row) = row
                && readable(self.store.get(table, &key))?.flatten().as_ref() != Some(&row)
            {
                batch.put(table, key, row);
            }
        }
        if let Some(key) = state.key() {
            let stored = readable(History::new(&self.store, key).held())?;
            if stored.as_ref() != Some(state.held()) {
                put_held(batch, key.number, state.held());
            }
        }
        Ok(())
    }

    /// Puts those rows into a batch that say what a log is, and that cannot be
    /// read: what is known here is more than a start would make of the rest.
    pub(super) fn put_unreadable(&self, log: LogId, batch: &mut Batch) -> Result<(), StoreError> {
        let Some(state) = self.logs.get(&log) else {
            return Ok(());
        };
        for row in state.rows(log).into_changes() {
            if let Change::Put(table, key, row) = row
                && readable(self.store.get(table, &key))?.is_none()
            {
                batch.put(table, key, row);
            }
        }
        Ok(())
    }

    /// A read or write of a log has met damage. It goes on without what was
    /// damaged; a log of ours with what can still be proved.
    pub(super) fn met_damage(&mut self, log: LogId, now: Timestamp) {
        if let Err(error) = self.restore_rows(log) {
            return self.stop(log, error, now);
        }
        self.suspect_all(log);
        if self.logs.get(&log).is_some_and(LogState::is_open) {
            // What was appended in vain is not in the store.
            self.open_for_writing(log, now);
        }
    }

    /// Refuses what waits to be published to a log that has met damage.
    pub(super) fn drop_staged_for(&mut self, log: LogId, error: &ReadError) {
        let Some(staged) = self.staged.remove(&log) else {
            return;
        };
        let error = match error {
            ReadError::Store(error) => error.clone(),
            ReadError::NotHeld(_) => StoreError::Damaged(error.to_string()),
        };
        for id in staged.waiting() {
            let reply = Err(CommandError::Store(error.clone()));
            self.outputs.push_back(Output::Reply(id, reply));
        }
    }

    /// Reads the chunk that an append to a log of ours could not complete, at once,
    /// and opens the log again with what is left.
    pub(super) fn mend_end(&mut self, log: LogId, now: Timestamp) -> Result<(), StoreError> {
        self.reload_held(log);
        let Some(state) = self.logs.get(&log) else {
            return Ok(());
        };
        if let (Some(key), Some(tree)) = (state.key(), state.proved()) {
            let mut audit = Audit::new(&self.store, key, state.held(), tree);
            audit.chunk(key.chunk_of(tree.size))?;
            let findings = audit.finish()?;
            self.bring_in_order(log, &findings, now)?;
        }
        self.suspect_all(log);
        Ok(())
    }

    /// The store has lost rows while it was open.
    pub(super) fn rows_lost(&mut self, lost: &[LostRows], repair: u64) {
        self.suspects.repair = self.suspects.repair.max(repair);
        self.restore_all_rows();
        for log in self.logs.keys().collect::<Vec<_>>() {
            let Some(key) = self.logs.get(&log).and_then(LogState::key) else {
                continue;
            };
            let of_logs = lost.iter().filter(|lost| OF_LOGS.contains(&lost.table));
            for chunks in of_logs.filter_map(|lost| lost.chunks(key)) {
                let index = |chunk: u64| chunk.saturating_mul(key.chunk_len());
                let (from, to) = (index(chunks.from), index(chunks.to));
                self.suspect(log, Interval { from, to });
            }
        }
        // Even if there is nothing to read.
        self.suspects.due.get_or_insert(self.opened_at);
    }

    /// Writes all rows anew that say what is known, where they are lost. What
    /// cannot be written now is with the next step of reading what is suspected.
    pub(super) fn restore_all_rows(&mut self) {
        let mut batch = Batch::new();
        let next = self.next_number.to_be_bytes();
        batch.put(Table::Meta, NEXT_NUMBER, next.to_vec());
        self.deletions.put_all(&mut batch);
        self.suspects.rows = self.store.commit(batch, Durability::Written).is_err();
        for log in self.logs.keys().collect::<Vec<_>>() {
            if self.restore_rows(log).is_err() {
                self.suspects.rows = true;
            }
            self.suspect_end(log, u64::MAX);
        }
        if self.suspects.rows {
            self.suspects.due.get_or_insert(self.opened_at);
        }
    }

    /// When the next steps are taken.
    pub(super) fn auditing_due(&self) -> Option<Timestamp> {
        self.suspects.due.filter(|_| self.halt.is_none())
    }

    /// Takes the next steps.
    pub(super) fn auditing_is_due(&mut self, now: Timestamp) {
        if self.auditing_due().is_none_or(|due| due > now) {
            return;
        }
        if self.suspects.rows {
            self.restore_all_rows();
        }
        let pause = match self.audit_some(now) {
            Ok(()) => DELETION_PAUSE_US,
            // The disk may have room, or be readable, in a while.
            Err(_) => DELETION_RETRY_US,
        };
        let is_done = self.suspects.chunks.is_empty() && !self.suspects.rows;
        if is_done {
            self.outputs
                .push_back(Output::Audited(self.suspects.repair));
        }
        self.suspects.due = (!is_done).then(|| now.plus(pause));
    }

    fn audit_some(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let Some((&log, chunks)) = self.suspects.chunks.iter().next() else {
            return Ok(());
        };
        let first = chunks.intervals().next();
        let (Some(state), Some(first)) = (self.logs.get(&log), first) else {
            self.suspects.chunks.remove(&log);
            return Ok(());
        };
        let (Some(key), Some(tree)) = (state.key(), state.proved()) else {
            self.suspects.chunks.remove(&log);
            return Ok(());
        };
        let (mut taken, mut end) = (0, first.from);
        let mut audit = Audit::new(&self.store, key, state.held(), tree);
        while end < first.to && taken < AUDITED_CHUNKS_PER_STEP {
            let at = key.chunk_interval(end).from;
            let held = state.held().held(at, key.chunk_interval(first.to - 1).to);
            let Some(next) = { held }.next() else {
                end = first.to;
                break;
            };
            let chunk = key.chunk_of(next.from);
            audit.chunk(chunk)?;
            taken += 1;
            end = chunk + 1;
        }
        let findings = audit.finish()?;
        self.bring_in_order(log, &findings, now)?;
        if let Some(chunks) = self.suspects.chunks.get_mut(&log) {
            let _ = chunks.remove(first.from, end);
            if chunks.is_empty() {
                self.suspects.chunks.remove(&log);
                self.changed.insert(log);
            }
        }
        Ok(())
    }

    /// Does what follows from what was found.
    fn bring_in_order(
        &mut self,
        log: LogId,
        findings: &Findings,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(());
        };
        let Some(key) = state.key().filter(|_| !findings.is_clean()) else {
            return Ok(());
        };
        self.provider.forget_ends(key.number);
        let before = state.held().clone();
        let mut batch = Batch::new();
        state.hold_what_is_right(&self.store, findings, &mut batch)?;
        // The records that these were computed from may be gone.
        let frontier: Option<Vec<_>> =
            (state.appender()).map(|appender| appender.frontier().nodes().collect());
        if let Some(frontier) = frontier
            && let Some(mut admission) = state.admission(&self.store)
        {
            admission.put_nodes(&frontier);
            batch.append(admission.finish());
        }
        if let Err(error) = self.store.commit(batch, Durability::Synced) {
            self.reload_held(log);
            return Err(error);
        }
        self.changed.insert(log);
        if state.recovered().is_some() && state.target() == 0 {
            // What was mended may show it.
            self.settle_recovery(log);
            self.schedule(log, now);
        }
        let (Some(&first), Some(state)) = (findings.bad.first(), self.logs.get_mut(&log)) else {
            return Ok(());
        };
        for &chunk in &findings.bad {
            state.note_damaged(&before, key.chunk_interval(chunk));
        }
        let first = key.chunk_interval(first).from;
        state.is_safe_only_to(first);
        state.poll_at(now);
        self.schedule(log, now);
        Ok(())
    }
}
