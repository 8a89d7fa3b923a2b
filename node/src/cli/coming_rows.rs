//! Rows that are about to be published, beside the records that their stream has
//! at the same times.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use anyhow::Context;
use futures::TryStreamExt;
use headwater_client::Query;
use headwater_client::times::text::{FIRST_RFC3339, LAST_RFC3339, to_text};
use headwater_protocols::time::Timestamp;

use super::output::printable;
use super::target::Target;
use crate::import::rows::Row;

/// Bytes of a value that are kept, to be shown.
const SHOWN_BYTES: usize = 40;

/// A few rows, in the order of their times.
#[derive(Debug, Default)]
pub(super) struct ComingRows {
    hasher: RandomState,
    rows: Vec<ComingRow>,
    is_sorted: bool,
}

/// A row, as far as it is compared and shown.
#[derive(Clone, Debug)]
pub(super) struct ComingRow {
    time: Timestamp,
    hash: u64,
    /// The place of its file, and its line there.
    pub(super) place: usize,
    pub(super) line: u64,
    shown: Box<[u8]>,
}

/// A record that meets a row.
#[derive(Clone, Debug)]
pub(super) struct Met {
    pub(super) row: ComingRow,
    /// The record has its time, and another value.
    pub(super) is_changed: bool,
    pub(super) index: u64,
    record: Row,
}

impl ComingRows {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn push(&mut self, place: usize, row: &Row) {
        self.is_sorted = false;
        self.rows.push(ComingRow {
            time: row.time,
            hash: self.hash(row),
            place,
            line: row.line,
            shown: row.value[..row.value.len().min(SHOWN_BYTES)].into(),
        });
    }

    fn hash(&self, row: &Row) -> u64 {
        self.hasher.hash_one((row.time.0, &row.value))
    }

    fn sort(&mut self) {
        if !self.is_sorted {
            self.rows.sort_by_key(|row| row.time);
            self.is_sorted = true;
        }
    }

    /// The earliest and the latest time.
    pub(super) fn span(&mut self) -> Option<(Timestamp, Timestamp)> {
        self.sort();
        Some((self.rows.first()?.time, self.rows.last()?.time))
    }

    /// The row that is this record, or else one of its time.
    fn met(&self, index: u64, record: Row) -> Option<Met> {
        let begin = self.rows.partition_point(|row| row.time < record.time);
        let same_time = || (self.rows[begin..].iter()).take_while(|row| row.time == record.time);
        let hash = self.hash(&record);
        let same = same_time().find(|row| row.hash == hash);
        let is_changed = same.is_none();
        let row = same.or_else(|| same_time().next())?.clone();
        Some(Met {
            row,
            is_changed,
            index,
            record,
        })
    }

    /// The first record of the stream that meets one of the rows, of those that
    /// are asked for.
    ///
    /// # Errors
    /// The node is lost.
    pub(super) async fn first_met(
        &mut self,
        target: &Target<'_>,
        is_asked_for: impl Fn(&Met) -> bool,
    ) -> anyhow::Result<Option<Met>> {
        let Some((from, to)) = self.span() else {
            return Ok(None);
        };
        let records = match target.client.records(&target.id, &within(from, to)).await {
            Ok(records) => records,
            Err(error) if error.is_gone() => return Ok(None),
            Err(error) => return Err(error).context("while looking for rows in the stream"),
        };
        let mut records = std::pin::pin!(records);
        while let Some(record) = records.try_next().await? {
            let met = self.met(record.index, target.row_of(&record)?);
            if let Some(met) = met.filter(|met| is_asked_for(met)) {
                return Ok(Some(met));
            }
        }
        Ok(None)
    }
}

/// The records of these times, the last one included; all of them where a query
/// cannot say so.
pub(super) fn within(from: Timestamp, to: Timestamp) -> Query {
    let behind = Timestamp(to.0.saturating_add(1));
    let can_be_said = |time| (FIRST_RFC3339..=LAST_RFC3339).contains(&time);
    let mut query = Query::default();
    if can_be_said(from) {
        query.from = Some(to_text(from));
    }
    if can_be_said(behind) {
        query.to = Some(to_text(behind));
    }
    query
}

impl Met {
    /// What the record has and what the row has, where that differs.
    pub(super) fn values(&self) -> (String, String) {
        let record = &self.record.value[..self.record.value.len().min(SHOWN_BYTES)];
        (shown(record), shown(&self.row.shown))
    }

    pub(super) fn time(&self) -> String {
        to_text(self.row.time)
    }
}

fn shown(value: &[u8]) -> String {
    let dots = if value.len() == SHOWN_BYTES {
        "…"
    } else {
        ""
    };
    let text = String::from_utf8_lossy(value);
    format!("`{}{dots}`", printable(&text))
}

/// Indexes of records, put together where they follow each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Indexes(Vec<Range<u64>>);

impl Indexes {
    /// Adds one behind all others.
    pub(super) fn push(&mut self, index: u64) {
        match self.0.last_mut() {
            Some(last) if last.end == index => last.end += 1,
            _ => self.0.push(index..index + 1),
        }
    }

    pub(super) fn contains(&self, index: u64) -> bool {
        let behind = self.0.partition_point(|range| range.start <= index);
        (behind.checked_sub(1)).is_some_and(|at| self.0[at].contains(&index))
    }

    /// How many ranges there are.
    pub(super) fn ranges(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocols::manifest::ValueType;

    use super::*;
    use crate::import::value::ValueRules;
    use headwater_client::times::Moment;

    fn row(time: i64, value: &str, line: u64) -> Row {
        let rules = ValueRules::new(ValueType::Number, 8);
        let moment = Moment::exact(Timestamp(time));
        Row::new(moment, rules.of_text(value).unwrap()).on_line(line)
    }

    #[test]
    fn a_record_meets_the_row_that_it_is_or_one_of_its_time() {
        let mut rows = ComingRows::default();
        for (line, (time, value)) in (2..).zip([(5, "1"), (3, "2"), (5, "3")]) {
            rows.push(0, &row(time, value, line));
        }
        assert_eq!(rows.span(), Some((Timestamp(3), Timestamp(5))));
        let met = |time, value| {
            let met = rows.met(7, row(time, value, 0))?;
            Some((met.row.line, met.is_changed))
        };
        assert_eq!(met(5, "3"), Some((4, false)));
        assert_eq!(met(3, "2"), Some((3, false)));
        assert_eq!(met(3, "2.0"), Some((3, true)));
        assert_eq!(met(5, "4"), Some((2, true)));
        assert_eq!(met(4, "1"), None);
        let met = rows.met(7, row(3, "9", 0)).unwrap();
        assert_eq!(met.values(), ("`9`".to_owned(), "`2`".to_owned()));
    }

    #[test]
    fn indexes_are_known_again() {
        let mut indexes = Indexes::default();
        for index in [3, 4, 5, 8] {
            indexes.push(index);
        }
        assert_eq!(indexes.ranges(), 2);
        let known: Vec<_> = (0..10).filter(|&index| indexes.contains(index)).collect();
        assert_eq!(known, [3, 4, 5, 8]);
    }

    #[test]
    fn times_that_no_query_can_say_are_left_open() {
        let all = within(Timestamp(i64::MIN), Timestamp(i64::MAX));
        assert!(all.from.is_none() && all.to.is_none());
        let one = within(Timestamp(0), Timestamp(0));
        assert_eq!(one.to.unwrap(), "1970-01-01T00:00:00.000001Z");
    }
}
