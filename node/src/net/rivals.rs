//! A peer that dials us although it is connected: it has lost what it had, mostly,
//! and begins anew, while we take the old connection for alive and the peer for
//! one that knows all that we have told it. Gossipsub tells its subscriptions once
//! a peer, for one, so that both have to part and meet again.
//!
//! There are other reasons to dial (a test of an address, a hole that is punched),
//! so that the old connection is watched first.

use std::collections::HashMap;

use libp2p::PeerId;
use libp2p::swarm::ConnectionId;
use tokio::time::Instant;

use super::limits::{RIVAL_AFTER, SILENT_AFTER};

/// The direct connections of each peer, and the peers that are in doubt.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    peers: HashMap<PeerId, Vec<(ConnectionId, Instant)>>,
    doubts: Vec<Doubt>,
}

#[derive(Debug)]
struct Doubt {
    peer: PeerId,
    new: ConnectionId,
    /// Older ones over which nothing has come since.
    old: Vec<ConnectionId>,
    until: Instant,
}

impl Rivals {
    /// When [`take_stale`](Self::take_stale) has something new.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.doubts.iter().map(|doubt| doubt.until).min()
    }

    /// Notes a direct connection, which the peer has made if it is `inbound`.
    pub(super) fn connected(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        inbound: bool,
        now: Instant,
    ) {
        let open = self.peers.entry(peer).or_default();
        // Two that dial each other at once make two, of about the same age.
        let settled = open.iter().filter(|(_, since)| *since + RIVAL_AFTER <= now);
        let old: Vec<ConnectionId> = settled.map(|(id, _)| *id).collect();
        open.push((id, now));
        if inbound && !old.is_empty() {
            self.doubts.push(Doubt {
                peer,
                new: id,
                old,
                until: now + SILENT_AFTER,
            });
        }
    }

    /// Something came over a connection, so that it is alive.
    pub(super) fn heard(&mut self, id: ConnectionId) {
        for doubt in &mut self.doubts {
            doubt.old.retain(|old| *old != id);
        }
        self.doubts.retain(|doubt| !doubt.old.is_empty());
    }

    /// Notes that a connection is closed, in order or because it `failed`. Whether
    /// it was the old one of a peer that is connected anew: the two have to part.
    pub(super) fn closed(&mut self, peer: &PeerId, id: ConnectionId, failed: bool) -> bool {
        if let Some(open) = self.peers.get_mut(peer) {
            open.retain(|(open, _)| *open != id);
            if open.is_empty() {
                self.peers.remove(peer);
            }
        }
        self.doubts.retain(|doubt| doubt.new != id);
        let is_stale = failed && self.doubts.iter().any(|doubt| doubt.old.contains(&id));
        match is_stale {
            true => self.doubts.retain(|doubt| doubt.peer != *peer),
            false => self.heard(id),
        }
        is_stale
    }

    /// The peers whose old connections are dead, with these.
    pub(super) fn take_stale(&mut self, now: Instant) -> Vec<(PeerId, Vec<ConnectionId>)> {
        let stale = self.doubts.extract_if(.., |doubt| doubt.until <= now);
        stale.map(|doubt| (doubt.peer, doubt.old)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    /// A peer that was connected for a while, and has dialled.
    fn dialled() -> (Rivals, PeerId, Instant) {
        let (mut rivals, peer) = (Rivals::default(), PeerId::random());
        let now = Instant::now();
        rivals.connected(peer, id(1), false, now);
        let later = now + RIVAL_AFTER;
        rivals.connected(peer, id(2), true, later);
        (rivals, peer, later)
    }

    #[test]
    fn a_peer_that_has_dialled_us_begins_anew_when_nothing_comes_over_the_old_connection() {
        let (mut rivals, peer, now) = dialled();
        assert!(rivals.take_stale(now).is_empty());
        let due = rivals.next_due().unwrap();
        assert_eq!(due, now + SILENT_AFTER);
        assert_eq!(rivals.take_stale(due), [(peer, vec![id(1)])]);
        assert!(rivals.take_stale(due).is_empty());

        let (mut rivals, peer, _) = dialled();
        assert!(rivals.closed(&peer, id(1), true), "it was dead");
        assert_eq!(rivals.next_due(), None);
    }

    #[test]
    fn a_peer_whose_old_connection_is_alive_is_left_alone() {
        let (mut rivals, _, _) = dialled();
        rivals.heard(id(1));
        assert_eq!(rivals.next_due(), None);
        let (mut rivals, peer, _) = dialled();
        assert!(!rivals.closed(&peer, id(1), false));
        assert_eq!(rivals.next_due(), None);
        // A test of an address.
        let (mut rivals, peer, _) = dialled();
        assert!(!rivals.closed(&peer, id(2), true));
        assert_eq!(rivals.next_due(), None);
        assert!(!rivals.closed(&peer, id(1), true));
        assert!(rivals.peers.is_empty());
    }

    #[test]
    fn two_that_have_dialled_each_other_at_once_are_left_alone() {
        let (mut rivals, peer) = (Rivals::default(), PeerId::random());
        let now = Instant::now();
        rivals.connected(peer, id(1), false, now);
        rivals.connected(peer, id(2), true, now);
        rivals.connected(peer, id(3), false, now + RIVAL_AFTER);
        assert_eq!(rivals.next_due(), None);
    }
}
