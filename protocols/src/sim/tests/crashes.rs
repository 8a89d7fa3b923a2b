//! Followers that end at the worst moment.

use super::*;

/// A follower that fills in history while live records come. The script stops
/// when the follower's disk was written to `writes` times; `None` when it was
/// over before.
fn follow_until(seed: u64, writes: usize) -> Option<(World, NodeId)> {
    let mut world = World::new(seed, 2, 150);
    let owner = world.owner;
    let follower = world.follower(&[owner]);
    let (mut count, mut last) = (0, None);
    for live in 0..=6 {
        let limit = if live < 6 { SECOND / 8 } else { 2 * SECOND };
        let stopped = world.sim.run_while(limit, |sim| {
            let store = sim.store(follower);
            let state = Some((store.syncs(), store.unsynced()));
            count += usize::from(last.is_some_and(|_| last != state));
            last = state;
            count < writes
        });
        if stopped {
            return Some((world, follower));
        }
        world.publish(3);
    }
    None
}

#[test]
fn a_crash_at_any_commit_leaves_nothing_claimed_that_is_not_there() {
    let mut crashes = 0;
    for writes in 1..60 {
        let Some((world, follower)) = follow_until(1, writes) else {
            break;
        };
        let unsynced = world.sim.store(follower).unsynced();
        let powers = (0..=unsynced).map(Crash::Power);
        for crash in powers.chain([Crash::Process]) {
            let (mut world, follower) = follow_until(1, writes).unwrap();
            world.sim.crash(follower, crash);
            world.sim.reopen(follower);
            world.check(follower);
            world.complete(follower, MINUTE);
            world.publish(2);
            world.complete(follower, MINUTE);
            assert!(world.sim.accusations().is_empty());
            crashes += 1;
        }
    }
    assert!(crashes > 40, "{crashes} crashes");
}

#[test]
fn a_crash_at_any_moment_costs_only_what_was_on_the_way() {
    for seed in 0..20 {
        let mut world = World::new(seed, 2, 10_001);
        let owner = world.owner;
        let joiner = world.follower(&[owner]);
        for _ in 0..5 {
            let wait = 30_000 + world.sim.dice(100_000);
            world.sim.run_for(wait);
            world.sim.crash(joiner, Crash::Process);
            world.sim.run_for(SECOND / 10);
            world.sim.reopen(joiner);
            world.check(joiner);
        }
        world.complete(joiner, MINUTE);
        let delivered = world.sim.delivered(owner, joiner);
        assert_eq!(delivered, chunk_bytes(0, 10_001), "seed {seed}");
    }
}

#[test]
fn what_is_said_to_be_synced_survives_the_loss_of_power() {
    for seed in 0..10 {
        let mut world = World::new(seed, 2, 500);
        let owner = world.owner;
        let follower = world.follower(&[owner]);
        for _ in 0..10 {
            world.publish(5);
            let wait = world.sim.dice(SECOND);
            world.sim.run_for(wait);
            let synced = world.status(follower).synced_size;
            world.sim.crash(follower, Crash::Power(0));
            world.sim.reopen(follower);
            let held = world.status(follower).held;
            let kept = synced == 0 || held.iter().any(|i| i.from == 0 && i.to >= synced);
            assert!(kept, "{synced} synced, {held:?} held");
            world.check(follower);
        }
        world.complete(follower, MINUTE);
    }
}

#[test]
fn a_follower_whose_disk_is_full_says_so_blames_nobody_and_goes_on_after_a_restart() {
    for writes in 0..12 {
        let mut world = World::new(3, 2, 400);
        let owner = world.owner;
        let follower = world.follower(&[owner]);
        let full = crate::store::StoreError::Full("0 bytes left".to_owned());
        world.sim.store(follower).fail_after(writes, full.clone());
        world.sim.run_for(5 * SECOND);
        world.publish(7);
        world.sim.run_for(5 * SECOND);
        world.check(follower);
        assert!(world.sim.accusations().is_empty());
        assert!(world.is_complete(follower) || world.status(follower).stopped_for_good.is_some());
        world.sim.crash(follower, Crash::Power(0));
        world.sim.store(follower).fail_after(u64::MAX, full);
        world.sim.reopen(follower);
        world.check(follower);
        world.complete(follower, MINUTE);
    }
}

#[test]
fn a_follow_that_fails_leaves_no_trace() {
    let mut world = World::new(8, 3, 21);
    let (owner, log) = (world.owner, world.log);
    let node = world.sim.add_node();
    let follow = |log| crate::engine::Command::Follow {
        log,
        peers: Vec::new(),
        newest_first: false,
    };
    let full = crate::store::StoreError::Full("0 bytes left".to_owned());
    world.sim.store(node).fail_after(0, full);
    let id = world.sim.command(node, follow(log));
    world.sim.run_for(0);
    assert!(matches!(world.sim.reply(node, id), Some(Err(_))));
    assert!(world.sim.status(node, log).is_none());

    // Once there is room it is followed, under a number of its own.
    world.sim.run_for(SECOND);
    let id = world.sim.command(node, follow(log));
    world.sim.run_for(0);
    assert!(matches!(world.sim.reply(node, id), Some(Ok(_))));
    world.sim.connect(node, owner);
    world.complete(node, MINUTE);
    world.sim.crash(node, Crash::Process);
    world.sim.reopen(node);
    let other = manifest(world.sim.key(node), 3);
    let other = world.sim.create(node, other);
    let number = |log| {
        world
            .sim
            .status(node, log)
            .and_then(|s| s.key)
            .map(|key| key.number)
    };
    assert_ne!(number(log), number(other));
}
