//! What a start makes of rows that are damaged or lost. None of them keeps other
//! logs from working: what can be told from the rest is, what others have is
//! fetched again, and a log of our own is not written to before peers were asked.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use prost::Message;

use super::Engine;
use super::log_state::reopening::{Reopening, Why};
use super::log_state::{LogState, put_log};
use super::rows::{forget_name, put_deletion, put_head};
use super::start::{LOST, Lost, Rows};
use super::trees::{beginning, frontier};
use crate::head::{EarlyHead, UnverifiedHead};
use crate::id::LogId;
use crate::log::Appender;
use crate::merkle::{CompactRange, MAX_LEVEL, cover};
use crate::ranges::{Interval, IntervalSet};
use crate::recovery::Recovered;
use crate::store::around::{readable, scan_around};
use crate::store::audit::Audit;
use crate::store::tables::{
    HeadKind, NEXT_NUMBER, OF_LOGS, head_key, index_key, index_of, level_key,
};
use crate::store::{Batch, Durability, History, LogKey, ReadError, Store, StoreError, Table};
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::stored_log::Reopening as Stored;

/// Numbers that are left out where rows cannot be read: no node has had as many
/// logs whose rows are all unreadable.
const UNREADABLE_NUMBERS: u32 = 1 << 20;
/// No number is as large: four thousand such damages, or two billion logs, come
/// before it.
const MAX_NUMBER: u32 = u32::MAX - UNREADABLE_NUMBERS;
/// What is said of a log of ours whose tree is not whole.
const PROOF: &str = "what proves it was damaged";
/// What is said of a log that is begun anew.
const ANEW: &str = "what proves it was lost, so that all of it is fetched again";

impl LogState {
    /// A log of ours is not written to before others were asked, because what proves it
    /// is damaged.
    fn wait_for_proof(&mut self, now: Timestamp) {
        let why = Why::Damaged(PROOF.to_owned());
        self.wait_for_others(Reopening::new(why, self.held_size(), now));
    }
}

impl<S: Store> Engine<S> {
    /// Reads the number that the next log gets. Where it is lost, it is one that no
    /// row has.
    pub(super) fn load_next_number(&mut self, lost_rows: bool) -> Result<(), StoreError> {
        let row = readable(self.store.get(Table::Meta, NEXT_NUMBER))?.flatten();
        let stored = row.and_then(|row| Some(u32::from_be_bytes(row[..].try_into().ok()?)));
        let stored = stored.filter(|&number| number < MAX_NUMBER);
        self.next_number = stored.unwrap_or(0);
        if stored.is_none() || lost_rows {
            let mut may_be_more = false;
            for table in OF_LOGS {
                let behind = self.number_behind(table, &mut may_be_more)?;
                self.next_number = self.next_number.max(behind);
            }
            if may_be_more {
                self.next_number = (self.next_number + UNREADABLE_NUMBERS).min(MAX_NUMBER);
            }
            if let Some(last) = self.last_named()? {
                let behind = last.saturating_add(1).min(MAX_NUMBER);
                self.next_number = self.next_number.max(behind);
            }
        }
        Ok(())
    }

    /// A number whose rows are still to be deleted is not given to another log.
    pub(super) fn pass_deleted_numbers(&mut self) {
        let numbers = self
            .deletions
            .numbers()
            .filter(|number| *number < MAX_NUMBER);
        let behind = numbers.max().map_or(0, |last| last + 1);
        self.next_number = self.next_number.max(behind);
    }

    /// The number behind the largest one that a table has rows of, as far as it
    /// can be read.
    fn number_behind(&self, table: Table, may_be_more: &mut bool) -> Result<u32, StoreError> {
        let mut has_from = |number: u32| {
            let mut found = false;
            let visit = &mut |_: &[u8], _: &[u8]| {
                found = true;
                ControlFlow::Break(())
            };
            let from = number.to_be_bytes();
            *may_be_more |= scan_around(&self.store, table, &from, &[0xff; 32], visit)?;
            Ok::<_, StoreError>(found)
        };
        let (mut low, mut high) = (0, MAX_NUMBER);
        while low < high {
            let middle = low + (high - low) / 2;
            match has_from(middle)? {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }

    /// The rows of all logs: those that can be read, and those that can be made
    /// again from the heads.
    pub(super) fn load_rows(&self, lost_rows: bool) -> Result<Rows, StoreError> {
        let stored = self.stored_rows()?;
        if !stored.is_damaged && !lost_rows && stored.nameless.is_empty() {
            return Ok(stored);
        }
        let Rows {
            mut rows,
            mut nameless,
            is_damaged,
        } = stored;
        let mut known: BTreeSet<u32> = rows.iter().map(|(_, row)| row.number).collect();
        known.extend(self.deletions.numbers());
        let mut heads = Vec::new();
        let visit = &mut |key: &[u8], row: &[u8]| {
            if let Some((&number, &[kind])) = key.split_first_chunk::<4>()
                && let Some((log, owned)) = self.whose(kind, row)
            {
                heads.push((u32::from_be_bytes(number), log, owned));
            }
            ControlFlow::Continue(())
        };
        scan_around(&self.store, Table::Heads, &[0; 5], &[0xff; 6], visit)?;
        for (number, log, owned) in heads {
            if known.contains(&number) || rows.iter().any(|(known, _)| *known == log) {
                continue;
            }
            nameless.retain(|nameless| *nameless != log);
            let row = v1::StoredLog {
                number,
                followed: true,
                owned,
                reopening: match owned {
                    true => Stored::Restored.into(),
                    false => Stored::No.into(),
                },
                ..v1::StoredLog::default()
            };
            rows.push((log, row));
        }
        Ok(Rows {
            rows,
            nameless,
            is_damaged,
        })
    }

    /// Of which log a row is a head, and whether it is one of ours.
    fn whose(&self, kind: u8, row: &[u8]) -> Option<(LogId, bool)> {
        let ours = self.key.public();
        if kind == HeadKind::EarlyAdopted as u8 {
            let wire = v1::EarlySignedHead::decode(row).ok()?;
            let early = v1::EarlyHead::decode(&wire.head[..]).ok()?;
            let log = LogId::from_slice(&early.log)?;
            return Some((log, EarlyHead::verify(wire, log, &ours).is_ok()));
        }
        if kind != HeadKind::Adopted as u8 {
            return None;
        }
        let row = v1::StoredHead::decode(row).ok()?;
        let log = LogId::from_slice(&row.log)?;
        let head = UnverifiedHead::try_from(row.head).ok()?;
        Some((log, head.verify(log, &ours).is_ok()))
    }

    /// The rows of all logs that can be read.
    pub(super) fn stored_rows(&self) -> Result<Rows, StoreError> {
        let (mut rows, mut nameless) = (Vec::new(), Vec::new());
        let visit = &mut |key: &[u8], row: &[u8]| {
            match (LogId::from_slice(key), v1::StoredLog::decode(row)) {
                (Some(log), Ok(row)) => rows.push((log, row)),
                (Some(log), Err(_)) => nameless.push(log),
                (None, _) => {}
            }
            ControlFlow::Continue(())
        };
        let is_damaged = scan_around(&self.store, Table::Logs, &[0; 32], &[0xff; 33], visit)?;
        Ok(Rows {
            rows,
            nameless,
            is_damaged,
        })
    }

    /// A log of which nothing but its name is left: it is followed anew.
    pub(super) fn follow_nameless(&mut self, log: LogId) -> Result<LogState, StoreError> {
        let mut batch = Batch::new();
        let mut state = LogState::new(self.take_number(&mut batch));
        state.follow();
        state.note_unreadable(LOST);
        put_log(&mut batch, log, &state);
        self.store.commit(batch, Durability::Synced)?;
        Ok(state)
    }

    /// Reads a log, and makes the best of what is damaged of it.
    pub(super) fn load_log(
        &mut self,
        log: LogId,
        row: v1::StoredLog,
        now: Timestamp,
    ) -> Result<LogState, StoreError> {
        let has_manifest = row.manifest.is_some();
        let (mut state, lost) = self.read_log(log, row)?;
        if state.manifest().is_none() {
            if has_manifest || lost.rows {
                state.note_unreadable(LOST);
            }
            return Ok(state);
        }
        self.carry_over(log, &mut state)?;
        if lost.held || self.lost_rows {
            self.rebuild_held(&mut state)?;
        }
        if lost.head && !state.is_ours() {
            return self.begin_anew(log, &state);
        }
        if !state.is_ours() || state.closing().is_some() {
            self.clip(&mut state)?;
        }
        match state.is_limited() {
            true if lost.head => self.take_shown_head(&mut state)?,
            false if state.is_ours() => self.open_own(log, &mut state, lost, now)?,
            _ => {}
        }
        Ok(state)
    }

    /// A log of ours that was recovered, or forked, and whose head is lost: one of the
    /// heads that show that was its own, or comes before it, where its tree is here.
    fn take_shown_head(&self, state: &mut LogState) -> Result<(), StoreError> {
        let Some(key) = state.key() else {
            return Ok(());
        };
        let (fork, recovered) = (state.fork().cloned(), state.recovered().cloned());
        let of_fork = fork.iter().flat_map(|fork| [&fork.larger, &fork.smaller]);
        let history = History::new(&self.store, key);
        for head in of_fork.chain(recovered.as_ref().map(Recovered::head)) {
            if beginning(&history, head.size)? != Some(head.tree()) {
                continue;
            }
            let mut batch = Batch::new();
            put_head(&mut batch, key.number, head);
            self.store.commit(batch, Durability::Synced)?;
            state.set_stored_head(head.clone().into());
            // Nothing proves what lies behind it any more.
            self.clip(state)?;
            if let Some(fork) = fork.clone() {
                self.set_fork(state, key, Box::new(fork))?;
            }
            return match recovered.clone() {
                Some(recovered) => self.set_recovered(state, recovered),
                None => Ok(()),
            };
        }
        Ok(())
    }

    /// A log whose manifest has come: its rows may have been here before it.
    pub(super) fn reunite(&mut self, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get(&log) else {
            return;
        };
        let row = state.to_stored();
        let has_none = [HeadKind::Adopted, HeadKind::EarlyAdopted]
            .iter()
            .all(|&kind| {
                let key = head_key(state.number(), kind);
                matches!(self.store.get(Table::Heads, &key), Ok(None))
            });
        if state.adopted().is_some() || has_none {
            return;
        }
        let is_ours = row.owned;
        match self.load_log(log, row, now) {
            Ok(mut state) => {
                if is_ours && !state.is_limited() && state.reopening().is_none() {
                    state.wait_for_proof(now);
                }
                state.poll_at(now);
                self.logs.insert(log, state);
                self.suspect_all(log);
            }
            Err(error) => self.store_failed(log, &ReadError::Store(error)),
        }
    }

    /// Opens a log of ours for writing, if all is well with it.
    fn open_own(
        &mut self,
        log: LogId,
        state: &mut LogState,
        lost: Lost,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(key) = state.key() else {
            return Ok(());
        };
        if lost.head {
            // The tree of the same records is the same: signing it again is what
            // happens after a crash, too. Nobody is told before peers were asked; and
            // should the lost head have closed the log, this one is no later.
            let size = state.held_size();
            let history = History::new(&self.store, key);
            let tree = readable(frontier(&history, size))?.map(Appender::new);
            if let Some(tree) = tree {
                let head = tree.head(log, Timestamp(0)).sign(&self.key);
                let mut batch = Batch::new();
                put_head(&mut batch, key.number, &head);
                self.store.commit(batch, Durability::Synced)?;
                state.set_adopted(head);
            }
        }
        let appender = match lost.head || lost.held || lost.fork {
            true => None,
            false => self.writable(state)?,
        };
        if let Some(appender) = appender {
            state.open(appender);
        } else {
            state.note_unreadable(PROOF);
            state.wait_for_proof(now);
            state.poll_at(now);
            let mut batch = Batch::new();
            put_log(&mut batch, log, state);
            self.store.commit(batch, Durability::Synced)?;
        }
        Ok(())
    }

    /// Opens a log of ours for writing again, with what is stored of it.
    pub(super) fn open_for_writing(&mut self, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get(&log) else {
            return;
        };
        let appender = self.writable(state);
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        match appender {
            Ok(Some(appender)) => drop(state.open(appender)),
            Ok(None) => {
                state.stop_for_good(format!("{PROOF}; restart the node when the disk is well"))
            }
            Err(error) => self.stop(log, error, now),
        }
    }

    /// What a log of ours goes on from: the tree that was signed, and the records
    /// behind it that a crash left. Records below it may be missing, as long as
    /// the tree is whole.
    fn writable(&self, state: &LogState) -> Result<Option<Appender>, StoreError> {
        let Some(key) = state.key() else {
            return Ok(None);
        };
        let (size, begin) = (state.size(), state.begin());
        let history = History::new(&self.store, key);
        let known = |size| readable(frontier(&history, size));
        if let Some(head) = state.adopted() {
            let root = |range: Option<CompactRange>| range.and_then(|range| range.root());
            if root(known(size)?) != Some(head.root) {
                self.restore_frontier(key, state)?;
                if root(known(size)?) != Some(head.root) {
                    return Ok(None);
                }
            }
        }
        let prefix = state.held().prefix(begin);
        let end = match prefix < size {
            true => state.held().prefix(size),
            // What a crash left behind the end was never told to anybody.
            false if state.closing().is_some() => size,
            false => prefix,
        };
        Ok(known(end)?.map(Appender::new))
    }

    /// Writes the nodes anew that the tree ends with, as far as they follow from
    /// what is held.
    fn restore_frontier(&self, key: LogKey, state: &LogState) -> Result<(), StoreError> {
        let Some(head) = state.adopted() else {
            return Ok(());
        };
        let mut audit = Audit::new(&self.store, key, state.held(), head.tree());
        for subtree in cover(0, head.size, MAX_LEVEL) {
            audit.chunk(key.chunk_of(subtree.end() - 1))?;
        }
        let mut batch = Batch::new();
        for (at, hash) in audit.finish()?.nodes {
            let row = level_key(key.number, at.level, at.index);
            batch.put(Table::Nodes, row, hash.0.to_vec());
        }
        self.store.commit(batch, Durability::Written)
    }

    /// A log of others of which rows are stored, but no head: nothing of them is
    /// believed, because the tree that comes may be another one. All of it is
    /// fetched again, under another number.
    fn begin_anew(&mut self, log: LogId, old: &LogState) -> Result<LogState, StoreError> {
        let mut batch = Batch::new();
        let mut state = self.anew(old, &mut batch)?;
        state.note_unreadable(ANEW);
        put_log(&mut batch, log, &state);
        let deletion = v1::StoredDeletion {
            chunk_level: old.key().map_or(0, |key| key.chunk_level.into()),
            next_chunk: 0,
            is_reclaiming: false,
        };
        put_deletion(&mut batch, old.number(), &deletion);
        forget_name(&mut batch, old.number());
        self.store.commit(batch, Durability::Synced)?;
        self.deletions.begin(old.number(), deletion, self.opened_at);
        Ok(state)
    }

    /// A log under another number, with nothing of it but what says how much counts.
    pub(super) fn anew(
        &mut self,
        old: &LogState,
        batch: &mut Batch,
    ) -> Result<LogState, StoreError> {
        let mut state = LogState::anew(self.take_number(batch), old);
        // Whatever tree comes, this much of it counts, and that is why.
        state.keep_recovery_of(old);
        state.put_recovered(batch);
        state.keep_fork_of(old);
        state.put_fork(batch);
        let past = self
            .store
            .get(Table::Heads, &head_key(old.number(), HeadKind::Past));
        if let Some(Some(past)) = readable(past)? {
            batch.put(Table::Heads, head_key(state.number(), HeadKind::Past), past);
        }
        Ok(state)
    }

    /// Nothing beyond the adopted head is held: an older row of it may have come
    /// back with a damaged table.
    fn clip(&self, state: &mut LogState) -> Result<(), StoreError> {
        let size = state.size();
        if state.held().covered(size, u64::MAX) == 0 {
            return Ok(());
        }
        let mut held = state.held().clone();
        let _ = held.remove(size, u64::MAX);
        state.store_held(held, &self.store)
    }

    /// Finds out what is held from the rows of the records, without reading them:
    /// the time index has an entry for each chunk of which there is something.
    fn rebuild_held(&self, state: &mut LogState) -> Result<(), StoreError> {
        let Some(key) = state.key() else {
            return Ok(());
        };
        let mut loose = IntervalSet::new();
        let [from, to] = [0, u64::MAX].map(|index| index_key(key.number, index));
        let visit = &mut |row: &[u8], _: &[u8]| {
            if let Some(index) = index_of(row) {
                let _ = loose.insert(index, index + 1);
            }
            ControlFlow::Continue(())
        };
        scan_around(&self.store, Table::Records, &from, &to, visit)?;
        let mut held = loose.clone();
        let [from, to] = [0, u64::MAX].map(|chunk| level_key(key.number, 0, chunk));
        let visit = &mut |row: &[u8], _: &[u8]| {
            if let Some(chunk) = index_of(row) {
                let Interval { from, to } = key.chunk_interval(chunk);
                if loose.covered(from, to) == 0 {
                    let _ = held.insert(from, to);
                }
            }
            ControlFlow::Continue(())
        };
        scan_around(&self.store, Table::Times, &from, &to, visit)?;
        let _ = held.remove(0, state.kept_from());
        held.extend(state.held().intervals().collect::<Vec<_>>());
        state.store_held(held, &self.store)
    }
}
