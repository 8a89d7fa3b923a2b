//! What is read, against what the definition says.

use headwater_protocols::engine::{Lag, LogStatus};
use headwater_protocols::head::{Head, Tree};
use headwater_protocols::id::LogId;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::merkle::{Hash, empty_root};
use headwater_protocols::ranges::{Interval, IntervalSet};
use headwater_protocols::record::Record;
use headwater_protocols::store::{
    Admission, Durability, History, LogKey, MemoryStore, ReadError, Store,
};
use headwater_protocols::time::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::holes::{held_until, missing};

pub(super) const KEY: LogKey = LogKey {
    number: 1,
    chunk_level: 2,
};

/// A store with these records; `held` says which of them.
fn store_with(records: &[Record], held: &[Interval]) -> (MemoryStore, IntervalSet) {
    let store = MemoryStore::new();
    let mut set = IntervalSet::default();
    for interval in held {
        let run = &records[interval.from as usize..interval.to as usize];
        let leaves: Vec<_> = run.iter().map(Record::leaf).collect();
        let mut admission = Admission::new(&store, KEY, &mut set);
        admission.put_records(interval.from, run, &leaves).unwrap();
        store
            .commit(admission.finish(), Durability::Synced)
            .unwrap();
    }
    (store, set)
}

/// A stream of so many records, of which these are held.
fn status(size: u64, held: &IntervalSet) -> LogStatus {
    LogStatus {
        held: held.intervals().collect(),
        held_records: held.len(),
        ..all_held(KEY, size)
    }
}

/// A stream of so many records, all of which are held.
pub(super) fn all_held(key: LogKey, size: u64) -> LogStatus {
    let log = LogId([1; 32]);
    let root = if size == 0 {
        empty_root()
    } else {
        Hash([2; 32])
    };
    let head = Head::of_tree(log, Tree { size, root }, Timestamp(0));
    LogStatus {
        log,
        manifest: None,
        key: Some(key),
        owned: false,
        followed: true,
        newest_first: false,
        head: Some(head.sign(&SigningKey::from_secret(&mut [1; 32])).into()),
        held: vec![Interval { from: 0, to: size }],
        held_records: size,
        begin: 0,
        synced_size: 0,
        served_records: 0,
        sources: Vec::new(),
        waits_for_room: false,
        holds_back: false,
        clock_ahead_us: None,
        lag: Lag::default(),
        peers: Vec::new(),
        recovered: None,
        fork: None,
        disputed_from: None,
        damage: None,
        stopped_for_good: None,
        stopped: None,
        reopening: None,
        known_followers: 0,
    }
}

#[test]
fn a_hole_is_named_and_ends_what_is_held() {
    let records: Vec<_> = (0..20).map(|i| Record::new(Timestamp(i), b"1")).collect();
    let held = [Interval { from: 0, to: 6 }, Interval { from: 9, to: 20 }];
    let (store, set) = store_with(&records, &held);
    let history = History::new(&store, KEY);
    let status = status(18, &set);
    assert_eq!(missing(&status, &history, 0, 6), Ok(None));
    assert_eq!(
        missing(&status, &history, 2, 18),
        Ok(Some(Interval { from: 6, to: 9 }))
    );
    assert_eq!(held_until(&status, &history, 0), Ok(6));
    assert_eq!(held_until(&status, &history, 7), Ok(7));
    // Not beyond the head.
    assert_eq!(held_until(&status, &history, 9), Ok(18));
    assert_eq!(held_until(&status, &history, 18), Ok(18));
    assert_eq!(held_until(&status, &history, u64::MAX), Ok(u64::MAX));

    let all = Selection::indexes(4, 12);
    let read = visit(&history, &all, |_, _| Ok::<_, ReadError>(()));
    assert_eq!(read, Err(ReadError::NotHeld(6)));
}

#[test]
fn a_status_that_cannot_list_all_holes_is_completed_from_the_store() {
    let max = headwater_protocols::limits::MAX_INTERVALS as u64;
    let count = 2 * max + 10;
    let records: Vec<_> = (0..count)
        .map(|i| Record::new(Timestamp(i as i64), b"1"))
        .collect();
    let mut held: Vec<_> = (0..max)
        .map(|i| Interval {
            from: 2 * i,
            to: 2 * i + 1,
        })
        .collect();
    held.push(Interval {
        from: 2 * max,
        to: count,
    });
    let (store, set) = store_with(&records, &held);
    let mut status = status(count, &set);
    status.held.truncate(max as usize);
    let history = History::new(&store, KEY);
    assert_eq!(missing(&status, &history, 2 * max, count), Ok(None));
    assert_eq!(held_until(&status, &history, 2 * max + 1), Ok(count));
}

fn selections() -> impl Strategy<Value = Selection> {
    let time = prop::option::of((-40_i64..40).prop_map(Timestamp));
    let limit = prop::option::of(0_u64..60);
    (
        0_u64..70,
        0_u64..70,
        time.clone(),
        time,
        limit,
        any::<bool>(),
    )
        .prop_map(|(from, to, since, before, limit, descending)| Selection {
            from,
            to,
            since,
            before,
            limit,
            order: if descending {
                Order::Descending
            } else {
                Order::Ascending
            },
        })
}

/// What a selection means.
fn naive(records: &[Record], selection: &Selection) -> Vec<u64> {
    let mut found: Vec<u64> = (0..records.len() as u64)
        .filter(|&index| index >= selection.from && index < selection.to)
        .filter(|&index| {
            let time = records[index as usize].time();
            selection.since.is_none_or(|since| time >= since)
                && selection.before.is_none_or(|before| time < before)
        })
        .collect();
    if selection.order == Order::Descending {
        found.reverse();
    }
    found.truncate(selection.limit.unwrap_or(u64::MAX) as usize);
    found
}

proptest! {
    #[test]
    fn a_selection_reads_what_a_plain_filter_finds(
        times in prop::collection::vec(-40_i64..40, 0..70), selection in selections(),
    ) {
        let records: Vec<_> = (times.iter())
            .map(|&time| Record::new(Timestamp(time), time.to_string().as_bytes()))
            .collect();
        let size = records.len() as u64;
        let selection = Selection { to: selection.to.min(size), ..selection };
        let (store, set) = store_with(&records, &[Interval { from: 0, to: size }]);
        prop_assert_eq!(set.len(), size);
        let mut found = Vec::new();
        visit(&History::new(&store, KEY), &selection, |index, record| {
            assert_eq!(record, &records[index as usize]);
            found.push(index);
            Ok::<_, ReadError>(())
        }).unwrap();
        prop_assert_eq!(found, naive(&records, &selection));
    }

    #[test]
    fn only_what_is_needed_has_to_be_held(
        times in prop::collection::vec(-40_i64..40, 1..70), selection in selections(),
    ) {
        let records: Vec<_> = (times.iter())
            .map(|&time| Record::new(Timestamp(time), b"1"))
            .collect();
        let size = records.len() as u64;
        let selection = Selection { to: selection.to.min(size), ..selection };
        let (from, to) = selection.needed();
        let held: Vec<_> = Some(Interval { from, to }).filter(|i| !i.is_empty()).into_iter().collect();
        let (store, _) = store_with(&records, &held);
        let mut found = Vec::new();
        visit(&History::new(&store, KEY), &selection, |index, _| {
            found.push(index);
            Ok::<_, ReadError>(())
        }).unwrap();
        prop_assert_eq!(found, naive(&records, &selection));
    }
}
