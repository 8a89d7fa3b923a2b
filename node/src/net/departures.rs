//! Addresses that leave this machine: the connections from them are dead, and
//! nobody is to be told of them any more. The listeners hear from the system
//! when one comes or goes; where they do not, it is looked at every few seconds.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use libp2p::Multiaddr;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::ConnectionId;
use tokio::time::Instant;

use super::addresses::{ip, is_bound_to_link, is_circuit, is_quic};
use super::limits::DEPARTURES_EVERY;
use super::lines::{Lines, is_here, source_of};

/// What has come and gone since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Connections that are dead.
    pub(super) dead: Vec<ConnectionId>,
    /// Addresses that are not this machine's any more.
    pub(super) left: BTreeSet<IpAddr>,
    /// Addresses that it has again.
    pub(super) back: bool,
}

/// Knows from which address each connection goes.
#[derive(Debug)]
pub(super) struct Departures {
    lines: Lines,
    /// Where the direct ones lead.
    remotes: HashMap<ConnectionId, Multiaddr>,
    /// Those of QUIC, whose sockets have no address of their own.
    datagrams: HashMap<ConnectionId, IpAddr>,
    /// Addresses that we listen on, or did, and that are not here now.
    absent: BTreeSet<IpAddr>,
    /// Addresses that we listened on at the last look.
    listened: BTreeSet<IpAddr>,
    due: Instant,
}

impl Departures {
    /// Of the node with these sockets.
    pub(super) fn new(lines: Lines, now: Instant) -> Self {
        Self {
            lines,
            remotes: HashMap::new(),
            datagrams: HashMap::new(),
            absent: BTreeSet::new(),
            listened: BTreeSet::new(),
            due: now + DEPARTURES_EVERY,
        }
    }

    /// When [`look`](Self::look) is to be called.
    pub(super) fn next_due(&self) -> Instant {
        self.due
    }

    /// Looks at once: an address has come or gone.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.due = now;
    }

    /// Notes a connection.
    pub(super) fn connected(&mut self, id: ConnectionId, endpoint: &ConnectedPoint) {
        if endpoint.is_relayed() {
            return;
        }
        let remote = endpoint.get_remote_address();
        self.remotes.insert(id, remote.clone());
        if is_quic(remote)
            && let Some(source) = ip(remote).and_then(source_of)
        {
            self.datagrams.insert(id, source);
        }
    }

    /// Notes that it is closed.
    pub(super) fn closed(&mut self, id: ConnectionId) {
        self.remotes.remove(&id);
        self.datagrams.remove(&id);
    }

    /// Where a direct connection leads.
    pub(super) fn remote(&self, id: ConnectionId) -> Option<&Multiaddr> {
        self.remotes.get(&id)
    }

    /// Whether an address that we listen on is here: a listener at one address
    /// alone stays open when that goes, and is of use again when it is back.
    pub(super) fn is_here(&self, address: &Multiaddr) -> bool {
        is_circuit(address) || ip(address).is_none_or(|ip| !self.absent.contains(&ip))
    }

    /// Cuts the TCP sockets whose addresses have left, and says what else has
    /// changed.
    pub(super) fn look<'a>(
        &mut self,
        listeners: impl IntoIterator<Item = &'a Multiaddr>,
        now: Instant,
    ) -> Changes {
        self.due = now + DEPARTURES_EVERY;
        self.lines.cut_departed();
        // Link-local ones need an interface, which their addresses do not name.
        let own = |address: &&Multiaddr| !is_circuit(address) && !is_bound_to_link(address);
        let listening = listeners.into_iter().filter(own).filter_map(ip);
        let listening: BTreeSet<IpAddr> = listening.collect();
        let all = (listening.iter().chain(&self.listened)).chain(self.datagrams.values());
        let absent = all.filter(|ip| !is_here((**ip, 0)));
        let absent: BTreeSet<IpAddr> = absent.copied().collect();
        let dead = (self.datagrams.iter()).filter(|(_, source)| absent.contains(*source));
        let changes = Changes {
            dead: dead.map(|(&id, _)| id).collect(),
            left: absent.difference(&self.absent).copied().collect(),
            back: self
                .absent
                .iter()
                .any(|ip| listening.contains(ip) && !absent.contains(ip)),
        };
        self.absent = absent
            .into_iter()
            .filter(|ip| listening.contains(ip))
            .collect();
        self.listened = listening;
        changes
    }
}

#[cfg(test)]
mod tests {
    use libp2p::core::Endpoint;
    use libp2p::core::transport::PortUse;

    use super::*;

    #[test]
    fn an_address_that_is_not_here_is_found_once_and_its_connections_are_dead() {
        let now = Instant::now();
        let mut departures = Departures::new(Lines::default(), now);
        let here: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let gone: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let left = IpAddr::from([192, 0, 2, 1]);
        let (alive, dead) = (
            ConnectionId::new_unchecked(1),
            ConnectionId::new_unchecked(2),
        );
        let endpoint = ConnectedPoint::Dialer {
            address: "/ip4/127.0.0.1/udp/1/quic-v1".parse().unwrap(),
            role_override: Endpoint::Dialer,
            port_use: PortUse::Reuse,
        };
        departures.connected(alive, &endpoint);
        departures.datagrams.insert(dead, left);
        let changes = departures.look([&here, &gone], now);
        assert_eq!(changes.dead, [dead]);
        assert_eq!(changes.left, [left].into());
        assert!(departures.is_here(&here) && !departures.is_here(&gone));
        departures.closed(dead);
        assert_eq!(departures.look([&here, &gone], now), Changes::default());
        // A listener that heard of it has ended, and its address is not looked at.
        assert_eq!(departures.look([&here], now), Changes::default());
        assert!(departures.is_here(&gone));
    }
}
