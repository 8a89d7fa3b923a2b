//! Logs of others: heads are adopted, records admitted, what is missing asked
//! for. Whatever comes, by gossip or by sync, is checked before it is stored.

use bytes::Bytes;
use libp2p_identity::PeerId;
use prost::Message;

use super::logs::{LogState, put_head, put_log};
use super::{CommandError, Engine, Output, Reply, Request, RequestKind, Verdict, subscribers};
use crate::head::{SignedHead, UnverifiedHead};
use crate::id::{LogId, Topic};
use crate::limits::{
    BUSY_HEAD_POLL_US, HEAD_POLL_US, MAX_CLOCK_SKEW_US, MAX_GOSSIP_BYTES, MAX_HEAD_LAG_US,
    MAX_HELD_INTERVALS, MAX_INTERVALS,
};
use crate::log::{AdmitError, Announcement, Extension, ForkProof, Node, Relation, Shown};
use crate::manifest::UnverifiedManifest;
use crate::ranges::{Interval, IntervalSet};
use crate::record::Record;
use crate::store::tables::{HeadKind, head_key};
use crate::store::{Admission, Batch, Durability, ReadError, Store, StoreError, Table};
use crate::sync::Lane;
use crate::sync::scheduler::{Assignment, Order};
use crate::sync::session::{CheckedDelivery, Fetch};
use crate::time::Timestamp;
use crate::wire::v1::frame::Body;
use crate::wire::{decode, v1};

/// A complete log is made safe against the loss of power at most this often,
/// in microseconds: live records that come one by one share a sync.
const SYNC_EVERY_US: u64 = 200_000;

impl<S: Store> Engine<S> {
    pub(super) fn follow(
        &mut self,
        log: LogId,
        peers: Vec<String>,
        newest_first: bool,
        now: Timestamp,
    ) -> Result<Reply, CommandError> {
        let mut batch = Batch::new();
        if !self.logs.contains_key(&log) {
            let number = self.take_number(&mut batch);
            self.logs.insert(log, LogState::new(number));
        }
        let state = self.logs.get_mut(&log).expect("it was just inserted");
        let was_followed = std::mem::replace(&mut state.followed, true);
        for peer in peers {
            if !state.peers.contains(&peer) {
                state.peers.push(peer);
            }
        }
        state.scheduler.order = if newest_first {
            Order::NewestFirst
        } else {
            Order::OldestFirst
        };
        put_log(&mut batch, log, state);
        self.store.commit(batch, Durability::Synced)?;
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
        let state = (self.logs.get_mut(&log)).ok_or(CommandError::UnknownStream(log))?;
        state.followed = false;
        let mut batch = Batch::new();
        put_log(&mut batch, log, state);
        self.store.commit(batch, Durability::Synced)?;
        let asked: Vec<_> = (self.requests.iter())
            .filter(|(_, request)| request.log() == log)
            .map(|(&id, _)| id)
            .collect();
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
        if !state.takes() {
            return;
        }
        let asked = |request: &Request| {
            request.peer == peer
                && match &request.kind {
                    RequestKind::Manifest(of) | RequestKind::Head(of) => *of == log,
                    RequestKind::Extend(..) | RequestKind::Range(_) => false,
                }
        };
        if self.requests.values().any(asked) {
            return;
        }
        let name = Bytes::copy_from_slice(&log.0);
        if state.manifest.is_some() {
            let body = Body::GetHead(v1::GetHead { log: name });
            self.ask(peer, RequestKind::Head(log), body, now);
        } else {
            let body = Body::GetManifest(v1::GetManifest { log: name });
            self.ask(peer, RequestKind::Manifest(log), body, now);
        }
    }

    /// Takes an answer. One that nobody waits for any more is ignored.
    pub(super) fn answered(&mut self, peer: PeerId, id: u64, body: Body, now: Timestamp) {
        let Some(request) = self.requests.get(&id).filter(|asked| asked.peer == peer) else {
            return;
        };
        if let RequestKind::Range(_) = request.kind {
            return self.range_answered(peer, id, body, now);
        }
        let Some(request) = self.requests.remove(&id) else {
            return;
        };
        let log = request.log();
        let result = match (&request.kind, body) {
            (_, Body::Refused(_)) => {
                self.failed(request, now);
                return;
            }
            (RequestKind::Manifest(_), Body::Manifest(manifest)) => {
                self.take_manifest(peer, log, manifest, now)
            }
            (RequestKind::Head(_), Body::Head(head)) => self.take_head_state(peer, log, head, now),
            (RequestKind::Extend(_, from), Body::Extension(extension)) => {
                if let Some(state) = self.logs.get_mut(&log) {
                    state.extending = None;
                }
                let from = from.clone();
                self.take_extension(peer, log, extension, &from, now)
            }
            _ => {
                let what = "answers something else than was asked".to_owned();
                self.ban_for(peer, Some(log), what);
                return self.failed(request, now);
            }
        };
        if let Err(error) = result {
            self.ban(peer, Some(log), &error);
        }
    }

    fn take_manifest(
        &mut self,
        peer: PeerId,
        log: LogId,
        manifest: v1::SignedManifest,
        now: Timestamp,
    ) -> Result<(), AdmitError> {
        let manifest = UnverifiedManifest::from(manifest).verify(Some(log))?;
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(());
        };
        if state.manifest.is_none() {
            state.manifest = Some(manifest);
            let mut batch = Batch::new();
            put_log(&mut batch, log, state);
            self.changed.insert(log);
            if let Err(error) = self.store.commit(batch, Durability::Written) {
                self.store_failed(log, &ReadError::Store(error));
                return Ok(());
            }
        }
        // Others may have been asked for the manifest only.
        for peer in subscribers(&self.peers, log).into_iter().chain([peer]) {
            self.ask_about(peer, log, now);
        }
        Ok(())
    }

    fn take_head_state(
        &mut self,
        peer: PeerId,
        log: LogId,
        wire: v1::HeadState,
        now: Timestamp,
    ) -> Result<(), AdmitError> {
        let head = UnverifiedHead::try_from(wire.head)?;
        let Some(head) = self.verify_head(log, head)? else {
            return Ok(());
        };
        let what = "a head state";
        let mut held = IntervalSet::default();
        for one in wire.held.iter().take(MAX_INTERVALS) {
            let one = Interval::from_wire(what, Some(one))?;
            let _ = held.insert(one.from, one.to);
        }
        if let Some(state) = self.logs.get_mut(&log) {
            state.scheduler.has(peer, head.size, held);
            state.poll_at.get_or_insert(now.plus(HEAD_POLL_US));
            self.changed.insert(log);
        }
        self.consider(peer, log, &head, now);
        self.schedule(log, now);
        Ok(())
    }

    /// A head whose signature was checked; `None` when it cannot be, because the
    /// manifest of its log has not come.
    fn verify_head(
        &self,
        log: LogId,
        head: UnverifiedHead,
    ) -> Result<Option<SignedHead>, AdmitError> {
        let Some(manifest) = self
            .logs
            .get(&log)
            .and_then(|state| state.manifest.as_ref())
        else {
            return Ok(None);
        };
        Ok(Some(head.verify(log, &manifest.publisher)?))
    }

    /// Takes a head alone: adopts it if the heads alone show that it may be,
    /// otherwise asks the peer for the proof. Returns whether it brought
    /// anything new.
    fn consider(&mut self, peer: PeerId, log: LogId, head: &SignedHead, now: Timestamp) -> bool {
        let Some(state) = self.logs.get(&log).filter(|state| state.takes()) else {
            return false;
        };
        let relation = match &state.adopted {
            None => Relation::Extends,
            Some(adopted) => Relation::of_heads(adopted, head),
        };
        match relation {
            Relation::Older | Relation::Same => false,
            Relation::Renews | Relation::Extends => {
                self.adopt(log, head, &[], now);
                true
            }
            Relation::Unproven => {
                self.ask_extension(peer, log, now);
                true
            }
            Relation::Fork(proof) => {
                self.take_fork(log, proof);
                true
            }
        }
    }

    fn ask_extension(&mut self, peer: PeerId, log: LogId, now: Timestamp) {
        let ready = self.peers.get(&peer).is_some_and(|peer| peer.ready);
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let (Some(from), None, true) = (state.adopted.clone(), state.extending, ready) else {
            return;
        };
        state.extending = Some(peer);
        let body = Body::Extend(v1::Extend {
            log: Bytes::copy_from_slice(&log.0),
            from_size: from.size,
        });
        self.ask(peer, RequestKind::Extend(log, from), body, now);
    }

    fn take_extension(
        &mut self,
        peer: PeerId,
        log: LogId,
        wire: v1::Extension,
        from: &SignedHead,
        now: Timestamp,
    ) -> Result<(), AdmitError> {
        let Some(manifest) = self
            .logs
            .get(&log)
            .and_then(|state| state.manifest.as_ref())
        else {
            return Ok(());
        };
        let extension = Extension::from_wire(wire, from.size, log, &manifest.publisher)?;
        match extension.check(from)? {
            Shown::Fork(proof) => self.take_fork(log, proof),
            Shown::Extends(nodes) => {
                let state = self.logs.get(&log).filter(|state| state.takes());
                let Some(adopted) = state.and_then(|state| state.adopted.as_ref()) else {
                    return Ok(());
                };
                if adopted.size != from.size {
                    // Meanwhile an announcement has shown more, and nothing is
                    // shown of that yet.
                    self.consider(peer, log, &extension.head, now);
                } else if adopted.size < extension.head.size {
                    self.adopt(log, &extension.head, &nodes, now);
                }
            }
        }
        self.schedule(log, now);
        Ok(())
    }

    /// Adopts a head that was shown to extend the one adopted before.
    fn adopt(&mut self, log: LogId, head: &SignedHead, nodes: &[Node], now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let Some(key) = state.key() else {
            return;
        };
        if state.adopted.is_none() {
            // What was there when we came is history; from here on it is live.
            state.scheduler.live_from = head.size;
        }
        let mut admission = Admission::new(&self.store, key, &mut state.held);
        admission.put_nodes(nodes);
        let mut batch = admission.finish();
        put_head(&mut batch, state.number, head);
        if let Err(error) = self.store.commit(batch, Durability::Written) {
            return self.store_failed(log, &ReadError::Store(error));
        }
        state.set_adopted(head.clone());
        // An owner whose clock was wrong once must not make us deaf for what it
        // announces when it is right.
        if head.time <= now.plus(MAX_CLOCK_SKEW_US) {
            state.heard = state.heard.max(Some(head.time));
        }
        self.changed.insert(log);
    }

    fn take_fork(&mut self, log: LogId, proof: Box<ForkProof>) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if state.fork.is_some() {
            return;
        }
        let wire = proof.to_wire();
        let mut batch = Batch::new();
        let key = head_key(state.number, HeadKind::Fork);
        batch.put(Table::Heads, key, wire.encode_to_vec());
        state.fork = Some(proof);
        self.changed.insert(log);
        if let Err(error) = self.store.commit(batch, Durability::Synced) {
            self.store_failed(log, &ReadError::Store(error));
        }
        let meta = v1::Meta {
            body: Some(v1::meta::Body::Fork(wire)),
        };
        let data = Bytes::from(meta.encode_to_vec());
        self.outputs
            .push_back(Output::Publish(Topic::Meta(log), data));
    }

    /// Judges a gossip message.
    pub(super) fn gossip(
        &mut self,
        from: PeerId,
        topic: Topic,
        data: &Bytes,
        now: Timestamp,
    ) -> Verdict {
        let log = topic.log();
        let known = self.logs.get(&log).filter(|state| state.followed);
        let Some(manifest) = known.and_then(|state| state.manifest.clone()) else {
            return Verdict::Ignore;
        };
        let result = match topic {
            Topic::Data(log) => {
                let max = manifest.max_value_bytes();
                Announcement::verify(data, log, &manifest.publisher, max)
                    .map(|announcement| self.announced(from, log, &announcement, now))
            }
            Topic::Meta(log) => self.meta(from, log, data, now),
        };
        result.unwrap_or(Verdict::Reject)
    }

    fn announced(
        &mut self,
        from: PeerId,
        log: LogId,
        announcement: &Announcement,
        now: Timestamp,
    ) -> Verdict {
        let head = announcement.head();
        if !self.is_timely(log, head, now) {
            return Verdict::Ignore;
        }
        let state = self.logs.get_mut(&log).expect("gossip is of known logs");
        let known = state
            .scheduler
            .has_live(from, announcement.first(), head.size);
        if !state.takes() {
            return Verdict::Ignore;
        }
        let relation = match &state.adopted {
            None => Relation::Extends,
            Some(adopted) => announcement.relation(adopted),
        };
        let brings_records = !state.held.contains(announcement.first(), head.size);
        let verdict = match relation {
            Relation::Older => Verdict::Ignore,
            Relation::Same if announcement.chunk().is_none() || !brings_records => Verdict::Ignore,
            Relation::Same | Relation::Renews | Relation::Extends => {
                self.admit(log, announcement);
                Verdict::Accept
            }
            Relation::Unproven => {
                self.ask_extension(from, log, now);
                Verdict::Accept
            }
            Relation::Fork(proof) => {
                self.take_fork(log, proof);
                Verdict::Accept
            }
        };
        if !known && self.peers.get(&from).is_some_and(|peer| peer.ready) {
            self.ask_about(from, log, now);
        }
        self.schedule(log, now);
        verdict
    }

    /// Whether a head is neither a minute behind the newest one heard nor from
    /// the future.
    fn is_timely(&mut self, log: LogId, head: &SignedHead, now: Timestamp) -> bool {
        let Some(state) = self.logs.get_mut(&log) else {
            return false;
        };
        if head.time > now.plus(MAX_CLOCK_SKEW_US) {
            return false;
        }
        let newest = state.heard.unwrap_or(head.time);
        state.heard = Some(newest.max(head.time));
        newest.since(head.time) <= MAX_HEAD_LAG_US
    }

    /// Stores the head, the nodes and the records of an announcement that
    /// extends what was adopted, in one write.
    fn admit(&mut self, log: LogId, announcement: &Announcement) {
        let state = self.logs.get_mut(&log).expect("gossip is of known logs");
        let key = state
            .key()
            .expect("announcements are checked by the manifest");
        if state.adopted.is_none() {
            state.scheduler.live_from = announcement.first();
        }
        // Records that were missed may come with an older head of the same tree.
        let announced = announcement.head();
        let adopted = state.adopted.as_ref();
        let newer = adopted
            .filter(|adopted| adopted.size == announced.size && adopted.time > announced.time);
        let head = newer.unwrap_or(announced).clone();
        let sparse = state.held.interval_count() >= MAX_HELD_INTERVALS;
        let mut admission = Admission::new(&self.store, key, &mut state.held);
        let mut result = Ok(());
        if let Some(chunk) = announcement.chunk().filter(|_| !sparse) {
            let records: Vec<Record> = chunk.records().collect();
            result = admission.put_records(announcement.first(), &records, &chunk.leaves);
        }
        admission.put_nodes(announcement.nodes());
        let mut batch = admission.finish();
        put_head(&mut batch, state.number, &head);
        let result = result.and_then(|()| {
            (self.store.commit(batch, Durability::Written)).map_err(ReadError::Store)
        });
        if result.is_ok() {
            state.set_adopted(head);
        }
        self.stored(log, result);
    }

    fn meta(
        &mut self,
        from: PeerId,
        log: LogId,
        data: &Bytes,
        now: Timestamp,
    ) -> Result<Verdict, AdmitError> {
        let meta: v1::Meta = decode("a meta message", data.clone(), MAX_GOSSIP_BYTES)?;
        match meta.body {
            Some(v1::meta::Body::Head(head)) => {
                let head = UnverifiedHead::try_from(Some(head))?;
                let Some(head) = self.verify_head(log, head)? else {
                    return Ok(Verdict::Ignore);
                };
                if !self.is_timely(log, &head, now) {
                    return Ok(Verdict::Ignore);
                }
                let is_new = self.consider(from, log, &head, now);
                Ok(if is_new {
                    Verdict::Accept
                } else {
                    Verdict::Ignore
                })
            }
            Some(v1::meta::Body::Fork(fork)) => {
                let state = self.logs.get(&log).filter(|state| state.fork.is_none());
                let Some(manifest) = state.and_then(|state| state.manifest.as_ref()) else {
                    return Ok(Verdict::Ignore);
                };
                let fork = ForkProof::verify(fork, log, &manifest.publisher)?;
                self.take_fork(log, Box::new(fork));
                Ok(Verdict::Accept)
            }
            // A kind of message that a later version knows.
            None => Ok(Verdict::Ignore),
        }
    }

    /// Asks for what is missing, as far as there is somebody free to ask.
    pub(super) fn schedule(&mut self, log: LogId, now: Timestamp) {
        loop {
            let Some(state) = self.logs.get_mut(&log).filter(|state| state.takes()) else {
                return;
            };
            let Some(manifest) = &state.manifest else {
                return;
            };
            let sizes: Vec<u64> = state.recent.keys().copied().collect();
            let first = manifest.publisher.peer_id();
            let level = manifest.chunk_level;
            let next = state.scheduler.next(&sizes, &state.held, level, first);
            let Some(assignment) = next else {
                return self.after_schedule(log, now);
            };
            state.scheduler.assign(assignment);
            let Assignment {
                peer,
                interval,
                size,
                all,
                priority,
            } = assignment;
            let head = state.recent[&size].clone();
            let fetch = Fetch::new(peer, log, interval, head, priority, all);
            let body = Body::GetRange(fetch.request());
            self.ask(peer, RequestKind::Range(Box::new(fetch)), body, now);
        }
    }

    /// Nothing more can be asked for now: either all is here and is made safe,
    /// or the sources are asked soon what they have by then.
    fn after_schedule(&mut self, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if !state.is_complete() {
            let soon = now.plus(BUSY_HEAD_POLL_US);
            state.poll_at = state.poll_at.map(|at| at.min(soon));
        } else if state.synced_size < state.size() && self.sync_at.is_none() {
            self.sync_at = Some(now.max(self.last_sync.plus(SYNC_EVERY_US)));
        }
    }

    fn range_answered(&mut self, peer: PeerId, id: u64, body: Body, now: Timestamp) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let RequestKind::Range(fetch) = &mut request.kind else {
            return;
        };
        // Any part that comes shows that the peer is at work.
        request.deadline = now.plus(crate::limits::REQUEST_TIMEOUT_US);
        let log = fetch.log;
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let (Some(key), Some(manifest), true) = (state.key(), &state.manifest, state.takes())
        else {
            // The log was closed in the meantime.
            return self.give_up(id, now);
        };
        let mut answer = None;
        let result = match body {
            Body::OfferedHashes(offer) => {
                let asked = fetch.interval;
                let checked = fetch.offered(&offer, key.chunk_level, &state.held);
                checked.map(|checked| {
                    // What was asked for and not offered is free again.
                    state.scheduler.release(fetch.interval.to, asked.to);
                    answer = checked.wanted;
                    let mut admission = Admission::new(&self.store, key, &mut state.held);
                    admission.put_nodes(&checked.nodes);
                    let committed = self.store.commit(admission.finish(), Durability::Written);
                    committed.map_err(ReadError::Store)
                })
            }
            Body::Delivery(delivery) => fetch
                .delivered(delivery, manifest.max_value_bytes())
                .map(|chunks| put_chunks(&self.store, key, &mut state.held, &chunks)),
            Body::Done(_) | Body::Refused(_) => {
                if let Some(request) = self.requests.remove(&id) {
                    self.failed(request, now);
                }
                return;
            }
            _ => {
                let what = "answers something else than was asked".to_owned();
                self.misled(id, peer, log, what, now);
                return;
            }
        };
        match result {
            Err(error) => self.misled(id, peer, log, error.to_string(), now),
            Ok(result) => {
                if let Some(wanted) = answer {
                    let body = Body::WantedHashes(wanted);
                    self.send(peer, Lane::Control, id, body);
                }
                self.stored(log, result);
                self.finish_fetch(id, now);
            }
        }
    }

    /// A peer lied: it is named and dropped, and others are asked.
    fn misled(&mut self, id: u64, peer: PeerId, log: LogId, what: String, now: Timestamp) {
        self.ban_for(peer, Some(log), what);
        if let Some(request) = self.requests.remove(&id) {
            self.failed(request, now);
        }
    }

    /// Ends a fetch whose last chunk has come.
    fn finish_fetch(&mut self, id: u64, now: Timestamp) {
        let done = self.requests.get(&id).is_some_and(
            |request| matches!(&request.kind, RequestKind::Range(fetch) if fetch.is_complete()),
        );
        if !done {
            return;
        }
        let Some(Request {
            kind: RequestKind::Range(fetch),
            ..
        }) = self.requests.remove(&id)
        else {
            return;
        };
        if let Some(state) = self.logs.get_mut(&fetch.log) {
            let scheduler = &mut state.scheduler;
            scheduler.release(fetch.interval.from, fetch.interval.to);
            scheduler.ended(fetch.peer, fetch.priority, true, now);
        }
        self.schedule(fetch.log, now);
    }

    /// Gives up a request: what it was to bring is asked of others.
    pub(super) fn failed(&mut self, request: Request, now: Timestamp) {
        let log = request.log();
        let peer = request.peer;
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        match request.kind {
            RequestKind::Manifest(_) | RequestKind::Head(_) => {
                // It may know more in a while.
                let soon = now.plus(BUSY_HEAD_POLL_US);
                state.poll_at.get_or_insert(soon);
            }
            RequestKind::Extend(..) => {
                state.extending = None;
                // Whoever cannot show it may be behind; the next head that is
                // heard asks again.
            }
            RequestKind::Range(fetch) => {
                let scheduler = &mut state.scheduler;
                scheduler.release(fetch.interval.from, fetch.interval.to);
                scheduler.ended(peer, fetch.priority, false, now);
                // It may have been behind what we took it to have.
                if self.peers.get(&peer).is_some_and(|peer| peer.ready) {
                    self.ask_about(peer, log, now);
                }
            }
        }
        self.schedule(log, now);
    }

    /// Tells the peer that its answer is not wanted any more.
    pub(super) fn give_up(&mut self, id: u64, now: Timestamp) {
        if let Some(request) = self.requests.remove(&id) {
            self.send(request.peer, Lane::Control, id, Body::Cancel(v1::Cancel {}));
            self.failed(request, now);
        }
    }

    /// Forgets a peer as a source, and returns the logs of which it was one.
    pub(super) fn drop_sources(&mut self, peer: PeerId) -> Vec<LogId> {
        let mut dropped = Vec::new();
        for (&log, state) in &mut self.logs {
            if state.scheduler.gone(peer) {
                self.changed.insert(log);
                dropped.push(log);
            }
        }
        dropped
    }

    /// After a write: says that the log changed, or closes it.
    fn stored(&mut self, log: LogId, result: Result<(), ReadError>) {
        self.changed.insert(log);
        if let Err(error) = result {
            self.store_failed(log, &error);
            self.reload_held(log);
        }
    }

    /// Makes everything that was written survive the loss of power.
    pub(super) fn sync_store(&mut self, now: Timestamp) {
        self.sync_at = None;
        self.last_sync = now;
        match self.store.commit(Batch::new(), Durability::Synced) {
            Ok(()) => {
                for (&log, state) in &mut self.logs {
                    if state.is_complete() && state.synced_size < state.size() {
                        state.synced_size = state.size();
                        self.changed.insert(log);
                    }
                }
            }
            Err(error) => {
                let logs: Vec<_> = self.logs.keys().copied().collect();
                for log in logs {
                    self.store_failed(log, &ReadError::Store(error.clone()));
                }
            }
        }
    }
}

impl Request {
    pub(super) fn log(&self) -> LogId {
        match &self.kind {
            RequestKind::Manifest(log) | RequestKind::Head(log) | RequestKind::Extend(log, _) => {
                *log
            }
            RequestKind::Range(fetch) => fetch.log,
        }
    }
}

/// Stores chunks that were checked against their addresses.
fn put_chunks<S: Store>(
    store: &S,
    key: crate::store::LogKey,
    held: &mut IntervalSet,
    chunks: &[CheckedDelivery],
) -> Result<(), ReadError> {
    let mut admission = Admission::new(store, key, held);
    for chunk in chunks {
        admission.put_subtree(chunk.subtree, &chunk.chunk, chunk.hash)?;
    }
    let batch: Batch = admission.finish();
    let committed: Result<(), StoreError> = store.commit(batch, Durability::Written);
    committed.map_err(ReadError::Store)
}
