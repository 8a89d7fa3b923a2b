//! Who may be connected with: the lists `allow` and `deny`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use libp2p::PeerId;

use super::text::Text;

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessRule {
    /// A peer, wherever it is.
    Peer(PeerId),
    /// Everybody in a network; a single address is a network, too.
    Network(IpNet),
}

impl fmt::Display for AccessRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(peer) => peer.fmt(f),
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl Text for AccessRule {
    const WHAT: &'static str =
        "a peer id (12D3KooW…) or an IP address or network such as 192.0.2.0/24";

    fn read(text: &str) -> Result<Self, String> {
        let network = parse_network(text).map(Self::Network);
        let rule = network.or_else(|| text.parse().map(Self::Peer).ok());
        rule.ok_or_else(|| {
            format!(
                "`{text}` is neither a peer id (12D3KooW…) nor an IP address or network such as \
                 192.0.2.0/24"
            )
        })
    }
}

/// An IP network, or a single address.
fn parse_network(text: &str) -> Option<IpNet> {
    let network = (text.parse::<IpNet>()).or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.ok()
}

impl Text for IpNet {
    const WHAT: &'static str = "an IP address or network such as 192.0.2.0/24 or 2001:db8::/32";

    fn read(text: &str) -> Result<Self, String> {
        parse_network(text).ok_or_else(|| format!("`{text}` is not {}", Self::WHAT))
    }
}

/// The machine itself, where there are many nodes in a test and no strangers.
#[must_use]
pub fn loopback() -> [IpNet; 2] {
    let net = |ip: IpAddr, length| IpNet::new_assert(ip, length);
    [
        net(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
        net(Ipv6Addr::LOCALHOST.into(), 128),
    ]
}

/// Who may be connected with, in either direction. What is denied is refused
/// whatever is allowed; once anybody is allowed, everybody else is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLists {
    /// If there is one, nobody else may be connected with.
    pub allow: Vec<AccessRule>,
    /// Who may not.
    pub deny: Vec<AccessRule>,
}

impl AccessLists {
    /// Whether everybody may be connected with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether a peer, if it is known who it is, may be connected with there.
    /// What is not known yet is decided later: the answer is `false` only when
    /// nothing that is learnt can change it.
    #[must_use]
    pub fn may_admit(&self, peer: Option<&PeerId>, place: Place) -> bool {
        let ip = place.ip().map(|ip| ip.to_canonical());
        let names = |rule: &AccessRule| match rule {
            AccessRule::Peer(listed) => peer == Some(listed),
            AccessRule::Network(network) => ip.is_some_and(|ip| network.contains(&ip)),
        };
        if self.deny.iter().any(names) {
            return false;
        }
        self.allow.is_empty()
            || self.allow.iter().any(|rule| match (rule, place) {
                (AccessRule::Peer(_), _) => peer.is_none() || names(rule),
                (AccessRule::Network(_), Place::Unknown) => true,
                (AccessRule::Network(_), Place::Ip(_)) => names(rule),
                (AccessRule::Network(_), Place::Relay(_) | Place::Name) => false,
            })
    }
}

/// Where the other end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nobody knows yet.
    Unknown,
    /// At this address.
    Ip(IpAddr),
    /// Behind a relay, whose address may be known. Who is denied must not relay
    /// either, but an allowed relay does not vouch for those behind it.
    Relay(Option<IpAddr>),
    /// At a DNS name. To what it was resolved is not told.
    Name,
}

impl Place {
    fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) | Self::Relay(Some(ip)) => Some(ip),
            Self::Relay(None) | Self::Unknown | Self::Name => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(allow: &[&str], deny: &[&str]) -> AccessLists {
        let parse = |texts: &[&str]| {
            let rules = texts.iter().map(|text| AccessRule::read(text));
            rules.map(Result::unwrap).collect()
        };
        AccessLists {
            allow: parse(allow),
            deny: parse(deny),
        }
    }

    fn at(text: &str) -> Place {
        Place::Ip(text.parse().unwrap())
    }

    #[test]
    fn a_denied_peer_is_refused_everywhere_and_a_denied_network_whoever_it_is() {
        let (bad, other) = (PeerId::random(), PeerId::random());
        let lists = lists(&[], &[&bad.to_string(), "192.0.2.0/24", "2001:db8::/32"]);
        assert!(!lists.may_admit(Some(&bad), at("198.51.100.1")));
        assert!(!lists.may_admit(Some(&bad), Place::Unknown));
        for denied in ["192.0.2.77", "::ffff:192.0.2.77", "2001:db8:1::1"] {
            assert!(!lists.may_admit(None, at(denied)));
            assert!(!lists.may_admit(Some(&other), at(denied)));
        }
        let relay = Place::Relay(Some("192.0.2.77".parse().unwrap()));
        assert!(!lists.may_admit(Some(&other), relay));
        assert!(lists.may_admit(Some(&other), at("198.51.100.1")));
    }

    #[test]
    fn once_anybody_is_allowed_everybody_else_is_refused() {
        let (friend, stranger) = (PeerId::random(), PeerId::random());
        let lists = lists(&[&friend.to_string(), "192.0.2.0/24"], &["192.0.2.66"]);
        assert!(lists.may_admit(Some(&friend), at("198.51.100.1")));
        assert!(lists.may_admit(Some(&friend), Place::Name));
        assert!(lists.may_admit(Some(&stranger), at("192.0.2.1")));
        assert!(!lists.may_admit(Some(&stranger), at("198.51.100.1")));
        assert!(!lists.may_admit(Some(&stranger), Place::Name));
        // Deny wins.
        assert!(!lists.may_admit(Some(&friend), at("192.0.2.66")));
    }

    #[test]
    fn nobody_is_refused_before_it_is_known_who_and_where_it_is() {
        let friend = PeerId::random();
        let by_peer = lists(&[&friend.to_string()], &[]);
        assert!(by_peer.may_admit(None, at("198.51.100.1")));
        let by_network = lists(&["192.0.2.0/24"], &[]);
        assert!(by_network.may_admit(None, Place::Unknown));
        assert!(by_network.may_admit(Some(&friend), Place::Unknown));
        // No peer id will change it.
        assert!(!by_network.may_admit(None, at("198.51.100.1")));
    }

    #[test]
    fn an_allowed_relay_does_not_vouch_for_those_behind_it() {
        let lists = lists(&["192.0.2.0/24"], &[]);
        let relay = Place::Relay(Some("192.0.2.1".parse().unwrap()));
        assert!(!lists.may_admit(Some(&PeerId::random()), relay));
    }

    #[test]
    fn what_is_neither_peer_nor_network_is_told() {
        let error = AccessRule::read("192.0.2.0/33").unwrap_err();
        assert!(error.contains("neither a peer id"), "{error}");
        assert_eq!(AccessRule::read("::1").unwrap().to_string(), "::1/128");
    }
}
