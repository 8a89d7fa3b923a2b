//! Fewer rows: one for each span of time in which a stream has records, with one value
//! for those of each column.
//!
//! Spans begin at multiples of their length since 1970, in UTC, and `[start, end)` is a
//! span. The records are read in the order of their times, so that one span at a time is
//! in memory, and what the times run to and fro over.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use headwater_client::cell::{Cell, cell, rest};
use headwater_client::json_value;
use headwater_protocols::manifest::{ColumnType, ValueType};
use headwater_protocols::row::{RowReader, Token};
use headwater_protocols::store::{ReadError, Store};
use headwater_protocols::time::Timestamp;

use super::Format;
use super::aggregate::{Aggregate, Collected, Number};
use super::join::{Column, Table};
use super::kind::Kind;
use super::table::{self, Shape};
use super::value::finite;
use headwater_reading::{Disorder, Records, Room, Selection, Timed};

/// Records after which others have a turn.
const RECORDS_A_LOOK: u32 = 4096;

/// How the records of a stream become fewer rows.
#[derive(Clone, Debug)]
pub struct Summary {
    every_us: u64,
    columns: Vec<Summed>,
    /// Of rows: all columns, which tell whether a row is one.
    table: Option<Arc<table::Table>>,
    value_type: ValueType,
}

/// A column that is written.
#[derive(Clone, Debug)]
struct Summed {
    name: String,
    /// Where it is among all columns of the stream.
    place: usize,
    how: Aggregate,
    kind: Kind,
}

/// Why there is no such table.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// The times run to and fro.
    #[error(
        "the times of the stream run to and fro too far to be put in order in bounded memory; narrow it with from \
         and to"
    )]
    Disorder,
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The reader of the table is gone, or its disk is full.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Disorder> for SummaryError {
    fn from(why: Disorder) -> Self {
        match why {
            Disorder::TooMuch => Self::Disorder,
            Disorder::Read(error) => error.into(),
        }
    }
}

impl Summary {
    /// A row for each `every_us` microseconds, of the columns that are shown of all.
    ///
    /// # Errors
    /// There is no such value of a column; says which.
    pub fn of(
        every_us: u64,
        how: Option<Aggregate>,
        all: &Shape,
        shown: &Shape,
    ) -> Result<Self, String> {
        let wanted = match shown {
            Shape::One(value_type) => vec![("value", 0, Kind::Value(*value_type))],
            Shape::Rows(table) if table.has_rest() && !table.has_token() => {
                return Err("`rest` has many values in one; leave it off with every".to_owned());
            }
            Shape::Rows(table) => (table.places())
                .map(|(name, place, column_type)| (name, place, Kind::Cell(column_type)))
                .collect(),
        };
        let columns = wanted.into_iter().map(|(name, place, kind)| {
            let how = how.unwrap_or_else(|| Aggregate::usual(kind));
            let name = name.to_owned();
            match how.of(kind) {
                Some(kind) => Ok(Summed {
                    name,
                    place,
                    how,
                    kind,
                }),
                None => Err(format!(
                    "there is no {} of column `{name}`, which has {}; use first, last or count{}",
                    how.name(),
                    word(kind),
                    match shown {
                        Shape::One(_) => "",
                        Shape::Rows(_) => ", or name the columns of numbers with columns",
                    }
                )),
            }
        });
        Ok(Self {
            every_us: every_us.max(1),
            columns: columns.collect::<Result<_, _>>()?,
            table: match all {
                Shape::One(_) => None,
                Shape::Rows(table) => Some(table.clone()),
            },
            value_type: all.value_type(),
        })
    }

    /// What tells its bytes from those of others of the same records.
    #[must_use]
    pub fn name(&self) -> String {
        let columns = self.columns.iter();
        let columns: Vec<_> = columns.map(|one| (&one.name, one.how.name())).collect();
        format!("every {} us: {columns:?}", self.every_us)
    }

    /// Writes the table of the records of a selection, in the order of time; `limit`
    /// counts its rows. Returns how many records are in none of them, because they are
    /// not what the manifest says.
    ///
    /// # Errors
    /// The records cannot be read in the order of their times, or the writer fails.
    pub fn write<S: Store + ?Sized, W: Write + Send>(
        &self,
        records: &Records<'_, S>,
        selection: &Selection,
        format: Format,
        out: W,
    ) -> Result<u64, SummaryError> {
        let out = Mutex::new(out);
        let room = Room::default();
        let mut records = records.selected_by_time(selection, &room)?;
        let columns = self.columns.iter().map(|summed| Column {
            name: summed.name.clone(),
            kind: summed.kind,
        });
        let columns: Vec<_> = columns.collect();
        let table = Table::begin(format, &columns, Shared(&out))?;
        let mut spans = Spans::new(self, table, selection.limit);
        let mut left_out = 0;
        let mut unseen = 0;
        while let Some(record) = records.next_record()? {
            unseen += 1;
            if unseen == RECORDS_A_LOOK {
                unseen = 0;
                Shared(&out)
                    .write(&[])
                    .map(|none| debug_assert_eq!(none, 0))?;
            }
            if !spans.seen.look(self, &record.value) {
                left_out += 1;
            } else if !spans.take(&record)? {
                break;
            }
        }
        spans.finish()?;
        Ok(left_out)
    }

    /// Where the span begins that a time is in, as far as times go.
    fn start(&self, time: Timestamp) -> Timestamp {
        let (time, every) = (i128::from(time.0), i128::from(self.every_us));
        let start = time - time.rem_euclid(every);
        Timestamp(i64::try_from(start).unwrap_or(i64::MIN))
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Value(ValueType::Number) | Kind::Cell(ColumnType::Number) => "numbers",
        Kind::Cell(ColumnType::Integer) => "integers",
        Kind::Value(ValueType::Text) | Kind::Cell(ColumnType::Text) => "texts",
        Kind::Value(ValueType::Json) | Kind::Cell(ColumnType::Json) => "JSON",
        Kind::Value(ValueType::Bytes) | Kind::Cell(ColumnType::Bytes) => "bytes",
        Kind::Cell(ColumnType::Bool) => "bools",
        Kind::Cell(ColumnType::Time) => "times",
    }
}

/// A writer that is written to from two places, one after the other.
struct Shared<'a, W>(&'a Mutex<W>);

impl<W: Write> Write for Shared<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .flush()
    }
}

/// The rows, as they come about.
struct Spans<'a, W: Write + Send> {
    summary: &'a Summary,
    table: Table<W>,
    /// Where the span begins that is being collected.
    start: Option<Timestamp>,
    columns: Vec<Collected>,
    seen: Seen,
    /// Rows that may still be written.
    left: u64,
    /// Reused for each row.
    row: Vec<Option<Bytes>>,
}

impl<'a, W: Write + Send> Spans<'a, W> {
    fn new(summary: &'a Summary, table: Table<W>, limit: Option<u64>) -> Self {
        let columns = summary.columns.iter();
        Self {
            summary,
            table,
            start: None,
            columns: columns.map(|summed| Collected::new(summed.how)).collect(),
            seen: Seen::default(),
            left: limit.unwrap_or(u64::MAX),
            row: Vec::new(),
        }
    }

    /// Takes a record that was looked at; false when there are rows enough.
    fn take(&mut self, record: &Timed) -> io::Result<bool> {
        let start = self.summary.start(record.time);
        if self.start.is_some_and(|begun| begun != start) {
            self.end()?;
        }
        if self.left == 0 {
            return Ok(false);
        }
        self.start = Some(start);
        self.seen
            .put(self.summary, &record.value, &mut self.columns);
        Ok(true)
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(start) = self.start.take() else {
            return Ok(());
        };
        self.left -= 1;
        self.row.clear();
        self.row
            .extend(self.columns.iter_mut().map(Collected::finish));
        self.table.row(start, &self.row)
    }

    fn finish(mut self) -> io::Result<()> {
        self.end()?;
        self.table.finish()
    }
}

/// What a record has.
#[derive(Debug, Default)]
struct Seen {
    reader: RowReader,
    /// By the columns that are written: the number, if it is one.
    numbers: Vec<Option<Number>>,
    /// Of all columns.
    all: Vec<Option<Number>>,
}

impl Seen {
    /// Looks at a value: whether it is what the manifest says.
    fn look(&mut self, summary: &Summary, value: &[u8]) -> bool {
        self.numbers.clear();
        let Some(table) = &summary.table else {
            let number = finite(value).map(Number::Double);
            self.numbers.push(number);
            return match summary.value_type {
                ValueType::Number => number.is_some(),
                ValueType::Text => str::from_utf8(value).is_ok(),
                ValueType::Json => {
                    str::from_utf8(value).is_ok_and(|text| json_value::check(text).is_ok())
                }
                ValueType::Bytes => true,
            };
        };
        self.all.clear();
        let Some(row) = self.reader.read(value) else {
            return false;
        };
        for (_, place, column_type) in table.places() {
            let found = row.token(place).and_then(|token| cell(token, column_type));
            self.all.push(match found {
                Some(Cell::Number(number)) => Some(Number::Double(number)),
                Some(Cell::Integer(number)) => Some(Number::Whole(number)),
                Some(_) => None,
                None => return false,
            });
        }
        let count = self.all.len();
        let all = &self.all;
        let columns = summary.columns.iter();
        self.numbers
            .extend(columns.map(|summed| all.get(summed.place).copied().flatten()));
        row.len() == count || table.has_rest() && rest(&row, count).is_some()
    }

    /// Hands over its cells.
    fn put(&mut self, summary: &Summary, value: &[u8], columns: &mut [Collected]) {
        if summary.table.is_none() {
            for (column, number) in columns.iter_mut().zip(&self.numbers) {
                column.take(value, *number);
            }
            return;
        }
        // It was one a moment ago.
        let Some(row) = self.reader.read(value) else {
            return;
        };
        let summed = summary.columns.iter().zip(&self.numbers);
        for (column, (summed, number)) in columns.iter_mut().zip(summed) {
            let token = row.token(summed.place);
            let token = token.filter(|Token { json, .. }| *json != "null");
            if let Some(Token { json, .. }) = token {
                column.take(json.as_bytes(), *number);
            }
        }
    }
}

#[cfg(test)]
mod tests;
