//! Which records of a stream are read, and how.

use std::ops::ControlFlow;

use headwater_protocols::record::Record;
use headwater_protocols::store::{History, LogKey, ReadError, Store, StoreError};
use headwater_protocols::time::Timestamp;

use super::chunks::CandidateChunks;

/// By index; times may repeat and run backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The lowest index first.
    #[default]
    Ascending,
    /// The highest index first.
    Descending,
}

/// The records with an index in `[from, to)` and a time in `[since, before)`,
/// at most `limit` of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The first index.
    pub from: u64,
    /// The index behind the last one.
    pub to: u64,
    /// The earliest time.
    pub since: Option<Timestamp>,
    /// The time that all of them lie before.
    pub before: Option<Timestamp>,
    /// At most this many, from the side that `order` begins at.
    pub limit: Option<u64>,
    /// Which comes first.
    pub order: Order,
}

impl Selection {
    /// The records with these indexes.
    #[must_use]
    pub fn indexes(from: u64, to: u64) -> Self {
        Self {
            from,
            to,
            ..Self::default()
        }
    }

    /// Whether it is narrowed by time.
    #[must_use]
    pub fn is_by_time(&self) -> bool {
        self.since.is_some() || self.before.is_some()
    }

    /// The indexes that must be held to answer it: `[from, to)`. A limit makes
    /// them fewer, unless it counts records that only their times tell.
    #[must_use]
    pub fn needed(&self) -> (u64, u64) {
        let to = self.to.max(self.from);
        match (self.limit, self.order) {
            (Some(0), _) => (self.from, self.from),
            _ if self.is_by_time() => (self.from, to),
            (None, _) => (self.from, to),
            (Some(limit), Order::Ascending) => (self.from, to.min(self.from.saturating_add(limit))),
            (Some(limit), Order::Descending) => (self.from.max(to.saturating_sub(limit)), to),
        }
    }

    fn takes(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since)
            && self.before.is_none_or(|before| time < before)
    }
}

/// Reads the records of a selection one chunk at a time and hands each one to
/// `take`. Everything in [`Selection::needed`] must be held.
///
/// # Errors
/// A record is not held, the store fails, or `take` does.
pub fn visit<S, E>(
    history: &History<'_, S>,
    selection: &Selection,
    mut take: impl FnMut(u64, &Record) -> Result<(), E>,
) -> Result<(), E>
where
    S: Store + ?Sized,
    E: From<ReadError>,
{
    let (from, to) = selection.needed();
    let needed = Selection {
        from,
        to,
        ..*selection
    };
    let mut left = selection.limit.unwrap_or(u64::MAX);
    for chunk in chunks(history, &needed).map_err(ReadError::from)? {
        let chunk = chunk.map_err(ReadError::from)?;
        if visit_chunk(history, &needed, chunk, &mut left, &mut take)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn visit_chunk<S, E>(
    history: &History<'_, S>,
    needed: &Selection,
    chunk: u64,
    left: &mut u64,
    take: &mut impl FnMut(u64, &Record) -> Result<(), E>,
) -> Result<ControlFlow<()>, E>
where
    S: Store + ?Sized,
    E: From<ReadError>,
{
    let interval = history.key().chunk_interval(chunk);
    let from = interval.from.max(needed.from);
    let run = history.run(from, interval.to.min(needed.to))?;
    let mut visit = |(index, record): (u64, &Record)| -> Result<ControlFlow<()>, E> {
        if *left == 0 {
            return Ok(ControlFlow::Break(()));
        }
        if needed.takes(record.time()) {
            take(index, record)?;
            *left -= 1;
        }
        Ok(ControlFlow::Continue(()))
    };
    // A range of indexes of known length can be walked from both ends.
    let indexes = from..from + run.len() as u64;
    let mut ascending;
    let mut descending;
    let records: &mut dyn Iterator<Item = (u64, &Record)> = match needed.order {
        Order::Ascending => {
            ascending = indexes.zip(&run);
            &mut ascending
        }
        Order::Descending => {
            descending = indexes.rev().zip(run.iter().rev());
            &mut descending
        }
    };
    for record in records {
        if visit(record)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

type Chunks<'a> = Box<dyn Iterator<Item = Result<u64, StoreError>> + 'a>;

/// The chunks to read, in order. By index it is each one in turn, so that one
/// that is gone is an error and not left out.
fn chunks<'a, S: Store + ?Sized>(
    history: &'a History<'_, S>,
    needed: &'a Selection,
) -> Result<Chunks<'a>, StoreError> {
    let LogKey { chunk_level, .. } = history.key();
    let Some(last) = needed.to.checked_sub(1).filter(|&last| last >= needed.from) else {
        return Ok(Box::new(std::iter::empty()));
    };
    if needed.is_by_time() {
        let candidates = CandidateChunks::new(history.times(), chunk_level, needed)?;
        return Ok(Box::new(candidates));
    }
    let all = needed.from >> chunk_level..(last >> chunk_level) + 1;
    Ok(match needed.order {
        Order::Ascending => Box::new(all.map(Ok)),
        Order::Descending => Box::new(all.rev().map(Ok)),
    })
}
