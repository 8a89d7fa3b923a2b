//! JSON: one array of the objects that NDJSON has in lines.

use std::io::{self, Write};

use headwater_protocols::record::Record;

use super::ndjson::RecordObject;
use super::table::Shape;

/// Writes records as one JSON array.
#[derive(Debug)]
pub struct JsonEncoder<W: Write> {
    out: W,
    object: RecordObject,
    /// Reused for each record.
    line: Vec<u8>,
    /// What stands before the next record.
    separator: &'static [u8],
}

impl<W: Write> JsonEncoder<W> {
    /// Opens the array.
    ///
    /// # Errors
    /// The writer fails.
    pub fn begin(shape: impl Into<Shape>, mut out: W) -> io::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self {
            out,
            object: RecordObject::new(shape),
            line: Vec::new(),
            separator: b"\n",
        })
    }

    /// Writes one element.
    ///
    /// # Errors
    /// The writer fails.
    pub fn record(&mut self, index: u64, record: &Record) -> io::Result<()> {
        self.line.clear();
        self.line.extend_from_slice(self.separator);
        self.separator = b",\n";
        self.object.put(&mut self.line, index, record);
        self.out.write_all(&self.line)
    }

    /// Closes the array and flushes.
    ///
    /// # Errors
    /// The writer fails.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]\n")?;
        self.out.flush()
    }
}
