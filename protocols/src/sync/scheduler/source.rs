//! A peer that has something of a log: what it holds, and how busy it is.

use std::cell::Cell;

use super::super::Priority;
use super::super::window::Window;
use crate::limits::{BATCHES_IN_FLIGHT, MAX_INTERVALS};
use crate::ranges::{Interval, IntervalSet};
use crate::time::Timestamp;

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
    pub(super) in_flight: [usize; 2],
    /// How many of history there may be.
    pub(super) window: Window,
    pub(super) failures: u32,
    /// Refusals in a row because it had no place left.
    pub(super) busies: u32,
    pub(super) cool_until: Option<Timestamp>,
}

impl Source {
    pub(super) fn set_held(&mut self, held: IntervalSet) {
        self.held = held;
        self.looked_to.set(0);
        self.forget_the_first();
    }

    pub(super) fn has_live(&mut self, from: u64, to: u64) {
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
    pub(super) fn looks_from(&self, held: &IntervalSet, begin: u64) -> u64 {
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
    pub(super) fn is_free(&self, priority: Priority, knows_fitting: bool) -> bool {
        let most = match priority {
            Priority::History if !knows_fitting => 1,
            Priority::History => self.window.batches(),
            Priority::Live | Priority::User => BATCHES_IN_FLIGHT,
        };
        self.cool_until.is_none() && self.in_flight[class(priority)] < most
    }

    pub(super) fn load(&self) -> usize {
        self.in_flight.iter().sum()
    }

    /// Whether it holds everything from a beginning up to a size.
    #[must_use]
    pub fn has_all(&self, begin: u64, size: u64) -> bool {
        self.size >= size && self.held.contains(begin, size)
    }

    pub(super) fn has(&self, span: Interval) -> bool {
        self.held.contains(span.from, span.to)
    }
}

/// Which of the two counts a request is in.
pub(super) fn class(priority: Priority) -> usize {
    match priority {
        Priority::History => 0,
        Priority::Live | Priority::User => 1,
    }
}
