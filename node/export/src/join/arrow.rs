//! Joined tables as Arrow.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::{ArrayRef, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use headwater_client::cell::Cell;
use headwater_protocols::manifest::ColumnType;
use headwater_protocols::time::Timestamp;

use super::Column;
use super::tokens::RowTokens;
use crate::arrow::{TOKEN, UTC, Values};
use crate::arrow_cells::ArrowCells;
use crate::exact::{Sparse, is_same};
use crate::ipc::{Batches, Ipc};
use crate::kind::{Kind, cell_of};
use crate::limits::{BATCH_BYTES, BATCH_ROWS};

/// `time`, then a column for each stream, in bounded record batches.
pub(super) struct ArrowTable<W: Write> {
    out: Batches<W>,
    times: Vec<i64>,
    columns: Vec<Cells>,
    tokens: Option<(RowTokens, Sparse<String>)>,
    bytes: usize,
}

/// The values of a column.
enum Cells {
    Values(Values),
    Typed(ColumnType, ArrowCells),
}

impl Cells {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Value(value_type) => Self::Values(Values::new(value_type)),
            Kind::Cell(column_type) => Self::Typed(column_type, ArrowCells::new(column_type)),
        }
    }

    fn push_nothing(&mut self) {
        match self {
            Self::Values(values) => values.push_nothing(),
            Self::Typed(_, cells) => cells.push(&Cell::Missing),
        }
    }

    /// Takes a value; whether the column has just that.
    fn push(&mut self, value: &[u8]) -> bool {
        match self {
            Self::Values(values) => values.push(value),
            Self::Typed(column_type, cells) => {
                let cell = cell_of(value, *column_type);
                cells.push(&cell);
                match cell {
                    Cell::Number(number) => is_same(value, number),
                    _ => true,
                }
            }
        }
    }

    fn take(&mut self) -> ArrayRef {
        match self {
            Self::Values(values) => values.take(),
            Self::Typed(_, cells) => cells.take(),
        }
    }
}

impl<W: Write> ArrowTable<W> {
    pub(super) fn begin(ipc: Ipc, columns: &[Column], out: W) -> io::Result<Self> {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
        let mut fields = vec![Field::new("time", time, false)];
        // A stream may have nothing yet.
        let field = |column: &Column| {
            let data_type = match column.kind {
                Kind::Value(value_type) => Values::data_type(value_type),
                Kind::Cell(column_type) => ArrowCells::data_type(column_type),
            };
            Field::new(&column.name, data_type, true)
        };
        fields.extend(columns.iter().map(field));
        let tokens = RowTokens::of(columns);
        if tokens.is_some() {
            fields.push(Field::new(TOKEN, DataType::Utf8, true));
        }
        let columns = columns.iter().map(|column| Cells::new(column.kind));
        Ok(Self {
            out: Batches::begin(ipc, Arc::new(Schema::new(fields)), out)?,
            times: Vec::new(),
            columns: columns.collect(),
            tokens: tokens.map(|tokens| (tokens, Sparse::default())),
            bytes: 0,
        })
    }

    pub(super) fn row(&mut self, time: Timestamp, values: &[Option<Bytes>]) -> io::Result<()> {
        self.times.push(time.0);
        for (place, (column, value)) in self.columns.iter_mut().zip(values).enumerate() {
            self.bytes += value.as_ref().map_or(0, Bytes::len);
            let Some(value) = value else {
                column.push_nothing();
                continue;
            };
            if !column.push(value)
                && let Some((tokens, _)) = &mut self.tokens
            {
                tokens.put(place, value);
            }
        }
        if let Some((tokens, column)) = &mut self.tokens
            && let Some(row) = tokens.take()
        {
            self.bytes += row.len();
            column.push(self.times.len() - 1, row);
        }
        // The columns together, so that many of them need no more memory.
        let cells = self.times.len() * (self.columns.len() + 1);
        if cells >= 3 * BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.write_batch()?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.times.is_empty() {
            self.write_batch()?;
        }
        self.out.finish()
    }

    fn write_batch(&mut self) -> io::Result<()> {
        self.bytes = 0;
        let rows = self.times.len();
        let times = TimestampMicrosecondArray::from(std::mem::take(&mut self.times));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times.with_timezone(UTC))];
        columns.extend(self.columns.iter_mut().map(Cells::take));
        if let Some((_, tokens)) = &mut self.tokens {
            columns.push(tokens.take(rows));
        }
        self.out.write(columns)
    }
}
