//! Which part of a log is asked next, and of whom. Every missing record is
//! wanted from one peer at a time.

mod request;
mod source;

use std::collections::BTreeMap;

use libp2p_identity::PeerId;

use super::Priority;
use crate::limits::{
    BUSY_BACKOFF, COOL_OFF_BACKOFF, MAX_BATCH_BYTES, MAX_HISTORY_BATCHES, MAX_OPEN_BATCHES,
    MAX_SOURCES, MAX_WISHES,
};
use crate::ranges::{Interval, IntervalSet};
use crate::time::Timestamp;
use request::whole;
pub use source::Source;
use source::class;

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

/// Batches that may be open with one peer before another one of this priority.
fn max_open(priority: Priority) -> usize {
    match priority {
        Priority::History => MAX_HISTORY_BATCHES,
        Priority::Live | Priority::User => MAX_OPEN_BATCHES,
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
                source.cool_until = Some(now + COOL_OFF_BACKOFF.next(&mut source.failures));
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
            source.cool_until = Some(now + BUSY_BACKOFF.next(&mut source.busies));
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
}

#[cfg(test)]
mod tests;
