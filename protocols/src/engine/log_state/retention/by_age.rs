//! What is kept for its age: each holder finds it out by the times that it knows. A
//! newcomer, who does not know them, asks for what is kept by somebody.

use std::collections::BTreeSet;

use libp2p_identity::PeerId;

use super::Kept;
use crate::engine::Engine;
use crate::engine::ages::LatestTimes;
use crate::engine::log_state::LogState;
use crate::id::LogId;
use crate::limits::{AGE_CHECKS_US, DELETION_PAUSE_US, DROPPED_CHUNKS_PER_STEP, MAX_CLOCK_SKEW_US};
use crate::store::{Store, StoreError};
use crate::time::Timestamp;

impl Kept {
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
    /// Whether something is kept that is too old by the clock alone.
    pub(in crate::engine) fn holds_back(&self) -> bool {
        self.kept.holds_back
    }

    /// Has its age looked at again, where that is done at all.
    pub(in crate::engine) fn look_at_age_again(&mut self, now: Timestamp) {
        let kept = &mut self.kept;
        if kept.due.is_some() && !kept.is_stepping {
            kept.due = Some(now);
        }
    }

    /// What peers are told of where the log begins here.
    pub(in crate::engine) fn told_begin(&self) -> u64 {
        let by_age = self.manifest().is_some_and(|m| m.retain_us > 0);
        if by_age { self.begin() } else { 0 }
    }

    /// Records of the adopted head that can count.
    pub(super) fn counted_size(&self) -> u64 {
        let last = self.last_head().map_or(u64::MAX, |head| head.size);
        self.size().min(last)
    }

    /// Before which record of a log of this size a peer needs nothing, by its own word:
    /// it can have got too old.
    pub(in crate::engine) fn aged_by_word(&self, told: u64, size: u64) -> u64 {
        let by_age = self.manifest().filter(|m| m.retain_us > 0);
        by_age.map_or(0, |manifest| told.min(manifest.last_begin(size)))
    }

    /// Hears from a source where the log begins there.
    pub(in crate::engine) fn told_to_begin(&mut self, peer: PeerId, begin: u64) {
        if self.manifest().is_some_and(|m| m.retain_us > 0) {
            self.kept.told_by.insert(peer, begin);
            self.begin_as_told();
        }
    }

    /// The least that is said by those who have a head of this size, or a larger
    /// one, and hold all from where they say that it begins. The others are still
    /// fetching, and know no better than we do.
    pub(super) fn least_told(&self, size: u64) -> Option<u64> {
        let told = self.sources().filter_map(|(peer, source)| {
            let begin = *self.kept.told_by.get(peer)?;
            let is_whole = begin < source.size && source.has_all(begin, source.size);
            (is_whole && source.size >= size).then_some(begin)
        });
        told.min()
    }

    /// Finds out before which record nobody has to have anything.
    pub(super) fn begin_as_told(&mut self) {
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
}

impl<S: Store> Engine<S> {
    /// Finds out what is too old to be kept, a bounded number of chunks at a
    /// time, and returns when to look again. The chunk of the last record is
    /// kept, and so is whatever follows one that is not old enough, or a hole.
    pub(super) fn age_out(
        &mut self,
        log: LogId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
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
}
