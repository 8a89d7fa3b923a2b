//! Sets of intervals: what peers say, and a set after any changes.

use headwater_protocols::limits::{MAX_INTERVALS, MAX_LOG_SIZE};
use headwater_protocols::ranges::{Change, Interval, IntervalSet};
use headwater_protocols::wire::v1;
use libfuzzer_sys::arbitrary::{Result, Unstructured};

/// Positions of the small set, whose members are counted one by one.
const SMALL: u64 = 128;

/// A script of changes to a set, beside a list of what must be in it; then
/// intervals as a peer may say them.
pub fn ranges(bytes: &[u8]) {
    // What the script lacks at its end is 0.
    let _ = changes(&mut Unstructured::new(bytes));
    let _ = from_wire(&mut Unstructured::new(bytes));
}

fn changes(script: &mut Unstructured<'_>) -> Result<()> {
    let mut set = IntervalSet::new();
    let mut members = [false; SMALL as usize];
    let mut stored = std::collections::BTreeMap::new();
    while !script.is_empty() {
        let [kind, from, to] = script.arbitrary::<[u8; 3]>()?;
        let [from, to] = [from, to].map(|at| u64::from(at) % (SMALL + 1));
        let inserts = kind % 2 == 0;
        let change = match inserts {
            true => set.insert(from, to),
            false => set.remove(from, to),
        };
        for at in from..to {
            members[at as usize] = inserts;
        }
        apply(&mut stored, &change);
        check(&set, &members, from, to);
        assert!(
            set.intervals()
                .map(|one| (one.from, one.to))
                .eq(stored.clone())
        );
    }
    let again = IntervalSet::from_stored(set.intervals());
    assert_eq!(again.as_ref(), Ok(&set));
    let in_any_order: IntervalSet = set.intervals().rev().collect();
    assert_eq!(in_any_order, set);
    Ok(())
}

/// A stored copy of the set is changed by what the change says alone.
fn apply(stored: &mut std::collections::BTreeMap<u64, u64>, change: &Change) {
    for begin in &change.removed {
        assert!(stored.remove(begin).is_some());
        assert!(change.put.iter().all(|put| put.from != *begin));
    }
    stored.extend(change.put.iter().map(|put| (put.from, put.to)));
}

fn check(set: &IntervalSet, members: &[bool], from: u64, to: u64) {
    let is = |at: u64| members[at as usize];
    let held = (from..to).filter(|&at| is(at)).count() as u64;
    assert_eq!(set.covered(from, to), held);
    assert_eq!(set.len(), members.iter().filter(|is| **is).count() as u64);
    let all = to.saturating_sub(from);
    assert_eq!(set.contains(from, to), held == all);
    assert_eq!(
        set.missing(from, to).map(Interval::len).sum::<u64>(),
        all - held
    );
    let end = (from..SMALL).find(|&at| !is(at)).unwrap_or(SMALL);
    assert_eq!(set.prefix(from), end.max(from));
    assert!(
        set.missing(from, to)
            .all(|gap| !is(gap.from) && !is(gap.to - 1))
    );
}

fn from_wire(script: &mut Unstructured<'_>) -> Result<()> {
    let mut list = Vec::new();
    while !script.is_empty() {
        list.push(v1::Interval {
            from: script.arbitrary()?,
            to: script.arbitrary()?,
        });
    }
    let is_one = |one: &v1::Interval| one.from < one.to && one.to <= MAX_LOG_SIZE;
    for one in &list {
        let read = Interval::from_wire("a test", Some(one));
        assert_eq!(read.is_ok(), is_one(one));
        assert!(read.is_err() || read.map(Interval::to_wire) == Ok(*one));
    }
    let read = Interval::list_from_wire("a test", &list);
    let is_list = (1..=MAX_INTERVALS).contains(&list.len())
        && list.iter().all(is_one)
        && list.windows(2).all(|pair| pair[0].to < pair[1].from);
    assert_eq!(read.is_ok(), is_list);
    if let Ok(read) = read {
        assert!(read.iter().map(|one| one.to_wire()).eq(list.clone()));
        assert!(IntervalSet::from_stored(read.iter().copied()).is_ok());
    }
    // Sets of any positions do not overflow, either.
    let mut set = IntervalSet::new();
    for one in &list {
        let _ = set.insert(one.from, one.to);
        let _ = set.remove(one.to, one.from);
        assert!(set.contains(one.from, one.to));
    }
    Ok(())
}
