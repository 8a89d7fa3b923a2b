//! The verified data of one log, as it is written: all of it in one batch.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::addresses::put_place;
use super::history::{History, LogKey, ReadError};
use super::tables::{edge_key, index_key, level_key};
use super::times::{Summary, TimesChange};
use super::{Batch, Store, StoreError, Table};
use crate::limits::MAX_HELD_INTERVALS;
use crate::log::Node;
use crate::merkle::{Hash, Subtree, subtree_root};
use crate::ranges::IntervalSet;
use crate::record::{CheckedChunk, EncodedChunk, Record, encoded_len};

/// Puts verified data into one batch: the data, the nodes that prove it, the
/// time index and the intervals that claim it.
///
/// What would make more intervals than may be remembered is left out: it is asked
/// for again when others have been joined.
///
/// The store is read as it was before the batch: of one log, one `Admission`
/// must be committed before the next one is begun. When the commit fails,
/// `held` claims too much and must be read anew.
#[derive(Debug)]
pub struct Admission<'a, S: ?Sized> {
    history: History<'a, S>,
    held: &'a mut IntervalSet,
    batch: Batch,
    times: TimesChange<'a, S>,
    /// Records outside of whole chunks. What comes later in the same write may
    /// complete their chunk.
    loose: BTreeMap<u64, Record>,
    /// Nodes within chunks.
    edges: Vec<Node>,
}

impl<'a, S: Store + ?Sized> Admission<'a, S> {
    /// Nothing so far.
    pub fn new(store: &'a S, key: LogKey, held: &'a mut IntervalSet) -> Self {
        let history = History::new(store, key);
        Self {
            times: TimesChange::new(history.times()),
            history,
            held,
            batch: Batch::new(),
            loose: BTreeMap::new(),
            edges: Vec::new(),
        }
    }

    fn key(&self) -> LogKey {
        self.history.key()
    }

    /// Keeps verified nodes of the tree.
    pub fn put_nodes(&mut self, nodes: &[Node]) {
        let key = self.key();
        for (subtree, hash) in nodes {
            let Subtree { level, index } = *subtree;
            if level >= key.chunk_level {
                let key = level_key(key.number, level, index);
                let hash = Bytes::copy_from_slice(&hash.0);
                self.batch.put(Table::Nodes, key, hash);
            } else {
                self.edges.push((*subtree, *hash));
            }
        }
    }

    /// Keeps the records of a subtree of at most a chunk, whose hash was
    /// compared with the tree.
    ///
    /// # Errors
    /// The store fails.
    pub fn put_subtree(
        &mut self,
        subtree: Subtree,
        chunk: &CheckedChunk,
        hash: Hash,
    ) -> Result<(), ReadError> {
        if subtree.level == self.key().chunk_level {
            let (begin, end) = (subtree.begin(), subtree.end());
            if !self.held.contains(begin, end) && self.has_room(begin, end) {
                self.put_chunk(subtree.index, &chunk.encoded, hash)?;
            }
            return Ok(());
        }
        let records: Vec<_> = chunk.records().collect();
        self.put_records(subtree.begin(), &records, &chunk.leaves)
    }

    /// Whether another interval may be claimed.
    fn has_room(&self, from: u64, to: u64) -> bool {
        self.held.interval_count() < MAX_HELD_INTERVALS || self.held.joins(from, to)
    }

    /// Keeps a run of records that was compared with the tree, with the leaf of
    /// each. What is held already is left as it is.
    ///
    /// # Errors
    /// The store fails.
    pub fn put_records(
        &mut self,
        first: u64,
        records: &[Record],
        leaves: &[Hash],
    ) -> Result<(), ReadError> {
        let key = self.key();
        let mut done = 0;
        while done < records.len() {
            let from = first + done as u64;
            let chunk = key.chunk_of(from);
            let count = (key.chunk_interval(chunk).to - from) as usize;
            let end = records.len().min(done + count);
            self.put_part(chunk, from, &records[done..end], &leaves[done..end])?;
            done = end;
        }
        Ok(())
    }

    /// Keeps records that lie in one chunk.
    fn put_part(
        &mut self,
        chunk: u64,
        from: u64,
        part: &[Record],
        leaves: &[Hash],
    ) -> Result<(), ReadError> {
        let to = from + part.len() as u64;
        if self.held.contains(from, to) || !self.has_room(from, to) {
            return Ok(());
        }
        let whole = self.key().chunk_interval(chunk);
        let missing_before = self.held.first_missing(whole.from, from).is_some();
        let missing_after = self.held.first_missing(to, whole.to).is_some();
        if missing_before || missing_after {
            return self.put_loose(chunk, from, part);
        }
        // This completes the chunk: it is kept as one from now on.
        let before = self.held_run(whole.from, from)?;
        let after = self.held_run(to, whole.to)?;
        let records = [&before, part, &after].concat();
        let mut all_leaves: Vec<_> = before.iter().map(Record::leaf).collect();
        all_leaves.extend_from_slice(leaves);
        all_leaves.extend(after.iter().map(Record::leaf));
        let hash = subtree_root(all_leaves);
        self.put_chunk(chunk, &EncodedChunk::of(&records), hash)
    }

    /// Records of one chunk that are held, some of them by this write only.
    fn held_run(&self, from: u64, to: u64) -> Result<Vec<Record>, ReadError> {
        let mut records = Vec::with_capacity((to - from) as usize);
        let mut at = from;
        while at < to {
            let next = self.loose.range(at..to).next();
            let end = next.map_or(to, |(&index, _)| index);
            records.extend(self.history.run(at, end)?);
            records.extend(next.map(|(_, record)| record.clone()));
            at = end + 1;
        }
        Ok(records)
    }

    /// Keeps records one by one, those that are not held.
    fn put_loose(&mut self, chunk: u64, from: u64, part: &[Record]) -> Result<(), ReadError> {
        for (index, record) in (from..).zip(part) {
            if self.held.contains(index, index + 1) {
                continue;
            }
            let summary = Summary {
                earliest: record.time(),
                latest: record.time(),
                bytes: encoded_len(record.as_bytes()) as u64,
            };
            self.times.add(chunk, summary)?;
            self.loose.insert(index, record.clone());
        }
        self.claim(from, from + part.len() as u64);
        Ok(())
    }

    /// Keeps a whole chunk as one, instead of the records of it that were held.
    fn put_chunk(&mut self, index: u64, chunk: &EncodedChunk, hash: Hash) -> Result<(), ReadError> {
        let key = self.key();
        let whole = key.chunk_interval(index);
        let held_before = self.take_loose(index)?;
        self.times.add(
            index,
            Summary {
                earliest: chunk.earliest,
                latest: chunk.latest,
                bytes: (chunk.bytes.len() as u64).saturating_sub(held_before),
            },
        )?;
        let row = index_key(key.number, index);
        self.batch.put(Table::Chunks, row, chunk.bytes.clone());
        let row = level_key(key.number, key.chunk_level, index);
        let node = Bytes::copy_from_slice(&hash.0);
        self.batch.put(Table::Nodes, row, node);
        put_place(&mut self.batch, &hash, key.number, index);
        self.claim(whole.from, whole.to);
        Ok(())
    }

    /// Removes what was kept of a chunk in single rows, and returns its bytes.
    fn take_loose(&mut self, chunk: u64) -> Result<u64, StoreError> {
        let key = self.key();
        let whole = key.chunk_interval(chunk);
        let mut bytes = 0;
        for (_, record) in self.loose.extract_if(whole.from..whole.to, |_, _| true) {
            bytes += encoded_len(record.as_bytes()) as u64;
        }
        if self.held.covered(whole.from, whole.to) > 0 {
            let from = index_key(key.number, whole.from);
            let to = index_key(key.number, whole.to);
            let batch = &mut self.batch;
            let visit = &mut |row: &[u8], record: &[u8]| {
                bytes += encoded_len(record) as u64;
                batch.delete(Table::Records, row);
                ControlFlow::Continue(())
            };
            self.history.store.scan(Table::Records, &from, &to, visit)?;
        }
        if key.chunk_level > 0 {
            let from = edge_key(key.number, chunk, 0, 0);
            let to = edge_key(key.number, chunk + 1, 0, 0);
            let batch = &mut self.batch;
            let visit = &mut |row: &[u8], _: &[u8]| {
                batch.delete(Table::Edges, row);
                ControlFlow::Continue(())
            };
            self.history.store.scan(Table::Edges, &from, &to, visit)?;
        }
        Ok(bytes)
    }

    fn claim(&mut self, from: u64, to: u64) {
        let number = self.key().number;
        let change = self.held.insert(from, to);
        for begin in change.removed {
            self.batch.delete(Table::Held, index_key(number, begin));
        }
        for interval in change.put {
            let end = Bytes::copy_from_slice(&interval.to.to_be_bytes());
            self.batch
                .put(Table::Held, index_key(number, interval.from), end);
        }
    }

    /// Everything, to be committed as one.
    #[must_use]
    pub fn finish(mut self) -> Batch {
        let key = self.key();
        for (index, record) in self.loose {
            let row = index_key(key.number, index);
            self.batch
                .put(Table::Records, row, record.as_bytes().clone());
        }
        for (Subtree { level, index }, hash) in self.edges {
            let subtree = Subtree { level, index };
            // Where the records are held, nodes are computed from them.
            if !self.held.contains(subtree.begin(), subtree.end()) {
                let row = edge_key(key.number, key.chunk_of(subtree.begin()), level, index);
                let hash = Bytes::copy_from_slice(&hash.0);
                self.batch.put(Table::Edges, row, hash);
            }
        }
        self.times.finish(&mut self.batch);
        self.batch
    }
}
