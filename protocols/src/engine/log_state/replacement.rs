//! A recovered log of which another tree is here than the last head's: that one is
//! fetched beside it, under a number of its own, and takes its place when all of it is
//! here, checked and safe.
//!
//! That somebody has it is a peer's word, and it may be a lie. Until the records are
//! here a liar gains nothing by it: what was here stays as it was, is shown as it was as
//! long as nothing of the other tree has come, and is here again after a start, which
//! begins anew. Who delivers true records, and then no more, has what they are shown in
//! its place, and the room of both used up; what was here is still there. Where records
//! are kept for their age, it can also say that those which it lacks got too old, so
//! that the rest is all that is waited for: what goes then counts for nothing, either.

use crate::engine::log_state::{LogState, put_log};
use crate::engine::requests::{Request, RequestKind};
use crate::engine::rows::{forget_deletion, forget_name, put_deletion};
use crate::engine::{Engine, LogStatus, subscribers};
use crate::head::SignedHead;
use crate::id::LogId;
use crate::ranges::IntervalSet;
use crate::store::{Batch, Durability, ReadError, Store};
use crate::sync::scheduler::Scheduler;
use crate::time::Timestamp;
use crate::wire::v1;

/// What was here of a log before its last head's tree is.
#[derive(Debug, Default)]
pub(in crate::engine) struct Replaced {
    before: Option<Box<LogState>>,
    /// The disk may have damaged something of it meanwhile.
    is_suspect: bool,
}

impl LogState {
    /// Whether its rows are to take the place of others, which are still there.
    pub(in crate::engine) fn replaces(&self) -> bool {
        self.replaced.before.is_some()
    }

    /// What was here before, which is still there.
    pub(in crate::engine) fn before(&self) -> Option<&Self> {
        self.replaced.before.as_deref()
    }

    /// The number under which a start finds it.
    pub(in crate::engine) fn stored_number(&self) -> u32 {
        self.before().map_or(self.number(), Self::number)
    }

    /// What users are shown of it: what was here before, until something has come of
    /// what takes its place. From whom that comes, what of it is missing, and what keeps
    /// it from coming is told meanwhile.
    pub(in crate::engine) fn shown_status(&self, log: LogId, served_records: u64) -> LogStatus {
        let now = self.status(log, served_records);
        match self.before().filter(|_| self.held().is_empty()) {
            None => now,
            Some(before) => LogStatus {
                sources: now.sources,
                clock_ahead_us: now.clock_ahead_us,
                lag: now.lag,
                stopped: now.stopped,
                ..before.status(log, served_records)
            },
        }
    }

    /// Follows what was here before as its row says, too.
    pub(in crate::engine) fn follow_replaced_as(&mut self, row: &v1::StoredLog) {
        if let Some(before) = &mut self.replaced.before {
            before.follow_as(row.clone());
        }
    }

    /// Keeps the proof that it forked for what was here before, too.
    pub(super) fn put_fork_of_replaced(&mut self, batch: &mut Batch) {
        if let Some(mut before) = self.replaced.before.take() {
            before.keep_fork_of(self);
            before.put_fork(batch);
            self.replaced.before = Some(before);
        }
    }

    /// Has what was here before read when it is back: the disk has damaged something.
    pub(in crate::engine) fn suspect_replaced(&mut self) {
        self.replaced.is_suspect = self.replaces();
    }

    fn deletion(&self) -> v1::StoredDeletion {
        v1::StoredDeletion {
            chunk_level: self.key().map_or(0, |key| key.chunk_level.into()),
            next_chunk: 0,
            is_reclaiming: false,
        }
    }
}

impl<S: Store> Engine<S> {
    /// A peer says that it has the last head of a recovered log, and all of its tree from
    /// where it says that it begins there. If what is here is of another tree, or nothing
    /// shows that it is not, that one is fetched to take its place.
    pub(in crate::engine) fn end_is_there(
        &mut self,
        log: LogId,
        head: &SignedHead,
        (told, held): (u64, &IntervalSet),
        now: Timestamp,
    ) {
        let Some(state) = self
            .logs
            .get(&log)
            .filter(|state| state.is_unsure() && state.takes())
        else {
            return;
        };
        // What is being read may show that it is the last head's tree after all.
        if self.suspects.has(log) {
            return;
        }
        let begin = state
            .begin_at(head.size)
            .max(state.aged_by_word(told, head.size));
        let begin = begin.min(head.size);
        let has_all = head.size == begin || held.contains(begin, head.size);
        if state.recovered_tree() == Some(head.tree()) && has_all {
            self.begin_at_end(log, now);
        }
    }

    fn begin_at_end(&mut self, log: LogId, now: Timestamp) {
        let Some(mut old) = self.logs.take(&log) else {
            return;
        };
        let Some(last) = old.last_head().cloned() else {
            self.logs.insert(log, old);
            return;
        };
        let mut batch = Batch::new();
        let begun = self.anew(&old, &mut batch).and_then(|state| {
            // A start finds the log under its old number, and takes these rows away.
            put_deletion(&mut batch, state.number(), &state.deletion());
            self.store.commit(batch, Durability::Synced)?;
            Ok(state)
        });
        let mut state = match begun {
            Ok(state) => state,
            Err(error) => {
                self.logs.insert(log, old);
                return self.store_failed(log, &ReadError::Store(error));
            }
        };
        let number = old.number();
        // Nothing more is asked for it.
        old.keep_sources(Scheduler::default());
        state.replaced.before = Some(Box::new(old));
        self.logs.insert(log, state);
        self.changed.insert(log);
        self.forget_rows(log, number);
        self.adopt(log, &last, &[], now);
        for peer in subscribers(&self.peers, log) {
            self.ask_about(peer, log, now);
        }
    }

    /// Has what was fetched take the place of what was here before, if all of it is here
    /// and safe.
    pub(in crate::engine) fn replace(&mut self, log: LogId, now: Timestamp) {
        let is_whole =
            |state: &&mut LogState| state.replaces() && state.is_complete() && !state.is_unsafe();
        let Some(state) = self.logs.get_mut(&log).filter(is_whole) else {
            return;
        };
        let before = std::mem::take(&mut state.replaced);
        let Some(old) = before.before.as_deref() else {
            return;
        };
        let (number, deletion) = (old.number(), old.deletion());
        let mut batch = Batch::new();
        put_log(&mut batch, log, state);
        forget_deletion(&mut batch, state.number());
        put_deletion(&mut batch, number, &deletion);
        forget_name(&mut batch, number);
        if let Err(error) = self.store.commit(batch, Durability::Synced) {
            state.replaced = before;
            return self.store_failed(log, &ReadError::Store(error));
        }
        self.changed.insert(log);
        self.deletions.begin(number, deletion, now);
    }

    /// Goes back to what was here before, and takes away what has come to replace it:
    /// something else counts now, or nobody wants it any more.
    pub(in crate::engine) fn go_back(&mut self, log: LogId, now: Timestamp) {
        if !self.logs.get(&log).is_some_and(LogState::replaces) {
            return;
        }
        let Some(mut state) = self.logs.take(&log) else {
            return;
        };
        let Replaced {
            before: Some(mut old),
            is_suspect,
        } = std::mem::take(&mut state.replaced)
        else {
            return;
        };
        old.wait_as(&state);
        self.logs.insert(log, *old);
        self.changed.insert(log);
        self.forget_rows(log, state.number());
        self.deletions.begin(state.number(), state.deletion(), now);
        if is_suspect {
            self.suspect_all(log);
        }
    }

    /// The same, unless what is stored of the log has this number: then what had come has
    /// taken the place of what was here before, by a write of which nobody knew whether
    /// the disk has it.
    pub(super) fn go_back_unless_stored(&mut self, log: LogId, number: u32, now: Timestamp) {
        match self.logs.get_mut(&log) {
            Some(state) if state.number() == number => state.replaced = Replaced::default(),
            _ => self.go_back(log, now),
        }
    }

    /// What was under way with the rows that a log had is nothing to those of now. What a
    /// user waits for is judged by its tree when it comes.
    fn forget_rows(&mut self, log: LogId, number: u32) {
        self.provider.forget_ends(number);
        self.suspects.forget(log);
        self.forget_unsynced(log);
        let is_of_rows = |request: &Request| {
            request.log() == Some(log) && !matches!(request.kind, RequestKind::Retrieve { .. })
        };
        for id in self.requests.which(is_of_rows) {
            self.cancel(id);
        }
    }
}
