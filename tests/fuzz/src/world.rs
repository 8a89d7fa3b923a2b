//! A world in the simulator: honest nodes with real engines, and what must be so
//! of them whatever others do.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use headwater_protocols::engine::LogStatus;
use headwater_protocols::head::Tree;
use headwater_protocols::id::LogId;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::limits::{MAX_INTERVALS, MAX_SOURCES};
use headwater_protocols::manifest::{Manifest, NONCE_BYTES, ValueType};
use headwater_protocols::merkle::{prove_inclusion, verify_inclusion};
use headwater_protocols::record::Record;
use headwater_protocols::sim::{NodeId, Sim, Twisted};
use headwater_protocols::store::{History, Table};
use headwater_protocols::time::Timestamp;
use headwater_protocols::wire::v1;

pub(crate) const SECOND: u64 = 1_000_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;

/// Bytes that a world takes up at most, whatever is done in it: the simulator
/// notes much of what happens, an engine nothing that grows.
pub(crate) const WORLD_BYTES: usize = 64 << 20;

/// Frames that are kept to be sent again.
const MAX_KEPT: usize = 64;

/// Frames that were sent, by anybody: a hostile node knows those sent to it, and
/// its friends tell it the others.
pub(crate) type Heard = Rc<RefCell<VecDeque<v1::Frame>>>;

pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) honest: Vec<NodeId>,
    /// Those that have crashed.
    pub(crate) down: Vec<NodeId>,
    pub(crate) heard: Heard,
}

/// The record at an index of a branch.
pub(crate) fn record(branch: &str, index: u64) -> Record {
    let value = format!("{branch}{index}{}", "x".repeat(index as usize % 5));
    Record::new(Timestamp(index as i64), value.as_bytes())
}

/// A stream of texts.
pub(crate) fn manifest(key: &SigningKey, chunk_level: u8, retain_records: u64) -> Manifest {
    Manifest {
        value_type: ValueType::Text,
        chunk_level,
        retain_records,
        ..Manifest::new(key.public(), "readings", [7; NONCE_BYTES])
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            sim: Sim::new(seed),
            honest: Vec::new(),
            down: Vec::new(),
            heard: Heard::default(),
        }
    }

    /// Adds an honest node, whose frames are heard.
    pub(crate) fn add_honest(&mut self) -> NodeId {
        let node = self.sim.add_node();
        self.honest.push(node);
        self.listen(node);
        node
    }

    fn listen(&mut self, node: NodeId) {
        let heard = self.heard.clone();
        let listen = move |frame: v1::Frame| {
            keep(&heard, &frame);
            Twisted::Frame(frame)
        };
        self.sim.twist(node, Box::new(listen));
    }

    /// How a log stands at a node; `None`, too, while that is down.
    pub(crate) fn status(&self, node: NodeId, log: LogId) -> Option<LogStatus> {
        let runs = !self.down.contains(&node);
        runs.then(|| self.sim.status(node, log)).flatten()
    }

    /// Nobody who is honest is blamed by anybody who is.
    pub(crate) fn check_blame(&self) {
        for accusation in self.sim.accusations() {
            let [by, of] = [accusation.by, accusation.of].map(|node| self.honest.contains(&node));
            assert!(!(by && of), "an honest node is accused: {accusation:?}");
        }
    }

    /// What a node says that it holds is there, lies below the head that it has
    /// adopted, and can be proved against it; nothing else is stored.
    pub(crate) fn check_held(
        &self,
        node: NodeId,
        log: LogId,
        is_true: impl Fn(u64, &Record) -> bool,
    ) {
        let Some(status) = self.status(node, log) else {
            return;
        };
        assert!(status.sources.len() <= MAX_SOURCES);
        assert!(status.held.len() <= MAX_INTERVALS);
        let (Some(key), Some(head)) = (status.key, &status.head) else {
            assert_eq!(status.held_records, 0);
            return;
        };
        let store = &**self.sim.store(node);
        let history = History::new(store, key);
        let held = history.held().expect("it can be read");
        assert_eq!(held.intervals().collect::<Vec<_>>(), status.held);
        assert_eq!(held.len(), status.held_records);
        for interval in held.intervals() {
            assert!(
                interval.to <= head.size,
                "{interval} is held of {}",
                head.size
            );
            let mut at = interval.from;
            while at < interval.to {
                let run = history.run(at, interval.to).expect("it is held");
                assert!(!run.is_empty(), "record {at} is said to be held");
                for record in &run {
                    assert!(is_true(at, record), "{node:?} holds {record:?} at {at}");
                    at += 1;
                }
            }
            for index in [
                interval.from,
                interval.from.midpoint(interval.to),
                interval.to - 1,
            ] {
                let leaf = history.record(index).expect("it is held").leaf();
                let is_proved = |tree: Tree| {
                    let path = prove_inclusion(&history, index, tree.size).ok();
                    path.is_some_and(|path| {
                        verify_inclusion(leaf, index, tree.size, &path, tree.root).is_ok()
                    })
                };
                // Of a forked log what both branches begin with is proved by that,
                // and what lies behind it counts as nothing.
                let is_undisputed = status.disputed_from.is_none_or(|from| index < from);
                let common = status.fork.as_ref().and_then(|fork| fork.common.as_ref());
                let common = common.map(|common| Tree {
                    size: common.size(),
                    root: common.root(),
                });
                assert!(
                    !is_undisputed || is_proved(head.tree()) || common.is_some_and(is_proved),
                    "record {index} of {:?} is not proved at {node:?}: {:?} are held, disputed \
                     from {:?}",
                    head.tree(),
                    status.held,
                    status.disputed_from
                );
            }
        }
        if status.held_records == 0 {
            assert_eq!(store.len(Table::Records) + store.len(Table::Chunks), 0);
        }
    }
}

/// Keeps a frame, the oldest one goes.
pub(crate) fn keep(heard: &Heard, frame: &v1::Frame) {
    let mut heard = heard.borrow_mut();
    if heard.len() == MAX_KEPT {
        heard.pop_front();
    }
    heard.push_back(frame.clone());
}

/// A frame, encoded.
pub(crate) fn encoded(frame: &v1::Frame) -> Bytes {
    prost::Message::encode_to_vec(frame).into()
}
