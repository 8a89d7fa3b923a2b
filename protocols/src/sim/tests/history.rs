//! History and live records, from honest peers.

use super::*;
use crate::engine::{Command, CommandError, Reply};
use crate::ranges::Interval;

#[test]
fn late_joiner_gets_all_history_from_a_subscriber_with_the_publisher_gone() {
    for seed in 0..5 {
        let mut world = World::new(seed, 3, 1_003);
        let owner = world.owner;
        let subscriber = world.full_follower(&[owner]);
        world.sim.crash(owner, Crash::Process);
        let joiner = world.full_follower(&[subscriber]);
        let delivered = world.sim.delivered(subscriber, joiner);
        assert_eq!(delivered, chunk_bytes(0, 1_003));
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn a_joiner_whose_only_peer_begins_at_the_same_time_gets_everything_through_it() {
    for seed in 0..20 {
        let mut world = World::new(seed, 3, 300);
        let owner = world.owner;
        let middle = world.follower(&[]);
        let end = world.follower(&[middle]);
        world.sim.run_for(SECOND);
        world.sim.connect(owner, middle);
        world.complete(end, MINUTE);
        world.publish(3);
        world.complete(end, MINUTE);
    }
}

#[test]
fn live_records_arrive_while_history_is_filled() {
    let config = NetworkConfig {
        latency_us: (50_000, 100_000),
        ..NetworkConfig::default()
    };
    let mut world = World::with_network(4, config, 2, 60_000);
    let owner = world.owner;
    let joiner = world.follower(&[owner]);
    world.sim.run_for(SECOND);
    let mut early = 0;
    for _ in 0..20 {
        world.publish(1);
        world.sim.run_for(SECOND / 5);
        let last = world.size - 1;
        let held = world.status(joiner).held;
        let has_last = held
            .iter()
            .any(|interval| interval.from <= last && last < interval.to);
        early += u64::from(has_last && !world.is_complete(joiner));
    }
    assert!(
        early > 10,
        "{early} live records came before history was there"
    );
    world.complete(joiner, MINUTE);
    let delivered = world.sim.delivered(owner, joiner);
    assert!(delivered <= chunk_bytes(0, world.size));
}

#[test]
fn two_upstreams_share_the_work_and_each_chunk_is_transferred_once() {
    for seed in 0..5 {
        let mut world = World::new(seed, 2, 20_005);
        let owner = world.owner;
        let a = world.full_follower(&[owner]);
        let b = world.full_follower(&[owner]);
        world.sim.crash(owner, Crash::Process);
        let joiner = world.full_follower(&[a, b]);
        let (from_a, from_b) = (
            world.sim.delivered(a, joiner),
            world.sim.delivered(b, joiner),
        );
        let all = chunk_bytes(0, world.size);
        assert_eq!(from_a + from_b, all, "{from_a} and {from_b}");
        assert!(from_a.min(from_b) > all / 4, "{from_a} and {from_b}");
    }
}

#[test]
fn a_cut_connection_resumes_without_fetching_held_chunks_again() {
    for seed in 0..20 {
        let mut world = World::new(seed, 2, 10_001);
        let owner = world.owner;
        let joiner = world.follower(&[owner]);
        for turn in 0..6 {
            let wait = 20_000 + world.sim.dice(200_000);
            world.sim.run_for(wait);
            world.check(joiner);
            if turn % 2 == 0 {
                world.sim.cut(owner, joiner);
                world.sim.run_for(SECOND / 100);
                world.sim.connect(owner, joiner);
            } else {
                world.sim.reset_streams(owner, joiner);
            }
        }
        let begin = world.sim.now();
        world.complete(joiner, MINUTE);
        // Nothing waits for the time-out of what was lost with the connection.
        assert!(world.sim.now().since(begin) < 9 * SECOND, "seed {seed}");
        let delivered = world.sim.delivered(owner, joiner);
        assert_eq!(delivered, chunk_bytes(0, 10_001), "seed {seed}");
    }
}

#[test]
fn newest_first_has_the_last_thousand_records_first() {
    for (level, size) in [(0, 5_000), (2, 20_003), (8, 100_000)] {
        let mut world = World::new(6, level, size.min(60_000));
        world.publish(size - world.size);
        let owner = world.owner;
        let joiner = world.sim.add_node();
        let command = Command::Follow {
            log: world.log,
            peers: Vec::new(),
            newest_first: true,
        };
        world.sim.command(joiner, command);
        world.sim.connect(owner, joiner);
        let log = world.log;
        let mut seen = 0;
        world.sim.run_while(MINUTE, |sim| {
            let held = sim
                .status(joiner, log)
                .map_or(Vec::new(), |status| status.held);
            seen = held
                .iter()
                .map(|interval| interval.to - interval.from)
                .sum();
            let last = Interval {
                from: size - 1_000,
                to: size,
            };
            !held.iter().any(|i| i.from <= last.from && last.to <= i.to)
        });
        assert!(
            seen <= 2_000 + (4 << level),
            "{seen} records at level {level}"
        );
        world.complete(joiner, MINUTE);
    }
}

#[test]
fn a_range_that_a_user_wants_comes_before_the_rest_of_the_history() {
    let slow = NetworkConfig {
        bytes_per_second: 100_000,
        ..NetworkConfig::default()
    };
    let size = 200_000;
    let mut world = World::with_network(9, slow, 8, 60_000);
    while world.size < size {
        world.publish(60_000.min(size - world.size));
    }
    let owner = world.owner;
    let joiner = world.follower(&[owner]);
    let log = world.log;
    let held = move |sim: &Sim| sim.status(joiner, log).map_or(0, |s| s.held_records);
    assert!(world.sim.run_while(MINUTE, |sim| held(sim) == 0));
    let wish = Interval {
        from: 150_100,
        to: 150_900,
    };
    let begun = held(&world.sim);
    let id = world.sim.command(joiner, Command::FetchFirst(log, wish));
    let came = world.sim.run_while(MINUTE, |sim| {
        let held = sim.status(joiner, log).map_or(Vec::new(), |s| s.held);
        !held.iter().any(|i| i.from <= wish.from && wish.to <= i.to)
    });
    assert!(came, "{}", world.summary(joiner));
    assert_eq!(world.sim.reply(joiner, id), Some(&Ok(Reply::Done)));
    let meanwhile = held(&world.sim) - begun;
    // What was in the transport already: a mebibyte is about 58,000 of these.
    assert!(meanwhile < 70_000, "{meanwhile} records came before it");
    world.complete(joiner, 2 * MINUTE);

    let stranger = world.sim.add_node();
    let id = world.sim.command(stranger, Command::FetchFirst(log, wish));
    world.sim.run_for(0);
    let refused = Err(CommandError::UnknownStream(log));
    assert_eq!(world.sim.reply(stranger, id), Some(&refused));
}

#[test]
fn a_batch_too_large_for_an_announcement_is_announced_by_its_head_and_pulled() {
    let mut world = World::new(7, 3, 10);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    let before = world.sim.delivered(owner, follower);
    world.publish(5_000);
    world.complete(follower, 5 * SECOND);
    let delivered = world.sim.delivered(owner, follower) - before;
    assert_eq!(delivered, chunk_bytes(10, 5_010));
}

#[test]
fn a_missed_announcement_is_made_up_for_by_an_extension_and_a_range() {
    let mut world = World::new(8, 3, 21);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    let before = world.sim.delivered(owner, follower);
    let lossy = NetworkConfig {
        gossip_loss: 1.0,
        ..NetworkConfig::default()
    };
    world.sim.set_network(lossy);
    world.publish(9);
    world.sim.run_for(SECOND / 2);
    assert_eq!(world.adopted(follower), 21);
    world.sim.set_network(NetworkConfig::default());
    world.publish(2);
    world.complete(follower, SECOND);
    let delivered = world.sim.delivered(owner, follower) - before;
    assert_eq!(delivered, chunk_bytes(21, 32));
}

#[test]
fn a_follower_that_missed_the_last_announcement_finds_out() {
    let mut world = World::new(9, 3, 21);
    let owner = world.owner;
    let near = world.full_follower(&[owner]);
    let far = world.full_follower(&[near]);
    world.sim.cut(owner, near);
    world.publish(4);
    world.sim.run_for(SECOND);
    world.sim.connect(owner, near);
    world.complete(near, 5 * SECOND);
    world.sim.crash(owner, Crash::Process);
    world.complete(far, MINUTE);
}

#[test]
fn every_follower_ends_with_the_same_root() {
    for seed in 0..4 {
        let config = NetworkConfig {
            gossip_loss: 0.3,
            gossip_duplication: 0.3,
            ..NetworkConfig::default()
        };
        let mut world = World::with_network(seed, config, 3, 500);
        let mut nodes = vec![world.owner];
        for i in 1..12 {
            let a = nodes[world.sim.dice(i) as usize];
            let b = nodes[world.sim.dice(i) as usize];
            nodes.push(world.follower(&[a, b]));
            world.publish(11);
            world.sim.run_for(SECOND / 10);
        }
        let root = world.status(world.owner).head.unwrap().root;
        for &node in &nodes[1..] {
            world.complete(node, 2 * MINUTE);
            assert_eq!(world.status(node).head.unwrap().root, root);
        }
        assert!(
            world.sim.accusations().is_empty(),
            "{:?}",
            world.sim.accusations()
        );
    }
}

#[test]
fn the_largest_values_travel_too() {
    for level in [0, 1, 8] {
        let mut world = World::new(10, level, 0);
        let owner = world.owner;
        let value = vec![b'v'; crate::record::max_value_bytes(level)];
        let count = 4 << level;
        // Small chunks before large ones.
        let large = |i: i64| match (i >> level) % 2 {
            0 => Record::new(Timestamp(i), &value[..120_000 >> level]),
            _ => Record::new(Timestamp(i), &value),
        };
        let list: Vec<_> = (0..count).map(large).collect();
        world.sim.publish(owner, world.log, list);
        world.sim.run_for(0);
        world.size = count as u64;
        let follower = world.follower(&[owner]);
        let (log, size) = (world.log, world.size);
        let done = world.sim.run_while(MINUTE, |sim| {
            sim.status(follower, log).unwrap().held_records < size
        });
        assert!(done, "{:?}", world.sim.accusations());
        check_held(&world.sim, follower, log, |i| large(i as i64));
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn a_stream_that_is_unfollowed_rests_and_goes_on_when_it_is_followed_again() {
    let mut world = World::new(11, 2, 8_000);
    let owner = world.owner;
    let follower = world.follower(&[owner]);
    let log = world.log;
    world.sim.run_while(MINUTE, |sim| {
        sim.status(follower, log).unwrap().held_records == 0
    });
    world.sim.command(follower, Command::Unfollow(log));
    world.sim.run_for(SECOND);
    let held = world.status(follower).held_records;
    world.publish(5);
    world.sim.run_for(MINUTE);
    assert_eq!(world.status(follower).held_records, held);
    assert!(held < 8_000);
    world.check(follower);
    world.sim.follow(follower, log);
    world.sim.run_for(0);
    world.complete(follower, MINUTE);
}

#[test]
fn history_of_large_records_comes_in_the_order_in_which_it_was_published() {
    // A batch has 41 chunks of four of these, and a question asks for 256 at first.
    let large =
        |index: u64| Record::new(Timestamp(index as i64), &[b'a' + index as u8 % 26; 25_000]);
    let mut world = World::new(7, 2, 0);
    let (owner, log) = (world.owner, world.log);
    for from in (0..2_000).step_by(100) {
        let id = (world.sim).publish(owner, log, (from..from + 100).map(large).collect());
        world.sim.run_for(0);
        let reply = world.sim.reply(owner, id);
        assert!(matches!(reply, Some(Ok(_))), "{reply:?}");
    }
    let joiner = world.follower(&[owner]);
    let mut ahead = Vec::new();
    world.sim.run_while(MINUTE, |sim| {
        let status = sim.status(joiner, log).expect("the log is known");
        if status.held.len() > 1 {
            ahead.extend(status.held.last().map(|interval| interval.from));
        }
        status.held_records < 2_000
    });
    assert!(ahead.is_empty(), "{ahead:?}");
    check_held(&world.sim, joiner, log, large);
}
