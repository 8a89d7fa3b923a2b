//! What one request to a source names: of that which is missing, as much as comes in
//! one go, and as leaves something for the others.

use super::{Order, Scheduler, Source};
use crate::limits::{
    MAX_ASSIGNED_INTERVALS, MAX_HELD_INTERVALS, MAX_INTERVALS, MAX_OFFERED, MIN_REQUEST_RECORDS,
    MIN_SHARED_INTERVALS,
};
use crate::ranges::{Interval, IntervalSet};

/// Chunks in the first request when the newest come first: that many fit into a
/// batch however large they are.
const FIRST_NEWEST: u64 = 3;

/// Chunks in the smallest request of the last ones that several sources share: a
/// tenth of a second of one that has 2 MB a second.
const LEAST_SHARED_CHUNKS: u64 = 8;

impl Scheduler {
    /// What is missing, not asked of anybody, and held by the source, as much as
    /// one request names; and whether all of it is missing.
    pub(super) fn pick(
        &self,
        source: &Source,
        held: &IntervalSet,
        range: Interval,
        order: Order,
        chunk_level: u8,
    ) -> Option<(Vec<Interval>, bool)> {
        let few = self.share_of_intervals(held);
        let from = range.from.max(source.looks_from(held, self.begin));
        match order {
            Order::OldestFirst => {
                let records = ((MAX_OFFERED as u64) << chunk_level).max(MIN_REQUEST_RECORDS);
                let records = records.min(self.fitting_in_chunks(chunk_level));
                let records = records.min(self.share_of_rest(held, range, chunk_level));
                let wanted = self.wanted(source, held, from, range.to);
                let picked = take_first(wanted, few, records, chunk_level);
                let span = Interval {
                    from: picked.first()?.from,
                    to: picked.last()?.to,
                };
                // Where more holes than a request can name lie within a few
                // chunks it is cheaper to ask for these chunks as a whole; what
                // of them is held, the bits tell.
                let is_dense = picked.len() == MAX_INTERVALS && span.len() <= records;
                if is_dense && self.is_unassigned(span.from, span.to) && source.has(span) {
                    return Some((vec![span], false));
                }
                Some((picked, true))
            }
            Order::NewestFirst => {
                let range = Interval { from, ..range };
                let last = *self.last_wanted(source, held, range, 1, 1).first()?;
                // As much again as is held behind it: an upstream begins a
                // batch with its oldest chunks, and ends it at its limit of
                // bytes, for which four chunks can be enough. The last chunks
                // of the log are not to wait for a whole offer before them.
                let behind = (held.prefix(last.to) - last.to) >> chunk_level;
                let most = MAX_OFFERED as u64 - u64::from(chunk_level);
                let fitting = self.fitting_in_chunks(chunk_level) >> chunk_level;
                let most = most.min(fitting).max(FIRST_NEWEST);
                let chunks = behind.clamp(FIRST_NEWEST, most) - 1;
                let begin = chunk_start(last.to - 1, chunk_level);
                let begin = begin.saturating_sub(chunks << chunk_level);
                let records = last.to - begin;
                let gaps = self.last_wanted(source, held, range, few, records);
                let mut picked = take_last(&gaps, records, chunk_level);
                picked.reverse();
                (!picked.is_empty()).then_some((picked, true))
            }
        }
    }

    /// What of `[from, to)` a source holds that is missing here and not asked of
    /// anybody, as far as there is room to hold it. The source's few parts come
    /// first: what it takes does not grow with the holes that it cannot fill.
    fn wanted<'a>(
        &'a self,
        source: &'a Source,
        held: &'a IntervalSet,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = Interval> + 'a {
        let is_full = held.interval_count() >= MAX_HELD_INTERVALS;
        (source.held.held(from, to))
            .flat_map(|part| held.missing(part.from, part.to))
            .flat_map(|gap| self.assigned.missing(gap.from, gap.to))
            .filter(move |gap| !is_full || held.joins(gap.from, gap.to))
    }

    /// The last parts of that in a range, from the end: at most `few`, and no more
    /// than it takes to have so many records.
    fn last_wanted(
        &self,
        source: &Source,
        held: &IntervalSet,
        range: Interval,
        few: usize,
        records: u64,
    ) -> Vec<Interval> {
        let is_full = held.interval_count() >= MAX_HELD_INTERVALS;
        let (mut found, mut left) = (Vec::new(), records);
        let to = range.to.max(range.from);
        for Interval { from, mut to } in source.held.held(range.from, to).rev() {
            while let Some(gap) = held.last_missing(from, to) {
                to = gap.from;
                let mut end = gap.to;
                while let Some(last) = self.assigned.last_missing(gap.from, end) {
                    if left == 0 || found.len() == few {
                        return found;
                    }
                    end = last.from;
                    if !is_full || held.joins(last.from, last.to) {
                        left = left.saturating_sub(last.len());
                        found.push(last);
                    }
                }
            }
        }
        found
    }

    /// Records of the whole chunks that fit into a batch, of one at least.
    fn fitting_in_chunks(&self, chunk_level: u8) -> u64 {
        let fitting = self.fitting.unwrap_or(u64::MAX);
        chunk_start(fitting, chunk_level).max(1 << chunk_level)
    }

    /// Holes that one source is asked for at a time: where several have
    /// something, each gets its part of them.
    fn share_of_intervals(&self, held: &IntervalSet) -> usize {
        let share = (MAX_INTERVALS / self.useful_sources()).max(MIN_SHARED_INTERVALS);
        let left = MAX_ASSIGNED_INTERVALS.saturating_sub(self.assigned.interval_count());
        // What is on its way needs room when it is here; what joins others none.
        let room = MAX_HELD_INTERVALS.saturating_sub(held.interval_count());
        let room = room
            .saturating_sub(self.assigned.interval_count())
            .max(MIN_SHARED_INTERVALS);
        share.min(left).min(room)
    }

    /// Records that one source is asked for at a time: where several have
    /// something, less and less of what is left, so that all of them end at
    /// nearly the same time (guided self-scheduling: Polychronopoulos and Kuck,
    /// 1987).
    fn share_of_rest(&self, held: &IntervalSet, range: Interval, chunk_level: u8) -> u64 {
        let sources = self.useful_sources() as u64;
        // Counting what is left would take longer than it saves.
        let parts = held.interval_count() + self.assigned.interval_count();
        let is_sparse = parts > 2 * MAX_INTERVALS;
        if sources == 1 || is_sparse {
            return u64::MAX;
        }
        let taken =
            held.covered(range.from, range.to) + self.assigned.covered(range.from, range.to);
        let left = range.len().saturating_sub(taken);
        let least = (LEAST_SHARED_CHUNKS << chunk_level).max(MIN_REQUEST_RECORDS);
        (left / (2 * sources)).max(least)
    }

    fn useful_sources(&self) -> usize {
        let useful = self.sources.values().filter(|s| !s.held.is_empty());
        useful.count().max(1)
    }

    fn is_unassigned(&self, from: u64, to: u64) -> bool {
        self.assigned.covered(from, to) == 0
    }
}

/// The chunks that a range lies in: a part of one would be fetched record by
/// record.
pub(super) fn whole(range: Interval, chunk_level: u8, size: u64) -> Interval {
    let last = range.to.min(size).saturating_sub(1);
    let end = chunk_start(last, chunk_level).saturating_add(1 << chunk_level);
    let from = chunk_start(range.from, chunk_level);
    Interval {
        from,
        to: end.min(size).max(from),
    }
}

/// Where the chunk begins in which an index lies.
fn chunk_start(index: u64, chunk_level: u8) -> u64 {
    index >> chunk_level << chunk_level
}

/// The first gaps, at most `few` of them and at most `records` in all. What is
/// cut off ends with a chunk.
fn take_first(
    gaps: impl Iterator<Item = Interval>,
    few: usize,
    mut records: u64,
    chunk_level: u8,
) -> Vec<Interval> {
    let mut picked = Vec::new();
    for Interval { from, to } in gaps.take(few) {
        let to = if to - from <= records {
            to
        } else {
            chunk_start(from + records, chunk_level)
        };
        if to <= from {
            break;
        }
        records -= to - from;
        picked.push(Interval { from, to });
    }
    picked
}

/// The last gaps, which come from the end, at most `records` in all. What is cut
/// off begins with a chunk.
fn take_last(gaps: &[Interval], mut records: u64, chunk_level: u8) -> Vec<Interval> {
    let mut picked = Vec::new();
    for &Interval { from, to } in gaps {
        let from = if to - from <= records {
            from
        } else {
            chunk_start(to - records + (1 << chunk_level) - 1, chunk_level)
        };
        if to <= from {
            break;
        }
        records -= to - from;
        picked.push(Interval { from, to });
    }
    picked
}
