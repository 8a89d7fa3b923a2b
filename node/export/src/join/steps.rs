//! The times of rows at equal distances, and how many there may be.

use std::fmt;

use headwater_client::times::text::to_text;
use headwater_protocols::store::Store;
use headwater_protocols::time::Timestamp;

use super::super::limits::{MAX_JOIN_ROWS, MAX_OPEN_JOIN_ROWS};
use super::{Join, JoinError, JoinedStream, Side, failed};

/// Times at equal distances. In 128 bits, because the last one may lie beyond
/// those that can be kept.
#[derive(Debug)]
pub(super) struct Steps {
    next: i128,
    /// Behind the last one.
    end: i128,
    step: i128,
}

/// Where rows begin or end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    time: Timestamp,
    /// The stream and the record that make it so, unless it was said.
    by: Option<(String, u64)>,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_text(self.time))?;
        match &self.by {
            Some((stream, index)) => write!(f, " (record {index} of stream `{stream}`)"),
            None => Ok(()),
        }
    }
}

/// More rows than anybody wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "that would be {rows} rows, from {from} to {to}, and {most} are the most{}; make the steps longer, or {}",
    if self.is_open() { " where from and to do not say both ends" } else { "" },
    if self.is_open() { "say from and to" } else { "bring from and to nearer to each other" }
)]
pub struct TooManyRows {
    rows: u128,
    most: u64,
    from: End,
    to: End,
}

impl TooManyRows {
    /// Records say where the rows begin or end.
    fn is_open(&self) -> bool {
        self.from.by.is_some() || self.to.by.is_some()
    }
}

impl Steps {
    /// From the first record, or where it is said, to the first step that
    /// knows the last one.
    pub(super) fn of<S: Store + ?Sized>(
        streams: &[JoinedStream<'_, S>],
        sides: &mut [Side<'_, S>],
        how: &Join,
        step_us: u64,
    ) -> Result<Self, JoinError> {
        let said = |time: Timestamp| End { time, by: None };
        let from = match how.since {
            Some(since) => Some(said(since)),
            None => earliest(sides)?,
        };
        let to = match how.before {
            Some(before) => Some(said(before)),
            None => latest(streams)?,
        };
        let step = i128::from(step_us.max(1));
        let (Some(from), Some(to)) = (from, to) else {
            let (next, end) = (0, 0);
            return Ok(Self { next, end, step });
        };
        let at_or_after = |time: Timestamp| {
            let time = i128::from(time.0);
            time + (-time).rem_euclid(step)
        };
        let next = at_or_after(from.time);
        // The last record is known at the step behind it, or on it.
        let behind = if to.by.is_some() { step } else { 0 };
        let end = at_or_after(to.time) + behind;
        let rows = (end - next).max(0).unsigned_abs() / step.unsigned_abs();
        let is_said = from.by.is_none() && to.by.is_none();
        let most = if is_said {
            MAX_JOIN_ROWS
        } else {
            MAX_OPEN_JOIN_ROWS
        };
        if rows > u128::from(most) {
            let too_many = TooManyRows {
                rows,
                most,
                from,
                to,
            };
            return Err(too_many.into());
        }
        Ok(Self { next, end, step })
    }
}

/// The first record of all, by time.
fn earliest<S: Store + ?Sized>(sides: &mut [Side<'_, S>]) -> Result<Option<End>, JoinError> {
    let mut earliest: Option<End> = None;
    for side in sides {
        let place = side.records.next_place();
        let place = place.map_err(|why| failed(side.name, why))?;
        let Some((index, time)) = place else { continue };
        if earliest.as_ref().is_none_or(|end| time < end.time) {
            let by = Some((side.name.to_owned(), index));
            earliest = Some(End { time, by });
        }
    }
    Ok(earliest)
}

/// The last one.
fn latest<S: Store + ?Sized>(streams: &[JoinedStream<'_, S>]) -> Result<Option<End>, JoinError> {
    let mut latest: Option<End> = None;
    for stream in streams {
        let end = Timestamp(i64::MAX);
        let Some((index, time)) = stream.records.latest_until(end)? else {
            continue;
        };
        if latest.as_ref().is_none_or(|end| time > end.time) {
            let by = Some((stream.column.name.clone(), index));
            latest = Some(End { time, by });
        }
    }
    Ok(latest)
}

impl Iterator for Steps {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        if self.next >= self.end {
            return None;
        }
        let time = i64::try_from(self.next).ok()?;
        self.next += self.step;
        Some(Timestamp(time))
    }
}
