//! The downstream side of one request: asked for, offered page by page,
//! checked, delivered.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::Priority;
use crate::head::Tree;
use crate::id::LogId;
use crate::limits::{MAX_BATCH_BYTES, MAX_CHUNK_BYTES, MAX_OFFERED, MAX_OPEN_PAGES};
use crate::log::{AdmitError, Node};
use crate::merkle::{Hash, Subtree, cover, split_hashes, subtree_root, verify_ranges};
use crate::ranges::{Interval, IntervalSet};
use crate::record::CheckedChunk;
use crate::time::Timestamp;
use crate::wire::{WireError, v1};

/// Ranges that were asked of one peer.
///
/// First [`offered`](Self::offered), then [`delivered`](Self::delivered), again
/// for each page, until [`is_complete`](Self::is_complete).
#[derive(Debug)]
pub struct Fetch {
    /// The peer that was asked.
    pub peer: PeerId,
    /// The log.
    pub log: LogId,
    /// The tree that offers are checked against.
    pub tree: Tree,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether everything in the intervals is wanted.
    pub all: bool,
    /// What is expected of the peer: what was asked, then, when it has offered
    /// everything that it will, what it offered.
    expected: IntervalSet,
    offered: IntervalSet,
    /// Where the last page ended: the next one lies behind it.
    offered_to: u64,
    /// The place of the first subtree of the next page.
    next_place: usize,
    bytes: usize,
    records: u64,
    /// When the first bytes came.
    arrives_since: Option<Timestamp>,
    /// The last page has come.
    is_last: bool,
    /// Pages of which something is still to come.
    pages: VecDeque<Page>,
}

/// What was offered at once.
#[derive(Debug)]
struct Page {
    first: usize,
    items: Vec<(Subtree, Hash)>,
    /// By place: still to come.
    missing: Vec<bool>,
    chunk_level: u8,
}

/// An offer that was checked against the head.
#[derive(Debug)]
pub struct CheckedOffer {
    /// Every node of the tree that the offer proves.
    pub nodes: Vec<Node>,
    /// What to answer when the peer waits to hear what is wanted.
    pub wanted: Option<v1::WantedHashes>,
    /// What the peer will not offer: free to be asked of others.
    pub unoffered: Vec<Interval>,
}

/// A delivered chunk that was checked against its address.
#[derive(Debug)]
pub struct CheckedDelivery {
    /// Its place in the tree.
    pub subtree: Subtree,
    /// Its address.
    pub hash: Hash,
    /// Its records.
    pub chunk: CheckedChunk,
}

impl Fetch {
    /// Ranges to be asked of a peer: ascending, with a gap between any two.
    #[must_use]
    pub fn new(
        peer: PeerId,
        log: LogId,
        intervals: &[Interval],
        tree: Tree,
        priority: Priority,
        all: bool,
    ) -> Self {
        Self {
            peer,
            log,
            tree,
            priority,
            all,
            expected: intervals.iter().copied().collect(),
            offered: IntervalSet::new(),
            offered_to: 0,
            next_place: 0,
            bytes: 0,
            records: 0,
            arrives_since: None,
            is_last: false,
            pages: VecDeque::new(),
        }
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> v1::GetRange {
        let mode = if self.all {
            v1::get_range::Mode::All
        } else {
            v1::get_range::Mode::Choose
        };
        let intervals = self.expected.intervals().map(Interval::to_wire);
        v1::GetRange {
            log: Bytes::copy_from_slice(&self.log.0),
            size: self.tree.size,
            intervals: intervals.collect(),
            mode: mode.into(),
            priority: self.priority.to_wire().into(),
            root: Bytes::copy_from_slice(&self.tree.root.0),
        }
    }

    /// What nobody else is to be asked for while this is under way.
    pub fn expected(&self) -> impl Iterator<Item = Interval> {
        self.expected.intervals()
    }

    /// Notes that something of what is wanted comes.
    pub fn arrives(&mut self, now: Timestamp) {
        self.arrives_since.get_or_insert(now);
    }

    /// How long a full batch took that was asked for at `begun` and is complete:
    /// from the question to the first bytes, and from these to the last ones, in
    /// microseconds. `None` of a small one, of which the time says nothing.
    #[must_use]
    pub fn took(&self, begun: Timestamp, now: Timestamp) -> Option<(u64, u64)> {
        let since = self.arrives_since?;
        let is_full = self.bytes >= MAX_BATCH_BYTES / 4;
        is_full.then(|| (since.since(begun), now.since(since)))
    }

    /// Records that were offered so far, and what the peer says of their bytes.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        (self.records, self.bytes as u64)
    }

    /// Whether an offer has come.
    #[must_use]
    pub fn is_offered(&self) -> bool {
        self.next_place > 0
    }

    /// Whether everything that was offered and wanted has come, and no other
    /// offer will.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_last && self.pages.is_empty()
    }

    /// Checks an offer against the head before any data moves. What is `held`
    /// already is not wanted again.
    ///
    /// # Errors
    /// The peer lies, or does not speak our protocol.
    pub fn offered(
        &mut self,
        offer: &v1::OfferedHashes,
        chunk_level: u8,
        held: &IntervalSet,
    ) -> Result<CheckedOffer, AdmitError> {
        let what = "an offer";
        let bad = |field| WireError::BadField { what, field };
        if self.is_last || self.pages.len() >= MAX_OPEN_PAGES {
            return Err(bad("id: no page was to follow").into());
        }
        let ranges = self.ranges(offer)?;
        let addresses = split_hashes(what, "addresses", &offer.addresses)?;
        let count = addresses.len();
        let tiles = (ranges.iter()).flat_map(|range| cover(range.start, range.end, chunk_level));
        if count > MAX_OFFERED
            || offer.byte_lengths.len() != count
            || tiles.clone().take(count + 1).count() != count
        {
            return Err(bad("count of addresses").into());
        }
        let lengths = || offer.byte_lengths.iter().map(|&bytes| bytes as usize);
        let bytes = self.bytes + lengths().sum::<usize>();
        let places = self.next_place + count;
        if lengths().any(|bytes| bytes > MAX_CHUNK_BYTES) || (places > 1 && bytes > MAX_BATCH_BYTES)
        {
            return Err(bad("byte lengths").into());
        }
        let items: Vec<_> = tiles.zip(addresses).collect();
        let proof = split_hashes(what, "proof", &offer.proof)?;
        let mut nodes = Vec::new();
        let visit = &mut |subtree, hash| nodes.push((subtree, hash));
        verify_ranges(
            &ranges,
            self.tree.size,
            &items,
            &proof,
            self.tree.root,
            visit,
        )?;

        self.bytes = bytes;
        self.records += items.iter().map(|(item, _)| item.len()).sum::<u64>();
        for range in &ranges {
            let _ = self.offered.insert(range.start, range.end);
            self.offered_to = range.end;
        }
        let wanted = self.open_page(items, chunk_level, held);
        self.is_last = offer.last;
        let mut unoffered = Vec::new();
        if offer.last {
            for Interval { from, to } in self.expected.intervals() {
                unoffered.extend(self.offered.missing(from, to));
            }
            self.expected = std::mem::take(&mut self.offered);
        }
        Ok(CheckedOffer {
            nodes,
            wanted,
            unoffered,
        })
    }

    /// The ranges of an offer: parts of what was asked, behind those of the page
    /// before.
    fn ranges(&self, offer: &v1::OfferedHashes) -> Result<Vec<Range<u64>>, WireError> {
        let what = "an offer";
        let mut end = self.offered_to;
        let mut ranges = Vec::with_capacity(offer.intervals.len().min(MAX_OFFERED));
        for one in offer.intervals.iter().take(MAX_OFFERED + 1) {
            let Interval { from, to } = Interval::from_wire(what, Some(one))?;
            if from < end || !self.expected.contains(from, to) {
                let field = "intervals: they were not asked for";
                return Err(WireError::BadField { what, field });
            }
            end = to;
            ranges.push(from..to);
        }
        if ranges.is_empty() || ranges.len() > MAX_OFFERED {
            let field = "count of intervals";
            return Err(WireError::BadField { what, field });
        }
        Ok(ranges)
    }

    /// Waits for what is missing of a page; what to answer if the peer waits to
    /// hear it.
    fn open_page(
        &mut self,
        items: Vec<(Subtree, Hash)>,
        chunk_level: u8,
        held: &IntervalSet,
    ) -> Option<v1::WantedHashes> {
        let first = self.next_place;
        self.next_place += items.len();
        let missing: Vec<_> = (items.iter())
            .map(|(item, _)| self.all || !held.contains(item.begin(), item.end()))
            .collect();
        let wanted = (!self.all).then(|| v1::WantedHashes {
            first: u32::try_from(first).unwrap_or(u32::MAX),
            bits: to_bits(&missing),
        });
        if missing.contains(&true) {
            self.pages.push_back(Page {
                first,
                items,
                missing,
                chunk_level,
            });
        }
        wanted
    }

    /// Checks chunks against their addresses.
    ///
    /// # Errors
    /// The peer sent what it did not offer, what was not asked for, or altered
    /// bytes.
    pub fn delivered(
        &mut self,
        delivery: v1::Delivery,
        max_value: usize,
    ) -> Result<Vec<CheckedDelivery>, AdmitError> {
        let what = "a delivery";
        let bad = |field| WireError::BadField { what, field };
        let first = delivery.first as usize;
        let holds = |page: &Page| (page.first..page.first + page.items.len()).contains(&first);
        let Some(at) = self.pages.iter().position(holds) else {
            return Err(bad("place: nothing is to come there").into());
        };
        let page = &mut self.pages[at];
        let chunk_level = page.chunk_level;
        if delivery.chunks.is_empty() {
            return Err(bad("chunks (none)").into());
        }
        let first = first - page.first;
        let mut checked = Vec::with_capacity(delivery.chunks.len().min(MAX_OFFERED));
        for (i, bytes) in delivery.chunks.into_iter().enumerate() {
            let place = first.saturating_add(i);
            let (Some(&(subtree, hash)), Some(missing)) =
                (page.items.get(place), page.missing.get_mut(place))
            else {
                return Err(bad("place").into());
            };
            if !std::mem::take(missing) {
                return Err(bad("place: it was not wanted").into());
            }
            let mut chunk = CheckedChunk::parse(bytes, subtree.len(), max_value)?;
            // Only what is smaller than a chunk is kept record by record, and
            // needs its leaves again.
            let leaves = if subtree.level < chunk_level {
                chunk.leaves.clone()
            } else {
                std::mem::take(&mut chunk.leaves)
            };
            if subtree_root(leaves) != hash {
                return Err(bad("chunk: its records do not hash to its address").into());
            }
            checked.push(CheckedDelivery {
                subtree,
                hash,
                chunk,
            });
        }
        if !page.missing.contains(&true) {
            self.pages.remove(at);
        }
        Ok(checked)
    }
}

/// Bit i, counted from the least significant one of the first byte.
fn to_bits(places: &[bool]) -> Bytes {
    let mut bits = vec![0_u8; places.len().div_ceil(8)];
    for (place, _) in places.iter().enumerate().filter(|(_, wanted)| **wanted) {
        bits[place / 8] |= 1 << (place % 8);
    }
    bits.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_count_from_the_least_significant_one_of_the_first_byte() {
        let mut places = [false; 11];
        for place in [0, 9, 10] {
            places[place] = true;
        }
        assert_eq!(to_bits(&places)[..], [0x01, 0x06]);
    }
}
