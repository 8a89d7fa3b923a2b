//! While the tree of a recovered stream's last head is fetched beside another one: whatever
//! disks, thieves and damage do meanwhile.

use super::recovered_rows::{boasts, without_history};
use super::recoveries::*;
use super::*;
use crate::engine::{Command, CommandError, Reply};
use crate::head::{Closing, Head, SignedHead, Tree};
use crate::log::ForkProof;
use crate::merkle::Hash;
use crate::ranges::Interval;
use crate::store::{StoreError, Table};
use crate::sync::Lane;
use v1::frame::Body;

/// A stream of 20 records that both its owner and a thief have gone on with, by 10 and by
/// 30, and that ends with the owner's last one. A follower has the thief's, and hears of
/// that end.
struct Replaced {
    world: World,
    thief: NodeId,
    /// It has ten of the owner's records, and says that it has all.
    liar: NodeId,
    follower: NodeId,
    /// The thief's head of 25 records.
    small: SignedHead,
}

impl Replaced {
    fn new(seed: u64) -> Self {
        let mut world = world(seed, 20);
        let owner = world.owner;
        let thief = thief(&mut world);
        let liar = without_history(&mut world, true);
        world.publish(10);
        world.sim.run_for(MINUTE);
        world.sim.cut(liar, owner);
        world.sim.twist(liar, boasts(30));
        junk(&mut world, thief, 5);
        let small = head_of(&world, thief);
        junk(&mut world, thief, 25);
        let follower = world.follower(&[thief]);
        world.sim.run_for(MINUTE);
        world.sim.cut(follower, thief);
        let said = statement(head_of(&world, owner), None, 1);
        assert_eq!(recover(&mut world, follower, said), Ok(Reply::Done));
        world.sim.run_for(SECOND);
        assert_eq!(world.status(follower).held_records, 50);
        Self {
            world,
            thief,
            liar,
            follower,
            small,
        }
    }

    /// The same, when the liar has delivered what it has.
    fn by_half(seed: u64) -> Self {
        let mut half = Self::new(seed);
        half.world.sim.connect(half.follower, half.liar);
        half.world.sim.run_for(MINUTE);
        assert_eq!(half.status().held_records, 10);
        half
    }

    fn status(&self) -> LogStatus {
        self.world.status(self.follower)
    }

    /// The number under which the rows are stored that are shown.
    fn number(&self) -> u32 {
        self.status().key.expect("it has one").number
    }

    /// All that counts is here, and nothing else.
    fn assert_done(&mut self) {
        for how in [Crash::Process, Crash::Power(0)] {
            self.world.sim.run_for(MINUTE);
            assert_ends(&self.world, self.follower, 30, None);
            let store = self.world.sim.store(self.follower);
            assert_eq!(store.len(Table::Chunks), 3);
            self.world.sim.crash(self.follower, how);
            self.world.sim.reopen(self.follower);
        }
    }
}

#[test]
fn what_has_taken_the_place_of_another_tree_stays_when_nobody_knew_of_that_write() {
    let (mut written, mut lost) = (0, 0);
    for seed in 0..12 {
        let mut replaced = Replaced::new(seed);
        let (owner, log, follower) = (replaced.world.owner, replaced.world.log, replaced.follower);
        let sim = &mut replaced.world.sim;
        sim.connect(follower, owner);
        let has_come = sim.run_while(MINUTE, |sim| {
            sim.status(follower, log).unwrap().held_records != 30
        });
        assert!(has_come);
        // It is safe, and the engine has not heard of that yet.
        let syncs = sim.store(follower).syncs();
        assert!(sim.run_while(MINUTE, |sim| sim.store(follower).syncs() == syncs));
        let unclear = StoreError::Unclear("fsync failed".to_owned());
        sim.store(follower).fail_after(0, unclear);
        let has_failed = sim.run_while(MINUTE, |sim| {
            sim.status(follower, log).unwrap().stopped.is_none()
        });
        assert!(has_failed);
        let before = replaced.number();
        replaced.world.sim.run_for(MINUTE);
        match replaced.number() == before {
            true => written += 1,
            false => lost += 1,
        }
        replaced.assert_done();
    }
    assert!(written > 0 && lost > 0, "{written} written, {lost} lost");
}

#[test]
fn one_tree_after_another_takes_the_place_of_what_was_here() {
    let mut replaced = Replaced::new(3);
    let (follower, thief) = (replaced.follower, replaced.thief);
    replaced.world.sim.connect(follower, replaced.world.owner);
    replaced.assert_done();
    let first = replaced.number();
    // Whoever has stolen the recovery key, too.
    let said = statement(replaced.small.clone(), None, 2);
    assert_eq!(
        recover(&mut replaced.world, follower, said),
        Ok(Reply::Done)
    );
    replaced.world.sim.run_for(MINUTE);
    let status = replaced.status();
    assert_eq!((status.held_records, status.usable_size()), (30, 0));
    replaced.world.sim.cut(follower, replaced.world.owner);
    replaced.world.sim.connect(follower, thief);
    for how in [Crash::Process, Crash::Power(0)] {
        replaced.world.sim.run_for(10 * MINUTE);
        let status = replaced.status();
        assert_eq!((status.usable_size(), status.synced_size), (25, 25));
        assert_eq!(
            status.head.expect("it has one").tree(),
            replaced.small.tree()
        );
        assert!(replaced.number() > first);
        let store = replaced.world.sim.store(follower);
        assert_eq!((status.held_records, store.len(Table::Chunks)), (25, 3));
        replaced.world.sim.crash(follower, how);
        replaced.world.sim.reopen(follower);
    }
}

/// That a stream was closed at a size, and that more was signed.
fn went_on(world: &World, size: u64, larger: &SignedHead) -> v1::ForkProof {
    let root = Hash([u8::try_from(size).unwrap(); 32]);
    let open = Head::of_tree(world.log, Tree { size, root }, Timestamp(1));
    let closing = Head {
        closing: Some(Closing { successor: None }),
        ..open
    };
    let closing = closing.sign(world.sim.key(world.owner));
    ForkProof::of_heads(&closing, larger).unwrap().to_wire()
}

#[test]
fn whatever_a_thief_proves_of_a_recovered_stream_its_last_tree_goes_on_coming() {
    let mut replaced = Replaced::by_half(4);
    let (log, follower) = (replaced.world.log, replaced.follower);
    let larger = head_of(&replaced.world, replaced.thief);
    let friend = replaced.world.follower(&[follower]);
    replaced.world.sim.run_for(SECOND);
    let before = replaced.number();
    for size in (1..=12).rev() {
        let evidence = v1::Evidence {
            log: Bytes::copy_from_slice(&log.0),
            fork: Some(went_on(&replaced.world, size, &larger)),
            recovered: None,
        };
        let frame = encoded(Body::Evidence(Box::new(evidence)), 0);
        (replaced.world.sim).send(friend, follower, Lane::Control, frame);
        replaced.world.sim.run_for(2 * MINUTE);
        let known = replaced.status().fork.expect("it is proved");
        assert_eq!(known.smaller.size, size);
        assert_eq!(
            (replaced.number(), replaced.status().held_records),
            (before, 10)
        );
    }
    // What was here before is known to have forked, too.
    replaced.world.sim.command(follower, Command::Unfollow(log));
    replaced.world.sim.run_for(MINUTE);
    let status = replaced.status();
    assert_eq!((status.held_records, status.fork.is_some()), (50, true));
    replaced.world.sim.crash(follower, Crash::Process);
    replaced.world.sim.reopen(follower);
    let status = replaced.status();
    assert_eq!((status.held_records, status.fork.is_some()), (50, true));
    replaced.world.sim.follow(follower, log);
    replaced.world.sim.connect(follower, replaced.world.owner);
    replaced.assert_done();
}

#[test]
fn rows_that_are_lost_meanwhile_are_written_anew_for_both_trees() {
    for table in [Table::Logs, Table::Heads, Table::Held] {
        let mut replaced = Replaced::by_half(5);
        let follower = replaced.follower;
        let store = replaced.world.sim.store(follower);
        assert!(store.falsify(table, |_| true, |_| None) > 0);
        let all = Interval {
            from: 0,
            to: u64::MAX,
        };
        let log = replaced.world.log;
        replaced.world.sim.suspect(follower, log, all);
        replaced.world.sim.run_for(MINUTE);
        assert_eq!(replaced.status().held_records, 10, "{table:?}");
        replaced.world.sim.cut(follower, replaced.liar);
        replaced.world.sim.crash(follower, Crash::Process);
        replaced.world.sim.reopen(follower);
        replaced.world.sim.run_for(MINUTE);
        assert_eq!(replaced.status().held_records, 50, "{table:?}");
        replaced.world.sim.connect(follower, replaced.world.owner);
        replaced.assert_done();
    }
}

#[test]
fn what_the_disk_damages_meanwhile_of_what_was_here_is_found_when_it_is_back() {
    let mut replaced = Replaced::by_half(6);
    let (log, follower) = (replaced.world.log, replaced.follower);
    // Of the two the one with the smaller number was here before.
    let before = replaced.number() - 1;
    let third = [&before.to_be_bytes()[..], &3_u64.to_be_bytes()].concat();
    let store = replaced.world.sim.store(follower);
    assert_eq!(store.damage(Table::Chunks, |key| key == third), 1);
    let all = Interval {
        from: 0,
        to: u64::MAX,
    };
    replaced.world.sim.suspect(follower, log, all);
    replaced.world.sim.run_for(MINUTE);
    replaced.world.sim.command(follower, Command::Unfollow(log));
    replaced.world.sim.run_for(MINUTE);
    assert_eq!(replaced.status().held_records, 42);
}

#[test]
fn while_a_tree_takes_the_place_of_another_it_is_said_from_whom_and_what_is_missing() {
    let mut replaced = Replaced::new(7);
    let (follower, owner) = (replaced.follower, replaced.world.owner);
    let status = replaced.status();
    // Nothing of what is here counts.
    assert_eq!((status.lag.records, status.usable_size()), (30, 0));
    let silent: Twist = Box::new(|frame| match frame.body {
        Some(Body::OfferedHashes(_) | Body::Delivery(_)) => Twisted::Nothing,
        _ => Twisted::Frame(frame),
    });
    replaced.world.sim.twist(owner, silent);
    replaced.world.sim.connect(follower, owner);
    replaced.world.sim.run_for(5 * SECOND);
    let status = replaced.status();
    assert_eq!((status.held_records, status.lag.records), (50, 30));
    assert_eq!(status.sources, [replaced.world.sim.peer(owner)]);
    let full = StoreError::Full("0 bytes left".to_owned());
    replaced.world.sim.store(follower).fail_while(Some(full));
    let log = replaced.world.log;
    let follow = Command::Follow {
        log,
        peers: Vec::new(),
        newest_first: false,
    };
    for command in [follow, Command::Unfollow(log)] {
        let id = replaced.world.sim.command(follower, command);
        replaced.world.sim.run_for(0);
        let reply = replaced.world.sim.reply(follower, id);
        assert!(
            matches!(reply, Some(Err(CommandError::Store(_)))),
            "{reply:?}"
        );
        assert!(replaced.status().stopped.is_some());
    }
    replaced.world.sim.store(follower).fail_while(None);
    replaced.world.sim.untwist(owner);
    replaced.world.sim.run_for(10 * MINUTE);
    assert_eq!(replaced.status().lag.records, 0);
    replaced.assert_done();
}

#[test]
fn who_is_behind_the_last_head_lacks_what_comes_before_that() {
    let mut world = world(8, 13);
    let owner = world.owner;
    let slow = world.full_follower(&[owner]);
    world.sim.cut(slow, owner);
    world.publish(7);
    let last = head_of(&world, owner);
    world.publish(11);
    let said = statement(last, None, 1);
    assert_eq!(recover(&mut world, slow, said), Ok(Reply::Done));
    world.sim.run_for(SECOND);
    assert_eq!(world.status(slow).lag.records, 7);
    world.sim.connect(slow, owner);
    world.sim.run_for(MINUTE);
    assert_ends(&world, slow, 20, None);
    for node in [slow, owner] {
        assert_eq!(world.status(node).lag.records, 0, "{node:?}");
    }
}

#[test]
fn who_has_nothing_that_counts_and_knows_nobody_who_has_it_finds_somebody() {
    for of_owner_itself in [false, true] {
        let mut world = world(9, 20);
        let owner = world.owner;
        let thief = thief(&mut world);
        world.publish(10);
        junk(&mut world, thief, 30);
        let of_owner = world.full_follower(&[owner]);
        let of_thief = [(); 2].map(|()| world.follower(&[thief]));
        world.sim.connect(of_thief[0], of_thief[1]);
        world.sim.run_for(MINUTE);
        for node in of_thief {
            assert_eq!(world.adopted(node), 50);
            world.sim.cut(node, thief);
        }
        let said = statement(head_of(&world, owner), None, 1);
        assert_eq!(
            recover(&mut world, of_thief[0], said.clone()),
            Ok(Reply::Done)
        );
        assert_eq!(recover(&mut world, owner, said), Ok(Reply::Done));
        world.sim.run_for(MINUTE);
        for node in of_thief {
            let status = world.status(node);
            assert!(status.lacks_end() && status.is_clear() && !status.sources.is_empty());
        }
        world.sim.cut(of_owner, owner);
        let knows = if of_owner_itself { owner } else { of_owner };
        let introducer = world.sim.add_introducer();
        world.sim.connect(knows, introducer);
        world.sim.connect(of_thief[0], introducer);
        world.sim.run_for(5 * MINUTE);
        for node in of_thief {
            assert_ends(&world, node, 30, None);
            assert!(!world.status(node).lacks_end());
        }
    }
}
