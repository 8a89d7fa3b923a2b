//! What the tokens of a row are, by the types of their columns.
//!
//! A cell is what a typed column has; the token is what was signed. Where a cell does
//! not give its token back byte by byte (`1.50`, 2^53 + 1 as a number, `"\u0041"`),
//! whoever writes columns puts the whole row beside them.

use std::borrow::Cow;
use std::io::Write;

use data_encoding::BASE64;
use headwater_protocols::manifest::ColumnType;
use headwater_protocols::row::{Token, TokenKind};
use headwater_protocols::time::Timestamp;

use crate::times::parse_rfc3339;
use crate::times::text::{TimeFormat, TimeText};

/// What a column has in one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Nothing.
    Missing,
    /// A number: a finite one.
    Number(f64),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(Cow<'a, str>),
    /// Yes or no.
    Bool(bool),
    /// A point in time.
    Time(Timestamp),
    /// Any JSON, as it was given.
    Json(&'a str),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// The cell that a token is in a column of this type; `None` where it is none of
/// that type.
#[must_use]
pub fn cell(token: Token<'_>, column_type: ColumnType) -> Option<Cell<'_>> {
    use TokenKind::{False, Nested, Null, Number, Text, True};
    let json = token.json;
    Some(match (column_type, token.kind) {
        (_, Null) => Cell::Missing,
        (ColumnType::Json, True | False | Number | Text | Nested) => Cell::Json(json),
        (ColumnType::Number, Number) => {
            let number: f64 = json.parse().ok()?;
            Cell::Number(Some(number).filter(|number| number.is_finite())?)
        }
        (ColumnType::Integer, Number) => Cell::Integer(json.parse().ok()?),
        (ColumnType::Text, Text) => Cell::Text(text(json)?),
        (ColumnType::Bool, True | False) => Cell::Bool(token.kind == True),
        (ColumnType::Time, Text) => Cell::Time(moment(&text(json)?)?),
        // What RFC 3339 cannot say.
        (ColumnType::Time, Number) => Cell::Time(Timestamp(json.parse().ok()?)),
        (ColumnType::Bytes, Text) => Cell::Bytes(BASE64.decode(text(json)?.as_bytes()).ok()?),
        (ColumnType::Number | ColumnType::Integer, True | False | Text | Nested)
        | (ColumnType::Text | ColumnType::Bytes, True | False | Number | Nested)
        | (ColumnType::Bool, Number | Text | Nested)
        | (ColumnType::Time, True | False | Nested) => return None,
    })
}

/// The text that a token of JSON says.
fn text(json: &str) -> Option<Cow<'_, str>> {
    let plain = json.strip_prefix('"')?.strip_suffix('"')?;
    if !plain.contains('\\') {
        return Some(Cow::Borrowed(plain));
    }
    serde_json::from_str(json).ok().map(Cow::Owned)
}

/// The time that a text says in the one form that all readers know: what people write
/// is read more generously, before it is signed.
fn moment(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let are_fixed = b"0000-00-00T00:00:00"
        .iter()
        .enumerate()
        .all(|(at, &known)| match known {
            b'0' => is_digit(at),
            _ => bytes.get(at) == Some(&known),
        });
    if !are_fixed || text[17..19] > *"59" {
        return None;
    }
    let decimals = match bytes.get(19)? {
        b'.' => (20..).take_while(|&at| is_digit(at)).count(),
        _ => 0,
    };
    let offset = &text[19 + if decimals > 0 { 1 + decimals } else { 0 }..];
    let is_offset = offset == "Z"
        || (offset.len() == 6 && offset.starts_with(['+', '-']) && offset.as_bytes()[3] == b':');
    (is_offset && decimals <= 6).then(|| parse_rfc3339(text).ok())?
}

/// Writes cells as the tokens that they have unless others were given.
#[derive(Clone, Debug, Default)]
pub struct TokenWriter {
    times: TimeFormat,
}

impl TokenWriter {
    /// Appends the token of a cell.
    pub fn put(&mut self, out: &mut Vec<u8>, cell: &Cell<'_>) {
        // Memory takes whatever is written.
        let _ = match cell {
            Cell::Missing => out.write_all(b"null"),
            Cell::Number(number) => write!(out, "{number}"),
            Cell::Integer(number) => write!(out, "{number}"),
            Cell::Text(text) => serde_json::to_writer(&mut *out, text).map_err(Into::into),
            Cell::Bool(is_so) => write!(out, "{is_so}"),
            Cell::Time(time) => match self.times.text(*time) {
                TimeText::Rfc3339(text) => write!(out, "\"{text}\""),
                TimeText::Micros(micros) => write!(out, "{micros}"),
            },
            Cell::Json(json) => out.write_all(json.as_bytes()),
            Cell::Bytes(bytes) => {
                write!(out, "\"{}\"", data_encoding::BASE64.encode_display(bytes))
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocols::row::RowReader;

    use super::*;

    /// The cell of a token, and the token that it has.
    fn read(column_type: ColumnType, json: &str) -> Option<(Cell<'static>, String)> {
        let mut reader = RowReader::default();
        let value = format!("[{json}]");
        let row = reader.read(value.as_bytes()).expect("it is a row");
        let cell = cell(row.token(0).unwrap(), column_type)?;
        let mut out = Vec::new();
        TokenWriter::default().put(&mut out, &cell);
        let cell = match cell {
            Cell::Text(text) => Cell::Text(text.into_owned().into()),
            Cell::Json(_) => Cell::Missing,
            Cell::Missing => Cell::Missing,
            Cell::Number(number) => Cell::Number(number),
            Cell::Integer(number) => Cell::Integer(number),
            Cell::Bool(is_so) => Cell::Bool(is_so),
            Cell::Time(time) => Cell::Time(time),
            Cell::Bytes(bytes) => Cell::Bytes(bytes),
        };
        Some((cell, String::from_utf8(out).unwrap()))
    }

    #[test]
    fn a_token_is_the_cell_of_its_column_and_the_other_way_round() {
        for (column_type, token, cell) in [
            (ColumnType::Number, "12.5", Cell::Number(12.5)),
            (ColumnType::Number, "-0", Cell::Number(-0.0)),
            (
                ColumnType::Integer,
                "-9223372036854775808",
                Cell::Integer(i64::MIN),
            ),
            (
                ColumnType::Integer,
                "9007199254740993",
                Cell::Integer(9_007_199_254_740_993),
            ),
            (
                ColumnType::Text,
                r#""Süd \"7\"\n\u001f""#,
                Cell::Text("Süd \"7\"\n\u{1f}".into()),
            ),
            (ColumnType::Bool, "true", Cell::Bool(true)),
            (ColumnType::Bool, "false", Cell::Bool(false)),
            (
                ColumnType::Time,
                r#""2026-11-30T12:00:00.000000Z""#,
                Cell::Time(Timestamp(1_796_040_000_000_000)),
            ),
            (
                ColumnType::Time,
                "9223372036854775807",
                Cell::Time(Timestamp(i64::MAX)),
            ),
            (ColumnType::Bytes, r#""AP8=""#, Cell::Bytes(vec![0, 255])),
        ] {
            assert_eq!(read(column_type, token), Some((cell, token.to_owned())));
            assert_eq!(
                read(column_type, "null"),
                Some((Cell::Missing, "null".to_owned()))
            );
        }
        for json in ["1.50", r#""\u0041""#, "[1, 2]", r#"{"a":null}"#, "true"] {
            let (_, token) = read(ColumnType::Json, json).unwrap();
            assert_eq!(token, json);
        }
    }

    #[derive(serde::Deserialize)]
    struct Vectors {
        rows: Vec<Vector>,
    }

    #[derive(serde::Deserialize)]
    struct Vector {
        value: String,
        shown: String,
        columns: Vec<String>,
        row: bool,
        #[serde(default)]
        cells: Vec<Option<String>>,
        rest: Option<String>,
        gives_back: Option<bool>,
    }

    /// What docs/vectors/rows.json says of a value, as it is read here.
    fn again(vector: &Vector) -> (bool, Vec<Option<String>>, Option<String>, Option<bool>) {
        let value = data_encoding::HEXLOWER
            .decode(vector.value.as_bytes())
            .unwrap();
        let mut reader = RowReader::default();
        let Some(row) = reader.read(&value) else {
            return (false, Vec::new(), None, None);
        };
        let mut written = b"[".to_vec();
        let mut cells = Vec::new();
        for (place, word) in vector.columns.iter().enumerate() {
            let is_it = |known: &ColumnType| known.word() == word;
            let column_type = ColumnType::all().into_iter().find(is_it).unwrap();
            let found = row.token(place).and_then(|token| cell(token, column_type));
            cells.push(found.map(|cell| {
                let mut out = Vec::new();
                TokenWriter::default().put(&mut out, &cell);
                String::from_utf8(out).unwrap()
            }));
            let token = cells.last().unwrap().as_deref().unwrap_or_default();
            written.extend_from_slice(token.as_bytes());
            written.push(b',');
        }
        let rest = row.rest(vector.columns.len());
        match &rest {
            Some(rest) => written.extend_from_slice(&rest.as_bytes()[1..]),
            None => {
                written.pop();
                written.push(b']');
            }
        }
        let gives_back = written == value && cells.iter().all(Option::is_some);
        (true, cells, rest, Some(gives_back))
    }

    #[test]
    fn rows_are_read_as_the_document_says_and_others_read_them() {
        let vectors = include_str!("../../../docs/vectors/rows.json");
        let vectors: Vectors = serde_json::from_str(vectors).unwrap();
        assert!(vectors.rows.len() > 100);
        for vector in &vectors.rows {
            let known = (
                vector.row,
                vector.cells.clone(),
                vector.rest.clone(),
                vector.gives_back,
            );
            assert_eq!(again(vector), known, "{}", vector.shown);
        }
    }

    #[test]
    fn some_tokens_are_not_given_back() {
        for (column_type, token, other) in [
            (ColumnType::Number, "1.50", "1.5"),
            (ColumnType::Number, "9007199254740993", "9007199254740992"),
            (ColumnType::Number, "1e3", "1000"),
            (ColumnType::Integer, "-0", "0"),
            (ColumnType::Text, r#""\u0041""#, r#""A""#),
            (ColumnType::Text, r#""a\/b""#, r#""a/b""#),
            (
                ColumnType::Time,
                r#""2026-11-30T13:00:00+01:00""#,
                r#""2026-11-30T12:00:00.000000Z""#,
            ),
        ] {
            assert_eq!(read(column_type, token).unwrap().1, other);
        }
    }

    #[test]
    fn what_is_of_another_type_is_no_cell() {
        for (column_type, token) in [
            (ColumnType::Number, "\"1\""),
            (ColumnType::Number, "1e400"),
            (ColumnType::Integer, "1.0"),
            (ColumnType::Integer, "1e3"),
            (ColumnType::Integer, "9223372036854775808"),
            (ColumnType::Text, "1"),
            (ColumnType::Bool, "1"),
            (ColumnType::Bool, "\"true\""),
            (ColumnType::Time, "\"yesterday\""),
            (ColumnType::Time, "\"2026-11-30\""),
            (ColumnType::Time, "1.5"),
            (ColumnType::Bytes, "\"AP8\""),
            (ColumnType::Bytes, "\"!\""),
        ] {
            assert_eq!(read(column_type, token), None, "{token}");
        }
    }
}
