//! How far a follower is, and what it tells the others of it.

use super::*;
use crate::engine::Lag;
use crate::limits::{MAX_SOURCES, SYNCED_NOTICE_US};
use crate::merkle::Hash;
use crate::meta::Synced;
use v1::frame::Body;

impl World {
    /// Who has told that everything is held there, and of which size.
    fn told(&self) -> Vec<(NodeId, u64)> {
        let said = self.sim.said().iter();
        said.filter_map(|said| match &said.body {
            v1::meta::Body::Synced(synced) => Some((said.by, synced.size)),
            _ => None,
        })
        .collect()
    }

    fn lag(&self, node: NodeId) -> Lag {
        self.status(node).lag
    }
}

#[test]
fn a_follower_tells_once_that_it_has_caught_up() {
    let mut world = World::new(1, 3, 500);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    assert_eq!(world.told(), [(follower, 500)]);
    for _ in 0..20 {
        world.publish(3);
        world.sim.run_for(SECOND);
    }
    world.complete(follower, SECOND);
    assert_eq!(world.told(), [(follower, 500)]);

    // It falls behind again and again, and does not say so each time.
    for _ in 0..5 {
        world.sim.cut(owner, follower);
        world.publish(5_000);
        world.sim.connect(owner, follower);
        world.complete(follower, MINUTE);
    }
    assert_eq!(world.told(), [(follower, 500)]);
    world.sim.run_for(SYNCED_NOTICE_US);
    // What was fetched meanwhile is worth a notice, what is announced is not.
    world.publish(3);
    world.sim.run_for(SECOND);
    assert_eq!(world.told().len(), 2);
    world.sim.run_for(SYNCED_NOTICE_US);
    world.publish(3);
    world.sim.run_for(SECOND);
    assert_eq!(world.told().len(), 2);
    world.sim.cut(owner, follower);
    world.publish(5_000);
    world.sim.connect(owner, follower);
    world.complete(follower, MINUTE);
    assert_eq!(world.told().last(), Some(&(follower, world.size)));
    assert_eq!(world.told().len(), 3);
}

#[test]
fn who_says_that_it_has_everything_counts_as_a_full_source_once_it_has_delivered_some() {
    let mut world = World::new(2, 3, 40_000);
    let owner = world.owner;
    let reader = world.full_follower(&[owner]);
    let lag = world.lag(reader);
    assert_eq!((lag.synced_sources, lag.full_sources), (1, 1));
    assert!(lag.is_none() && lag.time_us == Some(0));
    let late = world.follower(&[owner]);
    world.sim.connect(late, reader);
    world.complete(late, MINUTE);
    world.sim.run_for(SECOND);
    assert_eq!(world.told().last(), Some(&(late, 40_000)));
    // It may say what it likes.
    let lag = world.lag(reader);
    assert_eq!((lag.synced_sources, lag.full_sources), (1, 1));
    world.sim.cut(reader, owner);
    world.publish(5_000);
    world.complete(reader, MINUTE);
    let lag = world.lag(reader);
    assert_eq!((lag.synced_sources, lag.full_sources), (1, 1));
    world.sim.connect(reader, owner);
    world.publish(5_000);
    world.complete(reader, MINUTE);
    world.sim.run_for(MINUTE);
    let lag = world.lag(reader);
    assert_eq!((lag.synced_sources, lag.full_sources), (2, 2));
}

#[test]
fn the_lag_is_what_is_missing_of_the_largest_head_heard_of() {
    let mut world = World::new(3, 3, 500);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    // From now on only heads come.
    world.sim.twist(
        owner,
        Box::new(|frame| match &frame.body {
            Some(Body::OfferedHashes(_)) => Twisted::Nothing,
            _ => Twisted::Frame(frame),
        }),
    );
    world.sim.run_for(10 * SECOND);
    world.publish(5_000);
    // Until its source is asked again what it holds.
    world.sim.run_for(3 * SECOND);
    let lag = world.lag(follower);
    assert_eq!((lag.records, lag.synced_sources), (5_000, 0));
    let behind = lag.time_us.expect("it was complete before");
    assert!((10 * SECOND..12 * SECOND).contains(&behind), "{behind}");

    let stranger = world.follower(&[owner]);
    world.sim.run_for(SECOND);
    let lag = world.lag(stranger);
    assert_eq!(
        (lag.records, lag.time_us, lag.full_sources),
        (5_500, None, 0)
    );

    world.sim.untwist(owner);
    world.complete(follower, MINUTE);
    world.complete(stranger, MINUTE);
    assert_eq!(world.lag(stranger).full_sources, 1);
    assert_eq!(world.lag(follower).time_us, Some(0));
    assert!(world.lag(follower).is_none());
}

#[test]
fn a_source_that_has_delivered_nothing_is_neither_synced_with_nor_full() {
    let mut world = World::new(4, 3, 500);
    let owner = world.owner;
    let reader = world.full_follower(&[owner]);
    let empty = world.follower(&[]);
    world.sim.twist(
        owner,
        Box::new(|frame| match &frame.body {
            Some(Body::OfferedHashes(_)) => Twisted::Nothing,
            _ => Twisted::Frame(frame),
        }),
    );
    world.sim.connect(empty, owner);
    world.sim.run_for(SECOND);
    world.sim.cut(empty, owner);
    world.sim.twist(
        reader,
        Box::new(|frame| match &frame.body {
            Some(Body::OfferedHashes(_)) => Twisted::Nothing,
            _ => Twisted::Frame(frame),
        }),
    );
    world.sim.connect(empty, reader);
    world.sim.run_for(20 * SECOND);
    let lag = world.lag(reader);
    assert_eq!((lag.synced_sources, lag.full_sources), (1, 1));
}

#[test]
fn false_notices_and_floods_of_them_are_not_passed_on() {
    let mut world = World::new(5, 3, 0);
    let owner = world.owner;
    let near = world.follower(&[owner]);
    let far = world.follower(&[near]);
    let liar = world.sim.add_node();
    world.sim.connect(liar, near);
    world.sim.run_for(SECOND);
    // As many trees as heads are remembered.
    let mut roots = Vec::new();
    for _ in 0..60 {
        world.publish(1);
        world.sim.run_for(SECOND / 10);
        let head = world.status(near).head.unwrap();
        roots.push((head.size, head.root));
    }
    let topic = Topic::Meta(world.log);
    let (peer, other) = (world.sim.peer(liar), world.sim.peer(far));
    // Of trees that nobody has, none is passed on.
    let root = Hash([7; 32]);
    let before = world.sim.nodes[far.0].seen.len();
    for size in 1..200 {
        world
            .sim
            .gossip(liar, topic, &Synced { size, root, peer }.encode());
    }
    world.sim.run_for(SECOND);
    assert_eq!(world.sim.nodes[far.0].seen.len(), before);
    // Of those that are there, a few.
    let heard = before;
    let before = world.sim.queue.pushed();
    let notices: Vec<_> = (roots.iter())
        .map(|&(size, root)| Synced { size, root, peer })
        .collect();
    for notice in &notices {
        world.sim.gossip(liar, topic, &notice.encode());
    }
    world.sim.run_for(SECOND);
    let events = world.sim.queue.pushed() - before;
    // Each arrives once, and a few go on to two others.
    assert!(events < notices.len() as u64 + 40, "{events} events");
    assert!(world.sim.nodes[far.0].seen.len() > heard);
    for bad in [
        Synced {
            size: 0,
            root,
            peer,
        },
        Synced {
            size: 9,
            root,
            peer: other,
        },
    ] {
        world.sim.gossip(liar, topic, &bad.encode());
    }
    world.sim.run_for(SECOND);
    assert_eq!(accusations(&world.sim, near, liar).len(), 2);
    assert!(accusations(&world.sim, far, near).is_empty());
    world.complete(far, SECOND);
}

#[test]
fn only_so_many_who_have_caught_up_are_remembered() {
    let mut world = World::new(6, 3, 300);
    let (owner, log) = (world.owner, world.log);
    let reader = world.full_follower(&[owner]);
    let head = world.status(reader).head.unwrap();
    for _ in 0..MAX_SOURCES + 20 {
        let other = world.sim.add_node();
        world.sim.connect(other, reader);
        world.sim.run_for(SECOND / 10);
        let notice = Synced::with(&head, world.sim.peer(other)).encode();
        world.sim.gossip(other, Topic::Meta(log), &notice);
        world.sim.run_for(10 * SECOND);
    }
    // Strangers are no sources for what they say.
    assert_eq!(world.lag(reader).full_sources, 1);
    world.publish(3);
    world.complete(reader, SECOND);
}
