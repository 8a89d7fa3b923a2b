//! The kinds of logs, and the rules of each: what a record of it may be. A new kind is one number here and one file beside
//! `observations`; nothing else asks what kind a log is.

mod observations;
mod value_type;

use crate::record::Record;
use crate::time::Timestamp;
use crate::wire::v1;

pub use self::value_type::ValueType;

/// What the records of a log are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Values at times.
    #[default]
    Observations,
    /// Versions of one document.
    Page,
    /// Who may read another log.
    Readers,
    /// Heads of other logs.
    Heads,
    /// What a storer promises to keep.
    Bin,
    /// What a storer keeps no longer.
    Evicted,
}

impl Kind {
    /// All that have a number.
    pub const ALL: [Self; 6] = [
        Self::Observations,
        Self::Page,
        Self::Readers,
        Self::Heads,
        Self::Bin,
        Self::Evicted,
    ];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Observations => "observations",
            Self::Page => "page",
            Self::Readers => "readers",
            Self::Heads => "heads",
            Self::Bin => "bin",
            Self::Evicted => "evicted",
        }
    }

    /// As it travels.
    #[must_use]
    pub fn to_wire(self) -> v1::Kind {
        match self {
            Self::Observations => v1::Kind::Observations,
            Self::Page => v1::Kind::Page,
            Self::Readers => v1::Kind::Readers,
            Self::Heads => v1::Kind::Heads,
            Self::Bin => v1::Kind::Bin,
            Self::Evicted => v1::Kind::Evicted,
        }
    }

    /// The kind with a number; `None` when only a later version knows it.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        let known = v1::Kind::try_from(number).ok()?;
        Self::ALL.into_iter().find(|kind| kind.to_wire() == known)
    }

    /// The rules of its logs; `None` where this version has none, so that it
    /// neither writes nor reads them.
    #[must_use]
    pub fn rules(self) -> Option<&'static dyn Rules> {
        match self {
            Self::Observations => Some(&observations::Observations),
            Self::Page | Self::Readers | Self::Heads | Self::Bin | Self::Evicted => None,
        }
    }
}

/// What the manifest of a log says of its records.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What the values are.
    pub value_type: ValueType,
    /// Largest value, in bytes.
    pub max_value_bytes: usize,
    /// Whether no time may be before the one of the record in front.
    pub ordered: bool,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its value, in words that follow "the value".
    Value(String),
    /// Its time is before this one, of the record in front of it.
    Before(Timestamp),
}

/// The rules of a kind of log, for the node that owns one. Followers take what
/// is signed: what they refused would end the log for them.
pub trait Rules: Sync {
    /// Checks a record that is to stand behind one of the time `last`.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, terms: Terms, record: &Record, last: Option<Timestamp>) -> Result<(), Unfit>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_number_of_its_own_and_comes_back_from_it() {
        for (number, kind) in (0..).zip(Kind::ALL) {
            assert_eq!(kind.to_wire() as i32, number);
            assert_eq!(Kind::from_number(number), Some(kind));
        }
        for unknown in [-1, 6, i32::MAX] {
            assert_eq!(Kind::from_number(unknown), None);
        }
    }
}
