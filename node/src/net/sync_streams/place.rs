//! Where peers are, as numbers: what waits for peers is bounded by place, too,
//! because their ids cost nothing.

use std::hash::{BuildHasher, RandomState};

use ipnet::IpNet;
use libp2p::Multiaddr;

use crate::net::addresses::ip;
use crate::net::origin::Origin;

/// Numbers places.
pub(super) struct Places {
    /// Nobody can choose an address whose number is somebody else's.
    hasher: RandomState,
    /// Networks in which the address says nothing.
    exempt: Vec<IpNet>,
}

impl Places {
    pub(super) fn new(exempt: Vec<IpNet>) -> Self {
        Self {
            hasher: RandomState::new(),
            exempt,
        }
    }

    /// The number of an origin; `None` where nothing is shared by those who are
    /// there.
    pub(super) fn number(&self, origin: Origin, remote: &Multiaddr) -> Option<u64> {
        let is_exempt =
            ip(remote).is_some_and(|ip| self.exempt.iter().any(|net| net.contains(&ip)));
        (!is_exempt).then(|| self.hasher.hash_one(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_at_one_address_share_a_place_unless_it_is_exempt() {
        let places = Places::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let number = |text: &str| {
            let address: Multiaddr = text.parse().unwrap();
            places.number(Origin::of(&address), &address)
        };
        let home = number("/ip4/192.0.2.1/tcp/1");
        assert!(home.is_some());
        assert_eq!(home, number("/ip4/192.0.2.1/udp/7/quic-v1"));
        assert_ne!(home, number("/ip4/192.0.2.2/tcp/1"));
        assert_eq!(number("/ip4/127.0.0.1/tcp/1"), None);
    }
}
