//! One chunk or one record that a user waits for.

use super::*;
use crate::engine::{Command, CommandError, Reply};
use crate::limits::{MAX_RETRIEVALS, RETRIEVAL_HEDGE_US, RETRIEVAL_TIMEOUT_US};
use crate::merkle::{Hash, Nodes, Subtree};
use crate::sync::retrieval::{Among, Found, Question, Retrieval, answer_records, answer_time};
use proptest::prelude::*;
use v1::frame::Body;

/// Microseconds from one node to another in these tests.
const LATENCY: u64 = 50_000;
const ROUND_TRIP: u64 = 2 * LATENCY;
const SIZE: u64 = 1_003;

/// Serves no ranges, so that its followers hold nothing, and everything else as
/// `twist` wants it.
fn no_ranges(mut twist: impl FnMut(&mut Body) -> bool + 'static) -> Twist {
    Box::new(move |mut frame| {
        let Some(body) = &mut frame.body else {
            return Twisted::Frame(frame);
        };
        if let Body::OfferedHashes(_) = body {
            let why = v1::refused::Why::NotHeld.into();
            *body = Body::Refused(v1::Refused { why });
        } else if !twist(body) {
            return Twisted::Nothing;
        }
        Twisted::Frame(frame)
    })
}

/// A reader that knows the head and holds nothing, and its sources: the
/// publisher and some subscribers, in the order in which it asks them.
struct Library {
    world: World,
    reader: NodeId,
    sources: Vec<NodeId>,
}

impl Library {
    fn new(seed: u64, sources: usize) -> Self {
        let steady = NetworkConfig {
            latency_us: (LATENCY, LATENCY),
            ..NetworkConfig::default()
        };
        let mut world = World::with_network(seed, steady, 3, SIZE);
        let owner = world.owner;
        let mut all = vec![owner];
        all.extend((1..sources).map(|_| world.full_follower(&[owner])));
        all.sort_by_key(|&node| world.sim.peer(node));
        for &source in &all {
            world.sim.twist(source, no_ranges(|_| true));
        }
        let reader = world.follower(&all);
        // By then it asks for ranges once a minute.
        world.sim.run_for(150 * SECOND);
        assert_eq!(world.adopted(reader), SIZE);
        let sources = all;
        Self {
            world,
            reader,
            sources,
        }
    }

    fn twist(&mut self, source: usize, twist: impl FnMut(&mut Body) -> bool + 'static) {
        (self.world.sim).twist(self.sources[source], no_ranges(twist));
    }

    /// What comes of a retrieval, and after how many microseconds.
    fn retrieve(&mut self, what: Retrieval) -> (Result<Found, CommandError>, u64) {
        let (sim, reader) = (&mut self.world.sim, self.reader);
        let begin = sim.now();
        let id = sim.command(reader, Command::Retrieve(what));
        sim.run_while(MINUTE, |sim| sim.reply(reader, id).is_none());
        let reply = sim.reply(reader, id).expect("every command is answered");
        let found = match reply.clone() {
            Ok(Reply::Retrieved(found)) => Ok(*found),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        };
        (found, sim.now().since(begin))
    }

    fn index(&self, index: u64) -> Retrieval {
        Retrieval::Index(self.world.log, index)
    }

    fn time(&self, time: i64) -> Retrieval {
        Retrieval::Time(self.world.log, Timestamp(time))
    }

    /// The address of a chunk, and its bytes.
    fn chunk(&self, index: u64) -> (Hash, Bytes) {
        let owner = self.world.owner;
        let key = self.world.status(owner).key.unwrap();
        let history = History::new(&**self.world.sim.store(owner), key);
        let subtree = Subtree { level: 3, index };
        let address = history.node(subtree).unwrap().unwrap();
        (address, history.subtree_bytes(subtree).unwrap())
    }
}

fn found_at(found: &Result<Found, CommandError>) -> Option<(u64, Record)> {
    match found {
        Ok(Found::Record { index, record, .. }) => Some((*index, record.clone())),
        Ok(Found::Chunk(_) | Found::Nothing(_)) | Err(_) => None,
    }
}

#[test]
fn a_record_or_chunk_that_is_not_held_comes_within_one_round_trip() {
    let mut library = Library::new(1, 3);
    for index in [0, 1, 500, SIZE - 1] {
        let (found, took) = library.retrieve(library.index(index));
        assert_eq!(found_at(&found), Some((index, record(index))));
        assert_eq!(took, ROUND_TRIP);
    }
    for (time, index) in [(0, 0), (77, 77), (5_000, SIZE - 1)] {
        let (found, took) = library.retrieve(library.time(time));
        assert_eq!(found_at(&found), Some((index, record(index))));
        assert_eq!(took, ROUND_TRIP);
    }
    let (found, _) = library.retrieve(library.time(-1));
    assert!(matches!(found, Ok(Found::Nothing(_))));
    let (address, bytes) = library.chunk(17);
    let (found, took) = library.retrieve(Retrieval::Chunk(address));
    assert_eq!((found, took), (Ok(Found::Chunk(bytes)), ROUND_TRIP));
    assert_eq!(library.world.status(library.reader).held_records, 0);
}

#[test]
fn what_is_held_is_found_without_asking_anybody() {
    let mut library = Library::new(2, 1);
    library.reader = library.world.owner;
    let (address, bytes) = library.chunk(5);
    let (found, took) = library.retrieve(Retrieval::Chunk(address));
    assert_eq!((found, took), (Ok(Found::Chunk(bytes)), 0));
    let (found, took) = library.retrieve(library.index(9));
    assert_eq!((found_at(&found), took), (Some((9, record(9))), 0));
    let (found, took) = library.retrieve(library.time(9));
    assert_eq!((found_at(&found), took), (Some((9, record(9))), 0));
    let (found, _) = library.retrieve(library.index(SIZE));
    let beyond = CommandError::Beyond {
        index: SIZE,
        size: SIZE,
    };
    assert_eq!(found, Err(beyond));
    let unknown = LogId::of_manifest(b"x");
    let (found, _) = library.retrieve(Retrieval::Index(unknown, 0));
    assert_eq!(found, Err(CommandError::UnknownStream(unknown)));
}

/// Every lie is found out, held against the liar, and made up for by another.
fn in_spite_of(lie: fn(&mut v1::Retrieved)) {
    for seed in 0..3 {
        let mut library = Library::new(seed, 3);
        let liar = library.sources[0];
        library.twist(0, move |body| {
            if let Body::Retrieved(answer) = body {
                lie(answer);
            }
            true
        });
        let (found, took) = library.retrieve(library.index(500));
        assert_eq!(found_at(&found), Some((500, record(500))));
        assert_eq!(took, 2 * ROUND_TRIP);
        let reader = library.reader;
        assert_eq!(accusations(&library.world.sim, reader, liar).len(), 1);
    }
}

#[test]
fn false_records_are_not_believed() {
    in_spite_of(|answer| {
        let mut bytes = answer.records.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        answer.records = bytes.into();
    });
    in_spite_of(|answer| answer.index += 1);
    in_spite_of(|answer| answer.records.clear());
    in_spite_of(|answer| answer.proof = answer.proof.slice(32..));
    in_spite_of(|answer| {
        answer.records = [&answer.records[..], &answer.records[..]].concat().into();
    });
}

#[test]
fn a_false_chunk_is_not_believed() {
    let mut library = Library::new(3, 2);
    let (address, bytes) = library.chunk(17);
    let (_, other) = library.chunk(18);
    let liar = library.sources[0];
    library.twist(0, move |body| {
        if let Body::Retrieved(answer) = body {
            answer.records = other.clone();
        }
        true
    });
    let (found, _) = library.retrieve(Retrieval::Chunk(address));
    assert_eq!(found, Ok(Found::Chunk(bytes)));
    let reader = library.reader;
    assert_eq!(accusations(&library.world.sim, reader, liar).len(), 1);
}

#[test]
fn an_earlier_record_than_the_one_meant_is_not_believed() {
    let library = Library::new(4, 1);
    let LogStatus { key, head, .. } = library.world.status(library.world.owner);
    let (key, head) = (key.unwrap(), head.unwrap());
    let history = History::new(&**library.world.sim.store(library.world.owner), key);
    let held = [crate::ranges::Interval { from: 0, to: SIZE }];
    let held = held.into_iter().collect();
    let question = Question::Time(library.world.log, head.tree(), Timestamp(500));
    let check = |from, to| {
        let (answer, _) = answer_records(&history, &held, SIZE, from, to).unwrap();
        question.check(&answer, 100)
    };
    assert!(check(500, 502).is_ok());
    // Each of them is a true record of the log.
    for (from, to) in [
        (499, 501),
        (499, 500),
        (500, 501),
        (501, 503),
        (0, 1),
        (0, 2),
    ] {
        assert!(check(from, to).is_err(), "{from}..{to}");
    }
}

#[test]
fn a_second_peer_is_asked_before_the_first_has_failed_for_good() {
    let mut library = Library::new(5, 3);
    let silent = |body: &mut Body| !matches!(body, Body::Retrieved(_));
    library.twist(0, silent);
    let (found, took) = library.retrieve(library.index(7));
    assert_eq!(found_at(&found), Some((7, record(7))));
    assert_eq!(took, RETRIEVAL_HEDGE_US + ROUND_TRIP);
    library.twist(1, silent);
    let (found, took) = library.retrieve(library.index(7));
    assert_eq!(found_at(&found), Some((7, record(7))));
    assert_eq!(took, 2 * RETRIEVAL_HEDGE_US + ROUND_TRIP);
    assert!(library.world.sim.accusations().is_empty());
}

#[test]
fn a_peer_that_refuses_costs_a_round_trip() {
    let mut library = Library::new(6, 2);
    library.twist(0, |body| {
        if let Body::Retrieved(_) = body {
            let why = v1::refused::Why::Busy.into();
            *body = Body::Refused(v1::Refused { why });
        }
        true
    });
    let (found, took) = library.retrieve(library.index(7));
    assert_eq!(found_at(&found), Some((7, record(7))));
    assert_eq!(took, 2 * ROUND_TRIP);
}

#[test]
fn a_peer_that_goes_is_replaced_at_once() {
    let mut library = Library::new(7, 2);
    let (reader, first) = (library.reader, library.sources[0]);
    let command = Command::Retrieve(library.index(7));
    let sim = &mut library.world.sim;
    let id = sim.command(reader, command);
    sim.run_for(LATENCY / 2);
    sim.cut(reader, first);
    sim.run_for(ROUND_TRIP);
    assert!(matches!(sim.reply(reader, id), Some(Ok(_))));
}

#[test]
fn what_nobody_has_is_given_up_in_time() {
    let mut library = Library::new(8, 2);
    let nothing = Retrieval::Chunk(Hash([7; 32]));
    let (found, took) = library.retrieve(nothing);
    assert_eq!(found, Err(CommandError::NotFound));
    assert_eq!(took, RETRIEVAL_TIMEOUT_US);
}

#[test]
fn whoever_comes_while_something_is_waited_for_is_asked_at_once() {
    for by_address in [true, false] {
        let mut library = Library::new(9, 2);
        let (reader, far) = (library.reader, library.sources[1]);
        library.world.sim.cut(reader, far);
        library.twist(0, |body| !matches!(body, Body::Retrieved(_)));
        let what = match by_address {
            true => Retrieval::Chunk(library.chunk(17).0),
            false => library.index(7),
        };
        let sim = &mut library.world.sim;
        let id = sim.command(reader, Command::Retrieve(what));
        sim.run_for(3 * SECOND);
        assert!(sim.reply(reader, id).is_none());
        sim.connect(reader, far);
        // Until it can speak, until it has said what it holds, and the answer.
        sim.run_for(LATENCY + 2 * ROUND_TRIP);
        assert!(matches!(sim.reply(reader, id), Some(Ok(_))), "{by_address}");
    }
}

#[test]
fn a_user_does_not_wait_for_history() {
    let slow = NetworkConfig {
        latency_us: (LATENCY, LATENCY),
        ..NetworkConfig::default()
    };
    let mut world = World::with_network(10, slow, 8, 60_000);
    while world.size < 400_000 {
        world.publish(60_000);
    }
    let owner = world.owner;
    let reader = world.follower(&[owner]);
    let (log, last) = (world.log, world.size - 1);
    (world.sim).run_while(MINUTE, |sim| {
        sim.status(reader, log).unwrap().held_records == 0
    });
    let id = (world.sim).command(reader, Command::Retrieve(Retrieval::Index(log, last)));
    world.sim.run_for(ROUND_TRIP);
    assert!(matches!(world.sim.reply(reader, id), Some(Ok(_))));
    assert!(!world.is_complete(reader));
}

#[test]
fn only_so_many_are_waited_for_at_a_time() {
    let mut library = Library::new(11, 1);
    library.twist(0, |body| !matches!(body, Body::Retrieved(_)));
    let (reader, what) = (library.reader, library.index(7));
    let sim = &mut library.world.sim;
    let ids: Vec<_> = (0..MAX_RETRIEVALS + 5)
        .map(|_| sim.command(reader, Command::Retrieve(what)))
        .collect();
    sim.run_for(SECOND);
    let refused = Err(CommandError::TooManyRetrievals(MAX_RETRIEVALS));
    let count = ids
        .iter()
        .filter(|&&id| sim.reply(reader, id) == Some(&refused));
    assert_eq!(count.count(), 5);
    sim.run_for(RETRIEVAL_TIMEOUT_US);
    assert!(ids.iter().all(|&id| sim.reply(reader, id).is_some()));
}

#[test]
fn of_a_stream_in_order_whoever_holds_two_neighbours_tells_what_was_at_a_time() {
    for ordered in [true, false] {
        let mut world = World::of(4, 1_000, |manifest| manifest.ordered = ordered);
        let owner = world.owner;
        world.sim.twist(owner, no_ranges(|_| true));
        let source = world.follower(&[owner]);
        world.sim.run_for(150 * SECOND);
        // It hears what is new, and has nothing of the history.
        for _ in 0..20 {
            world.publish(1);
            world.sim.run_for(SECOND);
        }
        assert_eq!(world.status(source).held_records, 20);
        world.sim.crash(owner, Crash::Process);
        world.sim.twist(source, no_ranges(|_| true));
        let reader = world.follower(&[source]);
        world.sim.run_for(150 * SECOND);
        assert_eq!(world.adopted(reader), 1_020);
        let sources = vec![source];
        let mut library = Library {
            world,
            reader,
            sources,
        };
        for asker in [reader, source] {
            library.reader = asker;
            for (time, index) in [(1_000, 1_000), (1_010, 1_010), (5_000, 1_019)] {
                let (found, _) = library.retrieve(library.time(time));
                let meant = ordered.then(|| (index, record(index)));
                assert_eq!(found_at(&found), meant, "{time}");
            }
            // Another one may lie between what is held and this.
            let (found, _) = library.retrieve(library.time(999));
            assert_eq!(found, Err(CommandError::NotFound));
        }
    }
}

/// A reader that holds nothing but what it is told with a head, one who has all of the
/// first thousand records and hears of no more, and an owner who has no answer for users.
fn with_one_who_is_behind(ordered: bool) -> Library {
    let no_gossip = NetworkConfig {
        gossip_loss: 1.0,
        ..NetworkConfig::default()
    };
    let mut world = World::begun(Sim::with_network(6, no_gossip), |sim, owner| {
        let manifest = Manifest {
            ordered,
            ..manifest(sim.key(owner), 3)
        };
        sim.create(owner, manifest)
    });
    world.publish(1_000);
    let owner = world.owner;
    let behind = world.full_follower(&[owner]);
    world.sim.cut(behind, owner);
    let unanswered = |body: &mut Body| !matches!(body, Body::Retrieved(_));
    world.sim.twist(owner, no_ranges(unanswered));
    world.sim.twist(behind, no_ranges(|_| true));
    let reader = world.follower(&[owner, behind]);
    let tells_no_head = |body: &mut Body| !matches!(body, Body::Head(_));
    world.sim.twist(reader, no_ranges(tells_no_head));
    world.sim.run_for(150 * SECOND);
    let sources = vec![owner, behind];
    Library {
        world,
        reader,
        sources,
    }
}

impl Library {
    /// Publishes more, of which the reader hears.
    fn publish(&mut self, count: u64) {
        self.world.publish(count);
        self.world.sim.run_for(150 * SECOND);
        assert_eq!(self.world.adopted(self.reader), self.world.size);
        assert_eq!(self.world.adopted(self.sources[1]), 1_000);
    }
}

#[test]
fn what_was_last_in_an_earlier_tree_is_not_taken_for_what_is_last_now() {
    for ordered in [true, false] {
        // The reader hears what follows.
        let mut library = with_one_who_is_behind(ordered);
        library.publish(10);
        assert_eq!(library.world.status(library.reader).held_records, 10);
        for (time, index) in [(5_000, 1_009), (1_003, 1_003), (999, 999), (7, 7)] {
            let (found, _) = library.retrieve(library.time(time));
            assert_eq!(found_at(&found), Some((index, record(index))), "{time}");
        }
        // It hears only that something follows, which nobody who answers has.
        let mut library = with_one_who_is_behind(ordered);
        library.publish(5_000);
        assert_eq!(library.world.status(library.reader).held_records, 0);
        let (found, _) = library.retrieve(library.time(9_000));
        assert_eq!(found, Err(CommandError::NotFound));
    }
}

#[test]
fn of_a_stream_in_order_one_record_behind_an_earlier_tree_tells_that_nothing_else_is_meant() {
    let mut library = with_one_who_is_behind(true);
    library.publish(1);
    library.publish(5_000);
    assert_eq!(library.world.status(library.reader).held_records, 1);
    for (time, index) in [(999, Some(999)), (7, Some(7)), (1_000, None), (5_000, None)] {
        let (found, _) = library.retrieve(library.time(time));
        assert_eq!(found_at(&found).map(|(at, _)| at), index, "{time}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever the order of the times, an honest answer is believed and is the
    /// greatest (time, index) at or before the time.
    #[test]
    fn the_record_at_or_before_a_time_is_the_greatest_one(
        times in prop::collection::vec(-20_i64..20, 1..60), at in -25_i64..25, level in 0_u8..4,
    ) {
        let mut world = World::new(1, level, 0);
        let (owner, log) = (world.owner, world.log);
        let list = times.iter().map(|&time| Record::new(Timestamp(time), b"v"));
        world.sim.publish(owner, log, list.collect());
        world.sim.run_for(0);
        let LogStatus { key, head, .. } = world.status(owner);
        let (key, head) = (key.unwrap(), head.unwrap());
        let history = History::new(&**world.sim.store(owner), key);
        let size = times.len() as u64;
        let held = [crate::ranges::Interval { from: 0, to: size }].into_iter().collect();
        let at = Timestamp(at);
        let among = Among { begin: 0, size, ordered: false };
        let (answer, _) = answer_time(&history, &held, among, at).unwrap();
        let meant = (0_u64..).zip(&times)
            .filter(|(_, time)| **time <= at.0)
            .max_by_key(|(index, time)| (**time, *index));
        match Question::Time(log, head.tree(), at).check(&answer, 100) {
            Ok(Found::Record { index, record, .. }) => {
                prop_assert_eq!(Some(index), meant.map(|(index, _)| index));
                prop_assert_eq!(record.time().0, times[index as usize]);
            }
            Ok(Found::Nothing(_)) => prop_assert_eq!(meant, None),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
