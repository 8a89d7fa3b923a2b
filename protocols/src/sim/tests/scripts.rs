//! Random scripts: whatever happens, what is held is true and can be passed on.

use super::*;
use crate::merkle::prove_range;
use crate::sync::Lane;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Publish(u64),
    Wait(u64),
    /// Connects or disconnects a pair.
    Toggle(usize, usize),
    Reset(usize, usize),
    Crash(usize, Option<u8>),
    Loss(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let node = || 0_usize..4;
    let act = prop_oneof![
        4 => (1_u64..40).prop_map(Act::Publish),
        4 => (0_u64..400_000).prop_map(Act::Wait),
        3 => (node(), node()).prop_map(|(a, b)| Act::Toggle(a, b)),
        1 => (node(), node()).prop_map(|(a, b)| Act::Reset(a, b)),
        2 => (node(), prop::option::of(any::<u8>())).prop_map(|(a, p)| Act::Crash(a, p)),
        1 => (0_u8..100).prop_map(Act::Loss),
    ];
    prop::collection::vec(act, 5..40)
}

fn act(world: &mut World, nodes: &[NodeId], act: Act) {
    match act {
        Act::Publish(count) => world.publish(count),
        Act::Wait(duration) => world.sim.run_for(duration),
        Act::Toggle(a, b) if a != b => {
            if !world.sim.connect(nodes[a], nodes[b]) {
                world.sim.cut(nodes[a], nodes[b]);
            }
        }
        Act::Reset(a, b) if a != b => world.sim.reset_streams(nodes[a], nodes[b]),
        Act::Toggle(..) | Act::Reset(..) => {}
        Act::Crash(node, power) => {
            let unsynced = world.sim.store(nodes[node]).unsynced();
            let crash = power.map_or(Crash::Process, |p| {
                Crash::Power(usize::from(p) % (unsynced + 1))
            });
            world.sim.crash(nodes[node], crash);
            world.sim.reopen(nodes[node]);
        }
        Act::Loss(percent) => world.sim.set_network(NetworkConfig {
            gossip_loss: f64::from(percent) / 100.0,
            gossip_duplication: 0.1,
            ..NetworkConfig::default()
        }),
    }
}

/// Whatever a node holds it can prove against its adopted head, from any
/// record to any other one.
fn can_serve_all_it_holds(world: &World, node: NodeId) {
    let status = world.status(node);
    let (Some(key), Some(head)) = (status.key, status.head) else {
        return;
    };
    let history = History::new(&**world.sim.store(node), key);
    for interval in status.held {
        for from in interval.from..interval.to {
            let ends = [from + 1, (from + interval.to).div_ceil(2), interval.to];
            for to in ends {
                let proof = prove_range(&history, from, to, head.size);
                assert!(proof.is_ok(), "[{from}, {to}) of {}: {proof:?}", head.size);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_what_is_held_is_true_and_everybody_gets_everything_in_the_end(
        seed in any::<u64>(), level in 0_u8..5, script in acts(),
    ) {
        let mut world = World::new(seed, level, 30);
        let owner = world.owner;
        let mut nodes = vec![owner];
        for i in 0..3 {
            let neighbour = nodes[i];
            nodes.push(world.follower(&[neighbour]));
        }
        for step in script {
            act(&mut world, &nodes, step);
            for &node in &nodes {
                world.check(node);
                can_serve_all_it_holds(&world, node);
            }
        }
        world.sim.set_network(NetworkConfig::default());
        world.sim.connect_line(&nodes);
        for &node in &nodes {
            world.complete(node, 3 * MINUTE);
            prop_assert!(world.status(node).fork.is_none());
            prop_assert!(world.status(node).stopped_for_good.is_none());
        }
        prop_assert!(world.sim.accusations().is_empty(), "{:?}", world.sim.accusations());
    }

    /// A follower that joined live, in the middle of a chunk and of history,
    /// serves all that it has to a third node.
    #[test]
    fn a_follower_that_joined_in_mid_chunk_serves_all_it_holds_to_a_third_node(
        seed in any::<u64>(), level in 0_u8..5, before in 0_u64..70,
        live in prop::collection::vec((1_u64..12, any::<bool>()), 1..8),
    ) {
        let mut world = World::new(seed, level, before);
        let owner = world.owner;
        // Nobody answers questions for ranges: only what is announced comes.
        world.sim.twist(owner, Box::new(|frame| match &frame.body {
            Some(v1::frame::Body::OfferedHashes(_)) => {
                let why = v1::refused::Why::NotHeld.into();
                let body = Some(v1::frame::Body::Refused(v1::Refused { why }));
                Twisted::Frame(v1::Frame { id: frame.id, body })
            }
            _ => Twisted::Frame(frame),
        }));
        let follower = world.follower(&[owner]);
        world.sim.run_for(SECOND);
        for (count, is_lost) in live {
            let gossip_loss = f64::from(u8::from(is_lost));
            world.sim.set_network(NetworkConfig { gossip_loss, ..NetworkConfig::default() });
            world.publish(count);
            world.sim.run_for(SECOND);
        }
        world.sim.crash(owner, Crash::Process);
        world.check(follower);
        can_serve_all_it_holds(&world, follower);
        let held = world.status(follower).held_records;
        let third = world.follower(&[follower]);
        world.sim.run_for(20 * SECOND);
        prop_assert_eq!(world.adopted(third), world.adopted(follower));
        prop_assert_eq!(world.status(third).held_records, held);
        world.check(third);
        can_serve_all_it_holds(&world, third);
        prop_assert!(world.sim.accusations().is_empty());
    }

    /// Any frame at all, from a stranger: answered, refused or held against
    /// the stranger, and nothing breaks.
    #[test]
    fn any_bytes_on_a_stream_or_topic_are_survived(
        seed in any::<u64>(),
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..20),
    ) {
        let mut world = World::new(seed, 2, 30);
        let owner = world.owner;
        let follower = world.full_follower(&[owner]);
        let stranger = world.sim.add_node();
        for bytes in frames {
            world.sim.connect(stranger, follower);
            world.sim.run_for(SECOND / 10);
            let bytes = Bytes::from(bytes);
            world.sim.gossip(stranger, Topic::Data(world.log), &bytes);
            world.sim.gossip(stranger, Topic::Meta(world.log), &bytes);
            world.sim.send(stranger, follower, Lane::Control, bytes);
            world.sim.run_for(SECOND / 10);
        }
        world.publish(3);
        world.complete(follower, MINUTE);
    }
}
