//! What is missing of others' logs: asked for, checked, stored.

use std::ops::Bound;

use libp2p_identity::PeerId;

use super::log_state::LogState;
use super::requests::{Request, RequestKind};
use super::{CommandError, Engine, Output, Reply};
use crate::head::Tree;
use crate::id::LogId;
use crate::log::Node;
use crate::ranges::Interval;
use crate::store::{Batch, Durability, ReadError, Store, StoreError};
use crate::sync::scheduler::{Assignment, Ending};
use crate::sync::session::{CheckedDelivery, Fetch};
use crate::sync::{Lane, Priority};
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::frame::Body;

/// A complete log is made safe against the loss of power at most this often,
/// in microseconds: live records that come one by one share a sync.
const SYNC_EVERY_US: u64 = 200_000;

impl<S: Store> Engine<S> {
    /// Asks for what is missing, as far as there is somebody free to ask.
    pub(super) fn schedule(&mut self, log: LogId, now: Timestamp) {
        loop {
            let full = self.room.stops(Priority::Live);
            let takes = |state: &&mut LogState| state.fetches() && !full;
            let Some(state) = self.logs.get_mut(&log).filter(takes) else {
                self.hungry.remove(&log);
                // A log of ours that lacked something may have it back.
                return self.make_safe(log, now);
            };
            if state.manifest().is_none() {
                return;
            }
            let no_history = self.room.stops(Priority::History);
            let open = |peer: &PeerId| self.requests.open_ranges(peer);
            let Some(fetch) = state.next_fetch(log, no_history, open) else {
                return self.after_schedule(log, now);
            };
            state.note_fetching();
            let body = Body::GetRange(fetch.request());
            self.ask(fetch.peer, RequestKind::Range(Box::new(fetch)), body, now);
        }
    }

    /// A user wants some records before the rest.
    pub(super) fn fetch_first(
        &mut self,
        log: LogId,
        wish: Interval,
        now: Timestamp,
    ) -> Result<Reply, CommandError> {
        let state = (self.logs.get_mut(&log)).ok_or(CommandError::UnknownStream(log))?;
        if !state.is_followed() && !state.is_ours() {
            return Err(CommandError::NotFollowed(log));
        }
        // What is here already, and what is not there yet, comes true by itself.
        if !wish.is_empty() && !state.holds(wish.from, wish.to) {
            state.scheduler.wish(wish);
            self.schedule(log, now);
        }
        Ok(Reply::Done)
    }

    /// Nothing more can be asked for now: either all is here and is made safe,
    /// or the sources are asked soon what they have by then.
    fn after_schedule(&mut self, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if !state.is_complete() {
            state.poll_sooner(now);
            self.hungry.insert(log);
            return;
        }
        self.hungry.remove(&log);
        state.note_complete();
        state.forget_mended();
        self.make_safe(log, now);
    }

    /// Has a log that is whole synced, if it was not yet.
    fn make_safe(&mut self, log: LogId, now: Timestamp) {
        if self.logs.get(&log).is_some_and(LogState::is_unsafe) {
            self.unsynced.insert(log);
            let next = now.max(self.last_sync.plus(SYNC_EVERY_US));
            self.sync_at.get_or_insert(next);
        }
    }

    /// A peer has offered hashes of what it was asked for.
    pub(super) fn hashes_offered(
        &mut self,
        (peer, log): (PeerId, LogId),
        id: u64,
        offer: &v1::OfferedHashes,
        now: Timestamp,
    ) {
        let (Some(fetch), Some(state)) = (self.requests.fetch(id), self.logs.get_mut(&log)) else {
            return;
        };
        if state.is_of_the_past(fetch.tree) {
            return self.withdraw(id, now);
        }
        let level = state.manifest().map_or(0, |manifest| manifest.chunk_level);
        let checked = match fetch.offered(offer, level, state.held()) {
            Ok(checked) => checked,
            Err(error) => return self.misled(id, peer, log, error.to_string(), now),
        };
        let (records, bytes) = fetch.size();
        let is_first = state.scheduler.offered(records, bytes);
        // What was asked for and not offered is free again.
        for Interval { from, to } in checked.unoffered {
            state.scheduler.release(from, to);
        }
        let stored = put_nodes(&self.store, state, &checked.nodes);
        if let Some(wanted) = checked.wanted {
            self.send(peer, Lane::Control, id, Body::WantedHashes(wanted));
        }
        self.stored(log, stored.map_err(ReadError::Store));
        if is_first {
            // The second batch waited for this.
            self.schedule(log, now);
        }
        self.finish_fetch(id, now);
    }

    /// A peer delivers chunks.
    pub(super) fn chunks_delivered(
        &mut self,
        (peer, log): (PeerId, LogId),
        id: u64,
        delivery: v1::Delivery,
        now: Timestamp,
    ) {
        let (Some(fetch), Some(state)) = (self.requests.fetch(id), self.logs.get_mut(&log)) else {
            return;
        };
        // The offer was lost with a connection: nobody's fault. Or the room was used up
        // since it was asked for: the reserve is for what is new.
        if state.is_of_the_past(fetch.tree)
            || !fetch.is_offered()
            || self.room.stops(fetch.priority)
        {
            return self.withdraw(id, now);
        }
        fetch.arrives(now);
        let bytes = delivery.chunks.iter().map(bytes::Bytes::len).sum();
        self.room.take(bytes);
        let max = state
            .manifest()
            .map_or(0, |manifest| manifest.max_value_bytes());
        let mut chunks = match fetch.delivered(delivery, max) {
            Ok(chunks) => chunks,
            Err(error) => return self.misled(id, peer, log, error.to_string(), now),
        };
        // What was asked for may have been dropped meanwhile.
        chunks.retain(|chunk| chunk.subtree.end() > state.kept_from());
        let stored = put_chunks(&self.store, state, &chunks);
        if stored.is_ok() {
            let records = chunks.iter().map(|chunk| chunk.subtree.len());
            self.outputs.counters.fetched += records.sum::<u64>();
        }
        self.stored(log, stored);
        self.finish_fetch(id, now);
    }

    /// A peer has no place left for a request.
    pub(super) fn peer_is_busy(&mut self, id: u64, now: Timestamp) {
        if let Some(request) = self.requests.remove(id)
            && let RequestKind::Range(fetch) = request.kind
            && let Some(state) = self.logs.get_mut(&fetch.log)
        {
            state.scheduler.release_all(fetch.expected());
            state.scheduler.busy(request.peer, fetch.priority, now);
        }
    }

    /// A peer lied: it is named and dropped, and others are asked.
    pub(super) fn misled(
        &mut self,
        id: u64,
        peer: PeerId,
        log: LogId,
        what: String,
        now: Timestamp,
    ) {
        self.ban_for(peer, Some(log), what);
        if let Some(request) = self.requests.remove(id) {
            self.failed(request, now);
        }
    }

    /// Ends a fetch whose last chunk has come.
    fn finish_fetch(&mut self, id: u64, now: Timestamp) {
        let done = self.requests.get(id).is_some_and(
            |request| matches!(&request.kind, RequestKind::Range(fetch) if fetch.is_complete()),
        );
        if !done {
            return;
        }
        let Some(Request {
            kind: RequestKind::Range(fetch),
            begun,
            ..
        }) = self.requests.remove(id)
        else {
            return;
        };
        if let Some(state) = self.logs.get_mut(&fetch.log) {
            state.fetch_ended(fetch.peer, &fetch, Ending::Well, now);
            if let Some((wait_us, transfer_us)) = fetch.took(begun, now)
                && fetch.priority == Priority::History
            {
                state.scheduler.arrived(fetch.peer, wait_us, transfer_us);
            }
        }
        self.schedule_hungry(fetch.log, now);
        self.schedule(fetch.log, now);
    }

    /// A place with a peer has become free: the logs that wait for one come
    /// before the one that had it, in turn.
    pub(super) fn schedule_hungry(&mut self, log: LogId, now: Timestamp) {
        let after = self.hungry.range((Bound::Excluded(log), Bound::Unbounded));
        let before = self.hungry.range(..log);
        let waiting: Vec<_> = after.chain(before).copied().collect();
        for log in waiting {
            self.schedule(log, now);
        }
    }

    /// After a write: says that the log changed, or stops it.
    pub(super) fn stored(&mut self, log: LogId, result: Result<(), ReadError>) {
        self.changed.insert(log);
        if let Some(state) = self.logs.get_mut(&log) {
            state.forget_mended();
        }
        if let Err(error) = result {
            self.store_failed(log, &error);
            self.reload_held(log);
        }
    }

    /// When that is to be done: one at a time, and while the disk works.
    pub(super) fn sync_due(&self) -> Option<Timestamp> {
        let may_sync = self.syncing.is_none() && self.halt.is_none();
        self.sync_at.filter(|_| may_sync)
    }

    pub(super) fn sync_is_due(&mut self, now: Timestamp) {
        if self.sync_due().is_some_and(|at| at <= now) {
            self.begin_sync(now);
        }
    }

    /// Lets everything that was written survive the loss of power. The engine
    /// goes on meanwhile: a large history keeps the disk busy for long, and live
    /// records must not wait for it.
    fn begin_sync(&mut self, now: Timestamp) {
        self.sync_at = None;
        self.last_sync = now;
        let unsynced = std::mem::take(&mut self.unsynced);
        let sizes = unsynced.into_iter().filter_map(|log| {
            let state = self.logs.get(&log)?;
            state.is_complete().then(|| (log, state.target()))
        });
        self.syncing = Some(sizes.collect());
        self.outputs.push_back(Output::Sync);
    }

    /// What a sync under way says of a log is of rows that are gone.
    pub(super) fn forget_unsynced(&mut self, log: LogId) {
        self.unsynced.remove(&log);
        if let Some(sizes) = &mut self.syncing {
            sizes.retain(|&synced, _| synced != log);
        }
    }

    /// What was complete when the sync began is safe now.
    pub(super) fn synced(&mut self, result: Result<(), StoreError>, now: Timestamp) {
        let Some(sizes) = self.syncing.take() else {
            return;
        };
        if let Err(error) = result {
            // What was written before may be lost: everything is read back.
            return self.store.fail(error);
        }
        for (log, size) in sizes {
            let Some(state) = self.logs.get_mut(&log) else {
                continue;
            };
            // A fork may have been found meanwhile.
            let size = size.min(state.target());
            if state.is_safe_to(size) {
                self.changed.insert(log);
                if state.target() == size {
                    self.tell_synced(log, now);
                }
                self.replace(log, now);
            }
        }
    }
}

impl LogState {
    /// Whether something was asked for in a tree that does not count any more. Answers do
    /// not say which tree they are of: whoever was asked before was told that it is not
    /// wanted, and what was under way is of another number, which nobody waits for.
    pub(super) fn is_of_the_past(&self, asked: Tree) -> bool {
        self.is_limited() && self.tree_of(asked.size) != Some(asked)
    }

    /// The next question for what is missing, which is taken to be asked. `open` counts
    /// the batches that are open with a peer.
    fn next_fetch(
        &mut self,
        log: LogId,
        no_history: bool,
        open: impl Fn(&PeerId) -> usize,
    ) -> Option<Fetch> {
        let manifest = self.manifest()?;
        let (first, level) = (manifest.publisher.peer_id(), manifest.chunk_level);
        let mut scheduler = std::mem::take(&mut self.scheduler);
        scheduler.no_history = no_history;
        scheduler.forget_wishes(self.held());
        let next = scheduler.next(&self.tree_sizes(), self.held(), level, first, open);
        if let Some(assignment) = &next {
            scheduler.assign(assignment);
        }
        self.scheduler = scheduler;
        let Assignment {
            peer,
            intervals,
            size,
            all,
            priority,
        } = next?;
        let tree = self.tree_of(size)?;
        Some(Fetch::new(peer, log, &intervals, tree, priority, all))
    }
}

/// Stores nodes that were checked against a root.
fn put_nodes<S: Store>(store: &S, state: &mut LogState, nodes: &[Node]) -> Result<(), StoreError> {
    let Some(mut admission) = state.admission(store) else {
        return Ok(());
    };
    admission.put_nodes(nodes);
    store.commit(admission.finish(), Durability::Written)
}

/// Stores chunks that were checked against their addresses.
fn put_chunks<S: Store>(
    store: &S,
    state: &mut LogState,
    chunks: &[CheckedDelivery],
) -> Result<(), ReadError> {
    let Some(mut admission) = state.admission(store) else {
        return Ok(());
    };
    for chunk in chunks {
        admission.put_subtree(chunk.subtree, &chunk.chunk, chunk.hash)?;
    }
    let batch: Batch = admission.finish();
    let committed: Result<(), StoreError> = store.commit(batch, Durability::Written);
    committed.map_err(ReadError::Store)
}
