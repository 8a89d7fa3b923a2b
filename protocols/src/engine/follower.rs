//! Logs of others: followed, asked about, answered. What comes back is judged
//! in `adoption`, `gossip` and `fetching`.

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::log_state::{LogState, put_log};
use super::requests::{Request, RequestKind};
use super::rows::put_row;
use super::{CommandError, Engine, Output, Reply, subscribers};
use crate::head::{AdoptedHead, UnverifiedHead};
use crate::id::{LogId, Topic};
use crate::limits::{BUSY_HEAD_POLL_US, MAX_INTERVALS};
use crate::log::AdmitError;
use crate::manifest::{SignedManifest, UnverifiedManifest};
use crate::ranges::{Interval, IntervalSet};
use crate::store::{Batch, Durability, ReadError, Store};
use crate::sync::Lane;
use crate::sync::scheduler::Ending;
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::frame::Body;

impl<S: Store> Engine<S> {
    pub(super) fn follow(
        &mut self,
        log: LogId,
        peers: Vec<String>,
        newest_first: bool,
        now: Timestamp,
    ) -> Result<Reply, CommandError> {
        if self.deletions.is_deleted(log) {
            self.revive(log, now)?;
        }
        let mut batch = Batch::new();
        let known = self.logs.get(&log);
        let was_followed = known.is_some_and(LogState::is_followed);
        // Nothing is changed here before it is on the disk: a log that exists
        // in memory alone would share its number with the next one.
        let mut row = match known {
            Some(state) => state.to_stored(),
            None => LogState::new(self.take_number(&mut batch)).to_stored(),
        };
        row.followed = true;
        row.newest_first = newest_first;
        for peer in peers {
            if !row.peers.contains(&peer) {
                row.peers.push(peer);
            }
        }
        put_row(&mut batch, log, &row);
        self.store.commit(batch, Durability::Synced)?;
        if !self.logs.contains_key(&log) {
            self.logs.insert(log, LogState::new(row.number));
        }
        if let Some(state) = self.logs.get_mut(&log) {
            state.follow_as(row);
        }
        self.changed.insert(log);
        if !was_followed {
            self.subscribe(log);
        }
        for peer in subscribers(&self.peers, log) {
            self.ask_about(peer, log, now);
        }
        Ok(Reply::Done)
    }

    pub(super) fn unfollow(&mut self, log: LogId, now: Timestamp) -> Result<Reply, CommandError> {
        // Nothing more comes to replace what is here.
        self.go_back(log, now);
        let state = (self.logs.get_mut(&log)).ok_or(CommandError::UnknownStream(log))?;
        let mut row = state.to_stored();
        row.followed = false;
        let mut batch = Batch::new();
        put_row(&mut batch, log, &row);
        self.store.commit(batch, Durability::Synced)?;
        state.unfollow();
        self.joining.forget(log);
        self.early.remove(&log);
        let asked = self.requests.which(|request| request.log() == Some(log));
        for id in asked {
            self.give_up(id, now);
        }
        for topic in [Topic::Data(log), Topic::Meta(log)] {
            self.outputs.push_back(Output::Unsubscribe(topic));
        }
        self.changed.insert(log);
        Ok(Reply::Done)
    }

    /// Asks a peer that subscribes to a log what it has of it.
    pub(super) fn ask_about(&mut self, peer: PeerId, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get(&log) else {
            return;
        };
        // The owner asks whether anybody knows more than it does.
        if !state.takes() && !state.is_ours() {
            return;
        }
        if self.requests.is_asked_about(peer, log) || !self.requests.may_ask_about(peer, log) {
            return;
        }
        let name = Bytes::copy_from_slice(&log.0);
        if state.manifest().is_some() {
            let from = state.adopted().cloned();
            let size = state.size();
            // From one peer at a time: the others would tell the same.
            let news = size > 0 && !self.requests.is_asked_for_news(log);
            let ask = v1::GetHead {
                log: name,
                size,
                news,
            };
            let body = Body::GetHead(ask);
            self.ask(peer, RequestKind::Head { log, from, news }, body, now);
        } else {
            let body = Body::GetManifest(v1::GetManifest { log: name });
            self.ask(peer, RequestKind::Manifest(log), body, now);
        }
    }

    /// Asks the peers that have answered what waits for its turn.
    pub(super) fn ask_what_waits(&mut self, now: Timestamp) {
        while let Some((peer, log)) = self.requests.next_waiting() {
            if self.peers.get(&peer).is_some_and(|peer| peer.ready) {
                self.ask_about(peer, log, now);
            }
        }
    }

    pub(super) fn take_manifest(
        &mut self,
        peer: PeerId,
        log: LogId,
        manifest: v1::SignedManifest,
        now: Timestamp,
    ) -> Result<(), AdmitError> {
        let manifest = UnverifiedManifest::from(manifest).verify(Some(log))?;
        self.keep_manifest(log, manifest, now);
        self.take_early(log, now);
        // Others may have been asked for the manifest only.
        for peer in subscribers(&self.peers, log).into_iter().chain([peer]) {
            self.ask_about(peer, log, now);
        }
        Ok(())
    }

    /// Stores the manifest of a log, unless it is known.
    pub(super) fn keep_manifest(&mut self, log: LogId, manifest: SignedManifest, now: Timestamp) {
        let state = self.logs.get_mut(&log);
        let Some(state) = state.filter(|state| state.manifest().is_none()) else {
            return;
        };
        state.set_manifest(manifest);
        let mut batch = Batch::new();
        put_log(&mut batch, log, state);
        self.changed.insert(log);
        if let Err(error) = self.store.commit(batch, Durability::Written) {
            return self.store_failed(log, &ReadError::Store(error));
        }
        self.reunite(log, now);
    }

    pub(super) fn take_head_state(
        &mut self,
        peer: PeerId,
        log: LogId,
        wire: v1::HeadState,
        from: Option<&AdoptedHead>,
        now: Timestamp,
    ) -> Result<(), AdmitError> {
        let head = UnverifiedHead::try_from(wire.head.clone())?;
        let Some(head) = self.verify_head(log, head)? else {
            return Ok(());
        };
        let what = "a head state";
        let mut held = IntervalSet::default();
        for one in wire.held.iter().take(MAX_INTERVALS) {
            let one = Interval::from_wire(what, Some(one))?;
            let _ = held.insert(one.from, one.to);
        }
        self.joining.shows(log, peer, head.size, &held);
        let theirs = held.clone();
        self.heard_of_own(peer, log, &head, now);
        self.reopening_answered(peer, log, &head, now);
        self.follower_has(peer, log, &head, &held, now);
        let mut has_more = false;
        let time = self.time(now);
        if let Some(state) = self.logs.get_mut(&log).filter(|state| state.fetches()) {
            has_more = state.source_has(peer, head.size, held);
            state.told_to_begin(peer, wire.begin);
            state.note_heard(&head);
            let pause = state.head_poll_us(time);
            state.poll_some_time(now.plus(pause));
            self.changed.insert(log);
        }
        self.end_is_there(log, &head, (wire.begin, &theirs), now);
        let news = self.take_news(peer, log, wire, from, now);
        self.consider(peer, log, &head, now);
        self.search_fork_point(peer, log, &head, now);
        self.echo_if_missed(log, head.size, now);
        self.schedule(log, now);
        if has_more {
            self.ask_what_is_waited_for(peer, now);
        }
        news
    }

    /// Gives up a request: what it was to bring is asked of others.
    pub(super) fn failed(&mut self, request: Request, now: Timestamp) {
        if let RequestKind::Retrieve { command, question } = request.kind {
            return self.retrieval_failed(command, &question, now);
        }
        if let RequestKind::Discover(command) = request.kind {
            return self.discovery_answered(command);
        }
        let peer = request.peer;
        let Some(log) = request.log() else {
            return;
        };
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        match request.kind {
            RequestKind::Manifest(_) | RequestKind::Head { .. } => {
                // It may know more in a while.
                let soon = now.plus(BUSY_HEAD_POLL_US);
                state.poll_some_time(soon);
            }
            RequestKind::Extend(..) => {
                // Whoever cannot show it may be behind, or does not want to:
                // now it is the others' turn.
                state.extension_failed(peer, now);
            }
            RequestKind::Retrieve { .. } | RequestKind::Discover(_) => {}
            RequestKind::Search(_) => state.end_search(),
            RequestKind::Range(fetch) => {
                state.fetch_ended(peer, &fetch, Ending::Failed, now);
                // It may have been behind what we took it to have.
                if self.peers.get(&peer).is_some_and(|peer| peer.ready) {
                    self.ask_about(peer, log, now);
                }
                self.schedule_hungry(log, now);
            }
        }
        self.schedule(log, now);
    }

    /// Tells a peer whose answer is late that it is not wanted any more.
    pub(super) fn give_up(&mut self, id: u64, now: Timestamp) {
        if let Some(request) = self.cancel(id) {
            self.failed(request, now);
        }
    }

    /// Tells a peer that its answer is not wanted any more, for a reason that is
    /// not the peer's: it is asked again as soon as the reason is gone.
    pub(super) fn withdraw(&mut self, id: u64, now: Timestamp) {
        let Some(request) = self.cancel(id) else {
            return;
        };
        let (peer, RequestKind::Range(fetch)) = (request.peer, &request.kind) else {
            return self.failed(request, now);
        };
        let log = fetch.log;
        if let Some(state) = self.logs.get_mut(&log) {
            state.fetch_ended(peer, fetch, Ending::Withdrawn, now);
        }
        self.schedule_hungry(log, now);
        self.schedule(log, now);
    }

    /// Tells those who were asked for records of a log that their answers are not wanted
    /// any more: they may be of another tree than the one that counts from now on.
    pub(super) fn withdraw_ranges(&mut self, log: LogId, now: Timestamp) {
        let open = (self.requests).which(|request| {
            request.log() == Some(log) && matches!(request.kind, RequestKind::Range(_))
        });
        for id in open {
            self.withdraw(id, now);
        }
    }

    pub(super) fn cancel(&mut self, id: u64) -> Option<Request> {
        let request = self.requests.remove(id)?;
        self.send(request.peer, Lane::Control, id, Body::Cancel(v1::Cancel {}));
        Some(request)
    }

    /// Forgets a peer as a source, and returns the logs of which it was one.
    pub(super) fn drop_sources(&mut self, peer: PeerId) -> Vec<LogId> {
        let mut dropped = Vec::new();
        for (log, state) in self.logs.iter_mut() {
            if state.lose_source(peer) {
                self.changed.insert(log);
                dropped.push(log);
            }
        }
        dropped
    }
}
