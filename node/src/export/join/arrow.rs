//! Joined tables as an Arrow IPC stream.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use headwater_protocols::time::Timestamp;

use super::Column;
use crate::export::arrow::{UTC, Values, to_io};
use crate::export::limits::{BATCH_BYTES, BATCH_ROWS};

/// `time`, then a column for each stream, in bounded record batches.
pub(super) struct ArrowTable<W: Write> {
    out: StreamWriter<W>,
    schema: SchemaRef,
    times: Vec<i64>,
    columns: Vec<Values>,
    bytes: usize,
}

impl<W: Write> ArrowTable<W> {
    pub(super) fn begin(columns: &[Column], out: W) -> io::Result<Self> {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
        let mut fields = vec![Field::new("time", time, false)];
        // A stream may have nothing yet.
        let field = |column: &Column| {
            let data_type = Values::data_type(column.value_type);
            Field::new(&column.name, data_type, true)
        };
        fields.extend(columns.iter().map(field));
        let schema = Arc::new(Schema::new(fields));
        let columns = columns.iter().map(|column| Values::new(column.value_type));
        Ok(Self {
            out: StreamWriter::try_new(out, &schema).map_err(to_io)?,
            schema,
            times: Vec::new(),
            columns: columns.collect(),
            bytes: 0,
        })
    }

    pub(super) fn row(&mut self, time: Timestamp, values: &[Option<Bytes>]) -> io::Result<()> {
        self.times.push(time.0);
        for (column, value) in self.columns.iter_mut().zip(values) {
            self.bytes += value.as_ref().map_or(0, Bytes::len);
            match value {
                Some(value) => column.push(value),
                None => column.push_nothing(),
            }
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
        self.out.finish().map_err(to_io)?;
        self.out.get_mut().flush()
    }

    fn write_batch(&mut self) -> io::Result<()> {
        self.bytes = 0;
        let times = TimestampMicrosecondArray::from(std::mem::take(&mut self.times));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times.with_timezone(UTC))];
        columns.extend(self.columns.iter_mut().map(Values::take));
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(to_io)?;
        self.out.write(&batch).map_err(to_io)
    }
}
