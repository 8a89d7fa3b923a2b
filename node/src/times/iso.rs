//! RFC 3339 and its relatives of ISO 8601.

use headwater_protocols::time::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;

use super::form::{Local, Written};
use super::leap::says_second_60;
use super::read::{Moment, TimeError};
use super::shown;

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
    if parts.time.is_none() {
        return Err(not(text, "the time of day is missing"));
    }
    let offset = parts.offset;
    let offset =
        offset.ok_or_else(|| not(text, "the offset from UTC is missing: add Z for UTC"))?;
    match parts.local(text).at(offset, text)? {
        Moment { is_cut: true, .. } => Err(TimeError::TooFine(shown(text))),
        moment => Ok(moment.time),
    }
}

fn not(text: &str, why: impl Into<String>) -> TimeError {
    TimeError::NotRfc3339 {
        text: shown(text),
        why: why.into(),
    }
}
