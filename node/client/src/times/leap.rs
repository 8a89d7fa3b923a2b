//! Leap seconds: the second 60, which the clocks of computers do not have.

use headwater_protocols::time::Timestamp;
use jiff::Timestamp as Instant;
use jiff::tz::Offset;

use super::error::TimeError;

/// Whether a text says a second 60. Parsers take it for 59: so it is one where
/// a 59 in place of a 60 says the same. Only for texts whose second is 59.
pub(super) fn says_second_60<T: PartialEq>(
    text: &str,
    read: &T,
    parse: impl Fn(&str) -> Option<T>,
) -> bool {
    text.match_indices("60").any(|(at, _)| {
        let with_59 = format!("{}59{}", &text[..at], &text[at + 2..]);
        parse(&with_59).as_ref() == Some(read)
    })
}

/// The time of a second 60, of which the second 59 is known: the last
/// microsecond before the next second, so that it is not before what came ahead
/// of it, nor behind what follows.
///
/// # Errors
/// It is not the last second of a month in UTC, and no other has a second 60.
pub(super) fn within(second_59: Timestamp, text: &str) -> Result<Timestamp, TimeError> {
    const SECOND_US: i64 = 1_000_000;
    let second = second_59.0.div_euclid(SECOND_US);
    let next =
        Instant::from_second(second.saturating_add(1)).map(|next| Offset::UTC.to_datetime(next));
    let is_first = |next: jiff::civil::DateTime| {
        next.day() == 1 && (next.hour(), next.minute(), next.second()) == (0, 0, 0)
    };
    match next.is_ok_and(is_first) {
        true => Ok(Timestamp(second * SECOND_US + SECOND_US - 1)),
        false => Err(TimeError::NoLeapSecond(super::shown(text))),
    }
}
