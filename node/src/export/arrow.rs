//! Arrow's IPC stream: the columns `index`, `time`, `value`, a bounded record
//! batch at a time.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, Float64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt64Array};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_protocols::manifest::ValueType;
use headwater_protocols::record::Record;

use super::limits::{BATCH_BYTES, BATCH_ROWS};
use super::value::{finite, text};

/// The name of the time zone, as pandas and Polars write it too.
pub(super) const UTC: &str = "UTC";

/// Writes records as an Arrow IPC stream.
pub struct ArrowEncoder<W: Write> {
    out: StreamWriter<W>,
    schema: SchemaRef,
    indexes: Vec<u64>,
    times: Vec<i64>,
    values: Values,
    bytes: usize,
}

impl<W: Write> std::fmt::Debug for ArrowEncoder<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArrowEncoder").finish_non_exhaustive()
    }
}

/// A column of values that grows.
pub(super) enum Values {
    Numbers(Float64Builder),
    Texts(StringBuilder),
    Bytes(BinaryBuilder),
}

impl Values {
    pub(super) fn new(value_type: ValueType) -> Self {
        match value_type {
            ValueType::Number => Self::Numbers(Float64Builder::new()),
            ValueType::Text | ValueType::Json => Self::Texts(StringBuilder::new()),
            ValueType::Bytes => Self::Bytes(BinaryBuilder::new()),
        }
    }

    /// How Arrow calls the values of a stream.
    pub(super) fn data_type(value_type: ValueType) -> DataType {
        match value_type {
            ValueType::Number => DataType::Float64,
            ValueType::Text | ValueType::Json => DataType::Utf8,
            ValueType::Bytes => DataType::Binary,
        }
    }

    /// A row that has no value.
    pub(super) fn push_nothing(&mut self) {
        match self {
            Self::Numbers(numbers) => numbers.append_null(),
            Self::Texts(texts) => texts.append_null(),
            Self::Bytes(bytes) => bytes.append_null(),
        }
    }

    pub(super) fn push(&mut self, value: &[u8]) {
        match self {
            // What a publisher signed may be no number: then it is left out.
            Self::Numbers(numbers) => numbers.append_option(finite(value)),
            Self::Texts(texts) => texts.append_value(text(value)),
            Self::Bytes(bytes) => bytes.append_value(value),
        }
    }

    pub(super) fn take(&mut self) -> ArrayRef {
        match self {
            Self::Numbers(numbers) => Arc::new(numbers.finish()),
            Self::Texts(texts) => Arc::new(texts.finish()),
            Self::Bytes(bytes) => Arc::new(bytes.finish()),
        }
    }
}

impl<W: Write> ArrowEncoder<W> {
    /// Writes the schema.
    ///
    /// # Errors
    /// The writer fails.
    pub fn begin(value_type: ValueType, out: W) -> io::Result<Self> {
        let schema = schema(value_type);
        Ok(Self {
            out: StreamWriter::try_new(out, &schema).map_err(to_io)?,
            schema,
            indexes: Vec::new(),
            times: Vec::new(),
            values: Values::new(value_type),
            bytes: 0,
        })
    }

    /// Takes one row.
    ///
    /// # Errors
    /// The writer fails.
    pub fn record(&mut self, index: u64, record: &Record) -> io::Result<()> {
        self.indexes.push(index);
        self.times.push(record.time().0);
        let value = record.value();
        self.values.push(&value);
        self.bytes += value.len();
        if self.indexes.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.write_batch()?;
        }
        Ok(())
    }

    /// Writes the last batch and the end of the stream.
    ///
    /// # Errors
    /// The writer fails.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.indexes.is_empty() {
            self.write_batch()?;
        }
        self.out.finish().map_err(to_io)?;
        self.out.get_mut().flush()
    }

    fn write_batch(&mut self) -> io::Result<()> {
        self.bytes = 0;
        let rows = self.indexes.len();
        let take = |column: &mut Vec<_>| std::mem::replace(column, Vec::with_capacity(rows));
        let times = TimestampMicrosecondArray::from(take(&mut self.times));
        let indexes = std::mem::replace(&mut self.indexes, Vec::with_capacity(rows));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(indexes)),
            Arc::new(times.with_timezone(UTC)),
            self.values.take(),
        ];
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(to_io)?;
        self.out.write(&batch).map_err(to_io)
    }
}

fn schema(value_type: ValueType) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
    let value = Values::data_type(value_type);
    let may_lack = value == DataType::Float64;
    Arc::new(Schema::new(vec![
        Field::new("index", DataType::UInt64, false),
        Field::new("time", time, false),
        Field::new("value", value, may_lack),
    ]))
}

pub(super) fn to_io(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}
