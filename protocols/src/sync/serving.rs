//! The upstream side of one request, and its pagination: what is held of it is offered
//! page by page, and what is wanted of a page is delivered.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::Priority;
use super::ends::Ends;
use super::readers::Work;
use crate::head::Tree;
use crate::id::LogId;
use crate::limits::{
    DELIVERY_BYTES, MAX_BATCH_BYTES, MAX_CHUNK_BYTES, MAX_INTERVALS, MAX_OFFERED, MAX_OPEN_PAGES,
    MAX_PAGE_PARTS, MAX_PAGE_READ_BYTES,
};
use crate::merkle::{Hash, Nodes, ProveError, Subtree, cover, join_hashes, prove_ranges};
use crate::ranges::{Interval, IntervalSet};
use crate::record::encoded_len;
use crate::store::times::Place;
use crate::store::{History, LogKey, ReadError, Store, StoreError};
use crate::wire::v1;

/// An offer could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefuseError {
    /// Nothing of what was asked is held, or nothing proves it.
    #[error("the range is not held here")]
    NotHeld,
    /// The peer has too much under way.
    #[error("too much is under way")]
    Busy,
    /// The log is not known here.
    #[error("the log is not known here")]
    UnknownLog,
    /// The question makes no sense.
    #[error("the question makes no sense")]
    Malformed,
    /// The peer means another tree of that size.
    #[error("the tree of that size is another one here")]
    OtherTree,
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RefuseError {
    /// What it says to the peer.
    #[must_use]
    pub fn why(&self) -> v1::refused::Why {
        match self {
            Self::NotHeld => v1::refused::Why::NotHeld,
            Self::Busy => v1::refused::Why::Busy,
            Self::UnknownLog => v1::refused::Why::UnknownLog,
            Self::Malformed => v1::refused::Why::Malformed,
            Self::OtherTree => v1::refused::Why::OtherTree,
            Self::Store(_) => v1::refused::Why::Failed,
        }
    }
}

impl From<ReadError> for RefuseError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotHeld(_) => Self::NotHeld,
            ReadError::Store(error) => Self::Store(error),
        }
    }
}

/// Ranges of a log that a peer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRequest {
    /// The log.
    pub log: LogId,
    /// The request's id.
    pub id: u64,
    /// The tree that the peer wants the proof for.
    pub tree: Tree,
    /// The ranges, at most [`MAX_INTERVALS`], ascending.
    pub intervals: Vec<Interval>,
    /// Whether everything offered is wanted.
    pub all: bool,
    /// How urgent it is.
    pub priority: Priority,
}

/// A request that is being served.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) log: LogId,
    pub(super) key: LogKey,
    pub(super) priority: Priority,
    tree: Tree,
    all: bool,
    /// What is held of what was asked, and was not offered yet.
    left: VecDeque<Interval>,
    /// Bytes that may still be offered.
    bytes_left: usize,
    /// Subtrees offered so far.
    places: usize,
    /// Pages of which something is still to be delivered, or may be.
    pages: VecDeque<Page>,
}

/// What was offered at once.
#[derive(Debug)]
struct Page {
    first: usize,
    items: Vec<Subtree>,
    /// Nodes that were looked up for it, and not yet paid by taking what they are
    /// for.
    unpaid_nodes: usize,
    /// Places of what is wanted and not delivered; `None` until it is known.
    wanted: Option<VecDeque<usize>>,
}

/// What a request needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Chunks that are wanted go out.
    Deliver,
    /// The next page is offered.
    Offer,
    /// All that was wanted is delivered.
    Done,
    /// The peer has to say what it wants.
    Wait,
}

impl Serving {
    /// A request of which something is `held`.
    pub(super) fn new(
        request: &RangeRequest,
        key: LogKey,
        held: &IntervalSet,
    ) -> Result<Self, RefuseError> {
        let tree = request.tree;
        let left: VecDeque<_> = (request.intervals.iter())
            .flat_map(|asked| held.held(asked.from, asked.to.min(tree.size)))
            .take(MAX_INTERVALS)
            .collect();
        if left.is_empty() {
            return Err(RefuseError::NotHeld);
        }
        Ok(Self {
            log: request.log,
            key,
            priority: request.priority,
            tree,
            all: request.all,
            left,
            bytes_left: MAX_BATCH_BYTES,
            places: 0,
            pages: VecDeque::new(),
        })
    }

    /// What is to be done next. Where everything is wanted, a page is offered
    /// when the one before it is delivered, so that whoever reads slowly makes
    /// us prove no more than it reads. Where the peer chooses, some pages are
    /// offered ahead: each of them takes a round trip until its choice is here.
    pub(super) fn step(&self) -> Step {
        let is_ready = |page: &Page| page.wanted.is_some();
        let ahead = if self.all { 1 } else { MAX_OPEN_PAGES };
        if self.pages.iter().any(is_ready) {
            Step::Deliver
        } else if !self.left.is_empty() && self.pages.len() < ahead {
            Step::Offer
        } else if self.pages.is_empty() {
            Step::Done
        } else {
            Step::Wait
        }
    }

    /// What is read next: chunks that are wanted, or what is offered next.
    pub(super) fn next_interval(&self) -> Option<Interval> {
        let page = self.pages.iter().find(|page| page.wanted.is_some());
        let item = page.and_then(|page| page.items.get(*page.wanted.as_ref()?.front()?));
        let item = item.map(|item| Interval {
            from: item.begin(),
            to: item.end(),
        });
        item.or_else(|| self.left.front().copied())
    }

    /// Notes what is wanted of the page that begins at a place.
    pub(super) fn wanted(&mut self, first: usize, bits: &[u8]) {
        let Some(at) = self.pages.iter().position(|page| page.first == first) else {
            return;
        };
        let page = &mut self.pages[at];
        if page.wanted.is_some() {
            return;
        }
        let places = (0..page.items.len()).filter(|&place| bit(bits, place));
        let places: VecDeque<_> = places.collect();
        if places.is_empty() {
            self.pages.remove(at);
        } else {
            page.wanted = Some(places);
        }
    }

    /// The next page: as many subtrees as fit into an offer; and what it took.
    pub(super) fn next_page<S: Store + ?Sized>(
        &mut self,
        history: &History<'_, S>,
        ends: &mut Ends,
    ) -> Result<(v1::OfferedHashes, Work), RefuseError> {
        let cut = self.cut(history)?;
        let tree = ends
            .with_end(history, self.tree)
            .map_err(RefuseError::Store)?;
        let addresses: Result<Vec<Hash>, _> = (cut.items.iter())
            .map(|&item| tree.node(item)?.ok_or(RefuseError::NotHeld))
            .collect();
        let proof = prove_ranges(&tree, &cut.ranges, self.tree.size).map_err(refuse)?;
        let intervals = cut.ranges.iter().map(|range| v1::Interval {
            from: range.start,
            to: range.end,
        });
        let offer = v1::OfferedHashes {
            intervals: intervals.collect(),
            addresses: join_hashes(&addresses?),
            byte_lengths: cut.lengths,
            proof: join_hashes(&proof),
            last: self.left.is_empty(),
        };
        let work = Work::of(history);
        let first = self.places;
        self.places += cut.items.len();
        self.pages.push_back(Page {
            first,
            wanted: self.all.then(|| (0..cut.items.len()).collect()),
            // Those of the end may have been known.
            unpaid_nodes: work.nodes.min(cut.items.len() + proof.len()),
            items: cut.items,
        });
        Ok((offer, work))
    }

    /// Takes the subtrees of a page from what is left to offer. Where the bytes
    /// of the request are used up nothing is left.
    fn cut<S: Store + ?Sized>(&mut self, history: &History<'_, S>) -> Result<Cut, RefuseError> {
        let mut cut = Cut::default();
        let mut edge = Edge::default();
        while let Some(&Interval { from, to }) = self.left.front() {
            let mut end = from;
            for item in cover(from, to, self.key.chunk_level) {
                // One that surely fits into the next page need not be read for it
                // to be known that there is one.
                let reads = edge.reads(history, item)?;
                let is_long = edge.parts >= MAX_PAGE_PARTS
                    || edge.bytes_read.saturating_add(reads) > MAX_PAGE_READ_BYTES;
                let is_past = is_long && reads > 0 && !cut.items.is_empty();
                if is_past && reads <= self.bytes_left as u64 {
                    break;
                }
                let bytes = edge.subtree_len(history, item, to)?;
                let is_first = self.places == 0 && cut.items.is_empty();
                if bytes > self.bytes_left && !is_first {
                    self.left.clear();
                    break;
                }
                // Whether more fits was to be known first: the last page says
                // that it is the last one.
                if cut.items.len() == MAX_OFFERED || is_past {
                    break;
                }
                self.bytes_left = self.bytes_left.saturating_sub(bytes);
                cut.items.push(item);
                cut.lengths.push(u32::try_from(bytes).unwrap_or(u32::MAX));
                end = item.end();
            }
            if end > from {
                cut.ranges.push(from..end);
            }
            match self.left.front_mut() {
                Some(_) if end == to => drop(self.left.pop_front()),
                Some(interval) => {
                    interval.from = end;
                    break;
                }
                None => {}
            }
        }
        if cut.items.is_empty() {
            return Err(RefuseError::NotHeld);
        }
        Ok(cut)
    }

    /// The next chunks that are wanted and stand side by side in a page, up to
    /// the bytes of one frame.
    pub(super) fn next_run<S: Store + ?Sized>(
        &mut self,
        history: &History<'_, S>,
    ) -> Result<Option<Run>, ReadError> {
        let Some(at) = (self.pages.iter()).position(|page| page.wanted.is_some()) else {
            return Ok(None);
        };
        let page = &mut self.pages[at];
        let wanted = page.wanted.as_mut().expect("it was looked for");
        let Some(&first) = wanted.front() else {
            return Ok(None);
        };
        let mut chunks: Vec<Bytes> = Vec::new();
        let (mut bytes, mut records) = (0, 0);
        while bytes < DELIVERY_BYTES && wanted.front() == Some(&(first + chunks.len())) {
            let item = page.items[first + chunks.len()];
            let chunk = history.subtree_bytes(item)?;
            bytes += chunk.len();
            // A frame has room for one chunk of the largest size; the next one
            // is read again for a frame of its own.
            if bytes > MAX_CHUNK_BYTES && !chunks.is_empty() {
                break;
            }
            records += item.len();
            chunks.push(chunk);
            wanted.pop_front();
        }
        let first = u32::try_from(page.first + first).unwrap_or(u32::MAX);
        // Each pays for itself and for as much of the proof: what is side by side
        // has little, single ones have more than they pay.
        let paid_nodes = page.unpaid_nodes.min(2 * chunks.len());
        page.unpaid_nodes -= paid_nodes;
        if wanted.is_empty() {
            self.pages.remove(at);
        }
        Ok(Some(Run {
            delivery: v1::Delivery { first, chunks },
            records,
            paid_nodes,
        }))
    }
}

/// Chunks that go out together.
pub(super) struct Run {
    pub(super) delivery: v1::Delivery,
    /// Of how many records they are.
    pub(super) records: u64,
    /// Nodes that were not looked up in vain.
    pub(super) paid_nodes: usize,
}

/// The subtrees of one page.
#[derive(Default)]
struct Cut {
    ranges: Vec<Range<u64>>,
    items: Vec<Subtree>,
    lengths: Vec<u32>,
}

/// The lengths of the records of a chunk that only a part of is offered: its
/// many small subtrees must not read it once each.
#[derive(Default)]
struct Edge {
    first: u64,
    lengths: Vec<usize>,
    /// Bytes of all chunks that were read like this, and how many they are.
    bytes_read: u64,
    parts: usize,
}

impl Edge {
    /// Whether the records of a subtree have been read.
    fn has(&self, item: Subtree) -> bool {
        let end = self.first + self.lengths.len() as u64;
        self.first <= item.begin() && item.end() <= end
    }

    /// Bytes of the chunk that a subtree is in.
    fn chunk_bytes<S: Store + ?Sized>(
        history: &History<'_, S>,
        item: Subtree,
    ) -> Result<u64, RefuseError> {
        let place = Place {
            height: 0,
            index: history.key().chunk_of(item.begin()),
        };
        Ok(history.times().at(place)?.map_or(0, |chunk| chunk.bytes))
    }

    /// Bytes that have to be read to know those of a subtree.
    fn reads<S: Store + ?Sized>(
        &self,
        history: &History<'_, S>,
        item: Subtree,
    ) -> Result<u64, RefuseError> {
        match self.has(item) || item.level == history.key().chunk_level {
            true => Ok(0),
            false => Self::chunk_bytes(history, item),
        }
    }

    /// Bytes of a subtree of at most a chunk, of an interval that ends at `to`.
    fn subtree_len<S: Store + ?Sized>(
        &mut self,
        history: &History<'_, S>,
        item: Subtree,
        to: u64,
    ) -> Result<usize, RefuseError> {
        if !self.has(item) || item.level == history.key().chunk_level {
            let chunk = Self::chunk_bytes(history, item)?;
            if item.level == history.key().chunk_level && chunk > 0 {
                return Ok(usize::try_from(chunk).unwrap_or(usize::MAX));
            }
            self.bytes_read = self.bytes_read.saturating_add(chunk);
            self.parts += 1;
            let run = history.run(item.begin(), to)?;
            self.first = item.begin();
            self.lengths = run.iter().map(|r| encoded_len(r.as_bytes())).collect();
        }
        let place = (item.begin() - self.first) as usize;
        let lengths = self.lengths.get(place..place + item.len() as usize);
        Ok(lengths.ok_or(RefuseError::NotHeld)?.iter().sum())
    }
}

pub(super) fn refuse(error: ProveError<StoreError>) -> RefuseError {
    match error {
        ProveError::Source(error) => RefuseError::Store(error),
        _ => RefuseError::NotHeld,
    }
}

/// Bit `place`, counted from the least significant one of the first byte.
fn bit(bits: &[u8], place: usize) -> bool {
    bits.get(place / 8)
        .is_some_and(|byte| byte >> (place % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_count_from_the_least_significant_one_of_the_first_byte() {
        // An asymmetric vector: 0b0000_0001, 0b0000_0110 asks for 0, 9 and 10.
        let bits = [0x01, 0x06];
        let set: Vec<_> = (0..200).filter(|&place| bit(&bits, place)).collect();
        assert_eq!(set, [0, 9, 10]);
    }
}
