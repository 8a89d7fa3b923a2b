//! Token buckets of many, of whom nobody knows how many there will be: a rate limit for
//! each of them.

use std::collections::BTreeMap;

use super::Bucket;
use crate::time::Timestamp;

/// Those that are full again are looked for once in so many microseconds at most: a
/// flood of new keys would have all of them looked through for each.
const SWEEP_US: u64 = 1_000_000;

/// A bucket for each key that took something lately, within a bound. A key that has
/// none has a full one.
#[derive(Debug)]
pub struct Buckets<K> {
    most: usize,
    buckets: BTreeMap<K, Bucket>,
    /// When those that are full may be looked for.
    sweep_at: Timestamp,
}

impl<K: Ord + Copy> Buckets<K> {
    /// Keeps at most so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            buckets: BTreeMap::new(),
            sweep_at: Timestamp(i64::MIN),
        }
    }

    /// That of a key, as it stands.
    #[must_use]
    pub fn of(&self, key: K) -> Bucket {
        self.buckets.get(&key).copied().unwrap_or_default()
    }

    /// Takes a token of each of these keys, or none at all: `false` where one has
    /// none, or would have to be kept and there is no room.
    pub fn take<const N: usize>(&mut self, keys: [(K, (u64, u64)); N], now: Timestamp) -> bool {
        let unknown = keys
            .iter()
            .filter(|(key, _)| !self.buckets.contains_key(key));
        if !self.has_room(unknown.count(), now) {
            return false;
        }
        let mut taken = keys.map(|(key, rate)| (key, rate, self.of(key)));
        if !taken
            .iter_mut()
            .all(|(_, rate, bucket)| bucket.take(*rate, now))
        {
            return false;
        }
        let taken = taken.into_iter().map(|(key, _, bucket)| (key, bucket));
        self.buckets.extend(taken);
        true
    }

    /// Takes tokens whether they are there or not. Where there is no room, whoever
    /// owes least is forgotten.
    pub fn charge(&mut self, key: K, tokens: u64, rate: (u64, u64), now: Timestamp) {
        if !self.buckets.contains_key(&key) && !self.has_room(1, now) {
            let least = self
                .buckets
                .iter()
                .min_by_key(|(_, bucket)| bucket.next(rate));
            if let Some((&least, _)) = least {
                self.buckets.remove(&least);
            }
        }
        let bucket = self.buckets.entry(key).or_default();
        bucket.charge(tokens, rate, now);
    }

    /// Gives back tokens that a key was charged for what was not done.
    pub fn give_back(&mut self, key: K, tokens: u64, rate: (u64, u64)) {
        if let Some(bucket) = self.buckets.get_mut(&key) {
            bucket.give_back(tokens, rate);
        }
    }

    /// Whether so many more can be kept, if need be without those that are full.
    fn has_room(&mut self, more: usize, now: Timestamp) -> bool {
        if self.buckets.len() + more > self.most && self.sweep_at <= now {
            self.sweep_at = now.plus(SWEEP_US);
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        self.buckets.len() + more <= self.most
    }

    /// How many are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const RATE: (u64, u64) = (SECOND, 2);

    #[test]
    fn of_several_keys_all_give_a_token_or_none() {
        let mut buckets = Buckets::new(10);
        let now = Timestamp(0);
        assert!(buckets.take([(1, RATE)], now) && buckets.take([(1, RATE)], now));
        assert!(!buckets.take([(2, RATE), (1, RATE)], now));
        assert!(buckets.take([(2, RATE)], now) && buckets.take([(2, RATE)], now));
        assert!(!buckets.take([(2, RATE)], now));
    }

    #[test]
    fn without_room_those_that_are_full_are_forgotten_and_nobody_else() {
        let mut buckets = Buckets::new(3);
        let now = Timestamp(0);
        assert!((0..3).all(|key| buckets.take([(key, RATE)], now)));
        assert!(!buckets.take([(3, RATE)], now));
        assert!(buckets.take([(2, RATE)], now), "who is known is served");
        let later = now.plus(SECOND);
        assert!(buckets.take([(3, RATE)], later));
        assert_eq!(buckets.len(), 2);
        assert!(buckets.take([(2, RATE)], later) && !buckets.take([(2, RATE)], later));
    }

    #[test]
    fn whoever_owes_least_makes_room_for_one_that_is_charged() {
        let mut buckets = Buckets::new(2);
        let now = Timestamp(0);
        buckets.charge(1, 50, RATE, now);
        buckets.charge(2, 5, RATE, now);
        buckets.charge(3, 20, RATE, now);
        let owed = [1, 2, 3].map(|key| buckets.of(key).owed(RATE, now));
        assert_eq!(owed, [48, 0, 18]);
    }
}
