//! One node of a simulation: a real engine, and what its transport knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::NodeId;
use crate::engine::{CommandError, Engine, Mark, Reply};
use crate::id::{LogId, Topic};
use crate::identity::SigningKey;
use crate::store::MemoryStore;
use crate::time::Timestamp;
use crate::wire::v1;

/// The engine of a simulated node.
pub type SimEngine = Engine<Arc<MemoryStore>>;

/// What becomes of a frame that a false node sends.
#[derive(Clone, Debug)]
pub enum Twisted {
    /// It is sent like this.
    Frame(v1::Frame),
    /// These bytes are sent in its place.
    Bytes(Bytes),
    /// Nothing is sent.
    Nothing,
}

/// Makes a node lie: it is given each frame that the node is about to send.
pub type Twist = Box<dyn FnMut(v1::Frame) -> Twisted>;

/// A gossip message that waits for a verdict.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) from: NodeId,
    pub(super) author: NodeId,
    pub(super) topic: Topic,
    pub(super) data: Bytes,
}

/// Who can connect to a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Everybody.
    #[default]
    Open,
    /// Whoever dials at the same moment as it dials itself.
    Hidden,
    /// Nobody.
    Nowhere,
}

pub(super) struct Node {
    pub(super) key: SigningKey,
    pub(super) peer: PeerId,
    pub(super) introduces: bool,
    /// Its disk was restored from a copy since it was opened last.
    pub(super) copied: bool,
    /// Its disk was repaired since it was opened last.
    pub(super) lost_rows: bool,
    /// Its engine is to be opened as after a clean end.
    pub(super) ended_well: bool,
    /// What is noted of its own logs outside of its disk, if it keeps notes.
    pub(super) marks: Option<BTreeMap<LogId, Mark>>,
    pub(super) reach: Reach,
    /// Microseconds by which its clock is ahead of the virtual one.
    pub(super) ahead_us: i64,
    /// How often its engine was opened.
    pub(super) opened: u64,
    pub(super) store: Arc<MemoryStore>,
    /// `None` while it has crashed.
    pub(super) engine: Option<SimEngine>,
    /// Those it is connected to. Two nodes may have one key, but nobody is
    /// connected to both.
    pub(super) neighbours: BTreeMap<PeerId, NodeId>,
    /// Neighbours at the time of the crash.
    pub(super) former: BTreeSet<NodeId>,
    pub(super) banned: BTreeSet<PeerId>,
    pub(super) topics: BTreeSet<Topic>,
    /// Hashes of the gossip messages that it has seen.
    pub(super) seen: BTreeSet<[u8; 32]>,
    pub(super) pending: BTreeMap<Bytes, Pending>,
    /// When it is woken.
    pub(super) wake: Option<Timestamp>,
    pub(super) next_command: u64,
    pub(super) replies: BTreeMap<u64, Result<Reply, CommandError>>,
    pub(super) twist: Option<Twist>,
    /// Bytes of chunks that arrived, by sender.
    pub(super) delivered: BTreeMap<NodeId, u64>,
}

impl Node {
    pub(super) fn new(key: SigningKey, introduces: bool) -> Self {
        Self {
            peer: key.public().peer_id(),
            key,
            introduces,
            copied: false,
            lost_rows: false,
            ended_well: false,
            marks: Some(BTreeMap::new()),
            reach: Reach::default(),
            ahead_us: 0,
            opened: 0,
            store: Arc::new(MemoryStore::new()),
            engine: None,
            neighbours: BTreeMap::new(),
            former: BTreeSet::new(),
            banned: BTreeSet::new(),
            topics: BTreeSet::new(),
            seen: BTreeSet::new(),
            pending: BTreeMap::new(),
            wake: None,
            next_command: 0,
            replies: BTreeMap::new(),
            twist: None,
            delivered: BTreeMap::new(),
        }
    }

    /// Forgets what a process forgets when it ends.
    pub(super) fn crash(&mut self) {
        self.engine = None;
        self.former = self.neighbours.values().copied().collect();
        self.neighbours.clear();
        self.banned.clear();
        self.topics.clear();
        self.seen.clear();
        self.pending.clear();
        self.wake = None;
    }

    /// What really leaves the node instead of a frame.
    pub(super) fn twisted(&mut self, bytes: Bytes) -> Option<Bytes> {
        use prost::Message;
        let Some(twist) = &mut self.twist else {
            return Some(bytes);
        };
        let frame = v1::Frame::decode(bytes).expect("engines send frames");
        match twist(frame) {
            Twisted::Frame(frame) => Some(frame.encode_to_vec().into()),
            Twisted::Bytes(bytes) => Some(bytes),
            Twisted::Nothing => None,
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("peer", &self.peer)
            .field("neighbours", &self.neighbours)
            .field("runs", &self.engine.is_some())
            .finish_non_exhaustive()
    }
}
