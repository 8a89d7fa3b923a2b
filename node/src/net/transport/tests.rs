//! Real connections over loopback, with and without network keys.

mod circuits;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::join;
use libp2p::core::Endpoint;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt};
use libp2p::core::transport::{DialOpts, ListenerId, PortUse, Transport, TransportEvent};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};

use super::{Connections, transport};
use crate::keys::NetworkKey;
use crate::net::lines::Lines;
use crate::net::nat::circuit_meter::CircuitMeter;
use crate::net::private_network::strangers::Strangers;

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// A connection that came about, or what went wrong.
pub(in crate::net) type Connected = io::Result<(PeerId, StreamMuxerBox)>;

/// A transport that listens.
pub(in crate::net) struct Listening {
    pub(in crate::net) peer: PeerId,
    pub(in crate::net) address: Multiaddr,
    pub(in crate::net) transport: Connections,
}

impl Listening {
    /// A node's own transports, on one address.
    async fn node(address: &str, key: Option<[u8; 32]>) -> Self {
        let keypair = Keypair::generate_ed25519();
        let key = key.map(NetworkKey::new);
        let strangers = Strangers::default();
        let (transport, _) = transport(
            &keypair,
            key.as_ref(),
            &strangers,
            CircuitMeter::new(u64::MAX),
            &Lines::default(),
        )
        .unwrap();
        Self::new(keypair.public().to_peer_id(), transport, address).await
    }

    pub(in crate::net) async fn new(
        peer: PeerId,
        mut transport: Connections,
        address: &str,
    ) -> Self {
        let address = address.parse().unwrap();
        transport.listen_on(ListenerId::next(), address).unwrap();
        let address = loop {
            let event = poll_fn(|cx| Pin::new(&mut transport).poll(cx)).await;
            if let TransportEvent::NewAddress { listen_addr, .. } = event {
                break listen_addr;
            }
        };
        Self {
            peer,
            address,
            transport,
        }
    }

    /// The next connection that somebody else makes.
    pub(in crate::net) async fn accept(&mut self) -> Connected {
        loop {
            let event = poll_fn(|cx| Pin::new(&mut self.transport).poll(cx)).await;
            if let TransportEvent::Incoming { upgrade, .. } = event {
                return upgrade.await;
            }
        }
    }

    pub(in crate::net) fn dial(
        &mut self,
        other: &Self,
        role: Endpoint,
        port_use: PortUse,
    ) -> impl Future<Output = Connected> + use<> {
        let address = other.address.clone().with_p2p(other.peer).unwrap();
        (self.transport)
            .dial(address, DialOpts { role, port_use })
            .unwrap()
    }
}

/// One dials the other; what comes of it at either end.
pub(in crate::net) async fn connect(
    dialler: &mut Listening,
    listener: &mut Listening,
) -> (Connected, Connected) {
    let mut dial = Box::pin(dialler.dial(listener, Endpoint::Dialer, PortUse::Reuse));
    let mut accept = Box::pin(listener.accept());
    let (mut dialled, mut accepted) = (None, None);
    poll_fn(|cx| {
        if dialled.is_none() {
            dialled = poll_once(dial.as_mut(), cx);
        }
        // Who has dialled is ready first; the last that it said leaves when the
        // connection is used.
        if let Some(Ok((_, connection))) = &mut dialled {
            let _ = connection.poll_unpin(cx);
        }
        if accepted.is_none() {
            accepted = poll_once(accept.as_mut(), cx);
        }
        if dialled.is_some() && accepted.is_some() {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
    drop((dial, accept));
    (dialled.unwrap(), accepted.unwrap())
}

fn poll_once(
    future: Pin<&mut impl Future<Output = Connected>>,
    cx: &mut Context<'_>,
) -> Option<Connected> {
    match future.poll(cx) {
        Poll::Ready(connected) => Some(connected),
        Poll::Pending => None,
    }
}

/// What goes wrong at both ends; a connection of a node without a key may come
/// about over QUIC as long as nobody wants to use it.
async fn refused(address: &str, one: Option<[u8; 32]>, other: Option<[u8; 32]>) -> [String; 2] {
    let mut one = Listening::node(address, one).await;
    let mut other = Listening::node(address, other).await;
    let (dialled, accepted) = connect(&mut one, &mut other).await;
    [dialled, accepted].map(|end| match end {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    })
}

#[tokio::test]
async fn those_with_the_same_key_or_none_connect() {
    for key in [None, Some([1; 32])] {
        for address in [TCP, QUIC] {
            let mut one = Listening::node(address, key).await;
            let mut other = Listening::node(address, key).await;
            let (dialled, accepted) = connect(&mut one, &mut other).await;
            assert_eq!(dialled.unwrap().0, other.peer, "{address}");
            assert_eq!(accepted.unwrap().0, one.peer, "{address}");
        }
    }
}

#[tokio::test]
async fn another_key_is_named_at_both_ends() {
    for address in [TCP, QUIC] {
        let errors = refused(address, Some([1; 32]), Some([2; 32])).await;
        for error in errors {
            let clear = error.contains("another network key") || error.contains("secure channel");
            assert!(clear || error.contains("Timeout"), "{address}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_node_without_a_key_is_not_let_in_whoever_dials() {
    for address in [TCP, QUIC] {
        let [_, guarded] = refused(address, None, Some([1; 32])).await;
        assert!(!guarded.is_empty(), "{address}: dialled by a stranger");
        let [guarded, _] = refused(address, Some([1; 32]), None).await;
        assert!(!guarded.is_empty(), "{address}: has dialled a stranger");
    }
}

/// As DCUtR does it: both dial from the ports that they listen on, one of them
/// in the role of the listener. Over QUIC each dial makes a connection.
#[tokio::test]
async fn the_key_is_proved_when_both_dial_at_once() {
    let mut one = Listening::node(QUIC, Some([1; 32])).await;
    let mut other = Listening::node(QUIC, Some([1; 32])).await;
    let dial = one.dial(&other, Endpoint::Dialer, PortUse::Reuse);
    let back = other.dial(&one, Endpoint::Listener, PortUse::Reuse);
    let dialled = join(dial, other.accept());
    let dialled_back = join(back, one.accept());
    let ((a, b), (c, d)) = join(dialled, dialled_back).await;
    for (end, connected) in [("a", a), ("b", b), ("c", c), ("d", d)] {
        connected.unwrap_or_else(|error| panic!("{end}: {error}"));
    }
}

/// The other way that libp2p has of punching over QUIC: who dials as listener
/// sends empty packets until the other one's connection comes in.
#[tokio::test]
async fn the_key_is_proved_when_the_one_who_dials_is_the_listener() {
    let mut one = Listening::node(QUIC, Some([1; 32])).await;
    let mut other = Listening::node(QUIC, Some([1; 32])).await;
    let back = other.dial(&one, Endpoint::Listener, PortUse::New);
    let dial = one.dial(&other, Endpoint::Dialer, PortUse::Reuse);
    let punched = async {
        // Nothing comes in, because the dial takes it.
        tokio::select! {
            back = back => back,
            other = other.accept() => other,
        }
    };
    let (dialled, punched) = join(dial, punched).await;
    assert_eq!(dialled.unwrap().0, other.peer);
    assert_eq!(punched.unwrap().0, one.peer);
}
