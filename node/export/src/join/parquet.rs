//! Joined tables as Parquet.

use std::io::{self, Write};
use std::sync::Arc;

use ::parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::{Type, TypePtr};
use bytes::Bytes;
use headwater_client::cell::Cell;
use headwater_protocols::manifest::{ColumnType, ValueType};
use headwater_protocols::time::Timestamp;

use super::Column;
use super::tokens::RowTokens;
use crate::arrow::TOKEN;
use crate::exact::{Sparse, is_same};
use crate::kind::{Kind, cell_of};
use crate::limits::{MIN_JOINED_GROUP_ROWS, ROW_GROUP_BYTES, ROW_GROUP_ROWS};
use crate::parquet::{Optional, as_text, to_io, write_column};
use crate::parquet_cells::ParquetCells;
use crate::value::finite;

/// `time`, then a column for each stream, in bounded row groups.
pub(super) struct ParquetTable<W: Write + Send> {
    out: SerializedFileWriter<W>,
    times: Vec<i64>,
    columns: Vec<Cells>,
    tokens: Option<(RowTokens, Sparse<ByteArray>)>,
    bytes: usize,
}

/// The values of a column, where there are some.
enum Cells {
    Numbers(Optional<f64>),
    /// Texts, and bytes.
    Bytes(ValueType, Optional<ByteArray>),
    Typed(ColumnType, ParquetCells),
}

impl Cells {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Value(ValueType::Number) => Self::Numbers(Optional::default()),
            Kind::Value(value_type) => Self::Bytes(value_type, Optional::default()),
            Kind::Cell(column_type) => Self::Typed(column_type, ParquetCells::new(column_type)),
        }
    }

    /// Takes a cell; whether the column has just that.
    fn push(&mut self, value: Option<&Bytes>) -> bool {
        let is_number = |number: Option<f64>| {
            value.is_none_or(|value| number.is_some_and(|n| is_same(value, n)))
        };
        match self {
            Self::Numbers(cells) => {
                let number = value.and_then(|value| finite(value));
                cells.push(number);
                return is_number(number);
            }
            Self::Bytes(ValueType::Bytes, cells) => {
                cells.push(value.map(|value| value.clone().into()))
            }
            Self::Bytes(_, cells) => cells.push(value.map(as_text)),
            Self::Typed(column_type, cells) => {
                let none = Bytes::new();
                let value = value.unwrap_or(&none);
                let cell = cell_of(value, *column_type);
                cells.push(&cell, value);
                if let Cell::Number(number) = cell {
                    return is_number(Some(number));
                }
            }
        }
        true
    }

    fn clear(&mut self) {
        match self {
            Self::Numbers(cells) => cells.clear(),
            Self::Bytes(_, cells) => cells.clear(),
            Self::Typed(_, cells) => cells.clear(),
        }
    }
}

impl<W: Write + Send> ParquetTable<W> {
    pub(super) fn begin(columns: &[Column], out: W) -> io::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true);
        let tokens = RowTokens::of(columns);
        let schema = schema(columns, tokens.is_some()).map_err(to_io)?;
        let out = SerializedFileWriter::new(out, schema, Arc::new(properties.build()));
        Ok(Self {
            out: out.map_err(to_io)?,
            times: Vec::new(),
            columns: columns.iter().map(|c| Cells::new(c.kind)).collect(),
            tokens: tokens.map(|tokens| (tokens, Sparse::default())),
            bytes: 0,
        })
    }

    pub(super) fn row(&mut self, time: Timestamp, values: &[Option<Bytes>]) -> io::Result<()> {
        self.times.push(time.0);
        for (place, (column, value)) in self.columns.iter_mut().zip(values).enumerate() {
            self.bytes += value.as_ref().map_or(0, Bytes::len);
            if !column.push(value.as_ref())
                && let (Some(value), Some((tokens, _))) = (value, &mut self.tokens)
            {
                tokens.put(place, value);
            }
        }
        if let Some((tokens, column)) = &mut self.tokens
            && let Some(row) = tokens.take()
        {
            self.bytes += row.len();
            column.push(self.times.len() - 1, row.into_bytes().into());
        }
        // The columns together, so that many of them need no more memory.
        let rows = self.times.len();
        let cells = rows * (self.columns.len() + 1);
        let is_full = cells >= 3 * ROW_GROUP_ROWS && rows >= MIN_JOINED_GROUP_ROWS;
        if is_full || self.bytes >= ROW_GROUP_BYTES {
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
                Cells::Bytes(_, Optional { values, levels }) => {
                    write_column::<ByteArrayType, W>(&mut group, values, Some(levels))?;
                }
                Cells::Typed(_, cells) => cells.write(&mut group)?,
            }
        }
        if let Some((_, tokens)) = &self.tokens {
            let levels = tokens.levels(self.times.len());
            write_column::<ByteArrayType, W>(&mut group, tokens.tokens(), Some(&levels))?;
        }
        group.close()?;
        self.times.clear();
        if let Some((_, tokens)) = &mut self.tokens {
            tokens.clear();
        }
        self.columns.iter_mut().for_each(Cells::clear);
        self.bytes = 0;
        Ok(())
    }
}

fn schema(columns: &[Column], has_tokens: bool) -> Result<TypePtr, ParquetError> {
    let time = Type::primitive_type_builder("time", PhysicalType::INT64)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MICROS)));
    let mut fields = vec![Arc::new(time.build()?)];
    for column in columns {
        let (physical, logical) = match column.kind {
            Kind::Value(ValueType::Number) => (PhysicalType::DOUBLE, None),
            Kind::Value(ValueType::Text | ValueType::Json) => {
                (PhysicalType::BYTE_ARRAY, Some(LogicalType::String))
            }
            Kind::Value(ValueType::Bytes) => (PhysicalType::BYTE_ARRAY, None),
            Kind::Cell(column_type) => ParquetCells::types(column_type),
        };
        let field = Type::primitive_type_builder(&column.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical);
        fields.push(Arc::new(field.build()?));
    }
    if has_tokens {
        let field = Type::primitive_type_builder(TOKEN, PhysicalType::BYTE_ARRAY)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(Some(LogicalType::String));
        fields.push(Arc::new(field.build()?));
    }
    let schema = Type::group_type_builder("joined").with_fields(fields);
    Ok(Arc::new(schema.build()?))
}
