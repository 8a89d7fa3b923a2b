//! Where a connection comes from, as far as limits go.

use std::net::{IpAddr, Ipv4Addr};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::addresses::{ip, is_circuit};
use crate::config::access::Place;

/// What one party can hardly have many of, so that limits are counted by it.
/// Peer ids cost nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Origin {
    /// An IPv4 address: a household's, or an office's.
    V4(Ipv4Addr),
    /// The first half of an IPv6 address. A single customer is given at least
    /// that many addresses (RFC 6177).
    V6(u64),
    /// A relay, which does not tell where those behind it are.
    Relay(PeerId),
    /// Nothing is known.
    Unknown,
}

impl Origin {
    /// Where an incoming connection comes from.
    pub(super) fn of_incoming(local: &Multiaddr, remote: &Multiaddr) -> Self {
        // libp2p names the relay on our side of a connection.
        if is_circuit(local) {
            Self::of(local)
        } else {
            Self::of(remote)
        }
    }

    /// Where somebody at this address is.
    pub(super) fn of(address: &Multiaddr) -> Self {
        if is_circuit(address) {
            let relay = address.iter().find_map(|part| match part {
                Protocol::P2p(relay) => Some(relay),
                _ => None,
            });
            return relay.map_or(Self::Unknown, Self::Relay);
        }
        match ip(address) {
            Some(IpAddr::V4(ip)) => Self::V4(ip),
            Some(IpAddr::V6(ip)) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            None => Self::Unknown,
        }
    }
}

/// Where somebody at this address is, as far as the access lists go.
pub(super) fn place(address: &Multiaddr) -> Place {
    match ip(address) {
        ip if is_circuit(address) => Place::Relay(ip),
        Some(ip) => Place::Ip(ip),
        None => Place::Name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Origin {
        Origin::of(&text.parse().unwrap())
    }

    #[test]
    fn ports_and_the_lower_half_of_ipv6_make_no_difference() {
        let home = Origin::V4([192, 0, 2, 1].into());
        assert_eq!(of("/ip4/192.0.2.1/tcp/1"), home);
        assert_eq!(of("/ip4/192.0.2.1/udp/2/quic-v1"), home);
        assert_eq!(of("/ip6/::ffff:192.0.2.1/tcp/1"), home);
        assert_eq!(of("/ip6/2001:db8::1/tcp/1"), of("/ip6/2001:db8::2/tcp/1"));
        assert_ne!(
            of("/ip6/2001:db8::1/tcp/1"),
            of("/ip6/2001:db8:0:1::1/tcp/1")
        );
    }

    #[test]
    fn who_comes_through_a_relay_is_counted_with_the_relay() {
        let (relay, peer) = (PeerId::random(), PeerId::random());
        let local: Multiaddr = format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit")
            .parse()
            .unwrap();
        let remote = Multiaddr::empty().with(Protocol::P2p(peer));
        assert_eq!(Origin::of_incoming(&local, &remote), Origin::Relay(relay));
        assert_eq!(place(&local), Place::Relay(Some([192, 0, 2, 1].into())));
        assert_eq!(Origin::of(&remote), Origin::Unknown);
    }
}
