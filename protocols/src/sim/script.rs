//! What a test can do to a simulation.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::network::Way;
use super::queue::Event;
use super::{NodeId, Sim, Twist};
use crate::engine::{Command, CommandError, Mark, Reply, Room};
use crate::id::{LogId, Topic};
use crate::identity::SigningKey;
use crate::manifest::{Manifest, SignedManifest};
use crate::ranges::Interval;
use crate::record::Record;
use crate::store::{MemoryStore, StoreError};
use crate::time::Timestamp;

/// What survives a crash of what was written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Everything: the process ended (kill -9), the machine goes on.
    Process,
    /// The first so many batches: the power was lost.
    Power(usize),
}

impl Sim {
    /// Adds a node with a key of its own; it runs at once.
    pub fn add_node(&mut self) -> NodeId {
        let key = self.next_key();
        self.add(key, false)
    }

    /// Adds a node that passes on joins, offers and acceptances of streams that
    /// it does not follow.
    pub fn add_introducer(&mut self) -> NodeId {
        let key = self.next_key();
        self.add(key, true)
    }

    fn next_key(&self) -> SigningKey {
        let number = self.nodes.len() as u64;
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&number.to_be_bytes());
        SigningKey::from_secret(&mut secret)
    }

    /// Adds a node with this key; it runs at once. Two nodes may have one key,
    /// as long as nobody is connected to both.
    pub fn add_node_with_key(&mut self, key: SigningKey) -> NodeId {
        self.add(key, false)
    }

    /// The key of a node.
    #[must_use]
    pub fn key(&self, node: NodeId) -> &SigningKey {
        &self.nodes[node.0].key
    }

    /// Gives a command to a node that runs, and returns its number. It is
    /// carried out when the simulation goes on.
    pub fn command(&mut self, node: NodeId, command: Command) -> u64 {
        let state = &mut self.nodes[node.0];
        let id = state.next_command;
        state.next_command += 1;
        self.queue
            .push(self.now(), node, Event::Command(id, command));
        id
    }

    /// Says how much a node may write from now on.
    pub fn set_room(&mut self, node: NodeId, room: Room) {
        self.queue.push(self.now(), node, Event::Room(room));
    }

    /// Somebody beside the engine finds that its store cannot be written.
    pub fn store_failed(&mut self, node: NodeId, error: StoreError) {
        self.queue.push(self.now(), node, Event::Failed(error));
    }

    /// Sets a node's clock: from now on, and after a start, it shows this much more
    /// than the virtual one, or less. Spans go as before.
    pub fn set_clock(&mut self, node: NodeId, ahead_us: i64) {
        self.nodes[node.0].ahead_us = ahead_us;
        self.queue.push(self.now(), node, Event::Clock(ahead_us));
    }

    /// What a node's clock shows.
    #[must_use]
    pub fn time(&self, node: NodeId) -> Timestamp {
        self.now().offset(self.nodes[node.0].ahead_us)
    }

    /// Tells a node that something of a log could not be read.
    pub fn suspect(&mut self, node: NodeId, log: LogId, interval: Interval) {
        self.queue
            .push(self.now(), node, Event::Suspect(log, interval));
    }

    /// The disk of a node that does not run was repaired, and lost some rows.
    pub fn lost_rows(&mut self, node: NodeId) {
        let state = &mut self.nodes[node.0];
        (state.lost_rows, state.copied) = (true, true);
    }

    /// The answer to a command, once there is one.
    #[must_use]
    pub fn reply(&self, node: NodeId, id: u64) -> Option<&Result<Reply, CommandError>> {
        self.nodes[node.0].replies.get(&id)
    }

    /// Creates a stream at a node.
    ///
    /// # Panics
    /// The node refuses.
    pub fn create(&mut self, node: NodeId, manifest: Manifest) -> LogId {
        self.created(node, Command::Create(Box::new(manifest)))
    }

    /// Has a node create a stream under a manifest that its key has signed.
    ///
    /// # Panics
    /// The node refuses.
    pub fn create_signed(&mut self, node: NodeId, manifest: SignedManifest) -> LogId {
        self.created(node, Command::CreateSigned(Box::new(manifest)))
    }

    fn created(&mut self, node: NodeId, command: Command) -> LogId {
        let id = self.command(node, command);
        self.run_for(0);
        match self.reply(node, id) {
            Some(Ok(Reply::Created(log))) => *log,
            other => panic!("creating a stream gave {other:?}"),
        }
    }

    /// Gives records to publish to a node, and returns the command's number.
    pub fn publish(&mut self, node: NodeId, log: LogId, records: Vec<Record>) -> u64 {
        let expect_size = None;
        self.command(
            node,
            Command::Publish {
                log,
                records,
                expect_size,
            },
        )
    }

    /// Lets a node follow a stream, the oldest records first.
    pub fn follow(&mut self, node: NodeId, log: LogId) -> u64 {
        let (peers, newest_first) = (Vec::new(), false);
        self.command(
            node,
            Command::Follow {
                log,
                peers,
                newest_first,
            },
        )
    }

    /// Connects two nodes that run. `false` when they are connected already, or
    /// one of them has banned the other.
    pub fn connect(&mut self, a: NodeId, b: NodeId) -> bool {
        let (peer_a, peer_b) = (self.peer(a), self.peer(b));
        let (node_a, node_b) = (&self.nodes[a.0], &self.nodes[b.0]);
        let banned = node_a.banned.contains(&peer_b) || node_b.banned.contains(&peer_a);
        let run = node_a.engine.is_some() && node_b.engine.is_some();
        if banned || !run || !self.network.raise(a, b) {
            return false;
        }
        self.nodes[a.0].neighbours.insert(peer_b, b);
        self.nodes[b.0].neighbours.insert(peer_a, a);
        for (node, peer) in [(a, b), (b, a)] {
            self.become_ready(node, peer);
            let topics: Vec<_> = self.nodes[peer.0].topics.iter().copied().collect();
            for topic in topics {
                self.tell_subscription(peer, node, topic, true);
            }
        }
        true
    }

    /// Connects each node with the next one.
    pub fn connect_line(&mut self, nodes: &[NodeId]) {
        for pair in nodes.windows(2) {
            self.connect(pair[0], pair[1]);
        }
    }

    /// Connects each node with every other one.
    pub fn connect_all(&mut self, nodes: &[NodeId]) {
        for (i, &a) in nodes.iter().enumerate() {
            for &b in &nodes[i + 1..] {
                self.connect(a, b);
            }
        }
    }

    /// Closes the connection of two nodes; what is on the way is lost.
    pub fn cut(&mut self, a: NodeId, b: NodeId) {
        if !self.network.lower(a, b) {
            return;
        }
        self.lose(a, b, true);
        let (peer_a, peer_b) = (self.peer(a), self.peer(b));
        self.nodes[a.0].neighbours.remove(&peer_b);
        self.nodes[b.0].neighbours.remove(&peer_a);
    }

    /// Opens the streams between two nodes anew; what is on the way is lost.
    pub fn reset_streams(&mut self, a: NodeId, b: NodeId) {
        if self.network.drop_frames(a, b) {
            self.lose(a, b, false);
            self.become_ready(a, b);
            self.become_ready(b, a);
        }
    }

    /// Ends a node without warning.
    pub fn crash(&mut self, node: NodeId, crash: Crash) {
        let neighbours: Vec<_> = self.nodes[node.0].neighbours.values().copied().collect();
        let state = &mut self.nodes[node.0];
        state.crash();
        if let Crash::Power(kept) = crash {
            state.store.lose_power(kept);
        }
        for other in neighbours {
            self.cut(node, other);
        }
    }

    /// Starts a node that crashed, and connects it as it was before.
    pub fn reopen(&mut self, node: NodeId) {
        self.decide_what_is_unclear(node);
        self.open(node);
        for other in std::mem::take(&mut self.nodes[node.0].former) {
            self.connect(node, other);
        }
    }

    /// Gives a node that crashed another disk: a copy of one that it, or
    /// another node, had before. The node can tell when it is started, and what
    /// it had noted outside of its disk is gone with the machine.
    pub fn restore(&mut self, node: NodeId, disk: MemoryStore) {
        let state = &mut self.nodes[node.0];
        state.store = Arc::new(disk);
        state.copied = true;
        state.marks = Some(BTreeMap::new());
    }

    /// Keeps a node from being told that its disk was restored, as one cannot
    /// tell whose whole machine was.
    pub fn forget_that_it_was_restored(&mut self, node: NodeId) {
        let state = &mut self.nodes[node.0];
        (state.copied, state.ended_well) = (false, true);
    }

    /// What a node has noted of its own logs outside of its disk.
    #[must_use]
    pub fn marks(&self, node: NodeId) -> BTreeMap<LogId, Mark> {
        self.nodes[node.0].marks.clone().unwrap_or_default()
    }

    /// Replaces what a node has noted outside of its disk; with `None` it keeps
    /// no notes from now on.
    pub fn set_marks(&mut self, node: NodeId, marks: Option<BTreeMap<LogId, Mark>>) {
        self.nodes[node.0].marks = marks;
    }

    /// Gives a node that crashed an older state of its own disk, which it cannot
    /// tell from the one that it had: a part of it was lost.
    pub fn damage(&mut self, node: NodeId, disk: MemoryStore) {
        self.nodes[node.0].store = Arc::new(disk);
    }

    /// Makes a node lie from now on.
    pub fn twist(&mut self, node: NodeId, twist: Twist) {
        self.nodes[node.0].twist = Some(twist);
    }

    /// Makes a node honest again.
    pub fn untwist(&mut self, node: NodeId) {
        self.nodes[node.0].twist = None;
    }

    /// Publishes a gossip message of a node, whatever its engine thinks.
    pub fn gossip(&mut self, node: NodeId, topic: Topic, data: &Bytes) {
        self.flood(node, node, None, topic, data);
    }

    pub(super) fn set_subscription(&mut self, node: NodeId, topic: Topic, subscribed: bool) {
        let topics = &mut self.nodes[node.0].topics;
        if subscribed {
            topics.insert(topic);
        } else {
            topics.remove(&topic);
        }
        let neighbours: Vec<_> = self.nodes[node.0].neighbours.values().copied().collect();
        for other in neighbours {
            self.tell_subscription(node, other, topic, subscribed);
            // Whoever subscribes finds out who had subscribed before.
            if subscribed && self.nodes[other.0].topics.contains(&topic) {
                self.tell_subscription(other, node, topic, true);
            }
        }
    }

    fn tell_subscription(&mut self, of: NodeId, to: NodeId, topic: Topic, subscribed: bool) {
        if let Some(epoch) = self.network.epoch(of, to, Way::Gossip) {
            let at = self.network.arrival(self.now());
            let event = Event::Subscription {
                peer: of,
                epoch,
                topic,
                subscribed,
            };
            self.queue.push(at, to, event);
        }
    }

    fn become_ready(&mut self, node: NodeId, peer: NodeId) {
        if let Some(epoch) = self.network.epoch(node, peer, Way::Streams) {
            let at = self.network.ready_arrival(node, peer, self.now());
            self.queue.push(at, node, Event::Ready { peer, epoch });
        }
    }

    fn lose(&mut self, a: NodeId, b: NodeId, closed: bool) {
        let now = self.now();
        for (node, peer) in [(a, self.peer(b)), (b, self.peer(a))] {
            self.queue.push(now, node, Event::Gone { peer, closed });
        }
    }
}
