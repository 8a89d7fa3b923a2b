//! The searches of a node for those who have what it lacks: when it says that it
//! joins, which of the offers it accepts, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::{RendezvousKey, Server};
use crate::id::LogId;
use crate::limits::{
    ACCEPTED_OFFERS, BROKEN_OFFER_BACKOFF, COLLECT_OFFERS_US, JOIN_BACKOFF, JOIN_JITTER,
    MAX_BROKEN_OFFERERS, MAX_JOIN_ATTEMPTS, MAX_KEPT_OFFERS, OFFER_DEADLINE_US, OFFER_TIMEOUT_US,
};
use crate::ranges::IntervalSet;
use crate::sealed::{OpeningKey, SealingKey};
use crate::time::Timestamp;

/// An offer that was made to us.
#[derive(Clone, Debug)]
pub struct ReceivedOffer {
    /// Who made it.
    pub peer: PeerId,
    /// Size of the head that it has adopted.
    pub size: u64,
    /// What it says that it holds.
    pub held: IntervalSet,
    /// Its signed peer record.
    pub record: Bytes,
    /// The acceptance is sealed to it.
    pub key: SealingKey,
    /// Where both can meet.
    pub rendezvous_key: RendezvousKey,
    /// Rendezvous servers that it is connected to.
    pub servers: Vec<Server>,
}

/// What a search does until its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Then it asks.
    Waiting,
    /// It has asked; then it asks again.
    Asked,
    /// Offers come in; then it chooses.
    Collecting,
    /// It has accepted some; then it asks again, if something is still lacking.
    Accepted,
}

/// The search for those who have one stream.
#[derive(Debug)]
struct Search {
    phase: Phase,
    at: Option<Timestamp>,
    /// How often it has asked in vain.
    attempt: u32,
    /// How often it has given up.
    rests: u32,
    key: Option<OpeningKey>,
    offers: Vec<ReceivedOffer>,
    /// Who has made them, those that were not kept included.
    offerers: BTreeSet<PeerId>,
}

/// What is to be done for a search whose time has come.
#[derive(Debug)]
pub enum Step {
    /// Say on the meta topic that we join. Tell [`Joiner::asked`] with which
    /// key, or [`Joiner::wait_for_listeners`].
    Ask {
        /// How often it was said before in vain.
        attempt: u32,
    },
    /// Accept these offers, made to the join with this key.
    Accept(SealingKey, Vec<ReceivedOffer>),
}

/// What an offerer that was accepted has to show by a time.
#[derive(Clone, Debug)]
struct Pledge {
    size: u64,
    held: IntervalSet,
    until: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    count: u32,
    until: Timestamp,
}

/// All searches of a node.
#[derive(Debug, Default)]
pub struct Joiner {
    searches: BTreeMap<LogId, Search>,
    due: BTreeSet<(Timestamp, LogId)>,
    keys: BTreeMap<SealingKey, LogId>,
    pledges: BTreeMap<(LogId, PeerId), Pledge>,
    pledges_due: BTreeSet<(Timestamp, LogId, PeerId)>,
    /// Peers that broke an offer.
    marks: BTreeMap<PeerId, Mark>,
}

impl Joiner {
    /// Begins a search that asks at a time, unless there is one.
    pub fn begin(&mut self, log: LogId, at: Timestamp) {
        if self.searches.contains_key(&log) {
            return;
        }
        let search = Search {
            phase: Phase::Waiting,
            at: None,
            attempt: 0,
            rests: 0,
            key: None,
            offers: Vec::new(),
            offerers: BTreeSet::new(),
        };
        self.searches.insert(log, search);
        self.set_due(log, Some(at));
    }

    /// Ends a search: nothing is lacking any more. What was accepted must still
    /// be kept.
    pub fn end(&mut self, log: LogId) {
        self.set_due(log, None);
        if let Some(search) = self.searches.remove(&log)
            && let Some(key) = search.key
        {
            self.keys.remove(&key.public());
        }
    }

    /// Whether a stream is searched for.
    #[must_use]
    pub fn is_searching(&self, log: LogId) -> bool {
        self.searches.contains_key(&log)
    }

    /// Whether a search waits for somebody who listens, or has given up for a
    /// while.
    #[must_use]
    pub fn is_waiting(&self, log: LogId) -> bool {
        let search = self.searches.get(&log);
        search.is_some_and(|search| search.phase == Phase::Waiting)
    }

    /// When [`take_due`](Self::take_due) or
    /// [`take_broken`](Self::take_broken) have something.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let pledges = self.pledges_due.first().map(|&(at, ..)| at);
        let searches = self.due.first().map(|&(at, _)| at);
        pledges.into_iter().chain(searches).min()
    }

    /// The next stream whose search has to go on, and how.
    pub fn take_due(
        &mut self,
        now: Timestamp,
        publisher_of: impl Fn(LogId) -> Option<PeerId>,
        mut random: impl FnMut() -> u64,
    ) -> Option<(LogId, Step)> {
        let &(_, log) = self.due.first().filter(|(at, _)| *at <= now)?;
        self.set_due(log, None);
        let search = self.searches.get_mut(&log)?;
        match search.phase {
            Phase::Waiting => {}
            Phase::Collecting => {
                search.phase = Phase::Accepted;
                let offers = std::mem::take(&mut search.offers);
                let key = search.key.as_ref().map(OpeningKey::public)?;
                self.set_due(log, Some(now.plus(OFFER_DEADLINE_US)));
                let chosen = self.choose(offers, publisher_of(log), now, &mut random);
                return Some((log, Step::Accept(key, chosen)));
            }
            Phase::Asked | Phase::Accepted => search.attempt += 1,
        }
        if search.attempt > MAX_JOIN_ATTEMPTS {
            search.attempt = 0;
            search.phase = Phase::Waiting;
            let rest = JOIN_BACKOFF.next(&mut search.rests);
            self.set_due(log, Some(now + JOIN_JITTER.spread(rest, random())));
            return self.take_due(now, publisher_of, random);
        }
        let attempt = search.attempt;
        Some((log, Step::Ask { attempt }))
    }

    /// Notes that a join was said with this key.
    pub fn asked(&mut self, log: LogId, key: OpeningKey, now: Timestamp) {
        let Some(search) = self.searches.get_mut(&log) else {
            return;
        };
        search.phase = Phase::Asked;
        search.offers.clear();
        search.offerers.clear();
        if let Some(old) = &search.key {
            self.keys.remove(&old.public());
        }
        self.keys.insert(key.public(), log);
        search.key = Some(key);
        self.set_due(log, Some(now.plus(OFFER_TIMEOUT_US)));
    }

    /// Lets a join that nobody would hear wait until
    /// [`somebody_listens`](Self::somebody_listens).
    pub fn wait_for_listeners(&mut self, log: LogId) {
        if let Some(search) = self.searches.get_mut(&log) {
            search.phase = Phase::Waiting;
            self.set_due(log, None);
        }
    }

    /// Somebody new listens on the meta topic: a search that waits for that
    /// asks at this time, also one that has given up for a while.
    pub fn somebody_listens(&mut self, log: LogId, at: Timestamp) {
        let search = self.searches.get(&log);
        if search.is_some_and(|search| {
            search.phase == Phase::Waiting && search.at.is_none_or(|due| due > at)
        }) {
            self.set_due(log, Some(at));
        }
    }

    /// The key of a join of ours, and the stream that it was for.
    #[must_use]
    pub fn key(&self, log: LogId, to: SealingKey) -> Option<&OpeningKey> {
        let known = self.keys.get(&to).filter(|known| **known == log)?;
        self.searches.get(known)?.key.as_ref()
    }

    /// Whether an offer of this peer is worth a look: the first one, of a
    /// number that is bounded.
    pub fn may_offer(&mut self, log: LogId, peer: PeerId, most: usize) -> bool {
        let search = self.searches.get_mut(&log);
        search.is_some_and(|search| {
            matches!(search.phase, Phase::Asked | Phase::Collecting)
                && search.offerers.len() < most
                && search.offerers.insert(peer)
        })
    }

    /// Keeps an offer. When there are too many, chance decides which is
    /// dropped, but for the publisher's.
    pub fn received(
        &mut self,
        log: LogId,
        offer: ReceivedOffer,
        publisher: Option<PeerId>,
        now: Timestamp,
        random: u64,
    ) {
        let Some(search) = self.searches.get_mut(&log) else {
            return;
        };
        if search.offers.len() < MAX_KEPT_OFFERS {
            search.offers.push(offer);
        } else {
            let is_publisher = Some(offer.peer) == publisher;
            let count = search.offerers.len().max(1) as u64;
            let place = usize::try_from(random % count).unwrap_or(0);
            let place = if is_publisher {
                place % MAX_KEPT_OFFERS
            } else {
                place
            };
            if let Some(kept) = search.offers.get_mut(place)
                && Some(kept.peer) != publisher
            {
                *kept = offer;
            }
        }
        if search.phase == Phase::Asked {
            search.phase = Phase::Collecting;
            self.set_due(log, Some(now.plus(COLLECT_OFFERS_US)));
        }
    }

    /// A few of the offers: those who broke one last, else the publisher first
    /// and the others in any order.
    fn choose(
        &self,
        offers: Vec<ReceivedOffer>,
        publisher: Option<PeerId>,
        now: Timestamp,
        random: &mut impl FnMut() -> u64,
    ) -> Vec<ReceivedOffer> {
        let mut ranked: Vec<_> = (offers.into_iter())
            .map(|offer| {
                let breaks = self.breaks_offers(&offer.peer, now);
                let rank = (breaks, Some(offer.peer) != publisher, random());
                (rank, offer)
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        let few = ranked.into_iter().take(ACCEPTED_OFFERS);
        few.map(|(_, offer)| offer).collect()
    }

    /// Notes that an offer was accepted: its author has to show what it
    /// offered.
    pub fn accepted(&mut self, log: LogId, offer: &ReceivedOffer, now: Timestamp) {
        let pledge = Pledge {
            size: offer.size,
            held: offer.held.clone(),
            until: now.plus(OFFER_DEADLINE_US),
        };
        self.drop_pledge(log, offer.peer);
        self.pledges_due.insert((pledge.until, log, offer.peer));
        self.pledges.insert((log, offer.peer), pledge);
    }

    fn drop_pledge(&mut self, log: LogId, peer: PeerId) -> bool {
        let pledge = self.pledges.remove(&(log, peer));
        if let Some(pledge) = &pledge {
            self.pledges_due.remove(&(pledge.until, log, peer));
        }
        pledge.is_some()
    }

    /// Notes what a peer shows to have: if it is what it offered, its offer is
    /// kept.
    pub fn shows(&mut self, log: LogId, peer: PeerId, size: u64, held: &IntervalSet) {
        let pledge = self.pledges.get(&(log, peer));
        if pledge.is_some_and(|pledge| {
            let mut offered = pledge.held.intervals();
            size >= pledge.size && offered.all(|part| held.contains(part.from, part.to))
        }) {
            self.drop_pledge(log, peer);
        }
    }

    /// Notes that a peer refused something of a stream: an offer of it that was
    /// accepted lately is broken.
    pub fn refused(&mut self, log: LogId, peer: PeerId, now: Timestamp) {
        if self.drop_pledge(log, peer) {
            self.mark(peer, now);
        }
    }

    /// Forgets what was accepted for a stream that is not followed any more.
    pub fn forget(&mut self, log: LogId) {
        self.end(log);
        self.pledges.retain(|&(of, _), _| of != log);
        self.pledges_due.retain(|&(_, of, _)| of != log);
    }

    /// The next offer that was accepted and not kept in time. It counts against
    /// its author.
    pub fn take_broken(&mut self, now: Timestamp) -> Option<(LogId, PeerId)> {
        let late = self.pledges_due.first().filter(|(at, ..)| *at <= now);
        let &(_, log, peer) = late?;
        self.drop_pledge(log, peer);
        self.mark(peer, now);
        Some((log, peer))
    }

    /// Whether a peer has broken an offer lately.
    #[must_use]
    pub fn breaks_offers(&self, peer: &PeerId, now: Timestamp) -> bool {
        self.marks.get(peer).is_some_and(|mark| mark.until > now)
    }

    fn mark(&mut self, peer: PeerId, now: Timestamp) {
        if self.marks.len() >= MAX_BROKEN_OFFERERS && !self.marks.contains_key(&peer) {
            let oldest = self.marks.iter().min_by_key(|(_, mark)| mark.until);
            if let Some(oldest) = oldest.map(|(&peer, _)| peer) {
                self.marks.remove(&oldest);
            }
        }
        let mark = self.marks.entry(peer).or_insert(Mark {
            count: 0,
            until: now,
        });
        mark.until = now + BROKEN_OFFER_BACKOFF.next(&mut mark.count);
    }

    fn set_due(&mut self, log: LogId, at: Option<Timestamp>) {
        let Some(search) = self.searches.get_mut(&log) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut search.at, at) {
            self.due.remove(&(before, log));
        }
        if let Some(at) = at {
            self.due.insert((at, log));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::another_peer;
    use crate::ranges::Interval;

    const SECOND: u64 = 1_000_000;

    fn log() -> LogId {
        LogId::of_manifest(b"x")
    }

    fn offer(peer: PeerId) -> ReceivedOffer {
        ReceivedOffer {
            peer,
            size: 100,
            held: [Interval { from: 0, to: 100 }].into_iter().collect(),
            record: Bytes::new(),
            key: SealingKey([1; 32]),
            rendezvous_key: [2; 32],
            servers: Vec::new(),
        }
    }

    fn ask(joiner: &mut Joiner, now: Timestamp) -> Option<u32> {
        match joiner.take_due(now, |_| None, || 0) {
            Some((_, Step::Ask { attempt })) => {
                joiner.asked(log(), OpeningKey::from_random([attempt as u8; 32]), now);
                Some(attempt)
            }
            None => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_join_that_nobody_answers_is_said_six_times_and_then_rests() {
        let mut joiner = Joiner::default();
        let mut now = Timestamp(0);
        joiner.begin(log(), now);
        for attempt in 0..=MAX_JOIN_ATTEMPTS {
            assert_eq!(ask(&mut joiner, now), Some(attempt));
            assert_eq!(ask(&mut joiner, now), None);
            assert_eq!(joiner.next_due(), Some(now.plus(3 * SECOND)));
            now = now.plus(3 * SECOND);
        }
        assert_eq!(ask(&mut joiner, now), None);
        let again = joiner.next_due().unwrap();
        assert!(again >= now + JOIN_BACKOFF.first() / 2);
        assert_eq!(ask(&mut joiner, again), Some(0));
        joiner.end(log());
        assert_eq!(joiner.next_due(), None);
        assert!(joiner.keys.is_empty());
    }

    #[test]
    fn the_publisher_is_accepted_first_and_who_broke_an_offer_last() {
        let now = Timestamp(0);
        let mut joiner = Joiner::default();
        let peers: Vec<_> = (0..6).map(|_| another_peer()).collect();
        // The second one does not deliver.
        joiner.accepted(log(), &offer(peers[1]), now);
        let now = now.plus(OFFER_DEADLINE_US);
        assert_eq!(joiner.take_broken(now), Some((log(), peers[1])));
        assert_eq!(joiner.take_broken(now), None);
        assert!(joiner.breaks_offers(&peers[1], now));

        joiner.begin(log(), now);
        assert_eq!(ask(&mut joiner, now), Some(0));
        let publisher = peers[5];
        for &peer in &peers[1..] {
            assert!(joiner.may_offer(log(), peer, 99));
            assert!(!joiner.may_offer(log(), peer, 99));
            joiner.received(log(), offer(peer), Some(publisher), now, 0);
        }
        let now = now.plus(COLLECT_OFFERS_US);
        let step = joiner.take_due(now, |_| Some(publisher), || 0);
        let Some((_, Step::Accept(_, chosen))) = step else {
            panic!("{step:?}");
        };
        assert_eq!(chosen.len(), ACCEPTED_OFFERS);
        assert_eq!(chosen[0].peer, publisher);
        assert!(chosen.iter().all(|offer| offer.peer != peers[1]));
        // A late one is of no use.
        assert!(!joiner.may_offer(log(), peers[0], 99));
    }

    #[test]
    fn an_offer_that_is_kept_counts_against_nobody() {
        let mut joiner = Joiner::default();
        let now = Timestamp(0);
        let peer = another_peer();
        joiner.accepted(log(), &offer(peer), now);
        joiner.shows(
            log(),
            peer,
            100,
            &[Interval { from: 0, to: 99 }].into_iter().collect(),
        );
        assert!(joiner.next_due().is_some());
        joiner.shows(log(), peer, 100, &offer(peer).held);
        assert_eq!(joiner.next_due(), None);
        joiner.refused(log(), peer, now);
        assert!(!joiner.breaks_offers(&peer, now));
        joiner.accepted(log(), &offer(peer), now);
        joiner.refused(log(), peer, now);
        assert!(joiner.breaks_offers(&peer, now));
    }

    #[test]
    fn among_too_many_offers_the_publishers_is_kept() {
        let mut joiner = Joiner::default();
        let now = Timestamp(0);
        joiner.begin(log(), now);
        assert_eq!(ask(&mut joiner, now), Some(0));
        let publisher = another_peer();
        for n in 0..100 {
            let peer = if n == 50 { publisher } else { another_peer() };
            assert!(joiner.may_offer(log(), peer, 100));
            joiner.received(log(), offer(peer), Some(publisher), now, n * 7);
        }
        let offers = &joiner.searches[&log()].offers;
        assert_eq!(offers.len(), MAX_KEPT_OFFERS);
        assert!(offers.iter().any(|offer| offer.peer == publisher));
    }

    #[test]
    fn a_search_that_waits_for_listeners_goes_on_when_there_are_some() {
        let mut joiner = Joiner::default();
        joiner.begin(log(), Timestamp(0));
        joiner.wait_for_listeners(log());
        assert_eq!(joiner.next_due(), None);
        joiner.somebody_listens(log(), Timestamp(7));
        assert_eq!(joiner.next_due(), Some(Timestamp(7)));
        joiner.somebody_listens(log(), Timestamp(9));
        assert_eq!(ask(&mut joiner, Timestamp(7)), Some(0));
        joiner.somebody_listens(log(), Timestamp(8));
        assert_eq!(ask(&mut joiner, Timestamp(8)), None);
    }
}
