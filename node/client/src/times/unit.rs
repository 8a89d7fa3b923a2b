//! The units of numbers that are times.

use std::fmt;
use std::str::FromStr;

use headwater_protocols::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What a number that is a time counts since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Unit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Thousandths of a second.
    #[serde(rename = "ms")]
    Millis,
    /// Millionths of a second.
    #[serde(rename = "us")]
    Micros,
    /// Billionths of a second.
    #[serde(rename = "ns")]
    Nanos,
}

/// 1990-01-01T00:00:00Z. Between this and [`BEHIND_MEANT`] a number can be meant
/// as it stands. The spans of two units do not overlap, so that a number tells
/// its unit: seconds of these years are no milliseconds of them.
pub(super) const FIRST_MEANT: Timestamp = Timestamp(631_152_000_000_000);

/// 2101-01-01T00:00:00Z.
const BEHIND_MEANT: Timestamp = Timestamp(4_133_980_800_000_000);

/// Whether somebody who writes a number can mean this time by it.
#[must_use]
pub fn can_be_meant(time: Timestamp) -> bool {
    (FIRST_MEANT..BEHIND_MEANT).contains(&time)
}

impl Unit {
    /// All of them, the largest first.
    pub const ALL: [Self; 4] = [Self::Seconds, Self::Millis, Self::Micros, Self::Nanos];

    /// A unit is so many powers of ten of a microsecond.
    pub(super) fn power(self) -> i32 {
        match self {
            Self::Seconds => 6,
            Self::Millis => 3,
            Self::Micros => 0,
            Self::Nanos => -3,
        }
    }

    /// The time of a whole number, rounded down; `None` where it cannot be kept.
    #[must_use]
    pub fn time(self, number: i64) -> Option<Timestamp> {
        let micros = match self {
            Self::Seconds => number.checked_mul(1_000_000),
            Self::Millis => number.checked_mul(1_000),
            Self::Micros => Some(number),
            Self::Nanos => Some(number.div_euclid(1_000)),
        };
        micros.map(Timestamp)
    }

    /// As `time_unit` says it.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Millis => "ms",
            Self::Micros => "us",
            Self::Nanos => "ns",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seconds => "seconds",
            Self::Millis => "milliseconds",
            Self::Micros => "microseconds",
            Self::Nanos => "nanoseconds",
        })
    }
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unit = Self::ALL.into_iter().find(|unit| unit.symbol() == text);
        unit.ok_or_else(|| {
            let shown = super::shown(text);
            format!("`{shown}` is not a unit of time; use s, ms, us or ns")
        })
    }
}
