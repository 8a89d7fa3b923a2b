//! Whose turn it is among what one peer asks: the more urgent first, with a part
//! kept free for the rest; and among logs that are equally urgent, each in turn
//! (deficit round robin, Shreedhar and Varghese 1995).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::Priority;
use crate::id::LogId;
use crate::limits::{DELIVERY_BYTES, RESERVED_PART};

/// Bytes that a log may send in a row before it is the next one's turn, and that
/// a less urgent class saves up before it comes first once: one delivery.
const QUANTUM: i64 = DELIVERY_BYTES as i64;

const CLASSES: [Priority; 3] = [Priority::User, Priority::Live, Priority::History];

/// The state of all turns of one peer.
#[derive(Debug, Default)]
pub(super) struct Turns {
    classes: BTreeMap<Priority, Class>,
}

#[derive(Debug, Default)]
struct Class {
    /// What each log that waits may still send in this round; what it sent too
    /// much is owed.
    deficits: BTreeMap<LogId, i64>,
    /// The log that has its turn.
    current: Option<LogId>,
    /// What this class has saved up while more urgent ones were served.
    saved: i64,
}

impl Turns {
    /// The class and log that are served next, of those that have something to
    /// send.
    pub(super) fn next(
        &mut self,
        ready: &BTreeSet<(Priority, LogId)>,
    ) -> Option<(Priority, LogId)> {
        for (priority, class) in &mut self.classes {
            let is_ready = |log: LogId| ready.contains(&(*priority, log));
            class.deficits.retain(|&log, _| is_ready(log));
            if class.deficits.is_empty() {
                // Nothing is saved up for later.
                *class = Class::default();
            }
        }
        for &(priority, log) in ready {
            let class = self.classes.entry(priority).or_default();
            class.deficits.entry(log).or_insert(0);
        }
        let waits = |priority: &&Priority| ready.iter().any(|(of, _)| of == *priority);
        let is_due = |priority: &&Priority| self.classes[*priority].saved >= QUANTUM;
        let waiting = || CLASSES.iter().filter(waits);
        // The least urgent of those that have waited long enough.
        let priority = waiting().rev().find(is_due).or_else(|| waiting().next())?;
        let log = self.classes.get_mut(priority)?.next()?;
        Some((*priority, log))
    }

    /// Notes what the class and log have sent whose turn it was.
    pub(super) fn sent(&mut self, priority: Priority, log: LogId, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let above = (Bound::Excluded(priority), Bound::Unbounded);
        let is_before_its_turn =
            (self.classes.range(above)).any(|(_, class)| !class.deficits.is_empty());
        for (&other, class) in &mut self.classes {
            if other < priority && !class.deficits.is_empty() {
                class.saved = class.saved.saturating_add(bytes / RESERVED_PART);
            } else if other == priority {
                // A frame may be more than was saved: the rest is owed.
                if is_before_its_turn {
                    class.saved = class.saved.saturating_sub(bytes);
                }
                if let Some(deficit) = class.deficits.get_mut(&log) {
                    *deficit = deficit.saturating_sub(bytes);
                }
            }
        }
    }
}

impl Class {
    /// The log that may send: the current one as long as it may, then the next
    /// one that may after it has got its quantum. A frame has a few quanta at
    /// most, so that this ends after as many rounds.
    fn next(&mut self) -> Option<LogId> {
        if let Some(current) = self.current
            && self.deficits.get(&current).is_some_and(|&left| left > 0)
        {
            return Some(current);
        }
        loop {
            let after = self.current.and_then(|current| {
                let after = (Bound::Excluded(current), Bound::Unbounded);
                self.deficits.range(after).next().map(|(&log, _)| log)
            });
            let next = after.or_else(|| self.deficits.keys().next().copied())?;
            self.current = Some(next);
            let deficit = self.deficits.get_mut(&next)?;
            *deficit = (*deficit + QUANTUM).min(QUANTUM);
            if *deficit > 0 {
                return Some(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_CHUNK_BYTES;
    use proptest::prelude::*;

    fn log(n: u8) -> LogId {
        LogId::of_manifest(&[n])
    }

    /// Bytes that each of those that are always ready has sent, after frames of
    /// these sizes.
    fn shares(
        ready: &[(Priority, LogId)],
        frames: usize,
        mut size: impl FnMut(LogId) -> usize,
    ) -> BTreeMap<(Priority, LogId), usize> {
        let ready = ready.iter().copied().collect();
        let mut turns = Turns::default();
        let mut sent = BTreeMap::new();
        for _ in 0..frames {
            let (priority, log) = turns.next(&ready).expect("something is ready");
            let bytes = size(log);
            turns.sent(priority, log, bytes);
            *sent.entry((priority, log)).or_default() += bytes;
        }
        sent
    }

    #[test]
    fn the_more_urgent_comes_first_and_the_rest_is_not_forgotten() {
        let (user, live, history) = (Priority::User, Priority::Live, Priority::History);
        let sent = shares(&[(live, log(1)), (history, log(1))], 1_000, |_| 100_000);
        let part = sent[&(live, log(1))] / sent[&(history, log(1))];
        assert!((15..=17).contains(&part), "{part}");
        let all = [(user, log(1)), (live, log(2)), (history, log(3))];
        let sent = shares(&all, 1_000, |_| 100_000);
        for lower in &all[1..] {
            let part = sent[&all[0]] / sent[lower];
            assert!((13..=17).contains(&part), "{part}");
        }
    }

    #[test]
    fn what_comes_before_its_turn_is_no_more_for_being_large() {
        let (live, history) = (Priority::Live, Priority::History);
        let ready = [(live, log(1)), (history, log(2))];
        let sent = shares(&ready, 3_000, |_| 2 * DELIVERY_BYTES - 1_000);
        let part = sent[&ready[0]] / sent[&ready[1]];
        assert!((15..=17).contains(&part), "{part}");
    }

    #[test]
    fn what_nobody_waited_for_is_not_saved_up() {
        let mut turns = Turns::default();
        let live: BTreeSet<_> = [(Priority::Live, log(1))].into();
        for _ in 0..100 {
            turns.next(&live);
            turns.sent(Priority::Live, log(1), 1 << 20);
        }
        let both = [(Priority::Live, log(1)), (Priority::History, log(1))].into();
        assert_eq!(turns.next(&both), Some((Priority::Live, log(1))));
    }

    proptest! {
        #[test]
        fn logs_that_wait_get_the_same_whatever_the_size_of_their_frames(
            sizes in prop::collection::vec(1_000..MAX_CHUNK_BYTES, 2..6),
        ) {
            let ready: Vec<_> = (0..sizes.len() as u8).map(|n| (Priority::Live, log(n))).collect();
            let of = |wanted: LogId| {
                let place = ready.iter().position(|(_, log)| *log == wanted).unwrap();
                sizes[place]
            };
            let sent = shares(&ready, 3_000, of);
            let shares: Vec<_> = ready.iter().map(|one| sent.get(one).copied().unwrap_or(0)).collect();
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            // No more apart than a quantum and a frame each.
            let apart = 2 * (MAX_CHUNK_BYTES + DELIVERY_BYTES);
            prop_assert!(most - least <= apart, "{:?}", shares);
        }
    }
}
