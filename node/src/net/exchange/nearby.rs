//! Peers that were heard of in the local network by mDNS. Nobody has signed for
//! their addresses, so that they are dialled and not passed on.

use std::collections::BTreeMap;

use headwater_protocols::time::Timestamp;
use libp2p::{Multiaddr, PeerId};

use super::super::addresses::{Reach, useful, without_peer};
use super::super::limits::{MAX_NEARBY_PEERS, NEARBY_REST};
use super::super::peer_book::Candidate;

/// Who is there.
#[derive(Debug, Default)]
pub(super) struct Nearby {
    peers: BTreeMap<PeerId, Found>,
}

#[derive(Debug)]
struct Found {
    addresses: Vec<Multiaddr>,
    rests_until: Timestamp,
}

impl Nearby {
    /// Notes an address of a peer. A machine announces all of its addresses, and
    /// the loopback ones are nobody else's.
    pub(super) fn found(&mut self, peer: PeerId, address: Multiaddr, now: Timestamp) {
        let address = without_peer(address, peer);
        if !self.peers.contains_key(&peer) && self.peers.len() >= MAX_NEARBY_PEERS {
            return;
        }
        let found = self.peers.entry(peer).or_insert(Found {
            addresses: Vec::new(),
            rests_until: now,
        });
        let addresses = std::mem::take(&mut found.addresses);
        found.addresses = useful(addresses.into_iter().chain([address]), Reach::Site);
        if found.addresses.is_empty() {
            self.peers.remove(&peer);
        }
    }

    /// Notes that a peer has not announced itself for a while.
    pub(super) fn lost(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }

    /// Whom to dial: each once in a while, and only as many as there is `room`
    /// for now. The others keep their turn.
    pub(super) fn take_due(
        &mut self,
        is_connected: impl Fn(&PeerId) -> bool,
        room: usize,
        now: Timestamp,
    ) -> Vec<Candidate> {
        let mut due = Vec::new();
        for (&peer, found) in &mut self.peers {
            if due.len() >= room {
                break;
            }
            if found.rests_until <= now && !is_connected(&peer) {
                found.rests_until = now + NEARBY_REST;
                due.push((peer, found.addresses.clone()));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use libp2p::multiaddr::Protocol;

    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_in_the_local_network_is_dialled_once_in_a_while_until_it_is_gone() {
        let mut nearby = Nearby::default();
        let peer = PeerId::random();
        let near = address("/ip4/192.168.1.2/tcp/1");
        for found in [
            address("/ip4/127.0.0.1/tcp/1"),
            near.clone().with(Protocol::P2p(peer)),
            near.clone(),
        ] {
            nearby.found(peer, found, Timestamp(0));
        }
        assert_eq!(
            nearby.take_due(|_| false, 9, Timestamp(0)),
            [(peer, vec![near])]
        );
        assert!(nearby.take_due(|_| false, 9, Timestamp(1)).is_empty());
        let later = Timestamp(0) + NEARBY_REST;
        assert!(nearby.take_due(|_| true, 9, later).is_empty());
        assert_eq!(nearby.take_due(|_| false, 9, later).len(), 1);
        nearby.lost(&peer);
        assert!(nearby.peers.is_empty());
    }

    #[test]
    fn whoever_finds_no_room_keeps_its_turn() {
        let mut nearby = Nearby::default();
        for number in 1..=5 {
            let near = address(&format!("/ip4/192.168.1.{number}/tcp/1"));
            nearby.found(PeerId::random(), near, Timestamp(0));
        }
        let mut dialled = BTreeSet::new();
        for room in [0, 2, 2, 2] {
            let due = nearby.take_due(|_| false, room, Timestamp(0));
            assert!(due.len() <= room);
            dialled.extend(due.into_iter().map(|(peer, _)| peer));
        }
        assert_eq!(dialled.len(), 5);
    }

    #[test]
    fn a_flood_of_announcements_stays_within_the_bounds() {
        let mut nearby = Nearby::default();
        for number in 0..1_000 {
            let near = address(&format!("/ip4/192.168.1.2/tcp/{}", number + 1));
            nearby.found(PeerId::random(), near, Timestamp(0));
        }
        assert_eq!(nearby.peers.len(), MAX_NEARBY_PEERS);
    }
}
