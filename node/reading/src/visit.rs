//! The records of a selection are gone through, a chunk at a time.

use std::ops::ControlFlow;

use headwater_protocols::record::Record;
use headwater_protocols::store::{History, LogKey, ReadError, Store, StoreError};

use crate::chunks::CandidateChunks;
use crate::selection::{Order, Selection};

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
