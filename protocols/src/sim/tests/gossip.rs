//! What is heard on the topics, true and false.

use super::*;
use crate::head::{Head, Tree};
use crate::limits::MAX_GOSSIP_BYTES;
use crate::log::{Announcement, Appender};
use crate::merkle::{CompactRange, Hash};
use crate::record::put_record;
use bytes::BytesMut;

/// A follower that has the first 20 records, the publisher, and a stranger who
/// talks on the topics.
fn talk(seed: u64) -> (World, NodeId, NodeId) {
    let mut world = World::new(seed, 2, 20);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    let stranger = world.sim.add_node();
    world.sim.connect(stranger, follower);
    world.sim.run_for(SECOND);
    (world, follower, stranger)
}

fn appender(size: u64) -> Appender {
    let mut appender = Appender::new(CompactRange::empty(0));
    appender.append(records(0, size).iter().map(Record::leaf));
    appender
}

/// What a signer announces at a time when the log grows from 20 to 25.
fn announce(world: &World, signer: &SigningKey, time: Timestamp) -> Bytes {
    let (old, new) = (appender(20), appender(25));
    let mut bytes = BytesMut::new();
    for record in records(20, 25) {
        put_record(&mut bytes, record.as_bytes());
    }
    let head = new.head(world.log, time).sign(signer);
    Announcement::encode(&head, old.frontier(), &bytes.freeze(), new.frontier())
}

fn altered(data: &Bytes, change: impl FnOnce(&mut v1::Announcement)) -> Bytes {
    let mut wire = v1::Announcement::decode(data.clone()).unwrap();
    change(&mut wire);
    wire.encode_to_vec().into()
}

fn meta(body: v1::meta::Body) -> Bytes {
    v1::Meta { body: Some(body) }.encode_to_vec().into()
}

#[test]
fn a_true_announcement_is_taken_from_anybody_who_passes_it_on() {
    let (mut world, follower, stranger) = talk(1);
    let key = world.sim.key(world.owner).clone();
    let data = announce(&world, &key, world.sim.now());
    world.sim.gossip(stranger, Topic::Data(world.log), &data);
    world.sim.run_for(SECOND);
    assert_eq!(world.adopted(follower), 25);
    assert_eq!(world.status(follower).held_records, 25);
    world.check(follower);
    assert!(world.sim.accusations().is_empty());
}

#[test]
fn false_gossip_is_rejected_by_name_and_stores_nothing() {
    let (world, ..) = talk(2);
    let key = world.sim.key(world.owner).clone();
    let other = SigningKey::from_secret(&mut [200; 32]);
    let now = world.sim.now();
    let good = announce(&world, &key, now);
    let root = Hash([3; 32]);
    let unsigned = Head::of_tree(world.log, Tree { size: 21, root }, now);
    let stranger_signed = unsigned.sign(&other).to_wire();
    let on_data = [
        announce(&world, &other, now),
        altered(&good, |wire| wire.records = Bytes::new()),
        altered(&good, |wire| wire.compact_range.clear()),
        altered(&good, |wire| wire.first = 19),
        altered(&good, |wire| {
            let mut records = wire.records.to_vec();
            *records.last_mut().unwrap() ^= 1;
            wire.records = records.into();
        }),
        good.slice(..good.len() - 1),
        Bytes::from([&good[..], &[0x10, 1]].concat()),
        Bytes::from_static(b"\xff"),
        Bytes::new(),
        Bytes::from(vec![0; MAX_GOSSIP_BYTES + 1]),
    ];
    let on_meta = [
        meta(v1::meta::Body::Head(stranger_signed.clone())),
        meta(v1::meta::Body::Fork(v1::ForkProof {
            smaller: Some(stranger_signed.clone()),
            larger: Some(stranger_signed),
            left: vec![],
            right: vec![],
            common: None,
        })),
        Bytes::from_static(b"\xff"),
        Bytes::from(vec![0; MAX_GOSSIP_BYTES + 1]),
    ];
    let data = on_data.map(|bytes| (Topic::Data(world.log), bytes));
    let meta = on_meta.map(|bytes| (Topic::Meta(world.log), bytes));
    for (place, (topic, bytes)) in data.into_iter().chain(meta).enumerate() {
        let (mut world, follower, stranger) = talk(2);
        world.sim.gossip(stranger, topic, &bytes);
        world.sim.run_for(SECOND);
        let accused = accusations(&world.sim, follower, stranger);
        assert_eq!(accused, ["false gossip"], "{place}");
        assert_eq!(world.status(follower).held_records, 20, "{place}");
        assert!(world.status(follower).fork.is_none());
        world.publish(1);
        world.complete(follower, SECOND);
    }
}

#[test]
fn a_message_with_fields_of_a_later_version_is_neither_taken_nor_held_against_anybody() {
    for field in [&[0x78, 1][..], &[0x82, 4, 0]] {
        let (mut world, follower, stranger) = talk(7);
        let key = world.sim.key(world.owner).clone();
        let time = world.status(follower).head.unwrap().time.offset(1);
        let data = announce(&world, &key, time);
        let synced = v1::meta::Body::Synced(v1::Synced::default());
        for (topic, bytes) in [
            (Topic::Data(world.log), &data),
            (Topic::Meta(world.log), &meta(synced)),
        ] {
            let later = Bytes::from([bytes, field].concat());
            world.sim.gossip(stranger, topic, &later);
        }
        world.sim.run_for(SECOND);
        assert_eq!(accusations(&world.sim, follower, stranger), [""; 0]);
        assert_eq!(world.adopted(follower), 20);
        // Without that field it is news.
        world.sim.gossip(stranger, Topic::Data(world.log), &data);
        world.sim.run_for(SECOND);
        assert_eq!(world.adopted(follower), 25);
    }
}

#[test]
fn a_larger_head_is_taken_whatever_its_time_and_another_only_within_a_minute() {
    for (seed, off) in (3..).zip([-3_600, -61, 61, 601, 3_600, 1 << 36]) {
        let (mut world, follower, stranger) = talk(seed);
        let key = world.sim.key(world.owner).clone();
        let heard = world.status(follower).head.unwrap().time;
        let topic = Topic::Data(world.log);
        let data = announce(&world, &key, heard.offset(off * SECOND as i64));
        world.sim.gossip(stranger, topic, &data);
        world.sim.run_for(SECOND);
        assert_eq!(world.adopted(follower), 25, "{off} s");
        // What is older than that by more than a minute is not looked at, even
        // where it would show a fork.
        let head = world.status(follower).head.unwrap();
        let other = |us: i64| {
            let root = Hash([3; 32]);
            Head::of_tree(world.log, Tree { size: 25, root }, head.time.offset(-us))
        };
        let minute = MINUTE as i64;
        let [late, just] = [minute + 1, minute].map(|us| other(us).sign(&key).to_wire());
        for (wire, is_fork) in [(late, false), (just, true)] {
            let data = meta(v1::meta::Body::Head(wire));
            world.sim.gossip(stranger, Topic::Meta(world.log), &data);
            world.sim.run_for(SECOND);
            assert_eq!(world.status(follower).fork.is_some(), is_fork, "{off} s");
        }
    }
}

#[test]
fn what_is_not_new_is_not_passed_on() {
    let (mut world, follower, stranger) = talk(4);
    let key = world.sim.key(world.owner).clone();
    let listener = world.follower(&[follower]);
    world.complete(listener, MINUTE);
    let topic = Topic::Data(world.log);
    let time = world.status(follower).head.unwrap().time;
    // The head of the same tree and time, in another message.
    let old = appender(20);
    let head = old.head(world.log, time).sign(&key);
    let again = Announcement::encode(&head, old.frontier(), &Bytes::new(), old.frontier());
    let before = world.sim.nodes[listener.0].seen.len();
    world.sim.gossip(stranger, topic, &again);
    world.sim.run_for(SECOND);
    assert_eq!(world.sim.nodes[listener.0].seen.len(), before);
    let news = announce(&world, &key, world.sim.now());
    world.sim.gossip(stranger, topic, &news);
    world.sim.run_for(SECOND);
    assert!(world.sim.nodes[listener.0].seen.len() > before);
    assert!(world.sim.accusations().is_empty());
}

#[test]
fn a_head_is_renewed_while_nothing_is_published_and_followers_hear_of_it() {
    let mut world = World::new(5, 3, 20);
    let owner = world.owner;
    let near = world.full_follower(&[owner]);
    let far = world.full_follower(&[near]);
    let before = world.status(far).head.unwrap().time;
    world.sim.run_for(11 * MINUTE);
    let after = world.status(far).head.unwrap().time;
    assert!(after.since(before) >= 9 * MINUTE);
    assert!(world.sim.accusations().is_empty());
}

#[test]
fn a_clock_that_was_wrong_once_does_not_make_a_follower_deaf() {
    let mut world = World::new(6, 2, 0);
    let owner = world.owner;
    // The owner believes to be a year ahead when it signs the first records.
    let year = 365 * 24 * 60 * MINUTE;
    let key = world.sim.key(owner).clone();
    let head = appender(20).head(world.log, world.sim.now().plus(year));
    let wrong = head.sign(&key).to_wire();
    world.publish(20);
    world.sim.twist(
        owner,
        Box::new(move |mut frame| {
            if let Some(v1::frame::Body::Head(state)) = &mut frame.body {
                state.head = Some(wrong.clone());
            }
            Twisted::Frame(frame)
        }),
    );
    let follower = world.full_follower(&[owner]);
    assert!(world.status(follower).head.unwrap().time > world.sim.now());
    world.publish(3);
    world.sim.run_for(SECOND / 2);
    assert_eq!(world.adopted(follower), 23);
    world.check(follower);
}

#[test]
fn an_announcement_that_comes_before_the_manifest_is_kept_for_it() {
    let mut world = World::new(8, 2, 20);
    let follower = world.sim.add_node();
    let stranger = world.sim.add_node();
    world.sim.follow(follower, world.log);
    world.sim.connect(stranger, follower);
    world.sim.run_for(SECOND);
    let key = world.sim.key(world.owner).clone();
    let data = announce(&world, &key, world.sim.now());
    world.sim.gossip(stranger, Topic::Data(world.log), &data);
    world.sim.run_for(SECOND);
    assert_eq!(world.status(follower).held_records, 0);
    // The owner answers nothing but what the stream is.
    world.sim.twist(
        world.owner,
        Box::new(|frame| match frame.body {
            Some(v1::frame::Body::Manifest(_)) => Twisted::Frame(frame),
            _ => Twisted::Nothing,
        }),
    );
    world.sim.connect(world.owner, follower);
    world.sim.run_for(SECOND);
    assert_eq!(world.adopted(follower), 25);
    assert_eq!(world.status(follower).held_records, 5);
    assert!(world.sim.accusations().is_empty());
}

#[test]
fn what_gossip_lost_is_told_to_everybody_by_the_first_that_hears_of_it() {
    for seed in 0..10 {
        let mut world = World::new(seed, 2, 40);
        let mut line = vec![world.owner];
        for i in 0..6 {
            let before = line[i];
            line.push(world.full_follower(&[before]));
        }
        let gossip_loss = 1.0;
        let network = NetworkConfig::default();
        (world.sim).set_network(NetworkConfig {
            gossip_loss,
            ..network
        });
        world.publish(3 + seed * 1_000);
        world.sim.run_for(SECOND);
        world.sim.set_network(network);
        let (log, size) = (world.log, world.size);
        let lacks = |sim: &Sim, node| sim.status(node, log).unwrap().held_records < size;
        assert!(
            (world.sim).run_while(2 * MINUTE, |sim| lacks(sim, line[1])),
            "seed {seed}"
        );
        // Each of them would have asked on its own in a quarter of a minute.
        for &node in &line[2..] {
            assert!(
                (world.sim).run_while(3 * SECOND, |sim| lacks(sim, node)),
                "seed {seed}"
            );
        }
    }
}
