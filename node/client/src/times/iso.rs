//! RFC 3339 and its relatives of ISO 8601.

use headwater_protocols::time::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;

use super::error::TimeError;
use super::leap::says_second_60;
use super::limits::MAX_OFFSET_S;
use super::moment::Moment;
use super::shown;
use super::written::{Local, Written};

/// What a text says.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Parts {
    date: Date,
    time: Option<Time>,
    offset: Option<Offset>,
}

impl Parts {
    fn parse(text: &str) -> Result<Self, String> {
        let pieces = Pieces::parse(text).map_err(|error| error.to_string())?;
        if pieces.time_zone_annotation().is_some() {
            return Err("a time zone in brackets is not part of it".to_owned());
        }
        Ok(Self {
            date: pieces.date(),
            time: pieces.time(),
            offset: pieces.to_numeric_offset(),
        })
    }

    fn local(&self, text: &str) -> Local {
        let time = self.time.unwrap_or(Time::midnight());
        let is_60 = time.second() == 59
            && text.contains("60")
            && says_second_60(text, self, |text| Self::parse(text).ok());
        Local::new(DateTime::from_parts(self.date, time), is_60)
    }
}

/// Reads a time with or without an offset, or a date alone, which is its
/// midnight.
///
/// # Errors
/// It is none.
pub(super) fn written(text: &str) -> Result<Written, TimeError> {
    let parts = Parts::parse(text).map_err(|why| not(text, why))?;
    require_place(parts.offset, text)?;
    let local = parts.local(text);
    match parts.offset {
        Some(offset) => local.at(offset, text).map(Written::Moment),
        None => Ok(Written::Local(local)),
    }
}

/// Reads an RFC 3339 time with any offset.
///
/// # Errors
/// It is none, has no offset, or is finer than a microsecond.
pub fn parse_rfc3339(text: &str) -> Result<Timestamp, TimeError> {
    let parts = Parts::parse(text).map_err(|why| not(text, why))?;
    let missing = |why: &str| TimeError::NotRfc3339 {
        text: shown(text),
        why: why.to_owned(),
    };
    if parts.time.is_none() {
        return Err(missing("the time of day is missing"));
    }
    let offset = parts.offset;
    let offset = offset.ok_or_else(|| missing("the offset from UTC is missing: add Z for UTC"))?;
    require_place(Some(offset), text)?;
    match parts.local(text).at(offset, text)? {
        Moment { is_cut: true, .. } => Err(TimeError::TooFine(shown(text))),
        moment => Ok(moment.time),
    }
}

/// Refuses an offset that no place has.
pub(super) fn require_place(offset: Option<Offset>, text: &str) -> Result<(), TimeError> {
    match offset {
        Some(offset) if offset.seconds().abs() > MAX_OFFSET_S => {
            Err(TimeError::NoSuchOffset(shown(text)))
        }
        _ => Ok(()),
    }
}

fn not(text: &str, why: String) -> TimeError {
    let text = shown(text);
    // What the parser says of seconds counts the second 60 among them.
    if why.contains("'second'") && why.contains("range") {
        return TimeError::NoSuchSecond(text);
    }
    match is_dated(&text) {
        true => TimeError::NoSuchTime { text, why },
        false => TimeError::NotRfc3339 { text, why },
    }
}

/// Whether a text is written as RFC 3339 has it, though it is no time: it begins
/// with a year, a month and a day, and goes on with a time of day or not at all.
fn is_dated(text: &str) -> bool {
    let is_digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let has = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    let is_date = (0..10).all(|at| match at {
        4 | 7 => has(at, b'-'),
        _ => is_digit(at),
    });
    let goes_on = match text.as_bytes().get(10) {
        None => true,
        Some(b'T' | b't' | b' ') => is_digit(11) && is_digit(12) && has(13, b':'),
        Some(_) => false,
    };
    let rest = text.bytes().skip(11);
    is_date
        && goes_on
        && rest
            .into_iter()
            .all(|byte| b"0123456789:.,+-Zz".contains(&byte))
}
