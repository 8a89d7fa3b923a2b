//! Streams that users delete: all of it goes, whatever crashes, and a publisher
//! never begins one anew.

use super::*;
use crate::engine::{Command, CommandError, Reply};
use crate::store::tables::{DELETIONS, NEXT_NUMBER};
use crate::store::{Batch, Durability, Store, StoreError, Table};

impl World {
    fn delete(&mut self, node: NodeId, own: bool) -> Result<Reply, CommandError> {
        let log = self.log;
        let id = self.sim.command(node, Command::Delete { log, own });
        self.sim.run_for(0);
        self.sim.reply(node, id).expect("an answer").clone()
    }

    /// Rows that belong to logs.
    fn rows(&self, node: NodeId) -> usize {
        let tables = Table::ALL.into_iter().filter(|table| *table != Table::Meta);
        tables.map(|table| self.sim.store(node).len(table)).sum()
    }
}

#[test]
fn nothing_is_left_of_a_deleted_stream_and_it_can_be_followed_again() {
    for seed in 0..5 {
        let mut world = World::new(seed, 2, 5_000);
        let owner = world.owner;
        let follower = world.full_follower(&[owner]);
        assert!(world.sim.store(follower).len(Table::Addresses) > 1_024);
        assert_eq!(world.delete(follower, false), Ok(Reply::Done));
        assert!(world.sim.status(follower, world.log).is_none());
        let again = world.delete(follower, false);
        assert_eq!(again, Err(CommandError::UnknownStream(world.log)));
        // Live records of it concern nobody here.
        world.publish(3);
        world.sim.run_for(MINUTE);
        assert_eq!(world.rows(follower), 0, "seed {seed}");
        assert!(world.sim.status(follower, world.log).is_none());

        world.sim.follow(follower, world.log);
        world.sim.run_for(0);
        world.complete(follower, MINUTE);
    }
}

#[test]
fn a_stream_that_is_followed_again_at_once_keeps_what_comes_while_the_old_rows_go() {
    let mut world = World::new(6, 2, 9_000);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    world.delete(follower, false).unwrap();
    world.sim.follow(follower, world.log);
    world.sim.run_for(0);
    world.complete(follower, MINUTE);
    world.sim.run_for(MINUTE);
    world.check(follower);
    let chunks = world.sim.store(follower).len(Table::Chunks);
    assert_eq!(chunks, 2_250);
    // Whoever asks it gets all of it.
    let reader = world.full_follower(&[follower]);
    world.check(reader);
}

#[test]
fn a_deletion_goes_on_after_a_crash_wherever_it_was() {
    for seed in 0..20 {
        let mut world = World::new(seed, 1, 9_000);
        let owner = world.owner;
        let follower = world.full_follower(&[owner]);
        world.delete(follower, false).unwrap();
        // Five steps and the disk's answer take 40 ms.
        world.sim.run_for(seed * 2_000);
        let kept = usize::try_from(seed % 4).unwrap();
        let crash = match seed % 2 {
            0 => Crash::Power(kept),
            _ => Crash::Process,
        };
        world.sim.crash(follower, crash);
        world.sim.reopen(follower);
        assert!(world.sim.status(follower, world.log).is_none());
        world.sim.run_for(MINUTE);
        assert_eq!(world.rows(follower), 0, "seed {seed}");
    }
}

#[test]
fn a_full_disk_refuses_a_deletion_as_a_whole() {
    let mut world = World::new(8, 2, 50);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    let full = StoreError::Full("0 bytes left".to_owned());
    world.sim.store(follower).fail_after(0, full.clone());
    let refused = world.delete(follower, false);
    assert_eq!(refused, Err(CommandError::Store(full)));
    world.publish(5);
    world.complete(follower, MINUTE);
}

#[test]
fn an_own_stream_is_deleted_only_by_whoever_says_so_and_never_begun_anew() {
    for seed in 0..5 {
        let mut world = World::new(seed, 2, 1_000);
        let (owner, log) = (world.owner, world.log);
        let follower = world.full_follower(&[owner]);
        let refused = world.delete(owner, false);
        assert_eq!(refused, Err(CommandError::OwnStream(log)));
        world.publish(1);
        world.delete(owner, true).unwrap();
        world.sim.run_for(MINUTE);
        // The last head, and the row that says so.
        assert_eq!(world.rows(owner), 2, "seed {seed}");
        let id = world.sim.publish(owner, log, records(1_001, 1_002));
        world.sim.run_for(0);
        let unknown = CommandError::UnknownStream(log);
        assert_eq!(world.sim.reply(owner, id), Some(&Err(unknown)));
        world.sim.crash(owner, Crash::Process);
        world.sim.reopen(owner);
        assert!(world.sim.status(owner, log).is_none());

        // Created anew without a peer it stays stopped, even if the user is sure.
        world.sim.cut(owner, follower);
        let again = manifest(world.sim.key(owner), 2);
        assert_eq!(world.sim.create(owner, again), log);
        let reopen = Command::Reopen {
            log,
            none_is_larger: true,
        };
        let id = world.sim.command(owner, reopen);
        world.sim.run_for(MINUTE);
        let reply = world.sim.reply(owner, id);
        assert!(matches!(reply, Some(Err(CommandError::NotOpen(_)))));
        let id = world.sim.publish(owner, log, records(0, 1));
        world.sim.run_for(0);
        let reply = world.sim.reply(owner, id);
        assert!(matches!(reply, Some(Err(CommandError::NotOpen(_)))));

        // With one it comes back, and goes on where it was.
        world.sim.connect(owner, follower);
        let open = (world.sim).run_while(MINUTE, |sim| {
            sim.status(owner, log)
                .is_none_or(|status| status.reopening.is_some())
        });
        assert!(open, "seed {seed}: {}", world.summary(owner));
        world.publish(4);
        world.complete(follower, MINUTE);
        assert!(world.status(follower).fork.is_none());
    }
}

#[test]
fn a_number_that_is_being_deleted_is_not_given_to_another_stream() {
    let mut world = World::new(9, 3, 100);
    let owner = world.owner;
    let node = world.sim.add_node();
    let nobody_s = LogId([9; 32]);
    world.sim.follow(node, nobody_s);
    world.sim.run_for(0);
    let delete = Command::Delete {
        log: nobody_s,
        own: false,
    };
    world.sim.command(node, delete);
    world.sim.run_for(0);
    world.sim.crash(node, Crash::Process);
    let store = world.sim.store(node);
    let lost = store.falsify(Table::Meta, |key| key == NEXT_NUMBER, |_| None);
    assert_eq!(lost, 1);
    world.sim.reopen(node);
    world.sim.follow(node, world.log);
    world.sim.run_for(0);
    world.sim.connect(node, owner);
    world.complete(node, MINUTE);
    assert_eq!(world.status(node).key.unwrap().number, 1);
}

#[test]
fn what_a_stream_has_is_not_deleted_where_an_older_row_says_so() {
    let mut world = World::new(10, 3, 100);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    let number = world.status(follower).key.unwrap().number;
    world.sim.crash(follower, Crash::Process);
    // The row that it was to be, until all of it had come, is back with a damaged table.
    let key = [DELETIONS, &number.to_be_bytes()].concat();
    for is_reclaiming in [false, true] {
        let row = v1::StoredDeletion {
            chunk_level: 3,
            next_chunk: 0,
            is_reclaiming,
        };
        let mut batch = Batch::new();
        batch.put(Table::Meta, key.clone(), row.encode_to_vec());
        let store = world.sim.store(follower);
        store.commit(batch, Durability::Synced).unwrap();
        world.sim.reopen(follower);
        world.sim.run_for(MINUTE);
        world.check(follower);
        assert_eq!(world.status(follower).held_records, 100);
        world.sim.crash(follower, Crash::Process);
    }
}
