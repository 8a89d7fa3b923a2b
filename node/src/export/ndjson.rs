//! NDJSON: one JSON object a line.

use std::io::{self, Write};

use headwater_client::times::text::{TimeFormat, TimeText};
use headwater_protocols::manifest::ValueType;
use headwater_protocols::record::Record;

use super::value::put_json;

/// Writes records as JSON objects without line breaks:
/// `{"index":0,"time":"…","value":…}`.
#[derive(Clone, Debug)]
pub struct RecordObject {
    value_type: ValueType,
    times: TimeFormat,
}

impl RecordObject {
    /// For values of this type.
    #[must_use]
    pub fn new(value_type: ValueType) -> Self {
        Self {
            value_type,
            times: TimeFormat::default(),
        }
    }

    /// Appends the object of a record.
    pub fn put(&mut self, out: &mut Vec<u8>, index: u64, record: &Record) {
        let written = match self.times.text(record.time()) {
            TimeText::Rfc3339(text) => write!(out, r#"{{"index":{index},"time":"{text}","value":"#),
            TimeText::Micros(micros) => {
                // As it is read again: a number alone could be in any unit.
                write!(
                    out,
                    r#"{{"index":{index},"time":{micros},"time_unit":"us","value":"#
                )
            }
        };
        debug_assert!(written.is_ok(), "memory takes any text");
        put_json(out, self.value_type, &record.value());
        out.push(b'}');
    }
}

/// Writes records as NDJSON.
#[derive(Debug)]
pub struct NdjsonEncoder<W: Write> {
    out: W,
    object: RecordObject,
    /// Reused for each line.
    line: Vec<u8>,
}

impl<W: Write> NdjsonEncoder<W> {
    /// Nothing stands before the first record.
    pub fn new(value_type: ValueType, out: W) -> Self {
        Self {
            out,
            object: RecordObject::new(value_type),
            line: Vec::new(),
        }
    }

    /// Writes one line.
    ///
    /// # Errors
    /// The writer fails.
    pub fn record(&mut self, index: u64, record: &Record) -> io::Result<()> {
        self.line.clear();
        self.object.put(&mut self.line, index, record);
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }

    /// Flushes.
    ///
    /// # Errors
    /// The writer fails.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}
