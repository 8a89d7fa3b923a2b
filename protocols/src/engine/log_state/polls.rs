//! When somebody is asked for the head of a log again, and who.

use libp2p_identity::PeerId;

use crate::engine::log_state::LogState;
use crate::engine::{Engine, subscribers};
use crate::id::LogId;
use crate::limits::{BUSY_HEAD_POLL_US, HEAD_POLL_US, MAX_HEAD_POLL_US};
use crate::store::Store;
use crate::time::Timestamp;

/// When a source is asked for its head again.
#[derive(Debug, Default)]
pub(in crate::engine) struct Polls {
    due: Option<Timestamp>,
    /// How often one was asked: each time it is another's turn.
    turns: usize,
}

impl LogState {
    /// When somebody is asked.
    pub(in crate::engine) fn poll_due(&self) -> Option<Timestamp> {
        self.polls.due
    }

    /// Has somebody asked at this time, whatever was said before.
    pub(in crate::engine) fn poll_at(&mut self, at: Timestamp) {
        self.polls.due = Some(at);
    }

    /// Has somebody asked soon.
    pub(in crate::engine) fn poll_soon(&mut self, now: Timestamp) {
        let soon = now.plus(BUSY_HEAD_POLL_US);
        self.polls.due = Some(self.polls.due.map_or(soon, |at| at.min(soon)));
    }

    /// Has somebody asked sooner, if anybody is to be asked at all.
    pub(in crate::engine) fn poll_sooner(&mut self, now: Timestamp) {
        let soon = now.plus(BUSY_HEAD_POLL_US);
        self.polls.due = self.polls.due.map(|at| at.min(soon));
    }

    /// Has somebody asked at this time, unless it is known when.
    pub(in crate::engine) fn poll_some_time(&mut self, at: Timestamp) {
        self.polls.due.get_or_insert(at);
    }

    /// Goes on in turn from where the same log was before it was read anew.
    pub(in crate::engine) fn poll_in_turn_of(&mut self, old: &Polls, now: Timestamp) {
        self.polls = Polls {
            due: Some(now),
            turns: old.turns,
        };
    }

    /// The sources and subscribers that are to be asked now: all of them while
    /// something is missing, otherwise one, in turn.
    pub(in crate::engine) fn take_polls(
        &mut self,
        (now, time): (Timestamp, Timestamp),
        subscribers: impl FnOnce() -> Vec<PeerId>,
    ) -> Vec<PeerId> {
        if !self.fetches() || self.polls.due.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let sources = self.sources().map(|(&peer, _)| peer);
        let mut peers: Vec<_> = sources.chain(subscribers()).collect();
        peers.sort_unstable();
        peers.dedup();
        if peers.is_empty() {
            self.polls.due = None;
            return peers;
        }
        if !self.is_complete() || self.is_unproven() {
            self.poll_at(now.plus(BUSY_HEAD_POLL_US));
            return peers;
        }
        self.poll_at(now.plus(self.head_poll_us(time)));
        self.polls.turns = self.polls.turns.wrapping_add(1);
        vec![peers[self.polls.turns % peers.len()]]
    }

    /// Microseconds until somebody is asked for the head again, when nothing is
    /// missing: a quarter of the time for which the log has been quiet, within
    /// bounds. What gossip has lost is then late by a quarter for each neighbour
    /// that is asked before one that has it. `time` is what our clock shows; its
    /// owner's may show another one.
    pub(in crate::engine) fn head_poll_us(&self, time: Timestamp) -> u64 {
        let theirs = (time.0).saturating_add(self.clock_ahead_us().unwrap_or(0));
        let quiet = (self.adopted()).map_or(0, |head| Timestamp(theirs).since(head.time));
        (quiet / 4).clamp(HEAD_POLL_US, MAX_HEAD_POLL_US)
    }
}

impl<S: Store> Engine<S> {
    /// Asks those whose turn it is for their heads, and those again that were
    /// left alone for a while.
    pub(in crate::engine) fn polls_are_due(&mut self, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let warm = state.is_warm(now);
        let times = (now, self.clock.time(now));
        let polls = state.take_polls(times, || subscribers(&self.peers, log));
        if !warm && polls.is_empty() {
            return;
        }
        for peer in polls {
            self.ask_about(peer, log, now);
        }
        self.schedule(log, now);
    }
}
