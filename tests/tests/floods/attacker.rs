//! An attacker: an identity of its own that speaks the node's protocols and says
//! what it likes.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use headwater::net::gossip::{Gossip, gossip};
use libp2p::gossipsub::IdentTopic;
use libp2p::identity::Keypair;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, ProtocolSupport, ResponseChannel};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{DialError, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, identify, noise, tcp, yamux};
use tokio::time::{Instant, timeout_at};

use crate::exchange::RawBytes;

/// How long it tries to connect.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    identify: identify::Behaviour,
    pub(crate) gossip: Gossip,
    pub(crate) kad: kad::Behaviour<MemoryStore>,
    peers: Toggle<request_response::Behaviour<RawBytes>>,
}

pub(crate) struct Attacker {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) keypair: Keypair,
    pub(crate) victim: PeerId,
    address: Multiaddr,
}

impl Attacker {
    /// One that is not connected yet.
    pub(crate) async fn new(victim: &str) -> Result<Self> {
        Self::build(victim, false)
    }

    /// The same, which also speaks the protocol of peer exchange.
    pub(crate) async fn who_tells(victim: &str) -> Result<Self> {
        Self::build(victim, true)
    }

    fn build(victim: &str, tells: bool) -> Result<Self> {
        let address: Multiaddr = victim.parse()?;
        let Some(Protocol::P2p(victim)) = address.iter().last() else {
            anyhow::bail!("{address} has no peer id");
        };
        let keypair = Keypair::generate_ed25519();
        let mut swarm = SwarmBuilder::with_existing_identity(keypair.clone())
            .with_tokio()
            .with_tcp(
                tcp::Config::default(),
                noise::Config::new,
                yamux::Config::default,
            )?
            .with_behaviour(|keypair| {
                let local = keypair.public().to_peer_id();
                let protocol = StreamProtocol::new("/headwater/kad/2");
                Ok(Behaviour {
                    identify: identify::Behaviour::new(identify::Config::new(
                        "/headwater/1".to_owned(),
                        keypair.public(),
                    )),
                    gossip: gossip(keypair)?,
                    kad: kad::Behaviour::with_config(
                        local,
                        MemoryStore::new(local),
                        kad::Config::new(protocol),
                    ),
                    peers: tells.then(peers).into(),
                })
            })?
            .with_swarm_config(|config| {
                config.with_idle_connection_timeout(Duration::from_secs(60))
            })
            .build();
        let kad = &mut swarm.behaviour_mut().kad;
        // It only asks and tells: nobody is to ask it.
        kad.set_mode(Some(kad::Mode::Client));
        kad.add_address(&victim, address.clone());
        Ok(Self {
            swarm,
            keypair,
            victim,
            address,
        })
    }

    /// Connects; `false` when it is refused.
    pub(crate) async fn connect(&mut self) -> Result<bool> {
        match self.swarm.dial(self.address.clone()) {
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let until = Instant::now() + DIAL_TIMEOUT;
        while !self.swarm.is_connected(&self.victim) {
            let event = timeout_at(until, self.swarm.select_next_some()).await;
            if let SwarmEvent::OutgoingConnectionError { .. } =
                event.context("the dial does not end")?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Connects, if it has to be tried again and again: few of one address may
    /// be under way at a time.
    pub(crate) async fn connect_patiently(&mut self) -> Result<()> {
        for _ in 0..100 {
            if self.connect().await? {
                return Ok(());
            }
            self.work(Duration::from_millis(100)).await;
        }
        anyhow::bail!("an attacker was refused")
    }

    /// Listens to these topics, and speaks on them.
    pub(crate) fn subscribe(&mut self, topics: &[IdentTopic]) -> Result<()> {
        for topic in topics {
            self.swarm.behaviour_mut().gossip.subscribe(topic)?;
        }
        Ok(())
    }

    /// Asks the victim for peers, or says something else in place of it.
    pub(crate) fn ask(&mut self, question: Vec<u8>) {
        if let Some(peers) = self.swarm.behaviour_mut().peers.as_mut() {
            peers.send_request(&self.victim, question);
        }
    }

    /// Answers a question of the victim for peers.
    pub(crate) fn answer(&mut self, channel: ResponseChannel<Vec<u8>>, answer: Vec<u8>) {
        if let Some(peers) = self.swarm.behaviour_mut().peers.as_mut() {
            // It may have gone.
            let _ = peers.send_response(channel, answer);
        }
    }

    /// Lets it work for a while.
    pub(crate) async fn work(&mut self, duration: Duration) {
        let until = Instant::now() + duration;
        while timeout_at(until, self.swarm.select_next_some())
            .await
            .is_ok()
        {}
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.swarm.is_connected(&self.victim)
    }
}

fn peers() -> request_response::Behaviour<RawBytes> {
    let protocol = StreamProtocol::new("/headwater/peers/2");
    let protocols = [(protocol, ProtocolSupport::Full)];
    request_response::Behaviour::new(protocols, request_response::Config::default())
}
