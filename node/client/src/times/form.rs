//! The forms in which input files write times.

use std::str::FromStr;

use headwater_protocols::time::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

use super::error::TimeError;
use super::leap::says_second_60;
use super::moment::Moment;
use super::unit::Unit;
use super::written::{Local, Written};
use super::{iso, number, shown};

/// How the times of an input are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TimeForm {
    /// RFC 3339. Without an offset it is UTC, without a time of day midnight.
    #[default]
    Iso,
    /// A number of units since the Unix epoch, whole or with a fraction.
    Unix(Unit),
    /// As `strptime` reads it. Without an offset it is UTC, without a time of
    /// day midnight.
    Strptime(String),
}

impl FromStr for TimeForm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "iso" => Ok(Self::Iso),
            "unix" | "unix-decimal" => Ok(Self::Unix(Unit::Seconds)),
            "unix-ms" => Ok(Self::Unix(Unit::Millis)),
            "unix-us" => Ok(Self::Unix(Unit::Micros)),
            "unix-ns" => Ok(Self::Unix(Unit::Nanos)),
            _ if text.contains('%') => match is_pattern(text) {
                Ok(()) => Ok(Self::Strptime(text.to_owned())),
                Err(error) => Err(format!("`{text}` is not a time format: {error}")),
            },
            _ => Err(format!(
                "`{text}` is not a time format; use iso, unix, unix-ms, unix-us, unix-ns, or a pattern \
                 such as \"%d.%m.%Y %H:%M\""
            )),
        }
    }
}

/// Whether every directive of a pattern is known.
fn is_pattern(pattern: &str) -> Result<(), jiff::Error> {
    let some_time = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    BrokenDownTime::from(&some_time)
        .to_string(pattern)
        .map(drop)
}

impl TimeForm {
    /// Reads a time; where no zone is said it is UTC.
    ///
    /// # Errors
    /// It is not of this form; says why.
    pub fn read(&self, text: &str) -> Result<Moment, TimeError> {
        match self.written(text)? {
            Written::Moment(moment) => Ok(moment),
            Written::Local(local) => local.in_utc(text.trim()),
        }
    }

    /// Reads what a text says, whose place is not known if it says none.
    ///
    /// # Errors
    /// It is not of this form; says why.
    pub fn written(&self, text: &str) -> Result<Written, TimeError> {
        let text = text.trim();
        match self {
            // What a number means is not guessed from a row.
            Self::Iso => iso::written(text).map_err(|error| match number::read(text, None) {
                Err(unsaid @ TimeError::UnitUnsaid { .. }) => unsaid,
                _ => error,
            }),
            Self::Unix(unit) => number::read(text, Some(*unit)).map(Written::Moment),
            Self::Strptime(pattern) => strptime(text, pattern),
        }
    }
}

fn strptime(text: &str, pattern: &str) -> Result<Written, TimeError> {
    let (written, second) = broken_down(text, pattern).map_err(|why| TimeError::NotOfPattern {
        text: shown(text),
        pattern: pattern.to_owned(),
        why,
    })?;
    let is_60 = second == Some(59)
        && text.contains("60")
        && says_second_60(text, &(written, second), |text| {
            broken_down(text, pattern).ok()
        });
    match (is_60, written) {
        (false, written) => Ok(written),
        (true, Written::Moment(moment)) => moment.in_leap_second(text).map(Written::Moment),
        (true, Written::Local(local)) => Ok(Written::Local(local.in_leap_second())),
    }
}

/// What is said, and the second within the minute if there is one. (A second 60
/// is taken for 59.)
fn broken_down(text: &str, pattern: &str) -> Result<(Written, Option<i8>), String> {
    let parsed = BrokenDownTime::parse(pattern, text).map_err(|error| error.to_string())?;
    let second = parsed.second();
    iso::require_place(parsed.offset(), text).map_err(|error| error.to_string())?;
    let instant = match parsed.to_timestamp() {
        Ok(instant) => instant,
        Err(error) if parsed.offset().is_some() || parsed.iana_time_zone().is_some() => {
            return Err(error.to_string());
        }
        Err(_) => {
            let local = match parsed.to_datetime() {
                Ok(local) => local,
                Err(error) if parsed.hour().is_some() => return Err(error.to_string()),
                Err(_) => DateTime::from(parsed.to_date().map_err(|error| error.to_string())?),
            };
            return Ok((Written::Local(Local::new(local, false)), second));
        }
    };
    let nanos = instant.as_nanosecond();
    let micros = i64::try_from(nanos.div_euclid(1_000)).map_err(|error| error.to_string())?;
    let moment = Moment {
        is_cut: nanos.rem_euclid(1_000) != 0,
        ..Moment::exact(Timestamp(micros))
    };
    Ok((Written::Moment(moment), second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str, text: &str) -> Result<i64, String> {
        form.parse::<TimeForm>()
            .unwrap()
            .read(text)
            .map(|moment| moment.time.0)
            .map_err(|error| error.to_string())
    }

    const NOON_US: i64 = 1_714_564_800_000_000;

    #[test]
    fn a_time_without_offset_is_utc() {
        for text in [
            "2024-05-01T12:00:00Z",
            "2024-05-01T12:00:00",
            " 2024-05-01 12:00:00 ",
            "2024-05-01T14:00:00+02:00",
            "2024-05-01T12:00",
        ] {
            assert_eq!(read("iso", text), Ok(NOON_US), "{text}");
        }
        assert_eq!(
            read("iso", "2024-05-01"),
            Ok(NOON_US - 12 * 3_600 * 1_000_000)
        );
    }

    #[test]
    fn numbers_are_times_when_their_unit_is_said() {
        assert_eq!(read("unix", "1714564800"), Ok(NOON_US));
        assert_eq!(read("unix", "1714564800.5"), Ok(NOON_US + 500_000));
        assert_eq!(read("unix-decimal", "1714564800"), Ok(NOON_US));
        assert_eq!(read("unix-ms", " 1714564800000 "), Ok(NOON_US));
        assert_eq!(read("unix-us", "-1"), Ok(-1));
        assert_eq!(read("unix-ns", "1714564800000000999"), Ok(NOON_US));
        let unsaid = read("iso", "1714564800").unwrap_err();
        assert!(unsaid.contains("looks like seconds"), "{unsaid}");
        assert!(read("iso", "1714564800000000").is_err());
        assert!(
            read("unix", "noon")
                .unwrap_err()
                .contains("is not a number")
        );
        assert!(
            read("unix", "9999999999999999")
                .unwrap_err()
                .contains("outside")
        );
    }

    #[test]
    fn what_is_finer_than_a_microsecond_is_rounded_down_and_known_to_be() {
        for (form, text, us) in [
            ("iso", "2024-05-01T12:00:00.0981234Z", 98_123),
            ("iso", "2024-05-01T12:00:00.098123999+00:00", 98_123),
            ("iso", "2024-05-01 12:00:00.098123001", 98_123),
            (
                "%d.%m.%Y %H:%M:%S%.f",
                "01.05.2024 12:00:00.0981234",
                98_123,
            ),
            (
                "%d.%m.%Y %H:%M:%S%.f %z",
                "01.05.2024 12:00:00.0981234 +0000",
                98_123,
            ),
        ] {
            let moment = form.parse::<TimeForm>().unwrap().read(text).unwrap();
            assert_eq!(
                (moment.time.0, moment.is_cut),
                (NOON_US + us, true),
                "{text}"
            );
        }
        // Before 1970, too, which the sign of the number must not turn round.
        assert_eq!(read("iso", "1969-12-31T23:59:59.9999999Z"), Ok(-1));
        assert_eq!(read("%FT%T%.f", "1969-12-31T23:59:59.9999999"), Ok(-1));
        let whole = TimeForm::Iso
            .read("2024-05-01T12:00:00.098123000Z")
            .unwrap();
        assert!(!whole.is_cut);
    }

    /// 2017-01-01T00:00:00Z.
    const NEW_YEAR_US: i64 = 1_483_228_800_000_000;

    #[test]
    fn a_leap_second_lies_between_the_seconds_beside_it() {
        for (form, text) in [
            ("iso", "2016-12-31T23:59:60Z"),
            ("iso", "2016-12-31T23:59:60.200Z"),
            ("iso", "20161231T235960Z"),
            ("iso", "2016-12-31 23:59:60.6060"),
            ("iso", "2017-01-01T01:59:60+02:00"),
            ("%Y-%m-%d %H:%M:%S", "2016-12-31 23:59:60"),
            ("%Y-%m-%dT%H:%M:%S%.f%z", "2017-01-01T00:59:60.9+0100"),
        ] {
            let moment = form.parse::<TimeForm>().unwrap().read(text).unwrap();
            assert_eq!(
                (moment.time.0, moment.is_leap),
                (NEW_YEAR_US - 1, true),
                "{text}"
            );
        }
        for (text, us) in [
            ("2016-12-31T23:59:59.60Z", NEW_YEAR_US - 400_000),
            ("1960-12-31T23:59:59Z", -283_996_801_000_000),
        ] {
            assert_eq!(read("iso", text), Ok(us), "{text}");
        }
    }

    #[test]
    fn no_other_minute_has_a_second_60() {
        for (form, text) in [
            ("iso", "2024-05-01T12:30:60Z"),
            ("iso", "2024-05-01T12:30:60"),
            ("iso", "2016-12-31T23:59:60+01:00"),
            ("iso", "2016-12-30T23:59:60Z"),
            ("%Y-%m-%d %H:%M:%S", "2024-05-01 12:30:60"),
            ("%Y-%m-%d %H:%M:%S %z", "2016-12-31 23:59:60 +0100"),
        ] {
            let error = read(form, text).unwrap_err();
            assert!(error.contains("second 60"), "{text}: {error}");
        }
    }

    #[test]
    fn where_a_time_was_written_can_be_said_later() {
        let Ok(Written::Local(local)) = TimeForm::Iso.written("2017-01-01T00:59:60") else {
            panic!("it has no offset");
        };
        assert!(local.in_utc("x").is_err());
        let berlin = local.at(jiff::tz::offset(1), "x").unwrap();
        assert_eq!(
            (berlin.time.0, berlin.has_no_zone),
            (NEW_YEAR_US - 1, false)
        );
        let Ok(Written::Local(local)) = TimeForm::Iso.written("2024-05-01") else {
            panic!("it has no offset");
        };
        assert!(local.in_utc("x").unwrap().has_no_zone);
    }

    #[test]
    fn patterns_are_those_of_strptime() {
        assert_eq!(read("%d.%m.%Y %H:%M", "01.05.2024 12:00"), Ok(NOON_US));
        assert_eq!(
            read("%d.%m.%Y %H:%M %z", "01.05.2024 14:00 +0200"),
            Ok(NOON_US)
        );
        assert_eq!(
            read("%Y%m%d", "20240502"),
            Ok(NOON_US + 12 * 3_600 * 1_000_000)
        );
        assert_eq!(read("%s", "1714564800"), Ok(NOON_US));
        assert!(
            read("%d.%m.%Y", "2024-05-01")
                .unwrap_err()
                .contains("is not of the form `%d.%m.%Y`")
        );
        assert!(read("%H:%M", "12:00").is_err());
    }

    #[test]
    fn an_offset_that_no_place_has_is_refused() {
        for (form, text) in [
            ("iso", "2024-05-01T12:00:00+25:00"),
            ("iso", "2024-05-01T12:00:00+14:75"),
            ("iso", "2024-05-01T12:00:00+1475"),
            ("iso", "2024-05-01T12:00:00+24:00"),
            ("iso", "2024-05-01T12:00:00-16:00"),
            ("iso", "2024-05-01T12:00:00+16"),
            ("%Y-%m-%d %H:%M %z", "2024-05-01 12:00 +2500"),
            ("%Y-%m-%d %H:%M %z", "2024-05-01 12:00 -1600"),
            ("%Y-%m-%d %H:%M %:z", "2024-05-01 12:00 +14:75"),
        ] {
            let error = read(form, text).unwrap_err();
            assert!(error.contains("offset"), "{text}: {error}");
        }
        for text in ["2024-05-01T12:00:00+14:00", "2024-05-01T12:00:00-15:59"] {
            assert!(read("iso", text).is_ok(), "{text}");
        }
        let rfc3339 = super::super::parse_rfc3339("2024-05-01T12:00:00+25:00");
        assert!(rfc3339.is_err());
    }

    #[test]
    fn a_format_that_is_none_is_refused_before_any_row() {
        for wrong in ["epoch", "", "%Y-%", "%Ü"] {
            assert!(
                wrong
                    .parse::<TimeForm>()
                    .unwrap_err()
                    .contains("is not a time format"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_reason() {
        assert!(
            read("iso", "2024-13-01T00:00:00")
                .unwrap_err()
                .contains("month")
        );
        assert!(
            read("iso", "yesterday")
                .unwrap_err()
                .contains("`yesterday` is not an RFC 3339 time")
        );
        assert!(read("iso", "").is_err());
    }
}
