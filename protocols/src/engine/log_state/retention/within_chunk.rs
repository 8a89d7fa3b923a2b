//! A head that ends within a chunk which nobody has to keep any more: how a larger
//! tree has grown from it is shown from the beginning of this chunk on, and the rest
//! is given up.

use std::collections::BTreeSet;

use libp2p_identity::PeerId;

use crate::engine::Engine;
use crate::engine::ages::LatestTimes;
use crate::engine::log_state::LogState;
use crate::engine::trees::nodes_between;
use crate::head::{AdoptedHead, Head, SignedHead};
use crate::id::LogId;
use crate::log::{AdmitError, Extension, Node};
use crate::merkle::CompactRange;
use crate::ranges::Interval;
use crate::store::tables::{level_key, log_range};
use crate::store::{Batch, Durability, History, ReadError, Store, StoreError, Table};
use crate::time::Timestamp;
use crate::wire::v1;

impl LogState {
    /// Notes that a source cannot show from `begin` on that our tree has grown. It
    /// is asked for less soon.
    pub(in crate::engine) fn extension_refused(&mut self, peer: PeerId, from: &Head, begin: u64) {
        let drops = self.manifest().is_some_and(|m| m.drops());
        let sources: BTreeSet<_> = self.sources().map(|(&peer, _)| peer).collect();
        let is_ours = from.size == self.size() && begin > 0;
        if !drops || !is_ours || !sources.contains(&peer) {
            return;
        }
        self.kept
            .cannot_show
            .retain(|peer, _| sources.contains(peer));
        let before = self.kept.cannot_show.get(&peer);
        if before.is_none_or(|&least| begin < least) {
            self.kept.cannot_show.insert(peer, begin);
            self.forgive_failure(peer);
        }
    }

    /// From which size on a peer is asked to show that our tree has grown. Where
    /// our head ends within a chunk that it need not have any more, or does not
    /// have, whatever it says, that is the beginning of this chunk: of the tree
    /// below it nothing is lost. Where all who have more came after that was
    /// dropped, it is the beginning of the log, as for a newcomer.
    pub(in crate::engine) fn extension_begin(&self, peer: PeerId) -> u64 {
        let size = self.size();
        let Some(manifest) = self.manifest() else {
            return size;
        };
        let begin = manifest.chunk_begin(size);
        let told = self.kept.told_by.get(&peer).copied().unwrap_or(0);
        let gone = manifest.begin_by_number(self.heard_size()).max(told);
        // Of what is too new nothing is given up that somebody may have kept.
        let may_show = gone < size || manifest.too_new().is_some();
        if may_show && !self.kept.cannot_show.contains_key(&peer) {
            return size;
        }
        let came_later = |peer: &PeerId| {
            let least = self.kept.cannot_show.get(peer);
            least.is_some_and(|&least| least <= begin)
        };
        let mut larger = self.sources().filter(|(_, source)| source.size > size);
        let shown = larger.any(|(peer, _)| !came_later(peer));
        if shown || !came_later(&peer) {
            begin
        } else {
            0
        }
    }
}

impl<S: Store> Engine<S> {
    /// Takes the proof that a head has the same tree as `from` up to `begin`: to
    /// the chunk in which that one ends, or to the beginning of the log, if nobody
    /// can show more. The rest is given up for it: nobody has to keep it. That the
    /// owner has signed two histories of it would not be noticed here.
    ///
    /// # Errors
    /// The nodes do not hash up to the head: whoever sent them lies.
    pub(in crate::engine) fn take_extension_of_chunks(
        &mut self,
        peer: PeerId,
        log: LogId,
        wire: v1::Extension,
        (from, begin): (&AdoptedHead, u64),
        now: Timestamp,
    ) -> Result<(), AdmitError> {
        let Some(state) = self.logs.get(&log).filter(|state| state.takes_heads()) else {
            return Ok(());
        };
        let Some(manifest) = state.manifest() else {
            return Ok(());
        };
        let extension = Extension::from_wire(wire, begin, log, &manifest.publisher)?;
        let (left, nodes) = extension.proved()?;
        let head = &extension.head;
        if state.last_head().is_some_and(|last| last != head) {
            return Ok(());
        }
        let ends = [from.size, from.size + (1 << manifest.chunk_level) - 1];
        let [first, last] = ends.map(|index| manifest.chunk_begin(index));
        // Nothing, if that one ends with a chunk.
        let given_up = Interval {
            from: first,
            to: last,
        };
        self.note_time_of(log, head, now);
        let adopted = self.logs.get(&log).and_then(LogState::adopted);
        let result = if adopted.map(|head| head.tree()) != Some(from.tree()) {
            // Meanwhile more was adopted.
            self.consider(peer, log, head, now);
            Ok(())
        } else {
            match self.may_give_up((peer, log), head, given_up, &left, now) {
                Ok(true) if begin == 0 => self.adopt_anew(log, head, &nodes, given_up, now),
                Ok(true) => self.adopt_dropping(log, head, &nodes, given_up, Batch::new(), now),
                Ok(false) => {
                    // The chunk is still wanted; by now the peer may have it.
                    self.forget_refusal(peer, log);
                    Ok(())
                }
                Err(error) => Err(error),
            }
        };
        if let Err(error) = result {
            self.store_failed(log, &ReadError::Store(error));
            self.reload_held(log);
        }
        self.schedule(log, now);
        Ok(())
    }

    /// Has a peer asked to show it from our head on again.
    fn forget_refusal(&mut self, peer: PeerId, log: LogId) {
        if let Some(state) = self.logs.get_mut(&log) {
            state.kept.cannot_show.remove(&peer);
        }
    }

    /// Whether a chunk need not be kept under a head that a peer has shown, and `tree`,
    /// which lies before it, is the beginning of ours.
    fn may_give_up(
        &mut self,
        (peer, log): (PeerId, LogId),
        head: &SignedHead,
        chunk: Interval,
        tree: &CompactRange,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let state = &self.logs[&log];
        let (Some(key), Some(manifest)) = (state.key(), state.manifest()) else {
            return Ok(false);
        };
        let clock = self.clock.time(now);
        let time = self.clock.age_time(manifest.retain_us, now);
        let history = History::new(&self.store, key);
        let by_number = manifest.begin_by_number(head.size);
        let index = key.chunk_of(chunk.to.saturating_sub(1));
        let latest = LatestTimes::new(&self.store, key, clock.max(head.time)).of(index)?;
        let is_old = latest.is_none_or(|latest| time.since(latest) > manifest.retain_us);
        let by_age = match manifest.retain_us {
            0 => 0,
            _ if !is_old => 0,
            // Whoever has no more than we do cannot show more, either.
            _ => (state.least_told(state.size() + 1).unwrap_or(0))
                .min(manifest.last_begin(head.size)),
        };
        if chunk.to > by_number.max(by_age) {
            return Ok(false);
        }
        let ours = nodes_between(&history, 0, tree.end())?;
        // Whoever holds nothing begins like a newcomer.
        let Some(ours) = ours else {
            return Ok(state.held().is_empty());
        };
        let is_ours = ours == tree.hashes();
        if !is_ours && let Some(adopted) = state.adopted() {
            self.shown_beside(log, adopted.tree(), peer, now);
        }
        Ok(is_ours)
    }

    /// Adopts a head of which nobody shows how it came from the one before it: of
    /// the tree that was known nothing is kept but the addresses of what is to be
    /// dropped, because it may be another one.
    fn adopt_anew(
        &mut self,
        log: LogId,
        head: &SignedHead,
        nodes: &[Node],
        chunk: Interval,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(key) = self.logs.get(&log).and_then(LogState::key) else {
            return Ok(());
        };
        let mut batch = Batch::new();
        let (from, to) = log_range(key.number);
        let above = level_key(key.number, key.chunk_level + 1, 0);
        batch.delete_range(Table::Nodes, above, to.clone());
        batch.delete_range(Table::Edges, from, to);
        self.adopt_dropping(log, head, nodes, chunk, batch, now)
    }

    /// Adopts a head, and drops the chunk that the one before it ends in, which it
    /// may contradict, in one write.
    fn adopt_dropping(
        &mut self,
        log: LogId,
        head: &SignedHead,
        nodes: &[Node],
        chunk: Interval,
        mut batch: Batch,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(());
        };
        state.remove_chunks(&self.store, chunk, &mut batch)?;
        let Some(mut admission) = state.admission(&self.store) else {
            return Ok(());
        };
        admission.put_nodes(nodes);
        batch.append(admission.finish());
        state.put_adopted(&mut batch, head);
        self.store.commit(batch, Durability::Written)?;
        // Nothing is compared with the trees of before any more.
        state.forget_trees();
        state.kept.from = state.kept.from.max(chunk.to);
        self.changed.insert(log);
        self.adopted(log, head.clone(), now);
        self.withdraw_ranges(log, now);
        Ok(())
    }
}
