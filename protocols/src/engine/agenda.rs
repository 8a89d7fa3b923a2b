//! Who is due when. Asking for the next one costs the same with one stream and
//! with ten thousand.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Timestamp;

/// At most one point in time for each key.
#[derive(Debug)]
pub(super) struct Agenda<K> {
    times: BTreeMap<K, Timestamp>,
    due: BTreeSet<(Timestamp, K)>,
}

impl<K> Default for Agenda<K> {
    fn default() -> Self {
        Self {
            times: BTreeMap::new(),
            due: BTreeSet::new(),
        }
    }
}

impl<K: Copy + Ord> Agenda<K> {
    /// Sets when a key is due, or that it is not.
    pub(super) fn set(&mut self, key: K, at: Option<Timestamp>) {
        let before = match at {
            Some(at) => self.times.insert(key, at),
            None => self.times.remove(&key),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.due.remove(&(before, key));
        }
        if let Some(at) = at {
            self.due.insert((at, key));
        }
    }

    /// When the next key is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|&(at, _)| at)
    }

    /// The keys that are due, the one that has waited longest first.
    pub(super) fn due(&self, now: Timestamp) -> Vec<K> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        due.map(|&(_, key)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_due_once_at_the_time_that_was_set_last() {
        let mut agenda = Agenda::default();
        assert_eq!(agenda.next(), None);
        agenda.set('a', Some(Timestamp(5)));
        agenda.set('b', Some(Timestamp(3)));
        agenda.set('a', Some(Timestamp(7)));
        assert_eq!(agenda.next(), Some(Timestamp(3)));
        assert_eq!(agenda.due(Timestamp(6)), ['b']);
        assert_eq!(agenda.due(Timestamp(7)), ['b', 'a']);
        agenda.set('b', None);
        agenda.set('b', None);
        assert_eq!(agenda.due(Timestamp(9)), ['a']);
        agenda.set('a', None);
        assert_eq!(agenda.next(), None);
    }
}
