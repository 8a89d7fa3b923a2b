//! Streams that are closed for good, and owners who go on all the same.

use super::*;
use crate::engine::{Command, CommandError, Reply};
use crate::head::Closing;
use crate::log::ForkProof;
use crate::store::tables::{HeadKind, head_key};
use crate::store::{Batch, Durability, MemoryStore, Store, Table};

const NEXT: LogId = LogId([0xab; 32]);
const OTHER: LogId = LogId([0xcd; 32]);

fn close(
    sim: &mut Sim,
    node: NodeId,
    log: LogId,
    successor: Option<LogId>,
) -> Result<Reply, CommandError> {
    let id = sim.command(node, Command::Close { log, successor });
    sim.run_for(0);
    sim.reply(node, id).expect("it is answered").clone()
}

fn try_publish(sim: &mut Sim, node: NodeId, log: LogId) -> Result<Reply, CommandError> {
    let id = sim.publish(node, log, records(0, 1));
    sim.run_for(0);
    sim.reply(node, id).expect("it is answered").clone()
}

fn closing(sim: &Sim, node: NodeId, log: LogId) -> Option<Closing> {
    sim.status(node, log)
        .unwrap()
        .head
        .and_then(|head| head.closing)
}

/// A node has a proof that anybody can check, by which so many records count.
fn assert_disputed_from(sim: &Sim, node: NodeId, log: LogId, from: u64) {
    let status = sim.status(node, log).unwrap();
    let proof = status
        .fork
        .unwrap_or_else(|| panic!("{node:?} knows of no fork"));
    let manifest = status.manifest.unwrap();
    let checked = ForkProof::verify(proof.to_wire(), log, &manifest).unwrap();
    assert_eq!(checked, *proof);
    assert_eq!(status.disputed_from, Some(from), "{node:?}");
    assert!(sim.accusations().is_empty(), "{:?}", sim.accusations());
}

/// Somebody who has the owner's key and everything that the owner had, unknown to it.
fn thief(world: &mut World) -> NodeId {
    let key = world.sim.key(world.owner).clone();
    let thief = world.sim.add_node_with_key(key.clone());
    let log = world.sim.create(thief, manifest(&key, 3));
    assert_eq!(log, world.log);
    world.sim.publish(thief, log, records(0, world.size));
    world.sim.run_for(0);
    thief
}

#[test]
fn a_closed_stream_ends_for_all_and_for_good() {
    for successor in [None, Some(NEXT)] {
        let mut world = World::new(1, 3, 20);
        let (owner, log) = (world.owner, world.log);
        let early = world.full_follower(&[owner]);
        // What waits for its commit comes before the end.
        let waiting = world.sim.publish(owner, log, records(20, 25));
        assert_eq!(
            close(&mut world.sim, owner, log, successor),
            Ok(Reply::Done)
        );
        assert!(matches!(
            world.sim.reply(owner, waiting),
            Some(Ok(Reply::Published(_)))
        ));
        world.size = 25;
        let late = world.full_follower(&[early]);
        world.complete(early, MINUTE);
        let ended = Err(CommandError::Ended { log, successor });
        let head = world.status(owner).head;
        // It is no other one after hours, and not after a loss of power either.
        for how in [None, Some(Crash::Process), Some(Crash::Power(0))] {
            if let Some(how) = how {
                world.sim.crash(owner, how);
                world.sim.reopen(owner);
            }
            world.sim.run_for(120 * MINUTE);
            assert_eq!(try_publish(&mut world.sim, owner, log), ended);
            for node in [owner, early, late] {
                assert_eq!(world.status(node).head, head);
                assert_eq!(closing(&world.sim, node, log), Some(Closing { successor }));
                assert!(world.status(node).fork.is_none());
            }
        }
        // Once more is the same; with another word it is refused.
        assert_eq!(
            close(&mut world.sim, owner, log, successor),
            Ok(Reply::Done)
        );
        assert_eq!(close(&mut world.sim, owner, log, Some(OTHER)), ended);
        assert_eq!(world.status(owner).head, head);
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn an_end_survives_the_loss_of_power_in_the_moment_in_which_it_was_said() {
    let mut world = World::new(12, 3, 20);
    let (owner, log) = (world.owner, world.log);
    assert_eq!(
        close(&mut world.sim, owner, log, Some(NEXT)),
        Ok(Reply::Done)
    );
    world.sim.crash(owner, Crash::Power(0));
    world.sim.reopen(owner);
    let successor = Some(NEXT);
    assert_eq!(closing(&world.sim, owner, log), Some(Closing { successor }));
}

#[test]
fn an_empty_stream_can_be_closed_and_no_stream_continues_itself() {
    let mut world = World::new(2, 3, 0);
    let (owner, log) = (world.owner, world.log);
    let itself = close(&mut world.sim, owner, log, Some(log));
    assert_eq!(itself, Err(CommandError::OwnSuccessor));
    let follower = world.follower(&[owner]);
    let not_ours = close(&mut world.sim, follower, log, None);
    assert_eq!(not_ours, Err(CommandError::NotOwner(log)));
    assert_eq!(close(&mut world.sim, owner, log, None), Ok(Reply::Done));
    world.sim.run_for(MINUTE);
    assert_eq!(
        closing(&world.sim, follower, log),
        Some(Closing { successor: None })
    );
}

#[test]
fn what_a_thief_closes_while_its_owner_goes_on_is_proof_and_the_closed_tree_counts() {
    // How many more the owner publishes before anybody hears of the end.
    for (seed, more) in (0..).zip([1, 7, 40]) {
        let mut world = World::new(seed, 3, 20);
        let (owner, log) = (world.owner, world.log);
        let of_owner = world.full_follower(&[owner]);
        let behind = world.full_follower(&[owner]);
        world.sim.cut(behind, owner);
        world.publish(more);
        world.complete(of_owner, MINUTE);
        world.size = 20;
        let thief = thief(&mut world);
        assert_eq!(
            close(&mut world.sim, thief, log, Some(NEXT)),
            Ok(Reply::Done)
        );
        let of_thief = world.full_follower(&[thief]);
        // Offline meanwhile: it has neither.
        world.sim.connect(of_thief, of_owner);
        world.sim.connect(behind, of_thief);
        world.sim.run_for(MINUTE);
        for node in [of_owner, of_thief, behind, owner, thief] {
            assert_disputed_from(&world.sim, node, log, 20);
        }
        // Who comes later gets what counts.
        let late = world.follower(&[of_owner]);
        world.sim.run_for(MINUTE);
        assert_disputed_from(&world.sim, late, log, 20);
        assert!(world.status(late).held_records >= 20);
        for node in [owner, thief] {
            let refused = try_publish(&mut world.sim, node, log);
            assert!(
                matches!(refused, Err(CommandError::NotOpen(ref why)) if why.contains("its end")),
                "{refused:?}"
            );
        }
        // It is so after a start, too.
        for node in [owner, of_owner] {
            world.sim.crash(node, Crash::Process);
            world.sim.reopen(node);
            assert_disputed_from(&world.sim, node, log, 20);
        }
    }
}

#[test]
fn two_ends_of_one_tree_are_proof_and_all_of_it_counts() {
    let mut world = World::new(7, 3, 20);
    let (owner, log) = (world.owner, world.log);
    let of_owner = world.full_follower(&[owner]);
    let thief = thief(&mut world);
    assert_eq!(
        close(&mut world.sim, thief, log, Some(OTHER)),
        Ok(Reply::Done)
    );
    let of_thief = world.full_follower(&[thief]);
    assert_eq!(
        close(&mut world.sim, owner, log, Some(NEXT)),
        Ok(Reply::Done)
    );
    world.sim.run_for(SECOND);
    world.sim.connect(of_owner, of_thief);
    world.sim.run_for(MINUTE);
    for node in [owner, of_owner, of_thief, thief] {
        assert_disputed_from(&world.sim, node, log, 20);
    }
}

#[test]
fn two_ends_of_one_tree_that_say_the_same_are_none() {
    let mut world = World::new(8, 3, 20);
    let (owner, log) = (world.owner, world.log);
    let of_owner = world.full_follower(&[owner]);
    let thief = thief(&mut world);
    assert_eq!(
        close(&mut world.sim, thief, log, Some(NEXT)),
        Ok(Reply::Done)
    );
    world.sim.run_for(SECOND);
    let of_thief = world.full_follower(&[thief]);
    assert_eq!(
        close(&mut world.sim, owner, log, Some(NEXT)),
        Ok(Reply::Done)
    );
    world.sim.connect(of_owner, of_thief);
    world.sim.run_for(10 * MINUTE);
    for node in [owner, of_owner, of_thief, thief] {
        assert!(world.status(node).fork.is_none());
        assert_eq!(
            closing(&world.sim, node, log),
            Some(Closing {
                successor: Some(NEXT)
            })
        );
    }
}

#[test]
fn two_ends_of_two_sizes_are_proof_and_the_smaller_one_counts() {
    let mut world = World::new(9, 3, 20);
    let (owner, log) = (world.owner, world.log);
    let first = thief(&mut world);
    let second = thief(&mut world);
    for (node, size) in [(first, 5), (second, 9)] {
        world.sim.publish(node, log, records(20, 20 + size));
        world.sim.run_for(0);
        assert_eq!(close(&mut world.sim, node, log, None), Ok(Reply::Done));
    }
    world.publish(30);
    let of_owner = world.full_follower(&[owner]);
    let follower = |world: &mut World, of| {
        let node = world.follower(&[of]);
        world.sim.run_for(MINUTE);
        assert!(world.status(node).fork.is_none());
        node
    };
    let of_first = follower(&mut world, first);
    let of_second = follower(&mut world, second);
    // Those who know of two hear of the third later.
    world.sim.connect(of_owner, of_second);
    world.sim.run_for(MINUTE);
    assert_disputed_from(&world.sim, of_owner, log, 29);
    world.sim.connect(of_second, of_first);
    // Ends of ever smaller sizes are taken one in a while.
    world.sim.run_for(10 * MINUTE);
    for node in [of_owner, of_second, of_first, owner, first, second] {
        assert_disputed_from(&world.sim, node, log, 25);
    }
}

#[test]
fn an_end_over_another_tree_is_a_fork_like_any_other() {
    for (seed, (theirs, ours)) in (0..).zip([(23, 23), (23, 30), (30, 23)]) {
        let mut world = World::new(seed, 3, 20);
        let (owner, log) = (world.owner, world.log);
        let thief = thief(&mut world);
        let junk = (20..theirs)
            .map(|i| Record::new(Timestamp(i), b"junk"))
            .collect();
        world.sim.publish(thief, log, junk);
        world.sim.run_for(0);
        assert_eq!(close(&mut world.sim, thief, log, None), Ok(Reply::Done));
        world.publish(ours - 20);
        let of_owner = world.full_follower(&[owner]);
        let of_thief = world.follower(&[thief]);
        world.sim.run_for(MINUTE);
        world.sim.connect(of_owner, of_thief);
        world.sim.run_for(MINUTE);
        for node in [owner, of_owner, of_thief, thief] {
            assert_disputed_from(&world.sim, node, log, 20);
            assert!(!world.status(node).fork.unwrap().is_of_closing());
        }
    }
}

#[test]
fn who_knows_of_an_end_and_then_comes_to_another_tree_as_large_has_found_a_fork() {
    let mut world = World::new(14, 3, 12);
    let (owner, log) = (world.owner, world.log);
    let behind = world.full_follower(&[owner]);
    world.sim.cut(behind, owner);
    let other = thief(&mut world);
    let junk = (12..20)
        .map(|i| Record::new(Timestamp(i), b"junk"))
        .collect();
    world.sim.publish(other, log, junk);
    let of_other = world.follower(&[other]);
    world.publish(8);
    let closer = thief(&mut world);
    assert_eq!(close(&mut world.sim, closer, log, None), Ok(Reply::Done));
    world.publish(5);
    let of_owner = world.full_follower(&[owner]);
    world.sim.connect(of_owner, closer);
    world.sim.run_for(MINUTE);
    assert_disputed_from(&world.sim, of_owner, log, 20);
    // It hears that there was an end, and gets nothing of the tree.
    let only_evidence = Box::new(|frame: v1::Frame| match &frame.body {
        Some(v1::frame::Body::Head(_) | v1::frame::Body::Extension(_)) => Twisted::Nothing,
        _ => Twisted::Frame(frame),
    });
    world.sim.twist(of_owner, only_evidence);
    world.sim.connect(behind, of_owner);
    world.sim.run_for(MINUTE);
    assert_eq!(world.adopted(behind), 12);
    assert!(world.status(behind).fork.unwrap().is_of_closing());
    world.sim.cut(behind, of_owner);
    // It tells nobody, so that it has to find out by itself.
    let no_evidence = Box::new(|frame: v1::Frame| match &frame.body {
        Some(v1::frame::Body::Evidence(_)) => Twisted::Nothing,
        _ => Twisted::Frame(frame),
    });
    world.sim.twist(behind, no_evidence);
    world.sim.connect(behind, of_other);
    (world.sim).run_while(MINUTE, |sim| {
        sim.status(behind, log).unwrap().head.unwrap().size < 20
    });
    let found = world.status(behind).fork.unwrap();
    assert!(!found.is_of_closing(), "{found:?}");
    // Where the trees part is found out with somebody who has the other one.
    world.sim.untwist(behind);
    world.sim.untwist(of_owner);
    world.sim.connect(behind, of_owner);
    world.sim.run_for(MINUTE);
    for node in [behind, of_owner, of_other] {
        assert_disputed_from(&world.sim, node, log, 12);
    }
}

#[test]
fn an_owner_takes_an_end_that_was_signed_elsewhere_and_signs_nothing_behind_it() {
    let mut world = World::new(10, 3, 20);
    let (owner, log) = (world.owner, world.log);
    let thief = thief(&mut world);
    assert_eq!(
        close(&mut world.sim, thief, log, Some(NEXT)),
        Ok(Reply::Done)
    );
    let of_thief = world.full_follower(&[thief]);
    world.sim.connect(of_thief, owner);
    world.sim.run_for(MINUTE);
    let ended = Err(CommandError::Ended {
        log,
        successor: Some(NEXT),
    });
    assert_eq!(try_publish(&mut world.sim, owner, log), ended);
    world.sim.crash(owner, Crash::Power(0));
    world.sim.reopen(owner);
    world.sim.run_for(60 * MINUTE);
    assert_eq!(try_publish(&mut world.sim, owner, log), ended);
    for node in [owner, of_thief, thief] {
        assert!(world.status(node).fork.is_none());
    }
}

/// The disk as it was before the end; the mark, outside of it, knows of the end.
fn put_back(world: &mut World, image: MemoryStore, copied: bool) {
    let owner = world.owner;
    let marks = world.sim.marks(owner);
    world.sim.crash(owner, Crash::Process);
    match copied {
        true => world.sim.restore(owner, image),
        false => world.sim.damage(owner, image),
    }
    world.sim.set_marks(owner, Some(marks));
    world.sim.reopen(owner);
}

#[test]
fn an_owner_whose_older_disk_is_put_back_signs_nothing_behind_its_end() {
    for copied in [true, false] {
        let mut world = World::new(11, 3, 20);
        let (owner, log) = (world.owner, world.log);
        let followers = [(); 2].map(|()| world.full_follower(&[owner]));
        world.sim.run_for(SECOND);
        let image = world.sim.store(owner).copy();
        assert_eq!(
            close(&mut world.sim, owner, log, Some(NEXT)),
            Ok(Reply::Done)
        );
        world.sim.run_for(SECOND);
        for follower in followers {
            world.sim.cut(owner, follower);
        }
        put_back(&mut world, image, copied);
        world.sim.run_for(60 * MINUTE);
        let refused = try_publish(&mut world.sim, owner, log);
        assert!(
            matches!(refused, Err(CommandError::NotOpen(_))),
            "{refused:?}"
        );
        for follower in followers {
            world.sim.connect(owner, follower);
        }
        world.sim.run_for(10 * MINUTE);
        let ended = Err(CommandError::Ended {
            log,
            successor: Some(NEXT),
        });
        assert_eq!(try_publish(&mut world.sim, owner, log), ended);
        for node in [owner, followers[0], followers[1]] {
            assert!(world.status(node).fork.is_none(), "{copied}");
        }
    }
}

#[test]
fn who_was_behind_the_end_comes_to_it_and_not_past_it() {
    for (seed, behind) in (0..).zip([5, 13, 29, 50]) {
        let mut world = World::new(seed, 3, behind);
        let (owner, log) = (world.owner, world.log);
        let slow = world.full_follower(&[owner]);
        world.sim.cut(slow, owner);
        world.publish(60 - behind);
        let thief = thief(&mut world);
        assert_eq!(close(&mut world.sim, thief, log, None), Ok(Reply::Done));
        world.publish(40);
        let fast = world.full_follower(&[owner]);
        world.size = 60;
        let of_thief = world.full_follower(&[thief]);
        world.sim.connect(fast, of_thief);
        world.sim.run_for(MINUTE);
        world.sim.connect(slow, fast);
        world.sim.run_for(2 * MINUTE);
        for node in [fast, of_thief, slow, owner] {
            assert_disputed_from(&world.sim, node, log, 60);
        }
        assert_eq!(world.adopted(slow), 60, "{behind}");
        assert_eq!(world.status(slow).held_records, 60, "{behind}");
    }
}

#[test]
fn an_owner_that_lost_the_row_of_its_end_signs_nothing_that_follows_it() {
    for has_mark in [true, false] {
        let mut world = World::new(13, 3, 20);
        let (owner, log) = (world.owner, world.log);
        let followers = [(); 2].map(|()| world.full_follower(&[owner]));
        world.sim.run_for(SECOND);
        assert_eq!(
            close(&mut world.sim, owner, log, Some(NEXT)),
            Ok(Reply::Done)
        );
        world.sim.run_for(MINUTE);
        world.sim.crash(owner, Crash::Process);
        let mut batch = Batch::new();
        let row = head_key(0, HeadKind::Adopted);
        batch.delete(Table::Heads, row);
        let lost = world.sim.store(owner).commit(batch, Durability::Synced);
        assert_eq!(lost, Ok(()));
        if !has_mark {
            world
                .sim
                .set_marks(owner, Some(std::collections::BTreeMap::new()));
        }
        world.sim.reopen(owner);
        world.sim.run_for(30 * MINUTE);
        for node in [owner, followers[0], followers[1]] {
            assert!(world.status(node).fork.is_none(), "mark: {has_mark}");
        }
        let successor = Some(NEXT);
        assert_eq!(
            closing(&world.sim, owner, log),
            Some(Closing { successor }),
            "mark: {has_mark}"
        );
    }
}
