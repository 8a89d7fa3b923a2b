//! Publishers: durable before signed, signed before announced, never forked.

use super::*;
use crate::engine::{Command, CommandError, Reply, RequestKey};
use crate::limits::MAX_PUBLISH_RECORDS;
use crate::ranges::Interval;
use crate::store::StoreError;

#[test]
fn the_times_of_an_ordered_stream_never_go_back_whatever_happens_in_between() {
    let mut world = World::of(1, 0, |manifest| manifest.ordered = true);
    let (owner, log) = (world.owner, world.log);
    let publish = |world: &mut World, times: &[i64]| {
        let records = times.iter().map(|&time| Record::new(Timestamp(time), b"v"));
        let id = world.sim.publish(owner, log, records.collect());
        world.sim.run_for(0);
        world.sim.reply(owner, id).expect("it is answered").clone()
    };
    let before = |place, time, last| {
        let (time, last) = (Timestamp(time), Timestamp(last));
        Err(CommandError::Backwards { place, time, last })
    };
    assert!(publish(&mut world, &[5, 5, 7]).is_ok());
    assert_eq!(publish(&mut world, &[6]), before(0, 6, 7));
    assert_eq!(publish(&mut world, &[7, 9, 8]), before(2, 8, 9));
    assert_eq!(world.adopted(owner), 3);
    for how in [Crash::Process, Crash::Power(usize::MAX)] {
        world.sim.crash(owner, how);
        world.sim.reopen(owner);
        world.sim.run_for(SECOND);
        assert_eq!(publish(&mut world, &[6]), before(0, 6, 7));
    }
    // Two that wait for one commit.
    let ids = [8, 7].map(|time| {
        let records = vec![Record::new(Timestamp(time), b"v")];
        world.sim.publish(owner, log, records)
    });
    world.sim.run_for(0);
    assert!(world.sim.reply(owner, ids[0]).unwrap().is_ok());
    assert_eq!(world.sim.reply(owner, ids[1]), Some(&before(0, 7, 8)));
}

#[test]
fn many_publishes_share_one_sync() {
    let mut world = World::new(1, 3, 5);
    let (owner, log) = (world.owner, world.log);
    let before = world.sim.store(owner).syncs();
    let ids: Vec<_> = (5..55)
        .map(|i| world.sim.publish(owner, log, records(i, i + 1)))
        .collect();
    world.sim.run_for(0);
    assert_eq!(world.sim.store(owner).syncs(), before + 1);
    for (i, id) in (5..55).zip(ids) {
        let published = Interval { from: i, to: i + 1 };
        assert_eq!(
            world.sim.reply(owner, id),
            Some(&Ok(Reply::Published(published)))
        );
    }
    world.size = 55;
    let follower = world.follower(&[owner]);
    world.complete(follower, MINUTE);
}

#[test]
fn an_owner_that_crashes_between_sync_and_head_signs_the_same_tree_again() {
    for kept in [0, 1] {
        let mut world = World::new(2, 3, 21);
        let (owner, log) = (world.owner, world.log);
        let follower = world.full_follower(&[owner]);
        // The records are synced, their head is written only.
        world.publish(6);
        let root = world.status(owner).head.unwrap().root;
        assert!(world.sim.store(owner).unsynced() > 0);
        world.sim.crash(owner, Crash::Power(kept));
        world.sim.run_for(SECOND);
        world.sim.reopen(owner);
        world.sim.run_for(SECOND);
        let head = world.status(owner).head.unwrap();
        assert_eq!((head.size, head.root), (27, root));
        world.complete(follower, MINUTE);
        world.publish(3);
        world.complete(follower, MINUTE);
        assert!(world.status(follower).fork.is_none());
        assert!(
            world
                .sim
                .status(owner, log)
                .unwrap()
                .stopped_for_good
                .is_none()
        );
    }
}

#[test]
fn an_owner_loses_nothing_that_it_answered_for_whatever_the_crash() {
    for seed in 0..30 {
        let mut world = World::new(seed, 2, 0);
        let (owner, log) = (world.owner, world.log);
        let follower = world.follower(&[owner]);
        for _ in 0..6 {
            let count = 1 + world.sim.dice(9);
            world.publish(count);
            if world.sim.dice(2) == 0 {
                let wait = world.sim.dice(SECOND);
                world.sim.run_for(wait);
            }
            let unsynced = world.sim.store(owner).unsynced() as u64;
            let kept = world.sim.dice(unsynced + 1) as usize;
            world.sim.crash(owner, Crash::Power(kept));
            world.sim.reopen(owner);
            assert_eq!(world.adopted(owner), world.size);
            world.check(owner);
        }
        world.complete(follower, MINUTE);
        assert!(world.sim.status(follower, log).unwrap().fork.is_none());
    }
}

#[test]
fn what_cannot_be_published_is_refused_and_says_why() {
    let mut world = World::new(4, 8, 3);
    let (owner, log) = (world.owner, world.log);
    let follower = world.full_follower(&[owner]);
    let ask = |world: &mut World, node, log, records, expect_size| {
        let command = Command::Publish {
            log,
            records,
            expect_size,
        };
        let id = world.sim.command(node, command);
        world.sim.run_for(0);
        world.sim.reply(node, id).expect("it is answered").clone()
    };
    let one = || records(3, 4);
    let not_owner = ask(&mut world, follower, log, one(), None);
    assert_eq!(not_owner, Err(CommandError::NotOwner(log)));
    let nothing = LogId([7; 32]);
    let unknown = ask(&mut world, owner, nothing, one(), None);
    assert_eq!(unknown, Err(CommandError::UnknownStream(nothing)));
    let size = ask(&mut world, owner, log, one(), Some(2));
    let (found, expected) = (3, 2);
    assert_eq!(size, Err(CommandError::Size { found, expected }));
    let long = vec![record(3), Record::new(Timestamp(0), &[b'x'; 4097])];
    let value = ask(&mut world, owner, log, long, None);
    assert!(matches!(value, Err(CommandError::Value { place: 1, .. })));
    let no_text = vec![Record::new(Timestamp(0), b"\xff")];
    let value = ask(&mut world, owner, log, no_text, None);
    assert!(matches!(value, Err(CommandError::Value { place: 0, .. })));
    let many = vec![record(3); MAX_PUBLISH_RECORDS + 1];
    let too_many = ask(&mut world, owner, log, many, None);
    assert!(matches!(too_many, Err(CommandError::TooMany { .. })));
    assert_eq!(world.adopted(owner), 3);
    let published = Interval { from: 3, to: 4 };
    let right = ask(&mut world, owner, log, one(), Some(3));
    assert_eq!(right, Ok(Reply::Published(published)));
}

#[test]
fn a_stream_is_created_once_and_survives_the_loss_of_power_at_once() {
    let mut world = World::new(5, 3, 0);
    let (owner, log) = (world.owner, world.log);
    world.sim.crash(owner, Crash::Power(0));
    world.sim.reopen(owner);
    assert_eq!(world.adopted(owner), 0);
    let again = manifest(world.sim.key(owner), 3);
    assert_eq!(world.sim.create(owner, again), log);
    world.publish(4);
    assert_eq!(world.adopted(owner), 4);
}

#[test]
fn an_owner_that_lost_its_disk_does_not_begin_its_stream_anew() {
    let mut world = World::new(6, 3, 21);
    let (owner, log) = (world.owner, world.log);
    let follower = world.full_follower(&[owner]);
    world.sim.crash(owner, Crash::Process);
    // The same key on an empty disk, following its own stream.
    let key = world.sim.key(owner).clone();
    let wiped = world.sim.add_node_with_key(key.clone());
    world.sim.follow(wiped, log);
    world.sim.run_for(0);
    world.sim.connect(wiped, follower);
    world.complete(wiped, MINUTE);
    let create = Command::Create(Box::new(manifest(&key, 3)));
    let id = world.sim.command(wiped, create);
    world.sim.run_for(0);
    let refused = world.sim.reply(wiped, id);
    assert!(
        matches!(refused, Some(Err(CommandError::NotOpen(_)))),
        "{refused:?}"
    );
    world.check(wiped);
    world.sim.run_for(MINUTE);
    assert!(world.status(follower).fork.is_none());
    // Not after a restart either.
    world.sim.crash(wiped, Crash::Process);
    world.sim.reopen(wiped);
    let id = world.sim.publish(wiped, log, records(21, 22));
    world.sim.run_for(0);
    let refused = Some(&Err(CommandError::NotOwner(log)));
    assert_eq!(world.sim.reply(wiped, id), refused);
}

#[test]
fn a_stream_that_a_user_takes_over_is_the_nodes_own_also_if_the_disk_fails_just_then() {
    let mut world = World::new(6, 3, 21);
    let (owner, log) = (world.owner, world.log);
    let follower = world.full_follower(&[owner]);
    world.sim.crash(owner, Crash::Process);
    let key = world.sim.key(owner).clone();
    let heir = world.sim.add_node_with_key(key);
    world.sim.follow(heir, log);
    world.sim.run_for(0);
    world.sim.connect(heir, follower);
    world.complete(heir, MINUTE);
    let full = StoreError::Full("0 bytes left".to_owned());
    world.sim.store(heir).fail_while(Some(full));
    let none_is_larger = false;
    (world.sim).command(
        heir,
        Command::Reopen {
            log,
            none_is_larger,
        },
    );
    world.sim.run_for(SECOND);
    world.sim.store(heir).fail_while(None);
    world.sim.run_for(10 * SECOND);
    let is_taken_over = |world: &World| {
        let status = world.status(heir);
        status.owned && status.stopped.is_none() && status.reopening.is_some()
    };
    assert!(is_taken_over(&world), "{:?}", world.status(heir));
    world.sim.crash(heir, Crash::Process);
    world.sim.reopen(heir);
    world.sim.run_for(SECOND);
    assert!(is_taken_over(&world), "{:?}", world.status(heir));
}

#[test]
fn a_copy_of_an_owner_that_hears_of_more_than_it_has_closes_its_stream() {
    let mut world = World::new(7, 3, 21);
    let (owner, log) = (world.owner, world.log);
    let near = world.full_follower(&[owner]);
    let far = world.full_follower(&[near]);
    let key = world.sim.key(owner).clone();
    let copy = world.sim.add_node_with_key(key.clone());
    assert_eq!(world.sim.create(copy, manifest(&key, 3)), log);
    world.sim.connect(copy, far);
    world.sim.run_for(2 * SECOND);
    world.publish(1);
    world.sim.run_for(MINUTE);
    // It began to reopen it before that, and then heard of somebody else who
    // signs the stream.
    let reopening = world.status(copy).reopening;
    assert!(reopening.is_some_and(|reopening| reopening.why.contains("another node signs it")));
    let id = world.sim.publish(copy, log, records(22, 23));
    world.sim.run_for(SECOND);
    let refused = world.sim.reply(copy, id);
    assert!(matches!(refused, Some(Err(CommandError::NotOpen(_)))));
    assert_eq!(world.status(owner).stopped_for_good, None);
    assert_eq!(world.status(owner).reopening, None);
    assert!(world.status(near).fork.is_none());
}

#[test]
fn a_restored_owner_publishes_nothing_before_it_has_what_its_peers_know() {
    for seed in 0..10 {
        let mut world = World::new(seed, 3, 21);
        let (owner, log) = (world.owner, world.log);
        let follower = world.full_follower(&[owner]);
        let other = world.full_follower(&[owner]);
        world.sim.run_for(SECOND);
        let image = world.sim.store(owner).copy();
        world.publish(30);
        world.complete(follower, MINUTE);
        world.complete(other, MINUTE);
        world.sim.crash(owner, Crash::Process);
        world.sim.restore(owner, image);
        world.sim.reopen(owner);
        let id = world.sim.publish(owner, log, records(21, 22));
        world.sim.run_for(0);
        let refused = world.sim.reply(owner, id);
        assert!(matches!(refused, Some(Err(CommandError::NotOpen(_)))));
        let reopened = world.sim.run_while(MINUTE, |sim| {
            sim.status(owner, log).unwrap().reopening.is_some()
        });
        assert!(reopened, "{}", world.summary(owner));
        assert_eq!(world.adopted(owner), 51);
        world.check(owner);
        world.publish(5);
        world.complete(follower, MINUTE);
        let reader = world.full_follower(&[owner]);
        assert!(world.status(follower).fork.is_none());
        assert!(world.status(reader).fork.is_none());
        assert!(world.sim.accusations().is_empty());
        // What was reopened is there after the loss of power.
        world.sim.crash(owner, Crash::Power(0));
        world.sim.reopen(owner);
        assert_eq!(world.status(owner).reopening, None);
        world.publish(2);
        world.complete(follower, MINUTE);
    }
}

#[test]
fn a_restored_owner_without_peers_waits_for_its_user() {
    let mut world = World::new(8, 3, 21);
    let (owner, log) = (world.owner, world.log);
    let image = world.sim.store(owner).copy();
    world.sim.crash(owner, Crash::Process);
    world.sim.restore(owner, image);
    world.sim.reopen(owner);
    world.sim.run_for(10 * MINUTE);
    assert!(world.status(owner).reopening.is_some());
    // Not forgotten when it is started once more.
    world.sim.crash(owner, Crash::Process);
    world.sim.reopen(owner);
    world.sim.run_for(10 * MINUTE);
    assert!(world.status(owner).reopening.is_some());
    let none_is_larger = Command::Reopen {
        log,
        none_is_larger: true,
    };
    let id = world.sim.command(owner, none_is_larger);
    world.sim.run_for(0);
    assert_eq!(world.sim.reply(owner, id), Some(&Ok(Reply::Done)));
    assert_eq!(world.status(owner).reopening, None);
    world.publish(3);
    let follower = world.full_follower(&[owner]);
    world.sim.crash(owner, Crash::Power(0));
    world.sim.reopen(owner);
    world.publish(3);
    world.complete(follower, MINUTE);
}

#[test]
fn an_owner_that_does_not_know_that_it_was_restored_hears_it_from_its_peers() {
    let mut world = World::new(9, 3, 21);
    let (owner, log) = (world.owner, world.log);
    let follower = world.full_follower(&[owner]);
    let other = world.full_follower(&[owner]);
    world.sim.run_for(SECOND);
    let image = world.sim.store(owner).copy();
    world.publish(30);
    world.complete(follower, MINUTE);
    world.complete(other, MINUTE);
    world.sim.crash(owner, Crash::Process);
    world.sim.restore(owner, image);
    world.sim.forget_that_it_was_restored(owner);
    world.sim.reopen(owner);
    assert_eq!(world.status(owner).reopening, None);
    let stopped = world.sim.run_while(MINUTE, |sim| {
        sim.status(owner, log).unwrap().reopening.is_none()
    });
    assert!(stopped, "{}", world.summary(owner));
    let reopened = world.sim.run_while(MINUTE, |sim| {
        sim.status(owner, log).unwrap().reopening.is_some()
    });
    assert!(reopened, "{}", world.summary(owner));
    assert_eq!(world.adopted(owner), 51);
    world.publish(5);
    world.complete(follower, MINUTE);
    assert!(world.status(follower).fork.is_none());
}

#[test]
fn a_publish_that_is_sent_again_after_any_crash_is_done_once() {
    let request = |name: u8, content: u8| RequestKey {
        name: [name; 32],
        content: [content; 32],
    };
    for seed in 0..20_u64 {
        let mut world = World::new(seed, 3, 5);
        let (owner, log) = (world.owner, world.log);
        let once = |world: &mut World, key: RequestKey| {
            let publish = Command::PublishOnce {
                log,
                records: records(100, 103),
                expect_size: None,
                request: key,
            };
            world.sim.command(owner, publish)
        };
        let done = Ok(Reply::Published(Interval { from: 5, to: 8 }));
        // Two of one commit are one.
        let ids = [1, 1].map(|content| once(&mut world, request(7, content)));
        let other = once(&mut world, request(7, 2));
        world.sim.run_for(0);
        for id in ids {
            assert_eq!(world.sim.reply(owner, id), Some(&done));
        }
        let refused = Err(CommandError::Repeated);
        assert_eq!(world.sim.reply(owner, other), Some(&refused));
        world
            .sim
            .crash(owner, Crash::Power(usize::from(seed % 2 == 0)));
        world.sim.reopen(owner);
        world.sim.run_for(SECOND);
        let again = once(&mut world, request(7, 1));
        let other = once(&mut world, request(7, 2));
        world.sim.run_for(0);
        assert_eq!(world.sim.reply(owner, again), Some(&done));
        assert_eq!(world.sim.reply(owner, other), Some(&refused));
        assert_eq!(world.adopted(owner), 8);

        // One whose sync fails was not done, or was, and is known either way.
        world
            .sim
            .store(owner)
            .fail_after(0, StoreError::Unclear("fsync failed".to_owned()));
        let lost = once(&mut world, request(8, 1));
        world.sim.run_for(0);
        assert!(world.sim.reply(owner, lost).unwrap().is_err());
        world
            .sim
            .crash(owner, Crash::Power(usize::from(seed % 3 == 0)));
        world.sim.reopen(owner);
        world.sim.run_for(SECOND);
        let again = once(&mut world, request(8, 1));
        world.sim.run_for(0);
        let next = Ok(Reply::Published(Interval { from: 8, to: 11 }));
        assert_eq!(world.sim.reply(owner, again), Some(&next));
        assert_eq!(world.adopted(owner), 11);
    }
}
