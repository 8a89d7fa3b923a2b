//! How far the clock of a log's owner is ahead of ours.

use crate::engine::log_state::LogState;

/// How far a publisher's clock is ahead of ours, by the last heads that were heard
/// as they were signed. The way takes a moment, so that the largest is the truest.
#[derive(Debug, Default)]
pub(in crate::engine) struct ClockGap {
    samples: [Option<i64>; 3],
    next: usize,
}

impl ClockGap {
    pub(in crate::engine) fn heard(&mut self, ahead_us: i64) {
        self.samples[self.next % self.samples.len()] = Some(ahead_us);
        self.next = self.next.wrapping_add(1);
    }

    /// Our clock was set.
    pub(in crate::engine) fn jumped(&mut self, by_us: i64) {
        for sample in self.samples.iter_mut().flatten() {
            *sample = sample.saturating_sub(by_us);
        }
    }

    /// Microseconds; negative if it is behind; `None` while none was heard.
    pub(in crate::engine) fn ahead_us(&self) -> Option<i64> {
        self.samples.iter().flatten().max().copied()
    }
}

impl LogState {
    /// Microseconds by which its owner's clock is ahead of ours, once that is known.
    pub(in crate::engine) fn clock_ahead_us(&self) -> Option<i64> {
        self.clock_gap.ahead_us()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_to_a_publisher_is_that_of_the_quickest_of_its_last_heads() {
        let mut gap = ClockGap::default();
        assert_eq!(gap.ahead_us(), None);
        for sample in [900, 1_000, 300] {
            gap.heard(sample);
        }
        assert_eq!(gap.ahead_us(), Some(1_000));
        gap.jumped(400);
        assert_eq!(gap.ahead_us(), Some(600));
        // Its clock was set back by an hour.
        for _ in 0..3 {
            gap.heard(-3_600);
        }
        assert_eq!(gap.ahead_us(), Some(-3_600));
    }
}
