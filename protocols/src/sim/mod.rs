//! A seeded simulator: real engines on a virtual clock, a network with latency,
//! loss and cuts, disks that lose what was not synced, and nodes that lie. The
//! same seed and script give the same run, byte for byte; a run that panics
//! prints its seed.

mod meeting;
mod network;
mod node;
mod queue;
mod script;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use libp2p_identity::PeerId;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::engine::{Engine, Input, LogStatus, Misbehaviour, Output, Settings, Verdict};
use crate::id::{LogId, Topic};
use crate::identity::SigningKey;
use crate::limits::OFFER_PERCENT;
use crate::rendezvous::Rendezvous;
use crate::store::{Batch, Durability, MemoryStore, Store};
use crate::sync::{Lane, frame_cost};
use crate::time::Timestamp;
use crate::wire::v1;
use network::{Network, Way};
use node::{Node, Pending};
use queue::{Event, Queue};

pub use meeting::Said;
pub use network::NetworkConfig;
pub use node::{Reach, SimEngine, Twist, Twisted};
pub use script::Crash;

/// When a simulation begins: a day in 2026.
const BEGIN: Timestamp = Timestamp(1_780_000_000_000_000);

/// Events in one call of [`Sim::run_until`], and for each node; an engine that
/// keeps waking itself, or two that keep asking each other, are found out here.
const MAX_EVENTS: u64 = 2_000_000;
const MAX_EVENTS_PER_NODE: u64 = 20_000;

/// Microseconds until a sync of the disk that runs beside the engine is told of.
const DISK_SYNC_US: u64 = 20_000;

/// Names a node of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// A peer that was accused of something.
#[derive(Clone, Debug)]
pub struct Accusation {
    /// Who accuses.
    pub by: NodeId,
    /// Who is accused.
    pub of: NodeId,
    /// The message of a sync stream that it is about; a rejected gossip
    /// message has none.
    pub what: Option<Misbehaviour>,
}

/// A number of nodes, and everything that is on the way between them.
#[derive(Debug)]
pub struct Sim {
    seed: u64,
    queue: Queue,
    network: Network,
    nodes: Vec<Node>,
    accusations: Vec<Accusation>,
    /// Bytes of frames, by sender and receiver.
    sent: BTreeMap<(NodeId, NodeId), u64>,
    said: Vec<Said>,
    /// Who dialled whom.
    dials: Vec<(NodeId, NodeId)>,
    rendezvous: Rendezvous<NodeId>,
    trace: Sha256,
}

impl Sim {
    /// A simulation without nodes, on the default network.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_network(seed, NetworkConfig::default())
    }

    /// A simulation without nodes.
    #[must_use]
    pub fn with_network(seed: u64, config: NetworkConfig) -> Self {
        Self {
            seed,
            queue: Queue::new(BEGIN),
            network: Network::new(seed, config),
            nodes: Vec::new(),
            accusations: Vec::new(),
            sent: BTreeMap::new(),
            said: Vec::new(),
            dials: Vec::new(),
            rendezvous: Rendezvous::default(),
            trace: Sha256::new(),
        }
    }

    /// The virtual clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.queue.now()
    }

    /// A number below `end`, from the simulation's own dice.
    pub fn dice(&mut self, end: u64) -> u64 {
        self.network.dice(end)
    }

    /// The network's manners from now on.
    pub fn set_network(&mut self, config: NetworkConfig) {
        self.network.config = config;
    }

    /// Sums up everything that has happened: two runs of one seed and script
    /// have the same.
    #[must_use]
    pub fn trace(&self) -> [u8; 32] {
        self.trace.clone().finalize().into()
    }

    /// Sums up what has happened, and what came of it.
    #[cfg(test)]
    fn sum(&self) -> [u8; 32] {
        let mut trace = self.trace.clone();
        for node in &self.nodes {
            trace.update(format!("{:?}", node.replies));
            let engines = node.engine.iter();
            for status in engines.flat_map(|engine| engine.logs().map(|log| engine.status(log))) {
                trace.update(format!("{status:?}"));
            }
        }
        trace.finalize().into()
    }

    /// Who was accused, of what, in order.
    #[must_use]
    pub fn accusations(&self) -> &[Accusation] {
        &self.accusations
    }

    /// The engine of a node that runs.
    #[must_use]
    pub fn engine(&self, node: NodeId) -> &SimEngine {
        (self.nodes[node.0].engine.as_ref()).expect("the node runs")
    }

    /// The disk of a node.
    #[must_use]
    pub fn store(&self, node: NodeId) -> &Arc<MemoryStore> {
        &self.nodes[node.0].store
    }

    /// The peer id of a node.
    #[must_use]
    pub fn peer(&self, node: NodeId) -> PeerId {
        self.nodes[node.0].peer
    }

    /// How a log stands at a node that runs.
    #[must_use]
    pub fn status(&self, node: NodeId, log: LogId) -> Option<LogStatus> {
        self.engine(node).status(log)
    }

    /// Bytes of chunks that a node got from another one so far.
    #[must_use]
    pub fn delivered(&self, from: NodeId, to: NodeId) -> u64 {
        let delivered = &self.nodes[to.0].delivered;
        delivered.get(&from).copied().unwrap_or(0)
    }

    /// Bytes of frames that a node sent to another one so far.
    #[must_use]
    pub fn sent_bytes(&self, from: NodeId, to: NodeId) -> u64 {
        self.sent.get(&(from, to)).copied().unwrap_or(0)
    }

    /// Lets everything happen until a point in time.
    ///
    /// # Panics
    /// When more happens than can be right.
    pub fn run_until(&mut self, end: Timestamp) {
        let mut events = 0;
        let most = MAX_EVENTS.max(MAX_EVENTS_PER_NODE * self.nodes.len() as u64);
        while self.step(end) {
            events += 1;
            assert!(events < most, "the nodes never come to rest");
        }
    }

    /// Lets everything happen for this many microseconds.
    pub fn run_for(&mut self, duration_us: u64) {
        self.run_until(self.now().plus(duration_us));
    }

    /// Runs until something is so, at most this many microseconds; whether it
    /// came to be.
    pub fn run_while(&mut self, duration_us: u64, mut go_on: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now().plus(duration_us);
        while go_on(self) {
            if !self.step(end) {
                return !go_on(self);
            }
        }
        true
    }

    /// Lets one thing happen; `false` when nothing happens until `end`.
    fn step(&mut self, end: Timestamp) -> bool {
        let Some((node, event)) = self.queue.pop_until(end) else {
            return false;
        };
        self.note(node, &event);
        let now = self.now();
        if let Event::Wake = event {
            if self.nodes[node.0].wake != Some(now) {
                return true;
            }
            self.nodes[node.0].wake = None;
            if let Some(engine) = &mut self.nodes[node.0].engine {
                engine.handle_timeout(now);
            }
        } else if let Some(input) = self.input(node, event)
            && let Some(engine) = &mut self.nodes[node.0].engine
        {
            engine.handle(input, now);
        }
        self.settle(node);
        true
    }

    /// Adds an event to the trace.
    fn note(&mut self, node: NodeId, event: &Event) {
        self.trace.update(self.queue.now().0.to_be_bytes());
        self.trace.update(node.0.to_be_bytes());
        match event {
            Event::Frame { bytes: data, .. } | Event::Gossip { data, .. } => {
                self.trace.update(data);
            }
            other => self.trace.update(format!("{other:?}")),
        }
    }

    /// What an event is to the engine; `None` when it was lost on the way.
    fn input(&mut self, node: NodeId, event: Event) -> Option<Input> {
        if let Some((peer, way, epoch)) = event.link()
            && self.network.epoch(node, peer, way) != Some(epoch)
        {
            return None;
        }
        let peer_id = |peer: NodeId| self.nodes[peer.0].peer;
        match event {
            Event::Ready { peer, .. } => Some(Input::Ready(peer_id(peer), None)),
            Event::Gone { peer, closed: true } => Some(Input::Disconnected(peer)),
            Event::Gone { peer, .. } => Some(Input::Gone(peer)),
            Event::Subscription {
                peer,
                topic,
                subscribed: true,
                ..
            } => Some(Input::Subscribed(peer_id(peer), topic)),
            Event::Subscription { peer, topic, .. } => {
                Some(Input::Unsubscribed(peer_id(peer), topic))
            }
            Event::Sent { peer, cost, .. } => Some(Input::Sent(peer_id(peer), cost)),
            Event::Frame {
                from, epoch, bytes, ..
            } => {
                self.arrived(from, node, epoch, &bytes);
                Some(Input::Frame(self.nodes[from.0].peer, bytes))
            }
            Event::Gossip {
                from,
                author,
                topic,
                data,
                ..
            } => self.heard(from, author, node, topic, data),
            Event::Synced { opened, result } => {
                let is_same = self.nodes[node.0].opened == opened;
                is_same.then_some(Input::Synced(result))
            }
            Event::Probed { opened, result } => {
                let is_same = self.nodes[node.0].opened == opened;
                is_same.then_some(Input::Probed(result))
            }
            Event::Reclaimed { opened, number } => {
                let is_same = self.nodes[node.0].opened == opened;
                is_same.then_some(Input::Reclaimed(number))
            }
            Event::Failed(error) => Some(Input::Failed(error)),
            Event::Room(room) => Some(Input::Room(room)),
            Event::Clock(ahead_us) => Some(Input::Clock(self.now().offset(ahead_us))),
            Event::Suspect(log, interval) => Some(Input::Suspect(log, interval)),
            Event::Command(id, command) => Some(Input::Command(id, command)),
            Event::Wake => None,
        }
    }

    /// Counts what a frame delivers, and gives its credit back.
    fn arrived(&mut self, from: NodeId, to: NodeId, epoch: u64, bytes: &Bytes) {
        if let Ok(frame) = v1::Frame::decode(bytes.clone())
            && let Some(v1::frame::Body::Delivery(delivery)) = frame.body
        {
            let bytes: usize = delivery.chunks.iter().map(Bytes::len).sum();
            *self.nodes[to.0].delivered.entry(from).or_default() += bytes as u64;
        }
        let sent = Event::Sent {
            peer: to,
            epoch,
            cost: frame_cost(bytes.len()),
        };
        self.queue.push(self.now(), from, sent);
    }

    /// A gossip message that a node hears for the first time.
    fn heard(
        &mut self,
        from: NodeId,
        author: NodeId,
        node: NodeId,
        topic: Topic,
        data: Bytes,
    ) -> Option<Input> {
        let peer = self.nodes[from.0].peer;
        let author_peer = self.nodes[author.0].peer;
        let node = &mut self.nodes[node.0];
        let hash: [u8; 32] = Sha256::digest(&data).into();
        if !node.topics.contains(&topic) || !node.seen.insert(hash) {
            return None;
        }
        let id = Bytes::copy_from_slice(&hash);
        let pending = Pending {
            from,
            author,
            topic,
            data: data.clone(),
        };
        node.pending.insert(id.clone(), pending);
        Some(Input::Gossip {
            id,
            from: peer,
            author: author_peer,
            topic,
            data,
        })
    }

    /// Takes what an engine has to say after an input. Inputs of one moment
    /// share a commit.
    fn settle(&mut self, node: NodeId) {
        let now = self.now();
        let commits = !self.queue.continues(node);
        let Some(engine) = &mut self.nodes[node.0].engine else {
            return;
        };
        if commits {
            engine.commit(now);
        }
        let outputs: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
        let wake = engine.poll_timeout();
        for output in outputs {
            self.perform(node, output);
        }
        let wake = wake.map(|at| at.max(now));
        if self.nodes[node.0].engine.is_some() && self.nodes[node.0].wake != wake {
            self.nodes[node.0].wake = wake;
            if let Some(at) = wake {
                self.queue.push(at, node, Event::Wake);
            }
        }
    }

    fn perform(&mut self, node: NodeId, output: Output) {
        match output {
            Output::Send(peer, lane, bytes) => {
                let to = self.nodes[node.0].neighbours.get(&peer).copied();
                let bytes = self.nodes[node.0].twisted(bytes);
                if let (Some(to), Some(bytes)) = (to, bytes) {
                    self.send(node, to, lane, bytes);
                }
            }
            Output::Subscribe(topic) => self.set_subscription(node, topic, true),
            Output::Unsubscribe(topic) => self.set_subscription(node, topic, false),
            Output::Publish(topic, data) => {
                let hash = Sha256::digest(&data).into();
                self.note_said(node, topic, &data);
                if self.nodes[node.0].seen.insert(hash) {
                    self.flood(node, node, None, topic, &data);
                }
            }
            Output::Dial { peer, record, .. } => self.dial(node, peer, &record),
            Output::Meet { hash, .. } => self.go_to_rendezvous(node, hash),
            Output::Verdict {
                id,
                from: _,
                verdict,
            } => self.judged(node, &id, verdict),
            Output::Reply(id, reply) => {
                self.nodes[node.0].replies.insert(id, reply);
            }
            Output::Ban(peer, what) => {
                let node_state = &mut self.nodes[node.0];
                node_state.banned.insert(peer);
                if let Some(&of) = node_state.neighbours.get(&peer) {
                    let by = node;
                    let what = Some(what);
                    self.accusations.push(Accusation { by, of, what });
                    self.cut(node, of);
                }
            }
            Output::Sync => {
                // What is written from now on is not safe, although the engine
                // hears of it later.
                let state = &self.nodes[node.0];
                let result = state.store.commit(Batch::new(), Durability::Synced);
                let opened = state.opened;
                let at = self.now().plus(DISK_SYNC_US);
                self.queue.push(at, node, Event::Synced { opened, result });
            }
            Output::Probe => {
                self.decide_what_is_unclear(node);
                let state = &self.nodes[node.0];
                let result = state.store.commit(Batch::new(), Durability::Synced);
                let opened = state.opened;
                let at = self.now().plus(DISK_SYNC_US);
                self.queue.push(at, node, Event::Probed { opened, result });
            }
            Output::ReclaimChunks(..) | Output::Audited(_) | Output::Stopped(_) => {}
            Output::Resumed | Output::Refused(_) => {}
            Output::Reclaim(number) => {
                let opened = self.nodes[node.0].opened;
                let at = self.now().plus(DISK_SYNC_US);
                self.queue
                    .push(at, node, Event::Reclaimed { opened, number });
            }
            Output::Signed(log, mark) => {
                if let Some(marks) = &mut self.nodes[node.0].marks {
                    marks.insert(log, mark);
                }
            }
            Output::Changed(_) | Output::Counted(_) => {}
        }
    }

    /// What a failed write left on the disk of a node shows when it is opened
    /// anew.
    pub(super) fn decide_what_is_unclear(&mut self, node: NodeId) {
        let unclear = self.nodes[node.0].store.unclear() as u64;
        if unclear > 0 {
            let kept = self.dice(unclear + 1) as usize;
            self.nodes[node.0].store.reopen(kept);
        }
    }

    /// Sends a frame from one node to another, whatever their engines think.
    pub fn send(&mut self, from: NodeId, to: NodeId, lane: Lane, bytes: Bytes) {
        let Some(epoch) = self.network.epoch(from, to, Way::Streams) else {
            return;
        };
        *self.sent.entry((from, to)).or_default() += bytes.len() as u64;
        let at = (self.network).frame_arrival(from, to, lane, bytes.len(), self.now());
        let frame = Event::Frame { from, epoch, bytes };
        self.queue.push(at, to, frame);
    }

    fn judged(&mut self, node: NodeId, id: &Bytes, verdict: Verdict) {
        let Some(pending) = self.nodes[node.0].pending.remove(id) else {
            return;
        };
        match verdict {
            Verdict::Accept => {
                let Pending {
                    from,
                    author,
                    topic,
                    data,
                } = pending;
                self.flood(node, author, Some(from), topic, &data);
            }
            Verdict::Ignore => {}
            Verdict::Reject => self.accusations.push(Accusation {
                by: node,
                of: pending.from,
                what: None,
            }),
        }
    }

    /// Passes a message on to every neighbour that subscribed to its topic.
    fn flood(
        &mut self,
        node: NodeId,
        author: NodeId,
        except: Option<NodeId>,
        topic: Topic,
        data: &Bytes,
    ) {
        let now = self.now();
        let neighbours: Vec<_> = self.nodes[node.0].neighbours.values().copied().collect();
        for to in neighbours {
            let subscribed = self.nodes[to.0].topics.contains(&topic);
            if !subscribed || Some(to) == except {
                continue;
            }
            let Some(epoch) = self.network.epoch(node, to, Way::Gossip) else {
                continue;
            };
            for at in self.network.gossip_arrivals(now) {
                let gossip = Event::Gossip {
                    from: node,
                    author,
                    epoch,
                    topic,
                    data: data.clone(),
                };
                self.queue.push(at, to, gossip);
            }
        }
    }

    /// Opens the engine of a node on its disk.
    fn open(&mut self, node: NodeId) {
        let now = self.now();
        let reachable = self.reachable(node);
        let state = &mut self.nodes[node.0];
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_be_bytes());
        seed[8..16].copy_from_slice(&(node.0 as u64).to_be_bytes());
        seed[16..24].copy_from_slice(&state.opened.to_be_bytes());
        state.opened += 1;
        let settings = Settings {
            seed,
            offer_percent: OFFER_PERCENT,
            introduces: state.introduces,
            copied: std::mem::take(&mut state.copied),
            lost_rows: std::mem::take(&mut state.lost_rows),
            marks: state.marks.clone().unwrap_or_default(),
            lost: None,
            ended_badly: state.opened > 1 && !std::mem::take(&mut state.ended_well),
            time: now.offset(state.ahead_us),
        };
        let engine = Engine::open(state.store.clone(), state.key.clone(), &settings, now);
        let mut engine = engine.expect("what engines wrote can be opened");
        engine.handle(reachable, now);
        state.engine = Some(engine);
        self.settle(node);
    }

    fn add(&mut self, key: SigningKey, introduces: bool) -> NodeId {
        let node = NodeId(self.nodes.len());
        self.nodes.push(Node::new(key, introduces));
        self.open(node);
        node
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the simulation that failed has seed {}", self.seed);
        } else {
            #[cfg(test)]
            if std::env::var_os("HEADWATER_TRACES").is_some() {
                let sum = crate::merkle::Hash(self.sum());
                eprintln!("the trace of a simulation with seed {}: {sum}", self.seed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
