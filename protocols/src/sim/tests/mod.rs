//! Engines at work, among each other and against liars, crashes and cuts.

mod clocks;
mod crashes;
mod cursors;
mod damage;
mod deletions;
mod discovering;
mod early;
mod endings;
mod fairness;
mod forks;
mod gossip;
mod history;
mod holes;
mod joining;
mod liars;
mod newer;
mod owners;
mod questions;
mod readers;
mod recovered_rows;
mod recoveries;
mod replacements;
mod restored;
mod retention;
mod retrieving;
mod room;
mod scattered;
mod scripts;
mod simulator;
mod stopping;
mod trials;

use bytes::Bytes;
use prost::Message;

use super::*;
use crate::manifest::{Manifest, NONCE_BYTES, ValueType};
use crate::merkle::{prove_inclusion, verify_inclusion};
use crate::record::{Record, encoded_len};
use crate::store::History;

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;

/// A stream of texts.
fn manifest(key: &SigningKey, chunk_level: u8) -> Manifest {
    Manifest {
        value_type: ValueType::Text,
        chunk_level,
        created: BEGIN,
        ..Manifest::new(key.public(), "readings", [7; NONCE_BYTES])
    }
}

/// The record at an index of every honest stream here.
fn record(index: u64) -> Record {
    let value = "x".repeat(index as usize % 7) + &index.to_string();
    Record::new(Timestamp(index as i64), value.as_bytes())
}

fn records(from: u64, to: u64) -> Vec<Record> {
    (from..to).map(record).collect()
}

/// Bytes of chunks that carry these records.
fn chunk_bytes(from: u64, to: u64) -> u64 {
    let lengths = (from..to).map(|index| encoded_len(record(index).as_bytes()) as u64);
    lengths.sum()
}

/// A publisher and its stream.
struct World {
    sim: Sim,
    owner: NodeId,
    log: LogId,
    size: u64,
}

impl World {
    fn new(seed: u64, chunk_level: u8, size: u64) -> Self {
        Self::with_network(seed, NetworkConfig::default(), chunk_level, size)
    }

    fn with_network(seed: u64, config: NetworkConfig, chunk_level: u8, size: u64) -> Self {
        let sim = Sim::with_network(seed, config);
        let mut world = Self::begun(sim, |sim, owner| {
            let manifest = manifest(sim.key(owner), chunk_level);
            sim.create(owner, manifest)
        });
        world.publish(size);
        world
    }

    /// As [`new`](Self::new), with another manifest.
    fn of(seed: u64, size: u64, change: impl FnOnce(&mut Manifest)) -> Self {
        let mut world = Self::begun(Sim::new(seed), |sim, owner| {
            let mut manifest = manifest(sim.key(owner), 3);
            change(&mut manifest);
            sim.create(owner, manifest)
        });
        world.publish(size);
        world
    }

    /// An owner, and its stream without a record.
    fn begun(mut sim: Sim, create: impl FnOnce(&mut Sim, NodeId) -> LogId) -> Self {
        let owner = sim.add_node();
        let log = create(&mut sim, owner);
        Self {
            sim,
            owner,
            log,
            size: 0,
        }
    }

    /// Publishes the next records in one command.
    fn publish(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        let (from, to) = (self.size, self.size + count);
        let id = self.sim.publish(self.owner, self.log, records(from, to));
        self.sim.run_for(0);
        let published = crate::ranges::Interval { from, to };
        let reply = self.sim.reply(self.owner, id);
        assert_eq!(reply, Some(&Ok(crate::engine::Reply::Published(published))));
        self.size = to;
    }

    /// Adds a node that follows the stream, connected to others.
    fn follower(&mut self, neighbours: &[NodeId]) -> NodeId {
        let node = self.sim.add_node();
        self.sim.follow(node, self.log);
        self.sim.run_for(0);
        for &neighbour in neighbours {
            self.sim.connect(node, neighbour);
        }
        node
    }

    /// Adds a follower and waits until it has everything.
    fn full_follower(&mut self, neighbours: &[NodeId]) -> NodeId {
        let node = self.follower(neighbours);
        self.complete(node, MINUTE);
        node
    }

    fn status(&self, node: NodeId) -> LogStatus {
        self.sim.status(node, self.log).expect("the log is known")
    }

    /// Size of the adopted head.
    fn adopted(&self, node: NodeId) -> u64 {
        self.status(node).head.map_or(0, |head| head.size)
    }

    fn is_complete(&self, node: NodeId) -> bool {
        let status = self.status(node);
        status.head.is_some_and(|head| head.size == self.size) && status.held_records == self.size
    }

    /// Waits until a node has everything, and checks that it is right.
    fn complete(&mut self, node: NodeId, limit_us: u64) {
        let (log, size) = (self.log, self.size);
        let done = self.sim.run_while(limit_us, |sim| {
            let status = sim.status(node, log).expect("the log is known");
            let adopted = status.head.map(|head| head.size);
            adopted != Some(size) || status.held_records != size || status.synced_size != size
        });
        assert!(done, "{node:?}: {}", self.summary(node));
        self.check(node);
    }

    /// How a node stands, for a failure's message.
    fn summary(&self, node: NodeId) -> String {
        let status = self.status(node);
        let LogStatus {
            held,
            synced_size,
            sources,
            fork,
            stopped_for_good,
            stopped,
            ..
        } = status;
        let size = status.head.map(|head| head.size);
        let sources = sources.len();
        let accusations = &self.sim.accusations;
        format!(
            "head {size:?} of {}, held {held:?}, synced {synced_size}, {sources} sources, \
             fork {fork:?}, stopped for good {stopped_for_good:?}, stopped {stopped:?}, {accusations:?}",
            self.size
        )
    }

    /// Everything that a node claims to hold is there, is what was published,
    /// and can be proved against the adopted head.
    fn check(&self, node: NodeId) {
        check_held(&self.sim, node, self.log, record);
    }
}

/// See [`World::check`]; `expected` tells the record at an index.
fn check_held(sim: &Sim, node: NodeId, log: LogId, expected: impl Fn(u64) -> Record) {
    let status = sim.status(node, log).expect("the log is known");
    let (Some(key), Some(head)) = (status.key, status.head) else {
        assert_eq!(status.held_records, 0);
        return;
    };
    let history = History::new(&**sim.store(node), key);
    let held = history.held().expect("it can be read");
    assert_eq!(held.intervals().collect::<Vec<_>>(), status.held);
    for index in held
        .intervals()
        .flat_map(|interval| interval.from..interval.to)
    {
        assert!(index < head.size, "record {index} is beyond the head");
        let record = history.record(index).expect("it is held");
        assert_eq!(record, expected(index));
        let path = prove_inclusion(&history, index, head.size);
        let path = path.unwrap_or_else(|error| {
            panic!(
                "record {index} of {}: {error:?}, {:?}",
                head.size, status.held
            )
        });
        verify_inclusion(record.leaf(), index, head.size, &path, head.root).expect("it is true");
    }
}

/// Nothing of a log is stored but its manifest and head.
fn holds_nothing(world: &World, node: NodeId) -> bool {
    use crate::store::Table;
    let rows = [Table::Held, Table::Chunks, Table::Records, Table::Times];
    rows.iter()
        .all(|&table| world.sim.store(node).len(table) == 0)
}

/// The accusations that one node made against another.
fn accusations(sim: &Sim, by: NodeId, of: NodeId) -> Vec<String> {
    let list = sim.accusations().iter();
    list.filter(|accusation| accusation.by == by && accusation.of == of)
        .map(|accusation| match &accusation.what {
            Some(misbehaviour) => misbehaviour.what.clone(),
            None => "false gossip".to_owned(),
        })
        .collect()
}

fn encoded(body: v1::frame::Body, id: u64) -> Bytes {
    let body = Some(body);
    v1::Frame { id, body }.encode_to_vec().into()
}
