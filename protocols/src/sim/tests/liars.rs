//! Peers that lie, break off, or keep silent.

use super::*;
use crate::limits::{MAX_FRAME_BYTES, MAX_UNTAKEN_OF_PEER};
use crate::sync::Lane;
use v1::frame::Body;

/// A stream of 5,000 records, a liar and an honest subscriber that have all of
/// it, and a joiner that knows both. The publisher is gone.
fn liar_and_honest(seed: u64, twist: Twist) -> (World, NodeId, NodeId, NodeId) {
    let mut world = World::new(seed, 2, 5_000);
    let owner = world.owner;
    let liar = world.full_follower(&[owner]);
    let honest = world.full_follower(&[owner]);
    world.sim.crash(owner, Crash::Process);
    world.sim.twist(liar, twist);
    let joiner = world.follower(&[liar, honest]);
    (world, liar, honest, joiner)
}

/// The liar is named and dropped, and the other one brings what is missing.
fn named_dropped_and_replaced(twist: fn() -> Twist) {
    for seed in 0..5 {
        let (mut world, liar, honest, joiner) = liar_and_honest(seed, twist());
        world.complete(joiner, MINUTE);
        assert_eq!(
            accusations(&world.sim, joiner, liar).len(),
            1,
            "seed {seed}"
        );
        assert!(accusations(&world.sim, joiner, honest).is_empty());
        let liar = world.sim.peer(liar);
        assert!(!world.status(joiner).sources.contains(&liar));
    }
}

/// Changes the bodies of frames.
fn bodies(mut change: impl FnMut(&mut Body) + 'static) -> Twist {
    Box::new(move |mut frame| {
        if let Some(body) = &mut frame.body {
            change(body);
        }
        Twisted::Frame(frame)
    })
}

fn altered(bytes: &Bytes, place: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[place] ^= 1;
    bytes.into()
}

#[test]
fn a_peer_that_serves_altered_bytes_is_named_dropped_and_replaced() {
    named_dropped_and_replaced(|| {
        bodies(|body| {
            if let Body::Delivery(delivery) = body {
                let last = delivery.chunks.last_mut().unwrap();
                *last = altered(last, last.len() - 1);
            }
        })
    });
}

#[test]
fn a_peer_that_alters_one_chunk_among_many_is_found_out_and_nothing_of_it_is_kept() {
    let mut found_out = 0;
    for seed in 0..5 {
        let mut deliveries = 0;
        let twist = bodies(move |body| {
            if let Body::Delivery(delivery) = body {
                deliveries += 1;
                if deliveries == 3 {
                    let place = delivery.chunks.len() / 2;
                    let chunk = &mut delivery.chunks[place];
                    *chunk = altered(chunk, 4);
                }
            }
        });
        let (mut world, liar, _, joiner) = liar_and_honest(seed, twist);
        world.complete(joiner, MINUTE);
        let accused = accusations(&world.sim, joiner, liar);
        // It may have been spared because the other one had all the work.
        assert!(accused.len() <= 1);
        found_out += accused.len();
        world.check(joiner);
    }
    assert!(found_out >= 2, "{found_out} of 5");
}

#[test]
fn a_peer_that_offers_false_hashes_is_named_dropped_and_replaced() {
    named_dropped_and_replaced(|| {
        bodies(|body| {
            if let Body::OfferedHashes(offer) = body {
                offer.addresses = altered(&offer.addresses, 5);
            }
        })
    });
}

#[test]
fn a_peer_that_offers_what_was_not_asked_is_named_dropped_and_replaced() {
    named_dropped_and_replaced(|| {
        bodies(|body| {
            if let Body::OfferedHashes(offer) = body {
                offer.intervals.last_mut().unwrap().to += 4;
            }
        })
    });
}

#[test]
fn a_peer_that_delivers_twice_is_named_dropped_and_replaced() {
    named_dropped_and_replaced(|| {
        bodies(|body| {
            if let Body::Delivery(delivery) = body {
                let first = delivery.chunks[0].clone();
                delivery.chunks.insert(0, first);
            }
        })
    });
}

#[test]
fn a_peer_that_answers_with_another_kind_is_named_dropped_and_replaced() {
    named_dropped_and_replaced(|| {
        bodies(|body| {
            if let Body::OfferedHashes(_) = body {
                *body = Body::Extension(v1::Extension::default());
            }
        })
    });
}

#[test]
fn a_peer_that_sends_truncated_frames_is_named_dropped_and_replaced() {
    named_dropped_and_replaced(|| {
        Box::new(|frame| match &frame.body {
            Some(Body::Delivery(_)) => {
                let bytes = frame.encode_to_vec();
                Twisted::Bytes(Bytes::copy_from_slice(&bytes[..bytes.len() / 2]))
            }
            _ => Twisted::Frame(frame),
        })
    });
}

#[test]
fn a_peer_that_claims_a_head_nobody_signed_is_named_dropped_and_replaced() {
    named_dropped_and_replaced(|| {
        bodies(|body| {
            if let Body::Head(state) = body {
                let head = state.head.as_mut().unwrap();
                head.signature = altered(&head.signature, 9);
            }
        })
    });
}

#[test]
fn a_peer_that_gives_a_false_manifest_is_named_dropped_and_replaced() {
    for seed in 0..5 {
        let mut world = World::new(seed, 2, 5_000);
        let owner = world.owner;
        let [liar, honest] = [(); 2].map(|()| world.full_follower(&[owner]));
        world.sim.crash(owner, Crash::Process);
        let twist = bodies(|body| {
            if let Body::Manifest(manifest) = body {
                manifest.manifest = altered(&manifest.manifest, 40);
            }
        });
        world.sim.twist(liar, twist);
        // The honest one comes later: whoever knows the manifest asks nobody.
        let joiner = world.follower(&[liar]);
        world.sim.run_for(SECOND);
        assert_eq!(
            accusations(&world.sim, joiner, liar).len(),
            1,
            "seed {seed}"
        );
        world.sim.connect(joiner, honest);
        world.complete(joiner, MINUTE);
        assert!(accusations(&world.sim, joiner, honest).is_empty());
    }
}

#[test]
fn a_peer_that_claims_more_than_it_has_is_survived() {
    for seed in 0..5 {
        let mut world = World::new(seed, 2, 5_000);
        let owner = world.owner;
        let honest = world.full_follower(&[owner]);
        // It knows the head and holds nothing.
        let empty = world.follower(&[owner]);
        let log = world.log;
        (world.sim).run_while(MINUTE, |sim| sim.status(empty, log).unwrap().head.is_none());
        world.sim.cut(owner, empty);
        world.sim.crash(owner, Crash::Process);
        let size = world.size;
        let everything = bodies(move |body| {
            if let Body::Head(state) = body {
                state.held = vec![v1::Interval { from: 0, to: size }];
            }
        });
        world.sim.twist(empty, everything);
        let joiner = world.follower(&[empty]);
        world.sim.run_for(SECOND);
        world.sim.connect(joiner, honest);
        world.complete(joiner, MINUTE);
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn a_peer_that_claims_more_than_there_is_is_survived() {
    let twist = bodies(|body| {
        if let Body::Head(state) = body {
            let (from, to) = (0, 1 << 62);
            state.held = vec![v1::Interval { from, to }];
        }
    });
    let (mut world, _, _, joiner) = liar_and_honest(1, twist);
    world.complete(joiner, MINUTE);
}

#[test]
fn a_peer_that_never_answers_is_timed_out_and_replaced() {
    for seed in 0..5 {
        // It says what it has, and then nothing more.
        let silent = Box::new(|frame: v1::Frame| match &frame.body {
            Some(Body::Manifest(_) | Body::Head(_)) => Twisted::Frame(frame),
            _ => Twisted::Nothing,
        });
        let (mut world, ..) = liar_and_honest(seed, silent);
        let joiner = NodeId(3);
        world.complete(joiner, 30 * SECOND);
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn a_peer_that_stops_in_the_middle_is_timed_out_and_replaced() {
    for seed in 0..5 {
        let mut deliveries = 0;
        let stops = Box::new(move |frame: v1::Frame| match &frame.body {
            Some(Body::Delivery(_)) => {
                deliveries += 1;
                if deliveries > 1 {
                    Twisted::Nothing
                } else {
                    Twisted::Frame(frame)
                }
            }
            _ => Twisted::Frame(frame),
        });
        let (mut world, ..) = liar_and_honest(seed, stops);
        world.complete(NodeId(3), 30 * SECOND);
    }
}

#[test]
fn a_peer_that_refuses_everything_does_not_keep_anybody_busy() {
    let refusing = bodies(|body| {
        if let Body::OfferedHashes(_) = body {
            let why = v1::refused::Why::Busy.into();
            *body = Body::Refused(v1::Refused { why });
        }
    });
    let mut world = World::new(1, 2, 500);
    let owner = world.owner;
    world.sim.twist(owner, refusing);
    let joiner = world.follower(&[owner]);
    let before = world.sim.queue.pushed();
    world.sim.run_for(10 * MINUTE);
    let events = world.sim.queue.pushed() - before;
    assert!(
        events < 10_000,
        "{events} events in ten minutes of refusals"
    );
    world.sim.untwist(owner);
    world.complete(joiner, 2 * MINUTE);
}

/// A liar that a follower asks how its log grew.
/// Tells a head without what shows that it extends another one, so that it has
/// to be asked for that.
fn without_news(mut twist: Twist) -> Twist {
    Box::new(move |mut frame| {
        if let Some(Body::Head(state)) = &mut frame.body {
            (state.left, state.right, state.news) = Default::default();
        }
        twist(frame)
    })
}

fn asked_for_an_extension(twist: Twist) {
    let mut world = World::new(1, 2, 20);
    let owner = world.owner;
    let liar = world.full_follower(&[owner]);
    let follower = world.full_follower(&[liar]);
    world.sim.twist(liar, without_news(twist));
    world.sim.set_network(NetworkConfig {
        gossip_loss: 1.0,
        ..NetworkConfig::default()
    });
    world.publish(10);
    world.sim.run_for(MINUTE);
    assert_eq!(accusations(&world.sim, follower, liar).len(), 1);
    assert_eq!(world.adopted(follower), 20);
    world.sim.connect(follower, owner);
    world.complete(follower, 5 * SECOND);
}

#[test]
fn a_peer_that_gives_a_false_extension_is_named_and_another_one_is_asked() {
    asked_for_an_extension(bodies(|body| {
        if let Body::Extension(extension) = body {
            extension.right = altered(&extension.right, 3);
        }
    }));
}

#[test]
fn a_peer_that_answers_with_something_else_than_an_extension_is_named_and_another_one_is_asked() {
    asked_for_an_extension(bodies(|body| {
        if let Body::Extension(_) = body {
            *body = Body::Done(v1::Done {});
        }
    }));
}

/// A reader that has missed ten records asks a liar first, then its publisher.
fn asked_for_news(twist: Twist) {
    let mut world = World::new(1, 2, 20);
    let owner = world.owner;
    let liar = world.full_follower(&[owner]);
    let reader = world.full_follower(&[liar]);
    world.sim.cut(liar, reader);
    world.publish(10);
    world.complete(liar, MINUTE);
    world.sim.twist(liar, twist);
    world.sim.connect(liar, reader);
    world.sim.run_for(SECOND);
    assert_eq!(accusations(&world.sim, reader, liar).len(), 1);
    assert_eq!(world.adopted(reader), 20);
    world.check(reader);
    world.sim.connect(reader, owner);
    world.complete(reader, 5 * SECOND);
}

#[test]
fn a_peer_that_tells_false_news_is_named_and_another_one_is_asked() {
    asked_for_news(bodies(|body| {
        if let Body::Head(state) = body {
            let last = state.news.len() - 1;
            state.news = altered(&state.news, last);
        }
    }));
}

#[test]
fn news_in_the_form_of_a_later_version_is_none_and_its_sender_is_not_to_blame() {
    for field in [5, 70] {
        let mut world = World::new(1, 2, 20);
        let owner = world.owner;
        let newer = world.full_follower(&[owner]);
        let reader = world.full_follower(&[newer]);
        world.sim.cut(newer, reader);
        world.publish(10);
        world.complete(newer, MINUTE);
        let twist = bodies(move |body| {
            if let Body::Head(state) = body
                && !state.news.is_empty()
            {
                let mut news = state.news.to_vec();
                prost::encode_length_delimiter(field << 3 | 2, &mut news).unwrap();
                news.push(0);
                state.news = news.into();
            }
        });
        world.sim.twist(newer, twist);
        world.sim.connect(newer, reader);
        world.complete(reader, 5 * SECOND);
        assert!(accusations(&world.sim, reader, newer).is_empty(), "{field}");
    }
}

#[test]
fn a_peer_that_shows_falsely_how_a_head_extends_another_is_named_and_another_one_is_asked() {
    asked_for_news(bodies(|body| {
        if let Body::Head(state) = body {
            state.news.clear();
            state.left = Bytes::from_static(&[7; 64]);
            state.right = Bytes::from_static(&[7; 96]);
        }
    }));
}

#[test]
fn malformed_and_oversized_frames_name_their_sender_and_store_nothing() {
    let frames = [
        Bytes::from_static(b"\xff\xff\xff\xff"),
        Bytes::from_static(&[0x08]),
        Bytes::from(vec![0; MAX_FRAME_BYTES + 1]),
    ];
    for frame in frames {
        let mut world = World::new(2, 2, 0);
        let owner = world.owner;
        let joiner = world.follower(&[owner]);
        let stranger = world.sim.add_node();
        world.sim.connect(stranger, joiner);
        world.sim.run_for(SECOND);
        world.sim.send(stranger, joiner, Lane::Bulk, frame);
        world.sim.run_for(SECOND);
        assert_eq!(accusations(&world.sim, joiner, stranger).len(), 1);
        assert!(holds_nothing(&world, joiner));
    }
}

#[test]
fn answers_to_what_was_never_asked_are_ignored() {
    let mut world = World::new(3, 2, 0);
    let owner = world.owner;
    let joiner = world.follower(&[owner]);
    let stranger = world.sim.add_node();
    world.sim.connect(stranger, joiner);
    world.sim.run_for(SECOND);
    for id in 0..40 {
        let bodies = [
            Body::Done(v1::Done {}),
            Body::Delivery(v1::Delivery::default()),
            Body::Refused(v1::Refused::default()),
            Body::WantedHashes(v1::WantedHashes::default()),
            Body::Cancel(v1::Cancel {}),
        ];
        for body in bodies {
            world
                .sim
                .send(stranger, joiner, Lane::Control, encoded(body, id));
        }
    }
    world.sim.run_for(SECOND);
    assert!(holds_nothing(&world, joiner));
    world.publish(30);
    world.complete(joiner, SECOND);
}

#[test]
fn senseless_questions_are_refused_and_change_nothing() {
    let mut world = World::new(4, 2, 30);
    let owner = world.owner;
    let asker = world.sim.add_node();
    world.sim.connect(asker, owner);
    world.sim.run_for(SECOND);
    let log = Bytes::copy_from_slice(&world.log.0);
    let root = world.status(owner).head.unwrap().root;
    let root = Bytes::copy_from_slice(&root.0);
    let range = |from, to, size| {
        Body::GetRange(v1::GetRange {
            log: log.clone(),
            size,
            intervals: vec![v1::Interval { from, to }],
            mode: 7,
            priority: -3,
            root: root.clone(),
        })
    };
    let extend = |from_size| {
        let log = log.clone();
        Body::Extend(v1::Extend { log, from_size })
    };
    let head = |log| {
        Body::GetHead(v1::GetHead {
            log,
            size: u64::MAX,
            news: true,
        })
    };
    let lists = |list: &[(u64, u64)]| {
        let mut range = range(0, 30, 30);
        if let Body::GetRange(range) = &mut range {
            let list = list.iter();
            range.intervals = list.map(|&(from, to)| v1::Interval { from, to }).collect();
        }
        range
    };
    let bodies = [
        range(0, 30, 31),
        range(0, u64::MAX, 30),
        range(30, 40, 30),
        range(5, 5, 30),
        range(9, 3, 30),
        range(0, 30, u64::MAX),
        range(0, 30, 0),
        extend(31),
        extend(u64::MAX),
        head(Bytes::new()),
        head(Bytes::from_static(&[1; 33])),
        Body::GetRange(v1::GetRange::default()),
        lists(&[(0, 5), (5, 9)]),
        lists(&[(4, 9), (0, 2)]),
        lists(&[(0, 5), (3, 9)]),
        lists(&(0..1_025).map(|i| (2 * i, 2 * i + 1)).collect::<Vec<_>>()),
    ];
    for (id, body) in (0..).zip(bodies) {
        world
            .sim
            .send(asker, owner, Lane::Control, encoded(body, id));
    }
    world.sim.run_for(SECOND);
    assert!(world.sim.accusations().is_empty());
    assert_eq!(world.sim.delivered(owner, asker), 0);
    let follower = world.follower(&[owner]);
    world.complete(follower, SECOND);
}

#[test]
fn a_peer_that_asks_and_never_reads_gets_no_more_than_fits_into_its_share_of_memory() {
    let mut world = World::new(5, 8, 40_000);
    let owner = world.owner;
    let asker = world.sim.add_node();
    // Nothing that is sent arrives for an hour, so no credit comes back.
    world.sim.connect(asker, owner);
    world.sim.run_for(SECOND);
    let slow = NetworkConfig {
        latency_us: (60 * MINUTE, 60 * MINUTE),
        ..NetworkConfig::default()
    };
    let log = Bytes::copy_from_slice(&world.log.0);
    for id in 0..100_000 {
        let log = log.clone();
        let ask = Body::GetManifest(v1::GetManifest { log });
        world
            .sim
            .send(asker, owner, Lane::Control, encoded(ask, id));
    }
    world.sim.set_network(slow);
    world.sim.run_for(SECOND);
    let sent = world.sim.sent_bytes(owner, asker);
    // With what holds them, these small answers take up more than they have.
    let bound = MAX_UNTAKEN_OF_PEER as u64;
    assert!(sent > bound / 4, "{sent} bytes were sent: nobody asked");
    assert!(sent <= bound * 2 / 3, "{sent} bytes");
}

#[test]
fn a_peer_that_sends_deliveries_without_chunks_is_named_dropped_and_replaced() {
    let empties = bodies(|body| {
        if let Body::Delivery(delivery) = body {
            delivery.chunks.clear();
        }
    });
    let (mut world, liar, _, joiner) = liar_and_honest(3, empties);
    world.complete(joiner, MINUTE);
    assert_eq!(accusations(&world.sim, joiner, liar).len(), 1);
}

#[test]
fn a_peer_that_shows_no_extension_does_not_keep_others_from_showing_it() {
    let mut world = World::new(4, 2, 100);
    let owner = world.owner;
    let silent = world.full_follower(&[owner]);
    let honest = world.full_follower(&[owner]);
    let reader = world.full_follower(&[silent, honest]);
    let twist = Box::new(|frame: v1::Frame| match &frame.body {
        Some(Body::Extension(_)) => Twisted::Nothing,
        _ => Twisted::Frame(frame),
    });
    world.sim.twist(silent, without_news(twist));
    // Too much for one announcement, so that the head must be shown to extend.
    world.publish(20_000);
    world.complete(reader, 30 * SECOND);
}
