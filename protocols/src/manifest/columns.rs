//! The columns of streams whose records are rows.

use unicode_normalization::is_nfc;

use crate::limits::{
    MAX_COLUMN_DESCRIPTION_BYTES, MAX_COLUMN_NAME_BYTES, MAX_COLUMN_UNIT_BYTES, MAX_COLUMNS,
};
use crate::wire::v1;

use super::is_invisible;

/// Names of columns that every table of records has.
const TAKEN: [&str; 5] = ["index", "time", "time_unit", "token", "rest"];

/// What stands between names where columns are named: in `--columns`, `?columns=` and
/// behind the name of a stream.
const SIGNS: [char; 3] = [',', ':', '.'];

/// What the tokens of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// A number as JSON has it.
    Number,
    /// A number without a fraction.
    Integer,
    /// Text.
    Text,
    /// `true` or `false`.
    Bool,
    /// A point in time.
    Time,
    /// Any JSON.
    Json,
    /// Bytes, in base64.
    Bytes,
}

impl ColumnType {
    const WIRE: [(Self, v1::ColumnType); 7] = [
        (Self::Number, v1::ColumnType::Number),
        (Self::Integer, v1::ColumnType::Integer),
        (Self::Text, v1::ColumnType::Text),
        (Self::Bool, v1::ColumnType::Bool),
        (Self::Time, v1::ColumnType::Time),
        (Self::Json, v1::ColumnType::Json),
        (Self::Bytes, v1::ColumnType::Bytes),
    ];

    /// All of them.
    #[must_use]
    pub fn all() -> [Self; 7] {
        Self::WIRE.map(|(known, _)| known)
    }

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Text => "text",
            Self::Bool => "bool",
            Self::Time => "time",
            Self::Json => "json",
            Self::Bytes => "bytes",
        }
    }

    fn to_wire(self) -> v1::ColumnType {
        let found = Self::WIRE.into_iter().find(|&(known, _)| known == self);
        found.map_or(v1::ColumnType::Unspecified, |(_, wire)| wire)
    }

    fn from_wire(wire: v1::ColumnType) -> Option<Self> {
        let found = Self::WIRE.into_iter().find(|&(_, known)| known == wire);
        found.map(|(known, _)| known)
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, which no other column has.
    pub name: String,
    /// The unit of its numbers.
    pub unit: String,
    /// What its tokens are.
    pub column_type: ColumnType,
    /// What a reader should know.
    pub description: String,
}

impl Column {
    pub(super) fn to_wire(&self) -> v1::Column {
        v1::Column {
            name: self.name.clone(),
            unit: self.unit.clone(),
            r#type: self.column_type.to_wire().into(),
            description: self.description.clone(),
        }
    }

    /// `None` when its type is not said.
    pub(super) fn from_wire(wire: v1::Column) -> Option<Self> {
        Some(Self {
            column_type: ColumnType::from_wire(wire.r#type())?,
            name: wire.name,
            unit: wire.unit,
            description: wire.description,
        })
    }
}

/// What every reader of columns must be able to rely on. Letters are compared
/// as ASCII has them, since what Unicode's are changes with its versions.
pub(super) fn check(columns: &[Column]) -> Result<(), String> {
    if columns.len() > MAX_COLUMNS {
        let count = columns.len();
        return Err(format!("{count} are more than the {MAX_COLUMNS} allowed"));
    }
    for (place, column) in columns.iter().enumerate() {
        for (what, text, max) in [
            ("name", &column.name, MAX_COLUMN_NAME_BYTES),
            ("unit", &column.unit, MAX_COLUMN_UNIT_BYTES),
            (
                "description",
                &column.description,
                MAX_COLUMN_DESCRIPTION_BYTES,
            ),
        ] {
            if text.len() > max {
                let bytes = text.len();
                return Err(format!(
                    "the {what} of column {} has {bytes} bytes, more than the {max} allowed",
                    place + 1
                ));
            }
        }
        let name = &column.name;
        if name.is_empty() {
            return Err(format!("column {} has no name", place + 1));
        }
        if TAKEN.iter().any(|taken| name.eq_ignore_ascii_case(taken)) {
            return Err(format!(
                "every table has a column `{name}` already; take another name"
            ));
        }
        let is_same = |other: &Column| name.eq_ignore_ascii_case(&other.name);
        if columns[..place].iter().any(is_same) {
            return Err(format!(
                "two of them have the name `{}`",
                name.escape_debug()
            ));
        }
    }
    Ok(())
}

/// What is asked of new ones beside that.
pub(super) fn check_new(columns: &[Column]) -> Result<(), String> {
    for (place, column) in columns.iter().enumerate() {
        let name = &column.name;
        if name.trim() != name || name.chars().any(is_invisible) {
            let shown = name.escape_debug();
            return Err(format!(
                "the name `{shown}` begins or ends with a blank, or has a character that cannot be seen"
            ));
        }
        if let Some(sign) = name.chars().find(|&c| SIGNS.contains(&c)) {
            return Err(format!(
                "the name `{name}` has a `{sign}`, which stands between names; take another sign, such as `_`"
            ));
        }
        if !is_nfc(name) {
            return Err(format!(
                "the name `{name}` has a letter and its accent as two characters, or a sign that looks like a \
                 letter; write it with letters, each as one (NFC)"
            ));
        }
        let folded = folded(name);
        if TAKEN.contains(&&*folded) {
            return Err(format!(
                "every table has a column as `{name}` already; take another name"
            ));
        }
        let is_same = |other: &Column| self::folded(&other.name) == folded;
        if columns[..place].iter().any(is_same) {
            return Err(format!(
                "two of them have the name `{name}`, written otherwise"
            ));
        }
    }
    if let [column] = columns
        && folded(&column.name) == "value"
    {
        return Err(
            "one column called `value` is what a stream without columns has; leave them off, or take another name"
                .to_owned(),
        );
    }
    Ok(())
}

/// A name, as it is whatever the case of its letters: `ß` is `ss`, and the sign for
/// kelvin a `k`.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}
