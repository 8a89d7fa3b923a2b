//! Arrow: the columns `index`, `time`, `value`, of numbers `token` too, a bounded
//! record batch at a time.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, Float64Builder, StringBuilder};
use arrow_array::{ArrayRef, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_protocols::manifest::ValueType;
use headwater_protocols::record::Record;

use super::exact::{Sparse, is_same};
use super::ipc::{Batches, Ipc};
use super::limits::{BATCH_BYTES, BATCH_ROWS};
use super::value::{finite, text};

/// The name of the time zone, as pandas and Polars write it too.
pub(super) const UTC: &str = "UTC";

/// The column of the texts of numbers that are others as doubles.
pub(super) const TOKEN: &str = "token";

/// Writes records as Arrow.
pub struct ArrowEncoder<W: Write> {
    out: Batches<W>,
    indexes: Vec<u64>,
    times: Vec<i64>,
    values: Values,
    /// Beside numbers: the text of those that are others as doubles.
    tokens: Option<Sparse<String>>,
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

    /// A row that has one; whether the column has just that.
    pub(super) fn push(&mut self, value: &[u8]) -> bool {
        match self {
            // What a publisher signed may be no number: then it is left out.
            Self::Numbers(numbers) => {
                let number = finite(value);
                numbers.append_option(number);
                return number.is_some_and(|number| is_same(value, number));
            }
            Self::Texts(texts) => texts.append_value(text(value)),
            Self::Bytes(bytes) => bytes.append_value(value),
        }
        true
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
    pub fn begin(ipc: Ipc, value_type: ValueType, out: W) -> io::Result<Self> {
        Ok(Self {
            out: Batches::begin(ipc, schema(value_type), out)?,
            tokens: (value_type == ValueType::Number).then(Sparse::default),
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
        if !self.values.push(&value)
            && let Some(tokens) = &mut self.tokens
        {
            tokens.push(self.indexes.len() - 1, text(&value).into_owned());
            self.bytes += value.len();
        }
        self.bytes += value.len();
        if self.indexes.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
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
        let take = |column: &mut Vec<_>| std::mem::replace(column, Vec::with_capacity(rows));
        let times = TimestampMicrosecondArray::from(take(&mut self.times));
        let indexes = std::mem::replace(&mut self.indexes, Vec::with_capacity(rows));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(indexes)),
            Arc::new(times.with_timezone(UTC)),
            self.values.take(),
        ];
        if let Some(tokens) = &mut self.tokens {
            columns.push(tokens.take(rows));
        }
        self.out.write(columns)
    }
}

fn schema(value_type: ValueType) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
    let is_number = value_type == ValueType::Number;
    let mut fields = vec![
        Field::new("index", DataType::UInt64, false),
        Field::new("time", time, false),
        Field::new("value", Values::data_type(value_type), is_number),
    ];
    if is_number {
        fields.push(Field::new(TOKEN, DataType::Utf8, true));
    }
    Arc::new(Schema::new(fields))
}
