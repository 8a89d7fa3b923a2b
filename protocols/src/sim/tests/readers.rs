//! What a peer can make another one read.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::limits::{
    MAX_FLOOD_UNITS, MAX_PAGE_PARTS, MAX_UNKNOWN_FRAME_BYTES, QUESTION_UNITS, READ_ALLOWANCE,
    READ_UNIT_BYTES,
};
use crate::sync::Lane;
use v1::frame::Body;

/// Counts the offers and the refusals of a node from now on.
fn answers(world: &mut World, node: NodeId) -> Rc<Cell<(u64, u64)>> {
    let count = Rc::new(Cell::new((0, 0)));
    let counter = count.clone();
    let twist = Box::new(move |frame: v1::Frame| {
        let (mut offers, mut refusals) = counter.get();
        match &frame.body {
            Some(Body::OfferedHashes(_)) => offers += 1,
            Some(Body::Refused(refused)) if refused.why() == v1::refused::Why::Busy => {
                refusals += 1;
            }
            _ => {}
        }
        counter.set((offers, refusals));
        Twisted::Frame(frame)
    });
    world.sim.twist(node, twist);
    count
}

/// One record of each of the first chunks of 256.
fn one_of_each(world: &World, chunks: u64) -> Body {
    let intervals = (0..chunks).map(|i| v1::Interval {
        from: 256 * i + 77,
        to: 256 * i + 78,
    });
    let root = world.status(world.owner).head.unwrap().root;
    Body::GetRange(v1::GetRange {
        log: Bytes::copy_from_slice(&world.log.0),
        size: world.size,
        intervals: intervals.collect(),
        mode: v1::get_range::Mode::Choose.into(),
        priority: v1::Priority::History.into(),
        root: Bytes::copy_from_slice(&root.0),
    })
}

#[test]
fn a_peer_that_has_everything_proved_and_takes_nothing_is_refused_in_time() {
    let mut world = World::new(1, 8, 60_000);
    let owner = world.owner;
    let greedy = world.sim.add_node();
    world.sim.connect(greedy, owner);
    world.sim.run_for(SECOND);
    let count = answers(&mut world, owner);
    let ask = one_of_each(&world, 128);
    let begin = world.sim.now();
    for id in 0..4_000 {
        for body in [ask.clone(), Body::Cancel(v1::Cancel {})] {
            (world.sim).send(greedy, owner, Lane::Control, encoded(body, id));
        }
        world.sim.run_for(1_000);
    }
    world.sim.run_for(SECOND / 10);
    let (offers, refusals) = count.get();
    // Another page may come before a question is given up.
    assert!(offers + refusals >= 4_000);
    let (every_us, burst) = READ_ALLOWANCE;
    let earned = burst + world.sim.now().since(begin) / every_us;
    let read = offers * chunk_bytes(0, MAX_PAGE_PARTS as u64 * 256);
    assert!(
        refusals > 1_000 && read < earned * READ_UNIT_BYTES * 2,
        "{offers} offers"
    );

    // Connecting again gives it no more.
    world.sim.cut(greedy, owner);
    world.sim.connect(greedy, owner);
    world.sim.run_for(SECOND / 10);
    let before = count.get();
    for id in 0..1_000 {
        for body in [ask.clone(), Body::Cancel(v1::Cancel {})] {
            (world.sim).send(greedy, owner, Lane::Control, encoded(body, id));
        }
    }
    world.sim.run_for(SECOND / 10);
    let after = count.get();
    assert!(
        after.1 - before.1 > after.0 - before.0,
        "{before:?} {after:?}"
    );

    // Nor does it take anything from others.
    let follower = world.follower(&[owner]);
    world.complete(follower, 5 * SECOND);
}

#[test]
fn an_honest_follower_is_never_refused_however_fast_it_is() {
    // Everything arrives at once, so that nothing is earned on the way.
    let instant = NetworkConfig {
        latency_us: (0, 0),
        ..NetworkConfig::default()
    };
    for (level, size) in [(0, 60_000), (4, 60_000), (8, 500_000)] {
        let mut world = World::with_network(2, instant, level, 0);
        while world.size < size {
            world.publish(50_000.min(size - world.size));
        }
        let owner = world.owner;
        let count = answers(&mut world, owner);
        let follower = world.follower(&[owner]);
        let (log, begin) = (world.log, world.sim.now());
        let done = world.sim.run_while(MINUTE, |sim| {
            sim.status(follower, log).unwrap().held_records < size
        });
        assert!(done && world.sim.now().since(begin) < SECOND / 10);
        let (offers, refusals) = count.get();
        assert!(
            offers > 0 && refusals == 0,
            "{offers} offers, {refusals} refusals"
        );
    }
}

#[test]
fn an_honest_follower_of_large_records_is_never_refused() {
    let instant = NetworkConfig {
        latency_us: (0, 0),
        ..NetworkConfig::default()
    };
    let mut world = World::with_network(2, instant, 5, 0);
    let size = 6_559;
    for at in (0..size).step_by(50) {
        // The last chunk is nearly whole, so that much has to be read for its nodes.
        let value = |index: u64| vec![b'a' + (index % 26) as u8; 30_000];
        let record = |index| Record::new(Timestamp(index as i64), &value(index));
        let records = (at..size.min(at + 50)).map(record).collect();
        let id = world.sim.publish(world.owner, world.log, records);
        world.sim.run_for(0);
        let reply = world.sim.reply(world.owner, id);
        assert!(matches!(reply, Some(Ok(_))), "{reply:?}");
    }
    let owner = world.owner;
    let count = answers(&mut world, owner);
    let follower = world.follower(&[owner]);
    let log = world.log;
    let done = world.sim.run_while(MINUTE, |sim| {
        sim.status(follower, log).unwrap().held_records < size
    });
    let (offers, refusals) = count.get();
    assert!(done && offers > 0, "{offers} offers");
    assert_eq!(refusals, 0);
}

/// A stranger that is connected to the owner of a world.
fn stranger(world: &mut World) -> NodeId {
    let stranger = world.sim.add_node();
    world.sim.connect(stranger, world.owner);
    world.sim.run_for(SECOND);
    stranger
}

fn is_dropped(world: &World, who: NodeId) -> bool {
    world.sim.accusations().iter().any(|one| one.of == who)
}

#[test]
fn every_question_has_a_price_whatever_becomes_of_it() {
    let of_no_log = |id: u64| {
        let log = Bytes::from_static(&[7; 32]);
        match id % 4 {
            0 => Body::GetManifest(v1::GetManifest { log }),
            1 => Body::GetHead(v1::GetHead {
                log,
                ..v1::GetHead::default()
            }),
            2 => Body::Extend(v1::Extend { log, from_size: 0 }),
            _ => Body::GetRange(v1::GetRange {
                log,
                ..v1::GetRange::default()
            }),
        }
    };
    let mut world = World::new(3, 8, 300);
    let owner = world.owner;
    let [steady, flooding] = [(); 2].map(|()| stranger(&mut world));
    // And a part of it that is earned meanwhile.
    let most = (READ_ALLOWANCE.1 + MAX_FLOOD_UNITS) / QUESTION_UNITS;
    for id in 0..most + most / 10 {
        (world.sim).send(flooding, owner, Lane::Control, encoded(of_no_log(id), id));
        if id % 100 == 0 {
            (world.sim).send(steady, owner, Lane::Control, encoded(of_no_log(id), id));
        }
    }
    world.sim.run_for(SECOND);
    assert!(is_dropped(&world, flooding));
    assert!(!is_dropped(&world, steady));
    let follower = world.follower(&[owner]);
    world.complete(follower, 5 * SECOND);
}

#[test]
fn what_nobody_asked_for_costs_its_bytes() {
    let mut world = World::new(3, 8, 300);
    let owner = world.owner;
    let stranger = stranger(&mut world);
    let delivery = Body::Delivery(v1::Delivery {
        first: 0,
        chunks: vec![Bytes::from(vec![0; 1 << 20])],
    });
    let frame = encoded(delivery, 7);
    // What may be on its way when it is cancelled.
    for _ in 0..48 {
        (world.sim).send(stranger, owner, Lane::Bulk, frame.clone());
    }
    world.sim.run_for(10 * SECOND);
    assert!(!is_dropped(&world, stranger));
    for _ in 0..1_024 {
        (world.sim).send(stranger, owner, Lane::Bulk, frame.clone());
    }
    world.sim.run_for(10 * SECOND);
    assert!(is_dropped(&world, stranger));
}

#[test]
fn a_large_frame_of_an_unknown_kind_is_a_breach_and_a_small_one_is_not() {
    // Field 1,000, which no version knows, of so many bytes.
    let unknown = |bytes: usize| {
        let mut frame = vec![0xc2, 0x3e];
        prost::encoding::encode_varint(bytes as u64, &mut frame);
        frame.extend(vec![0; bytes]);
        Bytes::from(frame)
    };
    let mut world = World::new(3, 8, 300);
    let owner = world.owner;
    let stranger = stranger(&mut world);
    let small = unknown(MAX_UNKNOWN_FRAME_BYTES - 10);
    (world.sim).send(stranger, owner, Lane::Control, small);
    world.sim.run_for(SECOND);
    assert!(!is_dropped(&world, stranger));
    let large = unknown(MAX_UNKNOWN_FRAME_BYTES);
    (world.sim).send(stranger, owner, Lane::Control, large);
    world.sim.run_for(SECOND);
    assert!(is_dropped(&world, stranger));
}
