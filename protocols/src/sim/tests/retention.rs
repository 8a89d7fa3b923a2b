//! Streams of which not everything is kept: the same goes everywhere, what is
//! left can be proved, and whoever was away comes back.

use super::*;
use crate::engine::{Command, CommandError, Reply};
use crate::ranges::Interval;
use crate::store::Table;
use crate::sync::retrieval::{Found, Retrieval};
use v1::frame::Body;

/// What a manifest asks to keep.
#[derive(Clone, Copy, Default)]
struct Retains {
    records: u64,
    age_us: u64,
}

impl World {
    /// A stream without records of which so much is kept.
    fn retaining(seed: u64, chunk_level: u8, retains: Retains) -> Self {
        let mut sim = Sim::with_network(seed, NetworkConfig::default());
        let owner = sim.add_node();
        let mut manifest = manifest(sim.key(owner), chunk_level);
        manifest.retain_records = retains.records;
        manifest.retain_us = retains.age_us;
        let log = sim.create(owner, manifest);
        Self {
            sim,
            owner,
            log,
            size: 0,
        }
    }

    /// Publishes the next records with the time that it is now.
    fn publish_now(&mut self, count: u64) {
        let now = self.sim.now();
        let records = (0..count).map(|_| Record::new(now, b"1")).collect();
        self.sim.publish(self.owner, self.log, records);
        self.size += count;
        self.sim.run_for(0);
    }

    /// Whether a node has all from `begin` on, safe, and nothing else.
    fn keeps(&self, node: NodeId, begin: u64) -> bool {
        keeps(&self.sim, node, self.log, begin, self.size)
    }

    /// Waits until it has.
    fn settles(&mut self, node: NodeId, begin: u64) {
        let (log, size) = (self.log, self.size);
        let done = (self.sim).run_while(5 * MINUTE, |sim| !keeps(sim, node, log, begin, size));
        assert!(done, "{node:?} from {begin}: {}", self.summary(node));
        assert!(self.status(node).lag.is_none());
    }

    /// Rows of one table at a node.
    fn count(&self, node: NodeId, table: Table) -> usize {
        self.sim.store(node).len(table)
    }

    fn retrieve(&mut self, node: NodeId, index: u64) -> Result<Record, CommandError> {
        let what = Retrieval::Index(self.log, index);
        let id = self.sim.command(node, Command::Retrieve(what));
        (self.sim).run_while(MINUTE, |sim| sim.reply(node, id).is_none());
        match self.sim.reply(node, id).expect("an answer").clone() {
            Ok(Reply::Retrieved(found)) => match *found {
                Found::Record { record, .. } => Ok(record),
                other => panic!("{other:?}"),
            },
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        }
    }
}

fn keeps(sim: &Sim, node: NodeId, log: LogId, begin: u64, size: u64) -> bool {
    let status = sim.status(node, log).expect("the log is known");
    let kept = Interval {
        from: begin,
        to: size,
    };
    status.head.is_some_and(|head| head.size == size)
        && status.held == [kept]
        && status.synced_size == size
        && status.begin == begin
}

fn the_last(records: u64) -> Retains {
    Retains { records, age_us: 0 }
}

fn an_hour() -> Retains {
    Retains {
        records: 0,
        age_us: 60 * MINUTE,
    }
}

#[test]
fn whole_chunks_go_everywhere_and_what_is_left_is_proved() {
    for seed in 0..5 {
        let mut world = World::retaining(seed, 2, the_last(10));
        let owner = world.owner;
        let follower = world.follower(&[owner]);
        for count in [1, 9, 1, 400, 5_000, 3, 3, 3] {
            world.publish(count);
            world.sim.run_for(3 * SECOND);
        }
        // 5,420 records: of the last ten the first lies in the chunk of 5,408.
        assert_eq!(world.size, 5_420);
        let newcomer = world.follower(&[follower]);
        for node in [owner, follower, newcomer] {
            world.settles(node, 5_408);
            world.check(node);
            assert_eq!(world.count(node, Table::Chunks), 3, "seed {seed}");
            assert_eq!(world.count(node, Table::Addresses), 3);
            assert_eq!(world.count(node, Table::Records), 0);
            assert_eq!(world.count(node, Table::Held), 1);
            // Three chunks, and one place above them for each height.
            assert!(world.count(node, Table::Times) <= 6);
        }
        let brought = world.sim.delivered(follower, newcomer);
        assert!(brought <= chunk_bytes(5_408, 5_420), "{brought} bytes");
        // Two who came late can go on without anybody who saw the beginning.
        world.sim.crash(owner, Crash::Process);
        world.sim.crash(follower, Crash::Process);
        let last = world.follower(&[newcomer]);
        world.settles(last, 5_408);
        world.check(last);
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn a_stream_of_its_latest_record_is_a_value_that_changes() {
    let mut world = World::retaining(1, 0, the_last(1));
    let owner = world.owner;
    let follower = world.follower(&[owner]);
    for version in 0..60 {
        world.publish(1);
        world.settles(follower, version);
        world.settles(owner, version);
        let latest = world.retrieve(follower, version);
        assert_eq!(latest, Ok(record(version)));
    }
    for node in [owner, follower] {
        let dropped = CommandError::Dropped {
            index: 58,
            begin: 59,
        };
        assert_eq!(world.retrieve(node, 58), Err(dropped));
        assert_eq!(world.count(node, Table::Chunks), 1);
    }
    // Whoever comes later gets one record, and so does the owner after a start.
    world.sim.crash(owner, Crash::Process);
    world.sim.reopen(owner);
    world.publish(1);
    let newcomer = world.follower(&[follower]);
    world.settles(newcomer, 60);
    world.check(newcomer);
}

#[test]
fn whoever_was_away_while_all_that_it_had_was_dropped_comes_back() {
    for (seed, away_at) in (0..8).flat_map(|seed| [3, 8, 100, 101, 107].map(|at| (seed, at))) {
        let mut world = World::retaining(seed, 3, the_last(20));
        let owner = world.owner;
        let other = world.follower(&[owner]);
        let away = world.follower(&[owner, other]);
        world.publish(away_at);
        let begin = away_at.saturating_sub(20) / 8 * 8;
        world.settles(away, begin);
        world.sim.cut(owner, away);
        world.sim.cut(other, away);
        for _ in 0..40 {
            world.publish(25);
            world.sim.run_for(SECOND / 4);
        }
        let begin = (world.size - 20) / 8 * 8;
        world.settles(other, begin);
        // Nobody can show an extension of a head that ends within a chunk.
        world.sim.connect(other, away);
        world.settles(away, begin);
        world.check(away);
        // It goes on as usual, and can serve others.
        world.publish(30);
        let begin = (world.size - 20) / 8 * 8;
        world.settles(away, begin);
        let newcomer = world.follower(&[away]);
        world.settles(newcomer, begin);
        assert!(world.status(away).fork.is_none());
        assert!(world.sim.accusations().is_empty(), "seed {seed}");
    }
}

#[test]
fn a_crash_while_chunks_go_leaves_nothing_claimed_that_is_not_there() {
    let mut within = 0;
    for seed in 0..30 {
        let mut world = World::retaining(seed, 1, the_last(7));
        let owner = world.owner;
        let follower = world.follower(&[owner]);
        world.publish(3);
        world.settles(follower, 0);
        // Four steps and more.
        for _ in 0..3 {
            world.publish(3_000);
        }
        let node = if seed % 2 == 0 { owner } else { follower };
        world.sim.run_for(400 * seed);
        let held = world.status(node).held;
        within += u64::from(
            held.first()
                .is_some_and(|first| first.from > 0 && first.from < 8_996),
        );
        let unsynced = world.sim.store(node).unsynced();
        let crash = match seed % 3 {
            0 => Crash::Process,
            _ => Crash::Power(unsynced * (seed as usize % 7) / 6),
        };
        world.sim.crash(node, crash);
        world.sim.reopen(node);
        world.check(node);
        world.settles(node, 8_996);
        assert_eq!(world.count(node, Table::Chunks), 3, "seed {seed}");
        world.publish(1);
        world.settles(follower, 8_996);
        world.check(follower);
    }
    assert!(within > 5, "{within} crashes came while chunks went");
}

#[test]
fn a_full_disk_keeps_what_was_to_go_until_there_is_room() {
    let mut world = World::retaining(3, 2, the_last(4));
    let owner = world.owner;
    world.publish(40);
    world.settles(owner, 36);
    let full = crate::store::StoreError::Full("0 bytes left".to_owned());
    world.sim.publish(owner, world.log, records(40, 80));
    // The record and the head are written, the removal is not.
    world.sim.store(owner).fail_after(2, full);
    world.sim.run_for(SECOND / 10);
    world.size = 80;
    let status = world.status(owner);
    assert_eq!((status.stopped_for_good, status.begin), (None, 76));
    assert_eq!(status.held, [Interval { from: 36, to: 80 }]);
    world.check(owner);
    world.sim.run_for(2 * MINUTE);
    world.settles(owner, 76);
}

#[test]
fn a_restored_owner_needs_only_what_is_kept() {
    for seed in 0..5 {
        let mut world = World::retaining(seed, 2, the_last(10));
        let (owner, log) = (world.owner, world.log);
        let [follower, other] = [(); 2].map(|()| world.follower(&[owner]));
        world.publish(21);
        world.settles(follower, 8);
        world.settles(other, 8);
        world.sim.run_for(MINUTE);
        let old = world.sim.store(owner).copy();
        for _ in 0..20 {
            world.publish(50);
            world.sim.run_for(SECOND);
        }
        world.settles(follower, 1_008);
        world.sim.crash(owner, Crash::Process);
        world.sim.restore(owner, old);
        world.sim.reopen(owner);
        let open = (world.sim).run_while(MINUTE, |sim| {
            sim.status(owner, log)
                .is_none_or(|status| status.reopening.is_some())
        });
        assert!(open, "seed {seed}: {}", world.summary(owner));
        world.publish(10);
        world.settles(follower, 1_020);
        world.settles(owner, 1_020);
        world.check(owner);
        assert!(world.status(follower).fork.is_none());
    }
}

#[test]
fn what_is_too_old_goes_and_a_newcomer_is_in_step_without_it() {
    for seed in 0..5 {
        let mut world = World::retaining(seed, 2, an_hour());
        let owner = world.owner;
        let follower = world.follower(&[owner]);
        for _ in 0..12 {
            world.publish_now(9);
            world.sim.run_for(10 * MINUTE);
        }
        // The records of more than an hour ago, but not part of a chunk.
        let (log, begins) = (world.log, [44, 48, 52]);
        let begin = |sim: &Sim, node| sim.status(node, log).unwrap().begin;
        for node in [owner, follower] {
            assert!(begins.contains(&begin(&world.sim, node)), "seed {seed}");
            assert!(world.keeps(node, begin(&world.sim, node)));
        }
        world.sim.run_for(SECOND);
        let first = begin(&world.sim, owner);
        let newcomer = world.follower(&[follower, owner]);
        world.settles(newcomer, first);
        // All of it gets old but the chunk of the last record.
        world.sim.run_for(2 * 60 * MINUTE);
        for node in [owner, follower, newcomer] {
            assert!(world.keeps(node, 104), "{}", world.summary(node));
        }
        world.sim.crash(newcomer, Crash::Process);
        world.sim.reopen(newcomer);
        assert!(world.keeps(newcomer, 104));
        world.publish_now(5);
        world.settles(newcomer, 104);
    }
}

#[test]
fn whoever_was_away_comes_back_to_a_stream_of_which_everything_got_old() {
    for seed in 0..5 {
        let mut world = World::retaining(seed, 3, an_hour());
        let owner = world.owner;
        let away = world.follower(&[owner]);
        world.publish_now(21);
        world.settles(away, 0);
        world.sim.crash(away, Crash::Process);
        for _ in 0..30 {
            world.sim.run_for(10 * MINUTE);
            world.publish_now(10);
        }
        world.sim.run_for(MINUTE);
        let begin = world.status(owner).begin;
        assert!(begin > 200 && world.keeps(owner, begin));
        world.sim.reopen(away);
        world.settles(away, begin);
        assert!(world.sim.accusations().is_empty());
    }
}

#[test]
fn one_who_lost_what_it_says_it_has_does_not_keep_others_from_going_on() {
    for seed in 0..5 {
        let mut world = World::retaining(seed, 2, an_hour());
        let (owner, log) = (world.owner, world.log);
        let [away, behind] = [(); 2].map(|()| world.follower(&[owner]));
        world.publish_now(22);
        for node in [away, behind] {
            world.settles(node, 0);
            world.sim.cut(owner, node);
        }
        world.publish_now(78);
        world.sim.run_for(2 * 60 * MINUTE);
        let late = world.follower(&[owner]);
        world.settles(late, 96);
        // It goes on, gives up the chunk in which its head ended, and forgets why.
        world.sim.connect(owner, behind);
        let is_at = |sim: &Sim, size| sim.status(behind, log).unwrap().head.unwrap().size == size;
        assert!(world.sim.run_while(MINUTE, |sim| !is_at(sim, 100)));
        world.sim.crash(behind, Crash::Process);
        world.sim.crash(owner, Crash::Process);
        world.sim.reopen(behind);
        let status = world.status(behind);
        assert_eq!((status.held, status.begin), (vec![], 20));
        // It knows the tree up to this chunk, and the one who has everything does
        // not.
        world.sim.connect(away, behind);
        world.sim.run_for(MINUTE);
        world.sim.connect(away, late);
        for node in [away, behind] {
            world.settles(node, 96);
        }
        assert!(world.sim.accusations().is_empty(), "seed {seed}");
    }
}

/// Says that less is kept than there is.
fn forgets(begin: u64) -> Twist {
    Box::new(move |mut frame| {
        if let Some(Body::Head(state)) = &mut frame.body {
            let size = state.held.last().map_or(0, |last| last.to);
            state.begin = begin;
            state.held = vec![v1::Interval {
                from: begin,
                to: size,
            }];
        }
        Twisted::Frame(frame)
    })
}

#[test]
fn a_liar_hides_nothing_from_whoever_knows_another_peer() {
    for seed in 0..5 {
        let mut world = World::retaining(seed, 2, an_hour());
        let owner = world.owner;
        world.publish_now(203);
        let liar = world.follower(&[owner]);
        let honest = world.follower(&[owner]);
        world.settles(liar, 0);
        world.settles(honest, 0);
        world.sim.crash(owner, Crash::Process);
        world.sim.twist(liar, forgets(160));
        let reader = world.follower(&[liar]);
        world.settles(reader, 160);
        world.sim.connect(reader, honest);
        world.settles(reader, 0);
    }
}

#[test]
fn of_a_stream_that_is_kept_whole_nobody_is_told_to_leave_anything_out() {
    let mut world = World::new(4, 2, 300);
    let owner = world.owner;
    world.sim.twist(owner, forgets(280));
    let reader = world.follower(&[owner]);
    world.sim.run_for(2 * MINUTE);
    let status = world.status(reader);
    assert_eq!((status.begin, status.synced_size), (0, 0));
    assert_eq!(status.lag.records, 280);
    world.sim.untwist(owner);
    world.complete(reader, 5 * MINUTE);
}

const DAY: u64 = 24 * 60 * MINUTE;
const YEARS: i64 = 10 * 365 * DAY as i64;

fn a_month() -> Retains {
    Retains {
        records: 0,
        age_us: 30 * DAY,
    }
}

#[test]
fn one_record_of_the_year_2106_keeps_nothing_from_getting_old() {
    for seed in 0..5 {
        let mut world = World::retaining(seed, 2, an_hour());
        let owner = world.owner;
        let follower = world.follower(&[owner]);
        let future = Record::new(world.sim.now().plus(80 * 365 * DAY), b"1");
        for _ in 0..6 {
            world.publish_now(9);
            world.sim.publish(
                owner,
                world.log,
                vec![future.clone(); 1 + seed as usize * 3],
            );
            world.size += 1 + seed * 3;
            world.sim.run_for(10 * MINUTE);
        }
        world.sim.run_for(2 * 60 * MINUTE);
        world.publish_now(9);
        world.sim.run_for(2 * 60 * MINUTE);
        let begin = (world.size - 1) / 4 * 4;
        for node in [owner, follower] {
            assert!(world.keeps(node, begin), "{}", world.summary(node));
        }
    }
}

#[test]
fn a_start_with_a_clock_that_is_years_ahead_drops_nothing_before_that_is_sure() {
    for seed in 0..4 {
        let mut world = World::retaining(seed, 2, a_month());
        let (owner, log) = (world.owner, world.log);
        let follower = world.follower(&[owner]);
        for _ in 0..10 {
            world.publish_now(10);
            world.sim.run_for(10 * MINUTE);
        }
        let node = [owner, follower][seed as usize % 2];
        world.sim.crash(node, Crash::Process);
        world.sim.set_clock(node, YEARS);
        world.sim.reopen(node);
        world.settles(node, 0);
        world.sim.run_for(60 * MINUTE);
        assert!(world.keeps(node, 0), "seed {seed}");
        assert!(world.status(node).holds_back);
        // Not by a start alone.
        world.sim.crash(node, Crash::Process);
        world.sim.reopen(node);
        world.settles(node, 0);
        world.sim.run_for(60 * MINUTE);
        assert!(world.keeps(node, 0) && world.status(node).holds_back);
        if seed < 2 {
            world.sim.set_clock(node, 0);
            world.sim.run_for(0);
            let open = |sim: &Sim| sim.status(node, log).unwrap().holds_back;
            assert!(world.sim.run_while(SECOND, open));
            world.publish_now(1);
            world.settles(node, 0);
        } else {
            // Whoever says so for a day is believed.
            world.sim.run_for(DAY);
            assert!(world.keeps(node, 96), "{}", world.summary(node));
            assert!(!world.status(node).holds_back);
        }
    }
}

#[test]
fn a_follower_that_was_off_for_long_believes_its_clock_when_a_publisher_agrees() {
    let mut world = World::retaining(1, 2, a_month());
    let owner = world.owner;
    let follower = world.follower(&[owner]);
    world.publish_now(100);
    world.settles(follower, 0);
    world.sim.crash(follower, Crash::Process);
    world.sim.run_for(60 * DAY);
    assert!(world.keeps(owner, 96));
    world.sim.reopen(follower);
    world.sim.run_for(SECOND);
    world.publish_now(1);
    world.settles(follower, 100);
    assert!(!world.status(follower).holds_back);
}

#[test]
fn a_quiet_stream_gets_old_by_the_clock_alone() {
    let mut world = World::retaining(2, 2, a_month());
    let owner = world.owner;
    let follower = world.follower(&[owner]);
    world.publish_now(100);
    world.settles(follower, 0);
    world.sim.crash(owner, Crash::Process);
    world.sim.run_for(29 * DAY);
    assert!(world.keeps(follower, 0));
    world.sim.run_for(3 * DAY);
    assert!(world.keeps(follower, 96));
}

#[test]
fn what_a_wrong_clock_dropped_is_fetched_again_from_those_who_have_it() {
    for (seed, restarts) in [(0, false), (1, true), (2, false), (3, true)] {
        let mut world = World::retaining(seed, 2, a_month());
        let owner = world.owner;
        let follower = world.follower(&[owner]);
        world.publish_now(100);
        world.settles(follower, 0);
        world.sim.set_clock(follower, YEARS);
        world.sim.run_for(DAY + 60 * MINUTE);
        assert!(world.keeps(follower, 96), "{}", world.summary(follower));
        if restarts {
            world.sim.crash(follower, Crash::Process);
        }
        world.sim.set_clock(follower, 0);
        if restarts {
            world.sim.reopen(follower);
        }
        world.settles(follower, 0);
        // It gets old once more, in time, and for good.
        world.sim.run_for(32 * DAY);
        for node in [owner, follower] {
            assert!(world.keeps(node, 96), "{}", world.summary(node));
        }
        world.publish_now(1);
        world.settles(follower, 100);
    }
}
