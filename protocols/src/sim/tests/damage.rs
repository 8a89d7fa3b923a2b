//! Disks that damage what was written.

use bytes::Bytes;

use super::*;
use crate::engine::{Command, CommandError, Reply};
use crate::ranges::Interval;
use crate::store::Table;
use crate::store::audit::Audit;
use crate::store::tables::OF_LOGS;

/// What becomes of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// They cannot be read.
    Unreadable,
    /// They are gone.
    Gone,
    /// One bit of each is another one.
    Flipped,
    /// Half of each is left.
    Cut,
}

const WAYS: [Way; 4] = [Way::Unreadable, Way::Gone, Way::Flipped, Way::Cut];

/// Damages the rows of a table that `which` chooses by their keys.
fn damage(sim: &Sim, node: NodeId, table: Table, way: Way, which: impl Fn(&[u8]) -> bool) -> usize {
    let store = sim.store(node);
    match way {
        Way::Unreadable => store.damage(table, which),
        Way::Gone => store.falsify(table, which, |_| None),
        Way::Cut => store.falsify(table, which, |row| Some(row.slice(..row.len() / 2))),
        Way::Flipped => store.falsify(table, which, |row| {
            let mut row = row.to_vec();
            let middle = row.len() / 2;
            if let Some(byte) = row.get_mut(middle) {
                *byte ^= 4;
            }
            Some(Bytes::from(row))
        }),
    }
}

fn all(_: &[u8]) -> bool {
    true
}

fn everything() -> Interval {
    Interval {
        from: 0,
        to: u64::MAX,
    }
}

/// All rows of a node's log are what they should be, and prove each other.
fn assert_in_order(world: &World, node: NodeId) {
    let status = world.status(node);
    let (key, head) = (status.key.unwrap(), status.head.unwrap());
    let held = status.held.iter().copied().collect();
    let mut audit = Audit::new(&**world.sim.store(node), key, &held, head.tree());
    for chunk in 0..=key.chunk_of(head.size) {
        audit.chunk(chunk).unwrap();
    }
    let findings = audit.finish().unwrap();
    assert!(findings.is_clean(), "{findings:?}");
    assert_eq!(findings.records, world.size, "{}", world.summary(node));
    assert_eq!(status.damage, None);
    world.check(node);
}

#[test]
fn a_chunk_that_a_peer_asks_for_in_vain_is_dropped_and_fetched_again_and_nobody_is_banned() {
    for way in [Way::Unreadable, Way::Gone] {
        let mut world = World::new(1, 2, 103);
        let owner = world.owner;
        let follower = world.full_follower(&[owner]);
        world.sim.cut(owner, follower);
        assert_eq!(
            damage(&world.sim, follower, Table::Chunks, way, |key| key
                .ends_with(&[7])),
            1
        );
        let late = world.follower(&[follower]);
        world.sim.run_for(MINUTE);
        let status = world.status(follower);
        let lost = status.damage.expect("it was found");
        assert_eq!((lost.records, lost.first), (4, 28), "{way:?}");
        assert_eq!(status.held_records, 99);
        assert!(status.synced_size <= 28, "{}", world.summary(follower));
        assert_eq!(world.status(late).held_records, 99);
        world.sim.connect(follower, owner);
        world.complete(follower, 10 * SECOND);
        world.complete(late, MINUTE);
        assert_in_order(&world, follower);
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn whatever_rows_are_damaged_while_a_follower_runs_all_of_them_come_back() {
    for table in OF_LOGS {
        for way in WAYS {
            let mut world = World::new(2, 3, 203);
            let owner = world.owner;
            let follower = world.full_follower(&[owner]);
            let damaged = damage(&world.sim, follower, table, way, all);
            assert!(damaged > 0 || table == Table::Edges, "{table:?}");
            world.sim.suspect(follower, world.log, everything());
            world.sim.run_for(SECOND);
            world.complete(follower, 10 * SECOND);
            assert_in_order(&world, follower);
            world.publish(5);
            world.complete(follower, 10 * SECOND);
            world.sim.crash(follower, Crash::Process);
            world.sim.reopen(follower);
            world.complete(follower, 10 * SECOND);
            assert_in_order(&world, follower);
            assert!(world.sim.accusations().is_empty());
        }
    }
}

#[test]
fn whatever_rows_are_damaged_a_follower_starts_and_gets_back_what_is_missing() {
    for table in Table::ALL {
        for way in WAYS {
            let mut world = World::new(3, 3, 203);
            let owner = world.owner;
            let follower = world.full_follower(&[owner]);
            world.sim.crash(follower, Crash::Process);
            damage(&world.sim, follower, table, way, all);
            if way == Way::Gone {
                world.sim.lost_rows(follower);
            }
            world.sim.reopen(follower);
            assert!(
                world.sim.status(follower, world.log).is_some(),
                "{table:?} {way:?}"
            );
            world.sim.suspect(follower, world.log, everything());
            world.sim.run_for(SECOND);
            world.complete(follower, MINUTE);
            world.sim.suspect(follower, world.log, everything());
            world.sim.run_for(SECOND);
            assert_in_order(&world, follower);
            world.sim.crash(follower, Crash::Process);
            world.sim.reopen(follower);
            world.complete(follower, MINUTE);
            assert_in_order(&world, follower);
            assert!(world.sim.accusations().is_empty());
        }
    }
}

#[test]
fn damage_of_one_stream_leaves_the_others_alone() {
    for table in Table::ALL {
        let mut world = World::new(4, 3, 100);
        let owner = world.owner;
        let manifest = Manifest {
            name: "other".to_owned(),
            ..manifest(world.sim.key(owner), 3)
        };
        let other = world.sim.create(owner, manifest);
        let id = world.sim.publish(owner, other, records(0, 50));
        world.sim.run_for(0);
        assert!(world.sim.reply(owner, id).unwrap().is_ok());
        let follower = world.follower(&[owner]);
        world.sim.follow(follower, other);
        world.complete(follower, MINUTE);
        world.sim.run_for(MINUTE);
        let number = world.status(follower).key.unwrap().number;
        let log = world.log;
        let is_of_it = move |key: &[u8]| key.starts_with(&number.to_be_bytes()) || key == log.0;
        world.sim.cut(owner, follower);
        world.sim.crash(follower, Crash::Process);
        damage(&world.sim, follower, table, Way::Unreadable, is_of_it);
        world.sim.reopen(follower);
        let status = world.sim.status(follower, other).unwrap();
        assert_eq!(
            (status.held_records, status.synced_size, status.damage),
            (50, 50, None)
        );
        check_held(&world.sim, follower, other, record);
        assert!(world.sim.status(follower, log).is_some());
    }
}

#[test]
fn a_damaged_stream_is_deleted_and_followed_again() {
    for table in OF_LOGS {
        let mut world = World::new(5, 3, 203);
        let owner = world.owner;
        let follower = world.full_follower(&[owner]);
        damage(&world.sim, follower, table, Way::Unreadable, all);
        let (log, own) = (world.log, false);
        let id = world.sim.command(follower, Command::Delete { log, own });
        world.sim.run_for(SECOND);
        assert_eq!(world.sim.reply(follower, id), Some(&Ok(Reply::Done)));
        world.sim.follow(follower, world.log);
        world.sim.run_for(0);
        world.complete(follower, MINUTE);
        assert_in_order(&world, follower);
    }
}

#[test]
fn an_owner_gets_its_own_chunks_back_and_publishes_meanwhile_or_not() {
    for (way, published) in WAYS.into_iter().flat_map(|way| [(way, 0), (way, 6)]) {
        let mut world = World::new(6, 2, 103);
        let owner = world.owner;
        let follower = world.full_follower(&[owner]);
        world.sim.cut(owner, follower);
        damage(&world.sim, owner, Table::Chunks, way, |key| {
            key.ends_with(&[3])
        });
        damage(&world.sim, owner, Table::Records, way, all);
        world.sim.suspect(owner, world.log, everything());
        world.sim.run_for(SECOND);
        let lost = world.status(owner).damage.expect("it was found");
        assert_eq!((lost.records, lost.first), (7, 12), "{way:?}");
        if published > 0 {
            world.publish(published);
        }
        world.sim.connect(owner, follower);
        world.complete(owner, 10 * SECOND);
        world.complete(follower, 10 * SECOND);
        world.sim.run_for(SECOND);
        let status = world.status(owner);
        assert_eq!(status.synced_size, world.size, "{way:?} {published}");
        world.publish(1);
        world.sim.suspect(owner, world.log, everything());
        world.sim.run_for(SECOND);
        assert_in_order(&world, owner);
        assert_eq!(world.status(owner).fork, None);
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn what_follows_from_the_records_needs_no_peer() {
    for table in [
        Table::Nodes,
        Table::Times,
        Table::Held,
        Table::Heads,
        Table::Logs,
    ] {
        for way in WAYS {
            // Nodes that are false, and that the disk vouches for, cannot be told from
            // false records.
            if (table, way) == (Table::Nodes, Way::Flipped) {
                continue;
            }
            let mut world = World::new(7, 2, 103);
            let owner = world.owner;
            damage(&world.sim, owner, table, way, all);
            world.sim.suspect(owner, world.log, everything());
            world.sim.run_for(SECOND);
            let after = world.summary(owner);
            assert!(world.is_complete(owner), "{table:?} {way:?}: {after}");
            assert_in_order(&world, owner);
            world.publish(3);
            assert_in_order(&world, owner);
            world.sim.crash(owner, Crash::Process);
            world.sim.reopen(owner);
            world.publish(3);
            assert_in_order(&world, owner);
        }
    }
}

#[test]
fn an_append_that_meets_damage_goes_on_without_what_is_lost() {
    let mut world = World::new(8, 2, 103);
    let owner = world.owner;
    damage(&world.sim, owner, Table::Records, Way::Unreadable, all);
    world.publish(30);
    let lost = world.status(owner).damage.expect("it was found");
    assert_eq!((lost.records, lost.first), (3, 100));
    assert_eq!(world.status(owner).held_records, 130);
    world.sim.crash(owner, Crash::Process);
    world.sim.reopen(owner);
    world.publish(1);
    assert_eq!(world.status(owner).stopped_for_good, None);
}

#[test]
fn whatever_rows_an_owner_starts_without_it_does_not_fork_its_stream() {
    for table in Table::ALL {
        for way in WAYS {
            for connected in [false, true] {
                let mut world = World::new(9, 3, 203);
                let owner = world.owner;
                let follower = world.full_follower(&[owner]);
                world.sim.crash(owner, Crash::Process);
                damage(&world.sim, owner, table, way, all);
                if way == Way::Gone {
                    world.sim.lost_rows(owner);
                }
                world.sim.reopen(owner);
                if connected {
                    world.sim.run_for(MINUTE);
                } else {
                    world.sim.cut(owner, follower);
                }
                let id = world.sim.publish(owner, world.log, records(203, 210));
                world.sim.run_for(SECOND);
                let reply = world.sim.reply(owner, id).unwrap().clone();
                match reply {
                    Ok(Reply::Published(published)) => assert_eq!(published.from, 203),
                    Ok(other) => panic!("{other:?}"),
                    Err(CommandError::NotOpen(_) | CommandError::NotOwner(_)) => {}
                    Err(error) => panic!("{table:?} {way:?} {connected}: {error}"),
                }
                world.sim.connect(owner, follower);
                world.sim.run_for(2 * MINUTE);
                assert_eq!(world.status(follower).fork, None, "{table:?} {way:?}");
                assert_eq!(world.status(owner).fork, None, "{table:?} {way:?}");
                assert!(world.sim.accusations().is_empty(), "{table:?} {way:?}");
            }
        }
    }
}

#[test]
fn streams_whose_rows_and_heads_are_lost_together_are_still_known_and_come_back() {
    for way in WAYS {
        let mut world = World::new(10, 2, 103);
        let owner = world.owner;
        let follower = world.full_follower(&[owner]);
        world.sim.crash(follower, Crash::Process);
        for table in [Table::Logs, Table::Heads] {
            damage(&world.sim, follower, table, way, all);
        }
        world.sim.lost_rows(follower);
        world.sim.reopen(follower);
        let status = world.status(follower);
        let what = status.damage.and_then(|damage| damage.what);
        assert!(status.followed && what.is_some(), "{way:?}: {what:?}");
        world.complete(follower, MINUTE);
        assert_in_order(&world, follower);
        for _ in 0..2 {
            world.sim.crash(follower, Crash::Process);
            world.sim.reopen(follower);
            world.publish(5);
            world.complete(follower, MINUTE);
        }
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn an_owner_without_rows_heads_and_mark_waits_for_its_followers() {
    for way in [Way::Unreadable, Way::Gone] {
        let mut world = World::new(11, 2, 103);
        let owner = world.owner;
        let follower = world.full_follower(&[owner]);
        world.sim.crash(owner, Crash::Process);
        for table in [Table::Logs, Table::Heads] {
            damage(&world.sim, owner, table, way, all);
        }
        world.sim.set_marks(owner, None);
        world.sim.lost_rows(owner);
        world.sim.reopen(owner);
        let status = world.status(owner);
        assert!(status.owned && status.reopening.is_some(), "{way:?}");
        world.complete(owner, MINUTE);
        assert!(world.status(owner).reopening.is_some());
        let command = Command::Reopen {
            log: world.log,
            none_is_larger: true,
        };
        world.sim.command(owner, command);
        world.sim.run_for(SECOND);
        world.publish(3);
        world.complete(follower, MINUTE);
        assert_eq!(world.status(follower).fork, None);
    }
}
