//! What the log says of those who do not have this node's network key, or whose
//! key this node does not have.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionError;
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::net::limits::{MAX_NAMED_STRANGERS, NAME_STRANGER_AGAIN};

/// What may be wrong when a peer ends a connection before it has said who it is.
pub(in crate::net) const HUNG_UP: &str = "it closed the connection before it said who it is; if \
    it belongs to a private network, this node lacks its key (--private-network)";

/// What may be wrong when no secure channel comes about with a node that was
/// dialled. A node of a private network is `guarded`.
pub(in crate::net) fn why_no_channel(guarded: bool) -> &'static str {
    match guarded {
        true => "the other end probably has another network key, or none",
        false => {
            "the other end is no libp2p node, or belongs to a private network whose key this node \
             does not have (--private-network)"
        }
    }
}

/// Those who were named lately. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::net) struct Strangers {
    named: Arc<Mutex<BTreeMap<Stranger, Instant>>>,
}

/// By what a stranger is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::net) enum Stranger {
    /// The connection has shown who it is.
    Peer(PeerId),
    /// Nothing but where it is: its ports are many.
    Machine(IpAddr),
    /// An address without an IP address.
    Address(Multiaddr),
}

impl From<PeerId> for Stranger {
    fn from(peer: PeerId) -> Self {
        Self::Peer(peer)
    }
}

impl From<&Multiaddr> for Stranger {
    fn from(address: &Multiaddr) -> Self {
        match address.iter().next() {
            Some(Protocol::Ip4(ip)) => Self::Machine(ip.into()),
            Some(Protocol::Ip6(ip)) => Self::Machine(ip.into()),
            _ => Self::Address(address.clone()),
        }
    }
}

impl Strangers {
    /// Whether a stranger is to be named now, and notes that it was. In a flood
    /// of them only the first ones are.
    pub(in crate::net) fn is_news(&self, stranger: impl Into<Stranger>, now: Instant) -> bool {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.retain(|_, at| now < *at + NAME_STRANGER_AGAIN);
        let stranger = stranger.into();
        if named.contains_key(&stranger) || named.len() >= MAX_NAMED_STRANGERS {
            return false;
        }
        named.insert(stranger, now);
        true
    }

    /// Says that no secure channel came about with the other end of a TCP
    /// connection, and what the reason may be. A node of a private network is
    /// `guarded`; others do not speak of those who merely knock.
    pub(in crate::net) fn no_channel(&self, peer: &NoChannel<'_>, guarded: bool) {
        let NoChannel { address, error, .. } = peer;
        if !guarded && !peer.dialled {
            tracing::debug!(%address, %error, "no secure channel");
            return;
        }
        let why = why_no_channel(guarded);
        if !self.is_news(*address, Instant::now()) {
            tracing::debug!(%address, %error, "no secure channel: {why}");
        } else if guarded {
            tracing::warn!(%address, %error, "no secure channel: {why}");
        } else {
            tracing::info!(%address, %error, "no secure channel: {why}");
        }
    }

    /// Notes that a peer that never said who it is has no connection any more.
    /// When it closed the last one itself, which is the answer, it may be that it
    /// waited for a proof.
    pub(in crate::net) fn closed(&self, peer: PeerId, cause: Option<&ConnectionError>) -> bool {
        let hung_up = matches!(cause, Some(ConnectionError::IO(_)));
        if hung_up && self.is_news(peer, Instant::now()) {
            tracing::info!(
                %peer,
                "a peer closed the connection before it said who it is; if it belongs to a \
                 private network, this node lacks its key (--private-network)"
            );
        }
        hung_up
    }
}

/// A TCP connection on which no secure channel came about.
pub(in crate::net) struct NoChannel<'a> {
    /// The other end.
    pub(in crate::net) address: &'a Multiaddr,
    /// Whether it was dialled, and has not dialled us.
    pub(in crate::net) dialled: bool,
    /// What went wrong.
    pub(in crate::net) error: &'a dyn fmt::Display,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stranger_is_named_once_in_a_while() {
        let strangers = Strangers::default();
        let now = Instant::now();
        let (one, other) = (PeerId::random(), PeerId::random());
        assert!(strangers.is_news(one, now));
        assert!(!strangers.is_news(one, now + Duration::from_secs(1)));
        assert!(strangers.is_news(other, now + Duration::from_secs(1)));
        assert!(strangers.is_news(one, now + NAME_STRANGER_AGAIN));
        assert!(!strangers.is_news(other, now + NAME_STRANGER_AGAIN));
    }

    #[test]
    fn a_machine_is_named_once_whatever_its_ports() {
        let strangers = Strangers::default();
        let address = |text: &str| text.parse::<Multiaddr>().unwrap();
        let now = Instant::now();
        assert!(strangers.is_news(&address("/ip4/192.0.2.1/tcp/1"), now));
        assert!(!strangers.is_news(&address("/ip4/192.0.2.1/tcp/2"), now));
        assert!(strangers.is_news(&address("/ip4/192.0.2.2/tcp/2"), now));
        assert!(strangers.is_news(&address("/dns/example.org/tcp/2"), now));
    }

    #[test]
    fn a_flood_of_strangers_fills_neither_the_memory_nor_the_log() {
        let strangers = Strangers::default();
        let now = Instant::now();
        let named = (0..10 * MAX_NAMED_STRANGERS)
            .filter(|_| strangers.is_news(PeerId::random(), now))
            .count();
        assert_eq!(named, MAX_NAMED_STRANGERS);
        assert_eq!(strangers.named.lock().unwrap().len(), MAX_NAMED_STRANGERS);
        // It is over after a while.
        assert!(strangers.is_news(PeerId::random(), now + NAME_STRANGER_AGAIN));
        assert_eq!(strangers.named.lock().unwrap().len(), 1);
    }
}
