//! The behaviours of the swarm.

use anyhow::Context;
use bytes::Bytes;
use headwater_protocols::limits::MAX_FRAME_BYTES;
use headwater_protocols::sync::Lane;
use libp2p::allow_block_list::{self, BlockedPeers};
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{PeerId, autonat, dcutr, identify, mdns, ping, relay};

use super::access::Access;
use super::connection_limits::{self, ConnectionLimits};
use super::discovery::table::{Kademlia, kademlia};
use super::exchange;
use super::gossip::{Gossip, gossip};
use super::limits::{
    MAX_CONTROL_FRAME_BYTES, MAX_UNTAKEN_BEFORE_QUESTIONS, PING_INTERVAL, PING_TIMEOUT,
};
use super::nat;
use super::observations;
use super::rendezvous;
use super::sync_streams::{self, FrameSender};
use crate::config::access::AccessLists;
use crate::config::relay::RelayLimits;

/// The name under which identify tells that a peer speaks our protocols.
const PROTOCOL_VERSION: &str = "/headwater/1";

/// The behaviours of the swarm. The first three can refuse a connection, so they
/// come first.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    access: Access,
    blocked: allow_block_list::Behaviour<BlockedPeers>,
    limits: ConnectionLimits,
    pub(super) identify: nat::identify::Behaviour,
    pub(super) observed: nat::observed::Behaviour,
    autonat: autonat::v2::client::Behaviour,
    autonat_server: Toggle<autonat::v2::server::Behaviour>,
    relay_client: relay::client::Behaviour,
    relay: Toggle<relay::Behaviour>,
    dcutr: dcutr::Behaviour,
    ping: ping::Behaviour,
    pub(super) gossip: Gossip,
    pub(super) kad: Kademlia,
    pub(super) exchange: exchange::Messages,
    mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) rendezvous: rendezvous::Messages,
    pub(super) observations: observations::Messages,
    sync: sync_streams::Behaviour,
}

/// What a node does for others, beside serving what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// Answers those who look for a stream, or want to know whether they can be
    /// reached.
    pub discovery: bool,
    /// Relays for those who cannot be reached, within these limits.
    pub relay: Option<RelayLimits>,
}

impl Behaviour {
    /// The behaviours of a node with this key; frames of the sync streams go to
    /// `frames`.
    pub(super) fn new(
        keypair: &Keypair,
        access: AccessLists,
        limits: connection_limits::Bounds,
        services: Services,
        relay_client: relay::client::Behaviour,
        frames: FrameSender,
    ) -> anyhow::Result<Self> {
        let local = keypair.public().to_peer_id();
        let sync = sync_streams::Config {
            max_control_bytes: MAX_CONTROL_FRAME_BYTES,
            max_untaken_bytes: MAX_UNTAKEN_BEFORE_QUESTIONS,
            exempt: limits.exempt.clone(),
            ..sync_streams::Config::new(MAX_FRAME_BYTES)
        };
        let agent = concat!("headwater/", env!("CARGO_PKG_VERSION"));
        let identify = identify::Config::new(PROTOCOL_VERSION.to_owned(), keypair.public())
            .with_agent_version(agent.to_owned());
        Ok(Self {
            access: Access::new(access),
            blocked: allow_block_list::Behaviour::default(),
            limits: ConnectionLimits::new(limits),
            identify: nat::identify::Behaviour::new(identify),
            observed: nat::observed::Behaviour::default(),
            autonat: autonat::v2::client::Behaviour::default(),
            autonat_server: services
                .discovery
                .then(autonat::v2::server::Behaviour::default)
                .into(),
            relay_client,
            relay: services
                .relay
                .map(|limits| nat::relay(local, limits))
                .into(),
            dcutr: dcutr::Behaviour::new(local),
            ping: ping::Behaviour::new(
                ping::Config::new()
                    .with_interval(PING_INTERVAL)
                    .with_timeout(PING_TIMEOUT),
            ),
            gossip: gossip(keypair)?,
            kad: kademlia(local, services.discovery),
            exchange: exchange::messages(),
            mdns: None.into(),
            rendezvous: rendezvous::messages(),
            observations: observations::messages(),
            sync: sync_streams::Behaviour::new(sync, frames),
        })
    }

    /// Announces the node in the local network, and hears others there, once the
    /// swarm listens.
    pub(super) fn start_mdns(&mut self, local: PeerId) -> anyhow::Result<()> {
        let mdns = mdns::tokio::Behaviour::new(mdns::Config::default(), local);
        let context =
            "cannot listen for mDNS; leave out --mdns, or say `mdns = false` in the config";
        self.mdns = Some(mdns.context(context)?).into();
        Ok(())
    }

    /// Queues a frame; `false` when the peer is not connected any more.
    pub(super) fn send(&mut self, peer: PeerId, lane: Lane, frame: Bytes) -> bool {
        self.sync.send(peer, lane, frame).is_ok()
    }

    /// Notes that a peer has answered over a connection.
    pub(super) fn heard(&mut self, peer: PeerId, id: ConnectionId) {
        self.sync.heard(peer, id);
    }

    /// Whether something came over a connection a short while ago.
    pub(super) fn was_heard(&self, peer: &PeerId, id: ConnectionId) -> bool {
        self.sync.was_heard(peer, id)
    }

    /// Refuses all connections of a peer and closes those there are; whether it
    /// was not refused before.
    pub(super) fn block(&mut self, peer: PeerId) -> bool {
        self.blocked.block_peer(peer)
    }

    /// Ends a ban.
    pub(super) fn unblock(&mut self, peer: PeerId) {
        self.blocked.unblock_peer(peer);
    }
}
