//! What a node of the lab listens with.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Place;

/// What a node listens with.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    /// TCP over IPv4 only.
    Tcp,
    /// QUIC over IPv4 only.
    Quic,
    /// TCP over IPv6 only.
    Tcp6,
    /// QUIC over IPv6 only.
    Quic6,
    /// All of these, as nodes do unless they are told otherwise.
    All,
}

impl Transport {
    /// Addresses of one of whose the machine has these.
    fn addresses(self, ip4: Ipv4Addr, ip6: Ipv6Addr, port: u16) -> Vec<String> {
        match self {
            Self::Tcp => vec![format!("/ip4/{ip4}/tcp/{port}")],
            Self::Quic => vec![format!("/ip4/{ip4}/udp/{port}/quic-v1")],
            Self::Tcp6 => vec![format!("/ip6/{ip6}/tcp/{port}")],
            Self::Quic6 => vec![format!("/ip6/{ip6}/udp/{port}/quic-v1")],
            Self::All => [Self::Tcp, Self::Quic, Self::Tcp6, Self::Quic6]
                .into_iter()
                .flat_map(|one| one.addresses(ip4, ip6, port))
                .collect(),
        }
    }

    /// All addresses of a machine.
    #[must_use]
    pub fn listen(self, port: u16) -> Vec<String> {
        self.addresses(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED, port)
    }

    /// Where a node at a public place is reached.
    #[must_use]
    pub fn at(self, place: &Place) -> Vec<String> {
        let ip6 = place.address6.unwrap_or(Ipv6Addr::UNSPECIFIED);
        self.addresses(place.address, ip6, place.port)
    }
}
