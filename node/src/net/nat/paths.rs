//! Which connections lead through a relay, and when a direct one has taken their
//! place.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::super::addresses::{Networks, Reach, is_circuit, reach, useful};
use super::super::limits::{MAX_NEAR_DIALS, MIN_NEAR_PORT, NEAR_DIALS_WITHIN, RELAYED_GRACE};

/// The connections of each peer, by the way they take.
#[derive(Debug, Default)]
pub(super) struct Paths {
    peers: BTreeMap<PeerId, Ways>,
    /// Relayed connections that are not needed any more, and when they go.
    leaving: Vec<(Instant, ConnectionId)>,
    /// When peers behind our router were dialled there.
    near_dials: Vec<Instant>,
}

#[derive(Debug, Default)]
struct Ways {
    direct: BTreeSet<ConnectionId>,
    relayed: BTreeSet<ConnectionId>,
    /// Its direct addresses were dialled already.
    dialled: bool,
    /// Addresses in private networks that it has told of.
    near: Vec<Multiaddr>,
    /// It is behind the same router as we are.
    same_router: bool,
    /// The near ones were dialled already.
    near_dialled: bool,
}

impl Paths {
    /// Notes a connection.
    pub(super) fn connected(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        is_relayed: bool,
        now: Instant,
    ) {
        let ways = self.peers.entry(peer).or_default();
        if is_relayed {
            ways.relayed.insert(id);
        } else {
            ways.direct.insert(id);
        }
        if !ways.direct.is_empty() {
            // The other side may not have finished its half yet, and what is
            // under way on the relayed one should arrive.
            let leaving = ways.relayed.iter();
            (self.leaving).extend(leaving.map(|id| (now + RELAYED_GRACE, *id)));
        }
    }

    /// Notes that a connection is closed.
    pub(super) fn closed(&mut self, peer: PeerId, id: ConnectionId) {
        self.leaving.retain(|(_, leaving)| *leaving != id);
        let Some(ways) = self.peers.get_mut(&peer) else {
            return;
        };
        ways.direct.remove(&id);
        ways.relayed.remove(&id);
        if ways.direct.is_empty() {
            // They may be all that is left.
            self.leaving.retain(|(_, id)| !ways.relayed.contains(id));
        }
        if ways.direct.is_empty() && ways.relayed.is_empty() {
            self.peers.remove(&peer);
        }
    }

    /// Whether all connections to a peer lead through relays.
    pub(super) fn is_relayed(&self, peer: &PeerId) -> bool {
        let ways = self.peers.get(peer);
        ways.is_some_and(|ways| ways.direct.is_empty() && !ways.relayed.is_empty())
    }

    /// Whether any connection leads through a relay.
    pub(super) fn any_relayed(&self) -> bool {
        self.peers.values().any(|ways| !ways.relayed.is_empty())
    }

    /// The addresses at which a peer that is connected through a relay may be
    /// reached directly: those open to all, and those in a network that we are
    /// in. Each peer's once.
    pub(super) fn direct_addresses<'a>(
        &mut self,
        peer: &PeerId,
        told: impl IntoIterator<Item = Multiaddr>,
        listeners: impl IntoIterator<Item = &'a Multiaddr>,
    ) -> Vec<Multiaddr> {
        if !self.is_relayed(peer) {
            return Vec::new();
        }
        let Some(ways) = self.peers.get_mut(peer).filter(|ways| !ways.dialled) else {
            return Vec::new();
        };
        let told: Vec<Multiaddr> = told.into_iter().collect();
        ways.near = near(&told);
        let networks = Networks::of(listeners);
        let told = told.into_iter().filter(|address| {
            !is_circuit(address)
                && (reach(address) == Some(Reach::World) || networks.contain(address))
        });
        let direct = useful(told, Reach::Site);
        ways.dialled = !direct.is_empty();
        direct
    }

    /// Notes that a peer is behind the same router as we are.
    pub(super) fn same_router(&mut self, peer: &PeerId) {
        if let Some(ways) = self.peers.get_mut(peer) {
            ways.same_router = true;
        }
    }

    /// The addresses in private networks at which a peer behind the same router
    /// may be reached, when we are connected through a relay only: such a network
    /// may have several parts. Each peer's once, and of strangers none.
    pub(super) fn near_addresses(&mut self, peer: &PeerId, now: Instant) -> Vec<Multiaddr> {
        if !self.is_relayed(peer) {
            return Vec::new();
        }
        let is_due =
            |ways: &&mut Ways| ways.same_router && !ways.near_dialled && !ways.near.is_empty();
        let Some(ways) = self.peers.get_mut(peer).filter(is_due) else {
            return Vec::new();
        };
        // Anybody can say that it is behind our router.
        self.near_dials.retain(|at| now < *at + NEAR_DIALS_WITHIN);
        if self.near_dials.len() >= MAX_NEAR_DIALS {
            return Vec::new();
        }
        self.near_dials.push(now);
        ways.near_dialled = true;
        std::mem::take(&mut ways.near)
    }

    /// When the next relayed connection goes.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.leaving.iter().map(|(due, _)| *due).min()
    }

    /// The relayed connections that go now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<ConnectionId> {
        let is_due = |(due, _): &mut (Instant, ConnectionId)| *due <= now;
        let due = self.leaving.extract_if(.., is_due);
        due.map(|(_, id)| id).collect()
    }
}

/// The addresses in private networks, but none of a service of the system: nodes
/// do not listen there, and a port is not to be knocked at because a stranger
/// says so.
fn near(told: &[Multiaddr]) -> Vec<Multiaddr> {
    let is_near = |address: &&Multiaddr| {
        reach(address) == Some(Reach::Site)
            && address.iter().any(|part| match part {
                Protocol::Tcp(port) | Protocol::Udp(port) => port >= MIN_NEAR_PORT,
                _ => false,
            })
    };
    useful(told.iter().filter(is_near).cloned(), Reach::Site)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    #[test]
    fn a_relayed_connection_goes_a_little_after_a_direct_one_is_there() {
        let now = Instant::now();
        let mut paths = Paths::default();
        let peer = PeerId::random();
        paths.connected(peer, id(1), true, now);
        assert!(paths.is_relayed(&peer));
        assert_eq!(paths.next_due(), None);
        paths.connected(peer, id(2), false, now);
        assert!(!paths.is_relayed(&peer));
        assert!(paths.take_due(now).is_empty());
        assert_eq!(paths.take_due(now + RELAYED_GRACE), [id(1)]);
    }

    #[test]
    fn a_relayed_connection_stays_when_the_direct_one_is_lost_at_once() {
        let now = Instant::now();
        let mut paths = Paths::default();
        let peer = PeerId::random();
        paths.connected(peer, id(1), true, now);
        paths.connected(peer, id(2), false, now);
        paths.closed(peer, id(2));
        assert!(paths.is_relayed(&peer));
        assert!(paths.take_due(now + RELAYED_GRACE).is_empty());
        paths.closed(peer, id(1));
        assert!(paths.peers.is_empty());
    }

    #[test]
    fn a_peer_behind_our_router_is_dialled_in_other_parts_of_the_network_and_once() {
        let now = Instant::now();
        let mut paths = Paths::default();
        let told = |texts: &[&str]| -> Vec<Multiaddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let addresses = told(&[
            "/ip4/10.1.0.3/tcp/4600",
            "/ip4/10.1.0.3/tcp/22",
            "/ip4/127.0.0.1/tcp/4600",
        ]);
        let peer = PeerId::random();
        paths.connected(peer, id(1), true, now);
        assert!(
            paths
                .direct_addresses(&peer, addresses.clone(), &[])
                .is_empty()
        );
        assert!(paths.near_addresses(&peer, now).is_empty(), "a stranger");
        paths.same_router(&peer);
        assert_eq!(paths.near_addresses(&peer, now), addresses[..1]);
        assert!(paths.near_addresses(&peer, now).is_empty());
        // However many say so, few dials come of it.
        let mut dialled = 1;
        for number in 0..10 * MAX_NEAR_DIALS {
            let peer = PeerId::random();
            paths.connected(peer, id(number + 2), true, now);
            paths.same_router(&peer);
            paths.direct_addresses(&peer, addresses.clone(), &[]);
            dialled += paths.near_addresses(&peer, now).len();
        }
        assert_eq!(dialled, MAX_NEAR_DIALS);
    }

    #[test]
    fn only_addresses_that_may_lead_to_the_peer_are_dialled_and_once() {
        let now = Instant::now();
        let mut paths = Paths::default();
        let peer = PeerId::random();
        let relay = PeerId::random();
        let address = |text: &str| text.parse::<Multiaddr>().unwrap();
        let told = [
            address("/ip4/127.0.0.1/tcp/1"),
            address("/ip4/192.168.1.3/tcp/1"),
            address("/ip4/10.0.0.3/tcp/1"),
            address("/ip4/203.0.113.1/tcp/1"),
            address(&format!("/ip4/203.0.113.2/tcp/1/p2p/{relay}/p2p-circuit")),
        ];
        let ours = [address("/ip4/192.168.1.2/tcp/1")];
        assert!(
            paths
                .direct_addresses(&peer, told.clone(), &ours)
                .is_empty()
        );
        paths.connected(peer, id(1), true, now);
        assert_eq!(
            paths.direct_addresses(&peer, told.clone(), &ours),
            [told[1].clone(), told[3].clone()]
        );
        assert!(paths.direct_addresses(&peer, told, &ours).is_empty());
    }
}
