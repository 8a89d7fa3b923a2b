//! What is known about how others reach us: the addresses that AutoNAT
//! confirmed, and what kind of router stands before us.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::super::addresses::{Reach, ip, is_circuit, reach};
use super::super::limits::MAX_OBSERVATIONS;
use super::super::lines::source_of;
use crate::handle::{Mapping, Reachability};

/// Gathers the signs.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// Addresses of ours that are confirmed, by AutoNAT or by the user, each with
    /// the address of this machine that leads out there.
    confirmed: BTreeMap<Multiaddr, Option<IpAddr>>,
    /// Tests of AutoNAT that failed since the last success.
    failed: u32,
    /// What peers saw of us, the newest last; one for each peer and transport.
    observations: VecDeque<Observation>,
}

#[derive(Debug)]
struct Observation {
    peer: PeerId,
    address: Multiaddr,
}

/// TCP or UDP over IPv4 or IPv6: each is mapped by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Transport {
    Tcp4,
    Udp4,
    Tcp6,
    Udp6,
}

impl Signs {
    /// An address of ours is confirmed.
    pub(super) fn confirmed(&mut self, address: &Multiaddr) {
        if !is_circuit(address) {
            let source = ip(address).and_then(source_of);
            self.confirmed.insert(address.clone(), source);
            self.failed = 0;
        }
    }

    /// An address of ours is not valid any more.
    pub(super) fn expired(&mut self, address: &Multiaddr) {
        self.confirmed.remove(address);
    }

    /// The address of this machine behind one that is confirmed.
    pub(super) fn source(&self, address: &Multiaddr) -> Option<IpAddr> {
        self.confirmed.get(address).copied().flatten()
    }

    /// What peers saw is not true any more.
    pub(super) fn forget_observations(&mut self) {
        self.observations.clear();
    }

    /// A server of AutoNAT could not reach an address of ours.
    pub(super) fn failed(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    /// A peer that we dialled from a listen port sees us at this address. Where
    /// it saw us before comes back.
    pub(super) fn observed(&mut self, peer: PeerId, address: &Multiaddr) -> Option<Multiaddr> {
        let transport = transport(address)?;
        let same = |known: &&Observation| {
            known.peer == peer && self::transport(&known.address) == Some(transport)
        };
        let before = self.observations.iter().find(same);
        let before = before.map(|known| known.address.clone());
        self.observations.retain(|known| {
            known.peer != peer || self::transport(&known.address) != Some(transport)
        });
        if self.observations.len() >= MAX_OBSERVATIONS {
            self.observations.pop_front();
        }
        self.observations.push_back(Observation {
            peer,
            address: address.clone(),
        });
        before
    }

    /// Whether another peer says so too, when one sees us at an IP address, or nobody
    /// else is there to say otherwise: what was confirmed is not taken back at one
    /// word of many, nor told again.
    pub(super) fn are_seen_at(&self, peer: PeerId, address: &Multiaddr) -> bool {
        let now = ip(address);
        let mut others = self.observations.iter().filter(|known| known.peer != peer);
        let is_alone = others.clone().next().is_none();
        is_alone || others.any(|known| ip(&known.address) == now)
    }

    /// Whether somebody as far away as this can reach us directly.
    pub(super) fn is_reachable_from(&self, far: Reach) -> bool {
        let mut confirmed = self.confirmed.keys();
        confirmed.any(|address| reach(address).is_some_and(|reach| reach >= far))
    }

    /// Confirmed addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Multiaddr> {
        self.confirmed.keys()
    }

    /// What the signs say.
    pub(super) fn reachability(&self) -> Reachability {
        if self.is_reachable_from(Reach::World) {
            Reachability::Public
        } else if !self.confirmed.is_empty() {
            Reachability::Site
        } else if self.failed > 0 {
            Reachability::Private
        } else {
            Reachability::Unknown
        }
    }

    /// How the router before us maps our ports, the worst of the transports:
    /// TCP and UDP are mapped alike by nearly all of them.
    pub(super) fn mapping<'a>(
        &self,
        listeners: impl IntoIterator<Item = &'a Multiaddr>,
    ) -> Mapping {
        let ours: BTreeSet<(Transport, String)> = (listeners.into_iter())
            .filter_map(|address| Some((transport(address)?, endpoint(address)?)))
            .collect();
        let mut seen: BTreeMap<Transport, BTreeSet<String>> = BTreeMap::new();
        for Observation { address, .. } in &self.observations {
            if let (Some(transport), Some(endpoint)) = (transport(address), endpoint(address)) {
                seen.entry(transport).or_default().insert(endpoint);
            }
        }
        let of = |(transport, endpoints): (&Transport, &BTreeSet<String>)| {
            let peers = (self.observations.iter())
                .filter(|known| self::transport(&known.address) == Some(*transport))
                .count();
            let is_ours = |endpoint: &String| ours.contains(&(*transport, endpoint.clone()));
            match (endpoints.len(), peers) {
                (1, _) if endpoints.iter().all(is_ours) => Mapping::None,
                (1, 1) => Mapping::Unknown,
                (1, _) => Mapping::EndpointIndependent,
                _ => Mapping::EndpointDependent,
            }
        };
        seen.iter().map(of).max().unwrap_or(Mapping::Unknown)
    }
}

fn transport(address: &Multiaddr) -> Option<Transport> {
    let mut parts = address.iter();
    match (parts.next()?, parts.next()?) {
        (Protocol::Ip4(_), Protocol::Tcp(_)) => Some(Transport::Tcp4),
        (Protocol::Ip4(_), Protocol::Udp(_)) => Some(Transport::Udp4),
        (Protocol::Ip6(_), Protocol::Tcp(_)) => Some(Transport::Tcp6),
        (Protocol::Ip6(_), Protocol::Udp(_)) => Some(Transport::Udp6),
        _ => None,
    }
}

/// IP address and port in words.
fn endpoint(address: &Multiaddr) -> Option<String> {
    let mut parts = address.iter();
    let ip = parts.next()?;
    let port = parts.next()?;
    Some(format!("{ip}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn signs(observed: &[&str]) -> Signs {
        let mut signs = Signs::default();
        for text in observed {
            signs.observed(PeerId::random(), &address(text));
        }
        signs
    }

    #[test]
    fn the_kind_of_router_shows_in_what_several_peers_see() {
        let ours = [
            address("/ip4/192.168.1.2/tcp/4600"),
            address("/ip4/203.0.113.1/tcp/4600"),
        ];
        let mapping = |observed: &[&str]| signs(observed).mapping(&ours);
        assert_eq!(mapping(&[]), Mapping::Unknown);
        assert_eq!(mapping(&["/ip4/203.0.113.1/tcp/4600"]), Mapping::None);
        assert_eq!(mapping(&["/ip4/203.0.113.9/tcp/4600"]), Mapping::Unknown);
        assert_eq!(
            mapping(&["/ip4/203.0.113.9/tcp/7", "/ip4/203.0.113.9/tcp/7"]),
            Mapping::EndpointIndependent
        );
        assert_eq!(
            mapping(&["/ip4/203.0.113.9/tcp/7", "/ip4/203.0.113.9/tcp/8"]),
            Mapping::EndpointDependent
        );
        // TCP and UDP each have a port of their own.
        assert_eq!(
            mapping(&["/ip4/203.0.113.9/tcp/7", "/ip4/203.0.113.9/udp/8/quic-v1"]),
            Mapping::Unknown
        );
    }

    #[test]
    fn one_peer_of_several_takes_back_nothing() {
        let mut signs = Signs::default();
        let (one, other) = (PeerId::random(), PeerId::random());
        let (old, new) = ("/ip4/203.0.113.9/tcp/7", "/ip4/203.0.113.10/tcp/7");
        signs.observed(one, &address(old));
        assert!(signs.are_seen_at(one, &address(new)));
        signs.observed(other, &address(old));
        signs.observed(one, &address(new));
        assert!(!signs.are_seen_at(one, &address(new)));
        signs.observed(other, &address(new));
        assert!(signs.are_seen_at(other, &address(new)));
    }

    #[test]
    fn one_peer_that_sees_a_new_port_does_not_make_a_symmetric_router() {
        let mut signs = Signs::default();
        let peer = PeerId::random();
        signs.observed(peer, &address("/ip4/203.0.113.9/tcp/7"));
        signs.observed(peer, &address("/ip4/203.0.113.9/tcp/8"));
        assert_eq!(signs.mapping(&[]), Mapping::Unknown);
    }

    #[test]
    fn a_place_at_a_relay_makes_nobody_public() {
        let mut signs = Signs::default();
        assert_eq!(signs.reachability(), Reachability::Unknown);
        let relay = PeerId::random();
        signs.confirmed(&address(&format!(
            "/ip4/203.0.113.1/tcp/1/p2p/{relay}/p2p-circuit"
        )));
        assert_eq!(signs.reachability(), Reachability::Unknown);
        signs.failed();
        assert_eq!(signs.reachability(), Reachability::Private);
        signs.confirmed(&address("/ip4/192.168.1.2/tcp/1"));
        assert_eq!(signs.reachability(), Reachability::Site);
        signs.confirmed(&address("/ip4/203.0.113.1/tcp/1"));
        assert_eq!(signs.reachability(), Reachability::Public);
        assert!(signs.is_reachable_from(Reach::Site));
    }

    #[test]
    fn observations_are_bounded() {
        let many = ["/ip4/203.0.113.9/tcp/7"; 10 * MAX_OBSERVATIONS];
        assert_eq!(signs(&many).observations.len(), MAX_OBSERVATIONS);
    }
}
