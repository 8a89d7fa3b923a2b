//! Rows that are in a file twice, because it was put together of files that have
//! them both, or was written twice: looked for in one pass and bounded memory.
//!
//! Rows that share a time and stand together are normal, whatever they have. A row
//! is there again where rows of other times stand between. Of a long file a part
//! of the rows is looked at, always the same ones of those that are equal.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use headwater_protocols::time::Timestamp;

use super::files::Files;
use super::limits::MAX_REMEMBERED_ROWS;
use super::rows::Row;
use crate::wording::counted;

/// A file of which so many rows (one of a hundred) are there again, one behind the
/// other as before, is not what was meant.
const SHARE: u64 = 100;

/// Looks for rows that are there again.
#[derive(Debug)]
pub(crate) struct Repeats {
    hasher: RandomState,
    /// Rows whose hash has one of these bits are not looked at.
    mask: u64,
    seen: HashMap<u64, Seen>,
    room: usize,
    rows: u64,
    /// Rows of one time that stand together.
    group: u64,
    time: Option<Timestamp>,
}

/// A row, wherever it stands.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The last place at which it stands, by its number and its group.
    row: u64,
    group: u64,
    at: At,
    /// How often it was there again.
    again: u64,
    /// The first of these.
    first: Option<Repeat>,
}

/// The place of a file, and a line of it.
type At = (usize, u64);

/// A row that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Repeat {
    row: u64,
    at: At,
    before: At,
    /// How many rows behind the other it stands.
    distance: u64,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeated {
    /// So many rows, or about so many.
    count: u64,
    is_exact: bool,
    first: Repeat,
    /// They stand one behind the other as before, and are a good part of all.
    pub(crate) is_run: bool,
}

impl Repeats {
    pub(crate) fn new() -> Self {
        Self::with_room(MAX_REMEMBERED_ROWS)
    }

    fn with_room(room: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            mask: 0,
            seen: HashMap::new(),
            room,
            rows: 0,
            group: 0,
            time: None,
        }
    }

    /// Looks at the next row, of the file at this place.
    pub(crate) fn observe(&mut self, place: usize, row: &Row) {
        let number = self.rows;
        self.rows += 1;
        if self.time.replace(row.time) != Some(row.time) {
            self.group += 1;
        }
        let hash = self.hasher.hash_one((row.time.0, &row.value));
        if hash & self.mask != 0 {
            return;
        }
        let here = Seen {
            row: number,
            group: self.group,
            at: (place, row.line),
            again: 0,
            first: None,
        };
        let seen = self.seen.entry(hash).or_insert(here);
        if seen.group != self.group {
            seen.again += 1;
            seen.first.get_or_insert(Repeat {
                row: number,
                at: (place, row.line),
                before: seen.at,
                distance: number - seen.row,
            });
            (seen.row, seen.group, seen.at) = (number, self.group, (place, row.line));
        }
        if self.seen.len() > self.room {
            self.mask = self.mask << 1 | 1;
            let mask = self.mask;
            self.seen.retain(|hash, _| hash & mask == 0);
        }
    }

    /// What was found; `None` where no row is there again.
    pub(crate) fn finish(&self) -> Option<Repeated> {
        let repeats = || self.seen.values().filter_map(|seen| seen.first);
        let first = repeats().min_by_key(|repeat| repeat.row)?;
        let again: u64 = self.seen.values().map(|seen| seen.again).sum();
        let count = again << self.mask.count_ones();
        let mut distances: Vec<_> = repeats().map(|repeat| repeat.distance).collect();
        distances.sort_unstable();
        // More than half of them have one distance if any has as many.
        let usual = distances[distances.len() / 2];
        let with_it = distances.iter().filter(|&&other| other == usual).count();
        let is_run = with_it >= 2 && with_it * 2 > distances.len();
        Some(Repeated {
            count,
            is_exact: self.mask == 0,
            first,
            is_run: is_run && count.saturating_mul(SHARE) >= self.rows,
        })
    }
}

impl Repeated {
    /// For people.
    pub(crate) fn said(&self, files: &Files) -> String {
        let of = |(place, _): At| match &files.parts[..] {
            [_] => String::new(),
            _ => format!(" of {}", files.name_of(place)),
        };
        self.said_of(of)
    }

    fn said_of(&self, file: impl Fn(At) -> String) -> String {
        let about = if self.is_exact { "" } else { "about " };
        let are = if self.count == 1 { "is" } else { "are" };
        format!(
            "{about}{} {are} there a second time, with the time and the value of one further ahead (line {}{}, as line {}{})",
            counted(self.count, "row"),
            self.first.at.1,
            file(self.first.at),
            self.first.before.1,
            file(self.first.before)
        )
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocols::manifest::ValueType;

    use super::super::value::ValueRules;
    use super::*;
    use headwater_client::times::Moment;

    fn found(room: usize, rows: impl IntoIterator<Item = (i64, u64)>) -> Option<Repeated> {
        let rules = ValueRules::new(ValueType::Number, 8);
        let mut repeats = Repeats::with_room(room);
        for (line, (time, value)) in (2..).zip(rows) {
            let value = rules.of_text(&value.to_string()).unwrap();
            let moment = Moment::exact(Timestamp(time));
            repeats.observe(0, &Row::new(moment, value).on_line(line));
            assert!(repeats.seen.len() <= room);
        }
        repeats.finish()
    }

    #[test]
    fn a_file_that_was_written_twice_is_noticed() {
        let rows = [(1, 5), (2, 6), (3, 7)];
        let twice = found(100, [rows, rows].concat()).unwrap();
        assert!(twice.is_run);
        assert_eq!(
            twice.said_of(|_| String::new()),
            "3 rows are there a second time, with the time and the value of one further ahead (line 5, as line 2)"
        );
        // Also where it goes on, begins earlier, or was written the other way round.
        let more = [(4, 8), (5, 9)];
        assert!(
            found(100, [&rows[..], &rows, &more].concat())
                .unwrap()
                .is_run
        );
        assert!(
            found(100, [&rows[..], &rows[1..], &more].concat())
                .unwrap()
                .is_run
        );
        let mut back = rows;
        back.reverse();
        assert!(found(100, [back, back].concat()).unwrap().is_run);
        assert!(found(100, [rows, rows, rows].concat()).unwrap().is_run);
    }

    #[test]
    fn rows_that_share_a_time_are_normal() {
        assert_eq!(
            found(100, [(1, 5), (1, 6), (1, 5), (2, 5), (2, 5), (3, 5)]),
            None
        );
        let one = found(100, [(1, 5), (2, 6), (1, 5), (3, 7)]).unwrap();
        assert!(!one.is_run && one.count == 1, "{one:?}");
        assert!(
            one.said_of(|_| String::new())
                .starts_with("1 row is there a second time"),
            "{one:?}"
        );
        // Days in any order, with few values: no run is there again.
        let days = (0..5_000_u64).map(|i| {
            let at = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            ((at % 31) as i64, (at >> 8) % 3)
        });
        let days = found(10_000, days).unwrap();
        assert!(!days.is_run && days.count > 1_000, "{days:?}");
    }

    #[test]
    fn a_long_file_needs_no_more_memory() {
        let rows = |from: i64, to: i64| (from..to).map(|i| (i, (i % 7).unsigned_abs()));
        assert_eq!(found(500, rows(0, 20_000)), None);
        let twice = found(500, rows(0, 20_000).chain(rows(0, 20_000))).unwrap();
        assert!(twice.is_run && !twice.is_exact, "{twice:?}");
        assert!((15_000..25_000).contains(&twice.count), "{twice:?}");
        assert!(
            found(500, rows(0, 20_000).chain(rows(15_000, 30_000)))
                .unwrap()
                .is_run
        );
    }
}
