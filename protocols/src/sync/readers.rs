//! A rate limit of what each peer makes us read and prove. What is delivered is paced
//! by whoever takes it; the work of an offer is not, and a peer that asks for one
//! record of each chunk again and again would have us hash everything. Nor is that of a
//! question which is refused.

use libp2p_identity::PeerId;

use crate::bucket::Buckets;
use crate::limits::{
    MAX_COUNTED_READERS, MAX_FLOOD_UNITS, MAX_OWED_UNITS, QUESTION_UNITS, READ_ALLOWANCE,
    READ_ALLOWANCE_OF_PLACE, READ_UNIT_BYTES,
};
use crate::store::{History, Store};
use crate::time::Timestamp;

/// A peer, and where it is, if that is known.
pub(super) type Reader = (PeerId, Option<u64>);

/// What peers may still make us read. It outlives their connections, so that
/// nobody is given more for connecting again.
#[derive(Debug)]
pub(super) struct Readers {
    peers: Allowances<PeerId>,
    places: Allowances<u64>,
}

impl Default for Readers {
    fn default() -> Self {
        Self {
            peers: Allowances::new(READ_ALLOWANCE),
            places: Allowances::new(READ_ALLOWANCE_OF_PLACE),
        }
    }
}

impl Readers {
    /// Whether a peer may ask for something that has to be read.
    pub(super) fn may_ask(&self, (peer, place): Reader, now: Timestamp) -> bool {
        self.peers.has_one(peer, now) && place.is_none_or(|place| self.places.has_one(place, now))
    }

    /// Whether a peer may ask for something that costs little.
    pub(super) fn may_ask_little(&self, (peer, place): Reader, now: Timestamp) -> bool {
        let owes_little = |owed| owed <= MAX_OWED_UNITS;
        owes_little(self.peers.owed(peer, now))
            && place.is_none_or(|place| owes_little(self.places.owed(place, now)))
    }

    /// Whether a peer has gone on although it was told to wait.
    pub(super) fn floods(&self, (peer, _): Reader, now: Timestamp) -> bool {
        self.peers.owed(peer, now) > MAX_FLOOD_UNITS
    }

    /// Counts what a peer made us do. It is known only afterwards, so that the
    /// last piece of it may be owed.
    pub(super) fn charge(&mut self, (peer, place): Reader, work: Work, now: Timestamp) {
        self.peers.charge(peer, work.units(), now);
        if let Some(place) = place {
            self.places.charge(place, work.units(), now);
        }
    }

    /// Gives back what nodes have cost that were not looked up in vain.
    pub(super) fn give_back(&mut self, (peer, place): Reader, nodes: usize) {
        self.peers.give_back(peer, nodes as u64);
        if let Some(place) = place {
            self.places.give_back(place, nodes as u64);
        }
    }
}

/// What each of them may make us read, and has made us.
#[derive(Debug)]
struct Allowances<K> {
    rate: (u64, u64),
    buckets: Buckets<K>,
}

impl<K: Ord + Copy> Allowances<K> {
    fn new(rate: (u64, u64)) -> Self {
        Self {
            rate,
            buckets: Buckets::new(MAX_COUNTED_READERS),
        }
    }

    fn has_one(&self, key: K, now: Timestamp) -> bool {
        self.buckets.of(key).has_one(self.rate, now)
    }

    fn owed(&self, key: K, now: Timestamp) -> u64 {
        self.buckets.of(key).owed(self.rate, now)
    }

    fn charge(&mut self, key: K, units: u64, now: Timestamp) {
        self.buckets.charge(key, units, self.rate, now);
    }

    fn give_back(&mut self, key: K, units: u64) {
        self.buckets.give_back(key, units, self.rate);
    }
}

/// What an answer takes beside its deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Questions that are answered, if only with a refusal.
    pub questions: usize,
    /// Nodes of the tree that are looked up.
    pub nodes: usize,
    /// Bytes of records that are read and perhaps hashed for something else than to
    /// be delivered, or of frames that nobody asked for.
    pub bytes: u64,
}

impl std::ops::Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            questions: self.questions + other.questions,
            nodes: self.nodes + other.nodes,
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl Work {
    /// A question, before anything is looked up for it.
    pub const QUESTION: Self = Self {
        questions: 1,
        nodes: 0,
        bytes: 0,
    };

    /// What a history has been read for so far.
    #[must_use]
    pub fn of<S: Store + ?Sized>(history: &History<'_, S>) -> Self {
        Self {
            questions: 0,
            nodes: history.nodes_read(),
            bytes: history.bytes_read(),
        }
    }

    /// Nodes that were looked up.
    #[must_use]
    pub fn nodes(nodes: usize) -> Self {
        Self {
            nodes,
            ..Self::default()
        }
    }

    /// Bytes that were read, or came unasked.
    #[must_use]
    pub fn bytes(bytes: u64) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    fn units(self) -> u64 {
        self.questions as u64 * QUESTION_UNITS
            + self.nodes as u64
            + self.bytes.div_ceil(READ_UNIT_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::another_peer;

    #[test]
    fn a_peer_that_makes_us_read_too_much_waits_and_others_do_not() {
        let mut readers = Readers::default();
        let (greedy, other) = ((another_peer(), None), (another_peer(), None));
        let (every_us, burst) = READ_ALLOWANCE;
        let now = Timestamp(0);
        let work = Work {
            questions: 1,
            nodes: 128,
            bytes: 128 * READ_UNIT_BYTES,
        };
        let mut asked = 0;
        while readers.may_ask(greedy, now) {
            readers.charge(greedy, work, now);
            asked += 1;
        }
        assert_eq!(asked, burst.div_ceil(work.units()));
        assert!(readers.may_ask(other, now));
        assert!(readers.may_ask_little(greedy, now));
        // What was owed is worked off first.
        assert!(!readers.may_ask(greedy, now.plus(every_us)));
        assert!(readers.may_ask(greedy, now.plus(every_us * work.units())));
    }

    #[test]
    fn what_is_taken_was_not_looked_up_in_vain() {
        let mut readers = Readers::default();
        let reader = (another_peer(), Some(1));
        let now = Timestamp(0);
        let pages = 100 * READ_ALLOWANCE_OF_PLACE.1 / 168;
        for _ in 0..pages.min(READ_ALLOWANCE.1 / QUESTION_UNITS) {
            readers.charge(reader, Work::nodes(168), now);
            readers.give_back(reader, 168);
            assert!(readers.may_ask(reader, now));
        }
    }

    #[test]
    fn many_peers_at_one_place_are_given_no_more_than_a_few() {
        let mut readers = Readers::default();
        let now = Timestamp(0);
        let mut units = 0;
        for _ in 0..64 {
            let peer = (another_peer(), Some(7));
            while readers.may_ask(peer, now) {
                readers.charge(peer, Work::nodes(1_000), now);
                units += 1_000;
            }
        }
        assert!(units <= READ_ALLOWANCE_OF_PLACE.1 + 1_000, "{units}");
        assert!(readers.may_ask((another_peer(), Some(8)), now));
    }

    #[test]
    fn who_goes_on_asking_although_it_is_refused_is_found_out() {
        let mut readers = Readers::default();
        let peer = (another_peer(), None);
        let (every_us, burst) = READ_ALLOWANCE;
        let mut now = Timestamp(0);
        readers.charge(peer, Work::nodes(burst as usize), now);
        // One that waits a while after each refusal is left alone.
        for _ in 0..10 * MAX_FLOOD_UNITS {
            now = now.plus(every_us * QUESTION_UNITS);
            readers.charge(peer, Work::QUESTION, now);
        }
        assert!(!readers.floods(peer, now));
        let mut refused = 0;
        while !readers.floods(peer, now) {
            readers.charge(peer, Work::QUESTION, now);
            refused += 1;
        }
        assert!((1..=MAX_FLOOD_UNITS / QUESTION_UNITS + 1).contains(&refused));
        assert!(!readers.may_ask_little(peer, now));
    }

    #[test]
    fn a_flood_of_peers_stays_within_the_bound_and_the_greedy_are_remembered() {
        let mut readers = Readers::default();
        let greedy = (another_peer(), None);
        let now = Timestamp(0);
        let much = Work::bytes(READ_UNIT_BYTES * READ_ALLOWANCE.1);
        readers.charge(greedy, much, now);
        for _ in 0..MAX_COUNTED_READERS + 10 {
            readers.charge((another_peer(), None), Work::QUESTION, now);
        }
        assert_eq!(readers.peers.buckets.len(), MAX_COUNTED_READERS);
        assert!(!readers.may_ask(greedy, now));
    }
}
