//! The addresses that are kept connected: bootstrap peers, and the known peers
//! of followed streams.

use std::time::Duration;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::limits::{FIRST_REDIAL, MAX_KEPT_ADDRESSES, MAX_REDIAL};

/// Says which addresses are to be dialled, and when.
#[derive(Debug, Default)]
pub(super) struct Dialer {
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    address: Multiaddr,
    /// Who answered there, or who is said to be there.
    peer: Option<PeerId>,
    connected: bool,
    pause: Duration,
    due: Instant,
}

impl Dialer {
    /// Keeps an address connected from now on; known ones are dialled at once.
    pub(super) fn keep(&mut self, address: Multiaddr, now: Instant) {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.address == address) {
            kept.pause = FIRST_REDIAL;
            kept.due = kept.due.min(now);
            return;
        }
        if self.kept.len() >= MAX_KEPT_ADDRESSES {
            tracing::warn!(%address, "not kept connected: {MAX_KEPT_ADDRESSES} addresses are already");
            return;
        }
        let peer = address.iter().find_map(|part| match part {
            Protocol::P2p(peer) => Some(peer),
            _ => None,
        });
        self.kept.push(Kept {
            address,
            peer,
            connected: false,
            pause: FIRST_REDIAL,
            due: now,
        });
    }

    /// Does not keep an address connected any more.
    pub(super) fn forget(&mut self, address: &Multiaddr) {
        self.kept.retain(|kept| kept.address != *address);
    }

    /// Whether this peer is to be kept connected.
    pub(super) fn keeps(&self, peer: &PeerId) -> bool {
        self.kept.iter().any(|kept| kept.peer == Some(*peer))
    }

    /// When the next address is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let waiting = self.kept.iter().filter(|kept| !kept.connected);
        waiting.map(|kept| kept.due).min()
    }

    /// The addresses that are due. Each is due again, later, until it is
    /// connected.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        is_connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<Multiaddr> {
        let mut due = Vec::new();
        for kept in &mut self.kept {
            if kept.connected || kept.due > now {
                continue;
            }
            if kept.peer.is_some_and(|peer| is_connected(&peer)) {
                kept.connected = true;
                continue;
            }
            kept.due = now + kept.pause;
            kept.pause = (kept.pause * 2).min(MAX_REDIAL);
            due.push(kept.address.clone());
        }
        due
    }

    /// Notes that a peer is connected, at an address when we dialled it.
    pub(super) fn connected(&mut self, peer: PeerId, address: Option<&Multiaddr>) {
        for kept in &mut self.kept {
            let dialled = address.is_some_and(|address| {
                *address == kept.address
                    || address.clone().with_p2p(peer).as_ref() == Ok(&kept.address)
            });
            if kept.peer == Some(peer) || (kept.peer.is_none() && dialled) {
                kept.peer = Some(peer);
                kept.connected = true;
                kept.pause = FIRST_REDIAL;
            }
        }
    }

    /// Notes that the last connection to a peer is closed.
    pub(super) fn closed(&mut self, peer: PeerId, now: Instant) {
        for kept in self.kept.iter_mut().filter(|kept| kept.peer == Some(peer)) {
            kept.connected = false;
            kept.due = now + kept.pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_peer_is_dialled_again_with_growing_pauses() {
        let now = Instant::now();
        let mut dialer = Dialer::default();
        let peer = PeerId::random();
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}").parse().unwrap();
        dialer.keep(address.clone(), now);
        assert_eq!(
            dialer.take_due(now, |_| false),
            std::slice::from_ref(&address)
        );
        let first = dialer.next_due().unwrap();
        assert_eq!(first, now + FIRST_REDIAL);
        assert!(dialer.take_due(now, |_| false).is_empty());
        assert_eq!(
            dialer.take_due(first, |_| false),
            std::slice::from_ref(&address)
        );
        assert_eq!(dialer.next_due().unwrap(), first + FIRST_REDIAL * 2);

        dialer.connected(peer, None);
        assert_eq!(dialer.next_due(), None);
        dialer.closed(peer, first);
        assert_eq!(dialer.next_due().unwrap(), first + FIRST_REDIAL);
    }
}
