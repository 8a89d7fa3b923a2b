//! Times as texts: RFC 3339 in UTC with six decimals.
//!
//! RFC 3339 has the years 0 to 9999. A record may claim any time that fits into
//! 64 bits of microseconds; what RFC 3339 cannot say is written as an integer
//! of microseconds since the Unix epoch, which is read back as the same time.

use headwater_protocols::time::Timestamp;
use jiff::ToSpan;
use jiff::civil::{Date, date};

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// 0000-01-01T00:00:00Z.
pub const FIRST_RFC3339: Timestamp = Timestamp(-62_167_219_200 * SECOND_US);

/// 9999-12-31T23:59:59.999999Z.
pub const LAST_RFC3339: Timestamp = Timestamp(253_402_300_800 * SECOND_US - 1);

/// A time as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeText<'a> {
    /// RFC 3339.
    Rfc3339(&'a str),
    /// Microseconds, because RFC 3339 cannot say it.
    Micros(i64),
}

/// Length of `2024-05-01T12:00:00.000000Z`.
const TEXT_BYTES: usize = 27;

/// Writes times. It remembers the day of the last one, because the times of a
/// stream lie close together and the calendar is what costs.
#[derive(Clone, Debug)]
pub struct TimeFormat {
    day: i64,
    text: [u8; TEXT_BYTES],
}

impl Default for TimeFormat {
    fn default() -> Self {
        Self {
            day: 0,
            text: *b"1970-01-01T00:00:00.000000Z",
        }
    }
}

impl TimeFormat {
    /// The text of a time, without allocation.
    pub fn text(&mut self, time: Timestamp) -> TimeText<'_> {
        if !(FIRST_RFC3339..=LAST_RFC3339).contains(&time) {
            return TimeText::Micros(time.0);
        }
        let day = time.0.div_euclid(DAY_US);
        if day != self.day && !self.turn_to(day) {
            return TimeText::Micros(time.0);
        }
        let within = time.0.rem_euclid(DAY_US);
        let (seconds, micros) = (within / SECOND_US, within % SECOND_US);
        put_digits(&mut self.text[11..13], seconds / 3_600);
        put_digits(&mut self.text[14..16], seconds / 60 % 60);
        put_digits(&mut self.text[17..19], seconds % 60);
        put_digits(&mut self.text[20..26], micros);
        match std::str::from_utf8(&self.text) {
            Ok(text) => TimeText::Rfc3339(text),
            Err(_) => TimeText::Micros(time.0),
        }
    }

    /// Writes the date of a day since the epoch; false when the calendar does
    /// not have it.
    fn turn_to(&mut self, day: i64) -> bool {
        let Ok(date) = epoch().checked_add(day.days()) else {
            return false;
        };
        self.day = day;
        put_digits(&mut self.text[0..4], i64::from(date.year()));
        put_digits(&mut self.text[5..7], i64::from(date.month()));
        put_digits(&mut self.text[8..10], i64::from(date.day()));
        true
    }
}

fn put_digits(place: &mut [u8], mut number: i64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn epoch() -> Date {
    date(1970, 1, 1)
}

/// One time as a text: RFC 3339, or microseconds where that cannot say it.
#[must_use]
pub fn to_text(time: Timestamp) -> String {
    match TimeFormat::default().text(time) {
        TimeText::Rfc3339(text) => text.to_owned(),
        TimeText::Micros(micros) => micros.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{exact as parse, parse_rfc3339};
    use super::*;

    fn at(text: &str) -> i64 {
        parse_rfc3339(text).unwrap().0
    }

    #[test]
    fn times_are_written_in_utc_with_six_decimals() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_714_564_800_000_001, "2024-05-01T12:00:00.000001Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (FIRST_RFC3339.0, "0000-01-01T00:00:00.000000Z"),
            (LAST_RFC3339.0, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(to_text(Timestamp(micros)), text);
            assert_eq!(at(text), micros);
        }
    }

    #[test]
    fn what_rfc_3339_cannot_say_is_written_in_microseconds() {
        for micros in [i64::MIN, FIRST_RFC3339.0 - 1, LAST_RFC3339.0 + 1, i64::MAX] {
            assert_eq!(to_text(Timestamp(micros)), micros.to_string());
            assert_eq!(parse(&micros.to_string()), Ok(Timestamp(micros)));
        }
    }

    #[test]
    fn any_offset_and_any_number_of_decimals_down_to_microseconds_is_read() {
        assert_eq!(at("2024-05-01T12:00:00Z"), at("2024-05-01T14:00:00+02:00"));
        assert_eq!(at("1970-01-01T00:00:00.5Z"), 500_000);
        assert_eq!(at("1970-01-01T00:00:00.000001000Z"), 1);
        assert_eq!(
            at("9999-12-31T23:59:59-12:00"),
            LAST_RFC3339.0 + 1 - SECOND_US + DAY_US / 2
        );
    }

    #[test]
    fn a_text_that_is_no_time_is_refused_with_what_is_wrong() {
        let refused = |text: &str| parse_rfc3339(text).unwrap_err().to_string();
        assert!(refused("yesterday").contains("`yesterday` is not an RFC 3339 time"));
        assert!(refused("2024-05-01").contains("time of day is missing"));
        assert!(refused("2024-05-01T12:00:00").contains("add Z for UTC"));
        assert!(refused("2024-13-01T12:00:00Z").contains("month"));
        assert!(refused("1970-01-01T00:00:00.0000001Z").contains("finer than a microsecond"));
        assert!(refused(&"9".repeat(5_000)).len() < 400);
        assert!(refused("").contains("RFC 3339"));
    }

    proptest! {
        #[test]
        fn every_time_comes_back_as_it_was(
            micros in prop_oneof![
                any::<i64>(),
                FIRST_RFC3339.0..=LAST_RFC3339.0,
                -5_000_000_000_i64..5_000_000_000,
            ],
            previous in any::<i64>(),
        ) {
            let time = Timestamp(micros);
            prop_assert_eq!(parse(&to_text(time)), Ok(time));
            // What was written before must not show through.
            let mut format = TimeFormat::default();
            format.text(Timestamp(previous));
            let expected = to_text(time);
            match format.text(time) {
                TimeText::Rfc3339(text) => prop_assert_eq!(text, expected),
                TimeText::Micros(micros) => prop_assert_eq!(micros.to_string(), expected),
            }
        }

        #[test]
        fn the_text_is_the_one_that_jiff_writes(
            micros in FIRST_RFC3339.0..LAST_RFC3339.0 - 2 * DAY_US,
        ) {
            let jiff = jiff::Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(to_text(Timestamp(micros)), format!("{jiff:.6}"));
        }

        #[test]
        fn any_text_is_read_or_refused_without_panic(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
