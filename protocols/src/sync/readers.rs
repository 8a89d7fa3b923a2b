//! How much each peer makes us read and prove. What is delivered is paced by
//! whoever takes it; the work of an offer is not, and a peer that asks for one
//! record of each chunk again and again would have us hash everything.

use std::collections::BTreeMap;

use libp2p_identity::PeerId;

use crate::bucket::Bucket;
use crate::limits::{MAX_COUNTED_READERS, READ_ALLOWANCE, READ_UNIT_BYTES};
use crate::time::Timestamp;

/// What peers may still make us read. It outlives their connections, so that
/// nobody is given more for connecting again.
#[derive(Debug, Default)]
pub(super) struct Readers {
    buckets: BTreeMap<PeerId, Bucket>,
}

impl Readers {
    /// Whether a peer may ask for something that has to be read.
    pub(super) fn may_ask(&self, peer: PeerId, now: Timestamp) -> bool {
        let bucket = self.buckets.get(&peer);
        bucket.is_none_or(|bucket| bucket.next(READ_ALLOWANCE) <= now)
    }

    /// Counts what a peer made us do. It is known only afterwards, so that the
    /// last piece of it may be owed.
    pub(super) fn charge(&mut self, peer: PeerId, work: Work, now: Timestamp) {
        if !self.buckets.contains_key(&peer) && self.buckets.len() >= MAX_COUNTED_READERS {
            self.forget_one(now);
        }
        let bucket = self.buckets.entry(peer).or_default();
        bucket.charge(work.units(), READ_ALLOWANCE, now);
    }

    /// Forgets those that owe nothing, or else the one that owes least.
    fn forget_one(&mut self, now: Timestamp) {
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
        if self.buckets.len() >= MAX_COUNTED_READERS {
            let least = |bucket: &Bucket| bucket.next(READ_ALLOWANCE);
            let least = self.buckets.iter().min_by_key(|(_, bucket)| least(bucket));
            if let Some((&peer, _)) = least {
                self.buckets.remove(&peer);
            }
        }
    }
}

/// What an answer takes beside its deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Subtrees that are offered, each looked up.
    pub nodes: usize,
    /// Bytes of chunks that are read and hashed because only a part of them is
    /// offered.
    pub bytes: u64,
}

impl Work {
    /// Looking up 16 nodes takes about as long as reading a unit.
    fn units(self) -> u64 {
        1 + self.nodes as u64 / 16 + self.bytes / READ_UNIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::another_peer;

    #[test]
    fn a_peer_that_makes_us_read_too_much_waits_and_others_do_not() {
        let mut readers = Readers::default();
        let (greedy, other) = (another_peer(), another_peer());
        let (every_us, burst) = READ_ALLOWANCE;
        let now = Timestamp(0);
        let work = Work {
            nodes: 128,
            bytes: 128 * READ_UNIT_BYTES,
        };
        let mut asked = 0;
        while readers.may_ask(greedy, now) {
            readers.charge(greedy, work, now);
            asked += 1;
        }
        assert_eq!(asked, burst / work.units() + 1);
        assert!(readers.may_ask(other, now));
        // What was owed is worked off first.
        assert!(!readers.may_ask(greedy, now.plus(every_us)));
        assert!(readers.may_ask(greedy, now.plus(every_us * work.units())));
    }

    #[test]
    fn a_flood_of_peers_stays_within_the_bound_and_the_greedy_are_remembered() {
        let mut readers = Readers::default();
        let greedy = another_peer();
        let now = Timestamp(0);
        let much = Work {
            nodes: 0,
            bytes: READ_UNIT_BYTES * READ_ALLOWANCE.1,
        };
        readers.charge(greedy, much, now);
        for _ in 0..MAX_COUNTED_READERS + 10 {
            readers.charge(another_peer(), Work::default(), now);
        }
        assert_eq!(readers.buckets.len(), MAX_COUNTED_READERS);
        assert!(!readers.may_ask(greedy, now));
    }
}
