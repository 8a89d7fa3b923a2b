//! A time, read from a text or a JSON token.

use headwater_protocols::time::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::TimeError;
use super::moment::Moment;
use super::unit::Unit;
use super::written::Written;
use super::{iso, number, shown, span};

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
        Ok(moment) => Ok(Written::Moment(moment)),
        Err(TimeError::NotANumber(_)) => Err(not_iso),
        Err(error) => Err(error),
    })?;
    match written {
        Written::Moment(moment) => Ok(moment),
        Written::Local(local) => local.in_utc(text),
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
