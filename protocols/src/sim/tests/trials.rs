//! Trials: everything that can go wrong, by dice. One seed is one trial: nodes
//! crash, lose power, get full disks, lie, part and meet again while publishers
//! go on; at every step what is held is true, and in the end everybody has
//! everything.
//!
//! `HEADWATER_SEEDS=7..8` runs the trial of seed 7 alone. What is to change nothing
//! that an engine does leaves the sum of their traces as it was:
//! `HEADWATER_SEEDS=0..1000 cargo nextest run traces_have --run-ignored only --no-capture`.

mod acts;
mod checks;
mod lies;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use super::*;
use crate::engine::{Command, Reply};
use crate::limits::RETRIEVAL_TIMEOUT_US;
use crate::merkle::Hash;
use crate::ranges::{Interval, IntervalSet};
use crate::store::StoreError;
use crate::sync::retrieval::{Found, Retrieval};
use v1::frame::Body;

/// Seeds of a usual run, and of one with `HEADWATER_LONG`.
const SEEDS: Range<u64> = 0..300;
const LONG_SEEDS: Range<u64> = 0..10_000;

/// Virtual time in which everybody gets everything once all faults have ended.
/// Of a quiet stream one neighbour after the other is asked, one every two
/// minutes; on the line that connects all at the end most have two or three, and
/// what an answer brings is told to everybody at once.
const CONVERGENCE: u64 = 7 * MINUTE;

/// A stream of a trial.
struct Stream {
    log: LogId,
    manifest: Manifest,
    owner: NodeId,
    /// A node with the owner's key that publishes something else from
    /// `common` on.
    twin: Option<NodeId>,
    common: u64,
    /// Records that the owner has said to be published.
    acknowledged: u64,
    /// Publications that were not answered yet.
    open: Vec<u64>,
}

/// The record at an index of a stream; `branch` tells what a twin publishes.
fn record_of(stream: usize, index: u64, branch: &str) -> Record {
    let pad = "x".repeat((index as usize * 7 + stream) % 23);
    let value = format!("{branch}{stream}:{index}{pad}");
    Record::new(Timestamp(index as i64 / 3), value.as_bytes())
}

struct Trial {
    seed: u64,
    sim: Sim,
    dice: ChaCha8Rng,
    streams: Vec<Stream>,
    /// Those that never lie.
    honest: Vec<NodeId>,
    liars: Vec<NodeId>,
    down: BTreeSet<NodeId>,
    /// What was compared with what was published already.
    checked: BTreeMap<(NodeId, usize), IntervalSet>,
    /// Commands of users that wait, and until when they may.
    waiting: Vec<(NodeId, u64, Timestamp)>,
}

impl Trial {
    fn new(seed: u64) -> Self {
        let mut trial = Self {
            seed,
            sim: Sim::new(seed),
            dice: ChaCha8Rng::seed_from_u64(seed ^ 0x7269_616c),
            streams: Vec::new(),
            honest: Vec::new(),
            liars: Vec::new(),
            down: BTreeSet::new(),
            checked: BTreeMap::new(),
            waiting: Vec::new(),
        };
        trial.add_streams();
        for owner in trial.honest.clone() {
            trial.follow_all(owner);
        }
        for _ in 0..2 + trial.below(4) {
            let node = trial.add_follower();
            trial.honest.push(node);
        }
        for _ in 0..trial.below(3) {
            let node = trial.add_follower();
            trial.liars.push(node);
        }
        let nodes = trial.nodes();
        for (i, &node) in nodes.iter().enumerate().skip(1) {
            let other = nodes[trial.below(i as u64) as usize];
            trial.connect(node, other);
        }
        trial
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.dice.next_u64() % end.max(1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn one_of(&mut self, nodes: &[NodeId]) -> NodeId {
        nodes[self.below(nodes.len() as u64) as usize]
    }

    /// Everybody but the twins, owners first.
    fn nodes(&self) -> Vec<NodeId> {
        let followers = self.honest.iter().chain(&self.liars);
        followers.copied().collect()
    }

    /// One or two honest streams, and at times one that is forked.
    fn add_streams(&mut self) {
        for _ in 0..1 + self.below(2) {
            let owner = self.sim.add_node();
            self.honest.push(owner);
            self.add_stream(owner, None);
        }
        if self.one_in(4) {
            let number = self.streams.len() as u8;
            let key = SigningKey::from_secret(&mut [70 + number; 32]);
            let [owner, twin] = [(); 2].map(|()| self.sim.add_node_with_key(key.clone()));
            self.add_stream(owner, Some(twin));
        }
    }

    fn add_stream(&mut self, owner: NodeId, twin: Option<NodeId>) {
        let level = self.below(6) as u8;
        let mut manifest = manifest(self.sim.key(owner), level);
        manifest.name = format!("stream {}", self.streams.len());
        if twin.is_none() {
            self.retain(&mut manifest);
        }
        let log = self.sim.create(owner, manifest.clone());
        let common = match twin {
            Some(_) => self.below(100),
            None => 0,
        };
        let stream = Stream {
            log,
            manifest: manifest.clone(),
            owner,
            twin,
            common,
            acknowledged: 0,
            open: Vec::new(),
        };
        let number = self.streams.len();
        self.streams.push(stream);
        if let Some(twin) = twin {
            assert_eq!(self.sim.create(twin, manifest), log);
            for (node, name) in [(owner, "a"), (twin, "b")] {
                let more = 1 + self.below(50);
                self.append(node, number, 0, common, "");
                self.append(node, number, common, common + more, name);
            }
            self.sim.run_for(SECOND);
        }
    }

    /// Of some streams not everything is kept. All records are older than any age.
    fn retain(&self, manifest: &mut Manifest) {
        let kind = self.seed + 3 * self.streams.len() as u64;
        match kind % 5 {
            1 | 3 => manifest.retain_records = [1, 5, 40, 300][kind as usize / 5 % 4],
            2 => manifest.retain_us = SECOND,
            _ => {}
        }
    }

    fn append(&mut self, node: NodeId, stream: usize, from: u64, to: u64, branch: &str) {
        let records = (from..to).map(|index| record_of(stream, index, branch));
        let log = self.streams[stream].log;
        self.sim.publish(node, log, records.collect());
    }

    fn add_follower(&mut self) -> NodeId {
        let node = self.sim.add_node();
        self.follow_all(node);
        node
    }

    fn follow_all(&mut self, node: NodeId) {
        for stream in 0..self.streams.len() {
            if self.streams[stream].owner == node {
                continue;
            }
            let (log, peers) = (self.streams[stream].log, Vec::new());
            let newest_first = self.one_in(3);
            let follow = Command::Follow {
                log,
                peers,
                newest_first,
            };
            self.sim.command(node, follow);
        }
        self.sim.run_for(0);
    }

    fn connect(&mut self, a: NodeId, b: NodeId) -> bool {
        a != b && self.sim.connect(a, b)
    }
}

/// Runs a trial, and returns what sums it up.
fn trial(seed: u64) -> [u8; 32] {
    let mut trial = Trial::new(seed);
    for _ in 0..30 + trial.below(90) {
        trial.act();
        trial.wait();
    }
    trial.end();
    trial.sim.sum()
}

/// The seeds that the environment asks for.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("HEADWATER_SEEDS") else {
        let long = std::env::var_os("HEADWATER_LONG").is_some();
        return if long { LONG_SEEDS } else { SEEDS };
    };
    let ends = text.split_once("..").and_then(|(from, to)| {
        let ends = (from.parse().ok()?, to.parse().ok()?);
        Some(ends)
    });
    let (from, to) = ends.unwrap_or_else(|| panic!("HEADWATER_SEEDS={text} is not like 0..300"));
    from..to
}

#[test]
fn whatever_goes_wrong_nothing_false_is_held_and_all_end_alike() {
    let failed = Mutex::new(Vec::new());
    for_each(seeds(), |seed| {
        // A tenth of them is run again: it must be the same, byte for byte.
        let run = || {
            let trace = trial(seed);
            assert!(seed % 10 != 0 || trial(seed) == trace, "two runs differ");
        };
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            failed.lock().unwrap().push(seed);
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "failed: seeds {failed:?}");
}

#[test]
#[ignore = "it says something beside the sum of another version only"]
fn traces_have_a_sum_that_is_the_same_in_every_version_that_does_the_same() {
    let traces = Mutex::new(BTreeMap::new());
    for_each(seeds(), |seed| {
        let trace = trial(seed);
        traces.lock().unwrap().insert(seed, trace);
    });
    let traces = traces.into_inner().unwrap();
    let all: Vec<u8> = traces.values().flatten().copied().collect();
    let sum = Hash(Sha256::digest(&all).into());
    eprintln!("the traces of {} seeds: {sum}", traces.len());
}

/// Does something with each seed, as many at a time as the machine can do.
fn for_each(seeds: Range<u64>, work: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            work(seed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}
