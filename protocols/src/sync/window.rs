//! How many batches are asked of a peer at a time: so many that its line never
//! waits for our next question, and hardly more, because what it was asked for
//! nobody else is.

use crate::limits::{BATCHES_IN_FLIGHT, MAX_HISTORY_BATCHES};

/// The batches of history that one peer may have under way.
///
/// A batch that comes as soon as a round trip allows found an idle line: one
/// more is asked for. One that waited for several others to pass was asked for
/// too early. (Vegas does the same with packets: Brakmo and Peterson, 1995.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    batches: usize,
    /// The shortest time from a question to the first bytes of its answer.
    least_wait_us: Option<u64>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            batches: BATCHES_IN_FLIGHT,
            least_wait_us: None,
        }
    }
}

impl Window {
    /// Batches that may be under way.
    #[must_use]
    pub(super) fn batches(&self) -> usize {
        self.batches
    }

    /// Notes that a full batch has come: how long it took from the question to
    /// its first bytes, and from these to its last ones.
    pub(super) fn arrived(&mut self, wait_us: u64, transfer_us: u64) {
        let least = self
            .least_wait_us
            .map_or(wait_us, |least| least.min(wait_us));
        self.least_wait_us = Some(least);
        let queued_us = wait_us - least;
        if queued_us < transfer_us / 2 {
            self.batches = (self.batches + 1).min(MAX_HISTORY_BATCHES);
        } else if queued_us > 3 * transfer_us {
            self.batches = (self.batches - 1).max(BATCHES_IN_FLIGHT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The window after many batches on a line with this round trip, on which a
    /// batch takes this long: what a queue that is never empty leads to.
    fn settled(round_trip_us: u64, transfer_us: u64) -> usize {
        let mut window = Window::default();
        window.arrived(round_trip_us, transfer_us);
        for _ in 0..100 {
            // All that is before it has to pass within the round trip, or waits.
            let before = (window.batches() as u64 - 1) * transfer_us;
            let wait = round_trip_us.max(before);
            window.arrived(wait, transfer_us);
        }
        window.batches()
    }

    #[test]
    fn a_near_peer_is_asked_for_few_batches_and_a_far_one_for_as_many_as_fit_on_its_line() {
        assert!(settled(100, 12_000) <= BATCHES_IN_FLIGHT + 1);
        let fit = 100_000 / 16_000 + 1;
        assert!((fit..=fit + 2).contains(&settled(100_000, 16_000)));
        assert_eq!(settled(10_000_000, 1_000), MAX_HISTORY_BATCHES);
    }

    #[test]
    fn a_line_that_becomes_slow_is_asked_for_less() {
        let mut window = Window::default();
        for _ in 0..20 {
            window.arrived(100_000, 10_000);
        }
        assert_eq!(window.batches(), MAX_HISTORY_BATCHES);
        for _ in 0..20 {
            window.arrived(1_000_000, 200_000);
        }
        assert_eq!(window.batches(), BATCHES_IN_FLIGHT);
    }
}
