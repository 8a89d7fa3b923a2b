//! CSV files as input: one column has the times, another the values, or all others
//! those of rows.

use std::io::Read;

use headwater_protocols::manifest::ValueType;

use super::csv_header::{Headers, find, header, left_out, places_of};
use super::csv_records::{RecordError, Records};
use super::delimiter::Delimiter;
use super::dialect::Dialect;
use super::extra_column::{DECIMAL_COMMAS, Extra, is_split_number};
use super::folds::{LocalRow, RowPlace};
use super::number_text::{Look, with_point};
use super::row::Fields;
use super::rows::{BadRow, Row, RowError};
use super::time_reader::TimeReader;
use super::value::{Taken, ValueRules};
use crate::wording::counted;

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
    /// Beside the times those of a stream with columns, by their names; others are left
    /// out.
    Table {
        /// That of the times.
        time: String,
        /// What the file calls the others.
        headers: Headers,
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
        /// A column that is not read, and what stands in it.
        extra: Option<(usize, Extra)>,
    },
}

impl Columns {
    /// The columns of a file that its stream does not have; of one value a record all
    /// others are as nothing.
    pub(super) fn not_read(&self, names: &[String], rules: &ValueRules) -> Vec<String> {
        match (self, rules.rows()) {
            (Self::Table { time, headers }, Some(rows)) => left_out(rows, names, time, headers),
            (Self::Table { .. } | Self::Named { .. } | Self::Placed { .. }, _) => Vec::new(),
        }
    }
}

/// Which columns are read, and how.
#[derive(Clone, Debug)]
pub(crate) struct CsvForm {
    pub(crate) columns: Columns,
    pub(crate) dialect: Dialect,
    pub(crate) rules: ValueRules,
}

/// The rows of a CSV file.
#[derive(Debug)]
pub(crate) struct CsvRows<R> {
    records: Records<R>,
    times: TimeReader,
    decimal_comma: bool,
    rules: ValueRules,
    time: Column,
    value: Values,
    columns: usize,
    comma_delimits: bool,
    /// Rows that were read, good and bad.
    rows: u64,
    is_over: bool,
}

/// Where the values are.
#[derive(Clone, Debug)]
enum Values {
    /// In one column; beside it may be one that is not read, and what stands in it.
    One(Column, Option<(usize, Extra)>),
    /// In several, in the order in which rows have them.
    Row(Vec<usize>),
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
    pub(crate) fn open(input: R, form: &CsvForm) -> anyhow::Result<Self> {
        let mut records = Records::new(input, form.dialect.delimiter.byte());
        let (time, value, columns) = match &form.columns {
            Columns::Named { time, value } => {
                let names = header(&mut records)?;
                let [time, value] = [time, value].map(|wanted| Column::find(&names, wanted));
                let (time, value) = (time?, value?);
                let behind = value.place + 1;
                let is_unnamed = names.get(behind).is_some_and(String::is_empty);
                let unnamed = is_unnamed.then_some((behind, Extra::Unnamed));
                (time, Values::One(value, unnamed), names.len())
            }
            Columns::Table { time, headers } => {
                let names = header(&mut records)?;
                let time = Column::find(&names, time)?;
                let places = match form.rules.rows() {
                    Some(rows) => places_of(rows, &names, headers)?,
                    None => Vec::new(),
                };
                (time, Values::Row(places), names.len())
            }
            Columns::Placed {
                time,
                value,
                count,
                has_header,
                extra,
            } => {
                if *has_header {
                    header(&mut records)?;
                }
                let column = |place: usize, name: &str| Column {
                    place,
                    name: name.to_owned(),
                };
                let (time, value) = (column(*time, "time"), column(*value, "value"));
                (time, Values::One(value, *extra), *count)
            }
        };
        Ok(Self {
            records,
            times: form.dialect.times.reader(),
            decimal_comma: form.dialect.decimal_comma,
            rules: form.rules.clone(),
            time,
            value,
            columns,
            comma_delimits: form.dialect.delimiter == Delimiter::COMMA,
            rows: 0,
            is_over: false,
        })
    }

    fn row(&mut self) -> Result<Row, String> {
        if self.records.len() != self.columns {
            let advice = match self.has_decimal_comma() {
                true => format!("; {DECIMAL_COMMAS}"),
                false => String::new(),
            };
            return Err(format!(
                "it has {} instead of {}{advice}",
                counted(self.records.len() as u64, "field"),
                self.columns
            ));
        }
        let field = |column: &Column| {
            text(&self.records, column.place)
                .ok_or_else(|| format!("column `{}` is not UTF-8", column.name))
        };
        let (time, place) = (field(&self.time)?, self.place());
        match &self.value {
            Values::One(value, extra) => {
                let value = field(value)?;
                if let &Some((place, extra)) = extra {
                    let field = text(&self.records, place).unwrap_or_default();
                    extra.check(field.trim(), value.trim())?;
                }
                let moment = self.times.read(time.trim(), place)?;
                let taken = value_of(value, &self.rules, self.decimal_comma)?;
                Ok(Row::new(moment, taken))
            }
            Values::Row(places) => {
                let moment = self.times.read(time.trim(), place)?;
                let fields = places.iter().map(|&place| self.records.get(place));
                let fields = fields.map(Option::unwrap_or_default);
                let rows = self.rules.rows();
                let written = Fields {
                    decimal_comma: self.decimal_comma,
                    zone: self.times.zone(),
                };
                let row = rows.map(|rows| rows.of_fields(fields, &written));
                let row = row.ok_or_else(|| "the stream has no columns".to_owned())??;
                Ok(Row::new(moment, self.rules.of_row(row)?))
            }
        }
    }

    fn place(&self) -> RowPlace {
        RowPlace {
            row: self.rows,
            line: self.records.line(),
        }
    }
}

impl<R: Read> CsvRows<R> {
    /// A row with more fields than there are columns, because one of them was cut
    /// at a decimal comma.
    fn has_decimal_comma(&self) -> bool {
        let field = |place| text(&self.records, place).unwrap_or_default().trim();
        let is_split = |place| is_split_number(field(place), field(place + 1));
        let is_comma = self.comma_delimits && self.records.len() > self.columns;
        is_comma
            && match &self.value {
                Values::One(value, _) => is_split(value.place),
                Values::Row(places) => places.iter().any(|&place| is_split(place)),
            }
    }

    /// Looks at what the clocks of a zone showed, row by row, of the file at this
    /// place among others. What is no local time is passed over.
    ///
    /// # Errors
    /// The file cannot be read to its end.
    pub(crate) fn look_at_local_times(
        mut self,
        file: usize,
        mut look: impl FnMut(LocalRow),
    ) -> anyhow::Result<()> {
        loop {
            match self.records.advance() {
                Ok(true) => self.rows += 1,
                // Who checks the rows says what is wrong with them.
                Err(RecordError::Misquoted { .. }) => continue,
                Ok(false) | Err(RecordError::Unclosed { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            let place = self.place();
            let time = self.records.get(self.time.place).unwrap_or_default();
            let is_whole = self.records.len() == self.columns;
            let row = (std::str::from_utf8(time).ok().filter(|_| is_whole))
                .and_then(|time| self.times.local_row(time.trim(), file, place));
            row.map(&mut look);
        }
    }
}

/// A field; `None` where it is no text.
fn text<R: Read>(records: &Records<R>, place: usize) -> Option<&str> {
    std::str::from_utf8(records.get(place).unwrap_or_default()).ok()
}

/// The bytes of a value. White space is part of a text, and of nothing else.
fn value_of(text: &str, rules: &ValueRules, decimal_comma: bool) -> Result<Taken, String> {
    match rules.value_type() {
        ValueType::Text => rules.of_text(text),
        ValueType::Json | ValueType::Bytes => rules.of_text(text.trim()),
        ValueType::Number if decimal_comma => rules.of_text(&with_point(text.trim())?),
        ValueType::Number => {
            let text = text.trim();
            rules
                .of_text(text)
                .map_err(|why| match Look::of(text).advice() {
                    // That is what was said.
                    Some(_) if Look::of(text) == Look::TooLarge => why,
                    Some(advice) => format!("{why}; {advice}"),
                    None => why,
                })
        }
    }
}

impl<R: Read> Iterator for CsvRows<R> {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let (line, what) = match self.records.advance() {
            Ok(false) => return None,
            Ok(true) => {
                self.rows += 1;
                match self.row() {
                    Ok(row) => return Some(Ok(row.on_line(self.records.line()))),
                    Err(what) => (self.records.line(), what),
                }
            }
            Err(error) => {
                self.is_over = !matches!(error, RecordError::Misquoted { .. });
                match error.bad_line() {
                    Some(line) => (line, error.to_string()),
                    None => return Some(Err(RowError::Read(error.into()))),
                }
            }
        };
        Some(Err(RowError::Bad(BadRow { line, what })))
    }
}

impl Column {
    fn find(names: &[String], wanted: &str) -> anyhow::Result<Self> {
        let name = wanted.to_owned();
        find(names, wanted).map(|place| Self { place, name })
    }
}

#[cfg(test)]
mod tests {
    use super::super::delimiter::Delimiter;
    use super::super::dialect::Said;
    use super::*;
    use headwater_client::times::TimeForm;

    fn iso() -> Dialect {
        Said::default()
            .plain(Delimiter::COMMA, TimeForm::Iso)
            .unwrap()
    }

    fn form(value_column: &str, value_type: ValueType) -> CsvForm {
        CsvForm {
            columns: Columns::Named {
                time: "date".to_owned(),
                value: value_column.to_owned(),
            },
            dialect: iso(),
            rules: ValueRules::new(value_type, 12),
        }
    }

    /// The good values, and the bad rows as they are shown.
    fn read(text: &str, value_type: ValueType) -> (Vec<String>, Vec<String>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for row in CsvRows::open(text.as_bytes(), &form("wind", value_type)).unwrap() {
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
        assert_eq!(bad[2], "line 5: it has 1 field instead of 2");
        assert!(
            bad[3].starts_with(
                "line 6: it has 3 fields instead of 2; this looks like numbers with a decimal comma"
            ),
            "{}",
            bad[3]
        );
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
    fn a_field_behind_the_values_that_nobody_named_is_no_decimal() {
        let (good, bad) = read(
            "date,wind,\n2010-01-01,1,5\n2010-01-02,1.5,\n",
            ValueType::Number,
        );
        assert_eq!(good, ["1.5"]);
        assert!(
            bad[0].contains("line 2") && bad[0].contains("decimal comma"),
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
            let lost = match rest.contains('c') {
                true => "; the row has 1 more line",
                false => "",
            };
            let expected = format!("line 4: a quotation mark is never closed{lost}");
            assert_eq!(bad, [expected], "{rest}");
        }
        let (good, _) = read("date,wind\n2010-01-01,\"a\n\"", ValueType::Text);
        assert_eq!(good, ["a\n"]);
    }

    #[test]
    fn a_quotation_mark_that_is_misplaced_is_a_bad_row() {
        let text = "date,wind\n2010-01-01,\"a\"b\n2010-01-02,\"a\\\"b\"\n2010-01-03,5\" pipe\n2010-01-04,\"\"\"c\"\"\"\n";
        let (good, bad) = read(text, ValueType::Text);
        assert_eq!(good, ["\"c\""]);
        assert_eq!(bad.len(), 3, "{bad:?}");
        assert!(
            bad[2].starts_with("line 4: a quotation mark stands within a field")
                && bad[2].contains("column 13"),
            "{bad:?}"
        );
    }

    #[test]
    fn no_text_ends_a_file_and_none_is_trimmed() {
        let text = "date,wind\n2010-01-01,  padded  \n\u{4}\n2010-01-02,\"a\n\u{4}\n\"\n2010-01-03,\u{4}\n2010-01-04,\"cr\r\"\r\n";
        let (good, bad) = read(text, ValueType::Text);
        assert_eq!(good, ["  padded  ", "a\n\u{4}\n", "\u{4}", "cr\r"]);
        assert_eq!(bad, ["line 3: it has 1 field instead of 2"]);
    }

    #[test]
    fn what_only_looks_like_a_number_is_told_with_what_to_do() {
        let text = "date,wind\n2010-01-01,\"1,5\"\n2010-01-02,\"1,234.5\"\n2010-01-03,1.5 C\n2010-01-04,calm\n";
        let (_, bad) = read(text, ValueType::Number);
        for (row, advice) in bad.iter().zip([
            "--decimal-comma",
            "thousands separators",
            "take the unit out",
            "number",
        ]) {
            assert!(row.contains(advice), "{row}");
        }
        let rules = ValueRules::new(ValueType::Number, 12);
        let taken = value_of(" 1,5 ", &rules, true).unwrap();
        assert_eq!((taken.bytes, taken.rewritten), (b"1.5".to_vec(), None));
        assert!(value_of("1.234,5", &rules, true).is_err());
    }

    #[test]
    fn a_value_over_the_limit_is_a_bad_row() {
        let (_, bad) = read(
            &format!("date,wind\n2010-01-01,{}", "9".repeat(257)),
            ValueType::Text,
        );
        assert_eq!(
            bad,
            [
                "line 2: value of 257 bytes is over the stream's limit of 256 bytes, which its chunk level \
                 sets (`stream create --chunk-level`) and which never changes"
            ]
        );
    }

    #[test]
    fn a_missing_column_is_told_with_those_that_exist() {
        let open = |text: &str| {
            let form = form("wind", ValueType::Number);
            CsvRows::open(text.as_bytes(), &form).map(drop)
        };
        let refused = |text: &str| open(text).unwrap_err().to_string();
        assert_eq!(
            refused("date,pressure,temperature\n"),
            "there is no column `wind`; there are: `date`, `pressure`, `temperature`"
        );
        assert!(refused("date,wind,wind\n").starts_with("two columns are called `wind`"));
        assert_eq!(refused(""), "it is empty");
        assert_eq!(refused("\n\n"), "it is empty");
        assert!(open("date, wind \n").is_ok());
        let escapes = refused("\u{1b}[2J,\u{202e}x\n");
        assert!(
            !escapes.contains('\u{1b}') && !escapes.contains('\u{202e}'),
            "{escapes}"
        );
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
                    extra: None,
                },
                dialect: iso(),
                rules: ValueRules::new(ValueType::Text, 8),
            };
            let rows = CsvRows::open(text.as_bytes(), &form).unwrap();
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
        let rows: Vec<_> = CsvRows::open(&text[..], &form("wind", ValueType::Text))
            .unwrap()
            .collect();
        assert!(
            matches!(&rows[0], Err(RowError::Bad(row)) if row.what == "column `wind` is not UTF-8")
        );
        assert!(rows[1].is_ok());
    }
}
