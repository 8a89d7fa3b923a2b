//! Parquet: the columns `index`, `time`, `value`, a bounded row group at a time.
//!
//! The bytes depend on nothing but the records and [`LAYOUT`]: who asks for a
//! part of the file now and for another part later gets parts of one file.

use std::io::{self, Write};
use std::sync::Arc;

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

use super::exact::Tokens;
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
    /// the metadata under [`PROOF_KEY`], there is a fourth column, `token`: the
    /// exact bytes of the values that `value` cannot give back.
    ///
    /// # Errors
    /// The writer fails.
    pub fn begin(value_type: ValueType, proof: Option<&str>, out: W) -> io::Result<Self> {
        let schema = schema(value_type, proof.is_some()).map_err(to_io)?;
        let mut out = SerializedFileWriter::new(out, schema, properties()).map_err(to_io)?;
        if let Some(proof) = proof {
            let entry = KeyValue::new(PROOF_KEY.to_owned(), proof.to_owned());
            out.append_key_value_metadata(entry);
        }
        let tokens = proof.map(|_| Tokens::new(value_type));
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
    tokens: Option<(Tokens, Optional<ByteArray>)>,
    bytes: usize,
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
    fn new(value_type: ValueType, tokens: Option<Tokens>) -> Self {
        Self {
            indexes: Vec::new(),
            times: Vec::new(),
            values: match value_type {
                ValueType::Number => Values::Numbers(Optional::default()),
                ValueType::Text | ValueType::Json => Values::Texts(Vec::new()),
                ValueType::Bytes => Values::Bytes(Vec::new()),
            },
            tokens: tokens.map(|tokens| (tokens, Optional::default())),
            bytes: 0,
        }
    }

    fn push(&mut self, index: u64, record: &Record) {
        // Parquet keeps unsigned integers as the signed ones of the same bits.
        self.indexes.push(index.cast_signed());
        self.times.push(record.time().0);
        let value = record.value();
        self.bytes += value.len();
        if let Some((tokens, column)) = &mut self.tokens {
            let token = tokens.needed(&value).then(|| value.clone().into());
            column.push(token);
        }
        match &mut self.values {
            Values::Numbers(numbers) => numbers.push(finite(&value)),
            Values::Texts(texts) => texts.push(match text(&value) {
                std::borrow::Cow::Borrowed(_) => value.into(),
                std::borrow::Cow::Owned(text) => text.into_bytes().into(),
            }),
            Values::Bytes(bytes) => bytes.push(value.into()),
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
        if let Some((_, tokens)) = &mut self.tokens {
            tokens.clear();
        }
        self.bytes = 0;
    }

    fn write<W: Write + Send>(
        &self,
        mut group: SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
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
        if let Some((_, Optional { values, levels })) = &self.tokens {
            write_column::<ByteArrayType, W>(&mut group, values, Some(levels))?;
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

fn schema(value_type: ValueType, has_tokens: bool) -> Result<TypePtr, ParquetError> {
    let value = match value_type {
        // What a publisher signed may be no number: then it is left out.
        ValueType::Number => "optional double value",
        ValueType::Text | ValueType::Json => "required binary value (STRING)",
        ValueType::Bytes => "required binary value",
    };
    let token = match has_tokens {
        true => "optional binary token;",
        false => "",
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

fn properties() -> WriterPropertiesPtr {
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
