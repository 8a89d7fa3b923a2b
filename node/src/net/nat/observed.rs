//! At which addresses peers see us. Behind a router these are the ones to which
//! others can punch a hole, and the ones that AutoNAT tests; so are those of the
//! open internet that are our own.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::super::addresses::is_circuit;
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
        true
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
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
        (self.candidates.pop_front()).map_or(Poll::Pending, |address| {
            Poll::Ready(ToSwarm::NewExternalAddrCandidate(address))
        })
    }
}
