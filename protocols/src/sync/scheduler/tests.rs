use super::*;
use crate::limits::{BATCHES_IN_FLIGHT, MAX_ASSIGNED_INTERVALS, MAX_HELD_INTERVALS, MAX_INTERVALS};
use crate::ranges::passed;
use proptest::prelude::*;

fn peer(n: u8) -> PeerId {
    let key = crate::identity::SigningKey::from_secret(&mut [n; 32]);
    key.public().peer_id()
}

fn set(intervals: &[(u64, u64)]) -> IntervalSet {
    let intervals = intervals.iter().map(|&(from, to)| Interval { from, to });
    intervals.collect()
}

fn list(intervals: &[(u64, u64)]) -> Vec<Interval> {
    set(intervals).intervals().collect()
}

#[test]
fn what_a_user_wants_is_asked_for_before_live_records_and_history() {
    let mut scheduler = Scheduler {
        live_from: 90_000,
        order: Order::NewestFirst,
        ..Scheduler::default()
    };
    scheduler.has(peer(1), 100_000, set(&[(0, 100_000)]));
    for (from, to) in [(40_000, 40_300), (99_999, 200_000), (300_000, 300_001)] {
        scheduler.wish(Interval { from, to });
    }
    let mut asked = Vec::new();
    while let Some(next) = scheduler.next(&[100_000], &set(&[(0, 10)]), 8, peer(9), |_| 0) {
        scheduler.assign(&next);
        asked.push((next.priority, next.intervals));
        if asked.len() == 3 {
            break;
        }
        scheduler.ended(peer(1), next.priority, Ending::Well, Timestamp(0));
    }
    // Whole chunks, and as far as there are records.
    assert_eq!(asked[0], (Priority::User, list(&[(39_936, 40_448)])));
    assert_eq!(asked[1], (Priority::User, list(&[(99_840, 100_000)])));
    assert_eq!(asked[2].0, Priority::Live);

    let held = set(&[(0, 50_000)]);
    scheduler.forget_wishes(&held);
    assert_eq!(scheduler.wishes.len(), 2);
    for from in 0..100 {
        scheduler.wish(Interval { from, to: 500 });
    }
    assert_eq!(scheduler.wishes.len(), MAX_WISHES);
}

#[test]
fn two_batches_are_in_flight_from_a_peer_and_not_three() {
    let mut scheduler = Scheduler {
        live_from: 1 << 20,
        ..Scheduler::default()
    };
    scheduler.has(peer(1), 1 << 20, set(&[(0, 1 << 20)]));
    let mut ranges = Vec::new();
    while let Some(next) = scheduler.next(&[1 << 20], &set(&[]), 8, peer(9), |_| 0) {
        // How much fits into a batch is known by the first offer.
        scheduler.assign(&next);
        if ranges.is_empty() {
            let second = scheduler.next(&[1 << 20], &set(&[]), 8, peer(9), |_| 0);
            assert_eq!(second, None);
            assert!(scheduler.offered(32_768, 3 << 20));
        }
        let [Interval { from, to }] = next.intervals[..] else {
            panic!("one range");
        };
        ranges.push((from, to, next.all));
    }
    assert_eq!(ranges, [(0, 32_768, true), (32_768, 65_536, true)]);
    scheduler.ended(peer(1), Priority::History, Ending::Well, Timestamp(0));
    assert!(
        scheduler
            .next(&[1 << 20], &set(&[]), 8, peer(9), |_| 0)
            .is_some()
    );
}

#[test]
fn of_large_records_no_more_is_asked_for_than_a_batch_brings() {
    let mut scheduler = Scheduler {
        live_from: 1 << 20,
        ..Scheduler::default()
    };
    scheduler.has(peer(1), 1 << 20, set(&[(0, 1 << 20)]));
    let mut ask = |(records, bytes), order| {
        let _ = scheduler.offered(records, bytes);
        scheduler.order = order;
        let held = set(&[((1 << 20) - 2_560, 1 << 20)]);
        let next = scheduler.next(&[1 << 20], &held, 8, peer(9), |_| 0);
        next.map_or(0, |next| next.intervals[0].len())
    };
    // The first few small ones; large ones, of which some few say nothing; then
    // enough small ones again.
    assert_eq!(ask((256, 2_560), Order::OldestFirst), 32_768);
    assert_eq!(ask((256, 1 << 20), Order::OldestFirst), 1_024);
    assert_eq!(ask((256, 1), Order::NewestFirst), 1_024);
    assert_eq!(ask((300, 1 << 20), Order::OldestFirst), 1_024);
    assert_eq!(ask((32_768, 1 << 20), Order::NewestFirst), 2_560);
    // A chunk is asked for in any case.
    assert_eq!(ask((10, 1 << 20), Order::OldestFirst), 256);
}

#[test]
fn a_source_has_what_it_says_and_not_the_tree_of_a_record_that_it_passed_on() {
    let mut scheduler = Scheduler::default();
    scheduler.has(peer(1), 100, set(&[(0, 100)]));
    assert!(scheduler.has_live(peer(1), 150, 151));
    assert_eq!(scheduler.sources[&peer(1)].size, 151);
    scheduler.has(peer(1), 100, set(&[(0, 100)]));
    assert!(scheduler.sources[&peer(1)].has_all(0, 100));
    assert_eq!(scheduler.sources[&peer(1)].size, 100);
}

#[test]
fn the_publisher_always_has_a_place_among_the_sources() {
    let mut scheduler = Scheduler {
        publisher: Some(peer(200)),
        ..Scheduler::default()
    };
    for n in 0..MAX_SOURCES as u8 {
        scheduler.has(peer(n), 100, set(&[(0, 100)]));
    }
    // Nobody is of no use, so that a newcomer finds no place.
    scheduler.has(peer(199), 100, set(&[(0, 100)]));
    assert_eq!(scheduler.sources.len(), MAX_SOURCES);
    assert!(!scheduler.sources.contains_key(&peer(199)));
    scheduler.has(peer(200), 100, set(&[]));
    assert_eq!(scheduler.sources.len(), MAX_SOURCES);
    assert!(scheduler.sources.contains_key(&peer(200)));
    // It holds nothing yet, and still keeps its place.
    scheduler.has(peer(199), 100, set(&[(0, 100)]));
    assert!(scheduler.sources.contains_key(&peer(200)));
    assert!(!scheduler.sources.contains_key(&peer(199)));
}

#[test]
fn what_fails_is_asked_of_another_peer_while_the_first_one_cools_off() {
    let mut scheduler = Scheduler {
        live_from: 100,
        ..Scheduler::default()
    };
    scheduler.has(peer(1), 100, set(&[(0, 100)]));
    scheduler.has(peer(2), 100, set(&[(0, 100)]));
    let first = scheduler
        .next(&[100], &set(&[]), 8, peer(1), |_| 0)
        .unwrap();
    assert_eq!(first.peer, peer(1));
    scheduler.assign(&first);
    scheduler.release(0, 100);
    scheduler.ended(peer(1), Priority::History, Ending::Failed, Timestamp(0));
    assert_eq!(
        scheduler
            .next(&[100], &set(&[]), 8, peer(1), |_| 0)
            .unwrap()
            .peer,
        peer(2)
    );
    scheduler.gone(peer(2));
    assert_eq!(scheduler.next(&[100], &set(&[]), 8, peer(1), |_| 0), None);
    let cool = scheduler.next_cool().unwrap();
    scheduler.warm(cool);
    assert_eq!(
        scheduler
            .next(&[100], &set(&[]), 8, peer(1), |_| 0)
            .unwrap()
            .peer,
        peer(1)
    );
}

#[test]
fn live_records_do_not_wait_for_history() {
    let mut scheduler = Scheduler {
        live_from: 1 << 20,
        ..Scheduler::default()
    };
    let size = (1 << 20) + 5;
    scheduler.has(peer(1), size, set(&[(0, size)]));
    let _ = scheduler.offered(256, 1 << 20);
    for _ in 0..BATCHES_IN_FLIGHT {
        let history = scheduler
            .next(&[1 << 20], &set(&[]), 8, peer(1), |_| 0)
            .unwrap();
        assert_eq!(history.priority, Priority::History);
        scheduler.assign(&history);
    }
    let live = scheduler
        .next(&[size], &set(&[]), 8, peer(1), |_| 0)
        .unwrap();
    assert_eq!(live.priority, Priority::Live);
    assert_eq!(live.intervals, list(&[(1 << 20, size)]));
}

#[test]
fn a_source_that_is_a_head_behind_is_asked_for_the_tree_that_it_has() {
    let mut scheduler = Scheduler {
        live_from: 1000,
        ..Scheduler::default()
    };
    scheduler.has(peer(1), 900, set(&[(0, 900)]));
    let next = scheduler
        .next(&[500, 800, 1000], &set(&[]), 8, peer(1), |_| 0)
        .unwrap();
    assert_eq!(next.intervals, list(&[(0, 800)]));
    assert_eq!(next.size, 800);
    assert_eq!(scheduler.next(&[1000], &set(&[]), 8, peer(1), |_| 0), None);
}

#[test]
fn newest_first_begins_at_the_end_and_goes_back_in_growing_steps() {
    let mut scheduler = Scheduler {
        live_from: 100_000,
        order: Order::NewestFirst,
        ..Scheduler::default()
    };
    scheduler.has(peer(1), 100_000, set(&[(0, 100_000)]));
    let mut held = set(&[]);
    let mut begins = vec![];
    while let Some(next) = scheduler.next(&[100_000], &held, 8, peer(1), |_| 0) {
        let [Interval { from, to }] = next.intervals[..] else {
            panic!("one range");
        };
        assert_eq!(held.prefix(to), 100_000);
        let _ = held.insert(from, to);
        begins.push(from / 256);
    }
    // 100,000 lies in chunk 390; three chunks end with it.
    assert_eq!(begins, [388, 385, 380, 370, 350, 310, 230, 110, 0]);
}

#[test]
fn holes_are_asked_for_together_as_many_as_a_request_names() {
    let mut scheduler = Scheduler {
        live_from: 10_000,
        ..Scheduler::default()
    };
    scheduler.has(peer(1), 10_000, set(&[(0, 10_000)]));
    let held = set(&[(256, 512), (1024, 9_000)]);
    let next = scheduler.next(&[10_000], &held, 8, peer(1), |_| 0).unwrap();
    let holes = list(&[(0, 256), (512, 1024), (9_000, 10_000)]);
    assert_eq!((next.intervals, next.all), (holes, true));

    // More than that, and they are asked for as one where they lie close.
    let held: IntervalSet = (0..5_000)
        .map(|i| Interval {
            from: 2 * i,
            to: 2 * i + 1,
        })
        .collect();
    let next = scheduler.next(&[10_000], &held, 8, peer(1), |_| 0).unwrap();
    assert_eq!((next.intervals, next.all), (list(&[(1, 2_048)]), false));
    let next = scheduler.next(&[10_000], &held, 0, peer(1), |_| 0).unwrap();
    assert_eq!((next.intervals.len(), next.all), (MAX_INTERVALS, true));
}

#[test]
fn sources_share_the_holes() {
    let mut scheduler = Scheduler {
        live_from: 10_000,
        ..Scheduler::default()
    };
    for n in 0..4 {
        scheduler.has(peer(n), 10_000, set(&[(0, 10_000)]));
    }
    let held: IntervalSet = (0..1_000)
        .map(|i| Interval {
            from: 10 * i,
            to: 10 * i + 9,
        })
        .collect();
    let mut asked = IntervalSet::new();
    let mut peers = Vec::new();
    while let Some(next) = scheduler.next(&[10_000], &held, 8, peer(1), |_| 0) {
        scheduler.assign(&next);
        asked.extend(next.intervals);
        peers.push(next.peer);
    }
    assert_eq!(asked.len(), 1_000);
    peers.sort_unstable();
    peers.dedup();
    assert_eq!(peers.len(), 4);
}

#[test]
fn newest_first_takes_the_last_holes() {
    let mut scheduler = Scheduler {
        live_from: 10_000,
        order: Order::NewestFirst,
        ..Scheduler::default()
    };
    scheduler.has(peer(1), 10_000, set(&[(0, 10_000)]));
    let held: IntervalSet = (0..1_000)
        .map(|i| Interval {
            from: 10 * i,
            to: 10 * i + 9,
        })
        .collect();
    let next = scheduler.next(&[10_000], &held, 2, peer(1), |_| 0).unwrap();
    let holes: Vec<_> = (0..12).map(|i| (9_889 + 10 * i, 9_890 + 10 * i)).collect();
    assert_eq!(next.intervals, list(&holes));
}

proptest! {
    #[test]
    fn everything_missing_is_asked_for_once_and_nothing_that_is_held_by_nobody(
        held in prop::collection::vec((0_u64..4000, 1_u64..500), 0..6),
        a in prop::collection::vec((0_u64..4000, 1_u64..2000), 0..4),
        b in prop::collection::vec((0_u64..4000, 1_u64..2000), 0..4),
        newest in any::<bool>(), live_from in 0_u64..4000,
    ) {
        let size = 4000;
        let ranges = |list: Vec<(u64, u64)>| {
            let mut set = IntervalSet::default();
            for (from, len) in list {
                let _ = set.insert(from, (from + len).min(size));
            }
            set
        };
        let (mut held, a, b) = (ranges(held), ranges(a), ranges(b));
        let order = if newest { Order::NewestFirst } else { Order::OldestFirst };
        let mut scheduler = Scheduler { order, live_from, ..Scheduler::default() };
        scheduler.has(peer(1), size, a.clone());
        scheduler.has(peer(2), size, b.clone());
        let mut steps = 0;
        while let Some(next) = scheduler.next(&[size], &held, 2, peer(1), |_| 0) {
            let source = if next.peer == peer(1) { &a } else { &b };
            scheduler.assign(&next);
            let mut end = None;
            for Interval { from, to } in next.intervals {
                prop_assert!(from < to && to <= size && end < Some(from));
                prop_assert!(source.contains(from, to));
                prop_assert!(held.covered(from, to) < to - from);
                prop_assert!(!next.all || held.covered(from, to) == 0);
                scheduler.release(from, to);
                let _ = held.insert(from, to);
                end = Some(to);
            }
            scheduler.ended(next.peer, next.priority, Ending::Well, Timestamp(0));
            steps += 1;
            prop_assert!(steps < 5000);
        }
        for index in 0..size {
            let at = |set: &IntervalSet| set.contains(index, index + 1);
            prop_assert!(at(&held) || !(at(&a) || at(&b)), "{} was not fetched", index);
        }
    }
}

#[test]
fn what_fails_together_is_one_failure_and_what_is_withdrawn_is_none() {
    let cools_until = |endings: &[(Ending, i64)]| {
        let mut scheduler = Scheduler::default();
        scheduler.has(peer(1), 100, set(&[(0, 100)]));
        for &(how, at) in endings {
            scheduler.warm(Timestamp(at));
            scheduler.ended(peer(1), Priority::History, how, Timestamp(at));
        }
        scheduler.next_cool().map(|until| until.0)
    };
    let first = (Timestamp(0) + COOL_OFF_BACKOFF.first()).0;
    assert_eq!(cools_until(&[(Ending::Withdrawn, 0); 9]), None);
    assert_eq!(cools_until(&[(Ending::Failed, 0); 9]), Some(first));
    let late = [(Ending::Failed, 0), (Ending::Failed, first - 1)];
    assert_eq!(cools_until(&late), Some(first));
    let again = [(Ending::Failed, 0), (Ending::Failed, first)];
    assert_eq!(cools_until(&again), Some(3 * first));
}

/// Every other record of a range.
fn every_other(from: u64, count: u64) -> IntervalSet {
    let at = |i| from + 2 * i;
    (0..count)
        .map(|i| Interval {
            from: at(i),
            to: at(i) + 1,
        })
        .collect()
}

#[test]
fn holes_that_nobody_can_fill_cost_no_more_than_a_few() {
    const SIZE: u64 = 1 << 20;
    const ROUNDS: u64 = 1_000;
    let held = every_other(0, MAX_HELD_INTERVALS as u64);
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let mut scheduler = Scheduler {
            order,
            live_from: SIZE,
            ..Scheduler::default()
        };
        // Each says that it holds what is held here.
        for n in 0..MAX_SOURCES {
            let from = 2 * n as u64 * MAX_INTERVALS as u64;
            scheduler.has(peer(n as u8), SIZE, every_other(from, MAX_INTERVALS as u64));
        }
        let before = passed::count();
        for _ in 0..ROUNDS {
            assert_eq!(scheduler.next(&[SIZE], &held, 8, peer(1), |_| 0), None);
            let sources = scheduler
                .sources()
                .filter(|(_, one)| one.has_nothing_new(&held, 0));
            assert_eq!(sources.count(), MAX_SOURCES);
        }
        // What each source holds is looked at once, and then a few intervals a round:
        // all of them each time would be a hundred times as much.
        let passed = passed::count() - before;
        let once = 8 * MAX_INTERVALS as u64;
        assert!(
            passed < MAX_SOURCES as u64 * (once + 16 * ROUNDS),
            "{passed}"
        );
    }
}

#[test]
fn what_would_be_one_hole_too_many_is_not_asked_for() {
    const SIZE: u64 = 1 << 20;
    let held = every_other(0, MAX_HELD_INTERVALS as u64);
    let end = 2 * MAX_HELD_INTERVALS as u64;
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let mut scheduler = Scheduler {
            order,
            live_from: SIZE,
            ..Scheduler::default()
        };
        // Alone, far behind what is held.
        scheduler.has(peer(1), SIZE, every_other(end + 1_000, 500));
        assert_eq!(scheduler.next(&[SIZE], &held, 0, peer(1), |_| 0), None);
        // What joins two intervals is welcome.
        scheduler.has(peer(2), SIZE, every_other(1, 500));
        let next = scheduler.next(&[SIZE], &held, 0, peer(1), |_| 0).unwrap();
        assert_eq!(next.peer, peer(2));
    }
}

#[test]
fn a_source_that_comes_and_goes_is_remembered_in_a_bounded_number_of_parts() {
    let mut scheduler = Scheduler::default();
    scheduler.has(peer(1), 10, IntervalSet::new());
    for i in 0..5_000 {
        assert!(scheduler.has_live(peer(1), 3 * i, 3 * i + 1));
    }
    let (_, source) = scheduler.sources().next().unwrap();
    assert_eq!(source.held.interval_count(), MAX_INTERVALS);
    // The latest count: it tells of the first ones when it is asked.
    assert!(source.held.contains(3 * 4_999, 3 * 4_999 + 1));
}

#[test]
fn requests_under_way_name_a_bounded_number_of_holes() {
    const SIZE: u64 = 1 << 24;
    let held = IntervalSet::new();
    let mut scheduler = Scheduler {
        live_from: SIZE,
        fitting: Some(u64::MAX),
        ..Scheduler::default()
    };
    for n in 0..MAX_SOURCES {
        let from = 4 * n as u64 * MAX_INTERVALS as u64;
        scheduler.has(peer(n as u8), SIZE, every_other(from, MAX_INTERVALS as u64));
    }
    while let Some(next) = scheduler.next(&[SIZE], &held, 0, peer(1), |_| 0) {
        scheduler.assign(&next);
    }
    let assigned = scheduler.assigned.interval_count();
    assert!(assigned <= MAX_ASSIGNED_INTERVALS, "{assigned}");
}
