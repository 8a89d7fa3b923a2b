//! Joiners that know nobody who has the stream, and find them on its meta topic.

use super::*;
use crate::limits::{
    ACCEPTED_OFFERS, JOIN_ALLOWANCE, MAX_JOIN_ATTEMPTS, MAX_JOIN_INTERVALS, OFFER_DEADLINE_US,
    RENDEZVOUS_AFTER_US, WANTED_OFFERS,
};
use crate::meta::Join;
use crate::ranges::IntervalSet;
use crate::sealed::OpeningKey;
use v1::meta::Body;

/// A stream whose publisher and `listeners` followers have all of it and know
/// each other only through an introducer.
fn apart(seed: u64, listeners: usize) -> (World, NodeId, Vec<NodeId>) {
    let mut world = World::new(seed, 2, 300);
    let owner = world.owner;
    let introducer = world.sim.add_introducer();
    let mut nodes = vec![owner];
    for _ in 0..listeners {
        nodes.push(world.follower(&[owner]));
    }
    for &node in &nodes[1..] {
        world.complete(node, MINUTE);
        world.sim.cut(owner, node);
    }
    for &node in &nodes {
        world.sim.connect(node, introducer);
    }
    world.sim.run_for(SECOND);
    assert_eq!(joins(&world), 0, "nobody lacks anything");
    (world, introducer, nodes)
}

fn count(world: &World, is_wanted: impl Fn(&Body) -> bool) -> usize {
    let said = world.sim.said().iter();
    said.filter(|said| is_wanted(&said.body)).count()
}

fn joins(world: &World) -> usize {
    count(world, |body| matches!(body, Body::Join(_)))
}

fn offers(world: &World) -> usize {
    count(world, |body| matches!(body, Body::Offer(_)))
}

fn dialled(world: &World, by: NodeId) -> Vec<NodeId> {
    let dials = world.sim.dials().iter();
    dials
        .filter(|(from, _)| *from == by)
        .map(|&(_, to)| to)
        .collect()
}

#[test]
fn a_joiner_that_knows_nobody_gets_a_few_offers_however_many_listen() {
    for listeners in [3, 10, 50] {
        let mut sum = 0;
        let runs = 6;
        for seed in 0..runs {
            let (mut world, introducer, _) = apart(seed, listeners);
            let joiner = world.follower(&[introducer]);
            world.complete(joiner, 20 * SECOND);
            // Nobody is dialled who was not accepted.
            assert!(
                dialled(&world, joiner).len() <= ACCEPTED_OFFERS,
                "seed {seed}"
            );
            assert!(world.sim.accusations().is_empty());
            sum += offers(&world);
        }
        let mean = sum as f64 / runs as f64;
        let wanted = f64::from(WANTED_OFFERS);
        assert!(
            mean >= 1.0 && mean <= 2.5 * wanted,
            "{mean} offers of {listeners}"
        );
    }
}

#[test]
fn in_a_mesh_where_nobody_sees_everybody_a_joiner_gets_a_few_offers() {
    let mut sum = 0;
    for seed in 0..4 {
        let mut world = World::new(seed, 2, 50);
        let mut nodes = vec![world.owner];
        // Each is connected to a few of those before it.
        for n in 1..50_usize {
            let known = [n / 2, n / 3, n - 1].map(|place| nodes[place]);
            nodes.push(world.follower(&known));
        }
        for &node in &nodes[1..] {
            world.complete(node, MINUTE);
        }
        let before = world.sim.said().len();
        // The one that the joiner knows has nothing for it.
        let introducer = world.sim.add_introducer();
        world.sim.connect(introducer, nodes[49]);
        world.sim.connect(introducer, nodes[48]);
        world.sim.run_for(SECOND);
        let joiner = world.follower(&[introducer]);
        world.complete(joiner, 20 * SECOND);
        let said = &world.sim.said()[before..];
        sum += said
            .iter()
            .filter(|said| matches!(said.body, Body::Offer(_)))
            .count();
    }
    assert!((4..=64).contains(&sum), "{sum} offers in four runs");
}

#[test]
fn the_publisher_is_accepted_if_it_offers() {
    let mut offered = 0;
    for seed in 0..12 {
        let (mut world, introducer, _) = apart(seed, 5);
        let joiner = world.follower(&[introducer]);
        world.complete(joiner, 20 * SECOND);
        let said = world.sim.said();
        let accepted = said
            .iter()
            .find(|said| matches!(said.body, Body::Accept(_)));
        // What was said just before may still have been on its way.
        let until = Timestamp(accepted.unwrap().at.0 - 100_000);
        let owner = world.owner;
        let mut offers = said
            .iter()
            .filter(|said| matches!(said.body, Body::Offer(_)));
        if offers.any(|said| said.by == owner && said.at < until) {
            offered += 1;
            let dialled = dialled(&world, joiner);
            assert_eq!(dialled.first(), Some(&owner), "seed {seed}");
        }
    }
    assert!(offered > 2, "the publisher offered {offered} times");
}

#[test]
fn peers_that_cannot_be_dialled_are_met_at_the_rendezvous() {
    for seed in 0..4 {
        let (mut world, introducer, nodes) = apart(seed, 3);
        let joiner = world.follower(&[introducer]);
        for &node in nodes.iter().chain([&joiner]) {
            world.sim.set_reach(node, Reach::Hidden);
        }
        let begin = world.sim.now();
        world.complete(joiner, 30 * SECOND);
        assert!(
            world.sim.now().since(begin) >= RENDEZVOUS_AFTER_US,
            "seed {seed}"
        );
    }
}

#[test]
fn a_joiner_that_everybody_reaches_is_dialled_by_those_whom_nobody_reaches() {
    let (mut world, introducer, nodes) = apart(1, 3);
    for &node in &nodes {
        world.sim.set_reach(node, Reach::Nowhere);
    }
    let joiner = world.follower(&[introducer]);
    world.complete(joiner, 20 * SECOND);
    assert!(world.sim.dials().iter().any(|&(_, to)| to == joiner));
}

#[test]
fn an_offer_that_is_not_delivered_counts_and_others_are_found() {
    for seed in 0..4 {
        let (mut world, introducer, nodes) = apart(seed, 4);
        let owner = world.owner;
        let joiner = world.follower(&[introducer]);
        // At first nobody can be connected to.
        for &node in nodes.iter().chain([&joiner]) {
            world.sim.set_reach(node, Reach::Nowhere);
        }
        let accepted = world.sim.run_while(20 * SECOND, |sim| {
            !(sim.said().iter()).any(|said| matches!(said.body, Body::Accept(_)))
        });
        assert!(accepted);
        let first: Vec<_> = dialled(&world, joiner);
        world.sim.run_for(OFFER_DEADLINE_US + SECOND);
        let now = world.sim.now();
        for &node in &first {
            let peer = world.sim.peer(node);
            assert!(
                world.sim.engine(joiner).breaks_offers(&peer, now),
                "seed {seed}"
            );
        }
        assert!(!first.is_empty());
        for &node in &nodes {
            world.sim.set_reach(node, Reach::Open);
        }
        world.complete(joiner, 2 * MINUTE);
        let _ = owner;
    }
}

#[test]
fn who_offers_more_than_it_has_is_marked() {
    // It says on the stream that it has nothing, in spite of its offer.
    let (mut world, introducer, nodes) = apart(3, 0);
    let owner = nodes[0];
    world.sim.twist(
        owner,
        Box::new(|mut frame| {
            if let Some(v1::frame::Body::Head(state)) = &mut frame.body {
                state.held.clear();
            }
            Twisted::Frame(frame)
        }),
    );
    let joiner = world.follower(&[introducer]);
    world.sim.run_for(OFFER_DEADLINE_US + 10 * SECOND);
    let (owner, now) = (world.sim.peer(owner), world.sim.now());
    assert!(world.sim.engine(joiner).breaks_offers(&owner, now));
}

#[test]
fn a_joiner_that_nobody_can_help_asks_six_times_and_rests() {
    let mut world = World::new(1, 2, 10);
    let introducer = world.sim.add_introducer();
    let others = [world.follower(&[introducer]), world.follower(&[introducer])];
    world.sim.run_for(30 * SECOND);
    // Each waits for somebody who listens, and has asked in vain.
    assert_eq!(
        joins(&world),
        others.len() * (MAX_JOIN_ATTEMPTS as usize + 1)
    );
    assert_eq!(offers(&world), 0);
    let before = world.sim.queue.pushed();
    world.sim.run_for(10 * MINUTE);
    let events = world.sim.queue.pushed() - before;
    assert!(events < 2_000, "{events} events in ten minutes of silence");
}

#[test]
fn only_those_who_have_what_is_lacking_answer() {
    let mut world = World::new(2, 2, 100);
    let owner = world.owner;
    let introducer = world.sim.add_introducer();
    // It has everything that there is so far, and then hears of more.
    let behind = world.full_follower(&[owner]);
    world.sim.cut(owner, behind);
    let ahead = world.follower(&[owner]);
    world.publish(100);
    world.complete(ahead, MINUTE);
    let joiner = world.full_follower(&[owner]);
    world.sim.crash(owner, Crash::Process);
    world.sim.cut(owner, joiner);
    for node in [behind, ahead, joiner] {
        world.sim.connect(node, introducer);
    }
    world.sim.run_for(20 * SECOND);
    // Only `behind` could lack something, and it does not know.
    assert_eq!(joins(&world), 0);
    let newcomer = world.follower(&[introducer]);
    world.complete(newcomer, 30 * SECOND);
}

/// A join as an attacker makes it.
fn false_join(number: u64) -> Bytes {
    let mut random = [9; 32];
    random[..8].copy_from_slice(&number.to_be_bytes());
    Join {
        key: OpeningKey::from_random(random).public(),
        size: 0,
        held: IntervalSet::new(),
        wish: None,
        attempt: MAX_JOIN_ATTEMPTS,
        lacks_manifest: true,
    }
    .encode()
}

#[test]
fn a_flood_of_joins_by_one_author_is_not_passed_on_and_hardly_answered() {
    let (mut world, introducer, nodes) = apart(1, 20);
    let attacker = world.sim.add_node();
    world.sim.connect(attacker, introducer);
    world.sim.connect(attacker, nodes[3]);
    let topic = Topic::Meta(world.log);
    // Some have told others that they have everything.
    let before = world.sim.nodes[nodes[9].0].seen.len();
    for number in 0..1_000 {
        world.sim.gossip(attacker, topic, &false_join(number));
        world.sim.run_for(1_000);
    }
    world.sim.run_for(5 * SECOND);
    let (_, burst) = JOIN_ALLOWANCE;
    // Each of the few joins that pass gets no more offers than any other.
    let most = (burst as usize + 1) * WANTED_OFFERS as usize * (MAX_JOIN_ATTEMPTS as usize + 2);
    let offered = offers(&world);
    assert!(
        offered > 0 && offered <= most,
        "{offered} offers, {most} at most"
    );
    let heard = world.sim.nodes[nodes[9].0].seen.len() - before;
    assert!(
        heard <= burst as usize + 1 + offered,
        "{heard} messages passed on"
    );
    assert!(world.sim.accusations().is_empty());

    // Others are served meanwhile.
    let joiner = world.follower(&[introducer]);
    world.complete(joiner, 30 * SECOND);
}

#[test]
fn malformed_messages_are_rejected_and_forged_ones_do_nothing() {
    let (mut world, introducer, nodes) = apart(1, 2);
    let victim = nodes[1];
    let topic = Topic::Meta(world.log);
    let meta = |body| Bytes::from(v1::Meta { body: Some(body) }.encode_to_vec());
    let key = Bytes::from_static(&[7; 32]);
    let malformed = [
        meta(Body::Join(v1::Join::default())),
        meta(Body::Join(v1::Join {
            key: key.clone(),
            held: vec![v1::Interval { from: 1, to: 2 }; MAX_JOIN_INTERVALS + 1],
            ..v1::Join::default()
        })),
        meta(Body::Offer(v1::Offer {
            to: key.clone(),
            sealed: Bytes::from_static(&[1; 20]),
        })),
        meta(Body::Accept(v1::Accept {
            from: key.clone(),
            to: Bytes::from_static(&[1; 33]),
            sealed: vec![0; 64].into(),
        })),
    ];
    for (number, bytes) in malformed.iter().enumerate() {
        for at in [victim, introducer] {
            let attacker = world.sim.add_node();
            world.sim.connect(attacker, at);
            world.sim.gossip(attacker, topic, bytes);
            world.sim.run_for(SECOND);
            let accused = accusations(&world.sim, at, attacker);
            // The introducer and the victim may have heard it from each other.
            assert_eq!(accused, ["false gossip"], "message {number}");
            world.sim.nodes[at.0].seen.clear();
        }
    }

    // An offer to everybody who joins that nobody can open, in everybody's name.
    let attacker = world.sim.add_node();
    world.sim.connect(attacker, introducer);
    let before = world.sim.dials().len();
    let joiner = world.follower(&[introducer]);
    let log = world.log;
    let asked = world.sim.run_while(5 * SECOND, |sim| {
        !sim.said()
            .iter()
            .any(|said| matches!(said.body, Body::Join(_)))
    });
    assert!(asked);
    let Some(Body::Join(join)) = world.sim.said().last().map(|said| said.body.clone()) else {
        panic!("no join");
    };
    let forged = meta(Body::Offer(v1::Offer {
        to: join.key,
        sealed: vec![5; 300].into(),
    }));
    world.sim.run_for(50_000);
    world.sim.gossip(attacker, Topic::Meta(log), &forged);
    world.complete(joiner, 30 * SECOND);
    let dials = &world.sim.dials()[before..];
    assert!(dials.iter().all(|&(_, to)| to != attacker));
    assert!(accusations(&world.sim, joiner, introducer).is_empty());
}

#[test]
fn a_copied_offer_does_not_count_for_the_copier() {
    let (mut world, introducer, _) = apart(5, 3);
    let attacker = world.sim.add_node();
    world.sim.connect(attacker, introducer);
    let joiner = world.follower(&[introducer]);
    let offered = world.sim.run_while(20 * SECOND, |sim| {
        !sim.said()
            .iter()
            .any(|said| matches!(said.body, Body::Offer(_)))
    });
    assert!(offered);
    let body = world.sim.said().last().map(|said| said.body.clone());
    // Another field makes it another message.
    let mut copy = v1::Meta { body }.encode_to_vec();
    copy.extend_from_slice(&[0x78, 1]);
    let topic = Topic::Meta(world.log);
    world.sim.gossip(attacker, topic, &copy.into());
    world.complete(joiner, 20 * SECOND);
    assert!(world.sim.dials().iter().all(|&(_, to)| to != attacker));
}

#[test]
fn the_same_seed_gives_the_same_joins_offers_and_acceptances() {
    let run = |seed| {
        let (mut world, introducer, _) = apart(seed, 6);
        let joiner = world.follower(&[introducer]);
        world.complete(joiner, 20 * SECOND);
        world.sim.trace()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn an_introducer_leaves_a_topic_when_nobody_needs_it_any_more() {
    let (mut world, introducer, nodes) = apart(1, 2);
    let topic = Topic::Meta(world.log);
    assert!(world.sim.nodes[introducer.0].topics.contains(&topic));
    for &node in &nodes[1..] {
        world.sim.cut(node, introducer);
    }
    world.sim.run_for(SECOND);
    assert!(!world.sim.nodes[introducer.0].topics.contains(&topic));
}
