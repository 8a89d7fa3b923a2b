//! A column of the cells of rows in Arrow.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_schema::{DataType, TimeUnit};
use headwater_client::cell::Cell;
use headwater_protocols::manifest::ColumnType;

use super::arrow::UTC;

/// A column that grows.
pub(super) enum ArrowCells {
    Numbers(Float64Builder),
    Integers(Int64Builder),
    Texts(StringBuilder),
    Bools(BooleanBuilder),
    Times(TimestampMicrosecondBuilder),
    Bytes(BinaryBuilder),
}

impl ArrowCells {
    pub(super) fn new(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Number => Self::Numbers(Float64Builder::new()),
            ColumnType::Integer => Self::Integers(Int64Builder::new()),
            ColumnType::Text | ColumnType::Json => Self::Texts(StringBuilder::new()),
            ColumnType::Bool => Self::Bools(BooleanBuilder::new()),
            ColumnType::Time => Self::Times(TimestampMicrosecondBuilder::new()),
            ColumnType::Bytes => Self::Bytes(BinaryBuilder::new()),
        }
    }

    /// How Arrow calls cells of this type.
    pub(super) fn data_type(column_type: ColumnType) -> DataType {
        match column_type {
            ColumnType::Number => DataType::Float64,
            ColumnType::Integer => DataType::Int64,
            ColumnType::Text | ColumnType::Json => DataType::Utf8,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Time => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            ColumnType::Bytes => DataType::Binary,
        }
    }

    /// Takes the cell of a row; one of another type is missing.
    pub(super) fn push(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Self::Numbers(column), Cell::Number(number)) => column.append_value(*number),
            (Self::Numbers(column), _) => column.append_null(),
            (Self::Integers(column), Cell::Integer(number)) => column.append_value(*number),
            (Self::Integers(column), _) => column.append_null(),
            (Self::Texts(column), Cell::Text(text)) => column.append_value(text),
            (Self::Texts(column), Cell::Json(json)) => column.append_value(json),
            (Self::Texts(column), _) => column.append_null(),
            (Self::Bools(column), Cell::Bool(is_so)) => column.append_value(*is_so),
            (Self::Bools(column), _) => column.append_null(),
            (Self::Times(column), Cell::Time(time)) => column.append_value(time.0),
            (Self::Times(column), _) => column.append_null(),
            (Self::Bytes(column), Cell::Bytes(bytes)) => column.append_value(bytes),
            (Self::Bytes(column), _) => column.append_null(),
        }
    }

    pub(super) fn take(&mut self) -> ArrayRef {
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
