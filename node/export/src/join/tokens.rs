//! The numbers of a row of a joined table that are others as doubles.

use serde_json::{Map, Value};

use super::Column;
use crate::value::text;

/// Collects, for each row, what was published instead of the doubles that are
/// other numbers: a JSON object of texts by the names of their columns. One
/// column for all of them, because it is nearly always empty.
pub(super) struct RowTokens {
    names: Vec<String>,
    row: Map<String, Value>,
}

impl RowTokens {
    /// Nothing where no column has numbers.
    pub(super) fn of(columns: &[Column]) -> Option<Self> {
        let has_numbers = columns.iter().any(|column| column.kind.is_rounded());
        has_numbers.then(|| Self {
            names: columns.iter().map(|column| column.name.clone()).collect(),
            row: Map::new(),
        })
    }

    /// The value of this column is another number.
    pub(super) fn put(&mut self, place: usize, value: &[u8]) {
        if let Some(name) = self.names.get(place) {
            self.row.insert(name.clone(), text(value).into());
        }
    }

    /// The text of the row, and on to the next one.
    pub(super) fn take(&mut self) -> Option<String> {
        if self.row.is_empty() {
            return None;
        }
        let row = std::mem::take(&mut self.row);
        Some(Value::Object(row).to_string())
    }
}
