//! The verified data of one log, as it is read: what is held of it, the records,
//! the nodes of the tree that prove them, and the time index.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};

use super::tables::{edge_key, index_key, index_of, level_key};
use super::times::{Place, Summary, Times};
use super::{Store, StoreError, Table};
use crate::limits::HASHED_AS_A_UNIT;
use crate::merkle::{Hash, Nodes, Subtree, subtree_levels, subtree_root};
use crate::ranges::{Interval, IntervalSet};
use crate::record::{self, Record, RecordError, encoded_len, put_record};
use crate::time::Timestamp;

/// What tells the rows of one log from those of others, and how they are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogKey {
    /// The log's number in this store.
    pub number: u32,
    /// A chunk is an aligned run of 2^chunk_level records.
    pub chunk_level: u8,
}

impl LogKey {
    /// The chunk that an index lies in.
    #[must_use]
    pub fn chunk_of(self, index: u64) -> u64 {
        index >> self.chunk_level
    }

    /// The records of a chunk.
    #[must_use]
    pub fn chunk_interval(self, chunk: u64) -> Interval {
        let from = chunk << self.chunk_level;
        Interval {
            from,
            to: from + self.chunk_len(),
        }
    }

    /// Records in a chunk.
    #[must_use]
    pub fn chunk_len(self) -> u64 {
        1 << self.chunk_level
    }
}

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is not here.
    #[error("record {0} is not held here")]
    NotHeld(u64),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RecordError> for ReadError {
    fn from(error: RecordError) -> Self {
        Self::Store(StoreError::Damaged(error.to_string()))
    }
}

/// Reads one log. Made for one use: it remembers the chunk that it read last.
#[derive(Debug)]
pub struct History<'s, S: ?Sized> {
    pub(super) store: &'s S,
    key: LogKey,
    /// The nodes of the chunk that a proof was last made from, by level.
    chunk_nodes: RefCell<Option<(u64, Vec<Vec<Hash>>)>>,
    /// Nodes that were looked up, and bytes of records that were read for whatever
    /// was asked.
    nodes_read: Cell<usize>,
    bytes_read: Cell<u64>,
}

impl<'s, S: Store + ?Sized> History<'s, S> {
    /// The history of a log.
    pub fn new(store: &'s S, key: LogKey) -> Self {
        Self {
            store,
            key,
            chunk_nodes: RefCell::new(None),
            nodes_read: Cell::new(0),
            bytes_read: Cell::new(0),
        }
    }

    /// Where it is read from.
    #[must_use]
    pub fn store(&self) -> &S {
        self.store
    }

    /// What tells this log from others.
    #[must_use]
    pub fn key(&self) -> LogKey {
        self.key
    }

    /// The time index.
    #[must_use]
    pub fn times(&self) -> Times<'s, S> {
        Times::new(self.store, self.key.number)
    }

    /// Bytes of all records that are held, each with its length.
    ///
    /// # Errors
    /// The store fails.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        Ok(self.times().top()?.map_or(0, |(_, summary)| summary.bytes))
    }

    /// What is held.
    ///
    /// # Errors
    /// The store fails.
    pub fn held(&self) -> Result<IntervalSet, StoreError> {
        let mut intervals = Vec::new();
        let from = index_key(self.key.number, 0);
        let to = index_key(self.key.number, u64::MAX);
        self.store
            .scan(Table::Held, &from, &to, &mut |key, value| {
                intervals.push((index_of(key), index_of(value)));
                ControlFlow::Continue(())
            })?;
        let damaged = |why: String| StoreError::Damaged(format!("what is held: {why}"));
        let intervals: Option<Vec<_>> = intervals
            .into_iter()
            .map(|(from, to)| {
                Some(Interval {
                    from: from?,
                    to: to?,
                })
            })
            .collect();
        let intervals = intervals.ok_or_else(|| damaged("a row is too short".to_owned()))?;
        IntervalSet::from_stored(intervals).map_err(|error| damaged(error.to_string()))
    }

    /// One record.
    ///
    /// # Errors
    /// It is not held, or the store fails.
    pub fn record(&self, index: u64) -> Result<Record, ReadError> {
        let mut run = self.run(index, index + 1)?;
        run.pop().ok_or(ReadError::NotHeld(index))
    }

    /// The records from `from` up to `to` or to the end of the chunk that
    /// `from` lies in, whichever comes first. All of them must be held.
    ///
    /// # Errors
    /// One is not held, or the store fails.
    pub fn run(&self, from: u64, to: u64) -> Result<Vec<Record>, ReadError> {
        let chunk = self.key.chunk_of(from);
        let interval = self.key.chunk_interval(chunk);
        let to = to.min(interval.to);
        if from >= to {
            return Ok(Vec::new());
        }
        if let Some(run) = self.run_of_chunk(chunk, from, to)? {
            return Ok(run);
        }
        match self.run_of_records(from, to) {
            // Between the two look-ups a writer may have folded the records
            // into their chunk.
            Err(ReadError::NotHeld(index)) => self
                .run_of_chunk(chunk, from, to)?
                .ok_or(ReadError::NotHeld(index)),
            other => other,
        }
    }

    fn run_of_chunk(
        &self,
        chunk: u64,
        from: u64,
        to: u64,
    ) -> Result<Option<Vec<Record>>, ReadError> {
        let Some(bytes) = self.chunk(chunk)? else {
            return Ok(None);
        };
        self.has_read(bytes.len());
        let first = self.key.chunk_interval(chunk).from;
        let records: Result<Vec<_>, _> = record::records(&bytes)
            .skip((from - first) as usize)
            .take((to - from) as usize)
            .collect();
        let records = records?;
        if records.len() as u64 != to - from {
            let why = format!("chunk {chunk} has fewer records than it should");
            return Err(StoreError::Damaged(why).into());
        }
        Ok(Some(records))
    }

    fn run_of_records(&self, from: u64, to: u64) -> Result<Vec<Record>, ReadError> {
        let mut records = Vec::with_capacity((to - from) as usize);
        let mut next = from;
        self.store.scan(
            Table::Records,
            &index_key(self.key.number, from),
            &index_key(self.key.number, to),
            &mut |key, value| {
                if index_of(key) != Some(next) {
                    return ControlFlow::Break(());
                }
                next += 1;
                self.has_read(value.len());
                records.push(Record::from_bytes(Bytes::copy_from_slice(value)));
                ControlFlow::Continue(())
            },
        )?;
        if next < to {
            return Err(ReadError::NotHeld(next));
        }
        Ok(records.into_iter().collect::<Result<_, _>>()?)
    }

    /// The bytes of a whole chunk that is stored as one.
    ///
    /// # Errors
    /// The store fails.
    pub fn chunk(&self, chunk: u64) -> Result<Option<Bytes>, StoreError> {
        let key = index_key(self.key.number, chunk);
        self.store.get(Table::Chunks, &key)
    }

    /// The records of a subtree of at most a chunk, each after its length.
    ///
    /// # Errors
    /// One is not held, or the store fails.
    pub fn subtree_bytes(&self, subtree: Subtree) -> Result<Bytes, ReadError> {
        if subtree.level == self.key.chunk_level
            && let Some(bytes) = self.chunk(subtree.index)?
        {
            return Ok(bytes);
        }
        let run = self.run(subtree.begin(), subtree.end())?;
        let mut bytes =
            BytesMut::with_capacity(run.iter().map(|r| encoded_len(r.as_bytes())).sum());
        for record in run {
            put_record(&mut bytes, record.as_bytes());
        }
        Ok(bytes.freeze())
    }

    /// The last record with the greatest time that is not after `time`, among
    /// the first `size`: its index and time.
    ///
    /// # Errors
    /// The store fails.
    pub fn at_or_before(
        &self,
        time: Timestamp,
        size: u64,
    ) -> Result<Option<(u64, Timestamp)>, ReadError> {
        let mut best = None;
        if let Some((top, summary)) = self.times().top()? {
            self.search(top, summary, time, size, &mut best)?;
        }
        Ok(best.map(|(time, index)| (index, time)))
    }

    /// Nodes of the tree that were looked up so far, or made from records, which
    /// counts for as many as take the time.
    #[must_use]
    pub fn nodes_read(&self) -> usize {
        self.nodes_read.get()
    }

    /// Bytes of the chunks and single records that were read so far, to give them
    /// out, to hash them or to look for a time in them: in a log whose times run
    /// to and fro they may be many. Chunks that are given out as they are do not
    /// count.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }

    fn has_hashed(&self, records: usize) {
        let nodes = records.div_ceil(HASHED_AS_A_UNIT);
        self.nodes_read.set(self.nodes_read.get() + nodes);
    }

    fn has_read(&self, bytes: usize) {
        let before = self.bytes_read.get();
        self.bytes_read.set(before.saturating_add(bytes as u64));
    }

    fn search(
        &self,
        place: Place,
        summary: Summary,
        time: Timestamp,
        size: u64,
        best: &mut Option<(Timestamp, u64)>,
    ) -> Result<(), ReadError> {
        // Nothing below is later than this, nor has a higher index.
        let bound = (
            summary.latest.min(time),
            place.last_index(self.key.chunk_level),
        );
        if summary.earliest > time || best.is_some_and(|best| bound <= best) {
            return Ok(());
        }
        if place.height == 0 {
            return self.search_chunk(place.index, summary.bytes, time, size, best);
        }
        let mut children = self.times().children(place)?;
        // The most promising first, so that the others need not be read.
        children.sort_by_key(|(child, summary)| (summary.latest.min(time), child.index));
        for (child, summary) in children.into_iter().rev() {
            self.search(child, summary, time, size, best)?;
        }
        Ok(())
    }

    fn search_chunk(
        &self,
        chunk: u64,
        bytes: u64,
        time: Timestamp,
        size: u64,
        best: &mut Option<(Timestamp, u64)>,
    ) -> Result<(), ReadError> {
        let found = self.held_in_chunk(chunk)?;
        let lengths = found
            .iter()
            .map(|(_, record)| encoded_len(record.as_bytes()) as u64);
        if lengths.sum::<u64>() < bytes {
            // Another record would be taken for the one that is sought.
            return Err(ReadError::NotHeld(self.key.chunk_interval(chunk).from));
        }
        for (index, record) in found {
            if index < size && record.time() <= time {
                *best = (*best).max(Some((record.time(), index)));
            }
        }
        Ok(())
    }

    /// The records that are held of a chunk, whole or not.
    fn held_in_chunk(&self, chunk: u64) -> Result<Vec<(u64, Record)>, ReadError> {
        let Interval { from, to } = self.key.chunk_interval(chunk);
        if let Some(run) = self.run_of_chunk(chunk, from, to)? {
            return Ok((from..).zip(run).collect());
        }
        let mut found = Vec::new();
        self.store.scan(
            Table::Records,
            &index_key(self.key.number, from),
            &index_key(self.key.number, to),
            &mut |key, value| {
                if let Some(index) = index_of(key) {
                    self.has_read(value.len());
                    found.push((index, Record::from_bytes(Bytes::copy_from_slice(value))));
                }
                ControlFlow::Continue(())
            },
        )?;
        let records = found
            .into_iter()
            .map(|(index, record)| Ok((index, record?)));
        records
            .collect::<Result<_, RecordError>>()
            .map_err(Into::into)
    }

    /// The hash of a subtree within a chunk, from its records.
    fn node_within_chunk(&self, subtree: Subtree) -> Result<Option<Hash>, StoreError> {
        let chunk = self.key.chunk_of(subtree.begin());
        let at = |nodes: &[Vec<Hash>]| {
            let place = subtree.index - (chunk << (self.key.chunk_level - subtree.level));
            nodes[usize::from(subtree.level)]
                .get(place as usize)
                .copied()
        };
        if let Some((cached, nodes)) = &*self.chunk_nodes.borrow()
            && *cached == chunk
        {
            return Ok(at(nodes));
        }
        let interval = self.key.chunk_interval(chunk);
        // Of a chunk that is not whole no more is read than what is asked for.
        let whole = self.run_of_chunk(chunk, interval.from, interval.to);
        match whole.and_then(|run| run.ok_or(ReadError::NotHeld(interval.from))) {
            Ok(run) => {
                self.has_hashed(run.len());
                let leaves: Vec<_> = run.iter().map(Record::leaf).collect();
                let nodes = subtree_levels(&leaves).expect("a chunk has 2^k records");
                let hash = at(&nodes);
                *self.chunk_nodes.borrow_mut() = Some((chunk, nodes));
                return Ok(hash);
            }
            Err(ReadError::NotHeld(_)) => {}
            Err(ReadError::Store(error)) => return Err(error),
        }
        match self.run(subtree.begin(), subtree.end()) {
            Ok(run) => {
                self.has_hashed(run.len());
                Ok(Some(subtree_root(run.iter().map(Record::leaf).collect())))
            }
            Err(ReadError::NotHeld(_)) => Ok(None),
            Err(ReadError::Store(error)) => Err(error),
        }
    }
}

impl<S: Store + ?Sized> Nodes for History<'_, S> {
    type Error = StoreError;

    fn node(&self, subtree: Subtree) -> Result<Option<Hash>, StoreError> {
        let Subtree { level, index } = subtree;
        let number = self.key.number;
        self.nodes_read.set(self.nodes_read.get() + 1);
        let stored = if level >= self.key.chunk_level {
            (self.store).get(Table::Nodes, &level_key(number, level, index))?
        } else {
            let chunk = self.key.chunk_of(subtree.begin());
            (self.store).get(Table::Edges, &edge_key(number, chunk, level, index))?
        };
        match stored {
            Some(hash) => match Hash::from_slice(&hash) {
                Some(hash) => Ok(Some(hash)),
                None => Err(StoreError::Damaged("a node of a tree".to_owned())),
            },
            None if level < self.key.chunk_level => self.node_within_chunk(subtree),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
#[path = "history/tests.rs"]
mod tests;
