//! Whole chunks that nobody has to keep any more: their records go, with what
//! is known of them alone; the tree above them stays.

use std::ops::ControlFlow;

use super::addresses::delete_place;
use super::history::{History, LogKey};
use super::tables::{edge_key, index_key, index_of, level_key};
use super::{Batch, Store, StoreError, Table};
use crate::limits::{DROPPED_CHUNKS_PER_STEP, DROPPED_ROWS_PER_STEP};
use crate::merkle::Hash;
use crate::ranges::{Interval, IntervalSet};

/// A row that may go, and the chunk that it belongs to.
type Row = (Table, Vec<u8>, u64);

/// Puts into a batch what removes the records of `range`, which begins and ends
/// with a chunk, from its beginning on and as many as a step may take; returns
/// the end of what goes. The hash of each chunk stays, and everything above it,
/// so that what is kept can be proved, and a tree that ends with a chunk can be
/// shown to have grown.
///
/// Nothing else of the log may be in the batch but heads and nodes. When the
/// commit fails, `held` claims too little and must be read anew.
///
/// # Errors
/// The store fails; `held` is as it was.
pub fn remove_chunks<S: Store + ?Sized>(
    store: &S,
    key: LogKey,
    held: &mut IntervalSet,
    range: Interval,
    batch: &mut Batch,
) -> Result<u64, StoreError> {
    let (chunks, mut end) = whole_chunks(key, held, range);
    let mut rows = Vec::new();
    // A chunk of one record has neither.
    if key.chunk_level > 0 {
        for table in [Table::Records, Table::Edges] {
            end = loose_rows(store, key, table, Interval { to: end, ..range }, &mut rows)?;
        }
    }
    let last = key.chunk_of(end);
    for chunk in chunks.into_iter().filter(|&chunk| chunk < last) {
        remove_address(store, key, chunk, batch)?;
        batch.delete(Table::Chunks, index_key(key.number, chunk));
    }
    for (table, row, _) in rows.into_iter().filter(|(.., chunk)| *chunk < last) {
        batch.delete(table, row);
    }
    let times = History::new(store, key).times();
    times.remove(key.chunk_of(range.from), last, batch)?;
    let change = held.remove(range.from, end);
    for begin in change.removed {
        batch.delete(Table::Held, index_key(key.number, begin));
    }
    for Interval { from, to } in change.put {
        let row = index_key(key.number, from);
        batch.put(Table::Held, row, to.to_be_bytes().to_vec());
    }
    Ok(end)
}

/// The first chunks of a range that are held as one row each, and where they
/// end: with the range, unless there are more than a step may take.
fn whole_chunks(key: LogKey, held: &IntervalSet, range: Interval) -> (Vec<u64>, u64) {
    let mut chunks = Vec::new();
    for part in held.held(range.from, range.to) {
        let first = key.chunk_of(part.from + key.chunk_len() - 1);
        for chunk in first..key.chunk_of(part.to) {
            if chunks.len() == DROPPED_CHUNKS_PER_STEP {
                return (chunks, key.chunk_interval(chunk).from);
            }
            chunks.push(chunk);
        }
    }
    (chunks, range.to)
}

/// Adds the rows of chunks that are not held as a whole, and returns where they
/// end: with the range, unless there are more than a step may take.
fn loose_rows<S: Store + ?Sized>(
    store: &S,
    key: LogKey,
    table: Table,
    range: Interval,
    rows: &mut Vec<Row>,
) -> Result<u64, StoreError> {
    let is_edge = table == Table::Edges;
    let (from, to) = match is_edge {
        true => (
            edge_key(key.number, key.chunk_of(range.from), 0, 0).to_vec(),
            edge_key(key.number, key.chunk_of(range.to), 0, 0).to_vec(),
        ),
        false => (
            index_key(key.number, range.from).to_vec(),
            index_key(key.number, range.to).to_vec(),
        ),
    };
    let (mut end, mut count) = (range.to, 0);
    store.scan(table, &from, &to, &mut |row, _| {
        let chunk = match is_edge {
            true => row.get(..12).and_then(index_of),
            false => index_of(row).map(|index| key.chunk_of(index)),
        };
        let chunk = chunk.unwrap_or_default();
        if count == DROPPED_ROWS_PER_STEP {
            end = key.chunk_interval(chunk).from;
            return ControlFlow::Break(());
        }
        count += 1;
        rows.push((table, row.to_vec(), chunk));
        ControlFlow::Continue(())
    })?;
    Ok(end)
}

/// A chunk is not found at this place by its address any more.
fn remove_address<S: Store + ?Sized>(
    store: &S,
    key: LogKey,
    chunk: u64,
    batch: &mut Batch,
) -> Result<(), StoreError> {
    let node = level_key(key.number, key.chunk_level, chunk);
    let Some(address) = store.get(Table::Nodes, &node)? else {
        return Ok(());
    };
    let Ok(address) = <[u8; 32]>::try_from(&address[..]) else {
        return Err(StoreError::Damaged("a node of the tree".to_owned()));
    };
    delete_place(store, batch, &Hash(address), key.number, chunk)
}
