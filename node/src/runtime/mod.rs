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
use headwater_protocols::store::StoreError;
use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use crate::handle::{
    Mapping, NatStatus, Node, NodeError, PeerStatus, Reachability, StreamPeer, now, wall_time,
};
pub use crate::net::behaviour::Services;

use crate::config::Config;
use crate::instance::Started;
use crate::keys::NetworkKey;
use crate::net::connection_limits::{Bounds, default_per_ip};
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
    /// Folder of the marks: what was signed, noted outside of the data folder.
    pub marks: Option<std::path::PathBuf>,
    /// What a user may choose. To be listened on are the addresses that this machine
    /// has.
    pub options: Config,
    /// The node's identity, and the key of the streams it publishes.
    pub keypair: Keypair,
    /// The key of the private network that the node is in, if it is in one:
    /// it speaks with nobody who does not have it.
    pub network_key: Option<NetworkKey>,
    /// Established connections at most.
    pub connections: u32,
    /// Incoming connections that are being set up at most.
    pub pending_connections: u32,
    /// Dials at a time.
    pub dials: u32,
    /// What the node does for others, at an address that they reach.
    pub services: Services,
    /// The file of peers for the next start, if there is to be one.
    pub peer_cache: Option<std::path::PathBuf>,
    /// Whether the node lets those who follow a stream hear of each other though
    /// it does not follow it itself.
    pub introduces: bool,
}

impl RuntimeConfig {
    /// A node that listens nowhere and knows nobody.
    #[must_use]
    pub fn new(store_dir: impl Into<std::path::PathBuf>, keypair: Keypair) -> Self {
        Self {
            store_dir: store_dir.into(),
            marks: None,
            options: Config {
                listen: Vec::new(),
                ..Config::default()
            },
            keypair,
            network_key: None,
            connections: MAX_CONNECTIONS,
            pending_connections: MAX_PENDING_CONNECTIONS,
            dials: MAX_PENDING_CONNECTIONS,
            services: Services::default(),
            peer_cache: None,
            introduces: false,
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
    let options = config.options;
    let (dir, keypair) = (&config.store_dir, &config.keypair);
    let marks = config.marks.as_deref();
    let mut parts = open(
        dir,
        keypair,
        (&options, config.introduces),
        Some(outputs),
        marks,
    )
    .await?;
    let mut dial = Vec::new();
    for status in parts.node.streams() {
        if status.followed {
            dial.extend(status.peers.iter().filter_map(|peer| peer.parse().ok()));
        }
    }
    let limits = Bounds {
        total: config.connections,
        pending: config.pending_connections,
        dials: config.dials,
        per_ip: (options.max_connections_per_ip)
            .unwrap_or_else(|| default_per_ip(config.connections)),
        exempt: options.ip_limits_exempt.clone(),
    };
    let network = Network::listen(
        NetworkConfig {
            keypair: config.keypair,
            network_key: config.network_key,
            options,
            dial,
            limits,
            services: config.services,
            cache: config.peer_cache,
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

/// Starts a node without a network, for commands that need the data alone.
///
/// # Errors
/// The store cannot be opened: another process may have it open.
pub async fn start_offline(
    store_dir: &Path,
    keypair: &Keypair,
    options: &Config,
    marks: Option<&Path>,
) -> anyhow::Result<Running> {
    Ok(open(store_dir, keypair, (options, false), None, marks)
        .await?
        .running)
}

/// Settings of an engine, with a seed that nobody else has.
fn settings(options: &Config, introduces: bool) -> anyhow::Result<Settings> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("the system has no random bytes")?;
    Ok(Settings {
        seed,
        offer_percent: options.offer_percent,
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
    (options, introduces): (&Config, bool),
    outputs: Option<mpsc::Sender<headwater_protocols::engine::Output>>,
    marks: Option<&Path>,
) -> anyhow::Result<Parts> {
    let settings = settings(options, introduces)?;
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
        mark_dir: marks.map(Path::to_owned),
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
        DiskBound::start(&node, node.store(), &trouble, options.max_disk, has_network)?;
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
