//! A token bucket, which rate limits are made of: how often something may be done.

mod keyed;

use crate::time::Timestamp;

pub use keyed::Buckets;

/// A token bucket, kept as the time at which it is full again (the generic cell
/// rate algorithm of ITU-T I.371).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    full_at: Timestamp,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            full_at: Timestamp(i64::MIN),
        }
    }
}

impl Bucket {
    /// Takes a token if there is one. One is earned every `every_us`
    /// microseconds, and `burst` fit in.
    pub fn take(&mut self, (every_us, burst): (u64, u64), now: Timestamp) -> bool {
        let full_at = self.full_at.max(now).plus(every_us);
        let has_one = full_at.since(now) <= every_us.saturating_mul(burst);
        if has_one {
            self.full_at = full_at;
        }
        has_one
    }

    /// Takes tokens whether they are there or not: what is missing is owed.
    pub fn charge(&mut self, tokens: u64, (every_us, _): (u64, u64), now: Timestamp) {
        let cost_us = every_us.saturating_mul(tokens);
        self.full_at = self.full_at.max(now).plus(cost_us);
    }

    /// Gives back tokens that were charged for what was not done.
    pub fn give_back(&mut self, tokens: u64, (every_us, _): (u64, u64)) {
        let earned_us = every_us.saturating_mul(tokens);
        self.full_at = Timestamp(self.full_at.0.saturating_sub_unsigned(earned_us));
    }

    /// How many tokens are owed.
    #[must_use]
    pub fn owed(&self, (every_us, burst): (u64, u64), now: Timestamp) -> u64 {
        let owed_us = (self.full_at.since(now)).saturating_sub(every_us.saturating_mul(burst));
        owed_us / every_us.max(1)
    }

    /// When there is a token again; not later than now when there is one.
    #[must_use]
    pub fn next(&self, (every_us, burst): (u64, u64)) -> Timestamp {
        let earlier = every_us.saturating_mul(burst.saturating_sub(1));
        Timestamp(self.full_at.0.saturating_sub_unsigned(earlier))
    }

    /// Whether there is a token.
    #[must_use]
    pub fn has_one(&self, rate: (u64, u64), now: Timestamp) -> bool {
        self.next(rate) <= now
    }

    /// Whether all of its tokens are there, so that it need not be kept.
    #[must_use]
    pub fn is_full(&self, now: Timestamp) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_bucket_gives_its_burst_and_then_one_at_a_time() {
        let rate = (SECOND, 3);
        let mut bucket = Bucket::default();
        let now = Timestamp(0);
        assert!((0..3).all(|_| bucket.take(rate, now)));
        assert!(!bucket.take(rate, now));
        assert_eq!(bucket.next(rate), now.plus(SECOND));
        assert!(!bucket.take(rate, now.plus(SECOND - 1)));
        assert!(bucket.take(rate, now.plus(SECOND)));
        assert!(!bucket.take(rate, now.plus(SECOND)));
        // After a long silence it is full, and not fuller.
        let later = now.plus(100 * SECOND);
        assert!((0..3).all(|_| bucket.take(rate, later)));
        assert!(!bucket.take(rate, later));
    }
}
