//! Streams that their recovery key has ended: whatever their owner's key has signed,
//! all come to the same.

use super::*;
use crate::engine::{Command, CommandError, Reply, Room};
use crate::head::SignedHead;
use crate::identity::{ED25519, key_hash};
use crate::recovery::Recovery;
use crate::sync::Lane;

const NEXT: LogId = LogId([0xab; 32]);
const OTHER: LogId = LogId([0xcd; 32]);

/// The key that lies in a drawer.
fn drawer() -> SigningKey {
    SigningKey::from_secret(&mut [55; 32])
}

pub(super) fn terms(key: &SigningKey) -> Manifest {
    Manifest {
        recovery: Some(key_hash(ED25519, &drawer().public().to_bytes())),
        ..manifest(key, 3)
    }
}

/// A stream with a recovery key, and so many records of it.
pub(super) fn world(seed: u64, size: u64) -> World {
    let mut world = World::begun(Sim::new(seed), |sim, owner| {
        let manifest = terms(sim.key(owner));
        sim.create(owner, manifest)
    });
    world.publish(size);
    world
}

pub(super) fn head_of(world: &World, node: NodeId) -> SignedHead {
    let head = world.status(node).head.expect("it has one");
    head.signed().expect("it is of today").clone()
}

pub(super) fn statement(
    head: SignedHead,
    successor: Option<LogId>,
    issued: i64,
) -> v1::SignedRecovery {
    let issued = Timestamp(issued);
    let recovery = Recovery {
        head,
        successor,
        issued,
    };
    recovery.sign(&drawer()).to_wire()
}

pub(super) fn recover(
    world: &mut World,
    node: NodeId,
    said: v1::SignedRecovery,
) -> Result<Reply, CommandError> {
    let command = Command::Recover {
        log: world.log,
        statement: Box::new(said),
    };
    let id = world.sim.command(node, command);
    world.sim.run_for(0);
    world.sim.reply(node, id).expect("it is answered").clone()
}

/// Somebody else who has the owner's key and all that it had. What it publishes then
/// has its name.
pub(super) fn thief(world: &mut World) -> NodeId {
    let key = world.sim.key(world.owner).clone();
    let thief = world.sim.add_node_with_key(key.clone());
    assert_eq!(world.sim.create(thief, terms(&key)), world.log);
    world.sim.publish(thief, world.log, records(0, world.size));
    world.sim.run_for(0);
    thief
}

pub(super) fn junk(world: &mut World, thief: NodeId, count: i64) {
    let junk = (0..count)
        .map(|i| Record::new(Timestamp(i), b"junk"))
        .collect();
    world.sim.publish(thief, world.log, junk);
    world.sim.run_for(0);
}

/// What a node says counts, and that it has all of that, and nothing else counts.
pub(super) fn assert_ends(world: &World, node: NodeId, size: u64, successor: Option<LogId>) {
    let summary = world.summary(node);
    let status = world.status(node);
    let recovered = status.recovered.as_ref();
    let recovered = recovered.unwrap_or_else(|| panic!("{node:?} knows of none: {summary}"));
    assert_eq!(recovered.tree().size, size, "{node:?}: {summary}");
    assert_eq!(recovered.successor(), successor, "{node:?}");
    assert_eq!(status.usable_size(), size, "{node:?}: {summary}");
    if !status.owned {
        assert_eq!(status.synced_size, size, "{node:?}: {summary}");
    }
    for index in 0..size {
        let held = status
            .held
            .iter()
            .any(|held| held.from <= index && index < held.to);
        assert!(held, "{node:?} lacks {index}: {summary}");
    }
    let key = status.key.unwrap();
    let history = History::new(&**world.sim.store(node), key);
    for index in 0..size {
        let there = history.record(index).unwrap();
        assert_eq!(there, record(index), "{node:?}");
        let path = prove_inclusion(&history, index, size).unwrap();
        let root = recovered.tree().root;
        verify_inclusion(there.leaf(), index, size, &path, root).expect("it is true");
    }
    assert!(
        world.sim.accusations().is_empty(),
        "{:?}",
        world.sim.accusations()
    );
}

impl World {
    /// Adds a follower of a stream of which not everything is kept, and waits until it
    /// has what is.
    fn full_follower_of_kept(&mut self, of: NodeId) -> NodeId {
        let node = self.follower(&[of]);
        self.sim.run_for(MINUTE);
        assert!(self.status(node).lag.is_none(), "{}", self.summary(node));
        node
    }
}

fn try_publish(world: &mut World, node: NodeId) -> Result<Reply, CommandError> {
    let id = world.sim.publish(node, world.log, records(0, 1));
    world.sim.run_for(0);
    world.sim.reply(node, id).expect("it is answered").clone()
}

#[test]
fn a_lost_key_is_no_reason_that_a_stream_has_no_end() {
    let mut world = world(1, 20);
    let owner = world.owner;
    let followers = [(); 2].map(|()| world.full_follower(&[owner]));
    let [near, away] = followers;
    // Its publisher is gone for good.
    world.sim.crash(owner, Crash::Process);
    let said = statement(head_of(&world, near), Some(NEXT), 1);
    world.sim.connect(near, away);
    assert_eq!(recover(&mut world, near, said.clone()), Ok(Reply::Done));
    world.sim.run_for(MINUTE);
    let late = world.follower(&[away]);
    world.sim.run_for(MINUTE);
    for node in [near, away, late] {
        assert_ends(&world, node, 20, Some(NEXT));
        for how in [Crash::Process, Crash::Power(0)] {
            world.sim.crash(node, how);
            world.sim.reopen(node);
        }
        assert_ends(&world, node, 20, Some(NEXT));
    }
    // Once more is the same.
    assert_eq!(recover(&mut world, late, said), Ok(Reply::Done));
    // Its publisher comes back, and hears of it.
    world.sim.reopen(owner);
    world.sim.connect(owner, late);
    world.sim.run_for(MINUTE);
    assert_ends(&world, owner, 20, Some(NEXT));
    let refused = try_publish(&mut world, owner);
    assert!(
        matches!(refused, Err(CommandError::StoppedForGood(_))),
        "{refused:?}"
    );
}

#[test]
fn what_a_thief_publishes_behind_the_last_head_is_disowned_by_all() {
    for (seed, closes) in (0..).zip([false, true, false]) {
        let mut world = world(seed, 20);
        let (owner, log) = (world.owner, world.log);
        let of_owner = world.full_follower(&[owner]);
        let away = world.follower(&[]);
        let last = head_of(&world, owner);
        let thief = thief(&mut world);
        junk(&mut world, thief, 15);
        if closes {
            let id = world.sim.command(
                thief,
                Command::Close {
                    log,
                    successor: Some(OTHER),
                },
            );
            world.sim.run_for(0);
            assert_eq!(world.sim.reply(thief, id), Some(&Ok(Reply::Done)));
        }
        world.sim.cut(of_owner, owner);
        world.sim.connect(of_owner, thief);
        let of_thief = world.follower(&[thief]);
        world.sim.run_for(MINUTE);
        assert_eq!(world.adopted(of_owner), 35);
        let said = statement(last, Some(NEXT), 1);
        assert_eq!(recover(&mut world, of_owner, said), Ok(Reply::Done));
        world.sim.run_for(MINUTE);
        let late = world.follower(&[of_thief]);
        world.sim.connect(away, of_thief);
        world.sim.connect(owner, of_owner);
        world.sim.run_for(MINUTE);
        for node in [of_owner, of_thief, late, away, owner, thief] {
            assert_ends(&world, node, 20, Some(NEXT));
        }
        // Whatever is signed from here on reaches nobody, not even whom it would extend.
        let has_end_alone = world.adopted(late) == 20;
        let deaf = self::thief(&mut world);
        junk(&mut world, deaf, 30);
        world.sim.connect(deaf, late);
        world.sim.run_for(20 * MINUTE);
        assert!(has_end_alone && world.adopted(late) == 20);
        for node in [of_owner, of_thief, late, away] {
            assert!(world.adopted(node) <= 35);
            assert_ends(&world, node, 20, Some(NEXT));
        }
    }
}

#[test]
fn a_fork_is_settled_by_the_branch_that_holds_the_last_head() {
    // What is common, the owner's branch, the thief's.
    for (seed, (common, ours, theirs)) in
        (0..).zip([(20, 30, 30), (20, 25, 60), (20, 60, 25), (0, 30, 30)])
    {
        let mut world = world(seed, common);
        let owner = world.owner;
        let thief = thief(&mut world);
        world.publish(ours - common);
        junk(&mut world, thief, (theirs - common) as i64);
        let of_owner = world.full_follower(&[owner]);
        let of_thief = world.follower(&[thief]);
        let of_thief_too = world.follower(&[thief]);
        world.sim.run_for(MINUTE);
        let last = head_of(&world, owner);
        world.sim.connect(of_owner, of_thief);
        world.sim.run_for(MINUTE);
        assert!(world.status(of_owner).fork.is_some() && world.status(of_thief).fork.is_some());
        let said = statement(last, None, 1);
        assert_eq!(recover(&mut world, of_thief, said), Ok(Reply::Done));
        world.sim.run_for(2 * MINUTE);
        let late = world.follower(&[of_thief]);
        world.sim.connect(of_thief_too, of_owner);
        world.sim.run_for(2 * MINUTE);
        for node in [owner, of_owner, of_thief, of_thief_too, late] {
            assert_ends(&world, node, ours, None);
        }
        // The thief's own node has not what counts, and says so.
        assert!(world.status(thief).usable_size() <= common.max(ours));
    }
}

#[test]
fn who_was_behind_goes_on_to_the_end_and_not_further() {
    for (seed, behind) in (0..).zip([5, 13, 19]) {
        let mut world = world(seed, behind);
        let owner = world.owner;
        let slow = world.full_follower(&[owner]);
        world.sim.cut(slow, owner);
        world.publish(20 - behind);
        let fast = world.full_follower(&[owner]);
        let last = head_of(&world, owner);
        world.publish(11);
        world.complete(fast, MINUTE);
        world.size = 20;
        assert_eq!(
            recover(&mut world, slow, statement(last, None, 1)),
            Ok(Reply::Done)
        );
        world.sim.connect(slow, fast);
        world.sim.run_for(2 * MINUTE);
        for node in [slow, fast, owner] {
            assert_ends(&world, node, 20, None);
        }
    }
}

#[test]
fn of_two_recoveries_the_smaller_counts_for_all_in_whatever_order_they_come() {
    for seed in 0..6 {
        let mut world = world(seed, 12);
        let owner = world.owner;
        let small = head_of(&world, owner);
        world.publish(8);
        let large = head_of(&world, owner);
        let nodes = [(); 3].map(|()| world.full_follower(&[owner]));
        for node in nodes {
            world.sim.cut(node, owner);
        }
        // The second one by whoever has stolen the recovery key.
        let said = [
            statement(large, Some(NEXT), 1),
            statement(small, Some(OTHER), 2),
        ];
        let [one, other] = if seed % 2 == 0 { [0, 1] } else { [1, 0] };
        assert_eq!(
            recover(&mut world, nodes[0], said[one].clone()),
            Ok(Reply::Done)
        );
        assert_eq!(
            recover(&mut world, nodes[2], said[other].clone()),
            Ok(Reply::Done)
        );
        world.sim.connect_line(&nodes);
        world.sim.run_for(MINUTE);
        for node in nodes {
            assert_ends(&world, node, 12, None);
            assert!(world.status(node).recovered.unwrap().is_contradicted());
        }
    }
}

#[test]
fn two_recoveries_with_one_head_and_two_successors_name_none() {
    let mut world = world(3, 20);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    let head = head_of(&world, owner);
    for (successor, issued) in [(NEXT, 1), (OTHER, 2)] {
        let said = statement(head.clone(), Some(successor), issued);
        assert_eq!(recover(&mut world, follower, said), Ok(Reply::Done));
    }
    world.sim.run_for(MINUTE);
    for node in [owner, follower] {
        assert_ends(&world, node, 20, None);
    }
}

#[test]
fn a_recovery_key_that_says_the_same_again_and_again_moves_nobody() {
    let mut world = world(4, 20);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    let head = head_of(&world, owner);
    let said = statement(head.clone(), None, 1_000);
    assert_eq!(recover(&mut world, follower, said), Ok(Reply::Done));
    world.sim.run_for(MINUTE);
    let syncs = world.sim.store(follower).syncs();
    for issued in (0..1_000).rev() {
        let said = statement(head.clone(), None, issued);
        assert_eq!(recover(&mut world, follower, said), Ok(Reply::Done));
    }
    world.sim.run_for(MINUTE);
    assert_eq!(world.sim.store(follower).syncs(), syncs);
}

#[test]
fn a_false_recovery_changes_nothing_and_costs_who_sends_it_its_connection() {
    let mut world = world(5, 20);
    let (owner, log) = (world.owner, world.log);
    let follower = world.full_follower(&[owner]);
    let head = head_of(&world, owner);
    let by_stranger = Recovery {
        head: head.clone(),
        successor: None,
        issued: Timestamp(1),
    };
    let by_stranger = by_stranger
        .sign(&SigningKey::from_secret(&mut [66; 32]))
        .to_wire();
    let never_signed = crate::head::Head::of_tree(log, head.tree(), Timestamp(9));
    let of_nobody = statement(never_signed.sign(&drawer()), None, 1);
    for (seed, said) in [by_stranger, of_nobody].into_iter().enumerate() {
        let refused = recover(&mut world, follower, said.clone());
        assert!(
            matches!(refused, Err(CommandError::Recovery(_))),
            "{refused:?}"
        );
        let liar = world.follower(&[follower]);
        world.sim.run_for(SECOND);
        let statements = vec![said];
        let evidence = v1::Evidence {
            log: Bytes::copy_from_slice(&log.0),
            fork: None,
            recovered: Some(v1::Recovered { statements }),
        };
        let body = v1::frame::Body::Evidence(Box::new(evidence));
        world
            .sim
            .send(liar, follower, Lane::Control, encoded(body, 0));
        world.sim.run_for(SECOND);
        assert_eq!(accusations(&world.sim, follower, liar).len(), 1, "{seed}");
        assert!(world.status(follower).recovered.is_none());
    }
    // Of a stream without such a key nobody can say so.
    let mut plain = World::new(6, 3, 20);
    let (owner, said) = (plain.owner, statement(head, None, 1));
    let refused = recover(&mut plain, owner, said);
    assert!(
        matches!(refused, Err(CommandError::Recovery(_))),
        "{refused:?}"
    );
}

/// Records of which a stream keeps the last sixteen, and more for a day.
pub(super) fn retaining(seed: u64, size: u64) -> World {
    let mut world = World::begun(Sim::new(seed), |sim, owner| {
        let manifest = Manifest {
            retain_records: 16,
            ..terms(sim.key(owner))
        };
        sim.create(owner, manifest)
    });
    world.publish(size);
    world
}

/// The first record that a node holds.
fn first_held(world: &World, node: NodeId) -> u64 {
    world
        .status(node)
        .held
        .first()
        .map_or(u64::MAX, |held| held.from)
}

#[test]
fn what_newer_records_free_stays_for_a_day_where_there_is_a_recovery_key() {
    let mut world = retaining(1, 16);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    world.publish(40);
    world.sim.run_for(23 * 60 * MINUTE);
    for node in [owner, follower] {
        assert_eq!(first_held(&world, node), 0, "{}", world.summary(node));
    }
    // Who comes now asks for no more than has to be kept.
    let late = world.follower(&[follower]);
    world.sim.run_for(MINUTE);
    assert_eq!(first_held(&world, late), 40);
    world.sim.run_for(3 * 60 * MINUTE);
    for node in [owner, follower, late] {
        assert_eq!(first_held(&world, node), 40, "{}", world.summary(node));
    }
    // It is so over starts: the day begins anew at worst.
    world.publish(16);
    for _ in 0..3 {
        world.sim.run_for(20 * 60 * MINUTE);
        assert_eq!(first_held(&world, follower), 40);
        world.sim.crash(follower, Crash::Process);
        world.sim.reopen(follower);
    }
    world.sim.run_for(26 * 60 * MINUTE);
    assert_eq!(first_held(&world, follower), 56);
}

#[test]
fn a_thief_s_records_push_nothing_out_before_the_recovery_key_speaks() {
    let mut world = retaining(2, 40);
    let (owner, log) = (world.owner, world.log);
    let follower = world.full_follower_of_kept(owner);
    let last = head_of(&world, owner);
    let key = world.sim.key(owner).clone();
    world.sim.crash(owner, Crash::Process);
    let thief = world.sim.add_node_with_key(key.clone());
    let manifest = Manifest {
        retain_records: 16,
        ..terms(&key)
    };
    assert_eq!(world.sim.create(thief, manifest), log);
    world.sim.publish(thief, log, records(0, 40));
    world.sim.run_for(0);
    for _ in 0..10 {
        junk(&mut world, thief, 100);
    }
    world.sim.connect(follower, thief);
    let newcomer = world.follower(&[thief]);
    world.sim.run_for(20 * 60 * MINUTE);
    assert_eq!(world.adopted(follower), 1_040);
    let said = statement(last, None, 1);
    assert_eq!(recover(&mut world, follower, said), Ok(Reply::Done));
    world.sim.connect(newcomer, follower);
    world.sim.run_for(5 * MINUTE);
    let late = world.follower(&[follower]);
    world.sim.run_for(48 * 60 * MINUTE);
    for node in [follower, newcomer, late] {
        let status = world.status(node);
        assert_eq!(status.usable_size(), 40, "{node:?}");
        assert_eq!(status.synced_size, 40, "{node:?}");
        // Or nobody could read them.
        assert!(status.begin <= 24, "{node:?}: {}", status.begin);
        let held = |index| {
            status
                .held
                .iter()
                .any(|held| held.from <= index && index < held.to)
        };
        assert!((24..40).all(held), "{node:?}: {}", world.summary(node));
    }
}

#[test]
fn what_was_verified_is_not_fetched_again_by_who_was_behind_the_last_head() {
    for (seed, behind) in (0..).zip([13, 29, 50]) {
        let mut world = world(seed, behind);
        let owner = world.owner;
        let slow = world.full_follower(&[owner]);
        world.sim.cut(slow, owner);
        world.publish(60 - behind);
        let last = head_of(&world, owner);
        let fast = world.full_follower(&[owner]);
        world.publish(40);
        world.complete(fast, MINUTE);
        world.size = 60;
        assert_eq!(
            recover(&mut world, slow, statement(last, None, 1)),
            Ok(Reply::Done)
        );
        world.sim.connect(slow, fast);
        world.sim.run_for(2 * MINUTE);
        assert_ends(&world, slow, 60, None);
        assert_eq!(world.adopted(slow), 60);
        let came = world.sim.delivered(fast, slow);
        // A chunk of eight may come whole.
        assert!(
            came <= chunk_bytes(behind.saturating_sub(8), 60),
            "{came} bytes from {behind}"
        );
    }
}

#[test]
fn records_of_another_tree_stay_until_somebody_has_the_one_that_counts() {
    let mut world = world(8, 20);
    let owner = world.owner;
    let thief = thief(&mut world);
    world.publish(10);
    junk(&mut world, thief, 30);
    let of_thief = world.follower(&[thief]);
    world.sim.run_for(MINUTE);
    world.sim.cut(of_thief, thief);
    let last = head_of(&world, owner);
    assert_eq!(
        recover(&mut world, of_thief, statement(last, None, 1)),
        Ok(Reply::Done)
    );
    world.sim.run_for(10 * MINUTE);
    let status = world.status(of_thief);
    assert_eq!((status.held_records, status.usable_size()), (50, 0));
    // Somebody who has no more of it is no help.
    let too = world.follower(&[thief]);
    world.sim.run_for(MINUTE);
    world.sim.cut(too, thief);
    world.sim.connect(too, of_thief);
    world.sim.run_for(10 * MINUTE);
    for node in [of_thief, too] {
        assert_eq!(world.status(node).held_records, 50, "{node:?}");
    }
    world.sim.cut(too, of_thief);
    for how in [Crash::Process, Crash::Power(0)] {
        world.sim.crash(of_thief, how);
        world.sim.reopen(of_thief);
        assert_eq!(world.status(of_thief).held_records, 50);
    }
    world.sim.connect(of_thief, owner);
    world.sim.run_for(10 * MINUTE);
    assert_ends(&world, of_thief, 30, None);
}

#[test]
fn a_stream_of_ours_that_was_recovered_stays_so_when_it_is_deleted_and_made_again() {
    let mut world = world(9, 20);
    let (owner, log) = (world.owner, world.log);
    let followers = [(); 2].map(|()| world.full_follower(&[owner]));
    let last = head_of(&world, owner);
    assert_eq!(
        recover(&mut world, owner, statement(last, None, 1)),
        Ok(Reply::Done)
    );
    world.sim.run_for(SECOND);
    for follower in followers {
        world.sim.cut(owner, follower);
    }
    let id = world.sim.command(owner, Command::Delete { log, own: true });
    world.sim.run_for(SECOND);
    assert!(matches!(world.sim.reply(owner, id), Some(Ok(Reply::Done))));
    let key = world.sim.key(owner).clone();
    assert_eq!(world.sim.create(owner, terms(&key)), log);
    for follower in followers {
        world.sim.connect(owner, follower);
    }
    world.sim.run_for(10 * MINUTE);
    let refused = try_publish(&mut world, owner);
    assert!(
        matches!(refused, Err(CommandError::StoppedForGood(_))),
        "{refused:?}"
    );
}

/// Whether a node has the end of a stream from `begin` on, safe.
fn has_end(world: &World, node: NodeId, begin: u64, size: u64) -> bool {
    let status = world.status(node);
    let is_held = |index| (status.held.iter()).any(|held| held.from <= index && index < held.to);
    status.usable_size() == size && status.synced_size == size && (begin..size).all(is_held)
}

#[test]
fn who_was_away_comes_to_the_end_of_a_stream_of_which_all_have_dropped_what_was_missed() {
    // Within a chunk, and at its end.
    for (seed, behind) in (0..).zip([20, 24]) {
        let mut world = retaining(seed, behind);
        let owner = world.owner;
        let away = world.full_follower_of_kept(owner);
        world.sim.cut(away, owner);
        let follower = world.full_follower_of_kept(owner);
        world.publish(60 - behind);
        world.sim.run_for(26 * 60 * MINUTE);
        assert_eq!(first_held(&world, follower), 40);
        let last = head_of(&world, follower);
        assert_eq!(last.size, 60);
        let said = statement(last, None, 1);
        assert_eq!(recover(&mut world, follower, said), Ok(Reply::Done));
        world.sim.connect(away, follower);
        let late = world.follower(&[follower]);
        world.sim.run_for(10 * MINUTE);
        for node in [away, follower, late] {
            let summary = world.summary(node);
            assert!(
                has_end(&world, node, 40, 60),
                "{node:?} {behind}: {summary}"
            );
        }
    }
}

#[test]
fn an_end_of_which_the_beginning_got_too_old_is_whole_without_it() {
    let mut world = World::begun(Sim::new(4), |sim, owner| {
        let manifest = Manifest {
            retain_records: 64,
            retain_us: 60 * MINUTE,
            ..terms(sim.key(owner))
        };
        sim.create(owner, manifest)
    });
    let (owner, log) = (world.owner, world.log);
    let key = world.sim.key(owner).clone();
    let thief = world.sim.add_node_with_key(key.clone());
    let manifest = Manifest {
        retain_records: 64,
        retain_us: 60 * MINUTE,
        ..terms(&key)
    };
    assert_eq!(world.sim.create(thief, manifest), log);
    let now = |world: &mut World, node, value: &'static [u8], count| {
        let now = world.sim.now();
        let records = (0..count).map(|_| Record::new(now, value)).collect();
        world.sim.publish(node, log, records);
        world.sim.run_for(0);
    };
    now(&mut world, owner, b"ours", 40);
    now(&mut world, thief, b"theirs", 40);
    let follower = world.follower(&[owner]);
    let of_thief = world.follower(&[thief]);
    world.sim.run_for(180 * MINUTE);
    now(&mut world, owner, b"ours", 20);
    now(&mut world, thief, b"theirs", 60);
    world.sim.run_for(10 * MINUTE);
    for node in [follower, of_thief] {
        assert_eq!(first_held(&world, node), 40, "{}", world.summary(node));
    }
    let last = head_of(&world, follower);
    assert_eq!(last.size, 60);
    world.sim.cut(of_thief, thief);
    let said = statement(last, None, 1);
    assert_eq!(recover(&mut world, follower, said), Ok(Reply::Done));
    world.sim.connect(of_thief, follower);
    let late = world.follower(&[follower]);
    world.sim.run_for(10 * MINUTE);
    for node in [follower, of_thief, late] {
        for how in [Crash::Process, Crash::Power(0)] {
            let summary = world.summary(node);
            assert!(has_end(&world, node, 40, 60), "{node:?}: {summary}");
            world.sim.crash(node, how);
            world.sim.reopen(node);
            world.sim.run_for(10 * MINUTE);
        }
    }
}

#[test]
fn who_shows_the_last_head_and_lacks_its_records_is_not_asked_without_a_pause() {
    let mut world = world(5, 12);
    let (owner, log) = (world.owner, world.log);
    let thief = thief(&mut world);
    world.publish(18);
    junk(&mut world, thief, 10);
    let of_owner = world.full_follower(&[owner]);
    let of_thief = world.follower(&[thief]);
    world.sim.run_for(MINUTE);
    world.sim.cut(of_thief, thief);
    let last = head_of(&world, owner);
    // It has the tree, and no room for the records.
    let full = world.sim.add_node();
    let no_room = Room {
        for_all: 0,
        for_history: 0,
        ..Room::default()
    };
    world.sim.set_room(full, no_room);
    world.sim.follow(full, log);
    world.sim.connect(full, of_owner);
    world.sim.run_for(MINUTE);
    world.sim.cut(full, of_owner);
    assert_eq!(world.adopted(full), 30);
    let said = statement(last, None, 1);
    assert_eq!(recover(&mut world, full, said), Ok(Reply::Done));
    world.sim.connect(full, of_thief);
    world.sim.run_for(MINUTE);
    let before = world.sim.sent_bytes(of_thief, full);
    world.sim.run_for(MINUTE);
    let asked = world.sim.sent_bytes(of_thief, full) - before;
    // A question a second, and answers to as many.
    assert!(asked < 60_000, "{asked} bytes in a minute");
    world.sim.connect(of_owner, of_thief);
    world.sim.run_for(MINUTE);
    assert_ends(&world, of_thief, 30, None);
}

#[test]
fn a_thief_s_end_below_the_last_head_keeps_nobody_from_it() {
    for (seed, closed_at) in (0..).zip([12, 16]) {
        let mut world = world(seed, closed_at);
        let (owner, log) = (world.owner, world.log);
        let thief = thief(&mut world);
        let close = Command::Close {
            log,
            successor: Some(OTHER),
        };
        let id = world.sim.command(thief, close);
        world.sim.run_for(0);
        assert_eq!(world.sim.reply(thief, id), Some(&Ok(Reply::Done)));
        let of_thief = world.follower(&[thief]);
        world.sim.run_for(MINUTE);
        assert_eq!(world.adopted(of_thief), closed_at);
        world.sim.cut(of_thief, thief);
        world.publish(20 - closed_at);
        let of_owner = world.full_follower(&[owner]);
        let said = statement(head_of(&world, owner), Some(NEXT), 1);
        assert_eq!(recover(&mut world, of_owner, said), Ok(Reply::Done));
        world.sim.connect(of_thief, of_owner);
        world.sim.run_for(MINUTE);
        for node in [of_thief, of_owner] {
            assert_ends(&world, node, 20, Some(NEXT));
        }
    }
}
