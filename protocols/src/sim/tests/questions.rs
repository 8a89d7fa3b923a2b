//! How much one peer is asked at a time.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::limits::MAX_OPEN_QUESTIONS;
use v1::frame::Body;

/// A publisher of many streams, and a follower of all of them.
fn many_streams(seed: u64, streams: u64) -> (Sim, NodeId, NodeId, Vec<LogId>) {
    let mut sim = Sim::new(seed);
    let owner = sim.add_node();
    let follower = sim.add_node();
    let mut logs = Vec::new();
    for number in 0..streams {
        let mut manifest = manifest(sim.key(owner), 2);
        manifest.name = format!("stream {number}");
        let log = sim.create(owner, manifest);
        sim.publish(owner, log, records(0, 3));
        sim.follow(follower, log);
        logs.push(log);
    }
    sim.run_for(0);
    (sim, owner, follower, logs)
}

#[test]
fn a_follower_of_many_streams_asks_a_peer_a_few_questions_at_a_time() {
    let (mut sim, owner, follower, logs) = many_streams(1, 500);
    let open = Rc::new(Cell::new(0_usize));
    let most = Rc::new(Cell::new(0_usize));
    let (asked, highest) = (open.clone(), most.clone());
    sim.twist(
        follower,
        Box::new(move |frame| {
            if let Some(Body::GetManifest(_) | Body::GetHead(_)) = frame.body {
                asked.set(asked.get() + 1);
                highest.set(highest.get().max(asked.get()));
            }
            Twisted::Frame(frame)
        }),
    );
    let answered = open.clone();
    sim.twist(
        owner,
        Box::new(move |frame| {
            if let Some(Body::Manifest(_) | Body::Head(_) | Body::Refused(_)) = frame.body {
                answered.set(answered.get() - 1);
            }
            Twisted::Frame(frame)
        }),
    );
    sim.connect(owner, follower);
    let done = sim.run_while(20 * SECOND, |sim| {
        (logs.iter()).any(|&log| sim.status(follower, log).unwrap().held_records < 3)
    });
    assert!(done, "not all streams are complete");
    assert_eq!(most.get(), MAX_OPEN_QUESTIONS);
    assert!(sim.accusations().is_empty());
}

#[test]
fn questions_that_wait_for_a_peer_are_forgotten_when_it_goes() {
    let (mut sim, owner, follower, logs) = many_streams(2, 200);
    sim.twist(owner, Box::new(|_| Twisted::Nothing));
    sim.connect(owner, follower);
    sim.run_for(SECOND);
    sim.reset_streams(owner, follower);
    sim.run_for(SECOND);
    sim.cut(owner, follower);
    sim.run_for(SECOND);
    sim.untwist(owner);
    sim.connect(owner, follower);
    let done = sim.run_while(20 * SECOND, |sim| {
        (logs.iter()).any(|&log| sim.status(follower, log).unwrap().held_records < 3)
    });
    assert!(done, "not all streams are complete");
}
