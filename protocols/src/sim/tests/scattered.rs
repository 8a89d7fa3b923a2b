//! Peers that have single records here and there, many of them at once.

use super::*;
use crate::ranges::passed;
use v1::frame::Body;

/// Records that each of them says that it has.
const EACH: u64 = 256;

/// Intervals that are passed while a follower gets from so many peers what they say
/// that they have: single records, each other ones, with one between any two.
fn passed_with(peers: u64) -> u64 {
    let size = 2 * peers * EACH;
    let mut world = World::new(1, 2, size);
    let (owner, log) = (world.owner, world.log);
    let nodes: Vec<_> = (0..peers).map(|_| world.follower(&[owner])).collect();
    for (place, &peer) in (0..).zip(&nodes) {
        let came = (world.sim).run_while(MINUTE, |sim| {
            sim.status(peer, log).unwrap().held_records < size
        });
        assert!(came, "{}", world.summary(peer));
        let claimed = move |i: u64| {
            let from = 2 * (i * peers + place);
            v1::Interval { from, to: from + 1 }
        };
        let twist = Box::new(move |mut frame: v1::Frame| {
            if let Some(Body::Head(state)) = &mut frame.body {
                state.held = (0..EACH).map(claimed).collect();
            }
            Twisted::Frame(frame)
        });
        world.sim.twist(peer, twist);
    }
    let before = passed::count();
    let node = world.follower(&nodes);
    let came = world.sim.run_while(10 * MINUTE, |sim| {
        sim.status(node, log).unwrap().held_records < peers * EACH
    });
    assert!(came, "{}", world.summary(node));
    passed::count() - before
}

#[test]
fn what_many_peers_have_here_and_there_costs_no_more_a_record_than_what_a_few_have() {
    let (few, many) = (passed_with(6) / 6, passed_with(24) / 24);
    // Whoever walks the holes of all peers for each answer passes four times as many.
    assert!(many < 2 * few, "{many} instead of {few}");
}
