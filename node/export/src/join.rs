//! Several streams as one table: each row has, of each stream, the latest value
//! at or before the time of the row (a backward as-of join).
//!
//! The records are read in the order of their times, and each once, so that
//! memory depends on how far the times run to and fro, and not on how many
//! there are.

mod arrow;
mod parquet;
mod steps;
mod text;
mod tokens;

use std::io::{self, Write};

use bytes::Bytes;
use headwater_protocols::manifest::likeness;
use headwater_protocols::store::{ReadError, Store};
use headwater_protocols::time::Timestamp;
use headwater_reading::{ByTime, Disorder, Records, Room, Timed};

use self::arrow::ArrowTable;
use self::parquet::ParquetTable;
use self::steps::Steps;
pub use self::steps::TooManyRows;
use self::text::{CsvTable, JsonTable};
use super::Format;
use super::arrow::TOKEN;
use super::csv_line::CsvLines;
use super::ipc::Ipc;
use super::kind::Kind;

/// A column of a joined table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
}

/// A stream that is joined with others.
#[derive(Debug)]
pub struct JoinedStream<'a, S: ?Sized> {
    /// Its column.
    pub column: Column,
    /// Its records, all of which must be held.
    pub records: Records<'a, S>,
}

/// Which rows a joined table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// One for each record of the stream at this place, by time.
    On(usize),
    /// One for each multiple of so many microseconds since 1970.
    Every(u64),
}

/// What a joined table is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// Its rows.
    pub rows: Rows,
    /// The earliest time of a row.
    pub since: Option<Timestamp>,
    /// The time that all rows lie before.
    pub before: Option<Timestamp>,
    /// A value that is older than the row by more microseconds is left out.
    pub tolerance_us: Option<u64>,
}

/// Why streams cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The times of one run to and fro.
    #[error(
        "the times of stream `{0}` run to and fro too far to be put in order in bounded memory; narrow the join \
         with from and to"
    )]
    Disorder(String),
    /// Nobody wants so many rows.
    #[error(transparent)]
    TooManyRows(#[from] TooManyRows),
    /// A record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The reader of the table is gone, or its disk is full.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A stream, and what is known of it at the time of the row.
struct Side<'a, S: ?Sized> {
    name: &'a str,
    records: ByTime<'a, S>,
    latest: Option<Timed>,
}

impl<S: Store + ?Sized> Side<'_, S> {
    fn next_time(&mut self) -> Result<Option<Timestamp>, JoinError> {
        self.records
            .next_time()
            .map_err(|why| failed(self.name, why))
    }

    /// Goes on by one record.
    fn step(&mut self) -> Result<(), JoinError> {
        let next = self
            .records
            .next_record()
            .map_err(|why| failed(self.name, why))?;
        self.latest = next.or(self.latest.take());
        Ok(())
    }

    /// Goes on to the last record at or before a time.
    fn step_to(&mut self, time: Timestamp) -> Result<(), JoinError> {
        while self.next_time()?.is_some_and(|next| next <= time) {
            self.step()?;
        }
        Ok(())
    }

    fn value_at(&self, time: Timestamp, tolerance_us: Option<u64>) -> Option<Bytes> {
        let latest = self.latest.as_ref()?;
        let is_near = tolerance_us.is_none_or(|tolerance| time.since(latest.time) <= tolerance);
        is_near.then(|| latest.value.clone())
    }
}

fn failed(name: &str, why: Disorder) -> JoinError {
    match why {
        Disorder::TooMuch => JoinError::Disorder(name.to_owned()),
        Disorder::Read(error) => error.into(),
    }
}

/// Writes the joined table.
///
/// # Errors
/// The streams cannot be joined, or the writer fails.
pub fn join<S: Store + ?Sized, W: Write + Send>(
    streams: &[JoinedStream<'_, S>],
    how: &Join,
    format: Format,
    out: W,
) -> Result<(), JoinError> {
    join_in(&Room::default(), streams, how, format, out)
}

fn join_in<S: Store + ?Sized, W: Write + Send>(
    room: &Room,
    streams: &[JoinedStream<'_, S>],
    how: &Join,
    format: Format,
    out: W,
) -> Result<(), JoinError> {
    let mut sides = Vec::with_capacity(streams.len());
    for stream in streams {
        let name = stream.column.name.as_str();
        let span = (how.since, how.before);
        let records = stream.records.by_time(span, room);
        let records = records.map_err(|why| failed(name, why))?;
        let latest = before(stream, how.since)?;
        sides.push(Side {
            name,
            records,
            latest,
        });
    }
    let steps = match how.rows {
        Rows::On(_) => None,
        Rows::Every(step_us) => Some(Steps::of(streams, &mut sides, how, step_us)?),
    };
    let columns: Vec<_> = streams.iter().map(|stream| stream.column.clone()).collect();
    let mut table = Table::begin(format, &columns, out)?;
    match (how.rows, steps) {
        (Rows::On(on), _) => rows_on(&mut sides, on, how, &mut table)?,
        (Rows::Every(_), Some(steps)) => rows_every(&mut sides, steps, how, &mut table)?,
        (Rows::Every(_), None) => {}
    }
    Ok(table.finish()?)
}

/// The last record before the first row.
fn before<S: Store + ?Sized>(
    stream: &JoinedStream<'_, S>,
    since: Option<Timestamp>,
) -> Result<Option<Timed>, JoinError> {
    let Some(before) = since.and_then(|since| since.0.checked_sub(1)) else {
        return Ok(None);
    };
    let Some((index, time)) = stream.records.latest_until(Timestamp(before))? else {
        return Ok(None);
    };
    let value = stream.records.value(index)?;
    Ok(Some(Timed { time, value }))
}

fn rows_on<S: Store + ?Sized, W: Write + Send>(
    sides: &mut [Side<'_, S>],
    on: usize,
    how: &Join,
    table: &mut Table<W>,
) -> Result<(), JoinError> {
    let mut values = Vec::with_capacity(sides.len());
    while let Some(time) = match sides.get_mut(on) {
        Some(side) => side.next_time()?,
        None => None,
    } {
        values.clear();
        for (place, side) in sides.iter_mut().enumerate() {
            match place == on {
                true => side.step()?,
                false => side.step_to(time)?,
            }
            values.push(side.value_at(time, how.tolerance_us));
        }
        table.row(time, &values)?;
    }
    Ok(())
}

fn rows_every<S: Store + ?Sized, W: Write + Send>(
    sides: &mut [Side<'_, S>],
    steps: Steps,
    how: &Join,
    table: &mut Table<W>,
) -> Result<(), JoinError> {
    let mut values = Vec::with_capacity(sides.len());
    for time in steps {
        values.clear();
        for side in sides.iter_mut() {
            side.step_to(time)?;
            values.push(side.value_at(time, how.tolerance_us));
        }
        table.row(time, &values)?;
    }
    Ok(())
}

/// Writes a table by time in one of the formats.
pub(super) struct Table<W: Write + Send>(Form<W>);

enum Form<W: Write + Send> {
    Csv(Box<CsvTable<W>>),
    Json(JsonTable<W>),
    Arrow(Box<ArrowTable<W>>),
    Parquet(Box<ParquetTable<W>>),
}

impl<W: Write + Send> Table<W> {
    pub(super) fn begin(format: Format, columns: &[Column], out: W) -> io::Result<Self> {
        let arrow = |ipc, out| ArrowTable::begin(ipc, columns, out).map(Box::new);
        Ok(Self(match format {
            Format::Csv => Form::Csv(Box::new(CsvTable::begin(columns, CsvLines::new(out))?)),
            Format::SafeCsv => Form::Csv(Box::new(CsvTable::begin(columns, CsvLines::safe(out))?)),
            Format::Ndjson => Form::Json(JsonTable::lines(columns, out)),
            Format::Json => Form::Json(JsonTable::array(columns, out)),
            Format::Arrow => Form::Arrow(arrow(Ipc::Stream, out)?),
            Format::Feather => Form::Arrow(arrow(Ipc::File, out)?),
            Format::Parquet => Form::Parquet(Box::new(ParquetTable::begin(columns, out)?)),
        }))
    }

    /// Writes a row: what each column has, as it was published.
    pub(super) fn row(&mut self, time: Timestamp, values: &[Option<Bytes>]) -> io::Result<()> {
        match &mut self.0 {
            Form::Csv(table) => table.row(time, values),
            Form::Json(table) => table.row(time, values),
            Form::Arrow(table) => table.row(time, values),
            Form::Parquet(table) => table.row(time, values),
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self.0 {
            Form::Csv(table) => table.finish(),
            Form::Json(table) => table.finish(),
            Form::Arrow(table) => table.finish(),
            Form::Parquet(table) => table.finish(),
        }
    }
}

/// The names of columns, each once: what streams are called, and where several
/// are called alike, or `time` or `token`, with the end of the id behind it. A
/// stream that is called as another one's column would be then has its id, too.
#[must_use]
pub fn column_names(streams: &[(String, String)]) -> Vec<String> {
    let is_taken = |name: &str| ["", "time", TOKEN].contains(&name);
    let mut names: Vec<String> = streams.iter().map(|(name, _)| name.clone()).collect();
    // With an id behind it a name stays, so that this ends.
    loop {
        let is_alike = |at: usize| {
            let mut others = names.iter().enumerate();
            others.any(|(other, name)| {
                other != at && (*name == names[at] || likeness(name, &names[at]).is_some())
            })
        };
        let is_plain = |at: usize| names[at] == streams[at].0;
        let alike =
            (0..names.len()).filter(|&at| is_plain(at) && (is_taken(&names[at]) || is_alike(at)));
        let alike: Vec<usize> = alike.collect();
        if alike.is_empty() {
            return names;
        }
        for at in alike {
            let (name, id) = &streams[at];
            let end = id.char_indices().rev().nth(7).map_or(0, |(at, _)| at);
            names[at] = format!("{name}_{}", id.get(end..).unwrap_or(id));
        }
    }
}

#[cfg(test)]
mod tests;
