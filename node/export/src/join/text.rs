//! Joined tables as CSV and as JSON.

use std::io::{self, Write};

use bytes::Bytes;
use headwater_client::times::text::{TimeFormat, TimeText};
use headwater_protocols::time::Timestamp;

use super::Column;
use crate::csv_cell::put_cell;
use crate::csv_line::CsvLines;
use crate::kind::{Kind, cell_of};
use crate::value::{csv_field, put_json};

/// `time,…`, a header first. What is missing is nothing, an empty text is `""`.
pub(super) struct CsvTable<W: Write> {
    out: CsvLines<W>,
    columns: Vec<Column>,
    times: TimeFormat,
    /// Reused for each value in base64.
    base64: Vec<u8>,
}

impl<W: Write> CsvTable<W> {
    pub(super) fn begin(columns: &[Column], mut out: CsvLines<W>) -> io::Result<Self> {
        out.field(b"time");
        for column in columns {
            out.field(column.name.as_bytes());
        }
        out.end()?;
        Ok(Self {
            out,
            columns: columns.to_vec(),
            times: TimeFormat::default(),
            base64: Vec::new(),
        })
    }

    pub(super) fn row(&mut self, time: Timestamp, values: &[Option<Bytes>]) -> io::Result<()> {
        match self.times.text(time) {
            TimeText::Rfc3339(text) => self.out.field(text.as_bytes()),
            TimeText::Micros(micros) => self.out.plain(micros)?,
        }
        for (column, value) in self.columns.iter().zip(values) {
            match value {
                None => self.out.missing(),
                Some(value) => match column.kind {
                    Kind::Value(value_type) => {
                        let field = csv_field(value_type, value, &mut self.base64);
                        self.out.value(value_type, field);
                    }
                    Kind::Cell(column_type) => {
                        let cell = cell_of(value, column_type);
                        let given = str::from_utf8(value).ok();
                        put_cell(&mut self.out, &mut self.times, &cell, given);
                    }
                },
            }
        }
        self.out.end()
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.out.finish()
    }
}

/// Objects `{"time":…,"name":…}`, one a line or in one array. What is not there
/// is `null`.
pub(super) struct JsonTable<W: Write> {
    out: W,
    columns: Vec<Column>,
    /// Each column's `,"name":`.
    keys: Vec<Vec<u8>>,
    times: TimeFormat,
    is_array: bool,
    rows: u64,
    /// Reused for each row.
    line: Vec<u8>,
}

impl<W: Write> JsonTable<W> {
    pub(super) fn lines(columns: &[Column], out: W) -> Self {
        let key = |column: &Column| {
            let name = serde_json::Value::from(column.name.as_str());
            format!(",{name}:").into_bytes()
        };
        Self {
            out,
            columns: columns.to_vec(),
            keys: columns.iter().map(key).collect(),
            times: TimeFormat::default(),
            is_array: false,
            rows: 0,
            line: Vec::new(),
        }
    }

    pub(super) fn array(columns: &[Column], out: W) -> Self {
        Self {
            is_array: true,
            ..Self::lines(columns, out)
        }
    }

    pub(super) fn row(&mut self, time: Timestamp, values: &[Option<Bytes>]) -> io::Result<()> {
        self.line.clear();
        if self.is_array {
            self.line.push(if self.rows == 0 { b'[' } else { b',' });
        }
        match self.times.text(time) {
            TimeText::Rfc3339(text) => write!(self.line, "{{\"time\":\"{text}\"")?,
            TimeText::Micros(micros) => write!(self.line, "{{\"time\":{micros}")?,
        }
        for ((column, key), value) in self.columns.iter().zip(&self.keys).zip(values) {
            self.line.extend_from_slice(key);
            match value {
                Some(value) => match column.kind {
                    Kind::Value(value_type) => put_json(&mut self.line, value_type, value),
                    Kind::Cell(_) => self.line.extend_from_slice(value),
                },
                None => self.line.extend_from_slice(b"null"),
            }
        }
        self.line.push(b'}');
        if !self.is_array {
            self.line.push(b'\n');
        }
        self.rows += 1;
        self.out.write_all(&self.line)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        match (self.is_array, self.rows) {
            (true, 0) => self.out.write_all(b"[]")?,
            (true, _) => self.out.write_all(b"]")?,
            (false, _) => {}
        }
        self.out.flush()
    }
}
