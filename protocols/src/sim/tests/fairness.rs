//! What one peer asks for at once comes in turn, and what several ask for
//! equally fast.

use std::collections::BTreeMap;

use super::*;
use crate::head::Tree;
use crate::limits::{MAX_BATCH_BYTES, MAX_HISTORY_BATCHES, MAX_OPEN_BATCHES};
use crate::merkle::Hash;
use crate::ranges::{Interval, IntervalSet};
use crate::sync::Priority;
use crate::sync::provider::{Provider, RangeRequest, Served};
use v1::frame::Body;

#[test]
fn peers_share_an_uplink_equally_whoever_came_first() {
    const UPLINK: u64 = 2_000_000;
    let line = NetworkConfig {
        uplink_bytes_per_second: UPLINK,
        ..NetworkConfig::default()
    };
    let mut world = World::with_network(5, line, 8, 0);
    let value = [b'v'; 500];
    let list = (0..SIZE as i64).map(|i| Record::new(Timestamp(i), &value));
    let (owner, log) = (world.owner, world.log);
    world.sim.publish(owner, log, list.collect());
    world.sim.run_for(SECOND);

    let first = world.follower(&[owner]);
    let mut nodes = vec![first];
    world.sim.run_for(2 * SECOND);
    let before = world.status(first).held_records;
    assert!(before > 0, "nothing came within two seconds");
    nodes.extend((0..3).map(|_| world.follower(&[owner])));
    // Until the questions of the others are answered.
    let waits = |sim: &Sim| {
        let held = |&node: &NodeId| sim.status(node, log).map_or(0, |s| s.held_records);
        nodes.iter().any(|node| held(node) == 0)
    };
    assert!(world.sim.run_while(10 * SECOND, waits));
    let held = |world: &World| -> Vec<u64> {
        let held = nodes.iter().map(|&node| world.status(node).held_records);
        held.collect()
    };
    let begun = held(&world);
    world.sim.run_for(14 * SECOND);
    let came: Vec<_> = (held(&world).iter().zip(begun))
        .map(|(end, begun)| end - begun)
        .collect();
    let (least, most) = (came.iter().min().unwrap(), came.iter().max().unwrap());
    assert!(*most < SIZE / 2, "{came:?}: it was over too soon");
    assert!(least * 4 >= most * 3, "{came:?} records of {SIZE}");
}

/// Two streams of one publisher, each of several batches.
struct Two {
    world: World,
    logs: [LogId; 2],
    provider: Provider,
}

const SIZE: u64 = 32_000;

impl Two {
    fn new() -> Self {
        let mut world = World::new(1, 8, 0);
        let owner = world.owner;
        let mut other = manifest(world.sim.key(owner), 8);
        other.name = "others".to_owned();
        let logs = [world.log, world.sim.create(owner, other)];
        let value = [b'v'; 500];
        for log in logs {
            let list = (0..SIZE as i64).map(|i| Record::new(Timestamp(i), &value));
            world.sim.publish(owner, log, list.collect());
            world.sim.run_for(0);
        }
        let provider = Provider::default();
        Self {
            world,
            logs,
            provider,
        }
    }

    fn ask(&mut self, id: u64, log: LogId, priority: Priority) {
        let (owner, now) = (self.world.owner, self.world.sim.now());
        let key = self.world.sim.status(owner, log).unwrap().key.unwrap();
        let history = History::new(&**self.world.sim.store(owner), key);
        let (from, to) = (0, SIZE);
        let held: IntervalSet = [Interval { from, to }].into_iter().collect();
        let request = RangeRequest {
            log,
            id,
            tree: Tree {
                size: SIZE,
                root: Hash([0; 32]),
            },
            intervals: vec![Interval { from, to }],
            all: true,
            priority,
        };
        let peer = self.world.sim.peer(owner);
        let offer = self.provider.offer(peer, &request, &history, &held, now);
        offer.expect("there is a place for it");
    }

    fn next(&mut self) -> Option<Served> {
        let owner = self.world.owner;
        let (peer, now) = (self.world.sim.peer(owner), self.world.sim.now());
        let store = &**self.world.sim.store(owner);
        self.provider.next_frame(peer, store, now)
    }

    /// Bytes of each request that have come when one of them is done.
    fn until_done(&mut self, wanted: u64) -> BTreeMap<u64, usize> {
        let mut bytes = BTreeMap::new();
        loop {
            let served = self.next().expect("it goes on");
            match served.body {
                Body::Done(_) if served.id == wanted => return bytes,
                Body::Delivery(delivery) => {
                    let length: usize = delivery.chunks.iter().map(Bytes::len).sum();
                    *bytes.entry(served.id).or_default() += length;
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_log_that_was_asked_for_first_and_often_does_not_hold_up_another_one() {
    let mut two = Two::new();
    let [first, second] = two.logs;
    let last = MAX_HISTORY_BATCHES as u64 - 1;
    for id in 0..last {
        two.ask(id, first, Priority::History);
    }
    two.ask(last, second, Priority::History);
    let bytes = two.until_done(last);
    let others: usize = (0..last).filter_map(|id| bytes.get(&id)).sum();
    assert!(bytes[&last] > MAX_BATCH_BYTES * 9 / 10);
    assert!(others < bytes[&last] * 11 / 10, "{bytes:?}");
    // Of one log the older request comes first.
    assert!(!bytes.contains_key(&(last - 1)), "{bytes:?}");
}

#[test]
fn history_goes_on_under_any_load_and_what_is_urgent_does_not_notice() {
    let mut two = Two::new();
    let [first, second] = two.logs;
    two.ask(0, first, Priority::History);
    let urgent = MAX_OPEN_BATCHES as u64 - 1;
    for id in 1..=urgent {
        two.ask(
            id,
            second,
            if id % 2 == 0 {
                Priority::Live
            } else {
                Priority::User
            },
        );
    }
    let bytes = two.until_done(urgent);
    let share = bytes.values().sum::<usize>() / bytes[&0];
    assert!((12..20).contains(&share), "one byte in {share}: {bytes:?}");
}
