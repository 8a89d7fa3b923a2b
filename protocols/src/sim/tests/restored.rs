//! Publishers whose disk is not the one that they had: restored, damaged, empty.
//! None of them signs a second history.

use super::*;
use crate::engine::{Command, CommandError, ReopeningStatus, Reply, Room};
use crate::limits::{
    EARLY_FOLLOWERS, FOLLOWER_EXCHANGE_US, MAX_KNOWN_FOLLOWERS, REOPENING_FOLLOWERS,
    REOPENING_SILENCE_US, TWIN_US, UNCLEAN_WAIT_US,
};
use crate::store::MemoryStore;

impl World {
    /// Why the owner does not write to its log, if it does not.
    fn stopped(&self) -> Option<ReopeningStatus> {
        self.status(self.owner).reopening
    }

    /// What a publish at the owner is answered with.
    fn try_publish(&mut self) -> Result<Reply, CommandError> {
        let id = (self.sim).publish(self.owner, self.log, records(self.size, self.size + 1));
        self.sim.run_for(0);
        let reply = self.sim.reply(self.owner, id);
        reply.expect("it is answered").clone()
    }

    fn assert_stopped(&mut self) {
        let reply = self.try_publish();
        assert!(matches!(reply, Err(CommandError::NotOpen(_))), "{reply:?}");
    }

    fn none_is_larger(&mut self) -> Result<Reply, CommandError> {
        let command = Command::Reopen {
            log: self.log,
            none_is_larger: true,
        };
        let id = self.sim.command(self.owner, command);
        self.sim.run_for(0);
        let reply = self.sim.reply(self.owner, id);
        reply.expect("it is answered").clone()
    }

    /// Waits until the owner writes again, with everything that was published.
    fn opens(&mut self, limit_us: u64) {
        let (owner, log) = (self.owner, self.log);
        let opened = (self.sim).run_while(limit_us, |sim| {
            sim.status(owner, log).unwrap().reopening.is_some()
        });
        let summary = self.summary(owner);
        assert!(opened, "{:?}, {summary}", self.stopped());
        assert_eq!(self.adopted(owner), self.size, "{summary}");
        self.check(owner);
    }

    /// Lets two followers see everything, so that the owner knows them.
    fn known_followers(&mut self) -> [NodeId; 2] {
        let owner = self.owner;
        let followers = [(); 2].map(|()| self.full_follower(&[owner]));
        self.sim.run_for(SECOND);
        followers
    }

    fn nobody_knows_of_a_fork(&self, nodes: &[NodeId]) {
        for &node in nodes {
            assert!(self.status(node).fork.is_none(), "{node:?}");
        }
        assert!(self.sim.accusations().is_empty());
    }
}

#[test]
fn a_restored_owner_does_not_open_on_the_word_of_one_follower_that_was_away() {
    for seed in 0..5 {
        let mut world = World::new(seed, 3, 10);
        let owner = world.owner;
        let [stale, fresh] = world.known_followers();
        world.sim.cut(owner, stale);
        let image = world.sim.store(owner).copy();
        world.publish(10);
        world.complete(fresh, MINUTE);
        world.sim.crash(owner, Crash::Process);
        world.sim.restore(owner, image);
        world.sim.reopen(owner);
        world.sim.cut(owner, fresh);
        world.sim.connect(owner, stale);
        world.sim.run_for(30 * MINUTE);
        world.assert_stopped();
        let stopped = world.stopped().unwrap();
        assert_eq!(stopped.followers.len(), 2);
        let said: Vec<_> = stopped.answers.iter().map(|a| (a.peer, a.size)).collect();
        assert_eq!(said, [(world.sim.peer(stale), 10)]);
        // The other one is back.
        world.sim.connect(owner, fresh);
        world.opens(MINUTE);
        world.publish(3);
        world.complete(fresh, MINUTE);
        world.complete(stale, MINUTE);
        world.nobody_knows_of_a_fork(&[stale, fresh]);
    }
}

#[test]
fn an_owner_whose_mark_knows_more_than_the_copy_says_what_opening_it_would_do() {
    let mut world = World::new(1, 3, 10);
    let owner = world.owner;
    let image = world.sim.store(owner).copy();
    world.publish(10);
    let marks = world.sim.marks(owner);
    world.sim.crash(owner, Crash::Process);
    world.sim.restore(owner, image);
    world.sim.set_marks(owner, Some(marks));
    world.sim.reopen(owner);
    world.assert_stopped();
    let why = world.stopped().unwrap().why;
    assert!(why.contains("20 records of it were signed"), "{why}");
    assert!(why.contains("it has two histories"), "{why}");
}

#[test]
fn a_restored_owner_opens_by_itself_when_two_followers_have_what_it_has() {
    let mut world = World::new(1, 3, 10);
    let owner = world.owner;
    let followers = world.known_followers();
    let image = world.sim.store(owner).copy();
    world.sim.crash(owner, Crash::Process);
    world.sim.restore(owner, image);
    world.sim.reopen(owner);
    world.assert_stopped();
    world.opens(MINUTE);
    world.publish(3);
    for follower in followers {
        world.complete(follower, MINUTE);
    }
    world.nobody_knows_of_a_fork(&followers);
}

#[test]
fn strangers_who_repeat_what_a_restored_owner_says_do_not_open_it() {
    let mut world = World::new(2, 3, 10);
    let owner = world.owner;
    let followers = world.known_followers();
    for follower in followers {
        world.sim.cut(owner, follower);
    }
    let image = world.sim.store(owner).copy();
    world.publish(10);
    world.sim.crash(owner, Crash::Process);
    world.sim.restore(owner, image);
    world.sim.reopen(owner);
    world.sim.run_for(SECOND);
    // They have all that the owner tells them, and say so.
    let strangers = [(); 3].map(|()| world.follower(&[owner]));
    world.sim.run_for(REOPENING_SILENCE_US - MINUTE);
    for stranger in strangers {
        assert_eq!(world.adopted(stranger), 0, "nothing was told yet");
    }
    world.sim.run_for(10 * MINUTE);
    for stranger in strangers {
        assert_eq!(world.adopted(stranger), 10);
    }
    world.assert_stopped();
    let stopped = world.stopped().unwrap();
    assert_eq!(stopped.answers.len(), 3);
    assert!(stopped.answers.iter().all(|answer| !answer.counts));
    // Not even followers that had everything count, once they can have our own
    // word from somebody.
    world.sim.connect(owner, followers[0]);
    world.sim.connect(owner, followers[1]);
    world.sim.run_for(5 * MINUTE);
    world.assert_stopped();
}

#[test]
fn an_owner_that_lost_a_part_of_its_disk_waits_for_all_that_was_signed() {
    for seed in 0..10 {
        let mut world = World::new(seed, 3, 21);
        let (owner, log) = (world.owner, world.log);
        let follower = world.full_follower(&[owner]);
        let before = world.sim.store(owner).copy();
        world.publish(30);
        world.complete(follower, MINUTE);
        world.sim.crash(owner, Crash::Process);
        world.sim.damage(owner, before);
        world.sim.reopen(owner);
        world.sim.cut(owner, follower);
        world.sim.run_for(30 * MINUTE);
        world.assert_stopped();
        let mark = world.stopped().unwrap().mark.unwrap();
        assert_eq!(mark.size, 51);
        // Somebody who has a part of it does not open it.
        world.sim.connect(owner, follower);
        world.opens(MINUTE);
        assert_eq!(world.sim.marks(owner)[&log].size, 51);
        world.publish(2);
        world.complete(follower, MINUTE);
        world.nobody_knows_of_a_fork(&[follower]);
    }
}

#[test]
fn a_stream_that_the_disk_knows_nothing_of_any_more_comes_back_from_its_followers() {
    let mut world = World::new(3, 3, 21);
    let owner = world.owner;
    let follower = world.full_follower(&[owner]);
    world.sim.crash(owner, Crash::Process);
    world.sim.damage(owner, MemoryStore::new());
    world.sim.reopen(owner);
    world.assert_stopped();
    // Nothing is lost by another start before anybody was heard.
    world.sim.crash(owner, Crash::Process);
    world.sim.reopen(owner);
    world.opens(MINUTE);
    world.publish(2);
    world.complete(follower, MINUTE);
    world.nobody_knows_of_a_fork(&[follower]);
}

#[test]
fn a_user_may_give_up_what_nobody_has_and_is_told_what_that_is() {
    let mut world = World::new(4, 3, 21);
    let (owner, log) = (world.owner, world.log);
    let before = world.sim.store(owner).copy();
    world.publish(9);
    world.sim.crash(owner, Crash::Process);
    world.sim.damage(owner, before);
    world.sim.reopen(owner);
    world.assert_stopped();
    let stopped = world.stopped().unwrap();
    assert!(
        stopped
            .why
            .contains("30 records of it were signed here, and the store has 21")
    );
    assert_eq!(world.none_is_larger(), Ok(Reply::Done));
    world.size = 21;
    world.publish(2);
    assert_eq!(world.sim.marks(owner)[&log].size, 23);
    world.sim.crash(owner, Crash::Process);
    world.sim.reopen(owner);
    assert_eq!(world.stopped(), None);
}

#[test]
fn with_a_mark_that_agrees_nothing_waits_and_without_one_followers_are_heard_first() {
    let mut world = World::new(5, 3, 21);
    let owner = world.owner;
    let [near, far] = world.known_followers();
    world.sim.crash(owner, Crash::Process);
    world.sim.reopen(owner);
    assert_eq!(world.stopped(), None);
    // Without a note of what was signed both are asked, and answer at once.
    let before = world.sim.store(owner).copy();
    world.publish(4);
    world.complete(near, MINUTE);
    world.sim.crash(owner, Crash::Process);
    world.sim.set_marks(owner, None);
    world.sim.reopen(owner);
    world.assert_stopped();
    world.opens(UNCLEAN_WAIT_US / 2);
    // One that has more is believed, and from then on it is as after a restore.
    world.sim.crash(owner, Crash::Process);
    world.sim.damage(owner, before);
    world.sim.reopen(owner);
    world.assert_stopped();
    world.opens(MINUTE);
    // Nobody is there: after a while it opens all the same, as ever before.
    world.sim.crash(owner, Crash::Process);
    world.sim.reopen(owner);
    for follower in [near, far] {
        world.sim.cut(owner, follower);
    }
    world.assert_stopped();
    world.opens(UNCLEAN_WAIT_US + SECOND);
    world.nobody_knows_of_a_fork(&[near, far]);
}

#[test]
fn an_owner_opens_again_when_whoever_signed_with_its_key_has_stopped() {
    let mut world = World::new(6, 3, 10);
    let (owner, log) = (world.owner, world.log);
    let followers = world.known_followers();
    let image = world.sim.store(owner).copy();
    // Both run for a while, and nobody is connected to both.
    let key = world.sim.key(owner).clone();
    let copy = world.sim.add_node_with_key(key);
    world.sim.crash(copy, Crash::Process);
    world.sim.restore(copy, image);
    world.sim.reopen(copy);
    let reader = world.full_follower(&[followers[0]]);
    world.sim.connect(copy, reader);
    world.publish(2);
    world.sim.run_for(SECOND);
    let reopening = |sim: &Sim| sim.status(copy, log).unwrap().reopening;
    let twin = reopening(&world.sim).unwrap();
    assert!(twin.why.contains("another node signs it"), "{}", twin.why);
    world.sim.crash(owner, Crash::Process);
    world.sim.run_for(TWIN_US + 15 * MINUTE);
    let twin = reopening(&world.sim).unwrap();
    assert!(!twin.why.contains("another node signs it"), "{}", twin.why);
}

#[test]
fn a_lost_stream_that_its_user_gives_up_does_not_come_back() {
    let mut world = World::new(7, 3, 5);
    let (owner, log) = (world.owner, world.log);
    world.sim.crash(owner, Crash::Process);
    world.sim.damage(owner, MemoryStore::new());
    world.sim.reopen(owner);
    world.assert_stopped();
    for (own, answer) in [
        (false, Err(CommandError::OwnStream(log))),
        (true, Ok(Reply::Done)),
    ] {
        let id = world.sim.command(owner, Command::Delete { log, own });
        world.sim.run_for(0);
        assert_eq!(world.sim.reply(owner, id), Some(&answer));
    }
    world.sim.crash(owner, Crash::Process);
    world.sim.reopen(owner);
    assert!(world.sim.status(owner, log).is_none());
}

#[test]
fn late_followers_however_many_push_out_no_early_one_and_open_a_restored_owner_not_alone() {
    let mut world = World::new(8, 3, 10);
    let (owner, log) = (world.owner, world.log);
    let early = [(); EARLY_FOLLOWERS].map(|()| world.full_follower(&[owner]));
    world.sim.run_for(SECOND);
    // One after the other comes, has everything, and leaves.
    let late: Vec<_> = (0..2 * MAX_KNOWN_FOLLOWERS)
        .map(|_| {
            let follower = world.full_follower(&[owner]);
            world.sim.run_for(FOLLOWER_EXCHANGE_US + SECOND);
            world.sim.cut(owner, follower);
            follower
        })
        .collect();
    let image = world.sim.store(owner).copy();
    world.publish(10);
    for follower in early {
        world.complete(follower, MINUTE);
        world.sim.cut(owner, follower);
    }
    world.sim.crash(owner, Crash::Process);
    world.sim.restore(owner, image);
    world.sim.reopen(owner);
    for &follower in &late {
        world.sim.connect(owner, follower);
    }
    world.sim.run_for(REOPENING_SILENCE_US - MINUTE);
    world.assert_stopped();
    let stopped = world.stopped().unwrap();
    let peers = early.map(|follower| world.sim.peer(follower));
    assert_eq!(stopped.followers.len(), MAX_KNOWN_FOLLOWERS);
    assert!(peers.iter().all(|peer| stopped.followers.contains(peer)));
    let counting = |said: &ReopeningStatus| said.answers.iter().filter(|a| a.counts).count();
    assert!(counting(&stopped) > REOPENING_FOLLOWERS, "{stopped:?}");
    // One that was there from the beginning has what they do not.
    world.sim.connect(owner, early[0]);
    world.opens(MINUTE);
    assert_eq!(world.sim.status(owner, log).unwrap().head.unwrap().size, 20);
    world.publish(3);
    world.complete(early[0], MINUTE);
    world.nobody_knows_of_a_fork(&early);
}

#[test]
fn a_follower_with_a_part_of_what_was_signed_does_not_open_a_damaged_stream() {
    let mut world = World::new(9, 3, 21);
    let owner = world.owner;
    let [part, whole] = world.known_followers();
    world.sim.cut(owner, part);
    let before = world.sim.store(owner).copy();
    world.publish(30);
    world.complete(whole, MINUTE);
    world.sim.crash(owner, Crash::Process);
    world.sim.damage(owner, before);
    world.sim.reopen(owner);
    world.sim.cut(owner, whole);
    world.sim.connect(owner, part);
    world.sim.run_for(30 * MINUTE);
    world.assert_stopped();
    assert_eq!(world.stopped().unwrap().answers.len(), 1);
    world.sim.connect(owner, whole);
    world.opens(MINUTE);
    world.nobody_knows_of_a_fork(&[part, whole]);
}

#[test]
fn who_follows_and_does_not_have_everything_is_no_follower_to_be_asked() {
    let mut world = World::new(10, 3, 100);
    let owner = world.owner;
    let follower = world.sim.add_node();
    let no_history = Room {
        for_history: 0,
        ..Room::default()
    };
    world.sim.set_room(follower, no_history);
    world.sim.follow(follower, world.log);
    world.sim.run_for(0);
    world.sim.connect(follower, owner);
    world.sim.run_for(10 * MINUTE);
    world.publish(7);
    world.sim.run_for(10 * MINUTE);
    assert_eq!(world.status(follower).held_records, 7);
    assert_eq!(world.status(owner).known_followers, 0);
    world.sim.set_room(follower, Room::default());
    world.complete(follower, MINUTE);
    world.sim.run_for(10 * MINUTE);
    assert_eq!(world.status(owner).known_followers, 1);
}
