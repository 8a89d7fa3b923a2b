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

#[test]
fn three_hundred_nodes_in_a_random_mesh_end_alike() {
    let mut world = World::new(4, 3, 100);
    let mut nodes = vec![world.owner];
    for i in 1..300 {
        let mut neighbours = Vec::new();
        for _ in 0..3 {
            neighbours.push(nodes[world.sim.dice(i) as usize]);
        }
        nodes.push(world.follower(&neighbours));
    }
    for _ in 0..5 {
        world.sim.run_for(SECOND);
        world.publish(2);
    }
    let root = world.status(world.owner).head.unwrap().root;
    for node in nodes {
        world.complete(node, MINUTE);
        assert_eq!(world.status(node).head.unwrap().root, root);
    }
    assert!(world.sim.accusations().is_empty());
}
