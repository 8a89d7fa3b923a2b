//! What becomes of the values of a span of time.

use std::str::FromStr;

use bytes::Bytes;
use headwater_protocols::manifest::{ColumnType, ValueType};

use super::exact_sum::ExactSum;
use super::kind::Kind;

/// One value for those of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// The mean of numbers, the double that is nearest to it.
    Mean,
    /// The smallest number, as it was published.
    Min,
    /// The greatest one.
    Max,
    /// The earliest, of those of one time the one with the lowest index.
    First,
    /// The latest, of those of one time the one with the highest index.
    Last,
    /// How many there are.
    Count,
}

/// A word that is none of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not known; use mean, min, max, first, last or count")]
pub struct UnknownAggregate(String);

impl FromStr for Aggregate {
    type Err = UnknownAggregate;

    fn from_str(text: &str) -> Result<Self, UnknownAggregate> {
        match text {
            "mean" => Ok(Self::Mean),
            "min" => Ok(Self::Min),
            "max" => Ok(Self::Max),
            "first" => Ok(Self::First),
            "last" => Ok(Self::Last),
            "count" => Ok(Self::Count),
            other => Err(UnknownAggregate(other.chars().take(32).collect())),
        }
    }
}

impl Aggregate {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::First => "first",
            Self::Last => "last",
            Self::Count => "count",
        }
    }

    /// What is done unless it is said: the mean of numbers, the last of what has none.
    pub(super) fn usual(kind: Kind) -> Self {
        if is_number(kind) {
            Self::Mean
        } else {
            Self::Last
        }
    }

    /// What a column of this kind is made of; nothing where values have no such thing.
    pub(super) fn of(self, kind: Kind) -> Option<Kind> {
        match self {
            Self::Mean => is_number(kind).then_some(Kind::Cell(ColumnType::Number)),
            Self::Min | Self::Max => is_number(kind).then_some(kind),
            Self::First | Self::Last => Some(kind),
            Self::Count => Some(Kind::Cell(ColumnType::Integer)),
        }
    }
}

fn is_number(kind: Kind) -> bool {
    match kind {
        Kind::Value(ValueType::Number) | Kind::Cell(ColumnType::Number | ColumnType::Integer) => {
            true
        }
        Kind::Value(ValueType::Text | ValueType::Json | ValueType::Bytes)
        | Kind::Cell(
            ColumnType::Text
            | ColumnType::Bool
            | ColumnType::Time
            | ColumnType::Json
            | ColumnType::Bytes,
        ) => false,
    }
}

/// A number of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// Of one of numbers: a finite one.
    Double(f64),
    /// Of one of integers.
    Whole(i64),
}

impl Number {
    /// Of two numbers of one column.
    fn is_less_than(self, other: Self) -> bool {
        match (self, other) {
            (Self::Double(a), Self::Double(b)) => a < b,
            (Self::Whole(a), Self::Whole(b)) => a < b,
            (Self::Double(_) | Self::Whole(_), _) => false,
        }
    }
}

/// Takes the values of a span, one after the other.
#[derive(Debug)]
pub(super) struct Collected {
    how: Aggregate,
    count: u64,
    sum: Box<ExactSum>,
    /// The number that is kept, of those that are compared.
    number: Option<Number>,
    /// The value that is kept, as it was published.
    kept: Vec<u8>,
}

impl Collected {
    pub(super) fn new(how: Aggregate) -> Self {
        Self {
            how,
            count: 0,
            sum: Box::default(),
            number: None,
            kept: Vec::new(),
        }
    }

    /// Takes a value; with the number that it is, if it is one.
    pub(super) fn take(&mut self, value: &[u8], number: Option<Number>) {
        let is_first = self.count == 0;
        self.count += 1;
        let is_kept = match (self.how, number, self.number) {
            (Aggregate::Mean, Some(Number::Double(number)), _) => {
                self.sum.add(number);
                return;
            }
            (Aggregate::Mean, Some(Number::Whole(number)), _) => {
                self.sum.add_integer(number);
                return;
            }
            (Aggregate::Min, Some(number), Some(known)) => number.is_less_than(known),
            (Aggregate::Max, Some(number), Some(known)) => known.is_less_than(number),
            (Aggregate::Last, _, _) => true,
            (Aggregate::First | Aggregate::Min | Aggregate::Max, _, _) => is_first,
            (Aggregate::Mean, None, _) | (Aggregate::Count, _, _) => false,
        };
        if is_kept {
            self.number = number;
            self.kept.clear();
            self.kept.extend_from_slice(value);
        }
    }

    /// What became of them, and on to the next span; nothing where there were none.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        let count = std::mem::take(&mut self.count);
        self.number = None;
        let kept = std::mem::take(&mut self.kept);
        match (self.how, count) {
            (Aggregate::Count, count) => Some(count.to_string().into()),
            (_, 0) => None,
            (Aggregate::Mean, count) => Some(self.sum.take_mean(count).to_string().into()),
            (Aggregate::Min | Aggregate::Max | Aggregate::First | Aggregate::Last, _) => {
                Some(kept.into())
            }
        }
    }
}
