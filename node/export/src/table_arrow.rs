//! Rows as Arrow: `index`, `time`, a typed column for each of theirs, and `token`, a
//! bounded record batch at a time.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::{ArrayRef, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_client::cell::Cell;
use headwater_protocols::record::Record;

use super::arrow::{TOKEN, UTC};
use super::arrow_cells::ArrowCells;
use super::exact::Sparse;
use super::ipc::{Batches, Ipc};
use super::limits::{BATCH_BYTES, BATCH_ROWS};
use super::table::{Cells, Found, Table, TableReader};
use super::value::text;

/// Writes rows as Arrow.
pub struct TableArrow<W: Write> {
    out: Batches<W>,
    reader: TableReader,
    indexes: Vec<u64>,
    times: Vec<i64>,
    columns: Vec<ArrowCells>,
    /// The rows that their cells do not give back.
    tokens: Sparse<String>,
    bytes: usize,
}

impl<W: Write> std::fmt::Debug for TableArrow<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableArrow").finish_non_exhaustive()
    }
}

/// The columns, as they take the cells of a row.
struct Row<'a>(&'a mut [ArrowCells]);

impl Cells for Row<'_> {
    fn cell(&mut self, place: usize, found: Option<Found<'_>>) {
        if let Some(column) = self.0.get_mut(place) {
            column.push(found.map_or(&Cell::Missing, |found| found.cell));
        }
    }
}

impl<W: Write> TableArrow<W> {
    /// Writes the schema.
    ///
    /// # Errors
    /// The writer fails.
    pub fn begin(ipc: Ipc, table: Arc<Table>, out: W) -> io::Result<Self> {
        Ok(Self {
            out: Batches::begin(ipc, schema(&table), out)?,
            columns: table.all_types().map(ArrowCells::new).collect(),
            reader: TableReader::new(table),
            indexes: Vec::new(),
            times: Vec::new(),
            tokens: Sparse::default(),
            bytes: 0,
        })
    }

    /// Takes one row.
    ///
    /// # Errors
    /// The writer fails.
    pub fn record(&mut self, index: u64, record: &Record) -> io::Result<()> {
        let value = record.value();
        let told = self.reader.read(&value, &mut Row(&mut self.columns));
        if !told.gives_back {
            self.tokens
                .push(self.indexes.len(), text(&value).into_owned());
            self.bytes += value.len();
        }
        self.indexes.push(index);
        self.times.push(record.time().0);
        self.bytes += value.len();
        // The columns together, so that many of them need no more memory.
        let cells = self.indexes.len() * self.columns.len();
        if cells >= 4 * BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.write_batch()?;
        }
        Ok(())
    }

    /// Writes the last batch and the end.
    ///
    /// # Errors
    /// The writer fails.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.indexes.is_empty() {
            self.write_batch()?;
        }
        self.out.finish()
    }

    fn write_batch(&mut self) -> io::Result<()> {
        self.bytes = 0;
        let rows = self.indexes.len();
        let times = TimestampMicrosecondArray::from(std::mem::take(&mut self.times));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(std::mem::take(&mut self.indexes))),
            Arc::new(times.with_timezone(UTC)),
        ];
        columns.extend(self.columns.iter_mut().map(ArrowCells::take));
        if self.reader.table().has_token() {
            columns.push(self.tokens.take(rows));
        }
        self.out.write(columns)
    }
}

fn schema(table: &Table) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
    let mut fields = vec![
        Field::new("index", DataType::UInt64, false),
        Field::new("time", time, false),
    ];
    fields.extend(
        table
            .names()
            .zip(table.all_types())
            .map(|(name, column_type)| {
                let data_type = ArrowCells::data_type(column_type);
                Field::new(name, data_type, true)
            }),
    );
    if table.has_token() {
        fields.push(Field::new(TOKEN, DataType::Utf8, true));
    }
    Arc::new(Schema::new(fields))
}
