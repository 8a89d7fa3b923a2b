//! What the rest of the program knows of a running node.

mod clock;
mod damage;
mod open_files;
mod scrubs;
mod troubles;
mod unsigned;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use headwater_protocols::engine::{Asking, Command, CommandError, Counters, LogStatus, Reply};
use headwater_protocols::id::LogId;
use headwater_protocols::store::History;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::clock::{COMPARED_EVERY, ClockWatch};
pub use self::clock::{impossible_time, is_before_1970, now, wall_time};
pub(crate) use self::open_files::is_out_of_files;
pub(crate) use self::scrubs::ScrubAsk;
pub use self::scrubs::{MAX_NAMED_PARTS, ScrubStatus};
pub use self::troubles::{Severity, Trouble};
pub(crate) use self::unsigned::{HistoryClaim, ObservationsAsked, PeerReply};

use self::damage::damage_of;
use self::open_files::OutOfFiles;
use self::scrubs::Scrubs;
use self::troubles::Troubles;
use self::unsigned::Unsigned;
use crate::store::RocksStore;

/// A command did not bring about what it asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// It was refused, or failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The node is stopping.
    #[error("the node is stopping; start it again and repeat the command")]
    Stopping,
    /// A defect: each command is answered with what belongs to it.
    #[error("the node answered something else than was asked, which is a defect; please report it")]
    SomethingElse,
}

/// A peer that is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who it is.
    pub peer: PeerId,
    /// The addresses of its connections, the remote ends.
    pub addresses: Vec<Multiaddr>,
    /// What it calls itself (identify's agent version).
    pub agent: Option<String>,
    /// The last round trip, in microseconds.
    pub rtt_us: Option<u64>,
    /// Whether its sync streams are open.
    pub syncs: bool,
    /// Whether it dialled us.
    pub inbound: bool,
}

/// How it goes with the configured bootstrap nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootstrapStatus {
    /// Those that are configured.
    pub known: usize,
    /// Those that are connected.
    pub connected: usize,
    /// Those that could not be reached since they were connected, if they were.
    pub failing: usize,
    /// Why one of these could not.
    pub last_error: Option<String>,
    /// It is there, and may be in a private network that this node is not in, or
    /// the other way round.
    pub key_in_doubt: bool,
}

impl BootstrapStatus {
    /// Whether there are some, all were dialled, and none answered.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.known > 0 && self.failing == self.known
    }
}

impl PeerStatus {
    /// Whether every connection to it leads through a relay.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        let is_circuit =
            |address: &Multiaddr| address.iter().any(|part| part == Protocol::P2pCircuit);
        !self.addresses.is_empty() && self.addresses.iter().all(is_circuit)
    }
}

/// From where others reach this node directly, as far as it has been tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reachability {
    /// Not known yet: nobody has tested it.
    #[default]
    Unknown,
    /// From nowhere: a router or a firewall stands before it.
    Private,
    /// From its own network.
    Site,
    /// From anywhere.
    Public,
}

/// How the router before this node maps its ports (RFC 4787's words).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mapping {
    /// There is none: peers see the address that we listen on.
    None,
    /// Fewer than two peers have told what they see.
    #[default]
    Unknown,
    /// Everybody sees the same address: holes can be punched (a cone router).
    EndpointIndependent,
    /// Each peer sees another port: holes can be punched only towards peers that
    /// are more open (a symmetric router).
    EndpointDependent,
}

/// What is known of the ways to this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatStatus {
    /// From where others reach it directly.
    pub reachability: Reachability,
    /// How a router maps its ports.
    pub mapping: Mapping,
    /// Relays through which others reach it.
    pub relays: Vec<PeerId>,
    /// Relayed connections that were followed by a direct one.
    pub punched: u64,
    /// Attempts at that which failed.
    pub not_punched: u64,
    /// Bytes that went through relays since the start, both directions.
    pub relayed_bytes: u64,
    /// What may go through them a second.
    pub relayed_bytes_per_second: u64,
}

/// What the data takes on the disk, where there is a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskStatus {
    /// Bytes of the store's files.
    pub used: u64,
    /// Bytes that they may have.
    pub max: u64,
    /// What is done about it.
    pub state: DiskState,
}

/// What is taken while there is a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskState {
    /// Everything.
    Free,
    /// No more histories; the reserve is for live records and what is published.
    NoHistory,
    /// Nothing.
    Full,
}

/// A peer of a stream, connected or known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPeer {
    /// Who it is.
    pub peer: PeerId,
    /// Whether it publishes the stream.
    pub is_publisher: bool,
    /// Whether it is connected.
    pub is_connected: bool,
    /// Whether it is connected and has something of the stream.
    pub is_source: bool,
    /// Where it is, as it says under its signature.
    pub addresses: Vec<Multiaddr>,
}

/// A question for the peers of a stream on its way to the network.
pub(crate) type PeersAsked = (LogId, oneshot::Sender<Vec<StreamPeer>>);

/// A command on its way to the engine.
pub(crate) type Asked = (Command, oneshot::Sender<Result<Reply, CommandError>>);

/// A running node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Node {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<RocksStore>,
    commands: mpsc::Sender<Asked>,
    dials: mpsc::UnboundedSender<Multiaddr>,
    local: PeerId,
    streams: Mutex<BTreeMap<LogId, watch::Sender<Arc<LogStatus>>>>,
    addresses: watch::Sender<Vec<Multiaddr>>,
    nat: watch::Sender<NatStatus>,
    peers: Mutex<BTreeMap<PeerId, PeerStatus>>,
    /// The network, once there is one.
    stream_peers: OnceLock<mpsc::Sender<PeersAsked>>,
    bootstrap: Mutex<BootstrapStatus>,
    disk: Mutex<Option<DiskStatus>>,
    counters: Mutex<Counters>,
    scrubs: Scrubs,
    troubles: Troubles,
    out_of_files: OutOfFiles,
    /// How long the machine slept last.
    sleeps: watch::Sender<Duration>,
    unsigned: Unsigned,
}

impl Node {
    pub(crate) fn new(
        store: Arc<RocksStore>,
        commands: mpsc::Sender<Asked>,
        dials: mpsc::UnboundedSender<Multiaddr>,
        local: PeerId,
    ) -> Self {
        let shared = Shared {
            store,
            commands,
            dials,
            local,
            streams: Mutex::default(),
            addresses: watch::Sender::new(Vec::new()),
            nat: watch::Sender::new(NatStatus::default()),
            peers: Mutex::default(),
            stream_peers: OnceLock::new(),
            bootstrap: Mutex::default(),
            disk: Mutex::default(),
            counters: Mutex::default(),
            scrubs: Scrubs::default(),
            troubles: Troubles::default(),
            out_of_files: OutOfFiles::default(),
            sleeps: watch::Sender::new(Duration::ZERO),
            unsigned: Unsigned::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Its peer id, and the key of the streams that it publishes.
    #[must_use]
    pub fn local_peer(&self) -> PeerId {
        self.shared.local
    }

    /// Sends a command and waits for the answer: a publish is answered once the
    /// records are durable.
    ///
    /// # Errors
    /// It is refused or fails, or the node is stopping.
    pub async fn ask<R>(&self, asking: Asking<R>) -> Result<R, NodeError> {
        let (command, reply) = asking.into_parts();
        let (told, answer) = oneshot::channel();
        let sent = self.shared.commands.send((command, told)).await;
        sent.map_err(|_| NodeError::Stopping)?;
        let answer = answer.await.map_err(|_| NodeError::Stopping)??;
        reply(answer).ok_or(NodeError::SomethingElse)
    }

    /// How every stream stands, by id.
    #[must_use]
    pub fn streams(&self) -> Vec<Arc<LogStatus>> {
        (lock(&self.shared.streams).values())
            .map(|status| status.borrow().clone())
            .collect()
    }

    /// How a stream stands.
    #[must_use]
    pub fn stream(&self, log: LogId) -> Option<Arc<LogStatus>> {
        let streams = lock(&self.shared.streams);
        streams.get(&log).map(|status| status.borrow().clone())
    }

    /// Hears of every change of a stream: new records, new heads, new sources.
    #[must_use]
    pub fn watch(&self, log: LogId) -> Option<watch::Receiver<Arc<LogStatus>>> {
        let streams = lock(&self.shared.streams);
        streams.get(&log).map(watch::Sender::subscribe)
    }

    /// The records and proofs of a stream, to be read from any thread that may
    /// block; `None` before its manifest is known.
    #[must_use]
    pub fn history(&self, log: LogId) -> Option<History<'_, RocksStore>> {
        let key = self.stream(log)?.key?;
        Some(History::new(&*self.shared.store, key))
    }

    /// The store, to read from.
    #[must_use]
    pub fn store(&self) -> &Arc<RocksStore> {
        &self.shared.store
    }

    /// The addresses at which others reach this node, each with its peer id.
    #[must_use]
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.shared.addresses.borrow().clone()
    }

    /// Hears of every change of the addresses.
    #[must_use]
    pub fn watch_addresses(&self) -> watch::Receiver<Vec<Multiaddr>> {
        self.shared.addresses.subscribe()
    }

    /// What is known of the ways to this node.
    #[must_use]
    pub fn nat(&self) -> NatStatus {
        self.shared.nat.borrow().clone()
    }

    /// The peers that are connected.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        lock(&self.shared.peers).values().cloned().collect()
    }

    /// The peers of a stream that are connected or known, its publisher first;
    /// none without a network.
    pub async fn stream_peers(&self, log: LogId) -> Vec<StreamPeer> {
        let Some(network) = self.shared.stream_peers.get() else {
            return Vec::new();
        };
        let (reply, answer) = oneshot::channel();
        // A node that is stopping knows nobody.
        let _ = network.send((log, reply)).await;
        answer.await.unwrap_or_default()
    }

    /// How it goes with the bootstrap nodes.
    #[must_use]
    pub fn bootstrap(&self) -> BootstrapStatus {
        lock(&self.shared.bootstrap).clone()
    }

    /// What the data takes on the disk, if there is a bound.
    #[must_use]
    pub fn disk(&self) -> Option<DiskStatus> {
        *lock(&self.shared.disk)
    }

    /// What the engine has done since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *lock(&self.shared.counters)
    }

    /// Dials a peer and stays connected to it: it is dialled again, with
    /// growing pauses, when the connection is lost.
    pub fn keep_dialled(&self, address: Multiaddr) {
        // A node that is stopping dials nobody.
        let _ = self.shared.dials.send(address);
    }

    /// Whom to ask for the peers of a stream: the network, when it starts.
    pub(crate) fn set_stream_peers(&self, network: mpsc::Sender<PeersAsked>) {
        // A node has one network.
        let _ = self.shared.stream_peers.set(network);
    }

    pub(crate) fn set_stream(&self, status: LogStatus) {
        self.note_damage(&status);
        let mut streams = lock(&self.shared.streams);
        let log = status.log;
        match streams.get(&log) {
            Some(watched) => {
                watched.send_replace(Arc::new(status));
            }
            None => {
                streams.insert(log, watch::Sender::new(Arc::new(status)));
            }
        }
    }

    /// The stream was deleted. Those who watch it hear that nothing more comes.
    pub(crate) fn remove_stream(&self, log: LogId) {
        lock(&self.shared.streams).remove(&log);
        self.forget_scrub(log);
        self.trouble_ends(&damage_of(log));
    }

    pub(crate) fn set_addresses(&self, addresses: Vec<Multiaddr>) {
        self.shared.addresses.send_replace(addresses);
    }

    pub(crate) fn set_disk(&self, status: Option<DiskStatus>) {
        *lock(&self.shared.disk) = status;
    }

    pub(crate) fn set_counters(&self, counters: Counters) {
        *lock(&self.shared.counters) = counters;
    }

    pub(crate) fn set_bootstrap(&self, status: BootstrapStatus) {
        *lock(&self.shared.bootstrap) = status;
    }

    pub(crate) fn set_nat(&self, status: NatStatus) {
        self.shared.nat.send_if_modified(|known| {
            let is_new = *known != status;
            *known = status;
            is_new
        });
    }

    pub(crate) fn change_peers(&self, change: impl FnOnce(&mut BTreeMap<PeerId, PeerStatus>)) {
        change(&mut lock(&self.shared.peers));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
