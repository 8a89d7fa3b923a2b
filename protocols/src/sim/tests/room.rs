//! Disks that may be filled only so far.

use super::*;
use crate::engine::{CommandError, Reply, Room};
use crate::ranges::Interval;

const NO_HISTORY: Room = Room {
    for_history: 0,
    for_all: 1 << 20,
    is_of_disk: false,
};

const FULL: Room = Room {
    for_history: 0,
    for_all: 0,
    is_of_disk: false,
};

#[test]
fn without_room_for_history_live_records_come_all_the_same_and_history_when_there_is_room() {
    for seed in 0..5 {
        let mut world = World::new(seed, 3, 1_000);
        let owner = world.owner;
        let follower = world.sim.add_node();
        world.sim.set_room(follower, NO_HISTORY);
        world.sim.follow(follower, world.log);
        world.sim.run_for(0);
        world.sim.connect(follower, owner);
        world.sim.run_for(MINUTE);
        assert_eq!(world.status(follower).held_records, 0);
        assert!(world.status(follower).waits_for_room);
        world.publish(7);
        world.sim.run_for(MINUTE);
        let live = Interval {
            from: 1_000,
            to: 1_007,
        };
        assert_eq!(world.status(follower).held, [live], "seed {seed}");
        world.sim.set_room(follower, Room::default());
        world.complete(follower, MINUTE);
        assert!(!world.status(follower).waits_for_room);
    }
}

#[test]
fn a_history_stops_where_the_room_ends() {
    for seed in 0..5 {
        let mut world = World::new(seed, 3, 20_000);
        let (owner, log) = (world.owner, world.log);
        let follower = world.sim.add_node();
        let room = Room {
            for_history: 30_000,
            for_all: 1 << 20,
            is_of_disk: false,
        };
        world.sim.set_room(follower, room);
        world.sim.follow(follower, log);
        world.sim.run_for(0);
        world.sim.connect(follower, owner);
        world.sim.run_for(MINUTE);
        let held = world.status(follower).held_records;
        // What was on its way came in as well.
        assert!(held > 1_000 && held < 20_000, "seed {seed}: {held}");
        world.sim.set_room(follower, Room::default());
        world.complete(follower, MINUTE);
    }
}

#[test]
fn a_peer_is_not_left_alone_because_there_was_no_room_for_what_it_sent() {
    const SECOND: u64 = 1_000_000;
    for seed in 0..5 {
        let mut world = World::new(seed, 3, 65_000);
        let (owner, log) = (world.owner, world.log);
        let follower = world.sim.add_node();
        let room = Room {
            for_history: 30_000,
            for_all: 1 << 20,
            is_of_disk: false,
        };
        world.sim.follow(follower, log);
        world.sim.run_for(0);
        world.sim.connect(follower, owner);
        // Each time what is on its way is more than there is room for.
        let mut held = 0;
        for _ in 0..5 {
            world.sim.set_room(follower, room);
            world.sim.run_for(SECOND);
            let before = std::mem::replace(&mut held, world.status(follower).held_records);
            assert!(held > before, "seed {seed}: {held} records since a second");
        }
        assert!(held < 65_000, "seed {seed}: all of it came");
        world.sim.set_room(follower, Room::default());
        world.complete(follower, 10 * SECOND);
    }
}

#[test]
fn a_publish_that_does_not_fit_is_refused_as_a_whole_and_a_smaller_one_is_not() {
    let mut world = World::new(1, 3, 10);
    let (owner, log) = (world.owner, world.log);
    let follower = world.full_follower(&[owner]);
    let room = Room {
        for_history: 0,
        for_all: 200,
        is_of_disk: false,
    };
    world.sim.set_room(owner, room);
    let long = Record::new(Timestamp(0), &[b'x'; 150]);
    let ids = [long.clone(), long, Record::new(Timestamp(0), b"x")]
        .map(|record| world.sim.publish(owner, log, vec![record]));
    world.sim.run_for(0);
    let replies = ids.map(|id| world.sim.reply(owner, id).expect("an answer").clone());
    let published = |from, to| Ok(Reply::Published(Interval { from, to }));
    assert_eq!(replies[0], published(10, 11));
    let refused = CommandError::NoRoom {
        needed: 158,
        left: 42,
    };
    assert_eq!(replies[1], Err(refused));
    assert_eq!(replies[2], published(11, 12));
    world.sim.run_for(MINUTE);
    assert_eq!((world.adopted(owner), world.adopted(follower)), (12, 12));
}

#[test]
fn a_full_disk_takes_no_live_records_and_catches_up_later() {
    for seed in 0..5 {
        let mut world = World::new(seed, 3, 100);
        let owner = world.owner;
        let follower = world.full_follower(&[owner]);
        let other = world.full_follower(&[follower]);
        world.sim.set_room(follower, FULL);
        world.publish(50);
        world.sim.run_for(MINUTE);
        assert_eq!(world.status(follower).held_records, 100, "seed {seed}");
        // Whoever is behind it hears of them all the same.
        world.complete(other, MINUTE);
        world.sim.set_room(follower, Room::default());
        world.complete(follower, MINUTE);
    }
}
