//! Joined tables as Parquet.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use ::parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::{Type, TypePtr};
use bytes::Bytes;
use headwater_protocols::manifest::ValueType;
use headwater_protocols::time::Timestamp;

use super::Column;
use crate::export::limits::{ROW_GROUP_BYTES, ROW_GROUP_ROWS};
use crate::export::parquet::{Optional, to_io, write_column};
use crate::export::value::{finite, text};

/// `time`, then a column for each stream, in bounded row groups.
pub(super) struct ParquetTable<W: Write + Send> {
    out: SerializedFileWriter<W>,
    times: Vec<i64>,
    columns: Vec<Cells>,
    bytes: usize,
}

/// The values of a column, where there are some.
enum Cells {
    Numbers(Optional<f64>),
    Texts(Optional<ByteArray>),
    Bytes(Optional<ByteArray>),
}

impl Cells {
    fn new(value_type: ValueType) -> Self {
        match value_type {
            ValueType::Number => Self::Numbers(Optional::default()),
            ValueType::Text | ValueType::Json => Self::Texts(Optional::default()),
            ValueType::Bytes => Self::Bytes(Optional::default()),
        }
    }

    fn push(&mut self, value: Option<&Bytes>) {
        match self {
            Self::Numbers(cells) => cells.push(value.and_then(|value| finite(value))),
            Self::Texts(cells) => cells.push(value.map(|value| match text(value) {
                Cow::Borrowed(_) => value.clone().into(),
                Cow::Owned(text) => text.into_bytes().into(),
            })),
            Self::Bytes(cells) => cells.push(value.map(|value| value.clone().into())),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Numbers(cells) => cells.clear(),
            Self::Texts(cells) | Self::Bytes(cells) => cells.clear(),
        }
    }
}

impl<W: Write + Send> ParquetTable<W> {
    pub(super) fn begin(columns: &[Column], out: W) -> io::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true);
        let schema = schema(columns).map_err(to_io)?;
        let out = SerializedFileWriter::new(out, schema, Arc::new(properties.build()));
        Ok(Self {
            out: out.map_err(to_io)?,
            times: Vec::new(),
            columns: columns.iter().map(|c| Cells::new(c.value_type)).collect(),
            bytes: 0,
        })
    }

    pub(super) fn row(&mut self, time: Timestamp, values: &[Option<Bytes>]) -> io::Result<()> {
        self.times.push(time.0);
        for (column, value) in self.columns.iter_mut().zip(values) {
            self.bytes += value.as_ref().map_or(0, Bytes::len);
            column.push(value.as_ref());
        }
        // The columns together, so that many of them need no more memory.
        let cells = self.times.len() * (self.columns.len() + 1);
        if cells >= 3 * ROW_GROUP_ROWS || self.bytes >= ROW_GROUP_BYTES {
            self.write_group().map_err(to_io)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.times.is_empty() {
            self.write_group().map_err(to_io)?;
        }
        self.out.finish().map_err(to_io)?;
        self.out.inner_mut().flush()
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.out.next_row_group()?;
        write_column::<Int64Type, W>(&mut group, &self.times, None)?;
        for column in &self.columns {
            match column {
                Cells::Numbers(Optional { values, levels }) => {
                    write_column::<DoubleType, W>(&mut group, values, Some(levels))?;
                }
                Cells::Texts(Optional { values, levels })
                | Cells::Bytes(Optional { values, levels }) => {
                    write_column::<ByteArrayType, W>(&mut group, values, Some(levels))?;
                }
            }
        }
        group.close()?;
        self.times.clear();
        self.columns.iter_mut().for_each(Cells::clear);
        self.bytes = 0;
        Ok(())
    }
}

fn schema(columns: &[Column]) -> Result<TypePtr, ParquetError> {
    let time = Type::primitive_type_builder("time", PhysicalType::INT64)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MICROS)));
    let mut fields = vec![Arc::new(time.build()?)];
    for column in columns {
        let (physical, logical) = match column.value_type {
            ValueType::Number => (PhysicalType::DOUBLE, None),
            ValueType::Text | ValueType::Json => {
                (PhysicalType::BYTE_ARRAY, Some(LogicalType::String))
            }
            ValueType::Bytes => (PhysicalType::BYTE_ARRAY, None),
        };
        let field = Type::primitive_type_builder(&column.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical);
        fields.push(Arc::new(field.build()?));
    }
    let schema = Type::group_type_builder("joined").with_fields(fields);
    Ok(Arc::new(schema.build()?))
}
