//! The relays at which a node that cannot be reached directly holds a place, so
//! that others reach it through them.

use std::collections::BTreeMap;

use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::super::addresses::without_peer;
use super::super::limits::{
    MAX_KNOWN_RELAYS, RESERVATION_BACKOFF, RESERVATION_TIMEOUT, RESERVATIONS,
};

/// Which relays are known, and at which of them a place is reserved.
#[derive(Debug, Default)]
pub(super) struct Relays {
    known: BTreeMap<PeerId, Relay>,
    needed: bool,
}

#[derive(Debug)]
struct Relay {
    /// Where it was reached, without its id.
    address: Multiaddr,
    listener: Option<ListenerId>,
    reserved: bool,
    failures: u32,
    /// When it may be asked; while it is asked, when to give up.
    due: Instant,
}

/// What is to be done with the swarm's listeners.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Listen at this address of a relay.
    Listen(PeerId, Multiaddr),
    /// Close this listener.
    Close(ListenerId),
}

impl Relays {
    /// A connected peer relays for others, and was reached at this address.
    pub(super) fn found(&mut self, peer: PeerId, address: Multiaddr, now: Instant) {
        let address = without_peer(address, peer);
        if let Some(relay) = self.known.get_mut(&peer) {
            if relay.listener.is_none() {
                relay.address = address;
                // It is there, whatever was before.
                relay.due = now;
            }
            return;
        }
        if self.known.len() >= MAX_KNOWN_RELAYS {
            let unused = (self.known.iter()).find(|(_, relay)| relay.listener.is_none());
            let Some(unused) = unused.map(|(peer, _)| *peer) else {
                return;
            };
            self.known.remove(&unused);
        }
        let relay = Relay {
            address,
            listener: None,
            reserved: false,
            failures: 0,
            due: now,
        };
        self.known.insert(peer, relay);
    }

    /// Whether a place is held, or asked for, at this peer.
    pub(super) fn uses(&self, peer: &PeerId) -> bool {
        (self.known.get(peer)).is_some_and(|relay| relay.listener.is_some())
    }

    /// Whether places are needed: only while nobody reaches us directly.
    pub(super) fn set_needed(&mut self, needed: bool) {
        self.needed = needed;
    }

    /// What is to be done now.
    pub(super) fn steps(&mut self, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        for relay in self.known.values_mut() {
            let late = !relay.reserved && relay.due <= now;
            if let Some(listener) = relay.listener
                && (!self.needed || late)
            {
                relay.fail(now);
                steps.push(Step::Close(listener));
            }
        }
        if !self.needed {
            return steps;
        }
        let asked = self.known.values().filter(|relay| relay.listener.is_some());
        let missing = RESERVATIONS.saturating_sub(asked.count());
        let due = (self.known.iter())
            .filter(|(_, relay)| relay.listener.is_none() && relay.due <= now)
            .take(missing);
        steps.extend(due.map(|(peer, relay)| {
            let circuit = (relay.address.clone())
                .with(Protocol::P2p(*peer))
                .with(Protocol::P2pCircuit);
            Step::Listen(*peer, circuit)
        }));
        steps
    }

    /// When [`steps`](Self::steps) has something new.
    pub(super) fn next_due(&self) -> Option<Instant> {
        if !self.needed {
            return None;
        }
        let asked = self.known.values().filter(|relay| relay.listener.is_some());
        let enough = asked.count() >= RESERVATIONS;
        (self.known.values())
            .filter(|relay| !relay.reserved && (relay.listener.is_some() || !enough))
            .map(|relay| relay.due)
            .min()
    }

    /// A listener was opened at a relay, or could not be.
    pub(super) fn asked(&mut self, peer: PeerId, listener: Option<ListenerId>, now: Instant) {
        let Some(relay) = self.known.get_mut(&peer) else {
            return;
        };
        match listener {
            Some(_) => {
                relay.listener = listener;
                relay.reserved = false;
                relay.due = now + RESERVATION_TIMEOUT;
            }
            None => relay.fail(now),
        }
    }

    /// A relay has accepted. libp2p renews the reservation by itself.
    pub(super) fn accepted(&mut self, peer: &PeerId) {
        if let Some(relay) = self.known.get_mut(peer) {
            relay.reserved = true;
            relay.failures = 0;
        }
    }

    /// A listener is closed: its relay refused, or is gone. There is no other
    /// sign of it.
    pub(super) fn closed(&mut self, listener: ListenerId, now: Instant) {
        let of = |relay: &&mut Relay| relay.listener == Some(listener);
        if let Some(relay) = self.known.values_mut().find(of) {
            relay.fail(now);
        }
    }

    /// The relays through which others reach us now.
    pub(super) fn reserved(&self) -> Vec<PeerId> {
        let reserved = self.known.iter().filter(|(_, relay)| relay.reserved);
        reserved.map(|(peer, _)| *peer).collect()
    }
}

impl Relay {
    fn fail(&mut self, now: Instant) {
        self.listener = None;
        self.reserved = false;
        self.due = now + RESERVATION_BACKOFF.next(&mut self.failures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listens(steps: &[Step]) -> Vec<PeerId> {
        let peer = |step: &Step| match step {
            Step::Listen(peer, _) => Some(*peer),
            Step::Close(_) => None,
        };
        steps.iter().filter_map(peer).collect()
    }

    fn known(relays: &mut Relays, count: usize, now: Instant) {
        for _ in 0..count {
            relays.found(
                PeerId::random(),
                "/ip4/192.0.2.1/tcp/1".parse().unwrap(),
                now,
            );
        }
    }

    #[test]
    fn places_are_reserved_at_two_relays_and_only_while_they_are_needed() {
        let now = Instant::now();
        let mut relays = Relays::default();
        known(&mut relays, 5, now);
        assert!(relays.steps(now).is_empty(), "not needed yet");
        relays.set_needed(true);
        let asked = listens(&relays.steps(now));
        assert_eq!(asked.len(), RESERVATIONS);
        for peer in &asked {
            relays.asked(*peer, Some(ListenerId::next()), now);
            relays.accepted(peer);
        }
        assert_eq!(relays.reserved().len(), RESERVATIONS);
        assert!(relays.steps(now).is_empty());
        assert_eq!(relays.next_due(), None);
        relays.set_needed(false);
        let steps = relays.steps(now);
        assert_eq!(steps.len(), RESERVATIONS);
        assert!(steps.iter().all(|step| matches!(step, Step::Close(_))));
    }

    #[test]
    fn a_place_that_is_lost_is_asked_for_again_with_growing_pauses() {
        let mut now = Instant::now();
        let mut relays = Relays::default();
        known(&mut relays, 1, now);
        relays.set_needed(true);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let peer = listens(&relays.steps(now))[0];
            let listener = ListenerId::next();
            relays.asked(peer, Some(listener), now);
            relays.closed(listener, now);
            let due = relays.next_due().unwrap();
            pauses.push(due - now);
            now = due;
        }
        assert_eq!(pauses[0], RESERVATION_BACKOFF.first());
        assert!(pauses.is_sorted());
        assert_eq!(pauses[7], RESERVATION_BACKOFF.most());
        // Once the relay is back nobody waits for the end of a pause.
        let peer = *relays.known.keys().next().unwrap();
        relays.found(peer, "/ip4/192.0.2.1/tcp/1".parse().unwrap(), now);
        assert_eq!(listens(&relays.steps(now)), [peer]);
    }

    #[test]
    fn a_relay_that_does_not_answer_is_left_for_another() {
        let now = Instant::now();
        let mut relays = Relays::default();
        known(&mut relays, RESERVATIONS + 1, now);
        relays.set_needed(true);
        for peer in listens(&relays.steps(now)) {
            relays.asked(peer, Some(ListenerId::next()), now);
        }
        let late = now + RESERVATION_TIMEOUT;
        let steps = relays.steps(late);
        assert_eq!(listens(&steps).len(), 1, "{steps:?}");
        assert_eq!(steps.len(), RESERVATIONS + 1);
    }

    #[test]
    fn strangers_cannot_fill_the_table_with_relays_forever() {
        let now = Instant::now();
        let mut relays = Relays::default();
        known(&mut relays, 10 * MAX_KNOWN_RELAYS, now);
        assert_eq!(relays.known.len(), MAX_KNOWN_RELAYS);
    }
}
