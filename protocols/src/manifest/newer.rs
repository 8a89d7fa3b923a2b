//! What a manifest says that this version does not understand.

use std::fmt;

use crate::wire::NewerField;

/// Why the records of a log must not be read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooNew {
    /// A field that this version does not know, and must to read the log.
    Field(NewerField),
    /// A value of an enumeration that it does not know.
    Value {
        /// What the value is one of: `kind`.
        what: &'static str,
        /// The value.
        value: i32,
    },
    /// Something that it knows by name, and cannot read yet.
    NotBuilt(&'static str),
}

impl fmt::Display for TooNew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(NewerField { what, number }) => write!(f, "field {number} of {what}"),
            Self::Value { what, value } => write!(f, "{what} {value}"),
            Self::NotBuilt(what) => write!(f, "{what}"),
        }
    }
}
