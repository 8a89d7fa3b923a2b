//! Records that nobody has to keep any more, because the manifest says so: whole
//! chunks of them go, the oldest first, in bounded steps between other work.
//!
//! What is kept for its number follows from the adopted head, and is the same for
//! everybody. What is kept for its age each holder finds out by the times that it
//! knows; a newcomer, who does not know them, asks for what is kept by somebody.
//!
//! Of a log that is too new nothing is dropped: what its manifest says besides may be
//! that something is to be kept. What others need not keep is not asked for there
//! either, and only the room that the user allows bounds it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use libp2p_identity::PeerId;

use super::ages::LatestTimes;
use super::log_state::LogState;
use super::news::nodes_between;
use super::{Engine, Output};
use crate::head::{AdoptedHead, Head, SignedHead};
use crate::id::LogId;
use crate::limits::{
    AGE_CHECKS_US, DELETION_PAUSE_US, DELETION_RETRY_US, DROPPED_CHUNKS_PER_STEP, FREED_DELAY_US,
    FREED_STEP_US, MAX_CLOCK_SKEW_US, RECLAIM_DROPPED_BYTES,
};
use crate::log::{AdmitError, Extension, Node};
use crate::manifest::SignedManifest;
use crate::merkle::CompactRange;
use crate::ranges::{Interval, IntervalSet};
use crate::store::tables::{HeadKind, head_key, level_key, log_range};
use crate::store::{Batch, Durability, History, ReadError, Store, StoreError, Table};
use crate::time::Timestamp;
use crate::wire::v1;

/// Where what is kept of a log begins.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Nothing before this is kept, as was found out here. It only grows, unless
    /// it was found out by a clock that was ahead.
    from: u64,
    /// What the clock showed when something was last found to be too old.
    aged_at: Timestamp,
    /// That clock was ahead: what others have before `from` is fetched again.
    too_early: bool,
    /// Something is kept that is too old by the clock alone.
    holds_back: bool,
    /// Those who were asked say that nothing before this is kept. A liar may say
    /// so, too: nothing is dropped for it, what anybody has before it is fetched
    /// all the same, and it goes back as soon as somebody has more.
    told: u64,
    /// What each source says. Nobody else is in it.
    told_by: BTreeMap<PeerId, u64>,
    /// Peers that could not show that our tree has grown, and the least size from
    /// which they could not: that of our head, or the beginning of the chunk in
    /// which it ends.
    cannot_show: BTreeMap<PeerId, u64>,
    /// What newer records have freed, and when that was: where there is a recovery key,
    /// it is dropped a day later.
    freed: VecDeque<(Timestamp, u64)>,
    /// What they have freed up to now.
    freed_now: u64,
    /// Everything before this is gone.
    dropped: u64,
    /// What is stored of `from`, `told` and `aged_at`.
    stored: (u64, u64, Timestamp),
    /// When the next step is taken.
    due: Option<Timestamp>,
    /// There is something to do, and it is known when.
    is_stepping: bool,
    /// Bytes that were dropped, and whose room the disk was not told to give back.
    unreclaimed: u64,
}

impl Kept {
    /// When something is dropped that was freed before.
    fn release_due(&self) -> Option<Timestamp> {
        let (at, _) = self.freed.front()?;
        Some(at.plus(FREED_DELAY_US))
    }

    /// Remembers what is freed now, at most once an hour.
    fn note_freed(&mut self, now: Timestamp) {
        let last = self.freed.back().copied();
        let (at, known) = last.unwrap_or((now, self.from));
        let is_early = last.is_some() && now.since(at) < FREED_STEP_US;
        if self.freed_now > known.max(self.from) && !is_early {
            self.freed.push_back((now, self.freed_now));
        }
    }

    /// Gives up what was freed a day ago. Returns whether there was any.
    fn release(&mut self, now: Timestamp) -> bool {
        let before = self.from;
        while self.release_due().is_some_and(|due| due <= now) {
            if let Some((_, begin)) = self.freed.pop_front() {
                self.from = self.from.max(begin);
            }
        }
        before < self.from
    }

    fn has_work(&self) -> bool {
        self.dropped < self.from || self.stored != self.to_store()
    }

    fn to_store(&self) -> (u64, u64, Timestamp) {
        (self.from, self.told, self.aged_at)
    }

    /// Notes that everything before `end` is too old when the clock shows `time`.
    fn aged(&mut self, end: u64, time: Timestamp) {
        self.from = self.from.max(end);
        // Until it is put right, it is remembered across starts.
        if !self.too_early {
            self.aged_at = time;
        }
    }
}

impl LogState {
    /// Where what is kept of it begins, as was found out here.
    pub(super) fn kept_from(&self) -> u64 {
        self.kept.from
    }

    /// When something of it is to be dropped, or looked at.
    pub(super) fn retention_due(&self) -> Option<Timestamp> {
        self.kept
            .due
            .into_iter()
            .chain(self.kept.release_due())
            .min()
    }

    /// Whether something is kept that is too old by the clock alone.
    pub(super) fn holds_back(&self) -> bool {
        self.kept.holds_back
    }

    /// Has its age looked at again, where that is done at all.
    pub(super) fn look_at_age_again(&mut self, now: Timestamp) {
        let kept = &mut self.kept;
        if kept.due.is_some() && !kept.is_stepping {
            kept.due = Some(now);
        }
    }

    /// Nothing is asked for that is not kept.
    pub(super) fn plan_from_begin(&mut self) {
        self.scheduler.begin = self.kept.from;
    }

    /// The first record that is wanted.
    pub(super) fn begin(&self) -> u64 {
        self.kept.from.max(self.kept.told)
    }

    /// The first record that is wanted once a head of this size is adopted.
    pub(super) fn begin_at(&self, size: u64) -> u64 {
        let by_number = self.manifest().map(|m| m.begin_by_number(size));
        self.begin().max(by_number.unwrap_or(0))
    }

    /// Where what is kept begins, if a record is not held because nobody has to
    /// keep it, and nobody is known who does.
    pub(super) fn dropped(&self, index: u64) -> Option<u64> {
        let has = |held: &IntervalSet| held.contains(index, index + 1);
        let mut sources = self.sources();
        let is_kept = index >= self.begin()
            || has(self.held())
            || index >= self.kept.from && sources.any(|(_, source)| has(&source.held));
        (!is_kept).then_some(self.begin())
    }

    /// What peers are told of where the log begins here.
    pub(super) fn told_begin(&self) -> u64 {
        let by_age = self.manifest().is_some_and(|m| m.retain_us > 0);
        if by_age { self.begin() } else { 0 }
    }

    /// Finds out what need not be kept under the adopted head. Of a forked log
    /// everything stays: it shows what its owner did.
    /// Of one with a recovery key, what is here stays for a day; a newcomer (`is_new`)
    /// does not ask for it.
    pub(super) fn begin_by_number(&mut self, is_new: bool) {
        self.kept.cannot_show.clear();
        let size = self.size();
        if let Some(manifest) = self.manifest().filter(|_| !self.is_limited()) {
            let begin = manifest.begin_by_number(size);
            match manifest.recovery {
                Some(_) if !is_new => self.kept.freed_now = self.kept.freed_now.max(begin),
                _ => self.kept.from = self.kept.from.max(begin),
            }
        }
        self.begin_by_last_head();
        self.begin_as_told();
        self.plan_from_begin();
    }

    /// Of a log with a last head, what is kept for its number is that of this head,
    /// whatever a larger one has freed since; and no more than that of what is here.
    pub(super) fn begin_by_last_head(&mut self) {
        let Some(last) = self.last_head().map(|head| head.size) else {
            return;
        };
        let by_number = self.manifest().filter(|m| m.retain_records > 0);
        let Some(manifest) = by_number else {
            return;
        };
        let most = manifest.begin_by_number(last);
        let least = manifest.begin_by_number(last.min(self.size()));
        let ages = manifest.retain_us > 0;
        let kept = &mut self.kept;
        if ages {
            // It may have got too old, and then nobody has it. Whoever has it says so.
            kept.told = kept.told.max(kept.from);
        }
        kept.freed.clear();
        kept.from = kept.from.clamp(least, most);
        kept.dropped = kept.dropped.min(kept.from);
        self.plan_from_begin();
    }

    /// Records of the adopted head that can count.
    fn counted_size(&self) -> u64 {
        let last = self.last_head().map_or(u64::MAX, |head| head.size);
        self.size().min(last)
    }

    /// Before which record of a log of this size a peer needs nothing, by its own word:
    /// it can have got too old.
    pub(super) fn aged_by_word(&self, told: u64, size: u64) -> u64 {
        let by_age = self.manifest().filter(|m| m.retain_us > 0);
        by_age.map_or(0, |manifest| told.min(manifest.last_begin(size)))
    }

    /// Hears from a source where the log begins there.
    pub(super) fn told_to_begin(&mut self, peer: PeerId, begin: u64) {
        if self.manifest().is_some_and(|m| m.retain_us > 0) {
            self.kept.told_by.insert(peer, begin);
            self.begin_as_told();
        }
    }

    /// Notes that a source cannot show from `begin` on that our tree has grown. It
    /// is asked for less soon.
    pub(super) fn extension_refused(&mut self, peer: PeerId, from: &Head, begin: u64) {
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

    /// The least that is said by those who have a head of this size, or a larger
    /// one, and hold all from where they say that it begins. The others are still
    /// fetching, and know no better than we do.
    fn least_told(&self, size: u64) -> Option<u64> {
        let told = self.sources().filter_map(|(peer, source)| {
            let begin = *self.kept.told_by.get(peer)?;
            let is_whole = begin < source.size && source.has_all(begin, source.size);
            (is_whole && source.size >= size).then_some(begin)
        });
        told.min()
    }

    /// Finds out before which record nobody has to have anything.
    fn begin_as_told(&mut self) {
        if self.manifest().is_none_or(|m| m.retain_us == 0) {
            return;
        }
        let sources: BTreeSet<_> = self.sources().map(|(&peer, _)| peer).collect();
        self.kept.told_by.retain(|peer, _| sources.contains(peer));
        let size = self.counted_size();
        let (Some(least), Some(manifest)) = (self.least_told(size), self.manifest()) else {
            return;
        };
        let begin = manifest.chunk_begin(least);
        let by_number = manifest.begin_by_number(size);
        let told = begin.min(manifest.last_begin(size));
        // What is held here without a gap counts, whatever the others have.
        let before = self.held().held(0, told).last();
        let ours = before.filter(|before| before.to == told);
        let told = ours.map_or(told, |ours| {
            let begin = manifest.chunk_begin(ours.from);
            let is_whole = begin == ours.from;
            if is_whole {
                begin
            } else {
                begin + (1 << manifest.chunk_level)
            }
        });
        let kept = &mut self.kept;
        kept.told = told;
        if kept.too_early && least < kept.from {
            kept.from = by_number.max(begin).min(kept.from);
            kept.dropped = kept.dropped.min(kept.from);
            kept.too_early = false;
            kept.aged_at = Timestamp(i64::MIN);
        }
    }

    /// From which size on a peer is asked to show that our tree has grown. Where
    /// our head ends within a chunk that it need not have any more, or does not
    /// have, whatever it says, that is the beginning of this chunk: of the tree
    /// below it nothing is lost. Where all who have more came after that was
    /// dropped, it is the beginning of the log, as for a newcomer.
    pub(super) fn extension_begin(&self, peer: PeerId) -> u64 {
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
    /// Reads where what is kept of a log begins. What a crash left before that is
    /// dropped as soon as the engine runs.
    pub(super) fn load_begin(&self, state: &mut LogState) -> Result<(), StoreError> {
        let key = head_key(state.number(), HeadKind::Begin);
        if let Some(row) = self.store.get(Table::Heads, &key)? {
            let (&[from, told], []) = row.as_chunks::<8>() else {
                return Err(damaged("where what is kept of a log begins"));
            };
            let [from, told] = [from, told].map(u64::from_be_bytes);
            let aged = head_key(state.number(), HeadKind::Aged);
            let aged_at = match self.store.get(Table::Heads, &aged)? {
                Some(row) => (row[..].try_into())
                    .map(i64::from_be_bytes)
                    .map_err(|_| damaged("when something of a log got too old"))?,
                // By which clock an older version found it out nobody knows.
                None => i64::MAX,
            };
            let kept = &mut state.kept;
            kept.from = kept.from.max(from);
            kept.told = told;
            kept.aged_at = Timestamp(aged_at);
            kept.stored = (from, told, kept.aged_at);
        }
        state.plan_from_begin();
        state.begin_by_last_head();
        Ok(())
    }

    /// Has the next step taken if there is something to drop.
    pub(super) fn drop_soon(&mut self, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        state.kept.note_freed(now);
        let drops = |m: &&SignedManifest| m.drops() && m.too_new().is_none();
        let Some(manifest) = state.manifest().filter(drops) else {
            return;
        };
        let kept = &state.kept;
        let is_open = state.is_writable() && !state.is_limited();
        let ages = manifest.retain_us > 0 && kept.due.is_none();
        if is_open
            && !kept.is_stepping
            && (kept.has_work() || ages)
            && let Some(state) = self.logs.get_mut(&log)
        {
            state.kept.is_stepping = true;
            state.kept.due = Some(now);
        }
    }

    /// Takes the next step, if it is due.
    pub(super) fn retention_is_due(&mut self, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if state.kept.release(now) {
            state.plan_from_begin();
            self.changed.insert(log);
            self.drop_soon(log, now);
        }
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if state.kept.due.is_none_or(|due| due > now) {
            return;
        }
        state.kept.due = None;
        state.kept.is_stepping = false;
        if !state.is_writable() || state.is_limited() {
            return;
        }
        let from = state.kept.from;
        let looks = self.age_out(log, now);
        let looks = looks.and_then(|looks| match looks {
            Some(_) => self.write_clock(now).map(|()| looks),
            None => Ok(None),
        });
        let result = looks.and_then(|looks| self.drop_some(log).map(|()| looks));
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let kept = &mut state.kept;
        kept.is_stepping = kept.has_work();
        kept.due = match result {
            Ok(_) if kept.is_stepping => Some(now.plus(DELETION_PAUSE_US)),
            Ok(looks) => looks,
            // The disk may have room, or be readable, in a while.
            Err(_) => {
                kept.is_stepping = true;
                Some(now.plus(DELETION_RETRY_US))
            }
        };
        if kept.from < from {
            self.schedule(log, now);
        }
    }

    /// Finds out what is too old to be kept, a bounded number of chunks at a
    /// time, and returns when to look again. The chunk of the last record is
    /// kept, and so is whatever follows one that is not old enough, or a hole.
    fn age_out(&mut self, log: LogId, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(None);
        };
        let (Some(key), Some(manifest)) = (state.key(), state.manifest()) else {
            return Ok(None);
        };
        let (age, last) = (manifest.retain_us, manifest.last_begin(state.size()));
        if age == 0 {
            return Ok(None);
        }
        let (clock, time) = (self.clock.time(now), self.clock.age_time(age, now));
        let kept = &mut state.kept;
        kept.too_early |= kept.aged_at > clock.plus(MAX_CLOCK_SKEW_US);
        let held_back = std::mem::take(&mut kept.holds_back);
        let newest = state.adopted().map_or(clock, |head| head.time);
        let mut latest = LatestTimes::new(&self.store, key, clock.max(newest));
        let (least, most) = AGE_CHECKS_US;
        let mut wait = age / 8;
        for step in 0.. {
            let at = state.kept.from;
            let Some(next) = state.held().held(at, last).next() else {
                break;
            };
            let index = key.chunk_of(next.from);
            let chunk = key.chunk_interval(index);
            // Nothing goes behind a hole that may still be filled.
            let wanted = at.max(state.begin());
            let is_whole = chunk.to <= wanted || state.holds(chunk.from, chunk.to);
            if chunk.to > last || chunk.from > wanted || !is_whole {
                break;
            }
            if step == DROPPED_CHUNKS_PER_STEP {
                return Ok(Some(now.plus(DELETION_PAUSE_US)));
            }
            let Some(latest) = latest.of(index)? else {
                break;
            };
            let old = time.since(latest);
            if old <= age {
                wait = (age - old).saturating_add(1);
                state.kept.holds_back = clock.since(latest) > age;
                break;
            }
            state.kept.aged(chunk.to, time);
        }
        state.begin_as_told();
        state.plan_from_begin();
        if held_back != state.kept.holds_back {
            self.changed.insert(log);
        }
        Ok(Some(now.plus(wait.clamp(least, most))))
    }

    /// Writes down how late it surely is, for the next start.
    fn write_clock(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        self.keep_clock(now, &mut batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.store.commit(batch, Durability::Written)
    }

    /// Drops what a step may take, and writes down where what is kept begins.
    fn drop_some(&mut self, log: LogId) -> Result<(), StoreError> {
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(());
        };
        let Some(key) = state.key().filter(|_| state.kept.has_work()) else {
            return Ok(());
        };
        let history = History::new(&self.store, key);
        let bytes = history.bytes()?;
        let range = Interval {
            from: state.kept.dropped,
            to: state.kept.from,
        };
        let (mut batch, mut end) = (Batch::new(), range.to);
        if range.from < range.to {
            end = state.remove_chunks(&self.store, range, &mut batch)?;
        }
        let kept = &mut state.kept;
        let row = [kept.from, kept.told].map(u64::to_be_bytes).concat();
        batch.put(Table::Heads, head_key(key.number, HeadKind::Begin), row);
        let row = kept.aged_at.0.to_be_bytes().to_vec();
        batch.put(Table::Heads, head_key(key.number, HeadKind::Aged), row);
        if let Err(error) = self.store.commit(batch, Durability::Written) {
            self.reload_held(log);
            return Err(error);
        }
        kept.stored = kept.to_store();
        kept.dropped = end;
        kept.unreclaimed += bytes.saturating_sub(history.bytes()?);
        if kept.dropped == kept.from && kept.unreclaimed >= RECLAIM_DROPPED_BYTES {
            kept.unreclaimed = 0;
            let chunk = key.chunk_of(kept.from);
            self.outputs
                .push_back(Output::ReclaimChunks(key.number, chunk));
        }
        self.changed.insert(log);
        Ok(())
    }

    /// Takes the proof that a head has the same tree as `from` up to `begin`: to
    /// the chunk in which that one ends, or to the beginning of the log, if nobody
    /// can show more. The rest is given up for it: nobody has to keep it. That the
    /// owner has signed two histories of it would not be noticed here.
    ///
    /// # Errors
    /// The nodes do not hash up to the head: whoever sent them lies.
    pub(super) fn take_extension_of_chunks(
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

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}
