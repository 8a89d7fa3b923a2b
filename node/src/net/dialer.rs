//! The addresses that are kept connected: bootstrap peers, and the known peers
//! of followed streams.

use std::collections::BTreeSet;

use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::action::Dial;
use super::addresses::{is_circuit, peer_of, without_peer};
use super::limits::{KEPT_DIALLED_AT_ONCE, MAX_KEPT_ADDRESSES, REDIAL_BACKOFF};

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
    /// Dials, and connections that did not last, since it was there for long.
    failures: u32,
    due: Instant,
}

/// A peer that is to be dialled now, at all addresses that are kept of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Who is there, if that is known.
    pub(super) peer: Option<PeerId>,
    pub(super) addresses: Vec<Multiaddr>,
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
pub(super) fn plain_dial(peer: PeerId, addresses: Vec<Multiaddr>) -> Dial {
    Dial {
        from_new_port: addresses.iter().any(is_circuit),
        ..Dial::new(peer, addresses)
    }
}

impl Due {
    /// The dial, as [`plain_dial`], at these other addresses of the peer, too.
    pub(super) fn options(mut self, others: &[Multiaddr]) -> Option<DialOpts> {
        let Some(peer) = self.peer else {
            let options = DialOpts::unknown_peer_id().address(self.addresses.pop()?);
            return Some(options.build());
        };
        let bare = |address: &Multiaddr| without_peer(address.clone(), peer);
        let mut addresses: Vec<Multiaddr> = self.addresses.iter().map(bare).collect();
        for other in others.iter().map(bare) {
            if !addresses.contains(&other) {
                addresses.push(other);
            }
        }
        let dial = Dial {
            from_new_port: self.has_relay,
            at_once: Some(KEPT_DIALLED_AT_ONCE),
            ..Dial::new(peer, addresses)
        };
        Some(dial.options())
    }
}

impl Dialer {
    /// Keeps an address connected from now on; known ones are dialled at once.
    pub(super) fn keep(&mut self, address: Multiaddr, now: Instant) {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.address == address) {
            kept.failures = 0;
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
            failures: 0,
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

    /// Who is due. Each address is due again, later, until it is connected; with
    /// the first one of a peer that is due go its others.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        is_connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<Due> {
        let relayed: Vec<PeerId> = (self.kept.iter())
            .filter(|kept| is_circuit(&kept.address))
            .filter_map(|kept| kept.peer)
            .collect();
        let waiting = |kept: &&Kept| kept.connected.is_none() && kept.due <= now;
        let first: BTreeSet<PeerId> = (self
            .kept
            .iter()
            .filter(waiting)
            .filter_map(|kept| kept.peer))
        .collect();
        let mut due: Vec<Due> = Vec::new();
        for kept in &mut self.kept {
            let goes_along = kept.peer.is_some_and(|peer| first.contains(&peer));
            if kept.connected.is_some() || kept.due > now && !goes_along {
                continue;
            }
            if kept.peer.is_some_and(|peer| is_connected(&peer)) {
                kept.connected = Some(now);
                continue;
            }
            kept.due = now + REDIAL_BACKOFF.next(&mut kept.failures);
            let of_peer = |due: &&mut Due| due.peer.is_some() && due.peer == kept.peer;
            if let Some(due) = due.iter_mut().find(of_peer) {
                due.addresses.push(kept.address.clone());
                continue;
            }
            due.push(Due {
                peer: kept.peer,
                addresses: vec![kept.address.clone()],
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
                .is_some_and(|since| now >= since + REDIAL_BACKOFF.most());
            if lasted {
                kept.failures = 0;
            }
            kept.connected = None;
            kept.due = now + REDIAL_BACKOFF.next(&mut kept.failures);
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
        assert_eq!(first, now + REDIAL_BACKOFF.first());
        assert_eq!(dials(&mut dialer, now), 0);
        assert_eq!(dials(&mut dialer, first), 1);
        assert_eq!(
            dialer.next_due().unwrap(),
            first + REDIAL_BACKOFF.first() * 2
        );

        dialer.connected(peer, None, first);
        assert_eq!(dialer.next_due(), None);
        let later = first + REDIAL_BACKOFF.most();
        dialer.closed(peer, later);
        assert_eq!(dialer.next_due().unwrap(), later + REDIAL_BACKOFF.first());
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
        assert_eq!(pauses[7], REDIAL_BACKOFF.most());
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
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].addresses.len(), 2);
        assert!(due[0].has_relay);
    }

    #[test]
    fn a_peer_is_dialled_at_all_its_addresses_at_once() {
        let now = Instant::now();
        let mut dialer = Dialer::default();
        let peer = PeerId::random();
        let quic: Multiaddr = (format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{peer}").parse()).unwrap();
        dialer.keep(address(peer), now);
        dialer.take_due(now, |_| false);
        let later = now + REDIAL_BACKOFF.first();
        // One that is not due yet goes along.
        dialer.keep(quic.clone(), later + REDIAL_BACKOFF.first());
        dialer.keep("/ip4/127.0.0.1/tcp/2".parse().unwrap(), later);
        let mut due = dialer.take_due(later, |_| false);
        assert_eq!(due.len(), 2);
        let of_peer = due.remove(0);
        assert_eq!(of_peer.addresses, [address(peer), quic.clone()]);
        let known = [
            without_peer(quic, peer),
            "/ip4/192.0.2.1/tcp/1".parse().unwrap(),
        ];
        let options = format!("{:?}", of_peer.options(&known));
        assert_eq!(options.matches("/ip4/").count(), 3, "{options}");
    }
}
