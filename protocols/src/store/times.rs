//! The time index of a log: the earliest and latest time of each chunk, and of
//! each 64 chunks, each 64² chunks, and so on. A search goes down the branches
//! that can hold what is sought; in a log whose times rise it reads one row of
//! 64 a height.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::{BufMut, Bytes, BytesMut};

use super::around::readable;
use super::tables::{index_of, level_key};
use super::{Batch, Store, StoreError, Table};
use crate::time::Timestamp;

/// Children of a node are counted in this many bits: 64, so that 10⁸ records
/// need four heights and a row is one short scan.
pub(crate) const FANOUT_BITS: u32 = 6;

/// What is known of the records below a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The earliest time.
    pub earliest: Timestamp,
    /// The latest time.
    pub latest: Timestamp,
    /// Bytes of the records, each with its length, as in a chunk.
    pub bytes: u64,
}

impl Summary {
    fn and(self, other: Self) -> Self {
        Self {
            earliest: self.earliest.min(other.earliest),
            latest: self.latest.max(other.latest),
            bytes: self.bytes + other.bytes,
        }
    }

    fn encode(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(24);
        bytes.put_i64(self.earliest.0);
        bytes.put_i64(self.latest.0);
        bytes.put_u64(self.bytes);
        bytes.freeze()
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let ([earliest, latest, total], []) = bytes.as_chunks::<8>() else {
            return Err(StoreError::Damaged("a time index entry".to_owned()));
        };
        Ok(Self {
            earliest: Timestamp(i64::from_be_bytes(*earliest)),
            latest: Timestamp(i64::from_be_bytes(*latest)),
            bytes: u64::from_be_bytes(*total),
        })
    }
}

/// A node of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// 0: a chunk; above it, 64^height chunks.
    pub height: u8,
    /// Its place among the nodes of its height.
    pub index: u64,
}

impl Place {
    /// The last index of a log with this chunk level that lies below it.
    #[must_use]
    pub fn last_index(self, chunk_level: u8) -> u64 {
        let bits = u32::from(self.height) * FANOUT_BITS + u32::from(chunk_level);
        let end = u128::from(self.index + 1) << bits;
        u64::try_from(end - 1).unwrap_or(u64::MAX)
    }

    fn parent(self) -> Self {
        Self {
            height: self.height + 1,
            index: self.index >> FANOUT_BITS,
        }
    }
}

/// Reads a log's time index.
#[derive(Clone, Copy, Debug)]
pub struct Times<'s, S: ?Sized> {
    store: &'s S,
    log: u32,
}

impl<'s, S: Store + ?Sized> Times<'s, S> {
    /// The index of the log with this number.
    pub fn new(store: &'s S, log: u32) -> Self {
        Self { store, log }
    }

    /// The summary at a place; `None` when nothing below it is held.
    ///
    /// # Errors
    /// The store fails.
    pub fn at(&self, place: Place) -> Result<Option<Summary>, StoreError> {
        let key = level_key(self.log, place.height, place.index);
        match self.store.get(Table::Times, &key)? {
            Some(bytes) => Summary::decode(&bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The children of a place above height 0, in order.
    ///
    /// # Errors
    /// The store fails.
    pub fn children(&self, place: Place) -> Result<Vec<(Place, Summary)>, StoreError> {
        let height = place.height - 1;
        let first = place.index << FANOUT_BITS;
        let mut children = Vec::new();
        let mut damaged = Ok(());
        self.store.scan(
            Table::Times,
            &level_key(self.log, height, first),
            &level_key(self.log, height, first + (1 << FANOUT_BITS)),
            &mut |key, value| match (index_of(key), Summary::decode(value)) {
                (Some(index), Ok(summary)) => {
                    children.push((Place { height, index }, summary));
                    ControlFlow::Continue(())
                }
                (_, summary) => {
                    damaged = summary.map(|_| ());
                    ControlFlow::Break(())
                }
            },
        )?;
        damaged?;
        Ok(children)
    }

    /// The place that covers everything that is held.
    ///
    /// # Errors
    /// The store fails.
    pub fn top(&self) -> Result<Option<(Place, Summary)>, StoreError> {
        let mut found = None;
        for height in 0..=MAX_HEIGHT {
            let place = Place { height, index: 0 };
            // Behind one that cannot be read there may be others.
            let Some(read) = readable(self.at(place))? else {
                continue;
            };
            if let Some(summary) = read {
                found = Some((place, summary));
            } else if height > 0 && found.is_some() {
                break;
            }
        }
        Ok(found)
    }
}

impl<S: Store + ?Sized> Times<'_, S> {
    /// Puts into a batch what removes the chunks `[from, to)` from the index.
    /// Nothing else of the index may be in the batch.
    ///
    /// # Errors
    /// The store fails.
    pub fn remove(&self, from: u64, to: u64, batch: &mut Batch) -> Result<(), StoreError> {
        let Some((top, _)) = self.top()?.filter(|_| from < to) else {
            return Ok(());
        };
        // What becomes of the nodes that keep some of their children: `None` when
        // they lose all of them. Of each height there are two at most.
        let mut changed: BTreeMap<Place, Option<Summary>> = BTreeMap::new();
        let mut inner = 0..0;
        for height in 0..=top.height {
            let bits = u32::from(height) * FANOUT_BITS;
            let at = |index: u64| index.checked_shr(bits).unwrap_or(0);
            let below = inner;
            inner = match from {
                0 => 0..at(to),
                _ => at(from - 1) + 1..at(to),
            };
            for index in [at(from), at(to - 1)] {
                let place = Place { height, index };
                if inner.contains(&index) || changed.contains_key(&place) {
                    continue;
                }
                let children = self.children(place)?.into_iter();
                let rest = children.filter_map(|(child, summary)| match changed.get(&child) {
                    Some(changed) => *changed,
                    None => (!below.contains(&child.index)).then_some(summary),
                });
                let rest = rest.reduce(Summary::and);
                changed.insert(place, rest);
            }
            let ends = [inner.start, inner.end.max(inner.start)];
            let [first, last] = ends.map(|index| level_key(self.log, height, index));
            (self.store).scan(Table::Times, &first, &last, &mut |key, _| {
                batch.delete(Table::Times, key);
                ControlFlow::Continue(())
            })?;
        }
        for (Place { height, index }, summary) in changed {
            let key = level_key(self.log, height, index);
            match summary {
                Some(summary) => batch.put(Table::Times, key, summary.encode()),
                None => batch.delete(Table::Times, key),
            }
        }
        Ok(())
    }
}

/// A row of the index that does not say what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    place: Place,
    /// What it should say; `None` if nothing below it is held.
    right: Option<Summary>,
}

impl Wrong {
    /// Puts what it should say into a batch.
    pub fn put(&self, log: u32, batch: &mut Batch) {
        let key = level_key(log, self.place.height, self.place.index);
        match self.right {
            Some(summary) => batch.put(Table::Times, key, summary.encode()),
            None => batch.delete(Table::Times, key),
        }
    }
}

impl<S: Store + ?Sized> Times<'_, S> {
    /// The rows that are wrong when `changed` is what is right of some of these
    /// chunks, of which `last` is the last one that is held: theirs, and those
    /// above all of these chunks that do not say what their children say.
    ///
    /// # Errors
    /// The store fails otherwise than by damage.
    pub fn wrong(
        &self,
        changed: &BTreeMap<u64, Option<Summary>>,
        chunks: std::ops::Range<u64>,
        last: u64,
    ) -> Result<Vec<Wrong>, StoreError> {
        let at = |height, index| Place { height, index };
        let mut right: BTreeMap<Place, Option<Summary>> = (changed.iter())
            .map(|(&chunk, &summary)| (at(0, chunk), summary))
            .collect();
        let bits = u64::BITS - last.leading_zeros();
        let needed = bits.div_ceil(FANOUT_BITS) as u8;
        let top = readable(self.top())?.flatten();
        let top = top.map_or(needed, |(top, _)| needed.max(top.height));
        for height in 1..=top {
            let shift = u32::from(height) * FANOUT_BITS;
            let place = |chunk: u64| chunk.checked_shr(shift).unwrap_or(0);
            for index in place(chunks.start)..=place(chunks.end.saturating_sub(1)) {
                let mut sum: Option<Summary> = None;
                for child in index << FANOUT_BITS..(index + 1) << FANOUT_BITS {
                    let child = at(height - 1, child);
                    let found = match right.get(&child) {
                        Some(right) => *right,
                        None => readable(self.at(child))?.flatten(),
                    };
                    sum = sum.map_or(found, |sum| Some(found.map_or(sum, |found| sum.and(found))));
                }
                if readable(self.at(at(height, index)))?.flatten() != sum {
                    right.insert(at(height, index), sum);
                }
            }
        }
        let wrong = right.into_iter();
        Ok(wrong.map(|(place, right)| Wrong { place, right }).collect())
    }
}

/// Heights that cover the largest log at chunk level 0.
const MAX_HEIGHT: u8 = 62_u32.div_ceil(FANOUT_BITS) as u8;

/// Changes of a log's time index that are not yet in the store.
#[derive(Debug)]
pub struct TimesChange<'s, S: ?Sized> {
    times: Times<'s, S>,
    changed: BTreeMap<Place, Summary>,
    /// Height of the place that covers everything, once it was looked up.
    top: Option<u8>,
}

impl<'s, S: Store + ?Sized> TimesChange<'s, S> {
    /// No change so far.
    pub fn new(times: Times<'s, S>) -> Self {
        Self {
            times,
            changed: BTreeMap::new(),
            top: None,
        }
    }

    fn at(&self, place: Place) -> Result<Option<Summary>, StoreError> {
        match self.changed.get(&place) {
            Some(summary) => Ok(Some(*summary)),
            None => self.times.at(place),
        }
    }

    /// Adds records of a chunk to what is known of it.
    ///
    /// # Errors
    /// The store fails.
    pub fn add(&mut self, chunk: u64, records: Summary) -> Result<(), StoreError> {
        let top = self.grow_to(chunk)?;
        let mut place = Place {
            height: 0,
            index: chunk,
        };
        loop {
            let summary = match self.at(place)? {
                Some(summary) => summary.and(records),
                None => records,
            };
            self.changed.insert(place, summary);
            if place.height >= top {
                return Ok(());
            }
            place = place.parent();
        }
    }

    /// Makes the index so high that its top covers a chunk too, and returns
    /// that height. Each new top begins as what the one below it covers.
    fn grow_to(&mut self, chunk: u64) -> Result<u8, StoreError> {
        let bits = u64::BITS - chunk.leading_zeros();
        let mut height = bits.div_ceil(FANOUT_BITS) as u8;
        let old = match self.top {
            Some(height) => {
                let place = Place { height, index: 0 };
                self.at(place)?.map(|summary| (place, summary))
            }
            None => self.times.top()?,
        };
        if let Some((top, summary)) = old {
            for height in top.height + 1..=height {
                self.changed.insert(Place { height, index: 0 }, summary);
            }
            height = height.max(top.height);
        }
        self.top = Some(height);
        Ok(height)
    }

    /// Writes the changes into a batch.
    pub fn finish(self, batch: &mut Batch) {
        for (place, summary) in self.changed {
            let key = level_key(self.times.log, place.height, place.index);
            batch.put(Table::Times, key, summary.encode());
        }
    }
}
