//! Answers to what peers ask.

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::Engine;
use super::log_state::LogState;
use super::trees::nodes_between;
use crate::head::Tree;
use crate::id::LogId;
use crate::limits::{MAX_INTERVALS, MAX_LOG_SIZE};
use crate::merkle::{CompactRange, Hash, join_hashes};
use crate::ranges::Interval;
use crate::store::{History, LogKey, Store, StoreError};
use crate::sync::Priority;
use crate::sync::provider::{RangeRequest, RefuseError, Work};
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::frame::Body;
use crate::wire::v1::refused::Why;

/// What it may have taken to find out that a tree is not known here: the nodes,
/// and the chunk that it ends in.
pub(super) const UNKNOWN_TREE: Work = Work {
    questions: 0,
    nodes: 64,
    bytes: 64 * 1024,
};

/// Intervals that are told in the time in which a node is looked up.
const INTERVALS_AS_A_NODE: usize = 16;

impl<S: Store> Engine<S> {
    /// A log that a peer names, if it is known here.
    pub(super) fn asked_log(&self, log: &Bytes) -> Option<(LogId, &LogState)> {
        let log = LogId::from_slice(log)?;
        Some((log, self.logs.get(&log)?))
    }

    /// Where the rows of a log are, if the tree that a peer asks about is the one
    /// here; and what it took to know that. Only what lies below a head that was adopted can be proved, what is
    /// disputed is nobody's history, and a proof in another tree, which a forked
    /// owner has signed, would look like a lie of ours.
    pub(super) fn key_of_tree(
        &self,
        state: &LogState,
        size: u64,
        root: &Bytes,
    ) -> Result<(LogKey, Work), RefuseError> {
        let root = Hash::from_slice(root).ok_or(RefuseError::Malformed)?;
        let key = state.key().filter(|_| size <= state.target());
        let key = key.ok_or(RefuseError::NotHeld)?;
        let history = History::new(&self.store, key);
        let ours = match state.tree_of(size) {
            Some(tree) => Some(tree.root),
            None => nodes_between(&history, 0, size)?
                .and_then(|nodes| CompactRange::from_hashes(0, size, nodes).ok())
                .and_then(|range| range.root()),
        };
        match ours {
            Some(ours) if ours == root => Ok((key, Work::of(&history))),
            Some(_) => Err(RefuseError::OtherTree),
            None => Err(RefuseError::NotHeld),
        }
    }

    /// A peer is told our head of a log.
    fn told_head(&mut self, log: LogId) {
        let is_reopened = (self.logs.get(&log)).is_some_and(|state| state.reopening().is_some());
        if is_reopened && let Some(state) = self.logs.get_mut(&log) {
            state.told_head();
        }
    }

    pub(super) fn refuse_peer(&mut self, peer: PeerId, id: u64, why: Why) {
        let refused = v1::Refused { why: why.into() };
        self.reply(peer, id, Body::Refused(refused));
    }

    pub(super) fn answer_manifest(
        &mut self,
        peer: PeerId,
        id: u64,
        ask: &v1::GetManifest,
        now: Timestamp,
    ) {
        if !self.provider.may_ask_little(peer, now) {
            return self.refuse_peer(peer, id, Why::Busy);
        }
        let manifest = self
            .asked_log(&ask.log)
            .and_then(|(_, state)| state.manifest());
        match manifest.map(|manifest| manifest.to_wire()) {
            Some(manifest) => self.reply(peer, id, Body::Manifest(manifest)),
            None => self.refuse_peer(peer, id, Why::UnknownLog),
        }
    }

    pub(super) fn answer_head(&mut self, peer: PeerId, id: u64, ask: &v1::GetHead, now: Timestamp) {
        if !self.provider.may_ask_little(peer, now) {
            return self.refuse_peer(peer, id, Why::Busy);
        }
        if let Some(log) = LogId::from_slice(&ask.log) {
            // First of all: a head of a forked log is only a branch.
            self.send_evidence(peer, log);
        }
        let known = self.asked_log(&ask.log);
        let Some((log, state, head)) =
            known.and_then(|(log, state)| Some((log, state, state.head_for_others()?)))
        else {
            return self.refuse_peer(peer, id, Why::UnknownLog);
        };
        if state.is_silent(now) {
            return self.refuse_peer(peer, id, Why::Busy);
        }
        let held = state.held().held(0, state.target()).take(MAX_INTERVALS);
        let mut answer = v1::HeadState {
            log: Bytes::copy_from_slice(&log.0),
            head: Some(head.to_wire()),
            held: held.map(Interval::to_wire).collect(),
            begin: state.told_begin(),
            ..v1::HeadState::default()
        };
        let shows = if self.provider.may_ask(peer, now) {
            self.add_news(&mut answer, state, ask)
        } else {
            Ok(Work::default())
        };
        match shows {
            Ok(mut work) => {
                work.nodes += answer.held.len() / INTERVALS_AS_A_NODE;
                self.provider.charge(peer, work, now);
                self.told_head(log);
                self.reply(peer, id, Body::Head(Box::new(answer)));
            }
            Err(_) => {
                self.suspect_end(log, ask.size);
                self.suspect_end(log, u64::MAX);
                self.refuse_peer(peer, id, Why::Failed);
            }
        }
    }

    pub(super) fn answer_range(
        &mut self,
        peer: PeerId,
        id: u64,
        ask: &v1::GetRange,
        now: Timestamp,
    ) {
        let Ok(intervals) = Interval::list_from_wire("a range request", &ask.intervals) else {
            return self.refuse_peer(peer, id, Why::Malformed);
        };
        // An offer that there is no room for would be lost, and what is delivered
        // behind it unasked for.
        if !self.provider.may_ask(peer, now) || !self.provider.may_answer(peer) {
            return self.refuse_peer(peer, id, Why::Busy);
        }
        let log = LogId::from_slice(&ask.log);
        let known = log.and_then(|log| Some((log, self.logs.get(&log)?)));
        let Some((log, state)) = known else {
            return self.refuse_peer(peer, id, Why::UnknownLog);
        };
        let Some(root) = Hash::from_slice(&ask.root) else {
            self.provider.charge(peer, UNKNOWN_TREE, now);
            return self.refuse_peer(peer, id, Why::Malformed);
        };
        let key = match self.key_of_tree(state, ask.size, &ask.root) {
            Ok((key, work)) => {
                self.provider.charge(peer, work, now);
                key
            }
            Err(error) => {
                if let RefuseError::Store(_) = error {
                    self.suspect_end(log, ask.size);
                }
                self.provider.charge(peer, UNKNOWN_TREE, now);
                return self.refuse_peer(peer, id, error.why());
            }
        };
        let request = RangeRequest {
            log,
            id,
            tree: Tree {
                size: ask.size,
                root,
            },
            intervals,
            all: ask.mode() == v1::get_range::Mode::All,
            priority: Priority::from_wire(ask.priority()),
        };
        let history = History::new(&self.store, key);
        match self
            .provider
            .offer(peer, &request, &history, state.held(), now)
        {
            Ok(offer) => {
                // In the lane of its deliveries, which must not overtake it.
                let lane = request.priority.lane();
                self.reply_in(lane, peer, id, Body::OfferedHashes(offer));
            }
            Err(error) => {
                if let RefuseError::Store(StoreError::Damaged(_)) = error {
                    for interval in request.intervals {
                        self.suspect(log, interval);
                    }
                }
                self.refuse_peer(peer, id, error.why());
            }
        }
        self.deliver(peer, now);
    }

    pub(super) fn answer_extend(
        &mut self,
        peer: PeerId,
        id: u64,
        ask: &v1::Extend,
        now: Timestamp,
    ) {
        let Some((log, state)) = self.asked_log(&ask.log) else {
            return self.refuse_peer(peer, id, Why::UnknownLog);
        };
        if state.is_silent(now) {
            return self.refuse_peer(peer, id, Why::Busy);
        }
        let from_size = ask.from_size;
        let (Some(key), Some(head)) = (state.key(), state.head_for_others()) else {
            return self.refuse_peer(peer, id, Why::NotHeld);
        };
        if from_size > head.size || from_size > MAX_LOG_SIZE {
            return self.refuse_peer(peer, id, Why::NotHeld);
        }
        if !self.provider.may_ask(peer, now) {
            return self.refuse_peer(peer, id, Why::Busy);
        }
        let history = History::new(&self.store, key);
        let head = head.clone();
        let left = nodes_between(&history, 0, from_size);
        let right = nodes_between(&history, from_size, head.size);
        self.provider.charge(peer, Work::of(&history), now);
        match (left, right) {
            (Ok(Some(left)), Ok(Some(right))) => {
                let extension = v1::Extension {
                    head: Some(head.to_wire()),
                    left: join_hashes(&left),
                    right: join_hashes(&right),
                };
                self.told_head(log);
                self.reply(peer, id, Body::Extension(extension));
            }
            (Ok(_), Ok(_)) => self.refuse_peer(peer, id, Why::NotHeld),
            (Err(_), _) | (_, Err(_)) => {
                self.suspect_end(log, from_size);
                self.suspect_end(log, u64::MAX);
                self.refuse_peer(peer, id, Why::Failed);
            }
        }
    }
}
