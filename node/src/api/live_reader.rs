//! What a live client may have got, and whether that is still what counts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use headwater_protocols::engine::LogStatus;
use headwater_protocols::id::LogId;

use super::event_id::EventId;
use super::limits::MAX_FIRST_ROWS;

/// What a client may have.
#[derive(Debug)]
pub(super) struct LiveReader {
    /// The records before this one.
    has: u64,
    /// The number under which the rows are stored that it has got last.
    rows: Option<u32>,
    /// Where the history that it comes back with parts from the one that counts.
    parts_from: Option<u64>,
    /// Whether it has come when the recovery key had ended the stream already.
    comes_after_end: Option<bool>,
}

impl LiveReader {
    /// A client that asks for what follows, and may have what comes before.
    pub(super) fn before(next: Option<u64>) -> Self {
        Self {
            has: next.unwrap_or(0),
            rows: None,
            parts_from: None,
            comes_after_end: None,
        }
    }

    /// A client that comes back with this record.
    pub(super) fn with(id: &EventId, status: &LogStatus, were_replaced: bool) -> Self {
        Self {
            parts_from: id.parts_from(status, were_replaced),
            ..Self::before(Some(id.index.saturating_add(1)))
        }
    }

    /// The record behind those that it may have.
    pub(super) fn has(&self) -> u64 {
        self.has
    }

    /// It gets this record.
    pub(super) fn gets(&mut self, index: u64) {
        self.has = index.saturating_add(1);
    }

    /// Whether the stream was fetched anew since records of it were read, because those
    /// were of another tree than the one that counts.
    pub(super) fn are_rows_of_another_tree(&mut self, status: &LogStatus) -> bool {
        let Some(key) = status.key else {
            return false;
        };
        let before = self.rows.replace(key.number);
        let is_other = before.is_some_and(|before| before != key.number);
        if is_other && status.recovered.is_some() {
            // What it has got may differ from the first record on.
            self.parts_from = Some(0);
        }
        is_other
    }

    /// The first record that does not count, because the recovery key of the stream has
    /// ended it: where it may have that, and once where it hears of that end. It is to be
    /// told so; it has no more than what comes before from then on.
    pub(super) fn disowned_from(&mut self, status: &LogStatus) -> Option<u64> {
        let is_ended = status.recovered.is_some();
        let comes_after = *self.comes_after_end.get_or_insert(is_ended);
        let hears = is_ended && !comes_after;
        let end = status.recovered.as_ref()?.tree().size;
        let counts = status.disputed_from.map_or(end, |from| from.min(end));
        let from = self
            .parts_from
            .take()
            .map_or(counts, |from| from.min(counts));
        if self.has <= from && !hears {
            return None;
        }
        self.comes_after_end = Some(true);
        self.has = self.has.min(from);
        Some(from)
    }
}

/// Under which number the rows of a stream were stored when it had its first live client
/// since the node started: others than now were replaced. What was replaced before that is
/// told by the proof that the publisher has signed two histories.
#[derive(Debug, Default)]
pub(super) struct FirstRows(Mutex<BTreeMap<LogId, u32>>);

impl FirstRows {
    /// Whether the rows of a stream are others than they were.
    pub(super) fn were_replaced(&self, status: &LogStatus) -> bool {
        let Some(key) = status.key else {
            return false;
        };
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = first.get(&status.log) {
            return *first != key.number;
        }
        if first.len() < MAX_FIRST_ROWS {
            first.insert(status.log, key.number);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocols::store::LogKey;

    use super::super::view::tests::status;
    use super::*;

    #[test]
    fn rows_are_replaced_when_they_are_others_than_the_first() {
        let rows = FirstRows::default();
        let with = |stream: u8, number| {
            let mut status = status("temperature", 1, 9);
            status.log = LogId([stream; 32]);
            status.key = Some(LogKey {
                number,
                chunk_level: 2,
            });
            rows.were_replaced(&status)
        };
        assert_eq!([with(1, 4), with(1, 4), with(2, 5)], [false; 3]);
        assert_eq!([with(1, 6), with(1, 4), with(2, 6)], [true, false, true]);
    }
}
