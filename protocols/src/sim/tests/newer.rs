//! Streams of a later version, among nodes that cannot read them.

use super::*;
use crate::engine::{Command, CommandError, Reply};
use crate::identity::Domain;
use crate::log::Appender;
use crate::manifest::{SignedManifest, UnverifiedManifest};
use crate::merkle::CompactRange;
use crate::store::{Admission, Durability, Store};

/// A manifest of `key` with one field more, which has nothing in it.
fn with_field(key: &SigningKey, number: usize, retain_records: u64) -> SignedManifest {
    let plain = Manifest {
        retain_records,
        ..manifest(key, 3)
    };
    let plain = plain.sign(key).expect("it is well formed");
    let mut bytes = plain.bytes().to_vec();
    prost::encode_length_delimiter(number << 3 | 2, &mut bytes).unwrap();
    bytes.push(0);
    let bytes = Bytes::from(bytes);
    let signature = Bytes::from(key.sign(Domain::Manifest, &bytes));
    let unverified = UnverifiedManifest { bytes, signature };
    unverified.verify(None).expect("it is in its form")
}

/// An owner of a stream of which only a later version knows what it is. What that
/// wrote is signed by this one, as after a crash.
fn later(seed: u64, field: usize, size: u64) -> World {
    later_that_keeps(seed, field, 0, size)
}

/// The same, of a stream that keeps so many records, or all.
fn later_that_keeps(seed: u64, field: usize, records: u64, size: u64) -> World {
    let mut world = World::begun(Sim::new(seed), |sim, owner| {
        let manifest = with_field(sim.key(owner), field, records);
        sim.create_signed(owner, manifest)
    });
    write_as_later(&mut world, size);
    world
}

/// Has the owner write records up to a size.
fn write_as_later(world: &mut World, size: u64) {
    let owner = world.owner;
    let key = world.status(owner).key.expect("its manifest is known");
    world.sim.crash(owner, Crash::Process);
    let store = world.sim.store(owner).clone();
    let before = records(0, world.size);
    let mut appender = Appender::new(CompactRange::empty(0));
    appender.append(before.iter().map(Record::leaf));
    let records = records(world.size, size);
    let leaves: Vec<_> = records.iter().map(Record::leaf).collect();
    let nodes = appender.append(leaves.iter().copied());
    let mut held = History::new(&*store, key).held().unwrap();
    let mut admission = Admission::new(&*store, key, &mut held);
    admission
        .put_records(world.size, &records, &leaves)
        .unwrap();
    admission.put_nodes(&nodes);
    let batch = admission.finish();
    store.commit(batch, Durability::Synced).unwrap();
    world.sim.reopen(owner);
    world.size = size;
}

#[test]
fn a_stream_that_is_too_new_is_followed_stored_and_passed_on_and_nobody_is_blamed() {
    for seed in 0..5 {
        let mut world = later(seed, 40, 1_000);
        let (owner, log) = (world.owner, world.log);
        let first = world.full_follower(&[owner]);
        // What one who cannot read it tells is as good as the owner's word.
        world.sim.cut(owner, first);
        let second = world.full_follower(&[first]);
        for node in [owner, first, second] {
            let manifest = world.status(node).manifest.expect("it came");
            let newer = manifest.too_new().map(ToString::to_string);
            assert_eq!(newer.as_deref(), Some("field 40 of a manifest"));
            assert_eq!(world.status(node).held_records, 1_000);
        }
        assert!(world.sim.accusations().is_empty(), "seed {seed}");

        // It comes back from a disk as it was.
        world.sim.crash(second, Crash::Process);
        world.sim.reopen(second);
        assert!(world.status(second).manifest.unwrap().too_new().is_some());

        let id = world.sim.publish(owner, log, records(1_000, 1_001));
        world.sim.run_for(0);
        let refused = world.sim.reply(owner, id);
        assert!(matches!(refused, Some(Err(CommandError::TooNew { .. }))));
        let id = (world.sim).command(second, Command::Discover(String::new()));
        world.sim.run_for(10 * SECOND);
        let Some(Ok(Reply::Discovered(found))) = world.sim.reply(second, id) else {
            panic!("the search is answered");
        };
        assert!(found.streams.is_empty());
    }
}

#[test]
fn a_field_that_is_ignored_makes_no_difference() {
    let mut world = later(1, 70, 1_000);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    let manifest = world.status(follower).manifest.unwrap();
    assert_eq!(manifest.too_new(), None);
    world.publish(3);
    world.complete(follower, MINUTE);
    assert!(world.sim.accusations().is_empty());
}

#[test]
fn nothing_is_dropped_of_a_stream_of_which_a_later_version_may_know_what_is_to_be_kept() {
    for (field, begins) in [(40, [0, 32]), (70, [936, 936])] {
        let mut world = later_that_keeps(2, field, 64, 100);
        let owner = world.owner;
        let follower = world.follower(&[owner]);
        world.sim.run_for(MINUTE);
        // A newcomer asks for what everybody has to keep.
        assert_eq!(world.status(follower).held[0].from, 32);
        write_as_later(&mut world, 1_000);
        world.sim.connect(owner, follower);
        world.sim.run_for(10 * MINUTE);
        let late = world.follower(&[follower]);
        world.sim.run_for(10 * MINUTE);
        for (node, begin) in [owner, follower].into_iter().zip(begins) {
            let status = world.status(node);
            assert_eq!(status.held[0].from, begin, "{field}: {node:?}");
            assert!(status.lag.is_none(), "{}", world.summary(node));
        }
        assert!(world.status(late).lag.is_none());
        assert_eq!(world.status(late).held[0].from, begins[1].max(936));
        // The chunk in which the first head ended was not given up either.
        let held = &world.status(follower).held;
        assert!(held[0].to >= 100, "{held:?}");
        for node in [owner, follower] {
            world.sim.crash(node, Crash::Process);
            world.sim.reopen(node);
        }
        world.sim.run_for(10 * MINUTE);
        for (node, begin) in [owner, follower].into_iter().zip(begins) {
            assert_eq!(world.status(node).held[0].from, begin, "{field}: {node:?}");
        }
        assert!(world.sim.accusations().is_empty());
    }
}
