//! What is said of times that were taken, but not quite as they were written.

use headwater_protocols::time::Timestamp;

use super::read::Moment;
use super::text::to_text;

/// A time that lies so far ahead of now is said. No zone is farther from UTC
/// than 14 hours, so that beyond a day it is a forecast or a mistake.
const FAR_US: u64 = 86_400_000_000;

/// What is later than this lies ahead of us: it is a forecast, or its clock was
/// not set.
#[must_use]
pub fn soon(now: Timestamp) -> Timestamp {
    Timestamp(
        now.0
            .saturating_add(i64::try_from(FAR_US).unwrap_or(i64::MAX)),
    )
}

/// Counts what was done to the times of an input, so that it is said once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeNotes {
    without_zone: u64,
    cut: u64,
    leap: u64,
    far: u64,
    farthest: Timestamp,
    /// The kinds that were said already.
    said: [bool; 4],
}

impl TimeNotes {
    /// Looks at one more time.
    pub fn add(&mut self, moment: &Moment, now: Timestamp) {
        self.without_zone += u64::from(moment.has_no_zone);
        self.cut += u64::from(moment.is_cut);
        self.leap += u64::from(moment.is_leap);
        if moment.time.since(now) > FAR_US {
            self.far += 1;
            self.farthest = self.farthest.max(moment.time);
        }
    }

    /// A sentence for each kind of thing that was not said yet.
    pub fn fresh(&mut self) -> Vec<String> {
        if self.without_zone + self.cut + self.leap + self.far == 0 {
            return Vec::new();
        }
        let mut all = Vec::new();
        let mut said = self.said.iter_mut();
        let mut say = |count: u64, one: &str, many: &str| {
            let is_said = said
                .next()
                .is_none_or(|said| std::mem::replace(said, *said || count > 0));
            match count {
                _ if is_said => {}
                0 => {}
                1 => all.push(format!("1 time {one}")),
                _ => all.push(format!("{count} times {many}")),
            }
        };
        say(
            self.without_zone,
            "without a zone was taken as UTC",
            "without a zone were taken as UTC",
        );
        say(
            self.cut,
            "finer than a microsecond was rounded down to the microsecond",
            "finer than a microsecond were rounded down to the microsecond",
        );
        say(
            self.leap,
            "in a leap second was moved to the last microsecond before the next second",
            "in leap seconds were moved to the last microsecond before the next second",
        );
        let farthest = to_text(self.farthest);
        say(
            self.far,
            &format!("lies in the future: {farthest}"),
            &format!("lie in the future, the farthest at {farthest}"),
        );
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::of_text;
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    fn notes(texts: &[&str]) -> Vec<String> {
        let mut notes = TimeNotes::default();
        for text in texts {
            notes.add(&of_text(text, None, Some(NOW)).unwrap(), NOW);
        }
        notes.fresh()
    }

    #[test]
    fn what_was_done_to_times_is_said_once_for_all() {
        assert!(notes(&["2023-11-14T00:00:00Z", "1h", "2023-11-15T12:00:00Z"]).is_empty());
        let said = notes(&[
            "2016-12-31T23:59:60",
            "2023-11-14",
            "2023-11-14T00:00:00.0000001Z",
            "2099-01-01T00:00:00Z",
            "2106-02-07T06:28:15Z",
        ]);
        assert_eq!(
            said,
            [
                "2 times without a zone were taken as UTC",
                "1 time finer than a microsecond was rounded down to the microsecond",
                "1 time in a leap second was moved to the last microsecond before the next second",
                "2 times lie in the future, the farthest at 2106-02-07T06:28:15.000000Z",
            ]
        );
    }
}
