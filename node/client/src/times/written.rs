//! What a text says that is a time, before it is known where it was written.

use headwater_protocols::time::Timestamp;
use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::error::TimeError;
use super::moment::Moment;
use super::shown;

/// What a text says, before it is known where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// A point in time.
    Moment(Moment),
    /// What the clocks of a place showed.
    Local(Local),
}

/// What the clocks of a place showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// To the microsecond, rounded down. Of a leap second the second before it.
    pub clock: DateTime,
    is_cut: bool,
    is_second_60: bool,
}

impl Local {
    pub(super) fn new(clock: DateTime, is_second_60: bool) -> Self {
        let rest = clock.subsec_nanosecond() % 1_000;
        let clock = match rest {
            0 => clock,
            rest => {
                let whole = clock.subsec_nanosecond() - rest;
                let cut = clock.with().subsec_nanosecond(whole).build();
                cut.unwrap_or(clock)
            }
        };
        Self {
            clock,
            is_cut: rest != 0,
            is_second_60,
        }
    }

    /// Of a second 60 that was taken for 59.
    pub(super) fn in_leap_second(self) -> Self {
        Self {
            is_second_60: true,
            ..self
        }
    }

    /// Microseconds since the clocks showed the year 1970.
    #[must_use]
    pub fn micros(self) -> i64 {
        let since = self
            .clock
            .duration_since(jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0));
        // The years from -9999 to 9999 fit.
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    /// The time at which clocks that are ahead of UTC by this much showed it.
    ///
    /// # Errors
    /// It cannot be kept, or is a second 60 where there is none. The text is
    /// what errors quote.
    pub fn at(self, offset: Offset, text: &str) -> Result<Moment, TimeError> {
        let since = self
            .clock
            .duration_since(jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0))
            - SignedDuration::from_secs(offset.seconds().into());
        let micros = i64::try_from(since.as_micros());
        let time = micros.map_err(|_| TimeError::OutOfRange(shown(text)))?;
        let moment = Moment {
            is_cut: self.is_cut,
            ..Moment::exact(Timestamp(time))
        };
        match self.is_second_60 {
            false => Ok(moment),
            true => moment.in_leap_second(text),
        }
    }

    /// As if it was written in UTC, because nothing else was said.
    ///
    /// # Errors
    /// As [`Local::at`].
    pub fn in_utc(self, text: &str) -> Result<Moment, TimeError> {
        let moment = self.at(Offset::UTC, text)?;
        Ok(Moment {
            has_no_zone: true,
            ..moment
        })
    }
}
