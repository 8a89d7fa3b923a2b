//! The peers that a log is fetched from, as its scheduler knows them.

use libp2p_identity::PeerId;

use super::log_state::LogState;
use super::log_state::reopening::Reopening;
use crate::ranges::IntervalSet;
use crate::sync::scheduler::{Ending, Scheduler, Source};
use crate::sync::session::Fetch;
use crate::time::Timestamp;

impl LogState {
    /// The peers that have something of it.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&PeerId, &Source)> {
        self.scheduler.sources()
    }

    /// Who publishes it, once that is known.
    pub(super) fn publisher(&self) -> Option<PeerId> {
        self.scheduler.publisher
    }

    /// Notes what a peer says that it has; whether that is more than before.
    pub(super) fn source_has(&mut self, peer: PeerId, size: u64, held: IntervalSet) -> bool {
        let has_more = self.scheduler.held_by(peer) < held.len();
        self.scheduler.has(peer, size, held);
        has_more
    }

    /// See [`Scheduler::has_live`].
    pub(super) fn source_has_live(&mut self, peer: PeerId, from: u64, to: u64) -> bool {
        self.scheduler.has_live(peer, from, to)
    }

    /// See [`Scheduler::note_delivery`].
    pub(super) fn source_delivered(&mut self, peer: PeerId) {
        self.scheduler.note_delivery(peer);
    }

    /// Forgets a peer; whether it was a source.
    pub(super) fn lose_source(&mut self, peer: PeerId) -> bool {
        self.scheduler.gone(peer)
    }

    /// What is before this one when we come is history; from here on it is live.
    pub(super) fn live_from(&mut self, size: u64) {
        self.scheduler.live_from = size;
    }

    /// Nothing more comes of what a peer was asked for.
    pub(super) fn fetch_ended(&mut self, peer: PeerId, fetch: &Fetch, how: Ending, now: Timestamp) {
        self.scheduler.release_all(fetch.expected());
        self.scheduler.ended(peer, fetch.priority, how, now);
    }

    /// Goes on with the sources that it had before it was read anew.
    pub(super) fn keep_sources(&mut self, old: Scheduler) {
        let order = self.scheduler.order;
        self.scheduler = old;
        self.scheduler.order = order;
        self.scheduler.publisher = (self.manifest()).map(|m| m.publisher.peer_id());
        self.plan_from_begin();
    }

    /// Whether something is missing, or may be, and nobody is known who has it.
    pub(super) fn lacks_source(&self) -> bool {
        // Whoever knows more of it than its owner may be out of reach, too.
        let alone = (self.reopening()).is_some_and(Reopening::knows_nobody);
        let lacks = alone || !self.is_complete();
        // Of the tree of a last head whoever has it all would be asked by now.
        let is_supplied =
            !self.is_unsure() && self.scheduler.is_supplied(self.held(), self.target());
        self.fetches() && lacks && !is_supplied
    }

    /// When the next source may be asked again after a failure.
    pub(super) fn next_cool(&self) -> Option<Timestamp> {
        self.scheduler.next_cool()
    }

    /// Whether a source may be asked again after a failure.
    pub(super) fn is_warm(&mut self, now: Timestamp) -> bool {
        let due = self.scheduler.next_cool().is_some_and(|at| at <= now);
        self.scheduler.warm(now);
        due
    }
}
