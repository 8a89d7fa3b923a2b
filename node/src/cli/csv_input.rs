//! CSV files as input: one column has the times, another the values.

use std::io::{Chain, Read};

use anyhow::bail;
use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use super::rows::{BadRow, Row, RowError};
use super::time_form::TimeForm;
use super::value::ValueRules;

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// Stands behind the input. It comes as a row of its own, unless a quotation
/// mark was never closed, which would otherwise go unnoticed; and with it every
/// row ends in a line end, without which its line could not be told.
const END: &[u8] = b"\n\x04\n";

/// The only field of the row that [`END`] makes.
const END_FIELD: &[u8] = b"\x04";

/// Where the times and the values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    /// In the columns that the first row calls so.
    Named {
        /// That of the times.
        time: String,
        /// That of the values.
        value: String,
    },
    /// At these places, from 0.
    Placed {
        /// That of the times.
        time: usize,
        /// That of the values.
        value: usize,
        /// How many columns there are.
        count: usize,
        /// Whether the first row is a header.
        has_header: bool,
    },
}

/// Which columns are read, and how.
#[derive(Clone, Debug)]
pub(crate) struct CsvForm {
    pub(crate) columns: Columns,
    pub(crate) time_form: TimeForm,
    pub(crate) rules: ValueRules,
}

/// The rows of a CSV file (RFC 4180; lines may end in LF or CR LF).
#[derive(Debug)]
pub(crate) struct CsvRows<R> {
    reader: Reader<Chain<R, &'static [u8]>>,
    form: CsvForm,
    time: Column,
    value: Column,
    columns: usize,
    record: ByteRecord,
}

/// A column, and what errors call it.
#[derive(Clone, Debug)]
struct Column {
    place: usize,
    name: String,
}

impl<R: Read> CsvRows<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// The file cannot be read, or a column is not there or there twice.
    pub(crate) fn open(input: R, form: CsvForm) -> anyhow::Result<Self> {
        let has_header = match &form.columns {
            Columns::Named { .. } => true,
            Columns::Placed { has_header, .. } => *has_header,
        };
        let mut reader = ReaderBuilder::new()
            .has_headers(has_header)
            // A row of another length is a bad row, not the end.
            .flexible(true)
            // The CR of a CR LF is trimmed like other white space: the reader
            // counts lines by LF.
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(input.chain(END));
        if has_header && is_end(reader.byte_headers()?) {
            bail!("it is empty");
        }
        let (time, value, columns) = match &form.columns {
            Columns::Named { time, value } => {
                let header = reader.byte_headers()?;
                let names: Vec<String> = (header.iter())
                    .map(|name| String::from_utf8_lossy(name).trim().to_owned())
                    .collect();
                (
                    Column::find(&names, time)?,
                    Column::find(&names, value)?,
                    names.len(),
                )
            }
            Columns::Placed {
                time, value, count, ..
            } => {
                let column = |place: usize, name: &str| Column {
                    place,
                    name: name.to_owned(),
                };
                (column(*time, "time"), column(*value, "value"), *count)
            }
        };
        Ok(Self {
            reader,
            form,
            time,
            value,
            columns,
            record: ByteRecord::new(),
        })
    }

    fn row(&self) -> Result<Row, String> {
        if self.swallowed_end() {
            return Err("a quotation mark is never closed".to_owned());
        }
        if self.record.len() != self.columns {
            return Err(format!(
                "it has {} fields instead of {}",
                self.record.len(),
                self.columns
            ));
        }
        let field = |column: &Column| {
            let bytes = self.record.get(column.place).unwrap_or_default();
            let text = std::str::from_utf8(bytes);
            text.map(str::trim)
                .map_err(|_| format!("column `{}` is not UTF-8", column.name))
        };
        let time = field(&self.time)?;
        let value = field(&self.value)?;
        let moment = self.form.time_form.read(time);
        let moment = moment.map_err(|error| format!("time {error}"))?;
        Ok(Row::new(moment, self.form.rules.of_text(value)?))
    }

    /// The end of the input is within a quoted field.
    fn swallowed_end(&self) -> bool {
        let last = self.record.iter().next_back().unwrap_or_default();
        last.ends_with(END)
    }

    /// The line on which the record begins. (Its own position is that of the
    /// empty lines before it.)
    fn line(&self) -> u64 {
        let within = self
            .record
            .as_slice()
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        let own_end = u64::from(!self.swallowed_end());
        let next = self.reader.position().line();
        next.saturating_sub(within as u64 + own_end)
    }
}

fn is_end(record: &ByteRecord) -> bool {
    record.len() == 1 && record.get(0) == Some(END_FIELD)
}

/// A line of white space alone.
fn is_empty(record: &ByteRecord) -> bool {
    record.len() == 1 && record.as_slice().trim_ascii().is_empty()
}

impl<R: Read> Iterator for CsvRows<R> {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) if is_end(&self.record) => return None,
                Ok(true) if is_empty(&self.record) => {}
                Ok(true) => break,
                Ok(false) => return None,
                Err(error) => return Some(Err(RowError::Read(error.into()))),
            }
        }
        let row = self.row().map_err(|what| {
            let line = self.line();
            RowError::Bad(BadRow { line, what })
        });
        Some(row)
    }
}

impl Column {
    fn find(names: &[String], wanted: &str) -> anyhow::Result<Self> {
        let name = wanted.to_owned();
        find(names, wanted).map(|place| Self { place, name })
    }
}

fn find(names: &[String], wanted: &str) -> anyhow::Result<usize> {
    let mut found = names.iter().enumerate().filter(|(_, name)| *name == wanted);
    let all = || {
        names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (found.next(), found.next()) {
        (Some((at, _)), None) => Ok(at),
        (Some(_), Some(_)) => {
            anyhow::bail!("two columns are called `{wanted}`; there are: {}", all())
        }
        (None, _) => anyhow::bail!("there is no column `{wanted}`; there are: {}", all()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_protocols::manifest::ValueType;

    fn form(value_column: &str, value_type: ValueType) -> CsvForm {
        CsvForm {
            columns: Columns::Named {
                time: "date".to_owned(),
                value: value_column.to_owned(),
            },
            time_form: TimeForm::Iso,
            rules: ValueRules::new(value_type, 12),
        }
    }

    /// The good values, and the bad rows as they are shown.
    fn read(text: &str, value_type: ValueType) -> (Vec<String>, Vec<String>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for row in CsvRows::open(text.as_bytes(), form("wind", value_type)).unwrap() {
            match row {
                Ok(row) => good.push(String::from_utf8(row.value).unwrap()),
                Err(RowError::Bad(row)) => bad.push(row.to_string()),
                Err(RowError::Read(error)) => panic!("{error}"),
            }
        }
        (good, bad)
    }

    #[test]
    fn every_bad_row_is_told_by_its_line() {
        let (good, bad) = read(
            "date,wind\n2010-01-01T01:00:00,3.8\n2010-01-01T02:00:00,calm\nyesterday,1\n\
             2010-01-01T03:00:00\n2010-01-01T03:00:00,1,2\n2010-01-01T03:00:00,\n2010-01-01T04:00:00, 4.0 \n",
            ValueType::Number,
        );
        assert_eq!(good, ["3.8", "4.0"]);
        assert_eq!(bad[0], "line 3: value `calm` is not a number");
        assert!(
            bad[1].starts_with("line 4: time `yesterday` is not an RFC 3339 time"),
            "{}",
            bad[1]
        );
        assert_eq!(bad[2], "line 5: it has 1 fields instead of 2");
        assert_eq!(bad[3], "line 6: it has 3 fields instead of 2");
        assert_eq!(bad[4], "line 7: value `` is not a number");
        assert_eq!(bad.len(), 5);
    }

    #[test]
    fn lines_are_counted_right_with_any_line_end_and_within_quotes() {
        let text = "date,wind\n\"2010-01-01T01:00:00\",\"a \"\"quoted\"\"\nvalue, of two lines\"\n\nx,1\n2010-01-01,b\ny,2";
        let expected = ["a \"quoted\"\nvalue, of two lines", "b"];
        let (good, bad) = read(text, ValueType::Text);
        assert_eq!(good, expected);
        assert!(
            bad[0].starts_with("line 5: ") && bad[1].starts_with("line 7: "),
            "{bad:?}"
        );
        let (good, bad) = read(&text.replace('\n', "\r\n"), ValueType::Text);
        assert_eq!(good, expected.map(|value| value.replace('\n', "\r\n")));
        assert!(
            bad[0].starts_with("line 5: ") && bad[1].starts_with("line 7: "),
            "{bad:?}"
        );
    }

    #[test]
    fn a_quotation_mark_that_is_never_closed_is_a_bad_row() {
        for rest in [
            "2010-01-01,\"b\n2010-01-02,c\n\n",
            "2010-01-01,\"b",
            "2010-01-01,\"",
        ] {
            let (good, bad) = read(
                &format!("date,wind\n2010-01-01,a\n\n{rest}"),
                ValueType::Text,
            );
            assert_eq!(good, ["a"]);
            assert_eq!(bad, ["line 4: a quotation mark is never closed"], "{rest}");
        }
        let (good, _) = read("date,wind\n2010-01-01,\"a\n\"", ValueType::Text);
        assert_eq!(good, ["a"]);
    }

    #[test]
    fn a_value_over_the_limit_is_a_bad_row() {
        let (_, bad) = read(
            &format!("date,wind\n2010-01-01,{}", "9".repeat(257)),
            ValueType::Text,
        );
        assert_eq!(
            bad,
            ["line 2: value of 257 bytes is over the stream's limit of 256 bytes"]
        );
    }

    #[test]
    fn a_missing_column_is_told_with_those_that_exist() {
        let open = |text: &str| {
            let form = form("wind", ValueType::Number);
            CsvRows::open(text.as_bytes(), form).map(drop)
        };
        let refused = |text: &str| open(text).unwrap_err().to_string();
        assert_eq!(
            refused("date,pressure,temperature\n"),
            "there is no column `wind`; there are: `date`, `pressure`, `temperature`"
        );
        assert!(refused("date,wind,wind\n").starts_with("two columns are called `wind`"));
        assert_eq!(refused(""), "it is empty");
        assert_eq!(refused("\n\n"), "it is empty");
        // Spreadsheets begin a file with a byte order mark.
        assert!(open("\u{feff}date, wind \n").is_ok());
    }

    #[test]
    fn columns_are_found_by_their_place_where_no_header_names_them() {
        let read = |text: &str, has_header| {
            let form = CsvForm {
                columns: Columns::Placed {
                    time: 2,
                    value: 0,
                    count: 3,
                    has_header,
                },
                time_form: TimeForm::Iso,
                rules: ValueRules::new(ValueType::Text, 8),
            };
            let rows = CsvRows::open(text.as_bytes(), form).unwrap();
            rows.map(|row| match row {
                Ok(row) => String::from_utf8(row.value).unwrap(),
                Err(RowError::Bad(row)) => row.to_string(),
                Err(RowError::Read(error)) => panic!("{error}"),
            })
            .collect::<Vec<_>>()
        };
        let rows = "a,x,2010-01-01\nb,2010-01-01\n\nc,x,2010-01-03";
        let bad = "line 2: it has 2 fields instead of 3";
        assert_eq!(read(rows, false), ["a", bad, "c"]);
        assert_eq!(read(rows, true).len(), 2);
        assert!(read("", false).is_empty());
    }

    #[test]
    fn a_row_that_is_not_utf8_is_a_bad_row() {
        let text = b"date,wind\n2010-01-01,\xff\n2010-01-01,1\n";
        let rows: Vec<_> = CsvRows::open(&text[..], form("wind", ValueType::Text))
            .unwrap()
            .collect();
        assert!(
            matches!(&rows[0], Err(RowError::Bad(row)) if row.what == "column `wind` is not UTF-8")
        );
        assert!(rows[1].is_ok());
    }
}
