//! Rows as Arrow: `index`, `time`, a typed column for each of theirs, and `token`, a
//! bounded record batch at a time.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_client::cell::Cell;
use headwater_protocols::manifest::ColumnType;
use headwater_protocols::record::Record;

use super::arrow::{TOKEN, UTC};
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
    columns: Vec<Column>,
    /// The rows that their cells do not give back.
    tokens: Sparse<String>,
    bytes: usize,
}

impl<W: Write> std::fmt::Debug for TableArrow<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableArrow").finish_non_exhaustive()
    }
}

/// A column that grows.
enum Column {
    Numbers(Float64Builder),
    Integers(Int64Builder),
    Texts(StringBuilder),
    Bools(BooleanBuilder),
    Times(TimestampMicrosecondBuilder),
    Bytes(BinaryBuilder),
}

impl Column {
    fn new(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Number => Self::Numbers(Float64Builder::new()),
            ColumnType::Integer => Self::Integers(Int64Builder::new()),
            ColumnType::Text | ColumnType::Json => Self::Texts(StringBuilder::new()),
            ColumnType::Bool => Self::Bools(BooleanBuilder::new()),
            ColumnType::Time => Self::Times(TimestampMicrosecondBuilder::new()),
            ColumnType::Bytes => Self::Bytes(BinaryBuilder::new()),
        }
    }

    fn take(&mut self) -> ArrayRef {
        match self {
            Self::Numbers(column) => Arc::new(column.finish()),
            Self::Integers(column) => Arc::new(column.finish()),
            Self::Texts(column) => Arc::new(column.finish()),
            Self::Bools(column) => Arc::new(column.finish()),
            Self::Times(column) => Arc::new(column.finish().with_timezone(UTC)),
            Self::Bytes(column) => Arc::new(column.finish()),
        }
    }
}

/// The columns, as they take the cells of a row.
struct Row<'a>(&'a mut [Column]);

impl Cells for Row<'_> {
    fn cell(&mut self, place: usize, found: Option<Found<'_>>) {
        let cell = found.map_or(&Cell::Missing, |found| found.cell);
        match (self.0.get_mut(place), cell) {
            (None, _) => {}
            (Some(Column::Numbers(column)), Cell::Number(number)) => column.append_value(*number),
            (Some(Column::Numbers(column)), _) => column.append_null(),
            (Some(Column::Integers(column)), Cell::Integer(number)) => column.append_value(*number),
            (Some(Column::Integers(column)), _) => column.append_null(),
            (Some(Column::Texts(column)), Cell::Text(text)) => column.append_value(text),
            (Some(Column::Texts(column)), Cell::Json(json)) => column.append_value(json),
            (Some(Column::Texts(column)), _) => column.append_null(),
            (Some(Column::Bools(column)), Cell::Bool(is_so)) => column.append_value(*is_so),
            (Some(Column::Bools(column)), _) => column.append_null(),
            (Some(Column::Times(column)), Cell::Time(time)) => column.append_value(time.0),
            (Some(Column::Times(column)), _) => column.append_null(),
            (Some(Column::Bytes(column)), Cell::Bytes(bytes)) => column.append_value(bytes),
            (Some(Column::Bytes(column)), _) => column.append_null(),
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
            columns: table.all_types().map(Column::new).collect(),
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
        columns.extend(self.columns.iter_mut().map(Column::take));
        if self.reader.table().has_token() {
            columns.push(self.tokens.take(rows));
        }
        self.out.write(columns)
    }
}

fn schema(table: &Table) -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
    let mut fields = vec![
        Field::new("index", DataType::UInt64, false),
        Field::new("time", time(), false),
    ];
    fields.extend(
        table
            .names()
            .zip(table.all_types())
            .map(|(name, column_type)| {
                let data_type = match column_type {
                    ColumnType::Number => DataType::Float64,
                    ColumnType::Integer => DataType::Int64,
                    ColumnType::Text | ColumnType::Json => DataType::Utf8,
                    ColumnType::Bool => DataType::Boolean,
                    ColumnType::Time => time(),
                    ColumnType::Bytes => DataType::Binary,
                };
                Field::new(name, data_type, true)
            }),
    );
    if table.has_token() {
        fields.push(Field::new(TOKEN, DataType::Utf8, true));
    }
    Arc::new(Schema::new(fields))
}
