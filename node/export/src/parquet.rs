//! Parquet: the columns `index`, `time`, `value`, of numbers and in files with a
//! proof `token` too, a bounded row group at a time.
//!
//! The bytes depend on nothing but the records and [`LAYOUT`]: who asks for a
//! part of the file now and for another part later gets parts of one file.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use headwater_protocols::manifest::ValueType;
use headwater_protocols::record::Record;
use parquet::basic::{Compression, Encoding};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

use super::exact::{Sparse, Tokens, is_same};
use super::limits::{ROW_GROUP_BYTES, ROW_GROUP_ROWS};
use super::value::{finite, text};

/// Names how the bytes follow from the records. Whoever changes them changes
/// this too, or files that were verified are not any more.
pub const LAYOUT: &str = "headwater parquet 1";

/// The metadata entry of a proof.
pub const PROOF_KEY: &str = "headwater.proof";

/// Writes records as Parquet.
pub struct ParquetEncoder<W: Write + Send> {
    out: SerializedFileWriter<W>,
    rows: Rows,
}

impl<W: Write + Send> std::fmt::Debug for ParquetEncoder<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetEncoder").finish_non_exhaustive()
    }
}

impl<W: Write + Send> ParquetEncoder<W> {
    /// Writes what stands before the first row. With a proof, which is put into
    /// the metadata under [`PROOF_KEY`], the column `token` has the exact bytes
    /// of the values that `value` cannot give back; without one it has the texts
    /// of the numbers that are others as doubles.
    ///
    /// # Errors
    /// The writer fails.
    pub fn begin(value_type: ValueType, proof: Option<&str>, out: W) -> io::Result<Self> {
        let tokens = match (proof, value_type) {
            (Some(_), _) => Column::Bytes(Tokens::new(value_type)),
            (None, ValueType::Number) => Column::Texts,
            (None, ValueType::Text | ValueType::Json | ValueType::Bytes) => Column::None,
        };
        let schema = schema(value_type, &tokens).map_err(to_io)?;
        let mut out = SerializedFileWriter::new(out, schema, properties()).map_err(to_io)?;
        if let Some(proof) = proof {
            let entry = KeyValue::new(PROOF_KEY.to_owned(), proof.to_owned());
            out.append_key_value_metadata(entry);
        }
        Ok(Self {
            out,
            rows: Rows::new(value_type, tokens),
        })
    }

    /// Takes one row.
    ///
    /// # Errors
    /// The writer fails.
    pub fn record(&mut self, index: u64, record: &Record) -> io::Result<()> {
        self.rows.push(index, record);
        if self.rows.is_full() {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes the last row group and the metadata.
    ///
    /// # Errors
    /// The writer fails.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.rows.indexes.is_empty() {
            self.write_group()?;
        }
        self.out.finish().map_err(to_io)?;
        self.out.inner_mut().flush()
    }

    fn write_group(&mut self) -> io::Result<()> {
        let group = self.out.next_row_group().map_err(to_io)?;
        self.rows.write(group).map_err(to_io)?;
        self.rows.clear();
        Ok(())
    }
}

/// The rows of one row group, by column.
struct Rows {
    indexes: Vec<i64>,
    times: Vec<i64>,
    values: Values,
    column: Column,
    tokens: Sparse<ByteArray>,
    bytes: usize,
}

/// What the column `token` has.
enum Column {
    /// There is none.
    None,
    /// The texts of numbers that are others as doubles.
    Texts,
    /// The bytes that `value` does not give back.
    Bytes(Tokens),
}

impl Column {
    /// The token of a value, if it has one.
    fn token(&mut self, value: &Bytes, number: Option<f64>) -> Option<ByteArray> {
        let is_needed = match self {
            Self::None => false,
            Self::Texts => number.is_none_or(|number| !is_same(value, number)),
            Self::Bytes(tokens) => tokens.needed(value),
        };
        is_needed.then(|| match self {
            Self::Texts => as_text(value),
            Self::None | Self::Bytes(_) => value.clone().into(),
        })
    }
}

/// A value as text, without a copy where it is.
pub(super) fn as_text(value: &Bytes) -> ByteArray {
    match text(value) {
        Cow::Borrowed(_) => value.clone().into(),
        Cow::Owned(text) => text.into_bytes().into(),
    }
}

/// A column in which rows may have nothing.
#[derive(Debug)]
pub(super) struct Optional<T> {
    pub(super) values: Vec<T>,
    /// 1 for each row that has a value, else 0.
    pub(super) levels: Vec<i16>,
}

impl<T> Default for Optional<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            levels: Vec::new(),
        }
    }
}

impl<T> Optional<T> {
    pub(super) fn push(&mut self, value: Option<T>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.levels.clear();
    }
}

enum Values {
    Numbers(Optional<f64>),
    Texts(Vec<ByteArray>),
    Bytes(Vec<ByteArray>),
}

impl Rows {
    fn new(value_type: ValueType, column: Column) -> Self {
        Self {
            indexes: Vec::new(),
            times: Vec::new(),
            values: match value_type {
                ValueType::Number => Values::Numbers(Optional::default()),
                ValueType::Text | ValueType::Json => Values::Texts(Vec::new()),
                ValueType::Bytes => Values::Bytes(Vec::new()),
            },
            column,
            tokens: Sparse::default(),
            bytes: 0,
        }
    }

    fn push(&mut self, index: u64, record: &Record) {
        // Parquet keeps unsigned integers as the signed ones of the same bits.
        self.indexes.push(index.cast_signed());
        self.times.push(record.time().0);
        let value = record.value();
        self.bytes += value.len();
        let number = match &mut self.values {
            Values::Numbers(numbers) => {
                let number = finite(&value);
                numbers.push(number);
                number
            }
            Values::Texts(texts) => {
                texts.push(as_text(&value));
                None
            }
            Values::Bytes(bytes) => {
                bytes.push(value.clone().into());
                None
            }
        };
        if let Some(token) = self.column.token(&value, number) {
            self.tokens.push(self.indexes.len() - 1, token);
        }
    }

    fn is_full(&self) -> bool {
        self.indexes.len() >= ROW_GROUP_ROWS || self.bytes >= ROW_GROUP_BYTES
    }

    fn clear(&mut self) {
        self.indexes.clear();
        self.times.clear();
        match &mut self.values {
            Values::Numbers(numbers) => numbers.clear(),
            Values::Texts(bytes) | Values::Bytes(bytes) => bytes.clear(),
        }
        self.tokens.clear();
        self.bytes = 0;
    }

    fn write<W: Write + Send>(
        &self,
        mut group: SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let rows = self.indexes.len();
        write_column::<Int64Type, W>(&mut group, &self.indexes, None)?;
        write_column::<Int64Type, W>(&mut group, &self.times, None)?;
        match &self.values {
            Values::Numbers(Optional { values, levels }) => {
                write_column::<DoubleType, W>(&mut group, values, Some(levels))?;
            }
            Values::Texts(bytes) | Values::Bytes(bytes) => {
                write_column::<ByteArrayType, W>(&mut group, bytes, None)?;
            }
        }
        match self.column {
            Column::None => {}
            Column::Texts | Column::Bytes(_) => {
                let (tokens, levels) = (self.tokens.tokens(), self.tokens.levels(rows));
                write_column::<ByteArrayType, W>(&mut group, tokens, Some(&levels))?;
            }
        }
        group.close()?;
        Ok(())
    }
}

pub(super) fn write_column<T: parquet::data_type::DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("the schema has fewer columns".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

fn schema(value_type: ValueType, tokens: &Column) -> Result<TypePtr, ParquetError> {
    let value = match value_type {
        // What a publisher signed may be no number: then it is left out.
        ValueType::Number => "optional double value",
        ValueType::Text | ValueType::Json => "required binary value (STRING)",
        ValueType::Bytes => "required binary value",
    };
    let token = match tokens {
        Column::None => "",
        Column::Texts => "optional binary token (STRING);",
        Column::Bytes(_) => "optional binary token;",
    };
    let message = format!(
        "message observations {{
            required int64 index (INTEGER(64,false));
            required int64 time (TIMESTAMP(MICROS,true));
            {value};
            {token}
        }}"
    );
    Ok(Arc::new(parse_message_type(&message)?))
}

pub(super) fn properties() -> WriterPropertiesPtr {
    let [index, time] = ["index", "time"].map(ColumnPath::from);
    let properties = WriterProperties::builder()
        .set_created_by(LAYOUT.to_owned())
        .set_compression(Compression::SNAPPY)
        // Statistics of row groups let readers skip those of other times;
        // those of pages cost more than they spare.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_column_dictionary_enabled(index.clone(), false)
        .set_column_encoding(index, Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(time.clone(), false)
        .set_column_encoding(time, Encoding::DELTA_BINARY_PACKED);
    Arc::new(properties.build())
}

pub(super) fn to_io(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
