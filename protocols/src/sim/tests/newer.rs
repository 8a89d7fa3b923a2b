//! Streams of a later version, among nodes that cannot read them.

use super::*;
use crate::engine::{Command, CommandError, Reply};
use crate::identity::Domain;
use crate::log::Appender;
use crate::manifest::{SignedManifest, UnverifiedManifest};
use crate::merkle::CompactRange;
use crate::store::{Admission, Durability, Store};

/// A manifest of `key` with one field more, which has nothing in it.
fn with_field(key: &SigningKey, number: usize) -> SignedManifest {
    let plain = manifest(key, 3).sign(key).expect("it is well formed");
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
    let mut world = World::begun(Sim::new(seed), |sim, owner| {
        let manifest = with_field(sim.key(owner), field);
        sim.create_signed(owner, manifest)
    });
    let owner = world.owner;
    let key = world.status(owner).key.expect("its manifest is known");
    world.sim.crash(owner, Crash::Process);
    let store = world.sim.store(owner).clone();
    let records = records(0, size);
    let leaves: Vec<_> = records.iter().map(Record::leaf).collect();
    let nodes = Appender::new(CompactRange::empty(0)).append(leaves.iter().copied());
    let mut held = History::new(&*store, key).held().unwrap();
    let mut admission = Admission::new(&*store, key, &mut held);
    admission.put_records(0, &records, &leaves).unwrap();
    admission.put_nodes(&nodes);
    let batch = admission.finish();
    store.commit(batch, Durability::Synced).unwrap();
    world.sim.reopen(owner);
    world.size = size;
    world
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
