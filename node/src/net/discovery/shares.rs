//! Whose entries fill a store, by where they come from: what has to go is taken
//! from whoever has most, so that a flood from one address pushes out itself.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::super::origin::Origin;

/// The ages of entries by their origin. A greater age is a younger entry.
#[derive(Debug, Default)]
pub(super) struct Shares {
    ages: BTreeMap<Origin, BTreeSet<u64>>,
    /// The largest share last; of those that are equal the one with the oldest
    /// entry.
    by_size: BTreeSet<(usize, Reverse<u64>, Origin)>,
}

impl Shares {
    pub(super) fn insert(&mut self, origin: Origin, age: u64) {
        self.change(origin, |ages| {
            ages.insert(age);
        });
    }

    pub(super) fn remove(&mut self, origin: Origin, age: u64) {
        self.change(origin, |ages| {
            ages.remove(&age);
        });
    }

    /// The entry that goes first: the oldest one of the largest share.
    pub(super) fn first_to_go(&self) -> Option<u64> {
        self.by_size.last().map(|(_, Reverse(oldest), _)| *oldest)
    }

    fn change(&mut self, origin: Origin, change: impl FnOnce(&mut BTreeSet<u64>)) {
        let ages = self.ages.entry(origin).or_default();
        if let Some(&oldest) = ages.first() {
            self.by_size.remove(&(ages.len(), Reverse(oldest), origin));
        }
        change(ages);
        match ages.first() {
            Some(&oldest) => {
                self.by_size.insert((ages.len(), Reverse(oldest), origin));
            }
            None => {
                self.ages.remove(&origin);
            }
        }
    }
}

/// Of entries of one key, given with their origin and age, the one that goes
/// for one more of `newcomer`.
pub(super) fn first_to_go(
    entries: impl Iterator<Item = (Origin, u64)>,
    newcomer: Origin,
) -> Option<u64> {
    let mut shares: BTreeMap<Origin, (usize, u64)> = BTreeMap::new();
    for (origin, age) in entries {
        let (count, oldest) =
            (shares.entry(origin)).or_insert((usize::from(origin == newcomer), age));
        *count += 1;
        *oldest = age.min(*oldest);
    }
    let largest = (shares.into_values()).max_by_key(|&(count, oldest)| (count, Reverse(oldest)));
    largest.map(|(_, oldest)| oldest)
}

/// Puts entries in the order in which they are told: the youngest of each
/// origin before the second youngest of any, so that one origin cannot fill a
/// reply that carries only some of them.
pub(super) fn in_turn<T>(
    mut entries: Vec<T>,
    origin_and_age: impl Fn(&T) -> (Origin, u64),
) -> Vec<T> {
    entries.sort_unstable_by_key(|entry| Reverse(origin_and_age(entry).1));
    let mut told: BTreeMap<Origin, usize> = BTreeMap::new();
    let mut turns: Vec<(usize, T)> = (entries.into_iter())
        .map(|entry| {
            let turn = told.entry(origin_and_age(&entry).0).or_default();
            *turn += 1;
            (*turn, entry)
        })
        .collect();
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, entry)| entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(number: u32) -> Origin {
        Origin::V4(number.into())
    }

    #[test]
    fn what_goes_is_the_oldest_of_whoever_has_most() {
        let mut shares = Shares::default();
        for (number, age) in [(1, 0), (1, 1), (2, 2), (2, 3), (2, 4), (3, 5)] {
            shares.insert(origin(number), age);
        }
        assert_eq!(shares.first_to_go(), Some(2));
        shares.remove(origin(2), 2);
        // Two shares are equal: the one with the oldest entry goes.
        assert_eq!(shares.first_to_go(), Some(0));
        for (number, age) in [(1, 0), (1, 1), (2, 3), (2, 4), (3, 5)] {
            shares.remove(origin(number), age);
        }
        assert_eq!(shares.first_to_go(), None);
        assert!(shares.ages.is_empty() && shares.by_size.is_empty());
    }

    #[test]
    fn a_newcomer_takes_the_place_of_its_own_kind_first() {
        let entries = [(origin(1), 0), (origin(2), 1), (origin(3), 2)];
        let goes = |newcomer| first_to_go(entries.into_iter(), origin(newcomer));
        assert_eq!(goes(3), Some(2));
        assert_eq!(goes(4), Some(0));
    }

    #[test]
    fn each_origin_is_told_in_its_turn() {
        let entries = vec![
            (origin(1), 0),
            (origin(2), 1),
            (origin(2), 2),
            (origin(2), 3),
        ];
        let told = in_turn(entries, |entry| *entry);
        let ages: Vec<u64> = told.into_iter().map(|(_, age)| age).collect();
        assert_eq!(ages, [3, 0, 2, 1]);
    }
}
