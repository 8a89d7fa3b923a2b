//! Which part of a log is asked next, and of whom. Every missing record is
//! wanted from one peer at a time.

use std::cell::Cell;
use std::collections::BTreeMap;

use libp2p_identity::PeerId;

use super::Priority;
use super::window::Window;
use crate::limits::{
    BATCHES_IN_FLIGHT, BUSY_PAUSE_US, FIRST_COOL_OFF_US, MAX_ASSIGNED_INTERVALS, MAX_BATCH_BYTES,
    MAX_COOL_OFF_US, MAX_HELD_INTERVALS, MAX_HISTORY_BATCHES, MAX_INTERVALS, MAX_OFFERED,
    MAX_OPEN_BATCHES, MAX_SOURCES, MAX_WISHES, MIN_REQUEST_RECORDS, MIN_SHARED_INTERVALS,
};
use crate::ranges::{Interval, IntervalSet};
use crate::time::Timestamp;

/// In which order history is filled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// From the beginning.
    #[default]
    OldestFirst,
    /// From the end, for readers who need the latest records at once.
    NewestFirst,
}

/// How a request to a peer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of it came.
    Well,
    /// It did not.
    Failed,
    /// It was not wanted any more.
    Withdrawn,
}

/// A peer that has something of a log.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Size of the tree that it can prove against.
    pub size: u64,
    /// What it holds, in at most [`MAX_INTERVALS`] parts.
    pub held: IntervalSet,
    /// It has delivered something: what it says that it holds is more than words.
    pub has_delivered: bool,
    /// Before this one there is nothing that it holds and that is missing here, as
    /// far as was looked.
    looked_to: Cell<u64>,
    /// Requests under way, by priority class: history, and everything above.
    in_flight: [usize; 2],
    /// How many of history there may be.
    window: Window,
    failures: u32,
    /// Refusals in a row because it had no place left.
    busies: u32,
    cool_until: Option<Timestamp>,
}

/// Plans the fetching of one log.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    sources: BTreeMap<PeerId, Source>,
    /// What was asked of somebody and has not come yet.
    assigned: IntervalSet,
    /// In which order history is filled in.
    pub order: Order,
    /// What users want first, the oldest wish first.
    wishes: Vec<Interval>,
    /// Records from here on are live.
    pub live_from: u64,
    /// Records before this one are not wanted: nobody has to keep them.
    pub begin: u64,
    /// No history is asked for: there is no room for it.
    pub no_history: bool,
    /// Records that fit into a batch, going by the last one, once that is known.
    /// What is asked for beyond that an upstream leaves out, and it would come
    /// after what is asked for next.
    fitting: Option<u64>,
    /// Who publishes the log, once it is known: there is always a place for it.
    pub publisher: Option<PeerId>,
}

/// What to ask of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The peer.
    pub peer: PeerId,
    /// The ranges, ascending, with a gap between any two.
    pub intervals: Vec<Interval>,
    /// Size of the tree that they are to be proved against.
    pub size: u64,
    /// Whether all of them is missing.
    pub all: bool,
    /// How urgent it is.
    pub priority: Priority,
}

/// Chunks in the first request when the newest come first: that many fit into a
/// batch however large they are.
const FIRST_NEWEST: u64 = 3;

/// Chunks in the smallest request of the last ones that several sources share: a
/// tenth of a second of one that has 2 MB a second.
const LEAST_SHARED_CHUNKS: u64 = 8;

/// Batches that may be open with one peer before another one of this priority.
fn max_open(priority: Priority) -> usize {
    match priority {
        Priority::History => MAX_HISTORY_BATCHES,
        Priority::Live | Priority::User => MAX_OPEN_BATCHES,
    }
}

fn class(priority: Priority) -> usize {
    match priority {
        Priority::History => 0,
        Priority::Live | Priority::User => 1,
    }
}

impl Scheduler {
    /// Notes what a peer says that it has: no more than that, whatever it passed
    /// on of a tree that it has not adopted. Beyond the limit of sources a newcomer
    /// is ignored, unless it is the publisher or one of them is of no use.
    pub fn has(&mut self, peer: PeerId, size: u64, held: IntervalSet) {
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&peer) {
            match self.least_useful(Some(peer) == self.publisher) {
                Some(least) => self.sources.remove(&least),
                None => return,
            };
        }
        let source = self.sources.entry(peer).or_default();
        source.size = size;
        source.set_held(held);
    }

    /// Notes that a source has delivered something.
    pub fn note_delivery(&mut self, peer: PeerId) {
        if let Some(source) = self.sources.get_mut(&peer) {
            source.has_delivered = true;
        }
    }

    /// The source that makes room for another one: one that is idle and of no
    /// use, or, if somebody has to go, the one that is least missed. What was
    /// asked of it still comes, or times out.
    fn least_useful(&self, somebody_has_to_go: bool) -> Option<PeerId> {
        let others = (self.sources.iter()).filter(|(peer, _)| Some(**peer) != self.publisher);
        let (peer, source) = others.max_by_key(|(_, source)| {
            let idle = source.load() == 0;
            let useless = source.held.is_empty() || source.failures > 0;
            (
                idle && useless,
                idle,
                source.held.is_empty(),
                source.failures,
            )
        })?;
        let useless = source.held.is_empty() || source.failures > 0;
        (somebody_has_to_go || source.load() == 0 && useless).then_some(*peer)
    }

    /// Notes that a peer which is known as a source has a run of records, and
    /// a tree that ends with it. `false` when it is not known.
    pub fn has_live(&mut self, peer: PeerId, from: u64, to: u64) -> bool {
        let Some(source) = self.sources.get_mut(&peer) else {
            return false;
        };
        source.size = source.size.max(to);
        source.has_live(from, to);
        true
    }

    /// Forgets a peer; whether it was a source. What was asked of it must be
    /// released by the caller.
    pub fn gone(&mut self, peer: PeerId) -> bool {
        self.sources.remove(&peer).is_some()
    }

    /// Whether something that is missing of `[0, size)` is on its way, or some
    /// source has it and has not failed again and again. Of the holes only the
    /// first are looked at. Before a size is known, any source will do.
    #[must_use]
    pub fn is_supplied(&self, held: &IntervalSet, size: u64) -> bool {
        const HOLES: usize = 64;
        const FAILURES: u32 = 3;
        if !self.assigned.is_empty() {
            return true;
        }
        let mut working = (self.sources.values()).filter(|source| source.failures < FAILURES);
        working.any(|source| {
            let mut holes = held.missing(self.begin, size).take(HOLES);
            size == 0 || holes.any(|hole| source.held.held(hole.from, hole.to).next().is_some())
        })
    }

    /// The peers that have something of this log.
    pub fn sources(&self) -> impl Iterator<Item = (&PeerId, &Source)> {
        self.sources.iter()
    }

    /// Records that a peer was known to hold.
    #[must_use]
    pub fn held_by(&self, peer: PeerId) -> u64 {
        self.sources
            .get(&peer)
            .map_or(0, |source| source.held.len())
    }

    /// Notes that a user wants `[from, to)` before the rest.
    pub fn wish(&mut self, wish: Interval) {
        self.wishes.retain(|known| *known != wish);
        if self.wishes.len() >= MAX_WISHES {
            self.wishes.remove(0);
        }
        self.wishes.push(wish);
    }

    /// Forgets the wishes that have come true.
    pub fn forget_wishes(&mut self, held: &IntervalSet) {
        self.wishes
            .retain(|wish| !held.contains(wish.from, wish.to));
    }

    /// Notes that ranges are asked of a peer.
    pub fn assign(&mut self, assignment: &Assignment) {
        self.assigned.extend(assignment.intervals.iter().copied());
        if let Some(source) = self.sources.get_mut(&assignment.peer) {
            source.in_flight[class(assignment.priority)] += 1;
        }
    }

    /// Notes that nothing more is to be expected of `[from, to)`.
    pub fn release(&mut self, from: u64, to: u64) {
        let _ = self.assigned.remove(from, to);
    }

    /// Notes that nothing more is to be expected of these.
    pub fn release_all(&mut self, intervals: impl IntoIterator<Item = Interval>) {
        for Interval { from, to } in intervals {
            self.release(from, to);
        }
    }

    /// Notes that a request to a peer has ended. A peer that failed is left alone
    /// for a while, longer each time; what fails during that while was asked
    /// before it, and is the same failure.
    pub fn ended(&mut self, peer: PeerId, priority: Priority, how: Ending, now: Timestamp) {
        let Some(source) = self.sources.get_mut(&peer) else {
            return;
        };
        let in_flight = &mut source.in_flight[class(priority)];
        *in_flight = in_flight.saturating_sub(1);
        match how {
            Ending::Well => {
                source.has_delivered = true;
                source.failures = 0;
                source.busies = 0;
                source.cool_until = None;
            }
            Ending::Failed if source.cool_until.is_none_or(|until| until <= now) => {
                let pause = FIRST_COOL_OFF_US << source.failures.min(7);
                source.cool_until = Some(now.plus(pause.min(MAX_COOL_OFF_US)));
                source.failures += 1;
            }
            Ending::Failed | Ending::Withdrawn => {}
        }
    }

    /// Notes how a full batch of history came from a peer: how long it took from
    /// the question to its first bytes, and from these to its last ones.
    pub fn arrived(&mut self, peer: PeerId, wait_us: u64, transfer_us: u64) {
        if let Some(source) = self.sources.get_mut(&peer) {
            source.window.arrived(wait_us, transfer_us);
        }
    }

    /// Notes how many records with so many bytes were offered at once, of which a
    /// few say little; and returns whether these are the first.
    pub fn offered(&mut self, records: u64, bytes: u64) -> bool {
        let batch = MAX_BATCH_BYTES as u64;
        let is_first = self.fitting.is_none();
        if bytes >= batch / 4 || is_first {
            let fitting = records.saturating_mul(batch) / bytes.max(1);
            self.fitting = Some(fitting);
        }
        is_first
    }

    /// Notes that a peer had no place left for a request. That is no failure,
    /// and it is asked again soon, up to 32 times later if it goes on.
    pub fn busy(&mut self, peer: PeerId, priority: Priority, now: Timestamp) {
        if let Some(source) = self.sources.get_mut(&peer) {
            let in_flight = &mut source.in_flight[class(priority)];
            *in_flight = in_flight.saturating_sub(1);
            let pause = BUSY_PAUSE_US << source.busies.min(5);
            source.cool_until = Some(now.plus(pause));
            source.busies += 1;
        }
    }

    /// When the next source may be asked again, if one is cooling off.
    #[must_use]
    pub fn next_cool(&self) -> Option<Timestamp> {
        self.sources.values().filter_map(|s| s.cool_until).min()
    }

    /// Lets sources whose pause is over be asked again.
    pub fn warm(&mut self, now: Timestamp) {
        for source in self.sources.values_mut() {
            source.cool_until = source.cool_until.filter(|&until| until > now);
        }
    }

    /// The next ranges to ask for and the peer to ask: live records first, then
    /// history; the least-loaded peer, and of those `first`. `sizes` are those
    /// of the trees that an offer can be checked against, ascending; a peer is
    /// asked for the largest that it has. `open` counts the batches that are
    /// open with a peer, for all logs. `None` when nothing is missing, or
    /// nobody who has it is free.
    #[must_use]
    pub fn next(
        &self,
        sizes: &[u64],
        held: &IntervalSet,
        chunk_level: u8,
        first: PeerId,
        open: impl Fn(&PeerId) -> usize,
    ) -> Option<Assignment> {
        let size = *sizes.last()?;
        let live_from = self.live_from.max(self.begin).min(size);
        let wishes = (self.wishes.iter()).map(|wish| {
            let from = wish.from.max(self.begin);
            let wish = Interval { from, ..*wish };
            (Priority::User, whole(wish, chunk_level, size))
        });
        let live = Interval {
            from: live_from,
            to: size,
        };
        let history = Interval {
            from: self.begin.min(live_from),
            to: live_from,
        };
        wishes
            .chain([(Priority::Live, live), (Priority::History, history)])
            .filter(|(priority, _)| !self.no_history || *priority == Priority::Live)
            .find_map(|(priority, range)| {
                let mut free: Vec<_> = (self.sources.iter())
                    .filter(|(_, source)| source.is_free(priority, self.fitting.is_some()))
                    .filter(|(peer, _)| open(peer) < max_open(priority))
                    .collect();
                free.sort_by_key(|(peer, source)| (source.load(), **peer != first));
                free.into_iter().find_map(|(&peer, source)| {
                    let size = sizes.iter().rfind(|&&size| size <= source.size)?;
                    let range = Interval {
                        from: range.from,
                        to: range.to.min(*size),
                    };
                    let order = match priority {
                        Priority::User => Order::OldestFirst,
                        Priority::Live | Priority::History => self.order,
                    };
                    let (intervals, all) = self.pick(source, held, range, order, chunk_level)?;
                    Some(Assignment {
                        peer,
                        intervals,
                        size: *size,
                        all,
                        priority,
                    })
                })
            })
    }

    /// What is missing, not asked of anybody, and held by the source, as much as
    /// one request names; and whether all of it is missing.
    fn pick(
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

impl Source {
    fn set_held(&mut self, held: IntervalSet) {
        self.held = held;
        self.looked_to.set(0);
        self.forget_the_first();
    }

    fn has_live(&mut self, from: u64, to: u64) {
        let _ = self.held.insert(from, to);
        self.looked_to.set(self.looked_to.get().min(from));
        self.forget_the_first();
    }

    /// Of too many parts the first are forgotten: the peer tells of them when it
    /// is asked, and what is live is not told again.
    fn forget_the_first(&mut self) {
        while self.held.interval_count() > MAX_INTERVALS {
            let Some(first) = self.held.intervals().next() else {
                return;
            };
            let _ = self.held.remove(first.from, first.to);
        }
    }

    /// Where it is worth to begin to look for something that it holds and that is
    /// missing here, from a beginning on. What was looked at once is not looked at
    /// again before the peer says anew what it holds.
    fn looks_from(&self, held: &IntervalSet, begin: u64) -> u64 {
        let from = self.looked_to.get().max(begin);
        let mut parts = self.held.held(from, u64::MAX);
        let missing = parts.find_map(|part| held.first_missing(part.from, part.to));
        let from = missing.map_or(u64::MAX, |missing| missing.from);
        self.looked_to.set(from);
        from
    }

    /// Whether everything that it holds from a beginning up to its head is held
    /// here.
    #[must_use]
    pub fn has_nothing_new(&self, held: &IntervalSet, begin: u64) -> bool {
        self.looks_from(held, begin) >= self.size
    }

    /// Whether it may be asked for another batch. Of history there is one at a time
    /// until the first offer has told how much fits into it: what does not would
    /// come after the second one.
    fn is_free(&self, priority: Priority, knows_fitting: bool) -> bool {
        let most = match priority {
            Priority::History if !knows_fitting => 1,
            Priority::History => self.window.batches(),
            Priority::Live | Priority::User => BATCHES_IN_FLIGHT,
        };
        self.cool_until.is_none() && self.in_flight[class(priority)] < most
    }

    fn load(&self) -> usize {
        self.in_flight.iter().sum()
    }

    /// Whether it holds everything from a beginning up to a size.
    #[must_use]
    pub fn has_all(&self, begin: u64, size: u64) -> bool {
        self.size >= size && self.held.contains(begin, size)
    }

    fn has(&self, span: Interval) -> bool {
        self.held.contains(span.from, span.to)
    }
}

/// The chunks that a range lies in: a part of one would be fetched record by
/// record.
fn whole(range: Interval, chunk_level: u8, size: u64) -> Interval {
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

#[cfg(test)]
mod tests;
