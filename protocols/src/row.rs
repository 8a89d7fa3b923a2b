//! Rows: records of a stream with columns. The value of each is one JSON array of
//! tokens in the order of the columns, `null` where there is no value, without white
//! space between them.
//!
//! Nobody who follows a stream refuses a row that its publisher has signed. So each is
//! read again wherever it is shown, and one that is none is shown as it is.

mod scan;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use self::scan::TokenKind;
use crate::limits::MAX_ROW_TOKENS;

/// A token of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind,
    /// Its bytes, as they were given: of a text with its quotation marks.
    pub json: &'a str,
}

/// Reads rows, one after the other, without new memory for each.
#[derive(Debug, Default)]
pub struct RowReader {
    tokens: Vec<(TokenKind, Range<usize>)>,
}

impl RowReader {
    /// The row that this value is, if it is one.
    pub fn read<'r>(&'r mut self, value: &'r [u8]) -> Option<Row<'r>> {
        let json = str::from_utf8(value).ok()?;
        self.tokens.clear();
        let mut at = match value.first()? {
            b'[' => 1,
            _ => return None,
        };
        loop {
            let (kind, bytes) = scan::token(value, at)?;
            if self.tokens.len() == MAX_ROW_TOKENS {
                return None;
            }
            let end = at + bytes;
            self.tokens.push((kind, at..end));
            at = end + 1;
            match value.get(end)? {
                b',' => {}
                b']' if at == value.len() => break,
                _ => return None,
            }
        }
        let tokens = &self.tokens;
        Some(Row { json, tokens })
    }
}

/// A row, as tokens.
#[derive(Clone, Copy, Debug)]
pub struct Row<'r> {
    json: &'r str,
    tokens: &'r [(TokenKind, Range<usize>)],
}

impl<'r> Row<'r> {
    /// How many tokens it has, at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Never: an array without tokens is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The token of a column, by its place from 0 on.
    #[must_use]
    pub fn token(&self, place: usize) -> Option<Token<'r>> {
        let (kind, at) = self.tokens.get(place)?;
        let json = &self.json[at.clone()];
        Some(Token { kind: *kind, json })
    }

    /// All tokens in their order.
    pub fn tokens(&self) -> impl Iterator<Item = Token<'r>> + '_ {
        (0..self.len()).filter_map(|place| self.token(place))
    }

    /// The tokens from this place on, as one JSON array; `None` where there are none.
    #[must_use]
    pub fn rest(&self, place: usize) -> Option<String> {
        let (_, first) = self.tokens.get(place)?;
        let rest = &self.json[first.start..];
        Some(format!("[{rest}"))
    }
}
