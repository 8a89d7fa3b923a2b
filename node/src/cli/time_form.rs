//! The forms in which input files write times.

use std::str::FromStr;

use headwater_protocols::time::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;

use crate::export::time::parse_rfc3339;

/// How the times of an input are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum TimeForm {
    /// RFC 3339. Without an offset it is UTC, without a time of day midnight.
    #[default]
    Iso,
    /// A whole number of units since the Unix epoch; a unit is so many
    /// microseconds.
    Unix(i64),
    /// Seconds since the Unix epoch with a decimal fraction, of which what is
    /// finer than a microsecond is cut off: as Python writes `time.time()`.
    UnixDecimal,
    /// As `strptime` reads it. Without an offset it is UTC, without a time of
    /// day midnight.
    Strptime(String),
}

impl FromStr for TimeForm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "iso" => Ok(Self::Iso),
            "unix" => Ok(Self::Unix(1_000_000)),
            "unix-ms" => Ok(Self::Unix(1_000)),
            "unix-us" => Ok(Self::Unix(1)),
            "unix-decimal" => Ok(Self::UnixDecimal),
            _ if text.contains('%') => match is_pattern(text) {
                Ok(()) => Ok(Self::Strptime(text.to_owned())),
                Err(error) => Err(format!("`{text}` is not a time format: {error}")),
            },
            _ => Err(format!(
                "`{text}` is not a time format; use iso, unix, unix-ms, unix-us, unix-decimal, or a pattern \
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
    /// Reads a time.
    ///
    /// # Errors
    /// It is not of this form; says why.
    pub(crate) fn parse(&self, text: &str) -> Result<Timestamp, String> {
        let text = text.trim();
        match self {
            Self::Iso => iso(text),
            Self::Unix(unit_us) => unix(text, *unit_us),
            Self::UnixDecimal => unix_decimal(text),
            Self::Strptime(pattern) => strptime(text, pattern),
        }
    }
}

fn iso(text: &str) -> Result<Timestamp, String> {
    let in_utc = match Pieces::parse(text) {
        Ok(pieces) if pieces.offset().is_none() && pieces.time_zone_annotation().is_none() => {
            match pieces.time() {
                Some(_) => format!("{text}Z"),
                None => format!("{text}T00:00:00Z"),
            }
        }
        _ => text.to_owned(),
    };
    parse_rfc3339(&in_utc).map_err(|error| match text.parse::<i64>() {
        Ok(_) => format!("time {error}; for a number say --time-format unix, unix-ms or unix-us"),
        Err(_) => format!("time {error}"),
    })
}

fn unix(text: &str, unit_us: i64) -> Result<Timestamp, String> {
    let number: i64 = text
        .parse()
        .map_err(|_| format!("time `{}` is not a whole number", shown(text)))?;
    let micros = number.checked_mul(unit_us);
    micros
        .map(Timestamp)
        .ok_or_else(|| format!("time `{number}` is outside of the times that can be kept"))
}

fn unix_decimal(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("time `{}` is not a decimal number of seconds", shown(text));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let digits = seconds.strip_prefix('-').unwrap_or(seconds);
    if !are_digits(digits) || !are_digits(fraction) {
        return Err(wrong());
    }
    let fraction = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = fraction.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0'));
    let seconds = digits.parse::<i64>().ok();
    let time = seconds.and_then(|seconds| seconds.checked_mul(1_000_000)?.checked_add(micros));
    let time = time.map(|time| match text.starts_with('-') {
        true => -time,
        false => time,
    });
    time.map(Timestamp).ok_or_else(|| {
        format!(
            "time `{}` is outside of the times that can be kept",
            shown(text)
        )
    })
}

fn strptime(text: &str, pattern: &str) -> Result<Timestamp, String> {
    let not = |why: String| {
        format!(
            "time `{}` is not of the form `{pattern}` ({why})",
            shown(text)
        )
    };
    let parsed = BrokenDownTime::parse(pattern, text).map_err(|error| not(error.to_string()))?;
    let time = parsed.to_timestamp().or_else(|error| {
        if parsed.offset().is_some() || parsed.iana_time_zone().is_some() {
            return Err(error);
        }
        let local = match parsed.to_datetime() {
            Ok(local) => local,
            Err(error) if parsed.hour().is_some() => return Err(error),
            Err(_) => DateTime::from(parsed.to_date()?),
        };
        Ok(local.to_zoned(TimeZone::UTC)?.timestamp())
    });
    let time = time.map_err(|error| not(error.to_string()))?;
    if time.as_nanosecond() % 1_000 != 0 {
        return Err(not(
            "finer than a microsecond, which is what is kept".to_owned()
        ));
    }
    Ok(Timestamp(time.as_microsecond()))
}

/// What an error quotes of a text.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str, text: &str) -> Result<i64, String> {
        form.parse::<TimeForm>()
            .unwrap()
            .parse(text)
            .map(|time| time.0)
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
        assert_eq!(read("unix-ms", "1714564800000"), Ok(NOON_US));
        assert_eq!(read("unix-us", "-1"), Ok(-1));
        assert!(
            read("iso", "1714564800")
                .unwrap_err()
                .contains("--time-format unix")
        );
        assert!(
            read("unix", "1.5")
                .unwrap_err()
                .contains("is not a whole number")
        );
        assert!(
            read("unix", "9999999999999999")
                .unwrap_err()
                .contains("outside")
        );
    }

    #[test]
    fn seconds_with_a_fraction_are_cut_to_microseconds() {
        assert_eq!(read("unix-decimal", "1714564800.5"), Ok(NOON_US + 500_000));
        assert_eq!(read("unix-decimal", "1714564800.0000019"), Ok(NOON_US + 1));
        assert_eq!(read("unix-decimal", "1714564800"), Ok(NOON_US));
        assert_eq!(read("unix-decimal", "-0.25"), Ok(-250_000));
        for wrong in ["", ".5", "1.", "1e9", "1.2.3", "--1.0", "nan"] {
            let error = read("unix-decimal", wrong).unwrap_err();
            assert!(error.contains("decimal number"), "{error}");
        }
        let far = read("unix-decimal", "99999999999999.0").unwrap_err();
        assert!(far.contains("outside"), "{far}");
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
        assert!(
            read("%d.%m.%Y %H:%M:%S%.f", "01.05.2024 12:00:00.0000001")
                .unwrap_err()
                .contains("finer")
        );
        assert!(read("%H:%M", "12:00").is_err());
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
