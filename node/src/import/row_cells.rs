//! Rows of files whose cells have types, such as Parquet.

use headwater_client::cell::Cell;
use headwater_protocols::manifest::ColumnType;

use super::limits::MAX_ROW_BYTES;
use super::row::{Fields, Growing, RowColumn, RowRules};
use crate::wording::printable;

/// What a file has in one row of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Field<'a> {
    /// Nothing.
    Missing,
    Bool(bool),
    Integer(i64),
    /// A whole number that may be beyond any signed one.
    Unsigned(u64),
    Number(f64),
    Text(&'a str),
    Json(&'a str),
    Bytes(&'a [u8]),
    /// A time as text: without an offset where the file knows no zone.
    Time(String),
}

impl Field<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Missing
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Unsigned(_)
            | Self::Number(_)
            | Self::Time(_) => 0,
        }
    }
}

impl RowRules {
    /// The row of the cells of a file, in the order of the columns.
    ///
    /// # Errors
    /// One is not what its column has; says which and why.
    pub(super) fn of_cells<'a>(
        &self,
        cells: impl Iterator<Item = Result<Field<'a>, String>>,
        written: &Fields<'_>,
    ) -> Result<Vec<u8>, String> {
        let (mut growing, mut bytes) = (Growing::of(self.columns().len()), 0);
        for (column, field) in self.columns().iter().zip(cells) {
            let in_column = |why: String| format!("column `{}`: {why}", printable(&column.name));
            let field = field.map_err(in_column)?;
            bytes += field.bytes();
            if bytes > MAX_ROW_BYTES {
                return Err(format!(
                    "it has more than {MAX_ROW_BYTES} bytes, which is more than any stream takes"
                ));
            }
            growing.cell(column, &field, written)?;
        }
        self.finish(growing, &[])
    }
}

/// Whole numbers that a double has without a gap.
const WHOLE: f64 = 9_007_199_254_740_992.0;

impl Growing {
    fn cell(
        &mut self,
        column: &RowColumn,
        field: &Field<'_>,
        written: &Fields<'_>,
    ) -> Result<(), String> {
        let text = |growing: &mut Self, text: &str| growing.field(column, text, written);
        let column_type = column.column_type;
        let cell = match (column_type, field) {
            (_, Field::Missing) => Cell::Missing,
            (ColumnType::Text, Field::Text(text)) => Cell::Text((*text).into()),
            (ColumnType::Text, Field::Bytes(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => Cell::Text(text.into()),
                Err(_) => return Err(format!("column `{}` is not UTF-8", printable(&column.name))),
            },
            (ColumnType::Bytes, Field::Bytes(bytes)) => Cell::Bytes(bytes.to_vec()),
            (ColumnType::Bool | ColumnType::Json, &Field::Bool(is)) => Cell::Bool(is),
            (ColumnType::Integer | ColumnType::Number | ColumnType::Json, &Field::Integer(n)) => {
                Cell::Integer(n)
            }
            // What no number is stands in files where there is none.
            (_, Field::Number(number)) if number.is_nan() => Cell::Missing,
            (ColumnType::Number | ColumnType::Json, &Field::Number(number))
                if number.is_finite() =>
            {
                Cell::Number(number)
            }
            // So whole numbers are written where some of a column are missing.
            (ColumnType::Integer, &Field::Number(number))
                if number.fract() == 0.0 && number.abs() <= WHOLE =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
                let whole = number as i64;
                Cell::Integer(whole)
            }
            (_, Field::Unsigned(number)) => return text(self, &number.to_string()),
            (_, Field::Integer(number)) => return text(self, &number.to_string()),
            (_, Field::Number(number)) => return text(self, &number.to_string()),
            (_, Field::Text(given) | Field::Json(given)) => return text(self, given),
            (_, Field::Time(given)) => return text(self, given),
            (_, Field::Bool(is)) => return text(self, &is.to_string()),
            (_, Field::Bytes(_)) => {
                return Err(format!(
                    "column `{}` has bytes, and that of the stream is {}",
                    printable(&column.name),
                    column_type.word()
                ));
            }
        };
        self.begin();
        self.put(&cell);
        Ok(())
    }
}
