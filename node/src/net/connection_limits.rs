//! How many connections there may be: in all, with one peer, and from one IP
//! address, where many peers cost an attacker nothing.
//!
//! (libp2p's own behaviour knows no addresses, and never forgets a peer that
//! was connected once.)

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::task::{Context, Poll};
use std::time::Instant;

use ipnet::IpNet;
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::addresses::{ip, is_quic};
use super::familiar::Familiar;
use super::limits::{
    MAX_CONNECTIONS_PER_PEER, MAX_PENDING_FAMILIAR_PER_IP, MIN_CONNECTIONS_PER_IP,
    MIN_PENDING_PER_IP, PENDING_FAMILIAR, PENDING_PER_IP,
};
use super::newcomer_rates::NewcomerRates;
use super::origin::Origin;
use super::refusals::Refusals;

/// How many connections there may be.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Established ones, both directions.
    pub(crate) total: u32,
    /// Incoming ones that are being set up.
    pub(crate) pending: u32,
    /// Those that we are setting up.
    pub(crate) dials: u32,
    /// Established and pending ones from one address.
    pub(crate) per_ip: u32,
    /// Networks in which the address says nothing: those of the machine itself,
    /// say. Only what holds for all connections holds there.
    pub(crate) exempt: Vec<IpNet>,
}

impl Bounds {
    fn incoming(&self) -> u32 {
        max_incoming(self.total)
    }

    /// Incoming ones that are being set up, of addresses from which none has come
    /// about before.
    fn pending_of_strangers(&self) -> u32 {
        self.pending - self.pending / PENDING_FAMILIAR
    }

    /// Incoming ones of one address that are being set up.
    fn pending_per_ip(&self) -> u32 {
        (self.pending / PENDING_PER_IP).max(MIN_PENDING_PER_IP)
    }
}

/// Incoming connections at most, of so many in all: strangers must not take the
/// places of those we dial ourselves.
pub(super) fn max_incoming(total: u32) -> u32 {
    total - total / 4
}

/// Connections of one address at most, when nobody said how many: with a
/// sixteenth of all for each, it takes twelve addresses to take the three
/// quarters that are for strangers.
pub(crate) fn default_per_ip(total: u32) -> u32 {
    (total / 16).max(MIN_CONNECTIONS_PER_IP)
}

/// A behaviour that refuses the connections beyond its bounds.
#[derive(Debug)]
pub(crate) struct ConnectionLimits {
    bounds: Bounds,
    connections: HashMap<ConnectionId, Connection>,
    counts: Counts,
    rates: NewcomerRates,
    familiar: Familiar,
    refusals: Refusals,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    /// Where it comes from, if that counts.
    origin: Option<Origin>,
    incoming: bool,
    /// With whom, once it is established.
    peer: Option<PeerId>,
}

/// How many connections there are of each kind.
#[derive(Debug, Default)]
struct Counts {
    pending_incoming: u32,
    pending_outgoing: u32,
    incoming: u32,
    outgoing: u32,
    peers: HashMap<PeerId, u32>,
    origins: HashMap<Origin, Share>,
}

/// What one address has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Share {
    pending: u32,
    established: u32,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("{0} connections are being set up already, which is the most there may be")]
    Pending(u32),
    #[error(
        "{0} connections are being set up already, and the rest is for addresses from which one has \
         come about before"
    )]
    PendingOfStrangers(u32),
    #[error("{0} connections from this address are being set up already")]
    PendingOfOrigin(u32),
    #[error("there are {0} connections from this address already (max_connections_per_ip)")]
    Origin(u32),
    #[error("too many new connections from this address within a short time")]
    Rate,
    #[error("there are {0} incoming connections already, three quarters of max_connections")]
    Incoming(u32),
    #[error("there are {0} connections already (max_connections)")]
    Total(u32),
    #[error("there are {0} connections with this peer already")]
    Peer(u32),
}

impl ConnectionLimits {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            rates: NewcomerRates::new(bounds.per_ip),
            bounds,
            connections: HashMap::new(),
            counts: Counts::default(),
            familiar: Familiar::default(),
            refusals: Refusals::default(),
        }
    }

    /// The origin of an incoming connection, if it counts.
    fn origin(&self, local: &Multiaddr, remote: &Multiaddr) -> Option<Origin> {
        let ip = ip(remote);
        let is_exempt = ip.is_some_and(|ip| self.bounds.exempt.iter().any(|net| net.contains(&ip)));
        (!is_exempt).then(|| Origin::of_incoming(local, remote))
    }

    /// Whether one more may be set up that comes from there.
    fn may_arrive(&mut self, origin: Option<Origin>, now: Instant) -> Result<(), Refused> {
        let pending = self.counts.pending_incoming;
        let bounds = &self.bounds;
        if pending >= bounds.pending {
            return Err(Refused::Pending(bounds.pending));
        }
        let Some(origin) = origin else {
            return Ok(());
        };
        let share = self.counts.origins.get(&origin).copied();
        let share = share.unwrap_or_default();
        let is_familiar =
            self.familiar.knows(origin) && share.pending < MAX_PENDING_FAMILIAR_PER_IP;
        let strangers = bounds.pending_of_strangers();
        if pending >= strangers && !is_familiar {
            return Err(Refused::PendingOfStrangers(strangers));
        }
        if share.established + share.pending >= bounds.per_ip {
            return Err(Refused::Origin(bounds.per_ip));
        }
        if share.pending >= bounds.pending_per_ip() {
            return Err(Refused::PendingOfOrigin(bounds.pending_per_ip()));
        }
        if !self.rates.has_one(origin, now) {
            return Err(Refused::Rate);
        }
        Ok(())
    }

    /// Counts a new connection from there. Over TCP the other end has shown by
    /// its handshake that it is there; the first packet of QUIC may name any
    /// address, and must not use up what somebody else's may have.
    fn has_arrived(&mut self, origin: Option<Origin>, now: Instant) -> Result<(), Refused> {
        match origin.is_none_or(|origin| self.rates.take(origin, now)) {
            true => Ok(()),
            false => Err(Refused::Rate),
        }
    }

    /// Whether one more may be established with this peer.
    fn may_stay(&self, peer: PeerId, incoming: bool) -> Result<(), Refused> {
        let counts = &self.counts;
        if incoming && counts.incoming >= self.bounds.incoming() {
            return Err(Refused::Incoming(counts.incoming));
        }
        if counts.incoming + counts.outgoing >= self.bounds.total {
            return Err(Refused::Total(self.bounds.total));
        }
        if counts.peers.get(&peer).copied().unwrap_or(0) >= MAX_CONNECTIONS_PER_PEER {
            return Err(Refused::Peer(MAX_CONNECTIONS_PER_PEER));
        }
        Ok(())
    }

    /// A connection is being set up.
    fn begun(&mut self, id: ConnectionId, origin: Option<Origin>, incoming: bool) {
        let connection = Connection {
            origin,
            incoming,
            peer: None,
        };
        self.counts.add(&connection);
        self.connections.insert(id, connection);
    }

    fn established(&mut self, id: ConnectionId, peer: PeerId, endpoint: &ConnectedPoint) {
        let before = self.ended(id);
        let dialled = || Origin::of(endpoint.get_remote_address());
        let origin = before.and_then(|before| before.origin);
        match (origin, endpoint.is_dialer()) {
            (None, true) => self.familiar.note(dialled()),
            (Some(origin), _) => self.familiar.note(origin),
            // It does not count in any case.
            (None, false) => {}
        }
        let connection = Connection {
            origin,
            incoming: endpoint.is_listener(),
            peer: Some(peer),
        };
        self.counts.add(&connection);
        self.connections.insert(id, connection);
    }

    fn ended(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        self.counts.remove(&connection);
        Some(connection)
    }
}

impl Counts {
    fn add(&mut self, connection: &Connection) {
        *self.kind(connection) += 1;
        if let Some(peer) = connection.peer {
            *self.peers.entry(peer).or_default() += 1;
        }
        if let Some(origin) = connection.origin {
            *self.origins.entry(origin).or_default().kind(connection) += 1;
        }
    }

    fn remove(&mut self, connection: &Connection) {
        *self.kind(connection) -= 1;
        if let Some(peer) = connection.peer {
            change(&mut self.peers, peer, |count| *count -= 1);
        }
        if let Some(origin) = connection.origin {
            change(&mut self.origins, origin, |share| {
                *share.kind(connection) -= 1;
            });
        }
    }

    fn kind(&mut self, connection: &Connection) -> &mut u32 {
        match (connection.peer, connection.incoming) {
            (None, true) => &mut self.pending_incoming,
            (None, false) => &mut self.pending_outgoing,
            (Some(_), true) => &mut self.incoming,
            (Some(_), false) => &mut self.outgoing,
        }
    }
}

impl Share {
    fn kind(&mut self, connection: &Connection) -> &mut u32 {
        match connection.peer {
            None => &mut self.pending,
            Some(_) => &mut self.established,
        }
    }
}

/// Changes a count, and forgets it when nothing is left: what is gone must not
/// take memory.
fn change<K: Eq + Hash, V: Default + PartialEq>(
    counts: &mut HashMap<K, V>,
    key: K,
    change: impl FnOnce(&mut V),
) {
    if let Some(count) = counts.get_mut(&key) {
        change(count);
        if *count == V::default() {
            counts.remove(&key);
        }
    }
}

impl NetworkBehaviour for ConnectionLimits {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let now = Instant::now();
        let origin = self.origin(local, remote);
        let proved = !is_quic(remote);
        let refused = self.may_arrive(origin, now);
        let refused = refused.and_then(|()| match proved {
            true => self.has_arrived(origin, now),
            false => Ok(()),
        });
        if let Err(why) = refused {
            self.refusals.note(now, &why, remote);
            return Err(ConnectionDenied::new(why));
        }
        self.begun(id, origin, true);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let now = Instant::now();
        let pending = self.connections.get(&id);
        let origin = pending.and_then(|connection| connection.origin);
        let arrived = match is_quic(remote) {
            true => self.has_arrived(origin, now),
            false => Ok(()),
        };
        if let Err(why) = arrived.and_then(|()| self.may_stay(peer, true)) {
            self.refusals.note(now, &why, remote);
            return Err(ConnectionDenied::new(why));
        }
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        _: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let most = self.bounds.dials;
        if self.counts.pending_outgoing >= most {
            return Err(ConnectionDenied::new(Refused::Pending(most)));
        }
        self.begun(id, None, false);
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        match self.may_stay(peer, false) {
            Ok(()) => Ok(dummy::ConnectionHandler),
            Err(why) => Err(ConnectionDenied::new(why)),
        }
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                self.established(event.connection_id, event.peer_id, event.endpoint);
            }
            FromSwarm::ConnectionClosed(event) => {
                self.ended(event.connection_id);
            }
            FromSwarm::DialFailure(event) => {
                self.ended(event.connection_id);
            }
            FromSwarm::ListenFailure(event) => {
                self.ended(event.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
