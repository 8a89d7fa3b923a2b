//! Who was found to have a stream, and who of them is dialled next.

use std::collections::BTreeMap;

use headwater_protocols::id::LogId;
use libp2p::{Multiaddr, PeerId};

use super::super::limits::{MAX_CANDIDATES, MAX_DISCOVERY_DIALS, MAX_DISCOVERY_DIALS_PER_STREAM};

/// Peers that wait to be dialled because a stream has no source.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    waiting: BTreeMap<LogId, BTreeMap<PeerId, Vec<Multiaddr>>>,
    /// The dials that are under way, and for whose sake.
    dialling: BTreeMap<PeerId, LogId>,
}

impl Candidates {
    /// Notes that a peer is said to have a stream, at these addresses.
    pub(super) fn found(&mut self, log: LogId, peer: PeerId, addresses: Vec<Multiaddr>) {
        let waiting = self.waiting.entry(log).or_default();
        if waiting.len() < MAX_CANDIDATES && !self.dialling.contains_key(&peer) {
            waiting.insert(peer, addresses);
        }
        if waiting.is_empty() {
            self.waiting.remove(&log);
        }
    }

    /// Forgets whom to dial for the streams that need nobody any more.
    pub(super) fn retain(&mut self, is_needed: impl Fn(LogId) -> bool) {
        self.waiting.retain(|&log, _| is_needed(log));
    }

    /// Who is to be dialled now: the publisher of a stream first, the others in
    /// any order, so that not all of its followers come to the same peer.
    pub(super) fn take(
        &mut self,
        publisher_of: impl Fn(LogId) -> Option<PeerId>,
        mut random: impl FnMut() -> u64,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut taken = Vec::new();
        for (&log, waiting) in &mut self.waiting {
            let publisher = publisher_of(log);
            let mut dials = self.dialling.values().filter(|&&of| of == log).count();
            while dials < MAX_DISCOVERY_DIALS_PER_STREAM
                && self.dialling.len() < MAX_DISCOVERY_DIALS
                && let Some(peer) = choose(waiting, publisher, &mut random)
                && let Some(addresses) = waiting.remove(&peer)
            {
                // Whoever is dialled for another stream already counts there.
                if self.dialling.contains_key(&peer) {
                    continue;
                }
                self.dialling.insert(peer, log);
                dials += 1;
                taken.push((peer, addresses));
            }
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        taken
    }

    /// Notes that a dial is over, well or not; `false` when it was none of ours.
    pub(super) fn dialled(&mut self, peer: &PeerId) -> bool {
        self.dialling.remove(peer).is_some()
    }
}

fn choose(
    waiting: &BTreeMap<PeerId, Vec<Multiaddr>>,
    publisher: Option<PeerId>,
    random: &mut impl FnMut() -> u64,
) -> Option<PeerId> {
    if let Some(publisher) = publisher.filter(|peer| waiting.contains_key(peer)) {
        return Some(publisher);
    }
    let count = u64::try_from(waiting.len()).ok().filter(|&n| n > 0)?;
    let place = usize::try_from(random() % count).ok()?;
    waiting.keys().nth(place).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(number: u8) -> LogId {
        LogId::of_manifest(&[number])
    }

    fn peers(taken: Vec<(PeerId, Vec<Multiaddr>)>) -> Vec<PeerId> {
        taken.into_iter().map(|(peer, _)| peer).collect()
    }

    #[test]
    fn the_publisher_is_dialled_first_and_a_few_at_a_time() {
        let mut candidates = Candidates::default();
        let found: Vec<_> = (0..8).map(|_| PeerId::random()).collect();
        for &peer in &found {
            candidates.found(log(1), peer, Vec::new());
        }
        let publisher = found[5];
        let first = peers(candidates.take(|_| Some(publisher), || 0));
        assert_eq!(first.len(), MAX_DISCOVERY_DIALS_PER_STREAM);
        assert_eq!(first[0], publisher);
        assert!(candidates.take(|_| None, || 0).is_empty());
        // The next one comes when one of them has failed.
        assert!(candidates.dialled(&publisher));
        let next = peers(candidates.take(|_| None, || 0));
        assert_eq!(next.len(), 1);
        assert!(!first.contains(&next[0]));
    }

    #[test]
    fn a_peer_with_two_streams_is_dialled_once() {
        let mut candidates = Candidates::default();
        let peer = PeerId::random();
        candidates.found(log(1), peer, Vec::new());
        candidates.found(log(2), peer, Vec::new());
        assert_eq!(peers(candidates.take(|_| None, || 0)), [peer]);
        assert!(candidates.dialled(&peer));
        assert!(!candidates.dialled(&peer));
        assert!(candidates.take(|_| None, || 0).is_empty());
    }

    #[test]
    fn a_flood_of_providers_stays_within_the_bounds() {
        let mut candidates = Candidates::default();
        for number in 0..100 {
            for _ in 0..100 {
                candidates.found(log(number), PeerId::random(), Vec::new());
            }
        }
        let longest = candidates.waiting.values().map(BTreeMap::len).max();
        assert_eq!(longest, Some(MAX_CANDIDATES));
        let dials = candidates.take(|_| None, || 7);
        assert_eq!(dials.len(), MAX_DISCOVERY_DIALS);
        candidates.retain(|_| false);
        assert!(candidates.waiting.is_empty());
    }
}
