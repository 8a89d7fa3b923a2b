//! Connections through a relay of a private network.

use std::time::Duration;

use futures::StreamExt;
use libp2p::Swarm;
use libp2p::multiaddr::Protocol;
use libp2p::relay;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{Config, NetworkBehaviour, SwarmEvent};

use super::super::{circuits, direct, either};
use super::*;
use crate::net::lines::Lines;
use crate::net::nat::circuit_meter::CircuitMeter;
use crate::net::private_network::PrivateNetwork;

#[derive(NetworkBehaviour)]
struct Relaying {
    client: relay::client::Behaviour,
    relay: Toggle<relay::Behaviour>,
}

/// A node that proves one key to whom it reaches directly, and another one, or
/// none, to those at the other end of a circuit.
fn node(keys: (u8, Option<u8>), relays: bool) -> Swarm<Relaying> {
    let keypair = Keypair::generate_ed25519();
    let local = keypair.public().to_peer_id();
    let strangers = Strangers::default();
    let network =
        |byte| PrivateNetwork::new(local, &NetworkKey::new([byte; 32]), strangers.clone());
    let direct = direct(
        &keypair,
        Some(&network(keys.0)),
        &strangers,
        &Lines::default(),
    )
    .unwrap();
    let (circuits, client) =
        circuits(&keypair, keys.1.map(network), CircuitMeter::new(u64::MAX)).unwrap();
    let relay = relays.then(|| relay::Behaviour::new(local, relay::Config::default()));
    let behaviour = Relaying {
        client,
        relay: relay.into(),
    };
    let config =
        Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(60));
    Swarm::new(either(circuits, direct), behaviour, local, config)
}

/// A node once it listens, and where.
async fn listening(mut swarm: Swarm<Relaying>, address: Multiaddr) -> (Swarm<Relaying>, Multiaddr) {
    swarm.listen_on(address).unwrap();
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => return (swarm, address),
            SwarmEvent::ListenerClosed { reason, .. } => panic!("no reservation: {reason:?}"),
            _ => {}
        }
    }
}

/// Whether a node with these keys is let in by one of network 1, through a
/// relay of network 1.
async fn is_let_in(keys: (u8, Option<u8>)) -> bool {
    let relay = node((1, Some(1)), true);
    let (mut relay, at) = listening(relay, TCP.parse().unwrap()).await;
    relay.add_external_address(at.clone());
    let at = at.with_p2p(*relay.local_peer_id()).unwrap();
    let at = at.with(Protocol::P2pCircuit);
    tokio::spawn(async move { while relay.next().await.is_some() {} });

    let listener = node((1, Some(1)), false);
    let (mut listener, circuit) = listening(listener, at.clone()).await;
    let named = circuit.with_p2p(*listener.local_peer_id()).unwrap();
    let member = *listener.local_peer_id();
    let mut dialler = node(keys, false);
    let local = *dialler.local_peer_id();
    dialler.dial(named).unwrap();
    // A stranger who asks for no proof takes the circuit for a connection; what
    // counts is whether the member does.
    loop {
        tokio::select! {
            event = listener.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, .. } if peer_id == local => return true,
                SwarmEvent::IncomingConnectionError { .. } => return false,
                _ => {}
            },
            event = dialler.select_next_some() => {
                if let SwarmEvent::OutgoingConnectionError { peer_id, error, .. } = event {
                    assert_eq!(peer_id, Some(member), "the relay was not reached: {error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_relay_brings_in_who_has_the_key_and_nobody_else() {
    assert!(is_let_in((1, Some(1))).await, "who has the key");
    assert!(!is_let_in((1, Some(2))).await, "who has another key");
    assert!(!is_let_in((1, None)).await, "who has none");
}
