//! Logs that are not written because the disk does not work. What a failed write
//! left on the disk may not be what is in memory, so nothing at all is written
//! from then on. One attempt after the other is made to write something else;
//! when one succeeds, everything is read back, what was signed is looked for in
//! it, and all logs open by themselves.
//!
//! A log that cannot be read is stopped alone, and read again after a while.

use std::collections::BTreeSet;

use super::reopening::{Mark, Reopening, Why};
use crate::engine::log_state::{LogState, put_log};
use crate::engine::repeats::Repeats;
use crate::engine::rows::{put_fork, put_head};
use crate::engine::start::Rows;
use crate::engine::{Engine, Output};
use crate::head::SignedHead;
use crate::id::{LogId, Topic};
use crate::limits::{PROBE_BACKOFF, REREAD_BACKOFF};
use crate::store::around::readable;
use crate::store::tables::NEXT_NUMBER;
use crate::store::{Batch, Durability, ReadError, Store, StoreError, Table};
use crate::time::Timestamp;
use crate::wire::v1;
use prost::Message;

/// Why a log is not written.
#[derive(Debug, Default)]
pub(in crate::engine) struct Stops {
    /// Whatever the disk does.
    for_good: Option<String>,
    /// Before the disk works again.
    for_now: Option<Stopped>,
    /// How often it was waited before it was read again.
    rereads: u32,
}

/// It is not written before it was read again.
#[derive(Clone, Debug)]
struct Stopped {
    why: StoreError,
    since: Timestamp,
    /// When it is read again, unless everything waits for the disk.
    retry_at: Option<Timestamp>,
}

impl Stops {
    fn stop(&mut self, why: StoreError, now: Timestamp) {
        self.for_now.get_or_insert(Stopped {
            why,
            since: now,
            retry_at: None,
        });
    }

    /// It waits for the disk, or for what sees to it next.
    fn wait(&mut self) {
        if let Some(stopped) = &mut self.for_now {
            stopped.retry_at = None;
        }
    }

    /// Has it read again in a while, unless it is known when.
    fn retry(&mut self, now: Timestamp) {
        if let Some(stopped) = &mut self.for_now
            && stopped.retry_at.is_none()
        {
            stopped.retry_at = Some(now + REREAD_BACKOFF.next(&mut self.rereads));
        }
    }

    /// What stops it for good does so also when it was read anew.
    pub(in crate::engine) fn take_over(&mut self, old: Self) {
        self.for_good = self.for_good.take().or(old.for_good);
        self.rereads = old.rereads;
    }
}

/// The disk cannot be written.
#[derive(Debug)]
pub(in crate::engine) struct Halt {
    since: Timestamp,
    /// When it is tried again; `None` while an attempt is under way.
    probe_at: Option<Timestamp>,
}

impl Halt {
    pub(in crate::engine) fn next_due(&self) -> Option<Timestamp> {
        self.probe_at
    }
}

impl LogState {
    /// Nothing more is written to this log.
    pub(in crate::engine) fn stop_for_good(&mut self, why: String) {
        self.stops.for_good.get_or_insert(why);
    }

    /// Whether anything may be written to it.
    pub(in crate::engine) fn is_writable(&self) -> bool {
        self.stops.for_good.is_none() && self.stops.for_now.is_none()
    }

    /// Why nothing more is written to it, whatever the disk does.
    pub(in crate::engine) fn stopped_for_good(&self) -> Option<&str> {
        self.stops.for_good.as_deref()
    }

    /// Why nothing is written to it before the disk works again.
    pub(in crate::engine) fn stopped_by(&self) -> Option<&StoreError> {
        self.stops.for_now.as_ref().map(|stopped| &stopped.why)
    }

    /// The same in words, and since when.
    pub(in crate::engine) fn stopped_since(&self) -> Option<(String, Timestamp)> {
        let stopped = self.stops.for_now.as_ref()?;
        Some((stopped.why.to_string(), stopped.since))
    }

    /// It is the same log as another one, and waits for the disk as that does.
    pub(super) fn wait_as(&mut self, other: &Self) {
        self.stops.for_now.clone_from(&other.stops.for_now);
    }

    /// When it is read again, if it was stopped by itself.
    pub(in crate::engine) fn reread_at(&self) -> Option<Timestamp> {
        self.stops.for_now.as_ref()?.retry_at
    }
}

impl<S: Store> Engine<S> {
    /// A disk that cannot be read or written makes nobody a liar.
    pub(in crate::engine) fn store_failed(&mut self, log: LogId, error: &ReadError) {
        match error {
            // What is damaged stops nobody: the rest goes on.
            ReadError::Store(StoreError::Damaged(_)) | ReadError::NotHeld(_) => {
                self.changed.insert(log);
                self.drop_staged_for(log, error);
                self.met_damage(log, self.now);
            }
            ReadError::Store(error) => self.stop(log, error.clone(), self.now),
        }
    }

    /// Stops one log.
    pub(in crate::engine) fn stop(&mut self, log: LogId, why: StoreError, now: Timestamp) {
        let time = self.time(now);
        if let Some(state) = self.logs.get_mut(&log) {
            state.stops.stop(why, time);
        }
        self.changed.insert(log);
        // Were it synced after all, its head would be signed.
        self.drop_staged(log);
    }

    /// Stops everything after a write that failed, and sees to those logs that
    /// were stopped by themselves.
    pub(in crate::engine) fn stop_what_failed(&mut self, now: Timestamp) {
        if self.halt.is_none()
            && let Some(error) = self.store.failure()
        {
            self.halt(error, now);
        }
        if self.halt.is_some() {
            return;
        }
        for log in self.logs.touched() {
            if let Some(state) = self.logs.get_mut(&log) {
                state.stops.retry(now);
            }
        }
    }

    fn halt(&mut self, error: StoreError, now: Timestamp) {
        // One that failed again at once waits longer.
        let lately = now < self.resumed_at + PROBE_BACKOFF.most();
        if !lately {
            self.failed_probes = 0;
        }
        self.halt = Some(Halt {
            since: now,
            probe_at: Some(now + PROBE_BACKOFF.next(&mut self.failed_probes)),
        });
        self.stop_all(&error, now);
        self.outputs.push_back(Output::Stopped(error));
    }

    /// Stops all logs until the disk works again.
    fn stop_all(&mut self, why: &StoreError, now: Timestamp) {
        for log in self.logs.keys().collect::<Vec<_>>() {
            self.stop(log, why.clone(), now);
            if let Some(state) = self.logs.get_mut(&log) {
                state.stops.wait();
            }
        }
    }

    /// Has it tried whether the disk can be written.
    pub(in crate::engine) fn probe_is_due(&mut self, now: Timestamp) {
        if let Some(halt) = &mut self.halt
            && halt.probe_at.is_some_and(|at| at <= now)
        {
            halt.probe_at = None;
            self.outputs.push_back(Output::Probe);
        }
    }

    /// The outcome of an attempt to write.
    pub(in crate::engine) fn probed(&mut self, result: Result<(), StoreError>, now: Timestamp) {
        let Some(halt) = &mut self.halt else {
            return;
        };
        if result.is_err() {
            halt.probe_at = Some(now + PROBE_BACKOFF.next(&mut self.failed_probes));
            return;
        }
        let since = halt.since;
        self.store.heal();
        self.resumed_at = now;
        match self.read_back(now) {
            Ok(()) => {
                self.halt = None;
                self.outputs.push_back(Output::Resumed);
            }
            Err(error) => {
                // Some of them were opened already.
                self.stop_all(&error, now);
                self.store.fail(error);
                self.halt = Some(Halt {
                    since,
                    probe_at: Some(now + PROBE_BACKOFF.next(&mut self.failed_probes)),
                });
            }
        }
    }

    /// Reads everything anew, and opens what it can.
    fn read_back(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let number = readable(self.store.get(Table::Meta, NEXT_NUMBER))?.flatten();
        if let Some(number) = number
            && let Ok(number) = number[..].try_into().map(u32::from_be_bytes)
        {
            // What was taken in memory alone is not used again either.
            self.next_number = self.next_number.max(number);
        }
        self.repeats = Repeats::load(&self.store)?;
        let stored = self.stored_rows()?;
        let before = std::mem::take(&mut self.deletions);
        if self.load_deletions(now)? || stored.is_damaged {
            self.deletions.take_over(before, now);
        }
        let mut gone: BTreeSet<LogId> = self.logs.keys().collect();
        let mut batch = Batch::new();
        let mut opened = Vec::new();
        for (log, row) in self.rows_with_known(stored) {
            if row.deleted {
                self.deletions.keep_tombstone(log, row);
                continue;
            }
            gone.remove(&log);
            match self.read_log_back(log, row, &mut batch, now) {
                Ok(Some(head)) => opened.push((log, head)),
                Ok(None) => {}
                Err(error) if self.store.failure().is_some() => return Err(error),
                Err(error) => self.store_failed(log, &ReadError::Store(error)),
            }
        }
        for log in gone {
            self.forget(log, now);
        }
        self.store.commit(batch, Durability::Synced)?;
        for (log, head) in opened {
            self.publish_head(log, &head);
        }
        for log in self.logs.keys().collect::<Vec<_>>() {
            self.schedule(log, now);
        }
        Ok(())
    }

    /// The rows that were read. Those that cannot be read are what is known of
    /// their logs here.
    fn rows_with_known(&self, stored: Rows) -> Vec<(LogId, v1::StoredLog)> {
        let mut rows = stored.rows;
        let read: BTreeSet<LogId> = rows.iter().map(|(log, _)| *log).collect();
        let is_lost = |log: LogId| stored.is_damaged && !read.contains(&log);
        for (log, state) in self.logs.iter() {
            if is_lost(log) || stored.nameless.contains(&log) {
                rows.push((log, state.to_stored()));
            }
        }
        rows
    }

    /// Reads a log that was stopped by itself.
    pub(in crate::engine) fn reread_is_due(&mut self, log: LogId, now: Timestamp) {
        let is_due = (self.logs.get(&log))
            .and_then(LogState::reread_at)
            .is_some_and(|at| at <= now);
        if !is_due || self.halt.is_some() {
            return;
        }
        if let Err(error) = self.reread(log, now) {
            if let Some(state) = self.logs.get_mut(&log) {
                state.stops.wait();
            }
            self.store_failed(log, &ReadError::Store(error));
        }
    }

    fn reread(&mut self, log: LogId, now: Timestamp) -> Result<(), StoreError> {
        let row =
            (self.store.get(Table::Logs, &log.0)?).and_then(|row| v1::StoredLog::decode(row).ok());
        let Some(row) = row else {
            let what = "the row of a log is missing";
            return Err(StoreError::Damaged(what.to_owned()));
        };
        let mut batch = Batch::new();
        let head = self.read_log_back(log, row, &mut batch, now)?;
        self.store.commit(batch, Durability::Synced)?;
        if let Some(head) = head {
            self.publish_head(log, &head);
        }
        self.schedule(log, now);
        Ok(())
    }

    /// Reads one log, and returns its head if it was signed anew.
    fn read_log_back(
        &mut self,
        log: LogId,
        row: v1::StoredLog,
        batch: &mut Batch,
        now: Timestamp,
    ) -> Result<Option<SignedHead>, StoreError> {
        self.go_back_unless_stored(log, row.number, now);
        let stored = row.reopening();
        let mut known = Batch::new();
        self.put_unreadable(log, &mut known)?;
        if !known.is_empty() {
            self.store.commit(known, Durability::Written)?;
        }
        let mut state = self.load_log(log, row, now)?;
        let proved = self.logs.get(&log).and_then(LogState::fork);
        if let (Some(fork), None, Some(key)) = (proved.cloned(), state.fork(), state.key()) {
            // What was proved stays proved.
            put_fork(batch, key.number, &fork);
            self.set_fork(&mut state, key, Box::new(fork))?;
        }
        let said = self.logs.get(&log).and_then(LogState::recovered);
        if let (Some(recovered), None) = (said.cloned(), state.recovered()) {
            self.set_recovered(&mut state, recovered)?;
            state.put_recovered(batch);
        }
        let old = self.logs.take(&log);
        let was_followed = old.as_ref().is_some_and(LogState::is_followed);
        self.set_followed(log, was_followed, state.is_followed());
        let (mut signed, here) = (None, state.here());
        if let Some(old) = old {
            signed = old.signed_head().cloned().filter(|_| old.is_ours());
            state.take_over(old, now);
        }
        if state.is_ours() && !state.is_limited() {
            Self::remember_signed(&mut state, (signed, here), batch, now);
            if state.reopening().is_none()
                && let Some(why) = Why::from_stored(stored)
            {
                let here = state.here();
                state.wait_for_others(Reopening::new(why, here, now));
            }
        }
        if state.is_limited() && state.is_open() {
            state.write_no_more();
        }
        if state.reopening().is_some() && state.stored_reopening() != stored {
            put_log(batch, log, &state);
        }
        let is_open = state.is_open() && state.is_writable();
        let is_sure = state.is_readable();
        self.logs.insert(log, state);
        self.changed.insert(log);
        match is_sure {
            true => self.suspect_cut(log),
            false => self.suspect_all(log),
        }
        if !is_open {
            return Ok(None);
        }
        let before = self.logs[&log].signed_head().cloned();
        self.sign_what_is_here(log, now, batch)?;
        let head = self.logs[&log].signed_head().cloned();
        Ok(head.filter(|head| before.as_ref() != Some(head)))
    }

    /// What was signed last counts, whether or not the disk has that head. Where
    /// there are fewer records now, peers may have the rest, and nothing is
    /// signed before that is known.
    fn remember_signed(
        state: &mut LogState,
        (signed, here): (Option<SignedHead>, u64),
        batch: &mut Batch,
        now: Timestamp,
    ) {
        let stored = state.signed_head().cloned();
        let heads = [stored.clone(), signed].into_iter().flatten();
        let Some(last) = heads.max_by_key(|head| (head.size, head.closing.is_some(), head.time))
        else {
            return;
        };
        if last.size > here {
            state.set_mark(Some(Mark::of(&last)));
            if state.reopening().is_none() {
                state.wait_for_others(Reopening::new(Why::Marked { here }, here, now));
            }
        }
        if stored.as_ref() != Some(&last) {
            put_head(batch, state.number(), &last);
        }
        state.set_adopted(last);
    }

    fn set_followed(&mut self, log: LogId, before: bool, after: bool) {
        if after && !before {
            self.subscribe(log);
        } else if before && !after {
            for topic in [Topic::Data(log), Topic::Meta(log)] {
                self.outputs.push_back(Output::Unsubscribe(topic));
            }
        }
    }
}
