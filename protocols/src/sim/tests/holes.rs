//! Holes here and there: one request, one proof a page, no round trip a page.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::merkle::{Nodes, cover, prove_ranges, verify_ranges};
use crate::ranges::{Interval, IntervalSet};
use crate::record::{CheckedChunk, max_value_bytes};
use crate::store::{Admission, Durability, Store};
use crate::sync::Priority;
use crate::sync::provider::{Provider, RangeRequest};
use crate::sync::session::Fetch;
use proptest::prelude::*;
use v1::frame::Body;

/// Microseconds from one node to another in these tests.
const LATENCY: u64 = 50_000;
const ROUND_TRIP: u64 = 2 * LATENCY;

fn steady() -> NetworkConfig {
    NetworkConfig {
        latency_us: (LATENCY, LATENCY),
        ..NetworkConfig::default()
    }
}

/// Holes of 1 to `longest` records at random places, at least one apart.
fn holes(sim: &mut Sim, size: u64, count: usize, longest: u64) -> IntervalSet {
    let mut holes = IntervalSet::new();
    while holes.interval_count() < count {
        let from = sim.dice(size - longest);
        let to = from + 1 + sim.dice(longest);
        if holes.covered(from.saturating_sub(1), to + 1) == 0 {
            let _ = holes.insert(from, to);
        }
    }
    holes
}

/// A follower that has adopted the head and stored everything but the holes,
/// verified like everything that comes in. It is connected to nobody.
fn follower_with_holes(world: &mut World, holes: &IntervalSet) -> NodeId {
    let (owner, log) = (world.owner, world.log);
    let node = world.follower(&[owner]);
    (world.sim).run_while(MINUTE, |sim| sim.status(node, log).unwrap().head.is_none());
    world.sim.cut(owner, node);
    let LogStatus {
        key, head, held, ..
    } = world.status(node);
    let (key, head) = (key.unwrap(), head.unwrap());
    assert!(held.is_empty() && head.size == world.size);
    world.sim.crash(node, Crash::Process);
    let theirs = world.status(owner).key.unwrap();
    let history = History::new(&**world.sim.store(owner), theirs);
    let store = world.sim.store(node);
    let mut held = IntervalSet::new();
    for Interval { from, to } in holes.missing(0, head.size) {
        let run = from..to;
        let ranges = std::slice::from_ref(&run);
        let proof = prove_ranges(&history, ranges, head.size).unwrap();
        let items: Vec<_> = cover(from, to, key.chunk_level)
            .map(|item| (item, history.node(item).unwrap().unwrap()))
            .collect();
        let mut nodes = Vec::new();
        let visit = &mut |subtree, hash| nodes.push((subtree, hash));
        verify_ranges(ranges, head.size, &items, &proof, head.root, visit).unwrap();
        let mut admission = Admission::new(&**store, key, &mut held);
        admission.put_nodes(&nodes);
        for (item, hash) in items {
            let bytes = history.subtree_bytes(item).unwrap();
            let max = max_value_bytes(key.chunk_level);
            let chunk = CheckedChunk::parse(bytes, item.len(), max).unwrap();
            admission.put_subtree(item, &chunk, hash).unwrap();
        }
        store
            .commit(admission.finish(), Durability::Written)
            .unwrap();
    }
    world.sim.reopen(node);
    let missing = holes.len();
    assert_eq!(world.status(node).held_records, head.size - missing);
    node
}

/// How many frames of a kind a node sends from now on.
fn count(world: &mut World, node: NodeId, kind: fn(&Body) -> bool) -> Rc<Cell<usize>> {
    let count = Rc::new(Cell::new(0));
    let counter = count.clone();
    let twist = Box::new(move |frame: v1::Frame| {
        let counts = frame.body.as_ref().is_some_and(kind);
        counter.set(counter.get() + usize::from(counts));
        Twisted::Frame(frame)
    });
    world.sim.twist(node, twist);
    count
}

/// Connects two nodes, and returns how many round trips pass from the moment at
/// which they can speak until one of them holds everything.
fn round_trips(world: &mut World, node: NodeId, source: NodeId) -> f64 {
    let (log, size) = (world.log, world.size);
    world.sim.connect(node, source);
    let begin = world.sim.now().plus(LATENCY);
    let done = world.sim.run_while(MINUTE, |sim| {
        sim.status(node, log).unwrap().held_records < size
    });
    assert!(done, "{}", world.summary(node));
    world.sim.now().since(begin) as f64 / ROUND_TRIP as f64
}

fn bytes_of(holes: &IntervalSet) -> u64 {
    holes.intervals().map(|i| chunk_bytes(i.from, i.to)).sum()
}

#[test]
fn a_thousand_holes_in_a_million_records_are_filled_in_at_most_three_round_trips() {
    let mut world = World::with_network(1, steady(), 8, 0);
    for _ in 0..16 {
        world.publish(62_500);
    }
    let holes = holes(&mut world.sim, 1_000_000, 1_000, 8);
    let node = follower_with_holes(&mut world, &holes);
    let owner = world.owner;
    let asked = count(&mut world, node, |body| matches!(body, Body::GetRange(_)));
    let pages = count(&mut world, owner, |body| {
        matches!(body, Body::OfferedHashes(_))
    });
    let trips = round_trips(&mut world, node, owner);
    assert!(trips <= 3.0, "{trips} round trips");
    assert_eq!(asked.get(), 1);
    assert!(pages.get() >= 8, "{} pages", pages.get());
    assert_eq!(world.sim.delivered(owner, node), bytes_of(&holes));
    let key = world.status(node).key.unwrap();
    let history = History::new(&**world.sim.store(node), key);
    for index in holes.intervals().flat_map(|i| i.from..i.to) {
        assert_eq!(history.record(index).unwrap(), record(index));
    }
    assert!(world.sim.accusations().is_empty());
}

#[test]
fn a_follower_that_lacks_only_the_last_hundred_records_has_them_after_one_round_trip() {
    let mut world = World::with_network(2, steady(), 8, 50_000);
    let owner = world.owner;
    let node = world.full_follower(&[owner]);
    world.sim.cut(owner, node);
    world.publish(100);
    world.sim.run_for(SECOND);
    let trips = round_trips(&mut world, node, owner);
    assert!(trips <= 1.0, "{trips} round trips");
    world.complete(node, SECOND);
}

#[test]
fn whoever_lacks_more_is_shown_at_once_that_the_head_extends_its_own() {
    let mut world = World::with_network(3, steady(), 8, 50_000);
    let owner = world.owner;
    let node = world.full_follower(&[owner]);
    world.sim.cut(owner, node);
    world.publish(20_000);
    world.sim.run_for(SECOND);
    let asked = count(&mut world, node, |body| matches!(body, Body::Extend(_)));
    let trips = round_trips(&mut world, node, owner);
    assert!(trips <= 2.0, "{trips} round trips");
    assert_eq!(asked.get(), 0);
    world.complete(node, SECOND);
}

#[test]
fn the_last_records_come_from_one_source_only() {
    let mut world = World::with_network(4, steady(), 8, 1_000);
    let owner = world.owner;
    let other = world.full_follower(&[owner]);
    let node = world.full_follower(&[owner, other]);
    world.sim.cut(owner, node);
    world.sim.cut(other, node);
    world.publish(100);
    world.complete(other, SECOND);
    let tells = |body: &Body| matches!(body, Body::Head(state) if !state.news.is_empty());
    let told = [owner, other].map(|node| count(&mut world, node, tells));
    world.sim.connect(node, owner);
    world.sim.connect(node, other);
    world.complete(node, SECOND);
    assert_eq!(told.map(|count| count.get()).iter().sum::<usize>(), 1);
    let delivered = world.sim.delivered(owner, node) + world.sim.delivered(other, node);
    assert!(delivered <= 2 * chunk_bytes(0, 1_100));
}

#[test]
fn several_sources_fill_holes_together_and_each_record_is_transferred_once() {
    for seed in 0..5 {
        let mut world = World::new(seed, 4, 50_000);
        let owner = world.owner;
        let other = world.full_follower(&[owner]);
        let holes = holes(&mut world.sim, 50_000, 4_000, 3);
        let node = follower_with_holes(&mut world, &holes);
        world.sim.connect(node, other);
        world.sim.connect(node, owner);
        world.complete(node, MINUTE);
        let parts = [owner, other].map(|source| world.sim.delivered(source, node));
        assert_eq!(parts[0] + parts[1], bytes_of(&holes));
        assert!(parts[0].min(parts[1]) > 0, "{parts:?}");
    }
}

#[test]
fn holes_that_lie_too_close_to_be_named_are_filled_by_whole_chunks() {
    let mut world = World::new(6, 8, 20_000);
    let owner = world.owner;
    let holes = (0..5_000).map(|i| Interval {
        from: 4 * i,
        to: 4 * i + 2,
    });
    let node = follower_with_holes(&mut world, &holes.collect());
    let chose = count(&mut world, node, |body| {
        matches!(body, Body::WantedHashes(_))
    });
    world.sim.connect(node, owner);
    world.complete(node, MINUTE);
    assert!(chose.get() > 0);
}

#[test]
fn a_true_offer_of_something_else_or_of_the_same_again_is_refused() {
    let world = World::new(7, 3, 1_000);
    let LogStatus { key, head, .. } = world.status(world.owner);
    let (key, head, peer) = (key.unwrap(), head.unwrap(), world.sim.peer(world.owner));
    let store = &**world.sim.store(world.owner);
    let none = IntervalSet::new();
    let held = IntervalSet::from_iter([Interval { from: 0, to: 1_000 }]);
    // What is offered when this is asked; all of it is true.
    let offer = |intervals: &[Interval]| {
        let request = RangeRequest {
            log: world.log,
            id: 7,
            tree: head.tree(),
            intervals: intervals.to_vec(),
            all: false,
            priority: Priority::History,
        };
        let history = History::new(store, key);
        let mut provider = Provider::default();
        let offer = provider.offer(peer, &request, &history, &held, world.sim.now());
        let mut offer = offer.unwrap();
        offer.last = false;
        offer
    };
    let run = |from, to| Interval { from, to };
    let asked = [run(16, 40), run(56, 80)];
    let others: [&[Interval]; 5] = [
        &[run(0, 16)],
        &[run(8, 40)],
        &[run(16, 56)],
        &[run(16, 40), run(56, 88)],
        &[run(16, 40), run(48, 56), run(64, 80)],
    ];
    let fetch = || {
        Fetch::new(
            peer,
            world.log,
            &asked,
            head.tree(),
            Priority::History,
            false,
        )
    };
    for other in others {
        let refused = fetch().offered(&offer(other), 3, &none);
        assert!(refused.is_err(), "{other:?}");
    }
    for again in [run(16, 40), run(24, 32), run(32, 40)] {
        let mut fetch = fetch();
        fetch.offered(&offer(&asked[..1]), 3, &none).unwrap();
        assert!(
            fetch.offered(&offer(&[again]), 3, &none).is_err(),
            "{again:?}"
        );
        fetch.offered(&offer(&asked[1..]), 3, &none).unwrap();
    }
}

/// A liar and an honest source, and a node with holes that knows both.
fn filled_in_spite_of(named: bool, lie: fn(&mut v1::OfferedHashes, usize)) {
    for seed in 0..5 {
        let mut world = World::new(seed, 4, 5_000);
        let owner = world.owner;
        let liar = world.full_follower(&[owner]);
        let holes = holes(&mut world.sim, 5_000, 300, 3);
        let node = follower_with_holes(&mut world, &holes);
        let mut pages = 0;
        let twist = Box::new(move |mut frame: v1::Frame| {
            if let Some(Body::OfferedHashes(offer)) = &mut frame.body {
                lie(offer, pages);
                pages += 1;
            }
            Twisted::Frame(frame)
        });
        world.sim.twist(liar, twist);
        world.sim.connect(node, liar);
        world.sim.run_for(SECOND);
        world.check(node);
        world.sim.connect(node, owner);
        world.complete(node, MINUTE);
        assert_eq!(
            accusations(&world.sim, node, liar).len(),
            usize::from(named)
        );
    }
}

fn swapped(hashes: &Bytes) -> Bytes {
    let mut bytes = hashes.to_vec();
    bytes.rotate_left(32);
    bytes.into()
}

#[test]
fn a_false_second_page_is_found_out() {
    filled_in_spite_of(true, |offer, page| {
        if page > 0 {
            offer.proof = swapped(&offer.proof);
        }
    });
}

#[test]
fn a_page_with_a_node_more_or_less_is_found_out() {
    filled_in_spite_of(true, |offer, _| {
        offer.proof = offer.proof.slice(32..);
    });
    filled_in_spite_of(true, |offer, _| {
        offer.proof = [&offer.proof[..], &[0; 32]].concat().into();
    });
}

#[test]
fn a_page_that_leaves_out_a_range_of_its_proof_is_found_out() {
    filled_in_spite_of(true, |offer, _| {
        // The last page may have one alone.
        if offer.intervals.len() > 1 {
            offer.intervals.remove(1);
        }
    });
}

#[test]
fn a_page_that_is_not_the_last_one_and_says_so_costs_nothing_but_time() {
    filled_in_spite_of(false, |offer, _| offer.last = true);
}

#[test]
fn a_last_page_that_does_not_say_so_costs_nothing_but_time() {
    filled_in_spite_of(false, |offer, _| offer.last = false);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever is asked and held, what is asked and held comes, once, in pages
    /// that keep to the bounds, and the rest is free again.
    #[test]
    fn what_is_asked_and_held_comes_page_by_page(
        seed in any::<u64>(), level in 0_u8..6, all in any::<bool>(), asked in 1_usize..400,
        gone in 0_usize..20, longest in 1_u64..40,
    ) {
        let mut world = World::new(seed, level, 20_000);
        let asked = holes(&mut world.sim, 20_000, asked, longest);
        let gone = holes(&mut world.sim, 20_000, gone, 500);
        let held: IntervalSet = gone.missing(0, 20_000).collect();
        let LogStatus { key, head, .. } = world.status(world.owner);
        let (key, head, peer) = (key.unwrap(), head.unwrap(), world.sim.peer(world.owner));
        let intervals: Vec<_> = asked.intervals().collect();
        let request = RangeRequest {
            log: world.log, id: 7, tree: head.tree(), intervals: intervals.clone(), all,
            priority: Priority::History,
        };
        let mut fetch = Fetch::new(peer, world.log, &intervals, head.tree(), Priority::History, all);
        let store = &**world.sim.store(world.owner);
        let (mut provider, now) = (Provider::default(), world.sim.now());
        let mut provided: IntervalSet = asked.intervals()
            .flat_map(|i| held.held(i.from, i.to)).collect();
        let mine = IntervalSet::new();
        let first = provider.offer(peer, &request, &History::new(store, key), &held, now);
        let mut offer = match first {
            Ok(offer) => Some(offer),
            Err(_) => {
                prop_assert!(provided.is_empty());
                return Ok(());
            }
        };
        let mut unoffered = IntervalSet::new();
        loop {
            if let Some(offer) = offer.take() {
                let checked = fetch.offered(&offer, level, &mine).unwrap();
                unoffered.extend(checked.unoffered);
                if let Some(wanted) = checked.wanted {
                    provider.wanted(peer, 7, &wanted);
                }
            }
            match provider.next_frame(peer, store, now).map(|served| served.body) {
                Some(Body::OfferedHashes(next)) => offer = Some(next),
                Some(Body::Delivery(delivery)) => {
                    for chunk in fetch.delivered(delivery, max_value_bytes(level)).unwrap() {
                        let (from, to) = (chunk.subtree.begin(), chunk.subtree.end());
                        prop_assert!(provided.contains(from, to), "{}..{} came twice", from, to);
                        let _ = provided.remove(from, to);
                    }
                }
                Some(Body::Done(_)) => break,
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert!(fetch.is_complete());
        prop_assert!(provided.is_empty());
        let free: IntervalSet = asked.intervals()
            .flat_map(|i| held.missing(i.from, i.to)).collect();
        prop_assert_eq!(unoffered, free);
    }
}
