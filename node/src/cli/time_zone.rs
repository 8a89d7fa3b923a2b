//! Times without an offset, in a time zone.

use std::str::FromStr;

use headwater_protocols::time::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use crate::times::Moment;
use crate::times::form::Local;

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
    (hours < 24 && minutes < 60).then(|| offset.ok().map(TimeZone::fixed))?
}

impl Zone {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// The local times of one file, in the order in which they stand there: an hour
/// that comes twice is told by it.
#[derive(Clone, Debug)]
pub(crate) struct LocalTimes {
    zone: Zone,
    last: Option<Timestamp>,
    /// The file has its latest times first.
    is_descending: bool,
}

impl LocalTimes {
    pub(crate) fn new(zone: Zone) -> Self {
        Self {
            zone,
            last: None,
            is_descending: false,
        }
    }

    /// The moment of the next local time. The text is what errors quote.
    ///
    /// # Errors
    /// The clocks of the zone never showed it.
    pub(crate) fn at(&mut self, local: Local, text: &str) -> Result<Moment, String> {
        let moment = |offset: Offset| {
            let moment = local.at(offset, text);
            moment.map_err(|error| format!("time {error}"))
        };
        let found = match self.zone.zone.to_ambiguous_timestamp(local.clock).offset() {
            AmbiguousOffset::Unambiguous { offset } => {
                let moment = moment(offset)?;
                if let Some(last) = self.last.filter(|&last| last != moment.time) {
                    self.is_descending = moment.time < last;
                }
                moment
            }
            AmbiguousOffset::Gap { before, after } => {
                return Err(self.skipped(text, before, after));
            }
            AmbiguousOffset::Fold { before, after } => {
                let (first, second) = (moment(before)?, moment(after)?);
                match self.is_second(first.time, second.time) {
                    true => second,
                    false => first,
                }
            }
        };
        self.last = Some(found.time);
        Ok(found)
    }

    /// Whether, of the two moments of a local time that came twice, the order of
    /// the file tells the second one.
    fn is_second(&self, first: Timestamp, second: Timestamp) -> bool {
        match self.last {
            Some(last) if self.is_descending => second < last,
            Some(last) => first <= last,
            None => false,
        }
    }

    fn skipped(&self, text: &str, before: Offset, after: Offset) -> String {
        let by = (after.seconds() - before.seconds()) / 60;
        let shown: String = text.chars().take(64).collect();
        format!(
            "time `{shown}` does not exist in {}: the clocks were put forward by {by} minutes over it",
            self.zone.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::times::TimeForm;
    use crate::times::form::Written;
    use crate::times::text::to_text;

    fn read(zone: &str, texts: &[&str]) -> Vec<Result<String, String>> {
        let mut times = LocalTimes::new(zone.parse().unwrap());
        let moments = texts.iter().map(|text| match TimeForm::Iso.written(text) {
            Ok(Written::Local(local)) => times.at(local, text),
            other => panic!("{other:?}"),
        });
        let shown = |moment: Moment| to_text(moment.time)[..16].replace('T', " ");
        moments.map(|moment| moment.map(shown)).collect()
    }

    fn in_berlin(texts: &[&str]) -> Vec<String> {
        let read = read("Europe/Berlin", texts).into_iter();
        read.map(|time| time.unwrap()[11..].to_owned()).collect()
    }

    #[test]
    fn an_hour_that_comes_twice_is_told_by_the_order_of_the_file() {
        let d = |hour: &str| format!("2024-10-27 {hour}");
        let night = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"].map(d);
        let mut night: Vec<&str> = night.iter().map(String::as_str).collect();
        let utc = ["23:30", "00:00", "00:30", "01:00", "01:30", "02:00"];
        assert_eq!(in_berlin(&night), utc);
        // The other way round, behind two rows that show the way.
        let before = ["2024-10-27 04:00", "2024-10-27 03:30"];
        night.reverse();
        let descending = in_berlin(&[&before[..], &night].concat());
        assert_eq!(
            descending[2..],
            ["02:00", "01:30", "01:00", "00:30", "00:00", "23:30"]
        );
        // Once an hour, the hour has the same text twice.
        let hours = [
            "2024-10-27 01:00",
            "2024-10-27 02:00",
            "2024-10-27 02:00",
            "2024-10-27 03:00",
        ];
        assert_eq!(in_berlin(&hours), ["23:00", "00:00", "01:00", "02:00"]);
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
        for wrong in ["Berlin", "CEST!", "", "+25:00", "+02:60", "+2"] {
            assert!(wrong.parse::<Zone>().is_err(), "{wrong}");
        }
        assert_eq!(
            "europe/berlin".parse::<Zone>().unwrap().name(),
            "Europe/Berlin"
        );
    }
}
