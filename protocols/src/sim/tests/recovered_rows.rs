//! Streams that were recovered: what is here of another tree goes for what counts,
//! and for nobody's word.

use super::recoveries::*;
use super::*;
use crate::engine::{Command, CommandError, Reply, Room};
use crate::head::SignedHead;
use crate::store::Table;
use crate::store::tables::HeadKind;
use crate::sync::retrieval::{Found, Retrieval};
use v1::frame::Body;

/// Says that it holds all of a stream, and offers nothing of it but what it has.
pub(super) fn boasts(size: u64) -> Twist {
    Box::new(move |mut frame| {
        if let Some(Body::Head(state)) = &mut frame.body {
            state.held = vec![crate::ranges::Interval { from: 0, to: size }.to_wire()];
        }
        Twisted::Frame(frame)
    })
}

/// Follows a stream, and holds nothing of its history; of what it hears all or nothing.
pub(super) fn without_history(world: &mut World, hears: bool) -> NodeId {
    let owner = world.owner;
    let node = world.sim.add_node();
    let no_room = Room {
        for_all: if hears { u64::MAX } else { 0 },
        for_history: 0,
        ..Room::default()
    };
    world.sim.set_room(node, no_room);
    world.sim.follow(node, world.log);
    world.sim.connect(node, owner);
    world.sim.run_for(MINUTE);
    node
}

#[test]
fn nothing_goes_for_the_word_of_a_peer_that_it_has_the_last_head_s_tree() {
    for some in [false, true] {
        let mut world = world(1, 20);
        let owner = world.owner;
        let thief = thief(&mut world);
        let liar = without_history(&mut world, some);
        world.publish(10);
        world.sim.run_for(MINUTE);
        assert_eq!(world.adopted(liar), 30);
        let has = world.status(liar).held_records;
        assert_eq!(has, if some { 10 } else { 0 });
        world.sim.cut(liar, owner);
        world.sim.twist(liar, boasts(30));

        junk(&mut world, thief, 30);
        let follower = world.follower(&[thief]);
        world.sim.run_for(MINUTE);
        world.sim.cut(follower, thief);
        let said = statement(head_of(&world, owner), None, 1);
        assert_eq!(recover(&mut world, follower, said), Ok(Reply::Done));
        let chunks = world.sim.store(follower).len(Table::Chunks);
        world.sim.connect(follower, liar);
        world.sim.run_for(30 * MINUTE);
        let status = world.status(follower);
        // What it delivers counts; what was here before stays beside it.
        assert_eq!(status.held_records, if some { has } else { 50 });
        assert!(world.sim.store(follower).len(Table::Chunks) >= chunks);
        for how in [Crash::Process, Crash::Power(0)] {
            world.sim.cut(follower, liar);
            world.sim.crash(follower, how);
            world.sim.reopen(follower);
            world.sim.run_for(MINUTE);
            let status = world.status(follower);
            assert_eq!((status.held_records, status.usable_size()), (50, 0));
            assert_eq!(world.sim.store(follower).len(Table::Chunks), chunks);
            world.sim.connect(follower, liar);
            world.sim.run_for(5 * MINUTE);
        }
        world.sim.connect(follower, owner);
        world.sim.run_for(10 * MINUTE);
        assert_ends(&world, follower, 30, None);
        assert_eq!(world.sim.store(follower).len(Table::Chunks), 3);
        world.sim.crash(follower, Crash::Process);
        world.sim.reopen(follower);
        world.sim.run_for(MINUTE);
        assert_ends(&world, follower, 30, None);
    }
}

#[test]
fn what_was_to_be_replaced_is_back_when_nobody_wants_what_replaces_it() {
    for way in 0..3 {
        let mut world = world(3, 20);
        let (owner, log) = (world.owner, world.log);
        let small = head_of(&world, owner);
        let thief = thief(&mut world);
        let liar = without_history(&mut world, true);
        world.publish(10);
        world.sim.run_for(MINUTE);
        world.sim.cut(liar, owner);
        world.sim.twist(liar, boasts(30));
        junk(&mut world, thief, 30);
        let follower = world.follower(&[thief]);
        world.sim.run_for(MINUTE);
        world.sim.cut(follower, thief);
        let chunks = world.sim.store(follower).len(Table::Chunks);
        let said = statement(head_of(&world, owner), None, 1);
        assert_eq!(recover(&mut world, follower, said), Ok(Reply::Done));
        world.sim.connect(follower, liar);
        world.sim.run_for(MINUTE);
        assert_eq!(world.status(follower).held_records, 10);
        match way {
            // Another last head, which ends what was here.
            0 => {
                let said = statement(small, None, 2);
                assert_eq!(recover(&mut world, follower, said), Ok(Reply::Done));
                world.sim.run_for(MINUTE);
                assert_ends(&world, follower, 20, None);
                assert_eq!(world.status(follower).held_records, 50);
            }
            1 => {
                world.sim.command(follower, Command::Unfollow(log));
                world.sim.run_for(MINUTE);
                let status = world.status(follower);
                assert_eq!((status.held_records, status.usable_size()), (50, 0));
                world.sim.follow(follower, log);
                world.sim.connect(follower, owner);
                world.sim.run_for(10 * MINUTE);
                assert_ends(&world, follower, 30, None);
            }
            _ => {
                world
                    .sim
                    .command(follower, Command::Delete { log, own: false });
                world.sim.run_for(MINUTE);
                assert!(holds_nothing(&world, follower));
                continue;
            }
        }
        let left = world.sim.store(follower).len(Table::Chunks);
        assert_eq!(left, if way == 0 { chunks } else { 3 });
    }
}

#[test]
fn what_is_damaged_at_the_end_of_a_recovered_stream_is_mended_before_any_word_is_believed() {
    for of_owner in [true, false] {
        let mut world = world(2, 20);
        let owner = world.owner;
        let last = head_of(&world, owner);
        let liar = without_history(&mut world, false);
        world.publish(15);
        let node = match of_owner {
            true => owner,
            false => world.full_follower(&[owner]),
        };
        world.size = 20;
        world.sim.run_for(MINUTE);
        if !of_owner {
            world.sim.cut(node, owner);
            world.sim.cut(liar, owner);
            world.sim.twist(liar, boasts(20));
            world.sim.connect(node, liar);
            world.sim.run_for(MINUTE);
        }
        // All that stands above the chunks.
        let above = |key: &[u8]| key.get(4).is_some_and(|&level| level > 3);
        assert!(world.sim.store(node).damage(Table::Nodes, above) > 0);
        assert_eq!(
            recover(&mut world, node, statement(last, None, 1)),
            Ok(Reply::Done)
        );
        let number = world.status(node).key.unwrap().number;
        world.sim.run_for(MINUTE);
        assert_ends(&world, node, 20, None);
        let status = world.status(node);
        assert_eq!(
            (status.held_records, status.key.unwrap().number),
            (35, number)
        );
        let late = world.follower(&[node]);
        world.sim.run_for(MINUTE);
        assert_ends(&world, late, 20, None);
    }
}

#[test]
fn what_is_damaged_of_ours_at_the_end_of_a_recovered_stream_is_said() {
    let mut world = world(2, 20);
    let owner = world.owner;
    let last = head_of(&world, owner);
    world.publish(15);
    // The chunk in which it ends.
    let third = |key: &[u8]| key.ends_with(&2_u64.to_be_bytes());
    assert_eq!(world.sim.store(owner).damage(Table::Chunks, third), 1);
    let said = statement(last, None, 1);
    assert_eq!(recover(&mut world, owner, said), Ok(Reply::Done));
    world.sim.run_for(MINUTE);
    let status = world.status(owner);
    assert_eq!((status.usable_size(), status.held_records), (0, 27));
    let damage = status.damage.expect("it is known");
    assert_eq!((damage.records, damage.first), (8, 16));
}

#[test]
fn a_recovered_stream_counts_again_as_soon_as_what_was_damaged_before_its_end_is_mended() {
    for of_owner in [true, false] {
        let mut world = world(2, 28);
        let owner = world.owner;
        let last = head_of(&world, owner);
        world.publish(15);
        let node = match of_owner {
            true => owner,
            false => world.full_follower(&[owner]),
        };
        world.size = 28;
        if !of_owner {
            world.sim.cut(node, owner);
        }
        // All nodes, so that only all chunks together show what the end is.
        assert!(world.sim.store(node).damage(Table::Nodes, |_| true) > 0);
        assert_eq!(
            recover(&mut world, node, statement(last, None, 1)),
            Ok(Reply::Done)
        );
        world.sim.run_for(MINUTE);
        let all = crate::ranges::Interval {
            from: 0,
            to: u64::MAX,
        };
        world.sim.suspect(node, world.log, all);
        world.sim.run_for(MINUTE);
        assert_ends(&world, node, 28, None);
        assert_eq!(world.status(node).held_records, 43);
        let late = world.follower(&[node]);
        world.sim.run_for(MINUTE);
        assert_ends(&world, late, 28, None);
    }
}

#[test]
fn no_answer_that_comes_late_is_taken_for_one_of_the_tree_that_counts() {
    for seed in 0..12 {
        // Some answers are on their way for as long as it takes to hear of the recovery,
        // and to ask for what counts.
        let slow = NetworkConfig {
            latency_us: (10_000, 900_000),
            bytes_per_second: 100_000,
            ..NetworkConfig::default()
        };
        let mut world = World::begun(Sim::with_network(seed, slow), |sim, owner| {
            let manifest = terms(sim.key(owner));
            sim.create(owner, manifest)
        });
        world.publish(20);
        let owner = world.owner;
        let thief = thief(&mut world);
        world.publish(300);
        let of_owner = world.follower(&[owner]);
        world.sim.run_for(5 * MINUTE);
        let large = Bytes::from(vec![b'j'; 2_000]);
        let junk = (0..400).map(|i| Record::new(Timestamp(i), &large));
        world.sim.publish(thief, world.log, junk.collect());
        world.sim.run_for(0);
        let last = head_of(&world, owner);
        let follower = world.follower(&[thief]);
        let log = world.log;
        (world.sim).run_while(MINUTE, |sim| {
            sim.status(follower, log).unwrap().held_records < 50 + 10 * seed
        });
        let before = world.status(follower);
        assert!(before.held_records < 420, "{}", world.summary(follower));
        let said = statement(last, None, 1);
        assert_eq!(recover(&mut world, follower, said), Ok(Reply::Done));
        let came = world.sim.delivered(thief, follower);
        world.sim.connect(follower, of_owner);
        world.sim.run_for(20 * MINUTE);
        assert!(world.sim.delivered(thief, follower) > came, "{seed}");
        assert_ends(&world, follower, 320, None);
    }
}

#[test]
fn what_a_user_waits_for_is_of_the_tree_that_counts_when_it_comes() {
    let beyond = CommandError::Beyond {
        index: 25,
        size: 20,
    };
    for (seed, meant) in (0..).zip([Err(beyond), Ok(10), Ok(19)]) {
        let mut world = world(seed, 20);
        let (owner, log) = (world.owner, world.log);
        let what = match seed {
            0 => Retrieval::Index(log, 25),
            1 => Retrieval::Index(log, 10),
            _ => Retrieval::Time(log, Timestamp(30)),
        };
        let last = head_of(&world, owner);
        let reader = without_history(&mut world, false);
        world.publish(15);
        world.sim.run_for(MINUTE);
        let status = world.status(reader);
        assert_eq!((status.usable_size(), status.held_records), (35, 0));
        let id = world.sim.command(reader, Command::Retrieve(what));
        world.sim.run_for(0);
        assert!(world.sim.reply(reader, id).is_none());
        // It is asked for, and has not come.
        let said = statement(last.clone(), None, 1);
        assert_eq!(recover(&mut world, reader, said), Ok(Reply::Done));
        assert_eq!(world.status(reader).usable_size(), 20);
        world.sim.run_for(5 * SECOND);
        let reply = world.sim.reply(reader, id).expect("it is answered").clone();
        let found = reply.map(|reply| match reply {
            Reply::Retrieved(found) => match *found {
                Found::Record {
                    index,
                    record: found,
                    tree,
                } => {
                    assert_eq!((found, tree), (record(index), last.tree()));
                    index
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        });
        assert_eq!(found, meant);
    }
}

#[test]
fn a_recovered_stream_of_ours_counts_although_the_head_that_was_here_is_lost() {
    for (seed, is_gone) in (0..).zip([false, true]) {
        let mut world = world(seed, 20);
        let owner = world.owner;
        let last = head_of(&world, owner);
        world.publish(15);
        let said = statement(last, None, 1);
        assert_eq!(recover(&mut world, owner, said), Ok(Reply::Done));
        world.sim.run_for(SECOND);
        world.sim.crash(owner, Crash::Process);
        let store = world.sim.store(owner);
        let adopted = |key: &[u8]| key.ends_with(&[HeadKind::Adopted as u8]);
        let lost = match is_gone {
            true => store.falsify(Table::Heads, adopted, |_| None),
            false => store.damage(Table::Heads, adopted),
        };
        assert_eq!(lost, 1);
        for _ in 0..2 {
            world.sim.reopen(owner);
            world.sim.run_for(MINUTE);
            assert_ends(&world, owner, 20, None);
            world.sim.crash(owner, Crash::Process);
        }
        world.sim.reopen(owner);
        let late = world.follower(&[owner]);
        world.sim.run_for(MINUTE);
        assert_ends(&world, late, 20, None);
    }
}

/// A stream with a recovery key of which 16 records are kept, or those of an hour, with 40
/// of its owner's and a thousand of a thief's behind them, and a follower who has both. All
/// of it got old.
fn pushed_out(seed: u64, by_number: bool) -> (World, NodeId, SignedHead) {
    let terms = |key: &SigningKey| Manifest {
        retain_records: if by_number { 16 } else { 0 },
        retain_us: 60 * MINUTE,
        ..terms(key)
    };
    let mut world = World::begun(Sim::new(seed), |sim, owner| {
        let manifest = terms(sim.key(owner));
        sim.create(owner, manifest)
    });
    let (owner, log) = (world.owner, world.log);
    let publish = |world: &mut World, count| {
        let now = world.sim.now();
        let records = (0..count).map(|_| Record::new(now, b"now")).collect();
        world.sim.publish(owner, log, records);
        world.sim.run_for(0);
    };
    publish(&mut world, 40);
    let follower = world.follower(&[owner]);
    world.sim.run_for(MINUTE);
    let last = head_of(&world, owner);
    // Whoever has its key may have its node as well.
    publish(&mut world, 1_000);
    world.sim.run_for(30 * 60 * MINUTE);
    assert_eq!(world.adopted(follower), 1_040);
    world.sim.cut(follower, owner);
    (world, follower, last)
}

#[test]
fn what_is_kept_of_a_recovered_stream_begins_before_its_end_whatever_got_old_or_was_freed() {
    for by_number in [true, false] {
        let (mut world, follower, last) = pushed_out(1, by_number);
        assert!(world.status(follower).begin > 40);
        let said = statement(last, None, 1);
        assert_eq!(recover(&mut world, follower, said), Ok(Reply::Done));
        for _ in 0..2 {
            world.sim.run_for(30 * 60 * MINUTE);
            let status = world.status(follower);
            assert!(status.begin <= 32, "{by_number}: {}", status.begin);
            // The last chunk is gone, and nobody is there who has it.
            assert_eq!((status.usable_size(), status.held_records), (40, 8));
            assert!(status.synced_size <= status.begin);
            world.sim.crash(follower, Crash::Process);
            world.sim.reopen(follower);
        }
    }
}

#[test]
fn what_a_thief_s_records_have_freed_stays_readable_when_a_fork_is_found() {
    let mut world = retaining(6, 40);
    let owner = world.owner;
    let follower = world.follower(&[owner]);
    let other = world.follower(&[owner]);
    world.sim.run_for(MINUTE);
    for node in [follower, other] {
        world.sim.cut(node, owner);
    }
    let key = world.sim.key(owner).clone();
    let thief = world.sim.add_node_with_key(key.clone());
    let manifest = Manifest {
        retain_records: 16,
        ..terms(&key)
    };
    assert_eq!(world.sim.create(thief, manifest), world.log);
    world.sim.publish(thief, world.log, records(0, 40));
    world.sim.run_for(0);
    junk(&mut world, thief, 1_000);
    world.publish(8);
    world.sim.connect(follower, thief);
    world.sim.connect(other, owner);
    world.sim.run_for(MINUTE);
    world.sim.connect(follower, other);
    world.sim.run_for(50 * 60 * MINUTE);
    let status = world.status(follower);
    assert!(status.fork.is_some());
    assert_eq!(status.usable_size(), 40);
    assert!(status.begin <= 24, "{}", status.begin);
}
