//! Whether what is kept of a log is still what was proved: its rows are read,
//! hashed, and compared with the tree of a head. A row that cannot be read counts
//! as one that is not there. What follows from the rest is computed anew: the
//! nodes above records that are held, and their times.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use bytes::Bytes;

use super::addresses::{delete_place, put_place};
use super::around::readable;
use super::history::{History, LogKey, ReadError};
use super::tables::{edge_key, index_key, index_of, level_key};
use super::times::{Place, Summary, Wrong};
use super::{Batch, Store, StoreError, Table};
use crate::head::Tree;
use crate::log::Node;
use crate::merkle::{CompactRange, Hash, Nodes, Subtree, cover, node_hash, subtree_root};
use crate::ranges::{Interval, IntervalSet};
use crate::record::{CheckedChunk, Record, encoded_len};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Records that were read and hashed.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks of which something that is held is not there, cannot be read, or is
    /// not what was proved.
    pub bad: Vec<u64>,
    /// Nodes of the tree that are missing or wrong, as they should be.
    pub nodes: Vec<Node>,
    /// Chunks of which nodes are stored that are wrong, and follow from the records.
    pub edges: Vec<u64>,
    /// Rows of the time index that are missing or wrong, as they should be.
    pub times: Vec<Wrong>,
}

impl Findings {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.bad.is_empty()
            && self.nodes.is_empty()
            && self.edges.is_empty()
            && self.times.is_empty()
    }
}

/// Reads chunks of a log, whole or not, and compares them with a tree.
#[derive(Debug)]
pub struct Audit<'a, S: ?Sized> {
    history: History<'a, S>,
    held: &'a IntervalSet,
    tree: Tree,
    /// Nodes that were not stored, computed from what lies below them.
    computed: RefCell<BTreeMap<Subtree, Hash>>,
    findings: Findings,
    times: BTreeMap<u64, Option<Summary>>,
    seen: Option<Range<u64>>,
}

impl<'a, S: Store + ?Sized> Audit<'a, S> {
    /// Of what is `held` below a head.
    pub fn new(store: &'a S, key: LogKey, held: &'a IntervalSet, tree: Tree) -> Self {
        Self {
            history: History::new(store, key),
            held,
            tree,
            computed: RefCell::default(),
            findings: Findings::default(),
            times: BTreeMap::new(),
            seen: None,
        }
    }

    fn key(&self) -> LogKey {
        self.history.key()
    }

    /// Reads what is held of a chunk. Call it with chunks one after the other.
    ///
    /// # Errors
    /// The store fails otherwise than by damage.
    pub fn chunk(&mut self, chunk: u64) -> Result<(), StoreError> {
        let whole = self.key().chunk_interval(chunk);
        let end = whole.to.min(self.tree.size);
        if self.held.covered(whole.from, end) == 0 {
            return Ok(());
        }
        let begin = self.seen.as_ref().map_or(chunk, |seen| seen.start);
        self.seen = Some(begin..chunk + 1);
        let is_whole = end == whole.to && self.held.contains(whole.from, whole.to);
        let summary = match is_whole {
            true => self.whole(chunk)?,
            false => self.loose(chunk)?,
        };
        let Some(summary) = summary else {
            self.findings.bad.push(chunk);
            self.times.insert(chunk, None);
            return Ok(());
        };
        self.findings.records += self.held.covered(whole.from, whole.to);
        self.findings.bytes += summary.bytes;
        let place = Place {
            height: 0,
            index: chunk,
        };
        if readable(self.history.times().at(place))?.flatten() != Some(summary) {
            self.times.insert(chunk, Some(summary));
        }
        if end == whole.to {
            self.check_above(chunk)?;
        }
        Ok(())
    }

    /// What was found in all of these chunks.
    ///
    /// # Errors
    /// The store fails otherwise than by damage.
    pub fn finish(mut self) -> Result<Findings, StoreError> {
        if let Some(seen) = self.seen.take() {
            let last = self.held.intervals().next_back().map_or(0, |last| last.to);
            let last = self.key().chunk_of(last.saturating_sub(1));
            let times = self.history.times();
            self.findings.times = times.wrong(&self.times, seen, last)?;
        }
        Ok(self.findings)
    }

    /// A chunk that is held as one; its summary if it is what was proved.
    fn whole(&mut self, chunk: u64) -> Result<Option<Summary>, StoreError> {
        let Some((hash, summary)) = self.read_whole(chunk)? else {
            return Ok(None);
        };
        let at = self.subtree_of(chunk);
        Ok(self.agrees(at, hash)?.then_some(summary))
    }

    fn read_whole(&self, chunk: u64) -> Result<Option<(Hash, Summary)>, StoreError> {
        let Some(bytes) = readable(self.history.chunk(chunk))?.flatten() else {
            return Ok(None);
        };
        let count = self.key().chunk_len();
        let Ok(parsed) = CheckedChunk::parse(bytes, count, usize::MAX) else {
            return Ok(None);
        };
        let summary = Summary {
            earliest: parsed.encoded.earliest,
            latest: parsed.encoded.latest,
            bytes: parsed.encoded.bytes.len() as u64,
        };
        Ok(Some((subtree_root(parsed.leaves), summary)))
    }

    /// A chunk of which single records are held.
    fn loose(&mut self, chunk: u64) -> Result<Option<Summary>, StoreError> {
        let whole = self.key().chunk_interval(chunk);
        let Some(records) = self.read_loose(whole)? else {
            return Ok(None);
        };
        let times = records.values().map(Record::time);
        let summary = times.clone().min().zip(times.max()).map(|times| Summary {
            earliest: times.0,
            latest: times.1,
            bytes: (records.values())
                .map(|record| encoded_len(record.as_bytes()) as u64)
                .sum(),
        });
        let end = whole.to.min(self.tree.size);
        let mut pieces = Vec::new();
        for piece in cover(whole.from, end, self.key().chunk_level) {
            match self.piece(&records, piece)? {
                Some(hash) => pieces.push(hash),
                None => return Ok(None),
            }
        }
        if !self.edges_are_right(&records, chunk)? {
            if !self.held.contains(whole.from, end) {
                return Ok(None);
            }
            self.findings.edges.push(chunk);
        }
        let is_right = match pieces[..] {
            [hash] if end == whole.to => self.agrees(self.subtree_of(chunk), hash)?,
            _ => self.ends_with(whole.from, pieces)?,
        };
        Ok(summary.filter(|_| is_right))
    }

    fn read_loose(&self, whole: Interval) -> Result<Option<BTreeMap<u64, Record>>, StoreError> {
        let mut records = BTreeMap::new();
        for Interval { from, to } in self.held.held(whole.from, whole.to) {
            match self.history.run(from, to) {
                Ok(run) => records.extend((from..).zip(run)),
                Err(ReadError::NotHeld(_) | ReadError::Store(StoreError::Damaged(_))) => {
                    return Ok(None);
                }
                Err(ReadError::Store(error)) => return Err(error),
            }
        }
        Ok(Some(records))
    }

    /// Whether the nodes that are stored of a chunk can be read, and are those of
    /// the records where these are held.
    fn edges_are_right(
        &self,
        records: &BTreeMap<u64, Record>,
        chunk: u64,
    ) -> Result<bool, StoreError> {
        let number = self.key().number;
        let [from, to] = [chunk, chunk + 1].map(|chunk| edge_key(number, chunk, 0, 0));
        let mut rows = Vec::new();
        let visit = &mut |key: &[u8], row: &[u8]| {
            rows.push((key.get(12).copied(), index_of(key), Hash::from_slice(row)));
            ControlFlow::Continue(())
        };
        let read = self.history.store.scan(Table::Edges, &from, &to, visit);
        if readable(read)?.is_none() {
            return Ok(false);
        }
        for row in rows {
            let (Some(level), Some(index), Some(hash)) = row else {
                return Ok(false);
            };
            let at = Subtree { level, index };
            let is_held = self.held.contains(at.begin(), at.end());
            if is_held && self.piece(records, at)? != Some(hash) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The hash of a subtree within a chunk, from its records, or from what is
    /// stored where they are not held.
    fn piece(
        &self,
        records: &BTreeMap<u64, Record>,
        piece: Subtree,
    ) -> Result<Option<Hash>, StoreError> {
        if self.held.contains(piece.begin(), piece.end()) {
            let run = records.range(piece.begin()..piece.end());
            return Ok(Some(subtree_root(
                run.map(|(_, record)| record.leaf()).collect(),
            )));
        }
        let chunk = self.key().chunk_of(piece.begin());
        let row = edge_key(self.key().number, chunk, piece.level, piece.index);
        let row = readable(self.history.store.get(Table::Edges, &row))?.flatten();
        if let Some(hash) = row.and_then(|row| Hash::from_slice(&row)) {
            return Ok(Some(hash));
        }
        let (Some(left), Some(right)) = (piece.left_child(), piece.right_child()) else {
            return Ok(None);
        };
        let left = self.piece(records, left)?;
        Ok(left.zip(self.piece(records, right)?).map(joined))
    }

    /// Whether the tree ends with these hashes, which begin with a chunk.
    fn ends_with(&self, begin: u64, pieces: Vec<Hash>) -> Result<bool, StoreError> {
        let mut hashes = Vec::new();
        for subtree in cover(0, begin, crate::merkle::MAX_LEVEL) {
            match self.known(subtree)? {
                Some(hash) => hashes.push(hash),
                None => return Ok(false),
            }
        }
        hashes.extend(pieces);
        let range = CompactRange::from_hashes(0, self.tree.size, hashes).ok();
        Ok(range.and_then(|range| range.root()) == Some(self.tree.root))
    }

    /// Whether the tree has a hash at a place. Where the node that is stored says
    /// otherwise, or there is none, the root decides.
    fn agrees(&mut self, at: Subtree, hash: Hash) -> Result<bool, StoreError> {
        if self.stored(at)? == Some(hash) {
            return Ok(true);
        }
        let agrees = self.leads_to_root(at, hash)?;
        if agrees {
            self.findings.nodes.push((at, hash));
            self.computed.borrow_mut().insert(at, hash);
        }
        Ok(agrees)
    }

    fn leads_to_root(&self, at: Subtree, hash: Hash) -> Result<bool, StoreError> {
        let (mut at, mut hash) = (at, hash);
        while at.parent().end() <= self.tree.size && at.parent().end() > at.begin() {
            let Some(sibling) = self.known(at.sibling())? else {
                return Ok(false);
            };
            hash = match at.is_left() {
                true => node_hash(hash, sibling),
                false => node_hash(sibling, hash),
            };
            at = at.parent();
        }
        let mut hashes = Vec::new();
        for subtree in cover(0, self.tree.size, crate::merkle::MAX_LEVEL) {
            let found = match subtree == at {
                true => Some(hash),
                false => self.tail_or_known(subtree)?,
            };
            match found {
                Some(hash) => hashes.push(hash),
                None => return Ok(false),
            }
        }
        let range = CompactRange::from_hashes(0, self.tree.size, hashes).ok();
        Ok(range.and_then(|range| range.root()) == Some(self.tree.root))
    }

    fn tail_or_known(&self, subtree: Subtree) -> Result<Option<Hash>, StoreError> {
        if subtree.level >= self.key().chunk_level {
            return self.known(subtree);
        }
        Ok(readable(self.history.node(subtree))?.flatten())
    }

    /// Compares the nodes above a chunk, of which it is the last one, with what
    /// lies below them.
    fn check_above(&mut self, chunk: u64) -> Result<(), StoreError> {
        let mut at = self.subtree_of(chunk);
        while !at.is_left() && at.parent().end() <= self.tree.size {
            let (left, right) = (self.known(at.sibling())?, self.known(at)?);
            let Some(hash) = left.zip(right).map(joined) else {
                return Ok(());
            };
            at = at.parent();
            if !self.agrees(at, hash)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A node of a chunk or more: as it is stored, or computed from those below.
    fn known(&self, at: Subtree) -> Result<Option<Hash>, StoreError> {
        if let Some(hash) = self.computed.borrow().get(&at) {
            return Ok(Some(*hash));
        }
        if let Some(hash) = self.stored(at)? {
            return Ok(Some(hash));
        }
        let level = self.key().chunk_level;
        if at.level <= level || self.held.covered(at.begin(), at.end()) < at.len() {
            let chunk = self.key().chunk_of(at.begin());
            let is_held = at.level == level && self.held.contains(at.begin(), at.end());
            let read = match is_held {
                true => self.read_whole(chunk)?,
                false => None,
            };
            return Ok(read.map(|(hash, _)| self.remember(at, hash)));
        }
        let (Some(left), Some(right)) = (at.left_child(), at.right_child()) else {
            return Ok(None);
        };
        let left = self.known(left)?;
        let both = left.zip(self.known(right)?);
        Ok(both.map(|both| self.remember(at, joined(both))))
    }

    fn remember(&self, at: Subtree, hash: Hash) -> Hash {
        self.computed.borrow_mut().insert(at, hash);
        hash
    }

    fn stored(&self, at: Subtree) -> Result<Option<Hash>, StoreError> {
        let row = level_key(self.key().number, at.level, at.index);
        let row = readable(self.history.store.get(Table::Nodes, &row))?.flatten();
        Ok(row.and_then(|row| Hash::from_slice(&row)))
    }

    fn subtree_of(&self, chunk: u64) -> Subtree {
        Subtree {
            level: self.key().chunk_level,
            index: chunk,
        }
    }
}

fn joined((left, right): (Hash, Hash)) -> Hash {
    node_hash(left, right)
}

/// Puts into a batch what brings the rows of a log in order: what is bad is no
/// longer held, and `nodes`, which are known otherwise, are kept instead; what
/// follows from the rest is written anew.
///
/// Nothing else of the log may be in the batch. When the commit fails, `held`
/// claims too little and must be read anew.
///
/// # Errors
/// The store fails otherwise than by damage.
pub fn put_in_order<S: Store + ?Sized>(
    store: &S,
    key: LogKey,
    held: &mut IntervalSet,
    findings: &Findings,
    batch: &mut Batch,
) -> Result<(), StoreError> {
    for &(at, hash) in &findings.nodes {
        let row = level_key(key.number, at.level, at.index);
        batch.put(Table::Nodes, row, Bytes::copy_from_slice(&hash.0));
        if at.level == key.chunk_level {
            put_place(batch, &hash, key.number, at.index);
        }
    }
    for &chunk in &findings.edges {
        let rows = [chunk, chunk + 1].map(|chunk| edge_key(key.number, chunk, 0, 0));
        batch.delete_range(Table::Edges, rows[0], rows[1]);
    }
    for &chunk in &findings.bad {
        let Interval { from, to } = key.chunk_interval(chunk);
        let node = level_key(key.number, key.chunk_level, chunk);
        let node = readable(store.get(Table::Nodes, &node))?.flatten();
        if let Some(address) = node.and_then(|node| Hash::from_slice(&node)) {
            readable(delete_place(store, batch, &address, key.number, chunk))?;
        }
        batch.delete(Table::Chunks, index_key(key.number, chunk));
        let rows = [from, to].map(|index| index_key(key.number, index));
        batch.delete_range(Table::Records, rows[0], rows[1]);
        let rows = [chunk, chunk + 1].map(|chunk| edge_key(key.number, chunk, 0, 0));
        batch.delete_range(Table::Edges, rows[0], rows[1]);
        let change = held.remove(from, to);
        for begin in change.removed {
            batch.delete(Table::Held, index_key(key.number, begin));
        }
        for Interval { from, to } in change.put {
            let row = index_key(key.number, from);
            batch.put(Table::Held, row, to.to_be_bytes().to_vec());
        }
    }
    for wrong in &findings.times {
        wrong.put(key.number, batch);
    }
    Ok(())
}

#[cfg(test)]
#[path = "audit/tests.rs"]
mod tests;
