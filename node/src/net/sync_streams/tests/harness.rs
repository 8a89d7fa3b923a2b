//! A swarm in its own task, driven from a test.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, noise,
    swarm::{
        ConnectionId, NetworkBehaviour, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
    tcp, yamux,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::super::{Behaviour, Config, Event, FrameReceiver, InboundFrame, Lane, frame_channel};

/// Nothing here takes long; a test that waits for this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What drives a node here. It has a name of its own, so that whoever looks for
/// rooms that take the swarm finds none.
type Driven<B> = Swarm<B>;

type Call<B> = Box<dyn FnOnce(&mut Driven<B>) + Send>;

/// A running swarm that listens on TCP and QUIC.
pub(super) struct Node<B: NetworkBehaviour = Behaviour> {
    pub(super) peer: PeerId,
    pub(super) tcp: Multiaddr,
    pub(super) quic: Multiaddr,
    pub(super) frames: FrameReceiver,
    calls: mpsc::UnboundedSender<Call<B>>,
    events: mpsc::UnboundedReceiver<SwarmEvent<B::ToSwarm>>,
}

impl<B> Node<B>
where
    B: NetworkBehaviour + Send,
    B::ToSwarm: Send,
{
    /// A node without sync streams.
    pub(super) async fn with(behaviour: B, idle: Duration) -> Self {
        let (_, frames) = frame_channel(1, 64 << 20);
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(
                tcp::Config::default().nodelay(true),
                noise::Config::new,
                yamux::Config::default,
            )
            .unwrap()
            .with_quic()
            .with_behaviour(|_| behaviour)
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(idle))
            .build();
        let mut addresses = Vec::new();
        for address in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
            swarm.listen_on(address.parse().unwrap()).unwrap();
            loop {
                if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                    addresses.push(address);
                    break;
                }
            }
        }
        let peer = *swarm.local_peer_id();
        let (calls, mut called) = mpsc::unbounded_channel::<Call<B>>();
        let (happened, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    call = called.recv() => match call {
                        Some(call) => call(&mut swarm),
                        None => return,
                    },
                    event = swarm.select_next_some() => {
                        let _ = happened.send(event);
                    }
                }
            }
        });
        Self {
            peer,
            quic: addresses.remove(1),
            tcp: addresses.remove(0),
            frames,
            calls,
            events,
        }
    }

    /// Runs `call` in the swarm's task.
    pub(super) async fn with_swarm<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Driven<B>) -> R + Send + 'static,
    ) -> R {
        let (done, result) = oneshot::channel();
        let call = move |swarm: &mut Driven<B>| {
            let _ = done.send(call(swarm));
        };
        assert!(self.calls.send(Box::new(call)).is_ok());
        result.await.unwrap()
    }

    /// Dials, also beside an existing connection.
    pub(super) async fn dial(&self, peer: PeerId, address: Multiaddr) {
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::Always)
            .addresses(vec![address])
            .build();
        self.with_swarm(|swarm| swarm.dial(options)).await.unwrap();
    }

    pub(super) async fn swarm_event(&mut self) -> SwarmEvent<B::ToSwarm> {
        let event = timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event in time").expect("a running swarm")
    }

    /// The next event of the behaviour.
    pub(super) async fn event(&mut self) -> B::ToSwarm {
        loop {
            if let SwarmEvent::Behaviour(event) = self.swarm_event().await {
                return event;
            }
        }
    }
}

impl Node {
    /// A node whose inbound channels take `capacity` frames each.
    pub(super) async fn new(config: Config, capacity: usize) -> Self {
        let (inbound, frames) = frame_channel(capacity, 64 << 20);
        let behaviour = Behaviour::new(config, inbound);
        // Only the sync streams keep connections alive.
        let mut node = Self::with(behaviour, Duration::ZERO).await;
        node.frames = frames;
        node
    }

    pub(super) async fn ready(&mut self, expected: PeerId) {
        match self.event().await {
            Event::Ready { peer, .. } => assert_eq!(peer, expected),
            other => panic!("unexpected {other:?}"),
        }
    }

    pub(super) async fn sent(&mut self) -> (Lane, usize) {
        match self.event().await {
            Event::Sent { lane, bytes, .. } => (lane, bytes),
            other => panic!("unexpected {other:?}"),
        }
    }

    pub(super) async fn frame(&mut self) -> InboundFrame {
        let frame = timeout(PATIENCE, self.frames.next(true)).await;
        frame.expect("a frame in time").expect("a running swarm")
    }

    pub(super) async fn send(&self, peer: PeerId, lane: Lane, frame: Bytes) {
        self.with_swarm(move |swarm| swarm.behaviour_mut().send(peer, lane, frame))
            .await
            .unwrap();
    }

    pub(super) async fn queued_cost(&self, peer: PeerId) -> usize {
        self.with_swarm(move |swarm| swarm.behaviour().queued_cost(&peer))
            .await
    }

    pub(super) async fn preferred(&self, peer: PeerId) -> ConnectionId {
        self.with_swarm(move |swarm| swarm.behaviour().preferred_connection(&peer))
            .await
            .unwrap()
    }
}
