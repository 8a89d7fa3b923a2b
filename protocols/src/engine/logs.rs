//! All logs that the engine knows, and how they come back from the store.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;

use super::agenda::Agenda;
use super::log_state::{LogState, put_log};
use super::repeats::Repeats;
use super::start::{Lost, Rows, Start};
use super::{Engine, Output, Settings};
use crate::head::{AdoptedHead, SignedHead, UnverifiedHead};
use crate::id::{LogId, Topic};
use crate::identity::PublicKey;
use crate::log::ForkProof;
use crate::manifest::{SignedManifest, UnverifiedManifest};
use crate::store::around::readable;
use crate::store::tables::{HeadKind, NEXT_NUMBER, head_key};
use crate::store::{Batch, Durability, History, LogKey, Store, StoreError, Table};
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::stored_log::Reopening as Stored;

/// Every log that is known, and when each is to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Logs {
    states: BTreeMap<LogId, LogState>,
    /// Logs that may have changed when they are due.
    touched: BTreeSet<LogId>,
    agenda: Agenda<LogId>,
}

impl Logs {
    pub(super) fn get(&self, log: &LogId) -> Option<&LogState> {
        self.states.get(log)
    }

    pub(super) fn get_mut(&mut self, log: &LogId) -> Option<&mut LogState> {
        self.touched.insert(*log);
        self.states.get_mut(log)
    }

    pub(super) fn insert(&mut self, log: LogId, state: LogState) {
        self.touched.insert(log);
        self.states.insert(log, state);
    }

    pub(super) fn remove(&mut self, log: &LogId) {
        self.touched.insert(*log);
        self.states.remove(log);
    }

    pub(super) fn take(&mut self, log: &LogId) -> Option<LogState> {
        self.touched.insert(*log);
        self.states.remove(log)
    }

    pub(super) fn contains_key(&self, log: &LogId) -> bool {
        self.states.contains_key(log)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = LogId> + '_ {
        self.states.keys().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LogId, &LogState)> {
        self.states.iter().map(|(&log, state)| (log, state))
    }

    /// All logs, for changes that make none due earlier.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (LogId, &mut LogState)> {
        self.states.iter_mut().map(|(&log, state)| (log, state))
    }

    /// The logs that were touched since they were last rearmed.
    pub(super) fn touched(&self) -> Vec<LogId> {
        self.touched.iter().copied().collect()
    }

    /// Notes when the logs that were touched are due. Called after each input.
    pub(super) fn rearm(&mut self, next: fn(&LogState) -> Option<Timestamp>) {
        for log in std::mem::take(&mut self.touched) {
            let at = self.states.get(&log).and_then(next);
            self.agenda.set(log, at);
        }
    }

    /// When the next log is due.
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        self.agenda.next()
    }

    /// The logs that are due.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<LogId> {
        let due = self.agenda.due(now);
        self.touched.extend(&due);
        due
    }
}

impl std::ops::Index<&LogId> for Logs {
    type Output = LogState;

    fn index(&self, log: &LogId) -> &LogState {
        &self.states[log]
    }
}

impl<S: Store> Engine<S> {
    /// Reads every log from the store. Our own logs are not open for writing until
    /// they are reopened where others may know more of them.
    pub(super) fn load(&mut self, settings: &Settings, now: Timestamp) -> Result<(), StoreError> {
        let start = Start {
            copied: settings.copied,
            lost: settings.lost.as_deref(),
            ended_badly: settings.ended_badly,
        };
        let lost_rows = settings.lost_rows;
        self.load_next_number(lost_rows)?;
        self.repeats = Repeats::load(&self.store)?;
        self.load_deletions(now)?;
        self.lost_rows = lost_rows;
        let Rows {
            rows,
            nameless,
            is_damaged,
        } = self.load_rows(lost_rows)?;
        for (log, row) in rows {
            if row.deleted {
                self.deletions.keep_tombstone(log, row);
                continue;
            }
            let (owned, stored) = (row.owned, row.reopening());
            let mut state = self.load_if_writable(log, row, now)?;
            if owned {
                state.set_mark(settings.marks.get(&log).copied());
                state.begin_as(stored, &start, state.here(), now);
            }
            let is_sure = state.is_readable();
            self.loaded(log, state);
            match is_sure {
                true => self.suspect_cut(log),
                false => self.suspect_all(log),
            }
        }
        let mut stored = Ok(());
        for log in nameless {
            match self.follow_nameless(log) {
                Ok(state) => self.loaded(log, state),
                Err(error) => stored = Err(error),
            }
        }
        let largest = self.logs.iter().map(|(_, state)| state.number()).max();
        if let Some(largest) = largest {
            // What says so may be lost while the logs are not.
            self.next_number = self.next_number.max(largest.saturating_add(1));
        }
        let mut batch = Batch::new();
        self.load_lost(settings, &start, now, &mut batch);
        self.load_names(is_damaged || lost_rows, &start, now, &mut batch)?;
        if settings.copied || settings.lost.is_some() {
            for (log, state) in self.logs.iter().filter(|(_, state)| state.is_ours()) {
                put_log(&mut batch, log, state);
            }
        }
        self.load_clock(now)?;
        if !batch.is_empty() {
            // What is there is read all the same.
            stored = stored.and(self.store.commit(batch, Durability::Synced));
        }
        if lost_rows {
            self.restore_all_rows();
            for log in self.logs.keys().collect::<Vec<_>>() {
                self.suspect_all(log);
            }
        }
        match stored.and_then(|()| self.sign_what_a_crash_left(now)) {
            // What is there can be read although nothing can be written.
            Err(_) if self.store.failure().is_some() => Ok(()),
            written => written,
        }
    }

    /// Reads a log, and what is known of it only, if nothing can be written: it is
    /// read once more when the disk works again.
    fn load_if_writable(
        &mut self,
        log: LogId,
        row: v1::StoredLog,
        now: Timestamp,
    ) -> Result<LogState, StoreError> {
        match self.load_log(log, row.clone(), now) {
            Err(_) if self.store.failure().is_some() => Ok(self.read_log(log, row)?.0),
            loaded => loaded,
        }
    }

    pub(super) fn loaded(&mut self, log: LogId, state: LogState) {
        if state.is_followed() {
            self.subscribe(log);
        }
        self.logs.insert(log, state);
        self.changed.insert(log);
    }

    /// Logs of ours that something was signed of, and that the store knows
    /// nothing about: they are followed, so that what others have comes back.
    fn load_lost(
        &mut self,
        settings: &Settings,
        start: &Start<'_>,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        for (&log, &mark) in &settings.marks {
            let is_known = self.logs.contains_key(&log) || self.deletions.is_deleted(log);
            if is_known || mark.size == 0 {
                continue;
            }
            let mut state = LogState::new(self.take_number(batch));
            state.own();
            state.follow();
            state.set_mark(Some(mark));
            state.begin_as(Stored::No, start, 0, now);
            put_log(batch, log, &state);
            self.subscribe(log);
            self.logs.insert(log, state);
            self.changed.insert(log);
        }
    }

    /// Reads what is stored of a log, and what could not be read.
    pub(super) fn read_log(
        &self,
        log: LogId,
        row: v1::StoredLog,
    ) -> Result<(LogState, Lost), StoreError> {
        let mut lost = Lost::default();
        let mut state = LogState::from_stored(&row);
        let manifest = row.manifest.map(UnverifiedManifest::from);
        let manifest = manifest.and_then(|manifest| manifest.verify(Some(log)).ok());
        let Some(manifest) = manifest else {
            for kind in [HeadKind::Adopted, HeadKind::EarlyAdopted] {
                let key = head_key(row.number, kind);
                lost.rows |= !matches!(readable(self.store.get(Table::Heads, &key))?, Some(None));
            }
            return Ok((state, lost));
        };
        let owner = manifest.publisher.clone();
        state.set_manifest(manifest.clone());
        match readable(self.load_head(log, row.number, &owner))? {
            Some(Some(head)) => state.set_stored_head(head.into()),
            Some(None) => match readable(self.load_early_head(log, row.number, &owner))? {
                Some(Some(head)) => state.set_stored_head(AdoptedHead::Early(head)),
                Some(None) => {}
                None => lost.head = true,
            },
            None => lost.head = true,
        }
        let key = LogKey {
            number: row.number,
            chunk_level: manifest.chunk_level,
        };
        match readable(self.load_fork(log, row.number, &manifest))? {
            Some(Some(fork)) => match readable(self.set_fork(&mut state, key, fork))? {
                Some(()) => {}
                None => lost.fork = true,
            },
            Some(None) => {}
            None => lost.fork = true,
        }
        match readable(self.load_recovered(log, &state))? {
            Some(Some(recovered)) => drop(readable(self.set_recovered(&mut state, recovered))?),
            Some(None) => {}
            None => lost.fork = true,
        }
        let history = History::new(&self.store, key);
        match readable(history.held())? {
            Some(held) => {
                // Our own first head is stored with the log, others' with the first rows.
                lost.head |= state.adopted().is_none() && (row.owned || !held.is_empty());
                state.set_held(held);
            }
            None => lost.held = true,
        }
        readable(self.load_begin(&mut state))?;
        state.live_from(state.size());
        if state.is_ours() && state.fork().is_some() {
            state.stop_for_good(state.why_forked().to_owned());
        }
        if state.is_complete() {
            // What was only written is synced before the engine is open.
            state.is_safe_to(state.target());
        }
        state.note_complete();
        Ok((state, lost))
    }

    fn load_head(
        &self,
        log: LogId,
        number: u32,
        owner: &PublicKey,
    ) -> Result<Option<SignedHead>, StoreError> {
        let key = head_key(number, HeadKind::Adopted);
        let Some(bytes) = self.store.get(Table::Heads, &key)? else {
            return Ok(None);
        };
        let row = v1::StoredHead::decode(bytes).map_err(|_| damaged("a head"))?;
        let head = UnverifiedHead::try_from(row.head).map_err(|_| damaged("a head"))?;
        let head = head.verify(log, owner);
        head.map(Some).map_err(|error| damaged(&error.to_string()))
    }

    fn load_fork(
        &self,
        log: LogId,
        number: u32,
        manifest: &SignedManifest,
    ) -> Result<Option<Box<ForkProof>>, StoreError> {
        let key = head_key(number, HeadKind::Fork);
        let Some(bytes) = self.store.get(Table::Heads, &key)? else {
            return Ok(None);
        };
        let wire = v1::ForkProof::decode(bytes).map_err(|_| damaged("a fork proof"))?;
        let fork = ForkProof::verify(wire, log, manifest);
        let fork = fork.map_err(|error| damaged(&error.to_string()))?;
        Ok(Some(Box::new(fork)))
    }

    /// A number for a new log, and the row that keeps it from being used again.
    pub(super) fn take_number(&mut self, batch: &mut Batch) -> u32 {
        let number = self.next_number;
        self.next_number += 1;
        let next = Bytes::copy_from_slice(&self.next_number.to_be_bytes());
        batch.put(Table::Meta, NEXT_NUMBER, next);
        number
    }

    pub(super) fn subscribe(&mut self, log: LogId) {
        for topic in [Topic::Data(log), Topic::Meta(log)] {
            self.outputs.push_back(Output::Subscribe(topic));
        }
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}
