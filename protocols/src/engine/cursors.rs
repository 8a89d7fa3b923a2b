//! How far we are, and how far the others are: told by what is held up to which
//! head, never by how fast something comes in.

use std::cmp::Ordering;

use libp2p_identity::PeerId;

use super::log_state::LogState;
use super::{Engine, Output, Verdict};
use crate::head::{Head, SignedHead};
use crate::id::{LogId, Topic};
use crate::limits::{MAX_SOURCES, SYNCED_NOTICE_US};
use crate::meta::Synced;
use crate::meta::allowance::Said;
use crate::store::Store;
use crate::sync::scheduler::Source;
use crate::time::Timestamp;
use crate::wire::{WireError, v1};

/// How a log stands to what its sources have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Sources of which everything that they hold is held here, too. Those that
    /// never delivered anything do not count: they may say what they like.
    pub synced_sources: usize,
    /// Sources that hold everything up to the adopted head; the same goes for
    /// these.
    pub full_sources: usize,
    /// Records up to the largest head heard of that are not held here.
    pub records: u64,
    /// Microseconds from the newest head with which everything was held here to
    /// the newest one heard of; `None` while there was no such head.
    pub time_us: Option<u64>,
}

impl Lag {
    /// Nothing that any source holds, or any head covers, is missing here.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.records == 0
    }
}

impl LogState {
    pub(super) fn lag(&self) -> Lag {
        let size = self.target();
        let sources = || self.scheduler.sources().map(|(_, source)| source);
        let delivering = || sources().filter(|source| source.has_delivered);
        let largest = sources().map(|source| source.size).max().unwrap_or(0);
        // Of a forked log nothing more is wanted.
        let largest = match self.is_limited() {
            false => largest.max(self.heard_size).max(size),
            true => size,
        };
        let begin = self.begin_at(largest);
        let held = self.held.len() - self.held.outside(begin, largest);
        let records = largest.saturating_sub(begin).saturating_sub(held);
        let time_us = if records == 0 && size > 0 {
            Some(0)
        } else {
            let newest = self.heard.max(self.complete_at);
            (newest.zip(self.complete_at)).map(|(newest, at)| newest.since(at))
        };
        Lag {
            synced_sources: delivering()
                .filter(|source| self.has_all_of(source))
                .count(),
            full_sources: delivering()
                .filter(|source| size > 0 && source.has_all(self.begin(), size))
                .count(),
            records,
            time_us,
        }
    }

    /// Whether everything that a source holds up to its head is held here.
    fn has_all_of(&self, source: &Source) -> bool {
        source.size <= self.size() && source.has_nothing_new(&self.held, self.begin())
    }

    /// Notes the time of a head with which everything is held.
    pub(super) fn note_complete(&mut self) {
        if self.is_complete() {
            self.complete_at = self.adopted.as_ref().map(|head| head.time);
        }
    }

    /// Notes the time of a head that was heard, if it is one of the largest. Only
    /// between these do times tell which is newer: an owner's clock may have been
    /// wrong, or set back, in between.
    pub(super) fn note_time(&mut self, head: &Head) {
        self.heard = match head.size.cmp(&self.timed_size) {
            Ordering::Less => self.heard,
            Ordering::Equal => self.heard.max(Some(head.time)),
            Ordering::Greater => Some(head.time),
        };
        self.timed_size = self.timed_size.max(head.size);
    }

    /// Notes that a head was heard whose signature is right; whether it is the
    /// largest one so far.
    pub(super) fn note_heard(&mut self, head: &SignedHead) -> bool {
        let is_larger = self.heard_size < head.size;
        self.heard_size = self.heard_size.max(head.size);
        is_larger
    }
}

impl<S: Store> Engine<S> {
    /// Tells the others that everything is held here and safe, once after
    /// something had to be fetched.
    pub(super) fn tell_synced(&mut self, log: LogId, now: Timestamp) {
        let state = self.logs.get_mut(&log);
        // Of a forked log nobody has the whole tree of a head.
        let Some(state) = state.filter(|state| state.takes() && !state.is_limited()) else {
            return;
        };
        let is_early = (state.told_synced).is_some_and(|at| at.plus(SYNCED_NOTICE_US) > now);
        let Some(head) = &state.adopted else {
            return;
        };
        if !state.has_fetched || is_early || head.size == 0 {
            return;
        }
        state.has_fetched = false;
        state.told_synced = Some(now);
        let notice = Synced::with(head, self.key.public().peer_id()).encode();
        self.outputs
            .push_back(Output::Publish(Topic::Meta(log), notice));
    }

    /// Somebody says that it holds everything. It is believed as far as it will
    /// be asked for it.
    pub(super) fn synced_heard(
        &mut self,
        author: PeerId,
        log: LogId,
        wire: &v1::Synced,
        now: Timestamp,
    ) -> Result<Verdict, WireError> {
        let synced = Synced::from_wire(wire)?;
        if synced.peer != author {
            let (what, field) = ("a notice of a full sync", "peer: it is not the author");
            return Err(WireError::BadField { what, field });
        }
        let Some(state) = self.logs.get(&log).filter(|state| state.followed) else {
            return Ok(Verdict::Ignore);
        };
        // Of a tree that is not known here nobody can say whether there is one.
        let known = state.recent.get(&synced.size);
        let is_known = known.is_some_and(|head| head.root == synced.root);
        let before = state.told_by.get(&author);
        if !is_known || before.is_some_and(|&size| size >= synced.size) {
            return Ok(Verdict::Ignore);
        }
        if !self.may_say(log, Said::Synced, author, now) {
            return Ok(Verdict::Ignore);
        }
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(Verdict::Ignore);
        };
        if state.told_by.len() >= MAX_SOURCES && !state.told_by.contains_key(&author) {
            // Whoever has the least may say it again when it has more.
            let least = state.told_by.iter().min_by_key(|(_, size)| **size);
            if let Some((&peer, _)) = least {
                state.told_by.remove(&peer);
            }
        }
        state.told_by.insert(author, synced.size);
        self.follower_is_in_step(author, log, now);
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(Verdict::Ignore);
        };
        let begin = state.begin().min(synced.size);
        if state.scheduler.has_live(author, begin, synced.size) {
            self.changed.insert(log);
            self.schedule(log, now);
        }
        Ok(Verdict::Accept)
    }
}
