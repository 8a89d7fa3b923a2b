//! A column of the cells of rows in Parquet.

use std::borrow::Cow;
use std::io::Write;

use bytes::Bytes;
use headwater_client::cell::Cell;
use headwater_protocols::manifest::ColumnType;
use parquet::basic::{LogicalType, TimeUnit, Type as PhysicalType};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedRowGroupWriter;

use super::parquet::{Optional, write_column};

/// A column that grows.
pub(super) enum ParquetCells {
    Numbers(Optional<f64>),
    /// Integers, and times.
    Integers(Optional<i64>),
    Bools(Optional<bool>),
    /// Texts, and bytes.
    Bytes(Optional<ByteArray>),
}

impl ParquetCells {
    pub(super) fn new(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Number => Self::Numbers(Optional::default()),
            ColumnType::Integer | ColumnType::Time => Self::Integers(Optional::default()),
            ColumnType::Bool => Self::Bools(Optional::default()),
            ColumnType::Text | ColumnType::Json | ColumnType::Bytes => {
                Self::Bytes(Optional::default())
            }
        }
    }

    /// How Parquet calls cells of this type.
    pub(super) fn types(column_type: ColumnType) -> (PhysicalType, Option<LogicalType>) {
        match column_type {
            ColumnType::Number => (PhysicalType::DOUBLE, None),
            ColumnType::Integer => (PhysicalType::INT64, None),
            ColumnType::Text | ColumnType::Json => {
                (PhysicalType::BYTE_ARRAY, Some(LogicalType::String))
            }
            ColumnType::Bool => (PhysicalType::BOOLEAN, None),
            ColumnType::Time => {
                let time = LogicalType::timestamp(true, TimeUnit::MICROS);
                (PhysicalType::INT64, Some(time))
            }
            ColumnType::Bytes => (PhysicalType::BYTE_ARRAY, None),
        }
    }

    /// Takes a cell, which may be a part of `value`; one of another type is missing.
    pub(super) fn push(&mut self, cell: &Cell<'_>, value: &Bytes) {
        match self {
            Self::Numbers(column) => column.push(match cell {
                Cell::Number(number) => Some(*number),
                _ => None,
            }),
            Self::Integers(column) => column.push(match cell {
                Cell::Integer(number) => Some(*number),
                Cell::Time(time) => Some(time.0),
                _ => None,
            }),
            Self::Bools(column) => column.push(match cell {
                Cell::Bool(is_so) => Some(*is_so),
                _ => None,
            }),
            Self::Bytes(column) => column.push(match cell {
                Cell::Text(Cow::Borrowed(text)) => Some(part(value, text.as_bytes())),
                Cell::Text(Cow::Owned(text)) => Some(text.clone().into_bytes().into()),
                Cell::Json(json) => Some(part(value, json.as_bytes())),
                Cell::Bytes(bytes) => Some(bytes.clone().into()),
                _ => None,
            }),
        }
    }

    pub(super) fn write<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        match self {
            Self::Numbers(Optional { values, levels }) => {
                write_column::<DoubleType, W>(group, values, Some(levels))
            }
            Self::Integers(Optional { values, levels }) => {
                write_column::<Int64Type, W>(group, values, Some(levels))
            }
            Self::Bools(Optional { values, levels }) => {
                write_column::<BoolType, W>(group, values, Some(levels))
            }
            Self::Bytes(Optional { values, levels }) => {
                write_column::<ByteArrayType, W>(group, values, Some(levels))
            }
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Numbers(column) => column.clear(),
            Self::Integers(column) => column.clear(),
            Self::Bools(column) => column.clear(),
            Self::Bytes(column) => column.clear(),
        }
    }
}

/// A part of a value, without a copy where it is one.
fn part(value: &Bytes, part: &[u8]) -> ByteArray {
    let (all, range) = (value.as_ptr_range(), part.as_ptr_range());
    match all.start <= range.start && range.end <= all.end {
        true => value.slice_ref(part).into(),
        false => part.to_vec().into(),
    }
}
