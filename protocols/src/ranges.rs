//! Interval sets: which positions of a log are held.
//!
//! A set is a map of disjoint half-open intervals that never touch, so there
//! is one way to write a set down. Every change says which entries of that map
//! it removed and put, so that a store writes just these, in the same batch as
//! the data that they claim.

use std::collections::BTreeMap;
use std::fmt;
use std::iter;

use crate::limits::{MAX_INTERVALS, MAX_LOG_SIZE};
use crate::wire::{WireError, v1};

/// The positions [from, to).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    /// The first position.
    pub from: u64,
    /// The position behind the last one.
    pub to: u64,
}

impl Interval {
    /// An interval that is not empty and ends within the largest log.
    ///
    /// # Errors
    /// Absent, empty, reversed or out of bounds.
    pub fn from_wire(
        what: &'static str,
        interval: Option<&v1::Interval>,
    ) -> Result<Self, WireError> {
        match interval {
            Some(&v1::Interval { from, to }) if from < to && to <= MAX_LOG_SIZE => {
                Ok(Self { from, to })
            }
            _ => Err(WireError::BadField {
                what,
                field: "interval",
            }),
        }
    }

    /// A list of at least one and at most [`MAX_INTERVALS`] such intervals,
    /// ascending, with a gap between any two.
    ///
    /// # Errors
    /// It is not like that.
    pub fn list_from_wire(
        what: &'static str,
        list: &[v1::Interval],
    ) -> Result<Vec<Self>, WireError> {
        let bad = WireError::BadField {
            what,
            field: "list of intervals",
        };
        if list.is_empty() || list.len() > MAX_INTERVALS {
            return Err(bad);
        }
        let intervals = list.iter().map(|one| Self::from_wire(what, Some(one)));
        let intervals: Vec<_> = intervals.collect::<Result<_, _>>()?;
        if intervals.windows(2).any(|pair| pair[0].to >= pair[1].from) {
            return Err(bad);
        }
        Ok(intervals)
    }

    /// As it travels.
    #[must_use]
    pub fn to_wire(self) -> v1::Interval {
        v1::Interval {
            from: self.from,
            to: self.to,
        }
    }

    /// How many positions it has; 0 if `to` is not beyond `from`.
    pub fn len(self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// Whether it has no positions.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

/// What an operation did to the map of begin → end behind a set. No begin is
/// in both lists; apply them in any order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a stored copy of the set must be changed too"]
pub struct Change {
    /// The begins of the intervals that vanished, ascending.
    pub removed: Vec<u64>,
    /// The intervals that are new or end elsewhere now, ascending.
    pub put: Vec<Interval>,
}

impl Change {
    /// Whether the set was left as it was.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.put.is_empty()
    }
}

/// Stored intervals that no [`IntervalSet`] can have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    /// An interval without positions.
    #[error("the stored interval {0} is empty")]
    Empty(Interval),
    /// An interval that overlaps, touches or precedes the one before it.
    #[error("the stored interval {next} does not lie behind {previous} with a gap between")]
    Unordered {
        /// The interval before.
        previous: Interval,
        /// The offending one.
        next: Interval,
    },
}

/// A set of positions as disjoint intervals that do not touch each other.
///
/// Arguments are half-open; where `to` is not beyond `from` there is nothing
/// to insert, to remove, or to find. Queries cost O(log n) and the intervals
/// they pass, changes O(log n) and the intervals they remove. A set has no
/// bound of its own: whoever inserts for a peer looks at
/// [`interval_count`](Self::interval_count).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IntervalSet {
    /// Begin → end.
    ends: BTreeMap<u64, u64>,
    /// The sum of all lengths.
    total: u64,
}

impl IntervalSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self {
            ends: BTreeMap::new(),
            total: 0,
        }
    }

    /// The set that was stored as these intervals. They must be as a set
    /// writes them: ascending, none empty, with a gap between any two. To
    /// build a set from intervals in any order, collect them instead.
    pub fn from_stored(stored: impl IntoIterator<Item = Interval>) -> Result<Self, IntervalError> {
        let mut set = Self::new();
        let mut previous: Option<Interval> = None;
        for next in stored {
            if next.is_empty() {
                return Err(IntervalError::Empty(next));
            }
            if let Some(previous) = previous.filter(|previous| next.from <= previous.to) {
                return Err(IntervalError::Unordered { previous, next });
            }
            set.put(next);
            previous = Some(next);
        }
        Ok(set)
    }

    /// Adds [from, to).
    pub fn insert(&mut self, from: u64, to: u64) -> Change {
        let mut change = Change::default();
        if from >= to || self.contains(from, to) {
            return change;
        }
        let mut joined = Interval { from, to };
        if let Some(before) = self.before(from).filter(|before| before.to >= from) {
            joined.from = before.from;
        }
        let touched: Vec<_> = self.ends.range(joined.from..=to).map(entry).collect();
        for old in touched {
            self.take(old);
            joined.to = joined.to.max(old.to);
            if old.from != joined.from {
                change.removed.push(old.from);
            }
        }
        self.put(joined);
        change.put.push(joined);
        change
    }

    /// Takes [from, to) away.
    pub fn remove(&mut self, from: u64, to: u64) -> Change {
        let mut change = Change::default();
        let touched: Vec<_> = self.overlapping(from, to).collect();
        for old in touched {
            self.take(old);
            if old.from >= from {
                change.removed.push(old.from);
            }
            let rests = [
                Interval {
                    from: old.from,
                    to: from,
                },
                Interval {
                    from: to,
                    to: old.to,
                },
            ];
            for rest in rests.into_iter().filter(|rest| !rest.is_empty()) {
                self.put(rest);
                change.put.push(rest);
            }
        }
        change
    }

    /// Whether all of [from, to) is in the set; true if that is empty.
    pub fn contains(&self, from: u64, to: u64) -> bool {
        from >= to || self.before(from).is_some_and(|before| before.to >= to)
    }

    /// How many positions of [from, to) are in the set.
    pub fn covered(&self, from: u64, to: u64) -> u64 {
        self.held(from, to).map(Interval::len).sum()
    }

    /// How many positions lie outside of [from, to).
    pub fn outside(&self, from: u64, to: u64) -> u64 {
        self.covered(0, from) + self.covered(to.max(from), u64::MAX)
    }

    /// Whether [from, to) would become a part of an interval that is there, so that
    /// there are no more of them than before.
    pub fn joins(&self, from: u64, to: u64) -> bool {
        self.before(to).is_some_and(|before| before.to >= from)
    }

    /// The parts of [from, to) that are in the set, ascending.
    pub fn held(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = Interval> {
        self.overlapping(from, to).map(move |found| Interval {
            from: found.from.max(from),
            to: found.to.min(to),
        })
    }

    /// The parts of [from, to) that are not in the set, ascending.
    pub fn missing(&self, from: u64, to: u64) -> impl Iterator<Item = Interval> {
        let mut held = self.held(from, to);
        let mut at = from;
        iter::from_fn(move || {
            while at < to {
                let next = held.next().unwrap_or(Interval { from: to, to });
                let gap = Interval {
                    from: at,
                    to: next.from,
                };
                at = next.to;
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// The first part of [from, to) that is not in the set.
    pub fn first_missing(&self, from: u64, to: u64) -> Option<Interval> {
        self.missing(from, to).next()
    }

    /// The last part of [from, to) that is not in the set.
    pub fn last_missing(&self, from: u64, to: u64) -> Option<Interval> {
        let mut to = to;
        if let Some(last) = to.checked_sub(1).and_then(|last| self.before(last))
            && last.to >= to
        {
            to = last.from;
        }
        // No two intervals touch: before this one there is a gap.
        let before = to.checked_sub(1).and_then(|last| self.before(last));
        let gap = Interval {
            from: before.map_or(0, |before| before.to).max(from),
            to,
        };
        (!gap.is_empty()).then_some(gap)
    }

    /// How far the set reaches from `from` without a gap: the end of the
    /// interval that holds `from`, or `from` itself.
    pub fn prefix(&self, from: u64) -> u64 {
        self.before(from).map_or(from, |before| before.to.max(from))
    }

    /// How many positions are in the set.
    pub fn len(&self) -> u64 {
        self.total
    }

    /// Whether no position is in the set.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The intervals, ascending.
    pub fn intervals(&self) -> impl DoubleEndedIterator<Item = Interval> {
        self.ends.iter().map(entry)
    }

    /// How many intervals there are.
    pub fn interval_count(&self) -> usize {
        self.ends.len()
    }

    /// The last interval that begins at or before `at`.
    fn before(&self, at: u64) -> Option<Interval> {
        self.ends.range(..=at).next_back().map(entry)
    }

    /// The whole intervals that have positions in [from, to).
    fn overlapping(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = Interval> {
        let begin = match self.before(from) {
            Some(before) if before.to > from => before.from,
            _ => from,
        };
        // `range` panics on a begin beyond its end.
        let to = if from < to { to } else { begin };
        self.ends.range(begin..to).map(entry)
    }

    fn put(&mut self, interval: Interval) {
        self.ends.insert(interval.from, interval.to);
        self.total += interval.len();
    }

    fn take(&mut self, interval: Interval) {
        self.ends.remove(&interval.from);
        self.total -= interval.len();
    }
}

/// Intervals that the queries of a thread have passed, for tests of what those cost.
#[cfg(test)]
pub(crate) mod passed {
    use std::cell::Cell;

    thread_local! {
        static PASSED: Cell<u64> = const { Cell::new(0) };
    }

    pub(crate) fn count() -> u64 {
        PASSED.get()
    }

    pub(super) fn one() {
        PASSED.set(PASSED.get() + 1);
    }
}

fn entry((from, to): (&u64, &u64)) -> Interval {
    #[cfg(test)]
    passed::one();
    Interval {
        from: *from,
        to: *to,
    }
}

/// The union of intervals in any order, which may overlap or be empty.
impl FromIterator<Interval> for IntervalSet {
    fn from_iter<I: IntoIterator<Item = Interval>>(intervals: I) -> Self {
        let mut set = Self::new();
        set.extend(intervals);
        set
    }
}

impl Extend<Interval> for IntervalSet {
    fn extend<I: IntoIterator<Item = Interval>>(&mut self, intervals: I) {
        for Interval { from, to } in intervals {
            let _ = self.insert(from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const SPAN: u64 = 60;

    fn between(from: u64, to: u64) -> Interval {
        Interval { from, to }
    }

    fn set(intervals: &[(u64, u64)]) -> IntervalSet {
        intervals
            .iter()
            .map(|(from, to)| between(*from, *to))
            .collect()
    }

    fn positions(intervals: impl Iterator<Item = Interval>) -> Vec<u64> {
        intervals.flat_map(|i| i.from..i.to).collect()
    }

    #[test]
    fn an_insert_says_what_to_store() {
        let mut held = set(&[(0, 2), (4, 6), (8, 10)]);
        let change = held.insert(2, 5);
        assert_eq!(change.removed, [4]);
        assert_eq!(change.put, [between(0, 6)]);
        assert!(held.insert(1, 6).is_empty());
        assert!(held.insert(7, 7).is_empty());
        let change = held.insert(6, 8);
        assert_eq!(
            (change.removed, change.put),
            (vec![8], vec![between(0, 10)])
        );
        assert_eq!((held.interval_count(), held.len()), (1, 10));
    }

    #[test]
    fn a_removal_says_what_to_store() {
        let mut held = set(&[(0, 10), (12, 14), (20, 30)]);
        let change = held.remove(5, 25);
        assert_eq!(change.removed, [12, 20]);
        assert_eq!(change.put, [between(0, 5), between(25, 30)]);
        let change = held.remove(1, 3);
        assert!(change.removed.is_empty());
        assert_eq!(change.put, [between(0, 1), between(3, 5)]);
        assert!(held.remove(5, 25).is_empty());
        assert!(held.remove(4, 3).is_empty());
    }

    #[test]
    fn the_largest_positions_do_not_overflow() {
        let mut held = set(&[(0, u64::MAX)]);
        assert_eq!(held.len(), u64::MAX);
        assert!(held.insert(5, u64::MAX).is_empty());
        let _ = held.remove(1, u64::MAX - 1);
        assert_eq!(held.len(), 2);
        assert_eq!(held.prefix(u64::MAX), u64::MAX);
        let gap = held.first_missing(0, u64::MAX);
        assert_eq!(gap, Some(between(1, u64::MAX - 1)));
    }

    #[test]
    fn stored_intervals_that_no_set_wrote_are_refused() {
        let load = |list: &[(u64, u64)]| {
            IntervalSet::from_stored(list.iter().map(|(from, to)| between(*from, *to)))
        };
        let good = [(0, 2), (3, 4)];
        assert_eq!(load(&good), Ok(set(&good)));
        assert_eq!(load(&[(3, 3)]), Err(IntervalError::Empty(between(3, 3))));
        for bad in [[(0, 2), (2, 4)], [(0, 3), (2, 4)], [(5, 6), (1, 2)]] {
            assert!(matches!(load(&bad), Err(IntervalError::Unordered { .. })));
        }
    }

    #[derive(Debug, Clone)]
    struct Step {
        insert: bool,
        from: u64,
        to: u64,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (prop::bool::weighted(0.6), 0..SPAN, 0..SPAN / 3, 0..3u64).prop_map(
            |(insert, from, len, backwards)| Step {
                insert,
                from,
                // Now and then the ends are the wrong way round.
                to: match (len, backwards) {
                    (1, 0) => from.saturating_sub(3),
                    _ => (from + len).min(SPAN),
                },
            },
        );
        prop::collection::vec(step, 0..40)
    }

    /// Plays the steps on a set, on a plain set of positions and, by the
    /// changes alone, on a stored copy of the map.
    fn play(steps: &[Step]) -> (IntervalSet, BTreeSet<u64>, BTreeMap<u64, u64>) {
        let (mut set, mut model, mut stored) =
            (IntervalSet::new(), BTreeSet::new(), BTreeMap::new());
        for Step { insert, from, to } in steps {
            let before = set.clone();
            let change = if *insert {
                model.extend(*from..*to);
                set.insert(*from, *to)
            } else {
                model.retain(|at| !(from..to).contains(&at));
                set.remove(*from, *to)
            };
            assert_eq!(change.is_empty(), set == before);
            for begin in &change.removed {
                assert!(stored.remove(begin).is_some(), "{begin} was not stored");
                assert!(change.put.iter().all(|put| put.from != *begin));
            }
            for put in &change.put {
                assert_ne!(stored.insert(put.from, put.to), Some(put.to), "needless");
            }
            assert_eq!(stored, set.ends);
        }
        (set, model, stored)
    }

    proptest! {
        #[test]
        fn a_set_holds_what_the_model_holds_and_changes_reproduce_it(steps in steps()) {
            let (set, model, stored) = play(&steps);
            prop_assert_eq!(positions(set.intervals()), Vec::from_iter(model.clone()));
            prop_assert_eq!(set.len(), model.len() as u64);
            prop_assert_eq!(set.is_empty(), model.is_empty());
            prop_assert_eq!(set.interval_count(), set.intervals().count());
            // Disjoint and not touching, or it would not load.
            let loaded = IntervalSet::from_stored(stored.iter().map(entry));
            prop_assert_eq!(loaded, Ok(set.clone()));
            prop_assert_eq!(set.intervals().rev().collect::<IntervalSet>(), set);
        }

        #[test]
        fn queries_agree_with_the_model(
            steps in steps(), from in 0..SPAN + 2, to in 0..SPAN + 2,
        ) {
            let (set, model, _) = play(&steps);
            let (held, missing): (Vec<_>, Vec<_>) = (from..to).partition(|at| model.contains(at));
            prop_assert_eq!(set.contains(from, to), missing.is_empty());
            prop_assert_eq!(set.covered(from, to), held.len() as u64);
            prop_assert_eq!(positions(set.held(from, to)), held);
            prop_assert_eq!(positions(set.missing(from, to)), missing);
            prop_assert!(set.held(from, to).chain(set.missing(from, to)).all(|i| !i.is_empty()));
            prop_assert_eq!(set.first_missing(from, to), set.missing(from, to).next());
            prop_assert_eq!(set.last_missing(from, to), set.missing(from, to).last());
            prop_assert!(set.held(from, to).rev().eq(Vec::from_iter(set.held(from, to)).into_iter().rev()));
            let inside = set.covered(from, to);
            prop_assert_eq!(set.outside(from, to.max(from)), set.len() - inside);
            if from < to {
                let mut with = set.clone();
                let _ = with.insert(from, to);
                let is_one_more = with.interval_count() > set.interval_count();
                prop_assert_eq!(set.joins(from, to), !is_one_more);
            }
            let prefix = (from..).find(|at| !model.contains(at));
            prop_assert_eq!(Some(set.prefix(from)), prefix);
        }
    }
}
