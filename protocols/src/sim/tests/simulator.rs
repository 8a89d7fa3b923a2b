//! The simulator itself.

use super::*;

fn run(seed: u64) -> [u8; 32] {
    let config = NetworkConfig {
        gossip_loss: 0.2,
        gossip_duplication: 0.2,
        ..NetworkConfig::default()
    };
    let mut world = World::with_network(seed, config, 3, 200);
    let owner = world.owner;
    let first = world.follower(&[owner]);
    let second = world.follower(&[owner, first]);
    for _ in 0..5 {
        world.publish(7);
        world.sim.run_for(SECOND / 50);
    }
    world.sim.crash(first, Crash::Process);
    world.sim.run_for(SECOND);
    world.sim.reopen(first);
    world.complete(first, MINUTE);
    world.complete(second, MINUTE);
    world.sim.trace()
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another_one() {
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn nodes_at_rest_do_not_wake_each_other_all_the_time() {
    let mut world = World::new(3, 3, 50);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    let before = world.sim.queue.pushed();
    world.sim.run_for(60 * MINUTE);
    world.check(follower);
    let events = world.sim.queue.pushed() - before;
    assert!(events < 5_000, "{events} events in an hour without news");
}

/// Connects a node to others at random until it has three neighbours.
fn keep_company(world: &mut World, nodes: &[NodeId], node: NodeId) {
    for _ in 0..20 {
        if world.sim.nodes[node.0].neighbours.len() >= 3 {
            return;
        }
        let other = nodes[world.sim.dice(nodes.len() as u64) as usize];
        if other != node {
            world.sim.connect(node, other);
        }
    }
}

#[test]
fn a_thousand_nodes_of_which_a_tenth_is_replaced_again_and_again_end_alike() {
    let mut world = World::new(4, 3, 100);
    let mut nodes = vec![world.owner];
    for _ in 1..1_000 {
        let node = world.follower(&[]);
        keep_company(&mut world, &nodes, node);
        nodes.push(node);
        world.sim.run_for(SECOND / 50);
    }
    for _ in 0..5 {
        world.sim.run_for(2 * SECOND);
        world.publish(2);
        for _ in 0..100 {
            // Never the publisher.
            let place = 1 + world.sim.dice(nodes.len() as u64 - 1) as usize;
            let gone = nodes.swap_remove(place);
            world.sim.crash(gone, Crash::Process);
            let new = world.follower(&[]);
            nodes.push(new);
        }
        for &node in &nodes {
            keep_company(&mut world, &nodes, node);
        }
    }
    let root = world.status(world.owner).head.unwrap().root;
    for node in nodes {
        world.complete(node, MINUTE);
        assert_eq!(world.status(node).head.unwrap().root, root);
    }
    assert!(world.sim.accusations().is_empty());
}
