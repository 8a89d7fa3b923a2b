//! Logs that are not written because the disk does not work. What a failed write
//! left on the disk may not be what is in memory, so nothing at all is written
//! from then on. One attempt after the other is made to write something else;
//! when one succeeds, everything is read back, what was signed is looked for in
//! it, and all logs open by themselves.
//!
//! A log that cannot be read is stopped alone, and read again after a while.

use std::collections::BTreeSet;

use super::log_state::LogState;
use super::logs::{put_head, put_log};
use super::reopening::{Mark, Reopening, Why};
use super::repeats::Repeats;
use super::salvage::Rows;
use super::{Engine, Output};
use crate::head::SignedHead;
use crate::id::{LogId, Topic};
use crate::limits::{PROBE_PAUSE_US, REREAD_PAUSE_US};
use crate::store::audit::readable;
use crate::store::tables::{HeadKind, NEXT_NUMBER, head_key};
use crate::store::{Batch, Durability, ReadError, Store, StoreError, Table};
use crate::time::Timestamp;
use crate::wire::v1;
use prost::Message;

/// Why a log is not written.
#[derive(Clone, Debug)]
pub(super) struct Stopped {
    pub(super) why: StoreError,
    pub(super) since: Timestamp,
    /// When it is read again, unless everything waits for the disk.
    pub(super) retry_at: Option<Timestamp>,
}

/// The disk cannot be written.
#[derive(Debug)]
pub(super) struct Halt {
    since: Timestamp,
    /// When it is tried again; `None` while an attempt is under way.
    probe_at: Option<Timestamp>,
    pause_us: u64,
}

impl Halt {
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.probe_at
    }
}

impl LogState {
    fn stop(&mut self, why: StoreError, now: Timestamp) {
        self.stopped.get_or_insert(Stopped {
            why,
            since: now,
            retry_at: None,
        });
    }

    /// What was known beside what is stored, of a log that was read anew.
    fn take_over(&mut self, old: Self, now: Timestamp) {
        let order = self.scheduler.order;
        self.scheduler = old.scheduler;
        self.scheduler.order = order;
        self.scheduler.begin = self.kept.from;
        self.scheduler.publisher = (self.manifest.as_ref()).map(|m| m.publisher.peer_id());
        self.stopped_for_good = self.stopped_for_good.take().or(old.stopped_for_good);
        self.damaged = old.damaged;
        self.unreadable = self.unreadable.take().or(old.unreadable);
        self.reread_us = old.reread_us;
        // One that goes on for another reason keeps its answers.
        self.reopening = old.reopening.or(self.reopening.take());
        self.mark = old.mark;
        self.followers = old.followers;
        self.search = old.search;
        self.searched = old.searched;
        self.vain_search = old.vain_search;
        self.extending = old.extending;
        self.echo = old.echo;
        self.failed_extensions = old.failed_extensions;
        self.unproven = old.unproven;
        self.heard = old.heard;
        self.timed_size = old.timed_size;
        self.heard_size = old.heard_size;
        self.clock_gap = old.clock_gap;
        self.has_fetched = old.has_fetched;
        self.told_synced = old.told_synced;
        self.told_by = old.told_by;
        self.polls = old.polls;
        self.poll_at = Some(now);
    }
}

impl<S: Store> Engine<S> {
    /// A disk that cannot be read or written makes nobody a liar.
    pub(super) fn store_failed(&mut self, log: LogId, error: &ReadError) {
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
    pub(super) fn stop(&mut self, log: LogId, why: StoreError, now: Timestamp) {
        let time = self.time(now);
        if let Some(state) = self.logs.get_mut(&log) {
            state.stop(why, time);
        }
        self.changed.insert(log);
        // Were it synced after all, its head would be signed.
        self.drop_staged(log);
    }

    /// Stops everything after a write that failed, and sees to those logs that
    /// were stopped by themselves.
    pub(super) fn stop_what_failed(&mut self, now: Timestamp) {
        if self.halt.is_none()
            && let Some(error) = self.store.failure()
        {
            self.halt(error, now);
        }
        if self.halt.is_some() {
            return;
        }
        for log in self.logs.touched() {
            let Some(state) = self.logs.get_mut(&log) else {
                continue;
            };
            if let Some(stopped) = &mut state.stopped
                && stopped.retry_at.is_none()
            {
                let (least, most) = REREAD_PAUSE_US;
                state.reread_us = (state.reread_us * 2).clamp(least, most);
                stopped.retry_at = Some(now.plus(state.reread_us));
            }
        }
    }

    fn halt(&mut self, error: StoreError, now: Timestamp) {
        let (least, most) = PROBE_PAUSE_US;
        // One that failed again at once waits longer.
        let lately = now.since(self.resumed_at) < most;
        self.probe_pause_us = match lately {
            true => (self.probe_pause_us * 2).clamp(least, most),
            false => least,
        };
        self.halt = Some(Halt {
            since: now,
            probe_at: Some(now.plus(self.probe_pause_us)),
            pause_us: self.probe_pause_us,
        });
        self.stop_all(&error, now);
        self.outputs.push_back(Output::Stopped(error));
    }

    /// Stops all logs until the disk works again.
    fn stop_all(&mut self, why: &StoreError, now: Timestamp) {
        for log in self.logs.keys().collect::<Vec<_>>() {
            self.stop(log, why.clone(), now);
            if let Some(stopped) = (self.logs.get_mut(&log)).and_then(|s| s.stopped.as_mut()) {
                stopped.retry_at = None;
            }
        }
    }

    /// Has it tried whether the disk can be written.
    pub(super) fn probe_is_due(&mut self, now: Timestamp) {
        if let Some(halt) = &mut self.halt
            && halt.probe_at.is_some_and(|at| at <= now)
        {
            halt.probe_at = None;
            self.outputs.push_back(Output::Probe);
        }
    }

    /// The outcome of an attempt to write.
    pub(super) fn probed(&mut self, result: Result<(), StoreError>, now: Timestamp) {
        let Some(halt) = &mut self.halt else {
            return;
        };
        if result.is_err() {
            halt.pause_us = (halt.pause_us * 2).min(PROBE_PAUSE_US.1);
            halt.probe_at = Some(now.plus(halt.pause_us));
            return;
        }
        self.probe_pause_us = halt.pause_us;
        let since = halt.since;
        self.store.heal();
        self.resumed_at = now;
        match self.read_back(now) {
            Ok(()) => {
                self.halt = None;
                self.outputs.push_back(Output::Resumed);
            }
            Err(error) => {
                let pause_us = (self.probe_pause_us * 2).min(PROBE_PAUSE_US.1);
                // Some of them were opened already.
                self.stop_all(&error, now);
                self.store.fail(error);
                self.halt = Some(Halt {
                    since,
                    probe_at: Some(now.plus(pause_us)),
                    pause_us,
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
    pub(super) fn reread_is_due(&mut self, log: LogId, now: Timestamp) {
        let is_due = (self.logs.get(&log))
            .and_then(|state| state.stopped.as_ref()?.retry_at)
            .is_some_and(|at| at <= now);
        if !is_due || self.halt.is_some() {
            return;
        }
        if let Err(error) = self.reread(log, now) {
            if let Some(stopped) = (self.logs.get_mut(&log)).and_then(|s| s.stopped.as_mut()) {
                stopped.retry_at = None;
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
        let stored = row.reopening();
        let mut known = Batch::new();
        self.put_unreadable(log, &mut known)?;
        if !known.is_empty() {
            self.store.commit(known, Durability::Written)?;
        }
        let mut state = self.load_log(log, row, now)?;
        let proved = self.logs.get(&log).and_then(|old| old.fork.clone());
        if let (Some(fork), None, Some(key)) = (proved, &state.fork, state.key()) {
            // What was proved stays proved.
            let row = head_key(state.number, HeadKind::Fork);
            batch.put(Table::Heads, row, fork.to_wire().encode_to_vec());
            self.set_fork(&mut state, key, fork)?;
        }
        let said = self.logs.get(&log).and_then(|old| old.recovered.clone());
        if let (Some(recovered), None) = (said, &state.recovered) {
            self.set_recovered(&mut state, *recovered)?;
            state.put_recovered(batch);
        }
        let old = self.logs.take(&log);
        let was_followed = old.as_ref().is_some_and(|old| old.followed);
        self.set_followed(log, was_followed, state.followed);
        let mut signed = None;
        if let Some(old) = old {
            signed = old.signed_head().cloned().filter(|_| old.owned);
            state.take_over(old, now);
        }
        if state.owned && !state.is_limited() {
            Self::remember_signed(&mut state, signed, batch, now);
            if state.reopening.is_none()
                && let Some(why) = Why::from_stored(stored)
            {
                let here = state.here();
                state.reopening = Some(Reopening::new(why, here, now));
            }
        }
        let is_reopened = state.reopening.is_some();
        if is_reopened || state.is_limited() {
            state.appender = None;
        }
        if (state.reopening.as_ref())
            .is_some_and(|reopening| reopening.to_stored(state.mark) != stored)
        {
            put_log(batch, log, &state);
        }
        let is_open = state.appender.is_some() && state.is_writable();
        let is_sure = state.unreadable.is_none();
        self.logs.insert(log, state);
        self.changed.insert(log);
        if !is_sure {
            self.suspect_all(log);
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
        signed: Option<SignedHead>,
        batch: &mut Batch,
        now: Timestamp,
    ) {
        let here = state.here();
        let stored = state.signed_head().cloned();
        let heads = [stored.clone(), signed].into_iter().flatten();
        let Some(last) = heads.max_by_key(|head| (head.size, head.closing.is_some(), head.time))
        else {
            return;
        };
        if last.size > here {
            state.mark = Some(Mark::of(&last));
            let lost = Reopening::new(Why::Marked { here }, here, now);
            state.reopening.get_or_insert(lost);
        }
        if stored.as_ref() != Some(&last) {
            put_head(batch, state.number, &last);
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
