//! A time, read from a text or a JSON token.

use headwater_protocols::time::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::unit::Unit;
use super::{iso, leap, number, shown, span};

/// A time, and what was done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// To the microsecond, rounded down.
    pub time: Timestamp,
    /// It was finer than a microsecond.
    pub is_cut: bool,
    /// No zone was said, and it was taken as UTC.
    pub has_no_zone: bool,
    /// It lies in a leap second, and was moved before the next second.
    pub is_leap: bool,
    /// The clocks of its zone showed the same once more: at this time.
    pub other: Option<Timestamp>,
}

impl Moment {
    /// A time as it is.
    #[must_use]
    pub fn exact(time: Timestamp) -> Self {
        Self {
            time,
            is_cut: false,
            has_no_zone: false,
            is_leap: false,
            other: None,
        }
    }

    /// Of a second 60 that was taken for 59.
    pub(super) fn in_leap_second(self, text: &str) -> Result<Self, TimeError> {
        Ok(Self {
            time: leap::within(self.time, text)?,
            is_leap: true,
            ..self
        })
    }

    /// The first microsecond that is not before it. Where a range begins or ends
    /// that is what keeps the times on their sides.
    fn rounded_up(self) -> Timestamp {
        self.time.offset(i64::from(self.is_cut))
    }
}

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

/// Reads a text: RFC 3339 (UTC where it says no offset), a date, a number, or a
/// span such as `3d`, which is so long before now.
///
/// # Errors
/// It is none of these, or a number whose unit is not known.
pub fn of_text(
    text: &str,
    unit: Option<Unit>,
    now: Option<Timestamp>,
) -> Result<Moment, TimeError> {
    let text = text.trim();
    // No time ends in such a letter: most are spared the second look.
    let may_be_span = text.ends_with(|end: char| end.is_ascii_lowercase());
    if let Some(span) = may_be_span.then(|| span::parse(text).ok()).flatten() {
        let now = now.ok_or_else(|| TimeError::Relative(shown(text)))?;
        let span = i64::try_from(span.as_micros());
        let time = span.ok().and_then(|span| now.0.checked_sub(span));
        let time = time.ok_or_else(|| TimeError::OutOfRange(shown(text)))?;
        return Ok(Moment::exact(Timestamp(time)));
    }
    if unit.is_some() && number::Decimal::parse(text).is_some() {
        return number::read(text, unit);
    }
    let written = iso::written(text).or_else(|not_iso| match number::read(text, unit) {
        Ok(moment) => Ok(super::form::Written::Moment(moment)),
        Err(TimeError::NotANumber(_)) => Err(not_iso),
        Err(error) => Err(error),
    })?;
    match written {
        super::form::Written::Moment(moment) => Ok(moment),
        super::form::Written::Local(local) => local.in_utc(text),
    }
}

/// Reads a JSON token: a string as [`of_text`] reads it, or a number.
///
/// # Errors
/// As [`of_text`]; `null` is no time.
pub fn of_json(
    token: &str,
    unit: Option<Unit>,
    now: Option<Timestamp>,
) -> Result<Moment, TimeError> {
    match token.as_bytes().first() {
        Some(b'"') => match serde_json::from_str::<String>(token) {
            Ok(text) => of_text(&text, unit, now),
            Err(_) => Err(TimeError::NoTime(shown(token))),
        },
        Some(b'-' | b'0'..=b'9') => number::read(token, unit),
        Some(b'n') => Err(TimeError::Null),
        _ => Err(TimeError::NoTime(shown(token))),
    }
}

/// For a field that may be left off: `null` is there, and no time.
///
/// # Errors
/// It is not JSON.
pub fn there<'de, D: Deserializer<'de>>(json: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(json).map(Some)
}

/// Where a range begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// At the record with this index.
    Index(u64),
    /// At the first time that is not before this one.
    Time(Timestamp),
}

/// Reads where a range begins or ends: a whole number is an index, unless its
/// unit is said, and everything else a time.
///
/// # Errors
/// It is neither.
pub fn bound(text: &str, unit: Option<Unit>, now: Timestamp) -> Result<Bound, TimeError> {
    match (unit, text.parse()) {
        (None, Ok(index)) => Ok(Bound::Index(index)),
        _ => of_text(text, unit, Some(now)).map(|moment| Bound::Time(moment.rounded_up())),
    }
}

/// Reads what this program itself writes: RFC 3339, or an integer of
/// microseconds.
///
/// # Errors
/// It is neither.
pub fn exact(text: &str) -> Result<Timestamp, TimeError> {
    match text.parse() {
        Ok(micros) => Ok(Timestamp(micros)),
        Err(_) => iso::parse_rfc3339(text),
    }
}

/// The unit in which an index could be meant as a time.
#[must_use]
pub fn epoch_unit(index: u64) -> Option<Unit> {
    number::Decimal::parse(&index.to_string())?.looks_like()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_764_400_000_000_000);

    fn json(token: &str) -> Result<Moment, String> {
        of_json(token, None, Some(NOW)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_of_json_is_a_text_or_a_number() {
        let at = |token: &str| json(token).unwrap().time.0;
        assert_eq!(at("1764400000000001"), NOW.0 + 1);
        assert_eq!(at("\"1970-01-01T00:00:01Z\""), 1_000_000);
        assert_eq!(at("\"1970-01-01 00:00:01\""), 1_000_000);
        assert_eq!(at("\"1970-01-02\""), 86_400_000_000);
        assert_eq!(at("\"1764400000000001\""), NOW.0 + 1);
        assert_eq!(at("\"1h\""), NOW.0 - 3_600_000_000);
        assert!(json("\"1970-01-02\"").unwrap().has_no_zone);
        assert!(!json("\"1970-01-02T00:00Z\"").unwrap().has_no_zone);
        for (token, what) in [
            ("1764400000", "looks like seconds"),
            ("\"1764400000\"", "looks like seconds"),
            ("1764400000.5", "looks like seconds"),
            ("null", "is null, which is no time"),
            ("true", "neither"),
            ("[1]", "neither"),
            ("{}", "neither"),
            ("\"\\ud800\"", "neither"),
            ("\"yesterday\"", "`yesterday` is not an RFC 3339 time"),
            ("\"\"", "is not an RFC 3339 time"),
            ("\"2024-05-01T12:30:60Z\"", "second 60"),
        ] {
            let error = json(token).unwrap_err();
            assert!(error.contains(what), "{token}: {error}");
        }
    }

    #[test]
    fn a_unit_that_is_said_counts_for_numbers_alone() {
        let of = |text: &str, unit| of_text(text, Some(unit), Some(NOW)).unwrap().time.0;
        assert_eq!(of("1764400000", Unit::Seconds), NOW.0);
        assert_eq!(of("20240501", Unit::Seconds), 20_240_501_000_000);
        assert_eq!(of("1970-01-02", Unit::Seconds), 86_400_000_000);
        assert_eq!(of("1d", Unit::Millis), NOW.0 - 86_400_000_000);
    }

    #[test]
    fn a_span_needs_a_present() {
        let error = of_text("3d", None, None).unwrap_err().to_string();
        assert!(error.contains("so long before now"), "{error}");
        let far = of_text("20000000w", None, Some(NOW))
            .unwrap_err()
            .to_string();
        assert!(far.contains("outside"), "{far}");
    }

    #[test]
    fn bounds_are_indexes_or_times_and_cut_no_record_off() {
        let at = |text: &str| bound(text, None, NOW).unwrap();
        assert_eq!(at("5"), Bound::Index(5));
        assert_eq!(at("1764400000"), Bound::Index(1_764_400_000));
        let said = bound("1764400000", Some(Unit::Seconds), NOW);
        assert_eq!(said, Ok(Bound::Time(NOW)));
        assert_eq!(at("3d"), Bound::Time(Timestamp(NOW.0 - 3 * 86_400_000_000)));
        assert_eq!(at("1970-01-02"), Bound::Time(Timestamp(86_400_000_000)));
        // What lies at 1 µs is before this.
        assert_eq!(
            at("1970-01-01T00:00:00.0000011Z"),
            Bound::Time(Timestamp(2))
        );
        assert_eq!(at("1970-01-01T00:00:00.000001Z"), Bound::Time(Timestamp(1)));
        for wrong in ["-1", "1.5", "", "yesterday", "99999999999999999999"] {
            assert!(bound(wrong, None, NOW).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_index_that_looks_like_a_time_is_known() {
        assert_eq!(epoch_unit(1_764_400_000), Some(Unit::Seconds));
        assert_eq!(epoch_unit(1_764_400_000_123), Some(Unit::Millis));
        assert_eq!(epoch_unit(562), None);
        assert_eq!(epoch_unit(u64::MAX), None);
    }
}
