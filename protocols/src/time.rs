//! Points in time, as numbers: the crate has no clock.

use std::fmt;
use std::ops::{Add, AddAssign};
use std::time::Duration;

/// Microseconds since the Unix epoch, UTC. Negative before 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This point plus a duration in microseconds, at most the end of time.
    #[must_use]
    pub fn plus(self, duration_us: u64) -> Self {
        Self(self.0.saturating_add_unsigned(duration_us))
    }

    /// This point, so many microseconds later, or earlier if they are negative.
    #[must_use]
    pub fn offset(self, us: i64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// Microseconds from `earlier` to this point; zero when it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(i128::from(self.0) - i128::from(earlier.0)).unwrap_or(0)
    }

    /// The same as a span.
    #[must_use]
    pub fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.since(earlier))
    }

    /// Eight bytes that sort as the points in time do.
    #[must_use]
    pub fn sortable(self) -> [u8; 8] {
        (self.0.cast_unsigned() ^ (1 << 63)).to_be_bytes()
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// This point, so much later, in whole microseconds; at most the end of time.
    fn add(self, span: Duration) -> Self {
        self.plus(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µs", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sortable_bytes_sort_as_times_do_on_both_sides_of_1970() {
        let times = [i64::MIN, -5, -1, 0, 1, 7, i64::MAX].map(Timestamp);
        assert!(times.windows(2).all(|w| w[0].sortable() < w[1].sortable()));
    }

    #[test]
    fn the_end_of_time_is_not_passed() {
        assert_eq!(Timestamp(i64::MAX).plus(9), Timestamp(i64::MAX));
        let mut later = Timestamp(3);
        later += Duration::from_micros(4);
        assert_eq!(later.duration_since(Timestamp(3)), Duration::from_micros(4));
        assert_eq!(Timestamp(3).duration_since(later), Duration::ZERO);
        assert_eq!(Timestamp(0) + Duration::MAX, Timestamp(i64::MAX));
        assert_eq!(Timestamp(-5) + Duration::from_micros(7), Timestamp(2));
        assert_eq!(Timestamp(i64::MIN).since(Timestamp(i64::MAX)), 0);
        assert_eq!(Timestamp(i64::MAX).since(Timestamp(i64::MIN)), u64::MAX);
    }
}
