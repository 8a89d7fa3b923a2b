//! A point in time that was read.

use headwater_protocols::time::Timestamp;

use super::error::TimeError;
use super::leap;

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
    pub(super) fn rounded_up(self) -> Timestamp {
        self.time.offset(i64::from(self.is_cut))
    }
}
