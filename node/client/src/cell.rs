//! What the tokens of a row are, by the types of their columns.
//!
//! A cell is what a typed column has; the token is what was signed. Where a cell does
//! not give its token back byte by byte (`1.50`, 2^53 + 1 as a number, `"\u0041"`),
//! whoever writes columns puts the whole row beside them.

use std::borrow::Cow;
use std::io::Write;

use headwater_protocols::manifest::ColumnType;
use headwater_protocols::row::{Row, Token, TokenKind};
use headwater_protocols::time::Timestamp;

use crate::base64;
use crate::json_value;
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
        (ColumnType::Json, True | False | Number | Text | Nested) => {
            // What readers of JSON read as the same.
            json_value::check_token(json).ok()?;
            Cell::Json(json)
        }
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
        (ColumnType::Bytes, Text) => Cell::Bytes(base64::decode(text(json)?.as_bytes()).ok()?),
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

/// What stands behind the cells of a row, if that is a cell as well.
#[must_use]
pub fn rest(row: &Row<'_>, columns: usize) -> Option<String> {
    let rest = row.rest(columns)?;
    json_value::check_token(&rest).is_ok().then_some(rest)
}

/// Writes cells as the tokens that they have unless others were given.
#[derive(Clone, Debug, Default)]
pub struct TokenWriter {
    times: TimeFormat,
    /// Reused for each token that is compared.
    written: Vec<u8>,
}

impl TokenWriter {
    /// Whether a cell is written as the token that it was read from.
    pub fn gives_back(&mut self, cell: &Cell<'_>, token: Token<'_>) -> bool {
        match cell {
            Cell::Missing | Cell::Bool(_) | Cell::Json(_) => true,
            // Without escapes there is one way to write it.
            Cell::Text(Cow::Borrowed(_)) => true,
            Cell::Number(_) | Cell::Integer(_) | Cell::Text(_) | Cell::Time(_) | Cell::Bytes(_) => {
                let mut written = std::mem::take(&mut self.written);
                written.clear();
                self.put(&mut written, cell);
                let is_same = written == token.json.as_bytes();
                self.written = written;
                is_same
            }
        }
    }

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
mod tests;
