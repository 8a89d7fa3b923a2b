//! What is no time, and why.

use super::unit::Unit;

/// What is no time, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not of the form.
    #[error("`{text}` is not an RFC 3339 time such as 2024-05-01T12:00:00Z ({why})")]
    NotRfc3339 {
        /// The text, shortened.
        text: String,
        /// What the parser says.
        why: String,
    },
    /// Of the form of RFC 3339, but there is no such day, hour, or the like.
    #[error("`{text}` is no time ({why})")]
    NoSuchTime {
        /// The text, shortened.
        text: String,
        /// What the parser says.
        why: String,
    },
    /// A second beyond those that a minute has.
    #[error("`{0}` has a second that no minute has: they go to 59, and to 60 in a leap second")]
    NoSuchSecond(String),
    /// Not as the pattern says.
    #[error("`{text}` is not of the form `{pattern}` ({why})")]
    NotOfPattern {
        /// The text, shortened.
        text: String,
        /// The pattern.
        pattern: String,
        /// What the parser says.
        why: String,
    },
    /// Where a number is expected.
    #[error("`{0}` is not a number")]
    NotANumber(String),
    /// A JSON token that can be no time.
    #[error(
        "`{0}` is neither an RFC 3339 string nor a number (microseconds since 1970, or with `time_unit` in another unit)"
    )]
    NoTime(String),
    /// `null`.
    #[error("is null, which is no time; leave it off where the present is meant")]
    Null,
    /// A number without a unit that cannot be meant as microseconds.
    #[error(
        "`{text}` {}; say what it counts (s, ms, us or ns): {}",
        unsaid(*looks_like),
        how_to_say(*looks_like)
    )]
    UnitUnsaid {
        /// The number, shortened.
        text: String,
        /// The unit in which it could be meant.
        looks_like: Option<Unit>,
    },
    /// A number that cannot be meant in the unit that was said.
    #[error("`{text}` in {unit} is beyond the year 9999; it looks like {looks_like}")]
    OtherUnit {
        /// The number, shortened.
        text: String,
        /// What was said.
        unit: Unit,
        /// The unit in which it could be meant.
        looks_like: Unit,
    },
    /// Finer than what is kept, where nothing may be rounded.
    #[error(
        "`{0}` is finer than a microsecond; times are kept in microseconds, so leave off the digits after the sixth"
    )]
    TooFine(String),
    /// Outside of what 64 bits of microseconds hold.
    #[error("`{0}` is outside of the times that can be kept")]
    OutOfRange(String),
    /// An offset that no place has.
    #[error("`{0}` is farther from UTC than any place: an offset is at most 15:59")]
    NoSuchOffset(String),
    /// Of an observation, with a year of fewer than four digits.
    #[error(
        "`{0}` lies before the year 1000; a year of two digits is %y in a pattern, and if it is meant, say --any-year, or \
         give a number with its `time_unit`"
    )]
    Early(String),
    /// A second 60 where there is none.
    #[error("`{0}` has a second 60, which only the last minute of a month in UTC can have")]
    NoLeapSecond(String),
    /// A span where no present is known.
    #[error(
        "`{0}` is so long before now, which is another time whenever it is read; write the time itself"
    )]
    Relative(String),
}

fn how_to_say(looks_like: Option<Unit>) -> String {
    let unit = looks_like.map_or("s", Unit::symbol);
    format!("\"time_unit\":\"{unit}\", ?time_unit={unit} or --time-unit {unit}")
}

fn unsaid(looks_like: Option<Unit>) -> String {
    match looks_like {
        // With a fraction it could be microseconds as well.
        Some(unit) => format!("looks like {unit}"),
        None => "is no time between 1990 and 2100 in any unit".to_owned(),
    }
}
