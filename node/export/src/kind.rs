//! What the columns of tables by time have: whole values of streams, or single cells of
//! their rows. Either comes as it was published.

use headwater_client::cell::{Cell, cell};
use headwater_protocols::manifest::{ColumnType, ValueType};
use headwater_protocols::row::{Token, TokenKind};

/// What a column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The values of a stream.
    Value(ValueType),
    /// The tokens of a column of its rows, of this type.
    Cell(ColumnType),
}

impl Kind {
    /// Whether it has numbers as doubles, which not every number is.
    pub(super) fn is_rounded(self) -> bool {
        match self {
            Self::Value(ValueType::Number) | Self::Cell(ColumnType::Number) => true,
            Self::Value(ValueType::Text | ValueType::Json | ValueType::Bytes)
            | Self::Cell(
                ColumnType::Integer
                | ColumnType::Text
                | ColumnType::Bool
                | ColumnType::Time
                | ColumnType::Json
                | ColumnType::Bytes,
            ) => false,
        }
    }
}

/// The cell that a token of a row is; missing where it is none of this type.
pub(super) fn cell_of(token: &[u8], column_type: ColumnType) -> Cell<'_> {
    let kind = match token.first() {
        Some(b'"') => TokenKind::Text,
        Some(b'[' | b'{') => TokenKind::Nested,
        Some(b't') => TokenKind::True,
        Some(b'f') => TokenKind::False,
        Some(b'n') | None => TokenKind::Null,
        Some(_) => TokenKind::Number,
    };
    let json = str::from_utf8(token).unwrap_or("null");
    let found = cell(Token { kind, json }, column_type);
    found.unwrap_or(Cell::Missing)
}
