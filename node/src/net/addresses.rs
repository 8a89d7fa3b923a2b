//! Multiaddrs: what their parts say, and which of those that a peer names are
//! worth a dial, or worth telling to others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::limits::{MAX_ADDRESS_BYTES_PER_PEER, MAX_ADDRESSES_PER_PEER};

/// From how far away an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// On the same machine.
    Machine,
    /// In the same private network.
    Site,
    /// From anywhere.
    World,
}

/// How far an address reaches; `None` when nobody can be reached there.
pub(super) fn reach(address: &Multiaddr) -> Option<Reach> {
    let mut parts = address.iter();
    let reach = match parts.next()? {
        Protocol::Ip4(_) | Protocol::Ip6(_) => of_ip(ip(address)?)?,
        Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) => Reach::World,
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) | Protocol::Udp(port) if port != 0 => Some(reach),
        _ => None,
    }
}

/// Whether an address is one of QUIC.
pub(super) fn is_quic(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::QuicV1)
}

/// Whether an address leads through a relay.
pub(super) fn is_circuit(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// The addresses of a peer that are of use to those who reach as far as it was
/// reached itself: whoever connects from the open internet cannot make others
/// dial into their own private networks. At most a few, in the order given.
pub(super) fn useful(
    addresses: impl IntoIterator<Item = Multiaddr>,
    at_least: Reach,
) -> Vec<Multiaddr> {
    let mut taken: Vec<Multiaddr> = Vec::new();
    let mut bytes = 0;
    for address in addresses {
        let length = address.len();
        if reach(&address).is_some_and(|reach| reach >= at_least)
            && taken.len() < MAX_ADDRESSES_PER_PEER
            && bytes + length <= MAX_ADDRESS_BYTES_PER_PEER
            && !taken.contains(&address)
        {
            bytes += length;
            taken.push(address);
        }
    }
    taken
}

/// The networks that this machine is in, as far as addresses tell: /24 of IPv4
/// and /64 of IPv6 are what homes and offices have.
#[derive(Debug, Default)]
pub(super) struct Networks(Vec<IpAddr>);

impl Networks {
    /// Those of the addresses that we listen on; places at relays are in others'.
    pub(super) fn of<'a>(listeners: impl IntoIterator<Item = &'a Multiaddr>) -> Self {
        let own = listeners.into_iter().filter(|own| !is_circuit(own));
        Self(own.filter_map(ip).collect())
    }

    /// Whether an address is in one of them.
    pub(super) fn contain(&self, address: &Multiaddr) -> bool {
        ip(address).is_some_and(|theirs| self.0.iter().any(|ours| is_near(*ours, theirs)))
    }
}

fn is_near(ours: IpAddr, theirs: IpAddr) -> bool {
    match (ours, theirs) {
        (IpAddr::V4(ours), IpAddr::V4(theirs)) => ours.octets()[..3] == theirs.octets()[..3],
        (IpAddr::V6(ours), IpAddr::V6(theirs)) => ours.octets()[..8] == theirs.octets()[..8],
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// The IP address with which a multiaddr begins. An IPv4 one may be written as
/// an IPv6 one.
pub(super) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(IpAddr::from(ip).to_canonical()),
        _ => None,
    }
}

/// Whether an address means nothing on another machine: a link-local one leads
/// nowhere without the interface, and who reads of it does not know which.
pub(crate) fn is_bound_to_link(address: &Multiaddr) -> bool {
    ip(address).is_some_and(|ip| of_ip(ip).is_none())
}

/// Our own addresses without those that mean nothing on another machine. They
/// stay when there is nothing else, so that a node that was told to listen there
/// shows where it does.
pub(super) fn useful_to_others(mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    if !addresses.iter().all(is_bound_to_link) {
        addresses.retain(|address| !is_bound_to_link(address));
    }
    addresses
}

/// Our own addresses as users see them: those that reach farthest first, direct
/// ones before those through relays, IPv4 and TCP first. Where nobody can be
/// reached (link-local) is of interest to nobody, unless there is nothing else.
pub(crate) fn best_first(addresses: &[Multiaddr]) -> Vec<Multiaddr> {
    let mut best = useful_to_others(addresses.to_vec());
    best.sort_by_key(|address| {
        let is_ip6 = matches!(address.iter().next(), Some(Protocol::Ip6(_)));
        let far = std::cmp::Reverse(reach(address));
        (far, is_circuit(address), is_ip6, is_quic(address))
    });
    best
}

/// The same address may come with and without the peer's id.
pub(super) fn without_peer(mut address: Multiaddr, peer: PeerId) -> Multiaddr {
    if address.iter().last() == Some(Protocol::P2p(peer)) {
        address.pop();
    }
    address
}

/// The peer that an address leads to, if it says so. (The first one in the
/// address of a circuit is the relay.)
pub(crate) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

fn of_ip(ip: IpAddr) -> Option<Reach> {
    match ip {
        IpAddr::V4(ip) => of_ip4(ip),
        IpAddr::V6(ip) => of_ip6(ip),
    }
}

fn of_ip4(ip: Ipv4Addr) -> Option<Reach> {
    // A link-local one (RFC 3927) means another machine on every link.
    if ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() || ip.is_link_local() {
        return None;
    }
    // RFC 6598: between a provider's NAT and its customers' routers.
    let is_shared = ip.octets()[0] == 100 && (64..128).contains(&ip.octets()[1]);
    Some(if ip.is_loopback() {
        Reach::Machine
    } else if ip.is_private() || is_shared {
        Reach::Site
    } else {
        Reach::World
    })
}

fn of_ip6(ip: Ipv6Addr) -> Option<Reach> {
    // A link-local one leads nowhere without the interface, which TCP and QUIC
    // addresses do not name.
    if ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local() {
        return None;
    }
    Some(if ip.is_loopback() {
        Reach::Machine
    } else if ip.is_unique_local() {
        Reach::Site
    } else {
        Reach::World
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach_of(text: &str) -> Option<Reach> {
        reach(&text.parse().unwrap())
    }

    #[test]
    fn an_address_reaches_as_far_as_its_range() {
        assert_eq!(reach_of("/ip4/127.0.0.1/tcp/1"), Some(Reach::Machine));
        assert_eq!(reach_of("/ip6/::1/udp/1/quic-v1"), Some(Reach::Machine));
        assert_eq!(
            reach_of("/ip6/::ffff:127.0.0.1/tcp/1"),
            Some(Reach::Machine)
        );
        assert_eq!(reach_of("/ip4/192.168.1.2/tcp/1"), Some(Reach::Site));
        assert_eq!(reach_of("/ip4/100.64.0.1/tcp/1"), Some(Reach::Site));
        assert_eq!(reach_of("/ip6/fd00::1/tcp/1"), Some(Reach::Site));
        assert_eq!(reach_of("/ip4/192.0.2.1/tcp/1"), Some(Reach::World));
        assert_eq!(reach_of("/dns/example.org/tcp/1"), Some(Reach::World));
    }

    #[test]
    fn addresses_where_nobody_can_be_are_told_apart() {
        for nowhere in [
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/169.254.1.2/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip4/224.0.0.1/udp/1/quic-v1",
            "/ip4/192.0.2.1/tcp/0",
            "/ip4/192.0.2.1",
            "/memory/1",
        ] {
            assert_eq!(reach_of(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn a_peer_from_far_away_cannot_name_addresses_of_our_machine() {
        let addresses: Vec<Multiaddr> = ["/ip4/127.0.0.1/tcp/1", "/ip4/192.0.2.1/tcp/1"]
            .map(|text| text.parse().unwrap())
            .into();
        assert_eq!(useful(addresses.clone(), Reach::Machine), addresses);
        assert_eq!(useful(addresses.clone(), Reach::World), addresses[1..]);
    }

    #[test]
    fn what_reaches_farthest_comes_first_and_link_local_addresses_are_left_out() {
        let relay = PeerId::random();
        let circuit = format!("/ip4/192.0.2.9/tcp/1/p2p/{relay}/p2p-circuit");
        let addresses: Vec<Multiaddr> = [
            "/ip4/127.0.0.1/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip4/169.254.0.1/tcp/1",
            "/ip4/192.168.1.2/tcp/1",
            &circuit,
            "/ip6/2001:db8::1/tcp/1",
            "/ip4/192.0.2.1/udp/1/quic-v1",
            "/dns4/node.example.org/tcp/1",
        ]
        .map(|text| text.parse().unwrap())
        .into();
        let expected = [7, 6, 5, 4, 3, 0].map(|place: usize| addresses[place].clone());
        assert_eq!(best_first(&addresses), expected);
        assert_eq!(best_first(&addresses[1..2]), addresses[1..2]);
    }

    #[test]
    fn our_networks_are_those_of_our_listeners() {
        let relay = PeerId::random();
        let listeners: Vec<Multiaddr> = [
            "/ip4/192.168.1.2/tcp/1",
            "/ip6/fd00::1:0:0:0:1/udp/1/quic-v1",
            &format!("/ip4/10.0.0.1/tcp/1/p2p/{relay}/p2p-circuit"),
        ]
        .map(|text| text.parse().unwrap())
        .into();
        let networks = Networks::of(&listeners);
        let contain = |text: &str| networks.contain(&text.parse().unwrap());
        assert!(contain("/ip4/192.168.1.77/tcp/9"));
        assert!(contain("/ip6/fd00::1:0:0:0:77/tcp/9"));
        assert!(contain("/ip6/::ffff:192.168.1.77/tcp/9"));
        assert!(!contain("/ip4/192.168.2.2/tcp/9"));
        assert!(!contain("/ip6/fd00::2:0:0:0:1/tcp/9"));
        assert!(!contain("/ip4/10.0.0.2/tcp/9"));
        assert!(!contain("/dns/example.org/tcp/9"));
    }

    #[test]
    fn a_peer_can_name_a_few_addresses_only() {
        let many = (1..1_000).map(|port| format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap());
        assert_eq!(useful(many, Reach::World).len(), MAX_ADDRESSES_PER_PEER);
        let name = "x".repeat(MAX_ADDRESS_BYTES_PER_PEER);
        let long = format!("/dns/{name}/tcp/1").parse();
        assert!(useful(long, Reach::World).is_empty());
    }
}
