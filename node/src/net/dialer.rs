//! The addresses that are kept connected: bootstrap peers, and the known peers
//! of followed streams.

use std::time::Duration;

use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::addresses::{is_circuit, peer_of};
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
    /// Since when it is connected.
    connected: Option<Instant>,
    pause: Duration,
    due: Instant,
}

/// An address that is to be dialled now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) address: Multiaddr,
    /// Its peer can also be reached through a relay, so that it is likely to
    /// stand behind a router.
    pub(super) has_relay: bool,
}

/// A dial at addresses of a peer that may stand behind a router, unless it is
/// connected or dialled already.
///
/// A peer with a relay is to punch a hole to our listen port. The port must be
/// there for that alone: where our router has a hole already, the peer's SYN
/// finds our listener before we dial, and both ends wait for the other to begin.
pub(super) fn plain_dial(peer: PeerId, addresses: Vec<Multiaddr>) -> DialOpts {
    let has_relay = addresses.iter().any(is_circuit);
    let options = DialOpts::peer_id(peer)
        .condition(PeerCondition::DisconnectedAndNotDialing)
        .addresses(addresses);
    match has_relay {
        true => options.allocate_new_port().build(),
        false => options.build(),
    }
}

impl Due {
    /// The dial, as [`plain_dial`].
    pub(super) fn options(self) -> DialOpts {
        let options = DialOpts::unknown_peer_id().address(self.address);
        match self.has_relay {
            true => options.allocate_new_port().build(),
            false => options.build(),
        }
    }
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
        let peer = peer_of(&address);
        self.kept.push(Kept {
            address,
            peer,
            connected: None,
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
        let waiting = self.kept.iter().filter(|kept| kept.connected.is_none());
        waiting.map(|kept| kept.due).min()
    }

    /// The addresses that are due. Each is due again, later, until it is
    /// connected.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        is_connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<Due> {
        let relayed: Vec<PeerId> = (self.kept.iter())
            .filter(|kept| is_circuit(&kept.address))
            .filter_map(|kept| kept.peer)
            .collect();
        let mut due = Vec::new();
        for kept in &mut self.kept {
            if kept.connected.is_some() || kept.due > now {
                continue;
            }
            if kept.peer.is_some_and(|peer| is_connected(&peer)) {
                kept.connected = Some(now);
                continue;
            }
            kept.due = now + kept.pause;
            kept.pause = (kept.pause * 2).min(MAX_REDIAL);
            due.push(Due {
                address: kept.address.clone(),
                has_relay: kept.peer.is_some_and(|peer| relayed.contains(&peer)),
            });
        }
        due
    }

    /// Notes that a peer is connected, at an address when we dialled it.
    pub(super) fn connected(&mut self, peer: PeerId, address: Option<&Multiaddr>, now: Instant) {
        for kept in &mut self.kept {
            let dialled = address.is_some_and(|address| {
                *address == kept.address
                    || address.clone().with_p2p(peer).as_ref() == Ok(&kept.address)
            });
            if kept.peer == Some(peer) || (kept.peer.is_none() && dialled) {
                kept.peer = Some(peer);
                kept.connected.get_or_insert(now);
            }
        }
    }

    /// Notes that the last connection to a peer is closed.
    pub(super) fn closed(&mut self, peer: PeerId, now: Instant) {
        for kept in self.kept.iter_mut().filter(|kept| kept.peer == Some(peer)) {
            // Whoever hangs up at once (it is full, or in another network) is
            // dialled as seldom as one who does not answer.
            let lasted = kept
                .connected
                .is_some_and(|since| now >= since + MAX_REDIAL);
            if lasted {
                kept.pause = FIRST_REDIAL;
            }
            kept.connected = None;
            kept.due = now + kept.pause;
            kept.pause = (kept.pause * 2).min(MAX_REDIAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p::multiaddr::Protocol;

    use super::*;

    fn address(peer: PeerId) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}").parse().unwrap()
    }

    fn dials(dialer: &mut Dialer, now: Instant) -> usize {
        dialer.take_due(now, |_| false).len()
    }

    #[test]
    fn a_lost_peer_is_dialled_again_with_growing_pauses() {
        let now = Instant::now();
        let mut dialer = Dialer::default();
        let peer = PeerId::random();
        dialer.keep(address(peer), now);
        assert_eq!(dials(&mut dialer, now), 1);
        let first = dialer.next_due().unwrap();
        assert_eq!(first, now + FIRST_REDIAL);
        assert_eq!(dials(&mut dialer, now), 0);
        assert_eq!(dials(&mut dialer, first), 1);
        assert_eq!(dialer.next_due().unwrap(), first + FIRST_REDIAL * 2);

        dialer.connected(peer, None, first);
        assert_eq!(dialer.next_due(), None);
        let later = first + MAX_REDIAL;
        dialer.closed(peer, later);
        assert_eq!(dialer.next_due().unwrap(), later + FIRST_REDIAL);
    }

    #[test]
    fn a_peer_that_hangs_up_at_once_is_dialled_with_growing_pauses_too() {
        let mut now = Instant::now();
        let mut dialer = Dialer::default();
        let peer = PeerId::random();
        dialer.keep(address(peer), now);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert_eq!(dials(&mut dialer, now), 1);
            dialer.connected(peer, None, now);
            dialer.closed(peer, now);
            let due = dialer.next_due().unwrap();
            pauses.push(due - now);
            now = due;
        }
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert_eq!(pauses[7], MAX_REDIAL);
    }

    #[test]
    fn a_peer_behind_a_relay_is_not_taken_for_the_relay() {
        let now = Instant::now();
        let mut dialer = Dialer::default();
        let (relay, peer) = (PeerId::random(), PeerId::random());
        let circuit = (address(relay).with(Protocol::P2pCircuit)).with(Protocol::P2p(peer));
        dialer.keep(circuit, now);
        dialer.keep(address(peer), now);
        let due = dialer.take_due(now, |connected| *connected == relay);
        assert_eq!(due.len(), 2);
        assert!(due.iter().all(|due| due.has_relay));
    }
}
