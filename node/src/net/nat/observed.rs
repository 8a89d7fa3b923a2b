//! At which addresses peers see us. Behind a router these are the ones to which
//! others can punch a hole, and the ones that AutoNAT tests; so are those of the
//! open internet that are our own. A peer that is told to be at one of them is
//! behind the same router.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::super::addresses::{Reach, ip, is_circuit, reach};
use super::super::limits::MAX_OBSERVATIONS_PER_CONNECTION;

/// Turns what peers observe into candidates for external addresses.
///
/// Only a connection that we dialled from a port that we listen on tells where
/// others could reach that port. Only those whom we chose to dial are believed,
/// a few times each.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// Connections that we dialled from a listen port, with how often each has
    /// told something new.
    reusing: HashMap<ConnectionId, u8>,
    candidates: VecDeque<Multiaddr>,
    /// The IP addresses at which connected peers see us.
    outside: HashMap<ConnectionId, IpAddr>,
    /// Peers that were dialled there.
    neighbours: HashSet<PeerId>,
}

/// What shows in dials.
#[derive(Debug)]
pub(crate) enum Event {
    /// A peer is said to be at an IP address that is our own, seen from outside:
    /// behind the same router.
    SameRouter(PeerId),
}

impl Behaviour {
    /// Takes an address of the open internet that this machine listens on: peers
    /// that it knows over IPv4 see nothing of its IPv6. (A firewall may stand
    /// before it all the same.)
    pub(crate) fn own(&mut self, address: &Multiaddr) {
        self.candidates.push_back(address.clone());
    }

    /// Takes the address at which a peer sees this connection. Whether it says
    /// anything about how others reach us.
    pub(crate) fn observed(&mut self, id: ConnectionId, address: &Multiaddr) -> bool {
        let Some(told) = self.reusing.get_mut(&id) else {
            return false;
        };
        if *told >= MAX_OBSERVATIONS_PER_CONNECTION {
            return false;
        }
        *told += 1;
        self.candidates.push_back(address.clone());
        if let Some(ip) = ip(address).filter(|_| reach(address) == Some(Reach::World)) {
            self.outside.insert(id, ip);
        }
        true
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let is_ours = |address: &Multiaddr| {
            let ip = ip(address).filter(|_| !is_circuit(address));
            ip.is_some_and(|ip| self.outside.values().any(|ours| *ours == ip))
        };
        if let Some(peer) = peer
            && addresses.iter().any(is_ours)
        {
            self.neighbours.insert(peer);
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                connection_id,
                endpoint:
                    ConnectedPoint::Dialer {
                        address,
                        port_use: PortUse::Reuse,
                        ..
                    },
                ..
            }) if !is_circuit(address) => {
                self.reusing.insert(connection_id, 0);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.reusing.remove(&connection_id);
                self.outside.remove(&connection_id);
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
        if let Some(&peer) = self.neighbours.iter().next() {
            self.neighbours.remove(&peer);
            return Poll::Ready(ToSwarm::GenerateEvent(Event::SameRouter(peer)));
        }
        (self.candidates.pop_front()).map_or(Poll::Pending, |address| {
            Poll::Ready(ToSwarm::NewExternalAddrCandidate(address))
        })
    }
}
