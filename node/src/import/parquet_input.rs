//! Parquet files as input: one column has the times, another the values, or others
//! those of rows, by their names. Row groups are read one after another, a few rows at
//! a time, as often as a file has to be read.

mod chunk;
mod file;
mod kind;
mod page_header;
mod pages;

use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use data_encoding::BASE64;
use headwater_client::times::TimeForm;
use headwater_client::types::NewColumn;
use headwater_export::caught;
use headwater_protocols::manifest::{ColumnType, ValueType};

use self::chunk::Cells;
use self::file::Leaf;
pub(crate) use self::file::ParquetFile;
use self::kind::Kind;
use self::pages::Room;
use super::csv_header::{find, places_of};
use super::csv_input::Columns;
use super::dialect::Said;
use super::folds::{LocalRow, RowPlace};
use super::guess::TimeCensus;
use super::limits::{BATCH_BYTES, MAX_BATCH_ROWS};
use super::row::Fields;
use super::row_cells::Field;
use super::rows::{BadRow, Row, RowError};
use super::time_reader::{TimeReader, TimeReading};
use super::value::{Taken, ValueRules};
use crate::wording::{counted, printable};

/// Which columns of a file are read, and how its times are.
#[derive(Clone, Debug)]
pub(crate) struct ParquetForm {
    pub(crate) columns: Columns,
    pub(crate) times: TimeReading,
    /// What a person should know of the times.
    pub(crate) said: String,
}

/// What of the file is read.
#[derive(Clone, Debug)]
struct Chosen {
    time: Leaf,
    values: Vec<Leaf>,
}

impl Chosen {
    fn of(file: &ParquetFile, columns: &Columns, rules: &ValueRules) -> anyhow::Result<Self> {
        let names = file.names();
        let (time, places, types) = match columns {
            Columns::Named { time, value } => {
                let place = find(&names, value)?;
                (time, vec![place], vec![type_of(rules.value_type())])
            }
            Columns::Table { time, headers } => {
                let rows = rules.rows().context("the stream has no columns")?;
                let types = rows.columns().iter().map(|column| column.column_type);
                (time, places_of(rows, &names, headers)?, types.collect())
            }
            Columns::Placed { .. } => bail!("its columns have no names"),
        };
        let time = file.leaf(find(&names, time)?)?;
        let values = places.into_iter().map(|place| file.leaf(place));
        let values = values.collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(
            time.kind.can_be_time(),
            "column `{}` {}, which are no times",
            printable(&time.name),
            time.kind.described()
        );
        for (leaf, column_type) in values.iter().zip(types) {
            ensure!(
                leaf.kind.fits(column_type),
                "column `{}` {}; the stream takes {}: convert it first, or make a stream whose type is {}",
                printable(&leaf.name),
                leaf.kind.described(),
                column_type.word(),
                leaf.kind.column_type().word()
            );
        }
        Ok(Self { time, values })
    }
}

/// The type of a column that has the values of a stream without columns.
fn type_of(value_type: ValueType) -> ColumnType {
    match value_type {
        ValueType::Number => ColumnType::Number,
        ValueType::Text => ColumnType::Text,
        ValueType::Json => ColumnType::Json,
        ValueType::Bytes => ColumnType::Bytes,
    }
}

impl ParquetForm {
    /// Finds the columns, and what nobody has said of the times: only where those are
    /// numbers or texts the file is read for it.
    ///
    /// # Errors
    /// It cannot be read, lacks a column, has one that the stream cannot take, or does
    /// not tell what its times are.
    pub(crate) fn of(
        file: &Arc<File>,
        columns: &Columns,
        said: &Said,
        rules: &ValueRules,
    ) -> anyhow::Result<Self> {
        let of_text = [
            (said.delimiter.is_some(), "--delimiter"),
            (said.decimal_comma, "--decimal-comma"),
        ];
        if let Some((_, flag)) = of_text.into_iter().find(|(is_said, _)| *is_said) {
            bail!("it is a Parquet file, whose columns have types: leave off {flag}");
        }
        let file = ParquetFile::open(Arc::clone(file))?;
        let Chosen { time, .. } = Chosen::of(&file, columns, rules)?;
        let name = printable(&time.name);
        let form = match (&said.form, time.kind) {
            (Some(_), Kind::Date | Kind::Timestamp { .. }) => bail!(
                "column `{name}` {}: these say what they are, so leave off --time-unit and --time-format",
                time.kind.described()
            ),
            (None, Kind::Date | Kind::Timestamp { .. }) => TimeForm::Iso,
            (Some(form), _) => form.clone(),
            (None, _) => census(&file, &time)?.form().map_err(anyhow::Error::msg)?,
        };
        let times = said.times(form).map_err(anyhow::Error::msg)?;
        let (said, times) = match time.kind {
            Kind::Date | Kind::Timestamp { .. } => {
                let zone = times.local.as_ref().map(|local| local.zone().name());
                let zone = match (zone, time.kind) {
                    (_, Kind::Timestamp { is_utc: true, .. }) => String::new(),
                    (Some(zone), _) => format!(", which are read in {zone}"),
                    (None, _) => String::new(),
                };
                let said = format!("column `{name}` {}{zone}", time.kind.described());
                let is_found_out = false;
                (
                    said,
                    TimeReading {
                        is_found_out,
                        ..times
                    },
                )
            }
            _ => (times.described(), times),
        };
        Ok(Self {
            columns: columns.clone(),
            times,
            said,
        })
    }

    /// The columns of a file that its stream does not have.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn not_read(
        &self,
        file: Arc<File>,
        rules: &ValueRules,
    ) -> anyhow::Result<Vec<String>> {
        Ok(self
            .columns
            .not_read(&ParquetFile::open(file)?.names(), rules))
    }

    /// Looks at what the clocks of a zone showed, row by row, of the file at this place
    /// among others. What is no local time is passed over.
    ///
    /// # Errors
    /// The file cannot be read to its end.
    pub(crate) fn look_at_local_times(
        &self,
        opened: Arc<File>,
        file: usize,
        mut look: impl FnMut(LocalRow),
    ) -> anyhow::Result<()> {
        let (Columns::Named { time, .. } | Columns::Table { time, .. }) = &self.columns else {
            bail!("its columns have no names");
        };
        let parquet = ParquetFile::open(opened)?;
        let time = parquet.leaf(find(&parquet.names(), time)?)?;
        let times = self.times.reader();
        let mut cursor = Cursor::new(parquet, vec![time]);
        while cursor.advance()? {
            let text = cursor.field(0).and_then(time_text);
            let place = cursor.place();
            let row = text
                .ok()
                .and_then(|text| times.local_row(text.trim(), file, place));
            row.map(&mut look);
        }
        Ok(())
    }
}

/// What the times of a column look like, of all rows.
fn census(file: &ParquetFile, time: &Leaf) -> anyhow::Result<TimeCensus> {
    let mut times = TimeCensus::default();
    let mut cursor = Cursor::new(file.clone(), vec![time.clone()]);
    while cursor.advance()? {
        if let Ok(text) = cursor.field(0).and_then(time_text) {
            times.add(cursor.row, text.trim());
        }
    }
    Ok(times)
}

/// A time as a reader of times takes it.
fn time_text(field: Field<'_>) -> Result<String, String> {
    match field {
        Field::Time(text) => Ok(text),
        Field::Text(text) => Ok(text.to_owned()),
        Field::Integer(number) => Ok(number.to_string()),
        Field::Unsigned(number) => Ok(number.to_string()),
        Field::Number(number) => Ok(number.to_string()),
        Field::Missing => Err("it has no time".to_owned()),
        Field::Bool(_) | Field::Json(_) | Field::Bytes(_) => Err("it is no time".to_owned()),
    }
}

/// The rows of some columns.
struct Cursor {
    file: ParquetFile,
    leaves: Vec<Leaf>,
    room: Arc<Room>,
    /// The row group that comes next.
    group: usize,
    chunks: Vec<Box<dyn Cells>>,
    /// Rows of the current row group that were not read yet.
    left: usize,
    /// Rows that were read and not passed yet, with the current one.
    ready: usize,
    /// How many rows are read at a time.
    batch: usize,
    /// The number of the current row, from 1.
    row: u64,
}

impl Cursor {
    fn new(file: ParquetFile, leaves: Vec<Leaf>) -> Self {
        Self {
            file,
            leaves,
            room: Arc::default(),
            group: 0,
            chunks: Vec::new(),
            left: 0,
            ready: 0,
            batch: 1,
            row: 0,
        }
    }

    /// Goes to the next row; false behind the last one.
    fn advance(&mut self) -> anyhow::Result<bool> {
        if self.ready > 0 {
            self.ready -= 1;
            self.chunks.iter_mut().for_each(|chunk| chunk.step());
        }
        if self.ready == 0 && !self.read()? {
            let says = self.file.rows();
            ensure!(
                says == self.row,
                "it is damaged: it says to have {}, and has {}",
                counted(says, "row"),
                counted(self.row, "row")
            );
            return Ok(false);
        }
        self.row += 1;
        Ok(true)
    }

    /// Reads a few rows; false where there are none.
    fn read(&mut self) -> anyhow::Result<bool> {
        while self.left == 0 {
            if !self.open_next()? {
                return Ok(false);
            }
        }
        let rows = self.left.min(self.batch);
        let chunks = &mut self.chunks;
        for (chunk, leaf) in chunks.iter_mut().zip(&self.leaves) {
            caught(|| chunk.read(rows)).with_context(|| {
                format!(
                    "column `{}`, behind row {}",
                    printable(&leaf.name),
                    self.row
                )
            })?;
        }
        self.left -= rows;
        self.ready = rows;
        Ok(true)
    }

    fn open_next(&mut self) -> anyhow::Result<bool> {
        let Some(group) = self.file.groups().get(self.group) else {
            return Ok(false);
        };
        self.group += 1;
        self.chunks.clear();
        let rows = usize::try_from(group.num_rows());
        self.left = rows.context("it is damaged: a row group has less than no rows")?;
        let bytes = u64::try_from(group.total_byte_size()).unwrap_or(u64::MAX);
        let each = bytes / (self.left as u64).max(1);
        self.batch = usize::try_from(BATCH_BYTES / each.max(1))
            .unwrap_or(MAX_BATCH_ROWS)
            .clamp(1, MAX_BATCH_ROWS);
        for leaf in &self.leaves {
            let chunk = caught(|| chunk::open(&self.file, group, leaf, &self.room));
            let cannot = || format!("column `{}`", printable(&leaf.name));
            self.chunks.push(chunk.with_context(cannot)?);
        }
        Ok(true)
    }

    /// What the current row has in one of the columns.
    fn field(&self, at: usize) -> Result<Field<'_>, String> {
        let (chunk, leaf) = (self.chunks.get(at), self.leaves.get(at));
        match (chunk.and_then(|chunk| chunk.current()), leaf) {
            (Some(raw), Some(leaf)) => leaf.kind.field(raw),
            (None, _) | (_, None) => Ok(Field::Missing),
        }
    }

    fn place(&self) -> RowPlace {
        RowPlace {
            row: self.row,
            line: self.row,
        }
    }
}

/// The rows of a file.
pub(crate) struct ParquetRows {
    cursor: Cursor,
    times: TimeReader,
    rules: ValueRules,
    is_over: bool,
}

impl ParquetRows {
    /// # Errors
    /// The file cannot be read, or a column is not there or not what the stream takes.
    pub(crate) fn open(
        file: Arc<File>,
        form: &ParquetForm,
        rules: ValueRules,
    ) -> anyhow::Result<Self> {
        let file = ParquetFile::open(file)?;
        let Chosen { time, values } = Chosen::of(&file, &form.columns, &rules)?;
        let leaves = std::iter::once(time).chain(values).collect();
        Ok(Self {
            cursor: Cursor::new(file, leaves),
            times: form.times.reader(),
            rules,
            is_over: false,
        })
    }

    fn row(&mut self) -> Result<Row, String> {
        let cursor = &self.cursor;
        let name = |at: usize| cursor.leaves.get(at).map(|leaf| printable(&leaf.name));
        let in_column = |at: usize, why: String| {
            let name = name(at).unwrap_or_default();
            format!("column `{name}`: {why}")
        };
        let time = cursor.field(0).and_then(time_text);
        let time = time.map_err(|why| in_column(0, why))?;
        let moment = self.times.read(time.trim(), cursor.place())?;
        let taken = match self.rules.rows() {
            Some(rows) => {
                let written = Fields {
                    decimal_comma: false,
                    zone: self.times.zone(),
                };
                let cells = (1..cursor.leaves.len()).map(|at| cursor.field(at));
                self.rules.of_row(rows.of_cells(cells, &written)?)?
            }
            None => {
                let field = cursor.field(1).map_err(|why| in_column(1, why))?;
                taken(&field, &self.rules).map_err(|why| in_column(1, why))?
            }
        };
        Ok(Row::new(moment, taken))
    }
}

/// The value of a stream without columns.
fn taken(field: &Field<'_>, rules: &ValueRules) -> Result<Taken, String> {
    match field {
        Field::Missing => Err("it has no value".to_owned()),
        Field::Bool(is) => rules.of_text(&is.to_string()),
        Field::Integer(number) => rules.of_text(&number.to_string()),
        Field::Unsigned(number) => rules.of_text(&number.to_string()),
        Field::Number(number) => rules.of_text(&number.to_string()),
        Field::Text(text) | Field::Json(text) => rules.of_text(text),
        Field::Time(text) => rules.of_text(text),
        Field::Bytes(bytes) => match rules.value_type() {
            ValueType::Bytes => rules.of_text(&BASE64.encode(bytes)),
            ValueType::Number | ValueType::Text | ValueType::Json => {
                let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
                rules.of_text(text)
            }
        },
    }
}

impl Iterator for ParquetRows {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        match self.cursor.advance() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                self.is_over = true;
                return Some(Err(RowError::Read(error)));
            }
        }
        let line = self.cursor.row;
        Some(match self.row() {
            Ok(row) => Ok(row.on_line(line)),
            Err(what) => Err(RowError::Bad(BadRow { line, what })),
        })
    }
}

/// The columns of a stream that has what a file has, beside its times, and what there is
/// to say of the column of those.
///
/// # Errors
/// It cannot be read, or one of its columns can be none of a stream.
pub(crate) fn columns_of(
    file: Arc<File>,
    time: Option<&str>,
) -> anyhow::Result<(String, Vec<(NewColumn, &'static str)>)> {
    let file = ParquetFile::open(file)?;
    let names = file.names();
    let leaves = (0..names.len()).map(|at| file.leaf(at));
    let leaves = leaves.collect::<anyhow::Result<Vec<_>>>()?;
    let is_time = |leaf: &Leaf| matches!(leaf.kind, Kind::Date | Kind::Timestamp { .. });
    let time = match time {
        Some(time) => find(&names, time)?,
        None => leaves
            .iter()
            .position(is_time)
            .context("no column has timestamps; say which one has the times: --time-column T")?,
    };
    let columns = leaves.iter().enumerate().filter(|(at, _)| *at != time);
    let columns = columns.map(|(_, leaf)| {
        let column = NewColumn {
            name: leaf.name.clone(),
            column_type: leaf.kind.column_type().word().to_owned(),
            unit: String::new(),
            description: String::new(),
        };
        (column, leaf.kind.described())
    });
    let of_times = match leaves.get(time) {
        Some(leaf) => format!("{}, which {}", printable(&leaf.name), leaf.kind.described()),
        None => String::new(),
    };
    Ok((of_times, columns.collect()))
}

#[cfg(test)]
mod tests;
