//! NDJSON: one JSON object a line.

use std::io::{self, Write};
use std::sync::Arc;

use headwater_client::times::text::{TimeFormat, TimeText};
use headwater_protocols::manifest::ValueType;
use headwater_protocols::record::Record;

use super::table::{Cells, Found, Shape, Table, TableReader};
use super::value::put_json;

/// Writes records as JSON objects without line breaks:
/// `{"index":0,"time":"…","value":…}`; of rows with the names of their columns, and the
/// tokens as they were given.
#[derive(Debug)]
pub struct RecordObject {
    value_type: ValueType,
    rows: Option<RowFields>,
    times: TimeFormat,
}

/// The fields of rows.
#[derive(Debug)]
struct RowFields {
    reader: TableReader,
    /// What stands before the token of each column.
    names: Vec<Box<[u8]>>,
}

impl RecordObject {
    /// For values of this type.
    #[must_use]
    pub fn new(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Self {
            value_type: shape.value_type(),
            rows: match shape {
                Shape::One(_) => None,
                Shape::Rows(table) => Some(RowFields::new(table)),
            },
            times: TimeFormat::default(),
        }
    }

    /// Appends the object of a record.
    pub fn put(&mut self, out: &mut Vec<u8>, index: u64, record: &Record) {
        let written = match self.times.text(record.time()) {
            TimeText::Rfc3339(text) => write!(out, r#"{{"index":{index},"time":"{text}","#),
            TimeText::Micros(micros) => {
                // As it is read again: a number alone could be in any unit.
                write!(
                    out,
                    r#"{{"index":{index},"time":{micros},"time_unit":"us","#
                )
            }
        };
        debug_assert!(written.is_ok(), "memory takes any text");
        match &mut self.rows {
            Some(rows) => rows.put(out, &record.value()),
            None => {
                out.extend_from_slice(br#""value":"#);
                put_json(out, self.value_type, &record.value());
            }
        }
        out.push(b'}');
    }
}

impl RowFields {
    fn new(table: Arc<Table>) -> Self {
        let name = |(place, name): (usize, &str)| -> Box<[u8]> {
            let name = serde_json::Value::from(name);
            let comma = if place > 0 { "," } else { "" };
            format!("{comma}{name}:").into_bytes().into()
        };
        Self {
            names: table.names().enumerate().map(name).collect(),
            reader: TableReader::new(table),
        }
    }

    fn put(&mut self, out: &mut Vec<u8>, value: &[u8]) {
        let names = &self.names;
        let mut fields = Fields {
            out: &mut *out,
            names,
        };
        let told = self.reader.read(value, &mut fields);
        if !told.conforms {
            // What was published in the place of a row.
            out.extend_from_slice(br#","token":"#);
            put_json(out, ValueType::Text, value);
        }
    }
}

/// An object that takes cells.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
    names: &'a [Box<[u8]>],
}

impl Cells for Fields<'_> {
    fn cell(&mut self, place: usize, found: Option<Found<'_>>) {
        let token = found.map_or("null", |found| found.json);
        if let Some(name) = self.names.get(place) {
            self.out.extend_from_slice(name);
            self.out.extend_from_slice(token.as_bytes());
        }
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
    pub fn new(shape: impl Into<Shape>, out: W) -> Self {
        Self {
            out,
            object: RecordObject::new(shape),
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
