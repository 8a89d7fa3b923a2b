//! A rate limit of new connections from one address.

use std::collections::HashMap;
use std::time::Instant;

use headwater_protocols::bucket::Bucket;
use headwater_protocols::time::Timestamp;

use super::limits::{MAX_METERED_ORIGINS, RECONNECT_ALL};
use super::origin::Origin;

/// A token bucket for each address. Full it holds twice the connections that an
/// address may have, so that all of them may be lost and made anew at once; it
/// fills at the rate of all of them in [`RECONNECT_ALL`].
///
/// No `Buckets`, which let nobody in who is not known while they are full of others, or
/// look for the least of them: a flood of addresses must lock nobody out here, nor cost
/// more than a connection does.
#[derive(Debug)]
pub(super) struct NewcomerRates {
    /// Microseconds in which a token comes back, and how many fit in.
    rate: (u64, u64),
    /// What times are counted from.
    began: Instant,
    buckets: HashMap<Origin, Bucket>,
}

impl NewcomerRates {
    /// For addresses that may have this many connections each.
    pub(super) fn new(per_ip: u32) -> Self {
        let per_ip = u64::from(per_ip.max(1));
        let all = u64::try_from(RECONNECT_ALL.as_micros()).unwrap_or(u64::MAX);
        Self {
            rate: (all / per_ip, 2 * per_ip),
            began: Instant::now(),
            buckets: HashMap::new(),
        }
    }

    /// Whether there is a token. It is left where it is.
    pub(super) fn has_one(&self, origin: Origin, now: Instant) -> bool {
        let bucket = self.buckets.get(&origin);
        bucket.is_none_or(|bucket| bucket.next(self.rate) <= self.timestamp(now))
    }

    /// Takes a token; `false` when there is none.
    pub(super) fn take(&mut self, origin: Origin, now: Instant) -> bool {
        let now = self.timestamp(now);
        let mut bucket = self.buckets.get(&origin).copied().unwrap_or_default();
        if !bucket.take(self.rate, now) {
            return false;
        }
        if self.buckets.len() >= MAX_METERED_ORIGINS {
            self.forget(now);
        }
        self.buckets.insert(origin, bucket);
        true
    }

    fn timestamp(&self, now: Instant) -> Timestamp {
        let since = now.saturating_duration_since(self.began).as_micros();
        Timestamp(i64::try_from(since).unwrap_or(i64::MAX))
    }

    /// Forgets the buckets that are full. Whoever has so many addresses that
    /// few of them are is not held by their rates, only by the other limits;
    /// all are forgotten then, so that this does not have to be done often.
    fn forget(&mut self, now: Timestamp) {
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
        if self.buckets.len() > MAX_METERED_ORIGINS / 2 {
            self.buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(number: u32) -> Origin {
        Origin::V4(number.into())
    }

    #[test]
    fn an_address_connects_twice_as_often_as_it_may_stay_and_then_at_a_steady_rate() {
        let mut rates = NewcomerRates::new(10);
        let mut now = Instant::now();
        let at_once = (0..100).filter(|_| rates.take(origin(1), now)).count();
        assert_eq!(at_once, 20);
        assert!(rates.take(origin(2), now), "another address is free");
        now += RECONNECT_ALL;
        let later = (0..100).filter(|_| rates.take(origin(1), now)).count();
        assert_eq!(later, 10);
        now += RECONNECT_ALL * 5;
        let rested = (0..100).filter(|_| rates.take(origin(1), now)).count();
        assert_eq!(rested, 20);
        assert!(!rates.has_one(origin(1), now) && rates.has_one(origin(3), now));
    }

    #[test]
    fn however_many_addresses_come_few_are_remembered() {
        let mut rates = NewcomerRates::new(10);
        let now = Instant::now();
        for number in 0..100_000 {
            assert!(rates.take(origin(number), now));
            assert!(rates.buckets.len() <= MAX_METERED_ORIGINS);
        }
    }

    #[test]
    fn a_bucket_that_is_not_full_outlives_those_that_are() {
        let mut rates = NewcomerRates::new(10);
        let now = Instant::now();
        for number in 1..MAX_METERED_ORIGINS {
            rates.take(origin(u32::try_from(number).unwrap()), now);
        }
        let later = now + RECONNECT_ALL;
        while rates.take(origin(0), later) {}
        assert!(rates.take(origin(u32::MAX), later));
        assert_eq!(rates.buckets.len(), 2);
        assert!(!rates.take(origin(0), later));
    }
}
