//! Lines as input: one value a line, or one NDJSON object a line.

use std::io::{self, BufRead};

use headwater_protocols::manifest::ValueType;
use headwater_protocols::time::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::rows::{BadRow, Row, RowError};
use super::value::ValueRules;
use crate::export::time;

/// What a line of NDJSON has beside the value, escaped in the longest way.
const ENVELOPE_BYTES: usize = 4 * 1024;

/// Bytes that one byte of a value takes up at most, escaped (`\u00ff`).
const ESCAPED: usize = 6;

/// How lines are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineForm {
    /// `{"time":…,"value":…}` instead of the value alone.
    pub(crate) ndjson: bool,
    pub(crate) rules: ValueRules,
}

/// A line of NDJSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    /// Exports have it; a new place is given to each record.
    #[serde(rename = "index")]
    _index: Option<IgnoredAny>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    value: &'a RawValue,
}

impl LineForm {
    /// The row of a line without its end; `None` for an empty line that means
    /// nothing. A row that names no time has that of `now`.
    ///
    /// # Errors
    /// The row is bad; says why.
    pub(crate) fn row(&self, line: &[u8], now: Timestamp) -> Result<Option<Row>, String> {
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
        let value = self.rules.of_text(text)?;
        Ok(Some(Row { time: now, value }))
    }

    fn object(&self, text: &str, now: Timestamp) -> Result<Row, String> {
        let object: Object<'_> = serde_json::from_str(text)
            .map_err(|error| format!("it is not an object with a `value` ({error})"))?;
        let time = match object.time {
            None => now,
            Some(json) => time_of(json)?,
        };
        let value = self.rules.of_json(object.value)?;
        Ok(Row { time, value })
    }

    /// Bytes of the longest line that can be a good row.
    fn max_line_bytes(&self) -> usize {
        self.rules.max_bytes() * ESCAPED + ENVELOPE_BYTES
    }
}

/// A time in JSON: RFC 3339, or microseconds since the Unix epoch.
fn time_of(json: &RawValue) -> Result<Timestamp, String> {
    let token = json.get();
    if !token.starts_with('"') {
        return token.parse().map(Timestamp).map_err(|_| {
            format!("time {token} is neither RFC 3339 in quotes nor whole microseconds")
        });
    }
    let text: String = serde_json::from_str(token).map_err(|error| format!("time {error}"))?;
    time::parse_rfc3339(&text).map_err(|error| format!("time {error}"))
}

/// Whether a line that is taken for a value alone was more likely meant as an
/// observation: an object with `value`, and nothing else but a time and an
/// index.
pub(crate) fn looks_like_ndjson(line: &[u8]) -> bool {
    let Ok(object) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line)
    else {
        return false;
    };
    object.contains_key("value")
        && object
            .keys()
            .all(|key| matches!(key.as_str(), "index" | "time" | "value"))
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
        // No record of the years that are in use can have this time.
        const NO_TIME: Timestamp = Timestamp(i64::MIN);
        loop {
            let line = match self.0.next_line() {
                Ok(line) => line?,
                Err(error) => return Some(Err(error)),
            };
            let row = match self.0.form.row(&line.bytes, NO_TIME) {
                Ok(None) => continue,
                Ok(Some(row)) if row.time != NO_TIME => return Some(Ok(row)),
                Ok(Some(_)) => Err("it has no `time`".to_owned()),
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
        LineForm { ndjson, rules }
    }

    fn row(form: LineForm, line: &str) -> Result<Option<(i64, String)>, String> {
        let row = form.row(line.as_bytes(), Timestamp(7))?;
        Ok(row.map(|row| (row.time.0, String::from_utf8(row.value).unwrap())))
    }

    #[test]
    fn a_plain_line_is_a_value_of_now() {
        let number = form(false, ValueType::Number);
        assert_eq!(row(number, " 4.0 "), Ok(Some((7, "4.0".to_owned()))));
        assert_eq!(row(number, ""), Ok(None));
        assert!(row(number, "calm").is_err());
        let text = form(false, ValueType::Text);
        assert_eq!(row(text, ""), Ok(Some((7, String::new()))));
        assert_eq!(row(text, " a "), Ok(Some((7, " a ".to_owned()))));
    }

    #[test]
    fn an_ndjson_line_has_a_value_and_perhaps_a_time() {
        let json = form(true, ValueType::Json);
        let line = r#"{"index":3,"time":"1970-01-01T00:00:00.000009Z","value":{"a": 1.50}}"#;
        assert_eq!(row(json, line), Ok(Some((9, "{\"a\": 1.50}".to_owned()))));
        assert_eq!(
            row(json, r#"{"value":[],"time":-5}"#),
            Ok(Some((-5, "[]".to_owned())))
        );
        assert_eq!(
            row(json, r#"{"value":null}"#),
            Ok(Some((7, "null".to_owned())))
        );
        assert_eq!(row(json, " "), Ok(None));
        for wrong in [
            "{}",
            "[1]",
            "x",
            r#"{"value":1} 2"#,
            r#"{"value":1,"time":1.5}"#,
            r#"{"value":1,"time":"x"}"#,
            r#"{"value":1,"tiem":1}"#,
            r#"{"value":1,"time":"2024-05-01T12:00:00"}"#,
        ] {
            assert!(row(json, wrong).is_err(), "{wrong}");
        }
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
        let text = "{\"time\":1,\"value\":1}\n\n{\"value\":2}\n";
        let rows: Vec<_> = LineRows::new(text.as_bytes(), form(true, ValueType::Number)).collect();
        assert!(matches!(&rows[0], Ok(row) if row.time == Timestamp(1)));
        assert!(
            matches!(&rows[1], Err(RowError::Bad(row)) if row.to_string() == "line 3: it has no `time`")
        );
        assert_eq!(rows.len(), 2);
    }
}
