//! How often new connections come from one address.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::limits::{MAX_METERED_ORIGINS, RECONNECT_ALL};
use super::origin::Origin;

/// A token bucket for each address. Full it holds twice the connections that an
/// address may have, so that all of them may be lost and made anew at once; it
/// fills at the rate of all of them in [`RECONNECT_ALL`].
///
/// What is kept of a bucket is when it will be full again (the generic cell
/// rate algorithm), so that a full one need not be kept at all.
#[derive(Debug)]
pub(super) struct NewcomerRates {
    /// A token comes back after this long.
    token: Duration,
    /// How long an empty bucket takes to fill.
    fill: Duration,
    full_at: HashMap<Origin, Instant>,
}

impl NewcomerRates {
    /// For addresses that may have this many connections each.
    pub(super) fn new(per_ip: u32) -> Self {
        let token = RECONNECT_ALL / per_ip.max(1);
        Self {
            token,
            fill: RECONNECT_ALL * 2,
            full_at: HashMap::new(),
        }
    }

    /// Takes a token; `false` when there is none.
    pub(super) fn admit(&mut self, origin: Origin, now: Instant) -> bool {
        let full_at = self.full_at.get(&origin).copied();
        let full_at = full_at.unwrap_or(now).max(now) + self.token;
        if full_at.duration_since(now) > self.fill {
            return false;
        }
        if self.full_at.len() >= MAX_METERED_ORIGINS {
            self.forget(now);
        }
        self.full_at.insert(origin, full_at);
        true
    }

    /// Forgets the buckets that are full. Whoever has so many addresses that
    /// few of them are is not held by their rates, only by the other limits;
    /// all are forgotten then, so that this does not have to be done often.
    fn forget(&mut self, now: Instant) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() > MAX_METERED_ORIGINS / 2 {
            self.full_at.clear();
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
        let at_once = (0..100).filter(|_| rates.admit(origin(1), now)).count();
        assert_eq!(at_once, 20);
        assert!(rates.admit(origin(2), now), "another address is free");
        now += RECONNECT_ALL;
        let later = (0..100).filter(|_| rates.admit(origin(1), now)).count();
        assert_eq!(later, 10);
        now += RECONNECT_ALL * 5;
        let rested = (0..100).filter(|_| rates.admit(origin(1), now)).count();
        assert_eq!(rested, 20);
    }

    #[test]
    fn however_many_addresses_come_few_are_remembered() {
        let mut rates = NewcomerRates::new(10);
        let now = Instant::now();
        for number in 0..100_000 {
            assert!(rates.admit(origin(number), now));
            assert!(rates.full_at.len() <= MAX_METERED_ORIGINS);
        }
    }

    #[test]
    fn a_bucket_that_is_not_full_outlives_those_that_are() {
        let mut rates = NewcomerRates::new(10);
        let now = Instant::now();
        for number in 1..MAX_METERED_ORIGINS {
            rates.admit(origin(u32::try_from(number).unwrap()), now);
        }
        let later = now + RECONNECT_ALL;
        while rates.admit(origin(0), later) {}
        assert!(rates.admit(origin(u32::MAX), later));
        assert_eq!(rates.full_at.len(), 2);
        assert!(!rates.admit(origin(0), later));
    }
}
