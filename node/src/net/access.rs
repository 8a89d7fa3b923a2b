//! Refuses connections by the access lists of the configuration.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::origin::place;
use super::refusals::Refusals;
use crate::config::access::{AccessLists, Place};

/// A behaviour that refuses whom the lists do not admit, as soon as that is
/// known: an address before anything is read from it, a peer when it has proved
/// who it is.
#[derive(Debug)]
pub(crate) struct Access {
    lists: AccessLists,
    refusals: Refusals,
}

/// The lists do not admit somebody.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the allow and deny lists do not admit it")]
struct NotAdmitted;

impl Access {
    pub(super) fn new(lists: AccessLists) -> Self {
        Self {
            lists,
            refusals: Refusals::default(),
        }
    }

    fn check(
        &mut self,
        peer: Option<&PeerId>,
        address: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.check_place(peer, place(address), address)
    }

    fn check_place(
        &mut self,
        peer: Option<&PeerId>,
        place: Place,
        address: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if self.lists.may_admit(peer, place) {
            return Ok(());
        }
        let whom = match peer {
            Some(peer) => format!("{peer} at {address}"),
            None => address.to_string(),
        };
        self.refusals.note(Instant::now(), &NotAdmitted, &whom);
        Err(ConnectionDenied::new(NotAdmitted))
    }
}

/// The address that says where an incoming connection comes from: libp2p names
/// the relay on our side of it.
fn telling<'a>(local: &'a Multiaddr, remote: &'a Multiaddr) -> &'a Multiaddr {
    match place(local) {
        Place::Relay(_) => local,
        Place::Unknown | Place::Ip(_) | Place::Name => remote,
    }
}

impl NetworkBehaviour for Access {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.check(None, telling(local, remote))
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(Some(&peer), telling(local, remote))?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let peer = peer.as_ref();
        let Some(first) = addresses.first() else {
            // Other behaviours may know addresses.
            self.check_place(peer, Place::Unknown, &Multiaddr::empty())?;
            return Ok(Vec::new());
        };
        if !(addresses.iter()).any(|address| self.lists.may_admit(peer, place(address))) {
            self.check(peer, first)?;
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(Some(&peer), address)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

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
mod tests {
    use super::*;
    use crate::config::access::AccessRule;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_is_denied_is_refused_in_both_directions() {
        let peer = PeerId::random();
        let id = ConnectionId::new_unchecked(1);
        let lists = AccessLists {
            allow: Vec::new(),
            deny: vec![
                AccessRule::Network("192.0.2.0/24".parse().unwrap()),
                AccessRule::Peer(peer),
            ],
        };
        let mut access = Access::new(lists);
        let here = address("/ip4/198.51.100.1/tcp/1");
        let (denied, other) = (
            address("/ip4/192.0.2.1/tcp/1"),
            address("/ip4/203.0.113.1/tcp/1"),
        );
        assert!(
            access
                .handle_pending_inbound_connection(id, &here, &denied)
                .is_err()
        );
        assert!(
            access
                .handle_pending_inbound_connection(id, &here, &other)
                .is_ok()
        );
        let mut arrives =
            |peer| access.handle_established_inbound_connection(id, peer, &here, &other);
        assert!(arrives(peer).is_err());
        assert!(arrives(PeerId::random()).is_ok());

        let mut dial = |peer, addresses: &[Multiaddr]| {
            (access.handle_pending_outbound_connection(id, peer, addresses, Endpoint::Dialer))
                .is_ok()
        };
        assert!(!dial(Some(peer), &[]));
        assert!(!dial(None, std::slice::from_ref(&denied)));
        // One of its addresses may be dialled; should the other answer, it is
        // refused then.
        assert!(dial(Some(PeerId::random()), &[denied.clone(), other]));
        let answered = access.handle_established_outbound_connection(
            id,
            PeerId::random(),
            &denied,
            Endpoint::Dialer,
            PortUse::Reuse,
        );
        assert!(answered.is_err());
    }
}
