//! What is said of times that were taken, but not quite as they were written.

use headwater_protocols::time::Timestamp;

use super::limits::FAR_US;
use super::moment::Moment;
use super::text::to_text;
use super::unit::FIRST_MEANT;

/// What is later than this lies ahead of us: it is a forecast, or its clock was
/// not set.
#[must_use]
pub fn soon(now: Timestamp) -> Timestamp {
    Timestamp(
        now.0
            .saturating_add(i64::try_from(FAR_US).unwrap_or(i64::MAX)),
    )
}

/// What is wrong with a time that is not [`soon`], in a stream whose times never go
/// back: one such record, of a clock that was not set, say, ends it for good.
#[must_use]
pub fn not_soon(time: Timestamp) -> String {
    format!(
        "the time {} is more than a day ahead of now, and nothing could be published behind it before \
         then, because the times of the stream never go back",
        to_text(time)
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
    early: u64,
    earliest: Option<Timestamp>,
    /// The kinds that were said already.
    said: [bool; 5],
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
        // As numbers in a wrong unit do, which are of 1970 mostly.
        if moment.time < FIRST_MEANT {
            self.early += 1;
            let earliest = self
                .earliest
                .map_or(moment.time, |time| time.min(moment.time));
            self.earliest = Some(earliest);
        }
    }

    /// A sentence for each kind of thing that was not said yet.
    pub fn fresh(&mut self) -> Vec<String> {
        if self.without_zone + self.cut + self.leap + self.far + self.early == 0 {
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
        let earliest = self.earliest.map_or(String::new(), to_text);
        say(
            self.early,
            &format!("lies before 1990: {earliest}"),
            &format!("lie before 1990, the earliest at {earliest}"),
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
    fn what_is_of_1970_may_be_a_number_in_another_unit() {
        let said = notes(&["1970-01-21T10:06:40Z"]);
        assert_eq!(
            said,
            ["1 time lies before 1990: 1970-01-21T10:06:40.000000Z"]
        );
        let said = notes(&["1985-01-01T00:00:00Z"]);
        assert_eq!(
            said,
            ["1 time lies before 1990: 1985-01-01T00:00:00.000000Z"]
        );
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
            "1989-12-31T23:59:59Z",
            "1750-01-01T00:00:00Z",
        ]);
        assert_eq!(
            said,
            [
                "2 times without a zone were taken as UTC",
                "1 time finer than a microsecond was rounded down to the microsecond",
                "1 time in a leap second was moved to the last microsecond before the next second",
                "2 times lie in the future, the farthest at 2106-02-07T06:28:15.000000Z",
                "2 times lie before 1990, the earliest at 1750-01-01T00:00:00.000000Z",
            ]
        );
    }
}
