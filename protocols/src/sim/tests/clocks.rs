//! Clocks that are wrong, or are set while a node runs, in either direction.

use super::*;
use crate::limits::CLOCK_STEADY_US;

const HOUR: i64 = 3_600_000_000;
const YEAR: i64 = 365 * 24 * HOUR;

/// What a clock may be off: less than a minute, minutes, an hour, years.
const OFF: [i64; 8] = [
    -10 * YEAR,
    -HOUR,
    -601_000_000,
    -30_000_000,
    30_000_000,
    601_000_000,
    HOUR,
    10 * YEAR,
];

impl World {
    fn head_time(&self, node: NodeId) -> Timestamp {
        self.status(node).head.unwrap().time
    }

    /// Publishes a record, which all of these have within half a second.
    fn is_heard_live(&mut self, nodes: &[NodeId]) {
        for _ in 0..3 {
            self.publish(1);
            let (log, size) = (self.log, self.size);
            let lacks = |sim: &Sim, node| sim.status(node, log).unwrap().held_records < size;
            let all =
                (self.sim).run_while(SECOND / 2, |sim| nodes.iter().any(|&node| lacks(sim, node)));
            assert!(all, "{}", self.summary(nodes[0]));
            self.sim.run_for(SECOND);
        }
    }
}

#[test]
fn heads_have_the_time_of_the_clock_as_it_is_set_but_never_go_back() {
    let mut world = World::new(1, 2, 5);
    let owner = world.owner;
    world.sim.set_clock(owner, HOUR);
    world.publish(1);
    let ahead = world.head_time(owner);
    assert_eq!(ahead, world.sim.time(owner));
    world.sim.set_clock(owner, 0);
    for later in 1..4 {
        world.publish(1);
        assert_eq!(world.head_time(owner), ahead.plus(later));
    }
    // Whoever starts there signs on from the same.
    world.sim.crash(owner, Crash::Process);
    world.sim.reopen(owner);
    world.publish(1);
    assert_eq!(world.head_time(owner), ahead.plus(4));
    world.sim.run_for(61 * MINUTE);
    world.publish(1);
    assert_eq!(world.head_time(owner), world.sim.time(owner));
}

#[test]
fn a_publisher_is_heard_live_whatever_its_clock_shows_and_by_how_much_is_known() {
    for (seed, off) in (0..).zip(OFF) {
        let mut world = World::new(seed, 2, 20);
        let owner = world.owner;
        world.sim.set_clock(owner, off);
        world.sim.run_for(SECOND);
        let near = world.full_follower(&[owner]);
        let far = world.full_follower(&[near]);
        for _ in 0..2 {
            world.is_heard_live(&[near, far]);
            for node in [near, far] {
                let ahead = world.status(node).clock_ahead_us.unwrap();
                // Heads do not go back before that of the start.
                assert!(ahead.abs_diff(off) < SECOND || off < 0, "{ahead} of {off}");
                assert!(ahead <= off.max(0));
            }
            world.sim.run_for(5 * MINUTE);
        }
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn a_follower_hears_live_whatever_its_own_clock_shows() {
    for (seed, off) in (0..).zip(OFF) {
        let mut world = World::new(seed, 2, 20);
        let owner = world.owner;
        let follower = world.full_follower(&[owner]);
        let next = world.full_follower(&[follower]);
        world.sim.set_clock(follower, off);
        world.is_heard_live(&[follower, next]);
        let ahead = world.status(follower).clock_ahead_us.unwrap();
        assert!(ahead.abs_diff(-off) < SECOND, "{ahead} of {off}");
        assert!(world.status(next).clock_ahead_us.unwrap().unsigned_abs() < SECOND);
    }
}

#[test]
fn a_clock_that_is_set_while_a_node_runs_changes_what_is_known_of_others_at_once() {
    let mut world = World::new(3, 2, 20);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    world.is_heard_live(&[follower]);
    let before = world.status(follower).clock_ahead_us.unwrap();
    for off in OFF {
        world.sim.set_clock(follower, off);
        world.sim.run_for(0);
        let ahead = world.status(follower).clock_ahead_us.unwrap();
        assert_eq!(ahead, before - off);
    }
}

#[test]
fn a_publisher_that_stepped_back_without_noticing_is_heard_live() {
    // One of the first version signs what its clock shows, also after it was set
    // back. Nothing but the larger size tells that its head is newer.
    let mut world = World::new(4, 2, 20);
    let (owner, log) = (world.owner, world.log);
    world.sim.set_clock(owner, HOUR);
    world.publish(1);
    let follower = world.full_follower(&[owner]);
    assert_eq!(world.head_time(follower), world.head_time(owner));
    let key = world.sim.key(owner).clone();
    let mut appender = crate::log::Appender::new(crate::merkle::CompactRange::empty(0));
    appender.append(records(0, 21).iter().map(Record::leaf));
    let old = appender.frontier().clone();
    let mut bytes = bytes::BytesMut::new();
    crate::record::put_record(&mut bytes, record(21).as_bytes());
    appender.append([record(21).leaf()]);
    let head = appender.head(log, world.sim.now()).sign(&key);
    let data = crate::log::Announcement::encode(&head, &old, &bytes.freeze(), appender.frontier());
    world.sim.gossip(owner, Topic::Data(log), &data);
    world.sim.run_for(SECOND / 2);
    assert_eq!(world.status(follower).held_records, 22);
}

#[test]
fn a_publish_that_is_sent_again_is_not_done_again_because_the_clock_was_set() {
    use crate::engine::{Command, Reply, RequestKey};
    let mut world = World::new(5, 2, 0);
    let (owner, log) = (world.owner, world.log);
    let request = RequestKey {
        name: [1; 32],
        content: [2; 32],
    };
    for off in [0, 10 * YEAR, -10 * YEAR, 2 * HOUR, 0] {
        world.sim.set_clock(owner, off);
        let command = Command::PublishOnce {
            log,
            records: records(0, 1),
            expect_size: None,
            request,
        };
        let id = world.sim.command(owner, command);
        world.sim.run_for(SECOND);
        let first = crate::ranges::Interval { from: 0, to: 1 };
        assert_eq!(
            world.sim.reply(owner, id),
            Some(&Ok(Reply::Published(first)))
        );
    }
    assert_eq!(world.status(owner).held_records, 1);
    // In the end it is forgotten, of course.
    world.sim.run_for(2 * CLOCK_STEADY_US);
    assert_eq!(world.adopted(owner), 1);
}

#[test]
fn a_jump_wakes_nobody_early_and_lets_nobody_wait() {
    let mut world = World::new(6, 2, 20);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    for off in OFF {
        for node in [owner, follower] {
            world.sim.set_clock(node, off);
        }
        let before = world.sim.queue.pushed();
        world.sim.run_for(30 * MINUTE);
        let events = world.sim.queue.pushed() - before;
        assert!(
            (20..2_500).contains(&events),
            "{events} events in half an hour"
        );
        // The head was renewed, and so is asked for in time.
        let age = world.sim.time(follower).since(world.head_time(follower));
        assert!(age < 13 * MINUTE, "{age} at {off}");
    }
}
