//! What an address says of times and spans: where a range begins and ends, and
//! how long something may be. Every route reads it here.

use headwater_client::times::{self, Bound, Unit, span};
use headwater_protocols::time::Timestamp;
use headwater_reading::Selection;

use super::problem::ApiError;

/// A span that is counted back from now moves with every request, so that a
/// client which reads a file in parts would get parts of different files. It
/// moves by this part of itself at a time.
const STEPS: u64 = 100;

/// The least that it moves by.
const LEAST_STEP_US: u64 = 1_000_000;

/// Which records are asked for, as it is written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range<'a> {
    pub(super) from: Option<&'a str>,
    pub(super) to: Option<&'a str>,
    pub(super) unit: Option<Unit>,
    pub(super) now: Timestamp,
}

impl Range<'_> {
    /// The records from an index or a time on, up to another, of a stream of this
    /// size; an open end is as far as the stream reaches.
    pub(super) fn selection(&self, size: u64) -> Result<Selection, ApiError> {
        let mut selection = Selection::indexes(0, u64::MAX);
        let (from, to) = self.bounds(size)?;
        match from {
            None => {}
            Some(Bound::Index(from)) => selection.from = from,
            Some(Bound::Time(since)) => selection.since = Some(since),
        }
        match to {
            None => {}
            Some(Bound::Index(to)) => selection.to = to,
            Some(Bound::Time(before)) => selection.before = Some(before),
        }
        Ok(selection)
    }

    /// Where it begins and ends, of a stream of this size.
    pub(super) fn bounds(&self, size: u64) -> Result<(Option<Bound>, Option<Bound>), ApiError> {
        let bound = |name, text: Option<&str>| {
            text.map(|text| bound(name, text, self.unit, self.now, size))
                .transpose()
        };
        let (from, to) = (bound("from", self.from)?, bound("to", self.to)?);
        require_order(self, from, to)?;
        Ok((from, to))
    }

    /// The times from which on and before which rows are asked for. Indexes are
    /// of one stream, and a table has many.
    pub(super) fn times(&self) -> Result<(Option<Timestamp>, Option<Timestamp>), ApiError> {
        let time = |name, text: Option<&str>| {
            text.map(|text| time(name, text, self.unit, self.now))
                .transpose()
        };
        let (since, before) = (time("from", self.from)?, time("to", self.to)?);
        require_order(self, since.map(Bound::Time), before.map(Bound::Time))?;
        Ok((since, before))
    }

    /// Whether it asks for something else as time goes by.
    pub(super) fn moves(&self) -> bool {
        [self.from, self.to].into_iter().flatten().any(is_span)
    }
}

/// Whether a text is so long before now.
pub(super) fn is_span(text: &str) -> bool {
    span::parse(text).is_ok()
}

fn require_order(
    range: &Range<'_>,
    from: Option<Bound>,
    to: Option<Bound>,
) -> Result<(), ApiError> {
    let is_behind = match (from, to) {
        (Some(Bound::Index(from)), Some(Bound::Index(to))) => from > to,
        (Some(Bound::Time(from)), Some(Bound::Time(to))) => from > to,
        _ => false,
    };
    if !is_behind {
        return Ok(());
    }
    let [from, to] = [range.from, range.to].map(|text| shown(text.unwrap_or_default()));
    Err(ApiError::bad_request(format!(
        "from {from} lies behind to {to}; the range ends before it begins"
    )))
}

/// Refuses a range of indexes that ends before it begins.
pub(super) fn require_rising(from: u64, to: Option<u64>) -> Result<(), ApiError> {
    let [from_text, to_text] = [Some(from), to].map(|index| index.map(|index| index.to_string()));
    let range = Range {
        from: from_text.as_deref(),
        to: to_text.as_deref(),
        ..Range::default()
    };
    require_order(&range, Some(Bound::Index(from)), to.map(Bound::Index))
}

/// Reads an index or a time. An index that a stream of this size does not reach,
/// and that looks like a time, was meant as one.
pub(super) fn bound(
    name: &str,
    text: &str,
    unit: Option<Unit>,
    now: Timestamp,
    size: u64,
) -> Result<Bound, ApiError> {
    let read = read(name, text, unit, now);
    let bound = read.map_err(|error| {
        let detail = &error.problem().detail;
        ApiError::bad_request(format!("{detail}; an index is a whole number from 0"))
    })?;
    match bound {
        Bound::Index(index) if index > size => match times::epoch_unit(index) {
            Some(unit) => Err(ApiError::bad_request(format!(
                "{name}: {index} is an index, and the stream has {size} records; it looks like {unit} since 1970: \
                 write the time (RFC 3339), or say time_unit={}",
                unit.symbol()
            ))),
            None => Ok(bound),
        },
        bound => Ok(bound),
    }
}

/// Reads a time where no index can be meant.
pub(super) fn time(
    name: &str,
    text: &str,
    unit: Option<Unit>,
    now: Timestamp,
) -> Result<Timestamp, ApiError> {
    match read(name, text, unit, now)? {
        Bound::Time(time) => Ok(time),
        Bound::Index(index) => {
            let looks_like = match times::epoch_unit(index) {
                Some(unit) => format!(
                    "; {index} looks like {unit}: say time_unit={}",
                    unit.symbol()
                ),
                None => String::new(),
            };
            Err(ApiError::bad_request(format!(
                "{name} must be a time (RFC 3339): an index is of one stream only{looks_like}"
            )))
        }
    }
}

/// Reads the time of which the last record that is not after it is asked for.
pub(super) fn instant(
    name: &str,
    text: &str,
    unit: Option<Unit>,
    now: Timestamp,
) -> Result<Timestamp, ApiError> {
    let now = stepwise(text, now);
    let read = times::of_text(text, unit, Some(now)).or_else(|error| {
        let with_plus = with_plus(text).ok_or_else(|| error.clone())?;
        times::of_text(&with_plus, unit, Some(now)).map_err(|_| error)
    });
    let time = read.map(|moment| moment.time);
    time.map_err(|error| ApiError::bad_request(format!("{name}: {error}")))
}

fn read(name: &str, text: &str, unit: Option<Unit>, now: Timestamp) -> Result<Bound, ApiError> {
    let now = stepwise(text, now);
    let bound = times::bound(text, unit, now).or_else(|error| {
        let with_plus = with_plus(text).ok_or_else(|| error.clone())?;
        times::bound(&with_plus, unit, now).map_err(|_| error)
    });
    bound.map_err(|error| ApiError::bad_request(format!("{name}: {error}")))
}

/// In the query of an address a plus sign means a space.
fn with_plus(text: &str) -> Option<String> {
    let (before, after) = text.rsplit_once(' ')?;
    Some(format!("{before}+{after}"))
}

fn stepwise(text: &str, now: Timestamp) -> Timestamp {
    let Ok(span) = span::parse(text) else {
        return now;
    };
    let step = u64::try_from(span.as_micros()).unwrap_or(u64::MAX) / STEPS;
    let step = i64::try_from(step.max(LEAST_STEP_US)).unwrap_or(i64::MAX);
    Timestamp(now.0 - now.0.rem_euclid(step))
}

/// Reads how long something may be: as a text with units, or in microseconds
/// under the name with `_us`.
pub(super) fn micros(
    name: &str,
    text: Option<&str>,
    micros: Option<u64>,
) -> Result<Option<u64>, ApiError> {
    let Some(text) = text else {
        return Ok(micros);
    };
    if micros.is_some() {
        let text = format!("{name} and {name}_us say the same; leave one off");
        return Err(ApiError::bad_request(text));
    }
    let span = span::parse(text);
    let span = span.map_err(|error| ApiError::bad_request(format!("{name}: {error}")))?;
    Ok(Some(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
}

/// The same of what must be longer than nothing.
pub(super) fn positive_micros(
    name: &str,
    text: Option<&str>,
    us: Option<u64>,
) -> Result<Option<u64>, ApiError> {
    match micros(name, text, us)? {
        Some(0) => Err(ApiError::bad_request(format!(
            "{name} must be longer than nothing; leave it off where none is meant"
        ))),
        span => Ok(span),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-11-29T07:06:40Z.
    const NOW: Timestamp = Timestamp(1_764_400_000_000_000);

    fn selected(from: &str, to: &str, unit: Option<Unit>) -> Result<Selection, String> {
        let range = Range {
            from: (!from.is_empty()).then_some(from),
            to: (!to.is_empty()).then_some(to),
            unit,
            now: NOW,
        };
        range
            .selection(562)
            .map_err(|error| error.problem().detail.clone())
    }

    #[test]
    fn indexes_times_dates_and_spans_say_where_a_range_lies() {
        let everything = Selection::indexes(0, u64::MAX);
        assert_eq!(selected("", "", None), Ok(everything));
        assert_eq!(selected("5", "9", None), Ok(Selection::indexes(5, 9)));
        assert_eq!(selected("5", "5", None), Ok(Selection::indexes(5, 5)));
        // Beyond the end is as far as the stream reaches.
        let beyond = selected("563", "18446744073709551615", None);
        assert_eq!(beyond, Ok(Selection::indexes(563, u64::MAX)));
        const DAY_US: i64 = 86_400_000_000;
        for (from, unit, since) in [
            ("1970-01-02", None, DAY_US),
            ("1970-01-02 00:00", None, DAY_US),
            ("1970-01-02T01:00:00 01:00", None, DAY_US),
            ("86400", Some(Unit::Seconds), DAY_US),
            ("1764400000.5", Some(Unit::Seconds), NOW.0 + 500_000),
        ] {
            let since = Some(Timestamp(since));
            let expected = Selection {
                since,
                ..everything
            };
            assert_eq!(selected(from, "", unit), Ok(expected), "{from}");
        }
        let hour = selected("1h", "1s", None).unwrap();
        let [since, before] = [hour.since, hour.before].map(|time| NOW.0 - time.unwrap().0);
        assert!((3_600_000_000..3_636_000_000).contains(&since), "{since}");
        assert_eq!(before, 1_000_000);
    }

    #[test]
    fn a_time_that_was_written_as_an_index_is_said_and_not_answered_with_nothing() {
        for (from, to) in [
            ("1764400000", ""),
            ("", "1764400000"),
            ("1764400000000", ""),
        ] {
            let error = selected(from, to, None).unwrap_err();
            assert!(error.contains("seconds since 1970"), "{error}");
            assert!(error.contains("562 records"), "{error}");
        }
        let error = selected("1764400000.5", "", None).unwrap_err();
        assert!(error.contains("looks like seconds"), "{error}");
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_refused() {
        for (from, to) in [("10", "5"), ("2024-01-02", "2024-01-01"), ("1h", "2h")] {
            let error = selected(from, to, None).unwrap_err();
            assert!(error.contains("lies behind"), "{error}");
        }
        // Which of these lies behind is not known.
        assert!(selected("10", "2024-01-01", None).is_ok());
    }

    #[test]
    fn a_span_stands_still_for_a_hundredth_of_itself() {
        let from = |after: i64| {
            let now = NOW.offset(after);
            time("from", "100m", None, now).unwrap()
        };
        let all: std::collections::BTreeSet<_> = (0..60).map(|s| from(s * 1_000_000)).collect();
        assert!(all.len() <= 2, "{all:?}");
        assert!(is_span("3d") && !is_span("3"));
    }

    #[test]
    fn how_long_something_may_be_is_said_once() {
        assert_eq!(
            micros("tolerance", Some("3d"), None),
            Ok(Some(259_200_000_000))
        );
        assert_eq!(micros("tolerance", None, Some(5)), Ok(Some(5)));
        assert_eq!(micros("tolerance", None, None), Ok(None));
        for (text, micros_said) in [(Some("3"), None), (Some("3d"), Some(5)), (Some(""), None)] {
            let error = micros("tolerance", text, micros_said).unwrap_err();
            assert!(error.problem().detail.contains("tolerance"));
        }
    }

    #[test]
    fn where_a_table_has_rows_only_a_time_can_say() {
        let error = time("from", "1764400000", None, NOW).unwrap_err();
        assert!(error.problem().detail.contains("time_unit=s"));
        assert!(time("from", "5", None, NOW).is_err());
        assert_eq!(
            time("from", "5", Some(Unit::Seconds), NOW),
            Ok(Timestamp(5_000_000))
        );
    }
}
