//! Times without an offset, in a time zone.

use std::str::FromStr;
use std::sync::Arc;

use headwater_client::times::Local;
use headwater_client::times::Moment;
use headwater_protocols::time::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::folds::{Folds, Pass, RowPlace, Shown, Span};

const SECOND_US: i64 = 1_000_000;

/// A time zone that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    name: String,
    zone: TimeZone,
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let zone = match text {
            "UTC" | "utc" | "Z" | "z" => Some(TimeZone::UTC),
            _ => TimeZone::get(text).ok().or_else(|| fixed(text)),
        };
        let zone = zone.ok_or_else(|| {
            format!("`{text}` is no time zone; say one of the IANA database as Europe/Berlin, UTC, or an offset as +02:00")
        })?;
        let name = zone.iana_name().unwrap_or(text).to_owned();
        Ok(Self { name, zone })
    }
}

/// An offset as `+02:00`.
fn fixed(text: &str) -> Option<TimeZone> {
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':').unwrap_or((&text[1..], "00"));
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hours) || !is_number(minutes) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let offset = Offset::from_seconds(sign * (hours * 3_600 + minutes * 60));
    (hours < 16 && minutes < 60).then(|| offset.ok().map(TimeZone::fixed))?
}

impl Zone {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether its clocks never show a time twice.
    pub(crate) fn is_fixed(&self) -> bool {
        self.zone.to_fixed_offset().is_ok()
    }

    fn offset(&self, local: Local) -> AmbiguousOffset {
        self.zone.to_ambiguous_timestamp(local.clock).offset()
    }

    /// The moment of a local time that stands alone: no order of rows tells which of two
    /// is meant. The text is what errors quote.
    ///
    /// # Errors
    /// The clocks of the zone never showed it, or twice.
    pub(crate) fn only(&self, local: Local, text: &str) -> Result<Moment, String> {
        match self.offset(local) {
            AmbiguousOffset::Unambiguous { offset } => {
                let moment = local.at(offset, text);
                moment.map_err(|error| format!("time {error}"))
            }
            AmbiguousOffset::Gap { before, after } => Err(self.skipped(text, before, after)),
            AmbiguousOffset::Fold { .. } => Err(format!(
                "time `{}` is of an hour that the clocks of {} showed twice; write its offset behind it (+02:00)",
                shown(text),
                self.name
            )),
        }
    }

    fn skipped(&self, text: &str, before: Offset, after: Offset) -> String {
        let by = (after.seconds() - before.seconds()) / 60;
        format!(
            "time `{}` does not exist in {}: the clocks were put forward by {by} minutes over it; if it was written by \
             other clocks, say their zone, such as --time-zone UTC",
            shown(text),
            self.name
        )
    }

    /// How often the clocks showed this; `None` where they never did.
    pub(crate) fn shown(&self, local: Local) -> Option<Shown> {
        let at = |offset: Offset| {
            let of_offset = i64::from(offset.seconds()) * SECOND_US;
            Timestamp(local.micros().saturating_sub(of_offset))
        };
        match self.offset(local) {
            AmbiguousOffset::Unambiguous { offset } => Some(Shown::Once(at(offset))),
            AmbiguousOffset::Gap { .. } => None,
            AmbiguousOffset::Fold { before, after } => {
                let (first, second) = (at(before), at(after));
                let put_back = self.put_back(first, second, after)?;
                let clock = |offset: Offset| put_back.0 + i64::from(offset.seconds()) * SECOND_US;
                let span = Span {
                    from: clock(after),
                    to: clock(before),
                };
                Some(Shown::Twice(span, first))
            }
        }
    }

    /// When the clocks were put back, between the two times that they showed the
    /// same.
    fn put_back(&self, first: Timestamp, second: Timestamp, after: Offset) -> Option<Timestamp> {
        let from = jiff::Timestamp::from_microsecond(first.0).ok()?;
        let changes = self.zone.following(from);
        let mut changes = changes.map(|change| (change.timestamp().as_microsecond(), change));
        changes
            .find(|(at, change)| change.offset() == after || *at > second.0)
            .filter(|(at, _)| *at <= second.0)
            .map(|(at, _)| Timestamp(at))
    }
}

/// The local times of a file, of whose rows it is known of which time they are
/// where the clocks showed it twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalTimes {
    zone: Zone,
    /// The file's place among those of the command, and what the rows of all of
    /// them tell, once they were looked at.
    folds: Option<(usize, Arc<Folds>)>,
}

impl LocalTimes {
    pub(crate) fn new(zone: Zone) -> Self {
        Self { zone, folds: None }
    }

    /// With what the rows of all files tell, of which this one is at this place.
    pub(crate) fn told_by(self, file: usize, folds: Arc<Folds>) -> Self {
        Self {
            folds: Some((file, folds)),
            ..self
        }
    }

    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The moment of a local time of this row. The text is what errors quote.
    ///
    /// # Errors
    /// The clocks of the zone never showed it, or twice, and nobody knows which
    /// time is meant.
    pub(crate) fn at(&self, local: Local, row: RowPlace, text: &str) -> Result<Moment, String> {
        let moment = |offset: Offset| {
            let moment = local.at(offset, text);
            moment.map_err(|error| format!("time {error}"))
        };
        match self.zone.offset(local) {
            AmbiguousOffset::Unambiguous { offset } => moment(offset),
            AmbiguousOffset::Gap { before, after } => Err(self.zone.skipped(text, before, after)),
            AmbiguousOffset::Fold { before, after } => {
                let (meant, other) = match self.pass(local, row, text)? {
                    Pass::First => (before, after),
                    Pass::Second => (after, before),
                };
                let other = moment(other)?.time;
                Ok(Moment {
                    other: Some(other),
                    ..moment(meant)?
                })
            }
        }
    }

    fn pass(&self, local: Local, row: RowPlace, text: &str) -> Result<Pass, String> {
        let pass = match &self.folds {
            Some((file, folds)) => folds.pass(local.micros(), row.of_file(*file)),
            None => Err("the rows around it were not looked at".to_owned()),
        };
        pass.map_err(|why| {
            format!(
                "time `{}` is of an hour that the clocks of {} showed twice, and {why}",
                shown(text),
                self.zone.name
            )
        })
    }
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_client::times::TimeForm;
    use headwater_client::times::Written;
    use headwater_client::times::text::to_text;

    fn read(zone: &str, texts: &[&str]) -> Vec<Result<String, String>> {
        let times = LocalTimes::new(zone.parse().unwrap());
        let place = RowPlace { row: 1, line: 2 };
        let moments = texts.iter().map(|text| match TimeForm::Iso.written(text) {
            Ok(Written::Local(local)) => times.at(local, place, text),
            other => panic!("{other:?}"),
        });
        let shown = |moment: Moment| to_text(moment.time)[..16].replace('T', " ");
        moments.map(|moment| moment.map(shown)).collect()
    }

    #[test]
    fn what_clocks_showed_twice_is_a_span_of_its_own() {
        let span = |zone: &str, text: &str| {
            let zone: Zone = zone.parse().unwrap();
            let Ok(Written::Local(local)) = TimeForm::Iso.written(text) else {
                panic!("{text} has no offset");
            };
            match zone.shown(local) {
                Some(Shown::Twice(span, first)) => {
                    let shown = [span.from, span.to, first.0];
                    shown.map(|us| to_text(Timestamp(us))[..16].to_owned())
                }
                other => panic!("{text}: {other:?}"),
            }
        };
        for (zone, text, shown) in [
            (
                "Europe/Berlin",
                "2024-10-27 02:59:59",
                ["2024-10-27T02:00", "2024-10-27T03:00", "2024-10-27T00:59"],
            ),
            // Half an hour, and over midnight.
            (
                "Australia/Lord_Howe",
                "2024-04-07 01:30",
                ["2024-04-07T01:30", "2024-04-07T02:00", "2024-04-06T14:30"],
            ),
            (
                "America/Havana",
                "2024-11-03",
                ["2024-11-03T00:00", "2024-11-03T01:00", "2024-11-03T04:00"],
            ),
            // By the rule of the zone, which has no end.
            (
                "Europe/Berlin",
                "2499-10-25 02:30",
                ["2499-10-25T02:00", "2499-10-25T03:00", "2499-10-25T00:30"],
            ),
        ] {
            assert_eq!(span(zone, text), shown, "{zone} {text}");
        }
        let alone = read("Europe/Berlin", &["2024-10-27 02:00"]);
        assert!(alone[0].clone().unwrap_err().contains("showed twice"));
    }

    #[test]
    fn an_hour_that_was_skipped_is_refused_by_name() {
        let read = read(
            "Europe/Berlin",
            &["2024-03-31 01:59", "2024-03-31 02:30", "2024-03-31 03:00"],
        );
        let error = read[1].clone().unwrap_err();
        assert!(
            error.contains("`2024-03-31 02:30` does not exist in Europe/Berlin"),
            "{error}"
        );
        assert!(error.contains("by 60 minutes"), "{error}");
        assert_eq!(read[0].clone().unwrap(), "2024-03-31 00:59");
        assert_eq!(read[2].clone().unwrap(), "2024-03-31 01:00");
    }

    #[test]
    fn zones_are_named_or_are_offsets() {
        for (zone, utc) in [
            ("UTC", "12:00"),
            ("Asia/Kolkata", "06:30"),
            ("+02:00", "10:00"),
            ("-0330", ""),
            ("-03:30", "15:30"),
            ("America/New_York", "16:00"),
        ] {
            match zone.parse::<Zone>() {
                Ok(_) => assert_eq!(
                    read(zone, &["2024-05-01 12:00"])[0].as_ref().unwrap()[11..],
                    *utc
                ),
                Err(error) => assert!(utc.is_empty() && error.contains("Europe/Berlin"), "{error}"),
            }
        }
        for wrong in ["Berlin", "CEST!", "", "+25:00", "+16:00", "+02:60", "+2"] {
            assert!(wrong.parse::<Zone>().is_err(), "{wrong}");
        }
        assert_eq!(
            "europe/berlin".parse::<Zone>().unwrap().name(),
            "Europe/Berlin"
        );
    }
}
