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

#[test]
fn a_quiet_stream_is_asked_about_less_often_the_longer_it_is_quiet() {
    let mut world = World::new(3, 2, 20);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    let asked = Rc::new(Cell::new(0_u32));
    let count = asked.clone();
    world.sim.twist(
        follower,
        Box::new(move |frame| {
            if let Some(Body::GetHead(_)) = frame.body {
                count.set(count.get() + 1);
            }
            Twisted::Frame(frame)
        }),
    );
    world.sim.run_for(MINUTE);
    let first_minute = asked.take();
    world.sim.run_for(7 * MINUTE);
    asked.take();
    // The head is signed again ten minutes after the last record.
    world.sim.run_for(MINUTE);
    assert!((3..=5).contains(&first_minute), "{first_minute}");
    assert!(asked.get() <= 1, "{}", asked.get());
}
