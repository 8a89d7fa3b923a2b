//! Disks that are full, or fail: what cannot be written stops, and goes on by
//! itself; nobody signs two trees, whatever the disk has kept.

use super::*;
use crate::engine::CommandError;
use crate::ranges::Interval;
use crate::store::{StoreError, Table};

fn full() -> StoreError {
    StoreError::Full("0 bytes left".to_owned())
}

#[test]
fn an_owner_whose_disk_is_full_stops_and_goes_on_by_itself_when_there_is_room() {
    for seed in 0..5 {
        let mut world = World::new(seed, 3, 21);
        let (owner, log) = (world.owner, world.log);
        let follower = world.full_follower(&[owner]);
        world.sim.store(owner).fail_while(Some(full()));
        let id = world
            .sim
            .publish(owner, log, vec![Record::new(Timestamp(0), b"lost")]);
        world.sim.run_for(MINUTE);
        let error = CommandError::Store(full());
        assert_eq!(world.sim.reply(owner, id), Some(&Err(error)));
        let status = world.status(owner);
        assert_eq!(status.stopped_for_good, None);
        assert!(status.stopped.is_some_and(|(why, _)| why.contains("full")));
        assert_eq!((world.adopted(owner), world.adopted(follower)), (21, 21));
        let id = world.sim.publish(owner, log, records(21, 22));
        world.sim.run_for(0);
        let refused = Err(CommandError::Stopped(full()));
        assert_eq!(world.sim.reply(owner, id), Some(&refused));
        assert_eq!(world.adopted(owner), 21);
        // What it has is served all the same.
        let reader = world.full_follower(&[owner]);

        world.sim.store(owner).fail_while(None);
        world.sim.run_for(6 * SECOND);
        assert_eq!(world.status(owner).stopped, None);
        world.publish(8);
        world.complete(follower, MINUTE);
        world.complete(reader, MINUTE);
        assert!(world.status(follower).fork.is_none());
    }
}

/// As when table files cannot be written: the engine, which has nothing to write while
/// there is no room, would never find out, and what the others wait for would not end.
#[test]
fn a_failure_that_others_find_is_seen_to_although_nothing_is_written() {
    let mut world = World::new(6, 3, 21);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    world.sim.store(follower).fail_while(Some(full()));
    world.sim.store_failed(follower, full());
    world.sim.run_for(SECOND);
    let status = world.status(follower);
    assert!(status.stopped.is_some_and(|(why, _)| why.contains("full")));
    world.sim.store(follower).fail_while(None);
    world.sim.run_for(6 * SECOND);
    assert_eq!(world.status(follower).stopped, None);
    world.publish(8);
    world.complete(follower, MINUTE);
}

#[test]
fn an_owner_of_whose_write_nobody_knows_reads_it_back_before_it_signs_again() {
    let (mut written, mut lost) = (0, 0);
    for seed in 0..40_u64 {
        let mut world = World::new(seed, 3, 21);
        let (owner, log) = (world.owner, world.log);
        let follower = world.full_follower(&[owner]);
        let unclear = StoreError::Unclear("fsync failed".to_owned());
        // The records themselves, or the head that is signed for them.
        let (commits, count) = (seed % 2, 1 + seed % 9);
        (world.sim.store(owner)).fail_after(commits, unclear.clone());
        let id = world.sim.publish(owner, log, records(21, 21 + count));
        world.sim.run_for(0);
        match commits {
            0 => {
                let failed = Err(CommandError::Store(unclear));
                assert_eq!(world.sim.reply(owner, id), Some(&failed));
                assert_eq!(world.adopted(owner), 21, "nothing was signed");
            }
            _ => assert!(matches!(world.sim.reply(owner, id), Some(Ok(_)))),
        }
        assert!(world.status(owner).stopped.is_some());
        if seed % 3 == 0 {
            let unsynced = world.sim.store(owner).unsynced() as u64;
            let kept = world.sim.dice(unsynced + 1) as usize;
            world.sim.crash(owner, Crash::Power(kept));
            world.sim.reopen(owner);
        }
        world.sim.run_for(6 * SECOND);
        assert_eq!(world.status(owner).stopped, None);
        assert_eq!(world.status(owner).stopped_for_good, None);
        let size = world.adopted(owner);
        assert!(size == 21 && commits == 0 || size == 21 + count, "{size}");
        written += usize::from(size > 21);
        lost += usize::from(size == 21);
        world.size = size;
        world.check(owner);
        world.complete(follower, MINUTE);
        world.publish(8);
        world.complete(follower, MINUTE);
        let reader = world.full_follower(&[owner]);
        assert!(world.status(follower).fork.is_none());
        assert!(world.status(reader).fork.is_none());
    }
    assert!(written > 0 && lost > 0, "{written} written, {lost} lost");
}

#[test]
fn an_owner_whose_disk_lost_what_was_acknowledged_signs_nothing_before_peers_gave_it_back() {
    let mut world = World::new(10, 3, 21);
    let (owner, log) = (world.owner, world.log);
    let follower = world.full_follower(&[owner]);
    let image = world.sim.store(owner).copy();
    world.publish(9);
    world.complete(follower, MINUTE);
    // A failing disk says that it has something, and then it has not.
    world.sim.store(owner).fail_while(Some(full()));
    world.sim.publish(owner, log, records(30, 31));
    world.sim.run_for(SECOND);
    world.sim.store(owner).become_copy_of(&image);
    world.sim.store(owner).fail_while(None);
    let opened = world.sim.run_while(6 * SECOND, |sim| {
        sim.status(owner, log).unwrap().stopped.is_some()
    });
    assert!(opened, "{}", world.summary(owner));
    let status = world.status(owner);
    assert!(status.reopening.is_some(), "{status:?}");
    let id = world.sim.publish(owner, log, records(21, 22));
    world.sim.run_for(0);
    let refused = world.sim.reply(owner, id);
    assert!(matches!(refused, Some(Err(CommandError::NotOpen(_)))));
    let reopened = world.sim.run_while(MINUTE, |sim| {
        sim.status(owner, log).unwrap().reopening.is_some()
    });
    assert!(reopened, "{}", world.summary(owner));
    world.publish(3);
    world.complete(follower, MINUTE);
    assert!(world.status(follower).fork.is_none());
}

#[test]
fn an_owner_that_starts_on_a_full_disk_serves_what_it_has_and_opens_when_there_is_room() {
    let mut world = World::new(11, 3, 21);
    let (owner, log) = (world.owner, world.log);
    world.publish(5);
    world.sim.crash(owner, Crash::Power(0));
    world.sim.store(owner).fail_while(Some(full()));
    world.sim.reopen(owner);
    world.sim.run_for(MINUTE);
    assert!(world.status(owner).stopped.is_some());
    let id = world.sim.publish(owner, log, records(26, 27));
    world.sim.run_for(0);
    let refused = Err(CommandError::Stopped(full()));
    assert_eq!(world.sim.reply(owner, id), Some(&refused));
    world.sim.store(owner).fail_while(None);
    world.sim.run_for(6 * SECOND);
    assert_eq!(world.adopted(owner), 26);
    world.publish(1);
    world.full_follower(&[owner]);
}

#[test]
fn a_follower_whose_disk_is_full_goes_on_by_itself_when_there_is_room() {
    for seed in 0..10 {
        let mut world = World::new(seed, 3, 400);
        let owner = world.owner;
        let follower = world.follower(&[owner]);
        let commits = world.sim.dice(12);
        world.sim.store(follower).fail_after(commits, full());
        world.sim.run_for(200_000);
        world.sim.store(follower).fail_while(Some(full()));
        world.publish(30);
        world.sim.run_for(MINUTE);
        assert!(world.status(follower).stopped.is_some());
        assert!(!world.is_complete(follower));
        world.sim.store(follower).fail_while(None);
        world.complete(follower, 30 * SECOND);
        assert_eq!(world.status(follower).stopped, None);
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn an_owner_whose_sync_fails_goes_on_without_a_fork_after_a_restart_too() {
    for seed in 0..5 {
        let mut world = World::new(seed, 3, 21);
        let (owner, log) = (world.owner, world.log);
        let follower = world.full_follower(&[owner]);
        world.sim.store(owner).fail_after(0, full());
        world
            .sim
            .publish(owner, log, vec![Record::new(Timestamp(0), b"lost")]);
        world.sim.run_for(0);
        assert!(world.status(owner).stopped.is_some());
        assert_eq!((world.adopted(owner), world.adopted(follower)), (21, 21));
        world
            .sim
            .crash(owner, Crash::Power(usize::from(seed % 2 == 0)));
        world.sim.reopen(owner);
        world.sim.run_for(SECOND);
        assert!(world.status(owner).stopped_for_good.is_none());
        world.publish(8);
        world.complete(follower, MINUTE);
        assert!(world.status(follower).fork.is_none());
    }
}

#[test]
fn an_owner_whose_head_cannot_be_stored_stops_and_signs_it_after_a_restart() {
    let mut world = World::new(3, 3, 21);
    let (owner, log) = (world.owner, world.log);
    let follower = world.full_follower(&[owner]);
    world.sim.store(owner).fail_after(1, full());
    world.sim.publish(owner, log, records(21, 30));
    world.sim.run_for(0);
    assert!(world.status(owner).stopped.is_some());
    world.sim.crash(owner, Crash::Power(0));
    world.sim.reopen(owner);
    world.size = 30;
    world.complete(follower, MINUTE);
    world.publish(2);
    world.complete(follower, MINUTE);
    assert!(world.status(follower).fork.is_none());
}

#[test]
fn what_is_damaged_while_the_disk_is_full_is_brought_in_order_when_there_is_room() {
    for table in Table::ALL {
        let mut world = World::new(12, 3, 203);
        let (owner, log) = (world.owner, world.log);
        let follower = world.full_follower(&[owner]);
        for node in [owner, follower] {
            world.sim.store(node).fail_while(Some(full()));
        }
        world.sim.publish(owner, log, records(203, 204));
        world.sim.run_for(SECOND);
        for node in [owner, follower] {
            world.sim.store(node).damage(table, |_| true);
            let all = Interval {
                from: 0,
                to: u64::MAX,
            };
            world.sim.suspect(node, log, all);
        }
        world.sim.run_for(MINUTE);
        assert!(world.status(owner).stopped.is_some(), "{table:?}");
        assert_eq!(world.adopted(owner), 203);
        // One after the other, or nobody has what is missing.
        world.sim.store(owner).fail_while(None);
        world.sim.run_for(6 * SECOND);
        assert_eq!(world.status(owner).stopped, None, "{table:?}");
        assert!(world.adopted(owner) >= 203, "{table:?}");
        world.sim.store(follower).fail_while(None);
        world.sim.run_for(6 * SECOND);
        assert_eq!(world.status(follower).stopped, None, "{table:?}");
        for node in [owner, follower] {
            assert_eq!(world.status(node).stopped_for_good, None, "{table:?}");
            assert!(world.status(node).fork.is_none(), "{table:?}");
        }
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn a_damaged_store_on_a_full_disk_is_opened_and_brought_in_order_when_there_is_room() {
    for table in Table::ALL {
        let mut world = World::new(13, 3, 203);
        let (owner, log) = (world.owner, world.log);
        let follower = world.full_follower(&[owner]);
        for node in [owner, follower] {
            world.sim.crash(node, Crash::Process);
            world.sim.store(node).fail_while(Some(full()));
        }
        world.sim.store(owner).damage(table, |_| true);
        for node in [owner, follower] {
            world.sim.reopen(node);
        }
        world.sim.connect(owner, follower);
        world.sim.run_for(MINUTE);
        if let Some(status) = world.sim.status(owner, log) {
            assert!(status.stopped.is_some(), "{table:?}");
        }
        for node in [owner, follower] {
            world.sim.store(node).fail_while(None);
        }
        world.sim.run_for(MINUTE);
        let status = world.sim.status(owner, log).expect("it is known again");
        assert_eq!(
            (status.stopped, status.stopped_for_good),
            (None, None),
            "{table:?}"
        );
        assert!(status.fork.is_none());
        if status.reopening.is_none() {
            world.publish(3);
            assert_eq!(world.adopted(owner), 206, "{table:?}");
            world.complete(follower, MINUTE);
        }
        assert!(world.status(follower).fork.is_none());
    }
}
