//! Exponential backoff: how long is waited before something that failed is tried
//! again. There is no clock and no dice here; whoever waits counts its failures, and
//! has nothing else to keep.

use std::time::Duration;

/// Pauses that double with each failure in a row, up to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// From the first to the longest pause.
    #[must_use]
    pub const fn doubling(first: Duration, most: Duration) -> Self {
        Self { first, most }
    }

    /// The pause after the first failure.
    #[must_use]
    pub const fn first(self) -> Duration {
        self.first
    }

    /// The longest pause.
    #[must_use]
    pub const fn most(self) -> Duration {
        self.most
    }

    /// The pause after one more failure than these. Zero of them begin anew.
    #[must_use]
    pub fn pause(self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures);
        self.first.saturating_mul(factor).min(self.most)
    }

    /// Counts one more failure; the pause after it.
    pub fn next(self, failures: &mut u32) -> Duration {
        let pause = self.pause(*failures);
        *failures = failures.saturating_add(1);
        pause
    }
}

/// By how much a pause is shorter or longer at random, so that those who failed
/// together do not try again together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter {
    less: u32,
    more: u32,
}

impl Jitter {
    /// Up to so many quarters of the pause less (four at most), and more.
    #[must_use]
    pub const fn quarters(less: u32, more: u32) -> Self {
        assert!(less <= 4, "no pause is shorter than none");
        Self { less, more }
    }

    /// A pause about this one, in whole microseconds, by a random number.
    #[must_use]
    pub fn spread(self, pause: Duration, random: u64) -> Duration {
        let pause_us = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        let quarter_us = pause_us / 4;
        let least_us = pause_us - quarter_us * u64::from(self.less);
        let span_us = quarter_us.saturating_mul((self.less + self.more).into());
        Duration::from_micros(least_us.saturating_add(random % span_us.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let backoff = Backoff::doubling(SECOND, 5 * SECOND);
        let mut failures = 0;
        let pauses = [(); 5].map(|()| backoff.next(&mut failures).as_secs());
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
        failures = 0;
        assert_eq!(backoff.next(&mut failures), backoff.first());
    }

    #[test]
    fn however_often_it_fails_there_is_a_pause() {
        let backoff = Backoff::doubling(SECOND, Duration::MAX);
        assert_eq!(backoff.pause(31), SECOND * (1 << 31));
        assert_eq!(backoff.pause(u32::MAX), SECOND * u32::MAX);
        let mut failures = u32::MAX;
        assert_eq!(backoff.next(&mut failures), SECOND * u32::MAX);
        let backoff = Backoff::doubling(Duration::MAX / 2, SECOND);
        assert_eq!(backoff.pause(7), SECOND);
    }

    #[test]
    fn jitter_stays_between_its_quarters() {
        let pause = 8 * SECOND;
        for (less, more) in [(0, 0), (0, 1), (1, 1), (2, 2), (4, 0)] {
            let jitter = Jitter::quarters(less, more);
            let (least, most) = (pause / 4 * (4 - less), pause / 4 * (4 + more));
            assert_eq!(jitter.spread(pause, 0), least);
            for random in (0..u64::MAX - 1_000).step_by(1 << 58) {
                let spread = jitter.spread(pause, random + 977);
                assert!((least..=most).contains(&spread), "{spread:?}");
            }
            let _ = jitter.spread(Duration::MAX, u64::MAX);
        }
        let jitter = Jitter::quarters(1, 1);
        assert_eq!(jitter.spread(pause, 2_000_000), pause);
        assert_eq!(jitter.spread(Duration::ZERO, 5), Duration::ZERO);
    }
}
