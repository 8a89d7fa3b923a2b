//! Lines as input: one value a line, or one NDJSON object a line.

use std::io::{self, BufRead};

use headwater_client::object;
use headwater_client::times::{self, Moment, Unit};
use headwater_protocols::manifest::ValueType;
use headwater_protocols::time::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::row::RowRules;
use super::row_object::Observation;
use super::rows::{BadRow, Row, RowError};
use super::value::ValueRules;

/// What a line of NDJSON has beside the value, escaped in the longest way.
const ENVELOPE_BYTES: usize = 4 * 1024;

/// Bytes that one byte of a value takes up at most, escaped (`\u00ff`).
const ESCAPED: usize = 6;

/// With which some programs begin a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// How lines are read.
#[derive(Clone, Debug)]
pub(crate) struct LineForm {
    /// `{"time":…,"value":…}` instead of the value alone.
    pub(crate) ndjson: bool,
    pub(crate) rules: ValueRules,
    /// That of times that are numbers, where a line says none.
    pub(crate) time_unit: Option<Unit>,
    /// Years before 1000 are meant.
    pub(crate) any_year: bool,
}

/// A line of NDJSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    /// Exports have it; a new place is given to each record.
    #[serde(rename = "index")]
    _index: Option<IgnoredAny>,
    /// There, also where it is null.
    #[serde(borrow, default, deserialize_with = "times::there")]
    time: Option<&'a RawValue>,
    time_unit: Option<Unit>,
    #[serde(borrow)]
    value: &'a RawValue,
}

impl LineForm {
    /// The row of a line without its end; `None` for an empty line that means
    /// nothing. A row that names no time has that of `now`.
    ///
    /// # Errors
    /// The row is bad, or there is no `now` where it needs one; says why.
    pub(crate) fn row(&self, line: &[u8], now: Option<Timestamp>) -> Result<Option<Row>, String> {
        let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
        if self.ndjson {
            return match text.trim().is_empty() {
                true => Ok(None),
                false => self.object(text, now).map(Some),
            };
        }
        let text = match self.rules.value_type() {
            // An empty text is a value; an empty line between numbers is not.
            ValueType::Text => text,
            ValueType::Number | ValueType::Json | ValueType::Bytes => text.trim(),
        };
        if text.is_empty() && self.rules.value_type() != ValueType::Text {
            return Ok(None);
        }
        let value = self.rules.of_value_alone(text)?;
        Ok(Some(Row::new(present(now)?, value)))
    }

    fn object(&self, text: &str, now: Option<Timestamp>) -> Result<Row, String> {
        if let Some(rows) = self.rules.rows() {
            return self.row_object(rows, text, now);
        }
        let object: Object<'_> = object::from_json(text)
            .map_err(|error| format!("it is not an object with a `value` ({error})"))?;
        let moment = self.moment(object.time, object.time_unit, now)?;
        Ok(Row::new(moment, self.rules.of_json(object.value)?))
    }

    /// Of a stream with columns: an object with their names, or an array in their order.
    fn row_object(
        &self,
        rows: &RowRules,
        text: &str,
        now: Option<Timestamp>,
    ) -> Result<Row, String> {
        let observation = Observation::parse(rows, text)?;
        let moment = self.moment(observation.time, observation.time_unit, now)?;
        Ok(Row::new(moment, self.rules.of_row(observation.row)?))
    }

    fn moment(
        &self,
        time: Option<&RawValue>,
        unit: Option<Unit>,
        now: Option<Timestamp>,
    ) -> Result<Moment, String> {
        let Some(json) = time else {
            return present(now);
        };
        let moment = times::of_json(json.get(), unit.or(self.time_unit), now);
        let moment = moment.and_then(|moment| match self.any_year {
            true => Ok(moment),
            false => times::observed(moment, json.get()),
        });
        moment.map_err(|error| format!("time {error}"))
    }

    /// Bytes of the longest line that can be a good row.
    fn max_line_bytes(&self) -> usize {
        self.rules.max_bytes() * ESCAPED + ENVELOPE_BYTES
    }
}

/// The time of a row that names none.
fn present(now: Option<Timestamp>) -> Result<Moment, String> {
    now.map(Moment::exact)
        .ok_or_else(|| "it has no `time`".to_owned())
}

/// Whether a line that is taken for a value alone was more likely meant as an
/// observation: an object with `value`, and nothing else but a time, its unit and
/// an index.
pub(crate) fn looks_like_ndjson(line: &[u8]) -> bool {
    let Ok(object) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line)
    else {
        return false;
    };
    object.contains_key("value")
        && object
            .keys()
            .all(|key| matches!(key.as_str(), "index" | "time" | "time_unit" | "value"))
}

/// A line that was read, and its number from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) number: u64,
    /// Without its end.
    pub(crate) bytes: Vec<u8>,
}

/// Reads lines of bounded length.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: R,
    form: LineForm,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R, form: LineForm) -> Self {
        let number = 0;
        Self {
            input,
            form,
            number,
        }
    }

    /// What is read from.
    pub(crate) fn input(&self) -> &R {
        &self.input
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// The input fails, or the line is longer than any good one.
    pub(crate) fn next_line(&mut self) -> Result<Option<Line>, RowError> {
        self.number += 1;
        let number = self.number;
        let max = self.form.max_line_bytes();
        let mut bytes = Vec::new();
        let mut too_long = false;
        loop {
            let ready = match self.input.fill_buf() {
                Ok(ready) => ready,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(RowError::Read(error.into())),
            };
            let end = ready.iter().position(|&byte| byte == b'\n');
            let part = &ready[..end.unwrap_or(ready.len())];
            too_long |= bytes.len() + part.len() > max;
            if !too_long {
                bytes.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            let at_end = ready.is_empty();
            self.input.consume(used);
            if at_end && bytes.is_empty() && !too_long {
                return Ok(None);
            }
            if at_end || end.is_some() {
                break;
            }
        }
        if too_long {
            let what = format!("it is longer than {max} bytes");
            return Err(RowError::Bad(BadRow { line: number, what }));
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if number == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(Some(Line { number, bytes }))
    }
}

/// The rows of a file of lines; those that name no time are bad, because the
/// file is read more than once.
#[derive(Debug)]
pub(crate) struct LineRows<R>(Lines<R>);

impl<R: BufRead> LineRows<R> {
    pub(crate) fn new(input: R, form: LineForm) -> Self {
        Self(Lines::new(input, form))
    }
}

impl<R: BufRead> Iterator for LineRows<R> {
    type Item = Result<Row, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = match self.0.next_line() {
                Ok(line) => line?,
                Err(error) => return Some(Err(error)),
            };
            let row = match self.0.form.row(&line.bytes, None) {
                Ok(None) => continue,
                Ok(Some(row)) => Ok(row.on_line(line.number)),
                Err(what) => Err(what),
            };
            let line = line.number;
            return Some(row.map_err(|what| RowError::Bad(BadRow { line, what })));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(ndjson: bool, value_type: ValueType) -> LineForm {
        let rules = ValueRules::new(value_type, 12);
        LineForm {
            ndjson,
            rules,
            time_unit: None,
            any_year: false,
        }
    }

    fn row(form: &LineForm, line: &str) -> Result<Option<(i64, String)>, String> {
        let row = form.row(line.as_bytes(), Some(Timestamp(7)))?;
        Ok(row.map(|row| (row.time.0, String::from_utf8(row.value).unwrap())))
    }

    #[test]
    fn a_plain_line_is_a_value_of_now() {
        let number = form(false, ValueType::Number);
        assert_eq!(row(&number, " 4.0 "), Ok(Some((7, "4.0".to_owned()))));
        assert_eq!(row(&number, ""), Ok(None));
        assert!(row(&number, "calm").is_err());
        let text = form(false, ValueType::Text);
        assert_eq!(row(&text, ""), Ok(Some((7, String::new()))));
        assert_eq!(row(&text, " a "), Ok(Some((7, " a ".to_owned()))));
    }

    #[test]
    fn an_ndjson_line_has_a_value_and_perhaps_a_time() {
        let json = form(true, ValueType::Json);
        let line = r#"{"index":3,"time":"1970-01-01T00:00:00.000009Z","value":{"a": 1.50}}"#;
        assert_eq!(row(&json, line), Ok(Some((9, "{\"a\": 1.50}".to_owned()))));
        assert_eq!(
            row(&json, r#"{"value":[],"time":-5,"time_unit":"us"}"#),
            Ok(Some((-5, "[]".to_owned())))
        );
        assert_eq!(
            row(&json, r#"{"value":null}"#),
            Ok(Some((7, "null".to_owned())))
        );
        assert_eq!(row(&json, " "), Ok(None));
        for wrong in [
            "{}",
            "[1]",
            // A struct could be read by the places of its fields.
            "[3,1764400000000000,null,5]",
            "[1764400000000000,5]",
            "x",
            r#"{"value":1} 2"#,
            r#"{"value":1,"time":1.5}"#,
            r#"{"value":1,"time":"x"}"#,
            r#"{"value":1,"tiem":1}"#,
            r#"{"value":1,"time":null}"#,
            r#"{"value":1,"time":1764400000}"#,
            r#"{"value":1,"time":1,"time_unit":"h"}"#,
            r#"{"value":1,"time":"2024-05-01T12:30:60Z"}"#,
            r#"{"value":1,"value":1}"#,
        ] {
            assert!(row(&json, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_unit_of_a_time_is_said_by_the_line_or_for_all() {
        let seconds = LineForm {
            time_unit: Some(Unit::Seconds),
            ..form(true, ValueType::Number)
        };
        let at = |form: &LineForm, line: &str| row(form, line).map(|row| row.map(|(time, _)| time));
        let line = r#"{"time":1764400000.5,"value":1}"#;
        assert_eq!(at(&seconds, line), Ok(Some(1_764_400_000_500_000)));
        let line = r#"{"time":1764400000123,"time_unit":"ms","value":1}"#;
        assert_eq!(at(&seconds, line), Ok(Some(1_764_400_000_123_000)));
        assert_eq!(at(&form(true, ValueType::Number), line), at(&seconds, line));
        let unsaid = row(
            &form(true, ValueType::Number),
            r#"{"time":1764400000,"value":1}"#,
        );
        assert!(unsaid.unwrap_err().contains("looks like seconds"));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let text = "\u{feff}{\"time\":\"2024-05-01\",\"value\":1}\n\u{feff}1\n";
        let rows: Vec<_> = LineRows::new(text.as_bytes(), form(true, ValueType::Number)).collect();
        assert!(rows[0].is_ok(), "{rows:?}");
        assert!(rows[1].is_err(), "{rows:?}");
    }

    #[test]
    fn an_object_that_was_meant_as_an_observation_is_noticed() {
        assert!(looks_like_ndjson(
            br#"{"time":"2024-05-01T12:00:00Z","value":1}"#
        ));
        assert!(looks_like_ndjson(br#"{"value":1}"#));
        for other in [
            &b"1"[..],
            b"{}",
            br#"{"time":1}"#,
            br#"{"value":1,"unit":"C"}"#,
            b"[1]",
            b"\xff",
        ] {
            assert!(!looks_like_ndjson(other));
        }
    }

    #[test]
    fn lines_are_counted_and_bounded() {
        let text = format!("1\r\n\n{}\n2", "9".repeat(300_000));
        let mut lines = Lines::new(text.as_bytes(), form(false, ValueType::Number));
        let mut next = || {
            lines
                .next_line()
                .map(|line| line.map(|line| (line.number, line.bytes)))
        };
        assert_eq!(next().unwrap(), Some((1, b"1".to_vec())));
        assert_eq!(next().unwrap(), Some((2, Vec::new())));
        assert!(matches!(next(), Err(RowError::Bad(BadRow { line: 3, .. }))));
        assert_eq!(next().unwrap(), Some((4, b"2".to_vec())));
        assert_eq!(next().unwrap(), None);
    }

    #[test]
    fn in_a_file_every_row_has_a_time() {
        let text = "{\"time\":\"1970-01-01T00:00:01Z\",\"value\":1}\n\n{\"value\":2}\n{\"time\":\"1h\",\"value\":2}";
        let rows: Vec<_> = LineRows::new(text.as_bytes(), form(true, ValueType::Number)).collect();
        assert!(matches!(&rows[0], Ok(row) if row.time == Timestamp(1_000_000)));
        assert!(
            matches!(&rows[1], Err(RowError::Bad(row)) if row.to_string() == "line 3: it has no `time`")
        );
        // It is read more than once.
        assert!(
            matches!(&rows[2], Err(RowError::Bad(row)) if row.to_string().contains("so long before now"))
        );
        assert_eq!(rows.len(), 3);
    }
}
