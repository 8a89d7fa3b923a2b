//! Folders of version 0.1.0, carried over.

use prost::Message;

use super::*;
use crate::engine::{Command, CommandError, Reply};
use crate::head::{AdoptedHead, EarlyHead, UnverifiedHead};
use crate::store::tables::{HeadKind, head_key};
use crate::store::{Batch, Durability, MemoryStore, Store, StoreError, Table};

/// The disk of a node as version 0.1.0 would have written it: its heads are those of
/// `key`, the owner of all logs here, in the early form.
fn made_early(disk: &MemoryStore, key: &SigningKey) {
    let mut rows = Vec::new();
    disk.scan(Table::Heads, &[0; 5], &[0xff; 6], &mut |key, row| {
        rows.push((key.to_vec(), row.to_vec()));
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    let mut batch = Batch::new();
    for (row, value) in rows {
        let (number, kind) = row.split_at(4);
        let number = u32::from_be_bytes(number.try_into().unwrap());
        if kind != [HeadKind::Adopted as u8] {
            continue;
        }
        let stored = v1::StoredHead::decode(&value[..]).unwrap();
        let log = LogId::from_slice(&stored.log).unwrap();
        let head = UnverifiedHead::try_from(stored.head).unwrap();
        let head = head.verify(log, &key.public()).unwrap();
        let early = EarlyHead::sign(&head, key).encode_to_vec();
        batch.delete(Table::Heads, head_key(number, HeadKind::Adopted));
        batch.put(
            Table::Heads,
            head_key(number, HeadKind::EarlyAdopted),
            early,
        );
    }
    disk.commit(batch, Durability::Synced).unwrap();
}

impl World {
    /// Stops a node and starts it on its disk as version 0.1.0 had it.
    fn becomes_early(&mut self, node: NodeId) {
        self.sim.crash(node, Crash::Process);
        let key = self.sim.key(self.owner).clone();
        made_early(self.sim.store(node), &key);
    }

    fn is_early(&self, node: NodeId) -> bool {
        matches!(self.status(node).head, Some(AdoptedHead::Early(_)))
    }

    fn assert_all_is_here(&self, node: NodeId) {
        assert!(self.is_complete(node), "{}", self.summary(node));
        self.check(node);
    }
}

#[test]
fn an_owner_signs_its_early_heads_anew_and_goes_on() {
    let mut world = World::new(1, 3, 20);
    let (owner, log) = (world.owner, world.log);
    let before = world.status(owner).head.unwrap();
    world.becomes_early(owner);
    world.sim.reopen(owner);
    let after = world.status(owner).head.unwrap();
    assert_eq!(after.tree(), before.tree());
    assert_eq!(after.signed(), before.signed());
    world.publish(5);
    let follower = world.full_follower(&[owner]);
    world.assert_all_is_here(follower);
    // Nothing early is left.
    let row = head_key(0, HeadKind::EarlyAdopted);
    assert_eq!(world.sim.store(owner).get(Table::Heads, &row), Ok(None));
    world.sim.crash(owner, Crash::Power(0));
    world.sim.reopen(owner);
    assert_eq!(world.adopted(owner), 25);
    assert!(world.status(follower).fork.is_none());
    let id = world.sim.publish(owner, log, records(25, 26));
    world.sim.run_for(SECOND);
    assert!(matches!(
        world.sim.reply(owner, id),
        Some(Ok(Reply::Published(_)))
    ));
}

#[test]
fn two_copies_that_are_carried_over_sign_one_text() {
    let mut world = World::new(2, 3, 20);
    let owner = world.owner;
    world.becomes_early(owner);
    let copies = [(); 2].map(|()| world.sim.store(owner).copy());
    let mut texts = Vec::new();
    for copy in copies {
        world.sim.damage(owner, copy);
        world.sim.reopen(owner);
        texts.push(world.status(owner).head.unwrap().signed().unwrap().clone());
        world.sim.crash(owner, Crash::Process);
    }
    assert_eq!(texts[0], texts[1]);
}

#[test]
fn a_follower_keeps_what_it_had_tells_nobody_and_goes_on_when_its_publisher_does() {
    for seed in 0..4 {
        let mut world = World::new(seed, 3, 20);
        let owner = world.owner;
        let follower = world.full_follower(&[owner]);
        // Carried over before its publisher.
        world.becomes_early(follower);
        world.sim.reopen(follower);
        world.sim.cut(owner, follower);
        assert!(world.is_early(follower));
        world.assert_all_is_here(follower);
        // Nobody hears of it, and nobody is banned.
        let newcomer = world.follower(&[follower]);
        world.sim.run_for(10 * MINUTE);
        assert_eq!(world.adopted(newcomer), 0);
        assert!(world.sim.accusations().is_empty());
        assert!(world.is_early(follower));
        // It survives a start.
        world.sim.crash(follower, Crash::Power(0));
        world.sim.reopen(follower);
        world.assert_all_is_here(follower);
        if seed % 2 == 0 {
            world.publish(seed * 10);
        } else {
            // Its publisher was carried over, too, and has nothing new.
            world.becomes_early(owner);
            world.sim.reopen(owner);
        }
        world.sim.connect(follower, owner);
        world.complete(follower, 10 * MINUTE);
        world.complete(newcomer, 10 * MINUTE);
        world.sim.run_for(MINUTE);
        assert!(!world.is_early(follower), "seed {seed}");
        world.sim.crash(follower, Crash::Process);
        world.sim.reopen(follower);
        assert!(!world.is_early(follower), "seed {seed}");
        world.assert_all_is_here(follower);
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn what_was_verified_is_never_shown_under_another_history() {
    // Of more records, of as many, of fewer.
    for (seed, size) in (0..).zip([30, 20, 11]) {
        let mut world = World::new(seed, 3, 20);
        let (owner, log) = (world.owner, world.log);
        let follower = world.full_follower(&[owner]);
        world.becomes_early(follower);
        world.sim.crash(owner, Crash::Process);
        let key = world.sim.key(owner).clone();
        let other = world.sim.add_node_with_key(key.clone());
        assert_eq!(world.sim.create(other, manifest(&key, 3)), log);
        let junk = (0..size).map(|i| Record::new(Timestamp(i), b"junk"));
        world.sim.publish(other, log, junk.collect());
        world.sim.reopen(follower);
        world.sim.connect(follower, other);
        world.sim.run_for(10 * MINUTE);
        assert!(world.is_early(follower), "{size}");
        world.assert_all_is_here(follower);
        let why = world.status(follower).stopped_for_good.unwrap();
        assert!(why.contains("another history"), "{why}");
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn a_stream_that_was_deleted_before_comes_back_under_its_early_head() {
    let mut world = World::new(5, 3, 20);
    let (owner, log) = (world.owner, world.log);
    let followers = [(); 2].map(|()| world.full_follower(&[owner]));
    world.sim.run_for(SECOND);
    let id = world.sim.command(owner, Command::Delete { log, own: true });
    world.sim.run_for(SECOND);
    assert!(matches!(world.sim.reply(owner, id), Some(Ok(Reply::Done))));
    world.becomes_early(owner);
    world.sim.reopen(owner);
    let key = world.sim.key(owner).clone();
    let created = world.sim.create(owner, manifest(&key, 3));
    assert_eq!(created, log);
    let refused = world.sim.publish(owner, log, records(0, 1));
    world.sim.run_for(0);
    let refused = world.sim.reply(owner, refused);
    assert!(
        matches!(refused, Some(Err(CommandError::NotOpen(_)))),
        "{refused:?}"
    );
    for follower in followers {
        world.sim.connect(owner, follower);
    }
    world.complete(owner, 10 * MINUTE);
    for follower in followers {
        assert!(world.status(follower).fork.is_none());
    }
}

#[test]
fn a_disk_that_is_full_at_the_first_start_is_carried_over_when_there_is_room() {
    let full = || StoreError::Full("0 bytes left".to_owned());
    let mut world = World::new(6, 3, 20);
    let (owner, log) = (world.owner, world.log);
    let follower = world.full_follower(&[owner]);
    let before = world.status(owner).head.unwrap();
    for node in [owner, follower] {
        world.becomes_early(node);
        world.sim.store(node).fail_while(Some(full()));
        world.sim.reopen(node);
        world.sim.run_for(MINUTE);
        // It is read as it is.
        world.assert_all_is_here(node);
    }
    let refused = world.sim.publish(owner, log, records(20, 21));
    world.sim.run_for(0);
    let refused = world.sim.reply(owner, refused);
    assert!(matches!(refused, Some(Err(_))), "{refused:?}");
    for node in [owner, follower] {
        world.sim.store(node).fail_while(None);
    }
    world.sim.run_for(MINUTE);
    let after = world.status(owner).head.unwrap();
    assert_eq!(
        (after.tree(), after.signed().is_some()),
        (before.tree(), true)
    );
    world.publish(5);
    world.complete(follower, 10 * MINUTE);
    assert!(world.status(follower).fork.is_none());
    assert!(world.sim.accusations().is_empty());
}
