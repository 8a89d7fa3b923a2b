//! CSV: `index,time,value`, or a column for each cell of a row, and `token` behind them.

use std::io::{self, Write};

use headwater_client::times::text::{TimeFormat, TimeText};
use headwater_protocols::manifest::ValueType;
use headwater_protocols::record::Record;

use super::csv_cell::put_cell;
use super::csv_line::CsvLines;
use super::table::{Cells, Found, Shape, TableReader};
use super::value::csv_field;

/// Writes records as CSV. Bytes are in base64.
#[derive(Debug)]
pub struct CsvEncoder<W: Write> {
    out: CsvLines<W>,
    value_type: ValueType,
    /// Of rows.
    rows: Option<TableReader>,
    times: TimeFormat,
    /// Reused for each value in base64.
    base64: Vec<u8>,
}

impl<W: Write> CsvEncoder<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// The writer fails.
    pub fn begin(shape: impl Into<Shape>, out: W) -> io::Result<Self> {
        Self::with(CsvLines::new(out), shape.into())
    }

    /// The same for spreadsheets, which run what looks like a formula.
    ///
    /// # Errors
    /// The writer fails.
    pub fn begin_safe(shape: impl Into<Shape>, out: W) -> io::Result<Self> {
        Self::with(CsvLines::safe(out), shape.into())
    }

    fn with(mut out: CsvLines<W>, shape: Shape) -> io::Result<Self> {
        let value_type = shape.value_type();
        let rows = match shape {
            Shape::One(_) => None,
            Shape::Rows(table) => Some(TableReader::new(table)),
        };
        for name in ["index", "time"] {
            out.field(name.as_bytes());
        }
        match rows.as_ref().map(TableReader::table) {
            None => out.field(b"value"),
            Some(table) => {
                table.names().for_each(|name| out.field(name.as_bytes()));
                if table.has_token() {
                    out.field(b"token");
                }
            }
        }
        out.end()?;
        Ok(Self {
            out,
            value_type,
            rows,
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
        if let Some(rows) = &mut self.rows {
            let mut line = Line {
                out: &mut self.out,
                times: &mut self.times,
            };
            let told = rows.read(&value, &mut line);
            match told.gives_back {
                true if rows.table().has_token() => self.out.missing(),
                true => {}
                false => self.out.field(&value),
            }
            return self.out.end();
        }
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

/// A line that takes cells.
struct Line<'a, W: Write> {
    out: &'a mut CsvLines<W>,
    times: &'a mut TimeFormat,
}

impl<W: Write> Cells for Line<'_, W> {
    fn cell(&mut self, _place: usize, found: Option<Found<'_>>) {
        match found {
            Some(found) => {
                let given = found.gives_back.then_some(found.json);
                put_cell(self.out, self.times, found.cell, given);
            }
            None => self.out.missing(),
        }
    }
}
