//! A running node: the engine on a thread of its own, the swarm on a task, and
//! bounded channels between them.

mod disk_bound;
mod disk_thread;
mod disk_trouble;
mod engine_thread;
mod lost_writes;
mod mark_keeper;
mod opening;
pub mod quorum_walk;
mod reclaim_thread;
mod scrub_thread;
mod worker;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use headwater_protocols::engine::Settings;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::limits::OFFER_PERCENT;
use headwater_protocols::store::StoreError;
use ipnet::IpNet;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use crate::handle::{
    Mapping, NatStatus, Node, NodeError, PeerStatus, Reachability, StreamPeer, now, wall_time,
};
pub use crate::net::behaviour::Services;

use crate::config::access::{AccessLists, loopback};
use crate::config::{DEFAULT_MIN_PEERS, DEFAULT_RELAYED_BYTES_PER_SECOND};
use crate::instance::Started;
use crate::keys::NetworkKey;
use crate::net::addresses::peer_of;
use crate::net::connection_limits::{Bounds, default_per_ip};
use crate::net::exchange::ExchangeConfig;
use crate::net::limits::{
    INBOUND_FRAME_BYTES, INBOUND_FRAMES, MAX_CONNECTIONS, MAX_PENDING_CONNECTIONS,
};
use crate::net::swarm::{Network, NetworkConfig};
use crate::net::sync_streams::{FrameSender, frame_channel};
use crate::store::RocksStore;
use disk_bound::DiskBound;
use disk_thread::DiskThread;
use disk_trouble::DiskTrouble;
use engine_thread::{EngineThread, Inputs, Workers};
use opening::{Opened, Opening};
use reclaim_thread::ReclaimThread;
use scrub_thread::ScrubThread;

/// Events of the swarm that wait for the engine. While the engine is busy with
/// a commit (milliseconds) gossip of a thousand records a second fits.
const QUEUED_INPUTS: usize = 1_024;

/// Commands that wait for the engine; more of them wait at their senders.
const QUEUED_COMMANDS: usize = 1_024;

/// Decisions of the engine that wait for the swarm, which takes them before
/// anything else.
const QUEUED_OUTPUTS: usize = 1_024;

/// What a node needs to start.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Folder of the store.
    pub store_dir: std::path::PathBuf,
    /// Folder of the mark: what was signed, noted outside of the data folder.
    pub mark_dir: Option<std::path::PathBuf>,
    /// The node's identity, and the key of the streams it publishes.
    pub keypair: Keypair,
    /// The key of the private network that the node is in, if it is in one:
    /// it speaks with nobody who does not have it.
    pub network_key: Option<NetworkKey>,
    /// Addresses to listen on.
    pub listen: Vec<Multiaddr>,
    /// Addresses at which others reach the node, when it cannot know.
    pub external: Vec<Multiaddr>,
    /// Addresses to stay connected to.
    pub bootstrap: Vec<Multiaddr>,
    /// Established connections at most.
    pub max_connections: u32,
    /// Incoming connections that are being set up at most.
    pub max_pending_connections: u32,
    /// Dials at a time.
    pub max_dials: u32,
    /// Connections from one IP address (of IPv6: one /64) at most; absent: a
    /// sixteenth of all.
    pub max_connections_per_ip: Option<u32>,
    /// Networks whose addresses are not limited by themselves.
    pub ip_limits_exempt: Vec<IpNet>,
    /// Who may be connected with.
    pub access: AccessLists,
    /// What the node does for others, at an address that they reach.
    pub services: Services,
    /// Connected peers of a stream below which the node looks for more; 0:
    /// never.
    pub min_peers: usize,
    /// Whether peers of the local network are found by mDNS.
    pub mdns: bool,
    /// Bytes a second that may go through relays.
    pub relayed_bytes_per_second: u64,
    /// Bytes that the store may take on the disk, if there is a bound.
    pub max_disk: Option<u64>,
    /// The file of peers for the next start, if there is to be one.
    pub peer_cache: Option<std::path::PathBuf>,
    /// Whether the node lets those who follow a stream hear of each other though
    /// it does not follow it itself.
    pub introduces: bool,
    /// Chance in percent that the node answers one who joins a stream and asks
    /// for the first time.
    pub offer_percent: u32,
}

impl RuntimeConfig {
    /// A node that listens nowhere and knows nobody.
    #[must_use]
    pub fn new(store_dir: impl Into<std::path::PathBuf>, keypair: Keypair) -> Self {
        Self {
            store_dir: store_dir.into(),
            mark_dir: None,
            keypair,
            network_key: None,
            listen: Vec::new(),
            external: Vec::new(),
            bootstrap: Vec::new(),
            max_connections: MAX_CONNECTIONS,
            max_pending_connections: MAX_PENDING_CONNECTIONS,
            max_dials: MAX_PENDING_CONNECTIONS,
            max_connections_per_ip: None,
            ip_limits_exempt: loopback().into(),
            access: AccessLists::default(),
            services: Services::default(),
            min_peers: DEFAULT_MIN_PEERS,
            mdns: false,
            relayed_bytes_per_second: DEFAULT_RELAYED_BYTES_PER_SECOND,
            max_disk: None,
            peer_cache: None,
            introduces: false,
            offer_percent: OFFER_PERCENT,
        }
    }
}

/// A node that runs until it is stopped.
#[derive(Debug)]
pub struct Running {
    /// What the rest of the program needs of it.
    pub node: Node,
    started: Option<Started>,
    engine: Option<thread::JoinHandle<()>>,
    stop_engine: Option<oneshot::Sender<()>>,
    network: Option<(JoinHandle<()>, oneshot::Sender<()>)>,
}

/// Whoever forgets to stop a node, or fails before, must not leave the engine
/// behind: at the end of the process RocksDB's own statics go, and a thread
/// that closes a store after that aborts the process.
impl Drop for Running {
    fn drop(&mut self) {
        // Dropping the sender is the signal.
        self.stop_engine = None;
        if let Some(engine) = self.engine.take()
            && engine.join().is_err()
        {
            tracing::error!("the engine has panicked");
        }
    }
}

impl Running {
    /// Stops the node: what was published is committed, connections are closed,
    /// the store is closed when the last [`Node`] is dropped.
    ///
    /// # Errors
    /// The engine's thread has panicked.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop_engine = None;
        if let Some(engine) = self.engine.take() {
            tokio::task::spawn_blocking(move || engine.join())
                .await?
                .map_err(|_| {
                    anyhow::anyhow!("the engine has panicked; its last words are above")
                })?;
        }
        let has_network = self.network.is_some();
        if let Some((task, stop)) = self.network.take() {
            let _ = stop.send(());
            task.await.context("the network has panicked")?;
        }
        let (store, started) = (self.node.store().clone(), self.started.take());
        let closed = tokio::task::spawn_blocking(move || close(&store, started, has_network));
        if let Err(error) = closed.await? {
            tracing::warn!(%error, "the store could not be closed well");
        }
        Ok(())
    }

    /// Waits until the engine or the network ends by itself, which only a
    /// defect brings about.
    pub async fn failed(&mut self) {
        match &mut self.network {
            Some((task, _)) => {
                let _ = task.await;
                // It must not be waited for again.
                self.network = None;
            }
            None => std::future::pending().await,
        }
    }
}

/// Notes that the end is a clean one. A node leaves nothing in the log of writes
/// alone; a command, which would take three times as long by that, leaves what it
/// wrote there.
fn close(
    store: &RocksStore,
    started: Option<Started>,
    has_network: bool,
) -> Result<(), StoreError> {
    if let Some(started) = started {
        started.ended(store)?;
    }
    match has_network {
        true => store.flush(),
        false => Ok(()),
    }
}

/// Starts a node with its network.
///
/// # Errors
/// The store cannot be opened, or an address cannot be listened on.
pub async fn start(config: RuntimeConfig) -> anyhow::Result<Running> {
    let (outputs, output_queue) = mpsc::channel(QUEUED_OUTPUTS);
    let settings = settings(config.offer_percent, config.introduces)?;
    let (dir, keypair) = (&config.store_dir, &config.keypair);
    let marks = config.mark_dir.as_deref();
    let mut parts = open(
        dir,
        keypair,
        settings,
        Some(outputs),
        config.max_disk,
        marks,
    )
    .await?;
    let mut dial = Vec::new();
    for status in parts.node.streams() {
        if status.followed {
            dial.extend(status.peers.iter().filter_map(|peer| peer.parse().ok()));
        }
    }
    let local = config.keypair.public().to_peer_id();
    let bootstrap = without_self(config.bootstrap, local);
    let exchange = ExchangeConfig {
        local,
        min_peers: config.min_peers,
        max_connections: usize::try_from(config.max_connections).unwrap_or(usize::MAX),
        bootstrap: bootstrap.clone(),
        mdns: config.mdns,
        cache: config.peer_cache,
    };
    let limits = Bounds {
        total: config.max_connections,
        pending: config.max_pending_connections,
        dials: config.max_dials,
        per_ip: (config.max_connections_per_ip)
            .unwrap_or_else(|| default_per_ip(config.max_connections)),
        exempt: config.ip_limits_exempt,
    };
    let network = Network::listen(
        NetworkConfig {
            keypair: config.keypair,
            network_key: config.network_key,
            listen: config.listen,
            external: config.external,
            bootstrap,
            dial,
            access: config.access,
            relayed_bytes_per_second: config.relayed_bytes_per_second,
            limits,
            services: config.services,
            exchange,
        },
        parts.node.clone(),
        parts.inputs,
        parts.frames,
    );
    let network = match network {
        Ok(network) => network,
        Err(error) => {
            parts.running.stop().await?;
            return Err(error);
        }
    };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(network.run(output_queue, parts.dials, stopped));
    parts.running.network = Some((task, stop));
    Ok(parts.running)
}

/// A list of bootstrap nodes may be the same on all of an operator's machines;
/// none of them is to dial itself.
fn without_self(mut bootstrap: Vec<Multiaddr>, local: PeerId) -> Vec<Multiaddr> {
    bootstrap.retain(|address| peer_of(address) != Some(local));
    bootstrap
}

/// Starts a node without a network, for commands that need the data alone.
///
/// # Errors
/// The store cannot be opened: another process may have it open.
pub async fn start_offline(
    store_dir: &Path,
    keypair: &Keypair,
    max_disk: Option<u64>,
    mark_dir: Option<&Path>,
) -> anyhow::Result<Running> {
    let settings = settings(OFFER_PERCENT, false)?;
    Ok(open(store_dir, keypair, settings, None, max_disk, mark_dir)
        .await?
        .running)
}

/// Settings of an engine, with a seed that nobody else has.
fn settings(offer_percent: u32, introduces: bool) -> anyhow::Result<Settings> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("the system has no random bytes")?;
    Ok(Settings {
        seed,
        offer_percent,
        introduces,
        copied: false,
        lost_rows: false,
        marks: BTreeMap::new(),
        lost: None,
        ended_badly: false,
        time: wall_time(),
    })
}

struct Parts {
    running: Running,
    node: Node,
    inputs: mpsc::Sender<headwater_protocols::engine::Input>,
    frames: FrameSender,
    dials: mpsc::UnboundedReceiver<Multiaddr>,
}

/// Opens the store and starts the engine.
async fn open(
    store_dir: &Path,
    keypair: &Keypair,
    settings: Settings,
    outputs: Option<mpsc::Sender<headwater_protocols::engine::Output>>,
    max_disk: Option<u64>,
    mark_dir: Option<&Path>,
) -> anyhow::Result<Parts> {
    let key = keypair
        .clone()
        .try_into_ed25519()
        .context("the node's key is not an ed25519 key")?;

    let (commands, command_queue) = mpsc::channel(QUEUED_COMMANDS);
    let (dial, dials) = mpsc::unbounded_channel();
    let (inputs, input_queue) = mpsc::channel(QUEUED_INPUTS);
    let (frames, frame_queue) = frame_channel(INBOUND_FRAMES, INBOUND_FRAME_BYTES);
    let (stop_engine, stop) = oneshot::channel();

    let has_network = outputs.is_some();
    let opening = Opening {
        store_dir: store_dir.to_owned(),
        mark_dir: mark_dir.map(Path::to_owned),
        key: SigningKey::new(key),
        local: keypair.public().to_peer_id(),
        settings,
        has_network,
    };
    let opened = tokio::task::spawn_blocking(move || opening.open(commands, dial));
    let Opened {
        engine,
        node,
        started,
        keeper: (marks, marked),
    } = opened.await??;
    if let Some(lost) = node.store().lost_writes().filter(|_| has_network) {
        lost_writes::tell(&node, lost);
    }

    let trouble = Arc::new(DiskTrouble::new(node.clone()));
    let (bound, meter, measured) =
        DiskBound::start(&node, node.store(), &trouble, max_disk, has_network)?;
    let (disk, outcomes) = DiskThread::start(node.store().clone(), meter)?;
    let (reclaims, reclaimed) = ReclaimThread::start(node.store().clone())?;
    let (scrubs, found) = ScrubThread::start(&node, has_network)?;
    let workers = Workers {
        disk,
        reclaims,
        marks,
        _scrubs: scrubs,
        trouble,
        _bound: bound,
    };
    let thread = EngineThread::new(engine, node.clone(), outputs, workers);
    let engine = thread.spawn(Inputs {
        network: input_queue,
        frames: frame_queue,
        disk: outcomes,
        reclaimed,
        measured,
        found,
        marked,
        commands: command_queue,
        stop,
    })?;
    Ok(Parts {
        running: Running {
            node: node.clone(),
            started,
            engine: Some(engine),
            stop_engine: Some(stop_engine),
            network: None,
        },
        node,
        inputs,
        frames,
        dials,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_node_that_is_in_its_own_list_keeps_the_others() {
        let (local, other) = (PeerId::random(), PeerId::random());
        let list = [local, other].map(|peer| {
            let address = format!("/ip4/192.0.2.1/tcp/4600/p2p/{peer}");
            address.parse::<Multiaddr>().unwrap()
        });
        assert_eq!(without_self(list.to_vec(), local), list[1..]);
    }
}
