//! A rate limit of what an author says on a topic. What is said is passed on to
//! everybody, so that one loud voice would cost the whole network.

use libp2p_identity::PeerId;

use crate::bucket::Buckets;
use crate::id::LogId;
use crate::limits::{
    ACCEPT_ALLOWANCE, JOIN_ALLOWANCE, MAX_ALLOWANCES, OFFER_ALLOWANCE, SYNCED_ALLOWANCE,
    TOPIC_ALLOWANCE,
};
use crate::time::Timestamp;

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// A join.
    Join,
    /// An offer.
    Offer,
    /// An acceptance.
    Accept,
    /// A notice that everything is held.
    Synced,
}

impl Said {
    /// Microseconds in which one is earned, and how many may be said at once.
    fn of_author(self) -> (u64, u64) {
        match self {
            Self::Join => JOIN_ALLOWANCE,
            Self::Offer => OFFER_ALLOWANCE,
            Self::Accept => ACCEPT_ALLOWANCE,
            Self::Synced => SYNCED_ALLOWANCE,
        }
    }

    fn of_topic(self) -> (u64, u64) {
        let (every, burst) = self.of_author();
        (every / TOPIC_ALLOWANCE, burst * TOPIC_ALLOWANCE)
    }
}

/// The allowances of authors by topic, and of all authors of a topic together.
#[derive(Debug)]
pub struct Allowances(Buckets<(LogId, Said, Option<PeerId>)>);

impl Default for Allowances {
    fn default() -> Self {
        Self(Buckets::new(MAX_ALLOWANCES))
    }
}

impl Allowances {
    /// Whether an author may say this now; if so, it is counted.
    pub fn take(&mut self, log: LogId, said: Said, author: PeerId, now: Timestamp) -> bool {
        let of_author = ((log, said, Some(author)), said.of_author());
        let of_topic = ((log, said, None), said.of_topic());
        self.0.take([of_author, of_topic], now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::another_peer;

    const SECOND: u64 = 1_000_000;

    fn log(n: u8) -> LogId {
        LogId::of_manifest(&[n])
    }

    #[test]
    fn authors_do_not_use_up_each_others_allowance_but_the_topics() {
        let mut allowances = Allowances::default();
        let now = Timestamp(0);
        let loud = another_peer();
        let (_, burst) = JOIN_ALLOWANCE;
        let taken = (0..100).filter(|_| allowances.take(log(1), Said::Join, loud, now));
        assert_eq!(taken.count() as u64, burst);
        assert!(allowances.take(log(1), Said::Join, another_peer(), now));
        assert!(allowances.take(log(2), Said::Join, loud, now));
        assert!(allowances.take(log(1), Said::Offer, loud, now));
        let many = (0..10_000).filter(|_| allowances.take(log(1), Said::Join, another_peer(), now));
        assert_eq!(many.count() as u64, burst * TOPIC_ALLOWANCE - burst - 1);
    }

    #[test]
    fn a_flood_of_topics_stays_within_the_bound_and_passes() {
        let mut allowances = Allowances::default();
        let now = Timestamp(0);
        let author = another_peer();
        let log = |n: u64| LogId::of_manifest(&n.to_be_bytes());
        for n in 0..2 * MAX_ALLOWANCES as u64 {
            allowances.take(log(n), Said::Join, author, now);
        }
        assert!(allowances.0.len() <= MAX_ALLOWANCES);
        assert!(!allowances.take(log(1 << 40), Said::Join, author, now.plus(SECOND / 2)));
        let later = now.plus(1_000 * SECOND);
        assert!(allowances.take(log(1 << 40), Said::Join, author, later));
        assert_eq!(allowances.0.len(), 2);
    }
}
