//! CSV: `index,time,value`.

use std::io::{self, Write};

use headwater_client::times::text::{TimeFormat, TimeText};
use headwater_protocols::manifest::ValueType;
use headwater_protocols::record::Record;

use super::csv_line::CsvLines;
use super::value::csv_field;

/// Writes records as CSV. Bytes are in base64.
#[derive(Debug)]
pub struct CsvEncoder<W: Write> {
    out: CsvLines<W>,
    value_type: ValueType,
    times: TimeFormat,
    /// Reused for each value in base64.
    base64: Vec<u8>,
}

impl<W: Write> CsvEncoder<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// The writer fails.
    pub fn begin(value_type: ValueType, out: W) -> io::Result<Self> {
        Self::with(CsvLines::new(out), value_type)
    }

    /// The same for spreadsheets, which run what looks like a formula.
    ///
    /// # Errors
    /// The writer fails.
    pub fn begin_safe(value_type: ValueType, out: W) -> io::Result<Self> {
        Self::with(CsvLines::safe(out), value_type)
    }

    fn with(mut out: CsvLines<W>, value_type: ValueType) -> io::Result<Self> {
        for name in ["index", "time", "value"] {
            out.field(name.as_bytes());
        }
        out.end()?;
        Ok(Self {
            out,
            value_type,
            times: TimeFormat::default(),
            base64: Vec::new(),
        })
    }

    /// Writes one line.
    ///
    /// # Errors
    /// The writer fails.
    pub fn record(&mut self, index: u64, record: &Record) -> io::Result<()> {
        self.out.plain(index)?;
        match self.times.text(record.time()) {
            TimeText::Rfc3339(text) => self.out.field(text.as_bytes()),
            TimeText::Micros(micros) => self.out.plain(micros)?,
        }
        let value = record.value();
        let field = csv_field(self.value_type, &value, &mut self.base64);
        self.out.value(self.value_type, field);
        self.out.end()
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// The writer fails.
    pub fn finish(self) -> io::Result<()> {
        self.out.finish()
    }
}
