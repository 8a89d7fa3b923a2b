//! What a node that hears joins remembers of them: which of them it will answer
//! and when, how many offers they got already, and its own offers that may
//! still be accepted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use libp2p_identity::PeerId;

use super::{Join, RendezvousKey};
use crate::id::LogId;
use crate::limits::{
    JOIN_MEMORY_US, MAX_ACCEPTS_PER_JOIN, MAX_OFFERS_PER_JOIN, MAX_OPEN_OFFERS,
    MAX_REMEMBERED_JOINS, OFFER_DELAY_US, WANTED_OFFERS,
};
use crate::sealed::{OpeningKey, SealingKey};
use crate::time::Timestamp;

/// A join that was heard.
#[derive(Clone, Debug)]
pub struct HeardJoin {
    /// The stream.
    pub log: LogId,
    /// Who said it.
    pub joiner: PeerId,
    /// What it said.
    pub join: Join,
    /// Who has offered something.
    offerers: BTreeSet<PeerId>,
    accepts: u32,
    answer_at: Option<Timestamp>,
}

impl HeardJoin {
    /// Whether it has got as many offers as it is to get. A joiner that asks
    /// again was not helped by them, so that more are made.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.offerers.len() as u64 >= u64::from(WANTED_OFFERS) * u64::from(self.join.attempt + 1)
    }
}

/// An offer of ours that may still be accepted.
#[derive(Clone, Debug)]
pub struct MadeOffer {
    /// The stream.
    pub log: LogId,
    /// To whom it was made.
    pub joiner: PeerId,
    /// Opens the acceptance.
    pub key: OpeningKey,
    /// The one of the offer.
    pub rendezvous_key: RendezvousKey,
}

/// How many in a thousand listeners answer a join: `percent` at the first
/// attempt, doubled at each one, and so many fewer the more of them there are
/// that [`WANTED_OFFERS`] are to be expected.
#[must_use]
pub fn chance_per_mille(percent: u32, attempt: u32, audience: usize) -> u64 {
    let percent = (u64::from(percent) << attempt.min(7)).min(100);
    let audience = (audience as u64).max(1);
    // Twice as many, because one half of them is silent by the first factor.
    let wanted = (u64::from(WANTED_OFFERS) * 2).min(audience);
    percent * 10 * wanted / audience
}

/// How long a listener waits before it answers, in microseconds, from a random
/// number. Few answer early and many late, so that those few silence the others
/// however many there are: the delays are (about) exponentially distributed, as
/// in multicast feedback suppression (RFC 5401, section 2.2). A listener that
/// sees few others waits as long: it may see one of many.
#[must_use]
pub fn answer_delay_us(random: u64) -> u64 {
    const SLOTS: u64 = 8;
    const WIDTH: u64 = OFFER_DELAY_US / SLOTS;
    let halvings = u64::from((random >> 32).trailing_ones());
    let slot = (SLOTS - 1).saturating_sub(halvings);
    slot * WIDTH + (random & 0xffff_ffff) % WIDTH
}

/// The joins that were heard lately, and our answers.
#[derive(Debug, Default)]
pub struct Listener {
    joins: BTreeMap<SealingKey, HeardJoin>,
    answers: BTreeSet<(Timestamp, SealingKey)>,
    /// When each join is forgotten, in order.
    ends: VecDeque<(Timestamp, SealingKey)>,
    made: BTreeMap<SealingKey, MadeOffer>,
    made_ends: VecDeque<(Timestamp, SealingKey)>,
}

impl Listener {
    /// Remembers a join; `false` when its key is known, or there is no room.
    pub fn heard_join(&mut self, log: LogId, joiner: PeerId, join: Join, now: Timestamp) -> bool {
        self.forget_old(now);
        if self.joins.len() >= MAX_REMEMBERED_JOINS || self.joins.contains_key(&join.key) {
            return false;
        }
        self.ends.push_back((now.plus(JOIN_MEMORY_US), join.key));
        let heard = HeardJoin {
            log,
            joiner,
            offerers: BTreeSet::new(),
            accepts: 0,
            answer_at: None,
            join,
        };
        self.joins.insert(heard.join.key, heard);
        true
    }

    /// Decides to answer a join at a time.
    pub fn answer_at(&mut self, key: SealingKey, at: Timestamp) {
        if let Some(heard) = self.joins.get_mut(&key) {
            if let Some(before) = heard.answer_at.replace(at) {
                self.answers.remove(&(before, key));
            }
            self.answers.insert((at, key));
        }
    }

    /// When the next answer is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.answers.first().map(|&(at, _)| at)
    }

    /// The next join that is to be answered now.
    pub fn take_due(&mut self, now: Timestamp) -> Option<HeardJoin> {
        let &(at, key) = self.answers.first().filter(|(at, _)| *at <= now)?;
        self.answers.remove(&(at, key));
        let heard = self.joins.get_mut(&key)?;
        heard.answer_at = None;
        Some(heard.clone())
    }

    /// Counts an offer to a join; whether it is worth passing on: the first one
    /// of its author, of a number that is bounded.
    pub fn heard_offer(&mut self, log: LogId, offerer: PeerId, to: SealingKey) -> bool {
        let heard = self.joins.get_mut(&to).filter(|heard| heard.log == log);
        heard.is_some_and(|heard| {
            heard.offerers.len() < MAX_OFFERS_PER_JOIN && heard.offerers.insert(offerer)
        })
    }

    /// Counts an acceptance; whether it is worth passing on.
    pub fn heard_accept(&mut self, log: LogId, joiner: PeerId, from: SealingKey) -> bool {
        let heard = self.joins.get_mut(&from);
        let heard = heard.filter(|heard| heard.log == log && heard.joiner == joiner);
        heard.is_some_and(|heard| {
            heard.accepts += 1;
            heard.accepts <= MAX_ACCEPTS_PER_JOIN
        })
    }

    /// Remembers an offer of ours; `false` when there are too many.
    pub fn made(&mut self, offer: MadeOffer, now: Timestamp) -> bool {
        self.forget_old(now);
        if self.made.len() >= MAX_OPEN_OFFERS {
            return false;
        }
        let name = offer.key.public();
        self.made_ends.push_back((now.plus(JOIN_MEMORY_US), name));
        self.made.insert(name, offer);
        true
    }

    /// The offer of ours that a joiner accepts. It can be accepted once.
    pub fn take_made(&mut self, log: LogId, joiner: PeerId, name: SealingKey) -> Option<MadeOffer> {
        let made = self.made.get(&name);
        made.filter(|made| made.log == log && made.joiner == joiner)?;
        self.made.remove(&name)
    }

    fn forget_old(&mut self, now: Timestamp) {
        while let Some((_, key)) = self.ends.pop_front_if(|(end, _)| *end <= now) {
            if let Some(at) = self.joins.remove(&key).and_then(|heard| heard.answer_at) {
                self.answers.remove(&(at, key));
            }
        }
        while let Some((_, name)) = self.made_ends.pop_front_if(|(end, _)| *end <= now) {
            self.made.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::another_peer;
    use crate::ranges::IntervalSet;

    fn join(n: u64) -> Join {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        Join {
            key: SealingKey(key),
            size: 0,
            held: IntervalSet::new(),
            wish: None,
            attempt: 0,
            lacks_manifest: false,
        }
    }

    fn log() -> LogId {
        LogId::of_manifest(b"x")
    }

    #[test]
    fn about_as_many_answer_as_are_wanted_however_many_listen() {
        assert_eq!(chance_per_mille(50, 0, 1), 500);
        assert_eq!(chance_per_mille(50, 0, 8), 500);
        assert_eq!(chance_per_mille(50, 0, 16), 250);
        assert_eq!(chance_per_mille(50, 0, 1_000), 4);
        assert_eq!(chance_per_mille(50, 1, 8), 1_000);
        assert_eq!(chance_per_mille(50, 5, 3), 1_000);
        assert_eq!(chance_per_mille(100, 0, 3), 1_000);
        assert_eq!(chance_per_mille(0, 5, 3), 0);
    }

    #[test]
    fn few_answer_early_and_all_within_the_longest_delay() {
        let mut early = 0;
        for n in 0..10_000_u64 {
            let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let delay = answer_delay_us(random);
            assert!(delay < OFFER_DELAY_US);
            early += u64::from(delay < OFFER_DELAY_US / 2);
        }
        assert!((300..1_000).contains(&early), "{early} of 10000");
    }

    #[test]
    fn a_join_is_answered_once_and_its_offers_are_counted_by_author() {
        let mut listener = Listener::default();
        let now = Timestamp(0);
        let joiner = another_peer();
        let key = join(1).key;
        assert!(listener.heard_join(log(), joiner, join(1), now));
        assert!(!listener.heard_join(log(), joiner, join(1), now));
        listener.answer_at(key, now.plus(5));
        assert_eq!(listener.next_due(), Some(now.plus(5)));
        assert!(listener.take_due(now).is_none());

        let offerers: Vec<_> = (0..WANTED_OFFERS).map(|_| another_peer()).collect();
        for &offerer in &offerers {
            assert!(listener.heard_offer(log(), offerer, key));
            assert!(!listener.heard_offer(log(), offerer, key));
        }
        assert!(!listener.heard_offer(LogId::of_manifest(b"y"), joiner, key));
        assert!(!listener.heard_offer(log(), joiner, join(2).key));
        assert!(listener.take_due(now.plus(5)).unwrap().is_served());
        assert!(listener.take_due(now.plus(5)).is_none());
        assert_eq!(listener.next_due(), None);

        let accepted = (0..10).filter(|_| listener.heard_accept(log(), joiner, key));
        assert_eq!(accepted.count() as u32, MAX_ACCEPTS_PER_JOIN);
        assert!(!listener.heard_accept(log(), offerers[0], key));
    }

    #[test]
    fn a_flood_of_joins_stays_within_the_bound_and_is_forgotten() {
        let mut listener = Listener::default();
        let now = Timestamp(0);
        let flood = 0..10 * MAX_REMEMBERED_JOINS as u64;
        for n in flood.clone() {
            listener.heard_join(log(), another_peer(), join(n), now);
            listener.answer_at(join(n).key, now.plus(n));
        }
        assert_eq!(listener.joins.len(), MAX_REMEMBERED_JOINS);
        assert_eq!(listener.answers.len(), MAX_REMEMBERED_JOINS);
        let later = now.plus(JOIN_MEMORY_US);
        assert!(listener.heard_join(log(), another_peer(), join(flood.end), later));
        assert_eq!((listener.joins.len(), listener.answers.len()), (1, 0));
    }

    #[test]
    fn an_offer_is_accepted_once_by_whom_it_was_made_to() {
        let mut listener = Listener::default();
        let joiner = another_peer();
        let key = OpeningKey::from_random([1; 32]);
        let name = key.public();
        let offer = MadeOffer {
            log: log(),
            joiner,
            key,
            rendezvous_key: [2; 32],
        };
        assert!(listener.made(offer, Timestamp(0)));
        assert!(listener.take_made(log(), another_peer(), name).is_none());
        assert!(listener.take_made(log(), joiner, name).is_some());
        assert!(listener.take_made(log(), joiner, name).is_none());
    }
}
