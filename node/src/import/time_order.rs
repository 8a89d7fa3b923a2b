//! Streams whose times never go back: rows that they cannot take are bad rows, so
//! that they are found before anything is signed, and are left out like others.

use headwater_client::times::text::to_text;
use headwater_client::times::{not_soon, soon};
use headwater_client::types::StreamView;
use headwater_protocols::time::Timestamp;

use super::rows::{BadRow, Row, RowError};

/// What an ordered stream asks of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeOrder {
    /// What is later must be said to be meant.
    soon: Option<Timestamp>,
}

impl TimeOrder {
    /// With times far ahead of now where they are meant.
    pub(crate) fn new(far_ahead: bool, now: Timestamp) -> Self {
        let soon = (!far_ahead).then(|| soon(now));
        Self { soon }
    }

    /// What this stream asks, if anything.
    pub(crate) fn of(stream: &StreamView, far_ahead: bool, now: Timestamp) -> Option<Self> {
        (stream.manifest.ordered).then(|| Self::new(far_ahead, now))
    }

    /// # Errors
    /// The time lies so far ahead that nothing could be published for long; says so.
    pub(crate) fn check(self, time: Timestamp) -> Result<(), String> {
        match self.soon {
            Some(soon) if time > soon => Err(format!(
                "{}; say --far-ahead if it is meant",
                not_soon(time)
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// Rows on their way into a stream, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InOrder {
    order: Option<TimeOrder>,
    last: Option<(Timestamp, u64)>,
}

impl InOrder {
    /// Into one that asks this of times, or nothing.
    pub(crate) fn new(order: Option<TimeOrder>) -> Self {
        Self { order, last: None }
    }

    /// The row, if the stream can take it behind those before.
    ///
    /// # Errors
    /// It cannot.
    pub(crate) fn check(&mut self, row: Row) -> Result<Row, RowError> {
        let Some(order) = self.order else {
            return Ok(row);
        };
        let bad = |what| {
            let line = row.line;
            Err(RowError::Bad(BadRow { line, what }))
        };
        if let Err(what) = order.check(row.time) {
            return bad(what);
        }
        if let Some((last, line)) = self.last.filter(|(last, _)| row.time < *last) {
            return bad(format!(
                "the time {} is before {}, that of line {line}, and the times of the stream never go back",
                to_text(row.time),
                to_text(last)
            ));
        }
        self.last = Some((row.time, row.line));
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::ValueRules;
    use super::*;
    use headwater_client::times::Moment;
    use headwater_protocols::manifest::ValueType;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    fn row(time: Timestamp, line: u64) -> Row {
        let rules = ValueRules::new(ValueType::Number, 8);
        Row::new(Moment::exact(time), rules.of_text("1").unwrap()).on_line(line)
    }

    #[test]
    fn a_row_that_goes_back_is_bad_and_those_behind_it_are_not() {
        let mut rows = InOrder::new(Some(TimeOrder::new(false, NOW)));
        let mut check = |time, line| rows.check(row(Timestamp(time), line));
        assert!(check(5, 2).is_ok() && check(5, 3).is_ok());
        let Err(RowError::Bad(bad)) = check(4, 4) else {
            panic!("it was taken");
        };
        assert_eq!(bad.line, 4);
        assert!(bad.what.contains("that of line 3"), "{}", bad.what);
        assert!(check(6, 5).is_ok());
        let mut rows = InOrder::new(None);
        assert!(rows.check(row(Timestamp(5), 2)).is_ok());
        assert!(rows.check(row(Timestamp(4), 3)).is_ok());
    }

    #[test]
    fn a_time_far_ahead_is_bad_unless_it_is_meant_and_ends_nothing() {
        let day = 86_400_000_000;
        let (near, far) = (NOW.offset(day / 2), NOW.offset(2 * day));
        let mut rows = InOrder::new(Some(TimeOrder::new(false, NOW)));
        let Err(RowError::Bad(bad)) = rows.check(row(far, 2)) else {
            panic!("it was taken");
        };
        assert!(bad.what.contains("--far-ahead"), "{}", bad.what);
        assert!(rows.check(row(near, 3)).is_ok());
        let mut rows = InOrder::new(Some(TimeOrder::new(true, NOW)));
        assert!(rows.check(row(far, 2)).is_ok());
        assert!(rows.check(row(near, 3)).is_err());
    }
}
