//! CSV: `index,time,value`.

use std::io::{self, Write};

use headwater_protocols::manifest::ValueType;
use headwater_protocols::record::Record;

use super::time::{TimeFormat, TimeText};
use super::value::csv_field;

/// Bytes that are collected before they go to the writer.
const BUFFER_BYTES: usize = 64 * 1024;

/// Writes records as CSV. Bytes are in base64.
#[derive(Debug)]
pub struct CsvEncoder<W: Write> {
    out: csv::Writer<W>,
    value_type: ValueType,
    times: TimeFormat,
    /// Reused for each number.
    digits: Vec<u8>,
    /// Reused for each value in base64.
    base64: Vec<u8>,
}

impl<W: Write> CsvEncoder<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// The writer fails.
    pub fn begin(value_type: ValueType, out: W) -> io::Result<Self> {
        let mut out = csv::WriterBuilder::new()
            .buffer_capacity(BUFFER_BYTES)
            .from_writer(out);
        out.write_record(["index", "time", "value"])
            .map_err(to_io)?;
        Ok(Self {
            out,
            value_type,
            times: TimeFormat::default(),
            digits: Vec::with_capacity(20),
            base64: Vec::new(),
        })
    }

    /// Writes one line.
    ///
    /// # Errors
    /// The writer fails.
    pub fn record(&mut self, index: u64, record: &Record) -> io::Result<()> {
        self.number(index)?;
        match self.times.text(record.time()) {
            TimeText::Rfc3339(text) => self.out.write_field(text).map_err(to_io)?,
            TimeText::Micros(micros) => self.number(micros)?,
        }
        let value = record.value();
        let field = csv_field(self.value_type, &value, &mut self.base64);
        self.out.write_field(field).map_err(to_io)?;
        self.out.write_record(None::<&[u8]>).map_err(to_io)
    }

    fn number(&mut self, number: impl std::fmt::Display) -> io::Result<()> {
        self.digits.clear();
        write!(self.digits, "{number}")?;
        self.out.write_field(&self.digits).map_err(to_io)
    }

    /// Flushes.
    ///
    /// # Errors
    /// The writer fails.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn to_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
