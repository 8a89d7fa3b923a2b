//! Numbers that are times.

use headwater_protocols::time::Timestamp;

use super::error::TimeError;
use super::moment::Moment;
use super::shown;
use super::text::{FIRST_RFC3339, LAST_RFC3339};
use super::unit::{Unit, can_be_meant};

/// Digits of a number that are looked at: more than a time with nanoseconds has,
/// and as many as fit with room for the largest power that is looked at.
const MAX_DIGITS: usize = 24;

/// The farthest power of ten that a number of so many digits can have and still
/// be a time, but 0.
const MAX_POWER: i32 = 30;

/// A decimal number: so many of a power of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: i128,
    power: i32,
    /// It has digits behind these that are not 0.
    has_more: bool,
}

impl Decimal {
    /// Reads `12`, `-1.5`, `.5`, `1.7e9`; `None` for everything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, power) = match text.split_once(['e', 'E']) {
            Some((number, power)) => (number, power.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let unsigned = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if unsigned.len() + fraction.len() == 0 || !are_digits(unsigned) || !are_digits(fraction) {
            return None;
        }
        let unsigned = unsigned.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        // Zeros in front of a fraction count: times have no such numbers.
        let kept = MAX_DIGITS
            .saturating_sub(unsigned.len())
            .min(fraction.len());
        let digits = unsigned.bytes().chain(fraction.bytes());
        let digits = digits.take(MAX_DIGITS);
        let digits = digits.fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        let left_out = unsigned.len().saturating_sub(MAX_DIGITS);
        let power = power.checked_add(i32::try_from(left_out).ok()?)?;
        let power = power.checked_sub(i32::try_from(kept).ok()?)?;
        Some(Self {
            digits: if whole.starts_with('-') {
                -digits
            } else {
                digits
            },
            power,
            has_more: kept < fraction.len() || left_out > 0,
        })
    }

    /// The time that it is in this unit, and whether it was rounded down;
    /// `None` where it cannot be kept.
    fn time(self, unit: Unit) -> Option<(Timestamp, bool)> {
        let power = self.power.checked_add(unit.power())?;
        if self.digits == 0 && !self.has_more {
            return Some((Timestamp(0), false));
        }
        if power.abs() > MAX_POWER {
            return None;
        }
        let scale = 10_i128.pow(power.unsigned_abs());
        let (micros, rest) = match power < 0 {
            true => (self.digits.div_euclid(scale), self.digits.rem_euclid(scale)),
            false => (self.digits.checked_mul(scale)?, 0),
        };
        // What is left out of a number below 0 makes it smaller still.
        let below = i128::from(rest == 0 && self.has_more && self.digits < 0);
        let time = i64::try_from(micros - below).ok()?;
        Some((Timestamp(time), rest != 0 || self.has_more))
    }

    /// The unit in which it is a time that can be meant.
    pub(super) fn looks_like(self) -> Option<Unit> {
        let is_meant = |unit: &Unit| self.time(*unit).is_some_and(|(time, _)| can_be_meant(time));
        Unit::ALL.into_iter().find(is_meant)
    }

    fn is_whole(self) -> bool {
        self.power >= 0 && !self.has_more
    }
}

/// The time of a whole number of a unit, of the years that are written: nearly
/// all that are read, and the quickest way.
fn usual(text: &str, unit: Unit) -> Option<Moment> {
    let number: i64 = text.parse().ok()?;
    let time = unit.time(number)?;
    let is_cut = unit == Unit::Nanos && number.rem_euclid(1_000) != 0;
    (FIRST_RFC3339..=LAST_RFC3339)
        .contains(&time)
        .then_some(Moment {
            is_cut,
            ..Moment::exact(time)
        })
}

/// Reads a number. Where no unit is said it is microseconds, and one that can be
/// meant as such: what is signed cannot be taken back.
///
/// # Errors
/// It is no number, or not in this unit; says in which it would be.
pub(super) fn read(text: &str, unit: Option<Unit>) -> Result<Moment, TimeError> {
    if let Some(moment) = unit.and_then(|unit| usual(text, unit)) {
        return Ok(moment);
    }
    let number = Decimal::parse(text).ok_or_else(|| TimeError::NotANumber(shown(text)))?;
    let looks_like = number.looks_like();
    let out_of_range = || TimeError::OutOfRange(shown(text));
    match unit {
        None if looks_like == Some(Unit::Micros) && number.is_whole() => {
            let (time, _) = number.time(Unit::Micros).ok_or_else(out_of_range)?;
            Ok(Moment::exact(time))
        }
        None => Err(TimeError::UnitUnsaid {
            text: shown(text),
            looks_like,
        }),
        Some(unit) => {
            let other = looks_like.filter(|other| *other != unit);
            let other_unit = |looks_like| TimeError::OtherUnit {
                text: shown(text),
                unit,
                looks_like,
            };
            let Some((time, is_cut)) = number.time(unit) else {
                return Err(other.map_or_else(out_of_range, other_unit));
            };
            // Nobody means the year 57,881.
            let is_sane = (FIRST_RFC3339..=LAST_RFC3339).contains(&time);
            match other.filter(|_| !is_sane) {
                Some(other) => Err(other_unit(other)),
                None => Ok(Moment {
                    is_cut,
                    ..Moment::exact(time)
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(text: &str, unit: Unit) -> Result<i64, String> {
        read(text, Some(unit))
            .map(|moment| moment.time.0)
            .map_err(|error| error.to_string())
    }

    fn unsaid(text: &str) -> String {
        read(text, None).unwrap_err().to_string()
    }

    #[test]
    fn a_number_without_a_unit_must_be_microseconds_that_can_be_meant() {
        let whole = read("1764400000123456", None).unwrap();
        assert_eq!(whole, Moment::exact(Timestamp(1_764_400_000_123_456)));
        for (text, unit) in [
            ("1764400000", "seconds"),
            ("1764400000.25", "seconds"),
            ("1.7644e9", "seconds"),
            ("1764400000123", "milliseconds"),
            ("1764400000123456.5", "microseconds"),
            ("1764400000123456789", "nanoseconds"),
            ("631152000", "seconds"),
            ("4133980799", "seconds"),
        ] {
            let error = unsaid(text);
            assert!(
                error.contains(&format!("looks like {unit}")),
                "{text}: {error}"
            );
            assert!(error.contains("time_unit"), "{error}");
        }
        for text in [
            "0",
            "1",
            "-5",
            "20240501",
            "631151999",
            "9223372036854775807",
        ] {
            let error = unsaid(text);
            assert!(!error.contains("looks like"), "{text}: {error}");
            assert!(error.contains("no time between 1990 and 2100"), "{error}");
        }
    }

    #[test]
    fn a_number_with_its_unit_is_taken_as_it_is_and_rounded_down() {
        assert_eq!(
            micros("1714564800", Unit::Seconds),
            Ok(1_714_564_800_000_000)
        );
        assert_eq!(
            micros("1714564800.25", Unit::Seconds),
            Ok(1_714_564_800_250_000)
        );
        assert_eq!(
            micros("1714564800.0000019", Unit::Seconds),
            Ok(1_714_564_800_000_001)
        );
        assert_eq!(micros("1.5", Unit::Millis), Ok(1_500));
        assert_eq!(micros("-1", Unit::Micros), Ok(-1));
        assert_eq!(
            micros("1764400000123456789", Unit::Nanos),
            Ok(1_764_400_000_123_456)
        );
        assert_eq!(micros("-1", Unit::Nanos), Ok(-1));
        assert_eq!(micros("1.7645e9", Unit::Seconds), Ok(1_764_500_000_000_000));
        assert_eq!(micros("0", Unit::Seconds), Ok(0));
        assert!(read("1.0000001", Some(Unit::Seconds)).unwrap().is_cut);
        // As many digits as somebody likes.
        let long = "1764400000.1234560000000000000000000000000000000001";
        assert_eq!(micros(long, Unit::Seconds), Ok(1_764_400_000_123_456));
        assert!(read(long, Some(Unit::Seconds)).unwrap().is_cut);
        assert_eq!(
            micros(&format!("-{long}"), Unit::Seconds),
            Ok(-1_764_400_000_123_457)
        );
        assert_eq!(
            micros("0000000000000000000000000001.50", Unit::Seconds),
            Ok(1_500_000)
        );
        assert!(!read("1.0000010", Some(Unit::Seconds)).unwrap().is_cut);
    }

    #[test]
    fn a_unit_that_was_said_wrong_is_refused_where_it_makes_no_year() {
        let error = micros("1764400000123456789", Unit::Micros).unwrap_err();
        assert!(error.contains("looks like nanoseconds"), "{error}");
        let error = micros("1764400000123", Unit::Seconds).unwrap_err();
        assert!(error.contains("looks like milliseconds"), "{error}");
        // What was said may be before 1990.
        assert_eq!(micros("1764400000", Unit::Millis), Ok(1_764_400_000_000));
        assert_eq!(micros("9223372036854775807", Unit::Micros), Ok(i64::MAX));
    }

    #[test]
    fn what_is_no_number_or_cannot_be_kept_is_refused() {
        for wrong in [
            "", ".", "-", "x", "1.2.3", "--1", "nan", "1e", "1e1.5", "0x1", "1_0", "١",
        ] {
            let error = micros(wrong, Unit::Seconds).unwrap_err();
            assert!(error.contains("is not a number"), "{wrong}: {error}");
        }
        for far in [
            "1e300",
            "9999999999999999",
            "1e-2000000000",
            "-1e2000000000",
        ] {
            let error = micros(far, Unit::Seconds).unwrap_err();
            assert!(error.contains("outside"), "{far}: {error}");
        }
        assert!(micros("1e99999999999", Unit::Seconds).is_err());
        let nines = micros(&"9".repeat(5_000), Unit::Seconds).unwrap_err();
        assert!(nines.contains("outside") && nines.len() < 200, "{nines}");
    }

    proptest! {
        #[test]
        fn whole_microseconds_come_back(time in any::<i64>()) {
            let number = Decimal::parse(&time.to_string()).unwrap();
            prop_assert_eq!(number.time(Unit::Micros), Some((Timestamp(time), false)));
        }

        #[test]
        fn rounding_keeps_the_order(a in any::<i64>(), b in any::<i64>()) {
            let time = |nanos: i64| Decimal::parse(&nanos.to_string()).unwrap().time(Unit::Nanos).unwrap().0;
            prop_assert_eq!(a.cmp(&b), time(a).cmp(&time(b)).then(a.cmp(&b)));
        }

        #[test]
        fn the_quick_way_reads_what_the_exact_one_does(number in any::<i64>(), shift in 0_u32..63) {
            let text = (number >> shift).to_string();
            for unit in Unit::ALL {
                if let Some(moment) = usual(&text, unit) {
                    let (time, is_cut) = Decimal::parse(&text).unwrap().time(unit).unwrap();
                    prop_assert_eq!((moment.time, moment.is_cut), (time, is_cut));
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "[-+.0-9eE]{0,40}") {
            for unit in Unit::ALL {
                let _ = read(&text, Some(unit));
            }
            let _ = read(&text, None);
        }
    }
}
