//! The downstream side of one batch: asked for, offered, checked, delivered.

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::Priority;
use crate::head::SignedHead;
use crate::id::LogId;
use crate::limits::{MAX_BATCH_BYTES, MAX_CHUNK_BYTES, MAX_OFFERED};
use crate::log::{AdmitError, Node};
use crate::merkle::{Hash, RangeProof, Subtree, cover, split_hashes, subtree_root, verify_range};
use crate::ranges::{Interval, IntervalSet};
use crate::record::CheckedChunk;
use crate::wire::{WireError, v1};

/// A range that was asked of one peer.
///
/// First [`offered`](Self::offered), then [`delivered`](Self::delivered) until
/// [`is_complete`](Self::is_complete).
#[derive(Debug)]
pub struct Fetch {
    /// The peer that was asked.
    pub peer: PeerId,
    /// The log.
    pub log: LogId,
    /// What is expected of the peer: what was asked, then what it offered.
    pub interval: Interval,
    /// The head that offers are checked against.
    pub head: SignedHead,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether everything in the interval is wanted.
    pub all: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waiting for the offer.
    Asked,
    /// Waiting for these items.
    Offered {
        items: Vec<(Subtree, Hash)>,
        /// By place: still to come.
        missing: Vec<bool>,
        chunk_level: u8,
    },
}

/// An offer that was checked against the head.
#[derive(Debug)]
pub struct CheckedOffer {
    /// Every node of the tree that the offer proves.
    pub nodes: Vec<Node>,
    /// What to answer when the peer waits to hear what is wanted.
    pub wanted: Option<v1::WantedHashes>,
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
    /// A range to be asked of a peer.
    #[must_use]
    pub fn new(
        peer: PeerId,
        log: LogId,
        interval: Interval,
        head: SignedHead,
        priority: Priority,
        all: bool,
    ) -> Self {
        Self {
            peer,
            log,
            interval,
            head,
            priority,
            all,
            state: State::Asked,
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
        v1::GetRange {
            log: Bytes::copy_from_slice(&self.log.0),
            size: self.head.size,
            interval: Some(v1::Interval {
                from: self.interval.from,
                to: self.interval.to,
            }),
            mode: mode.into(),
            priority: self.priority.to_wire().into(),
        }
    }

    /// Whether the offer has come.
    #[must_use]
    pub fn is_offered(&self) -> bool {
        matches!(self.state, State::Offered { .. })
    }

    /// Whether everything that was offered and wanted has come.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.state {
            State::Asked => false,
            State::Offered { missing, .. } => !missing.contains(&true),
        }
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
        let State::Asked = self.state else {
            return Err(bad("id: it was answered before").into());
        };
        let Interval { from, to } = self.interval;
        if offer.from != from || offer.from >= offer.to || offer.to > to {
            return Err(bad("range").into());
        }
        let addresses = split_hashes(what, "addresses", &offer.addresses)?;
        let count = addresses.len();
        let tiles = cover(offer.from, offer.to, chunk_level);
        if count > MAX_OFFERED
            || offer.byte_lengths.len() != count
            || tiles.clone().take(count + 1).count() != count
        {
            return Err(bad("count of addresses").into());
        }
        let lengths = || offer.byte_lengths.iter().map(|&bytes| bytes as usize);
        if lengths().any(|bytes| bytes > MAX_CHUNK_BYTES)
            || (count > 1 && lengths().sum::<usize>() > MAX_BATCH_BYTES)
        {
            return Err(bad("byte lengths").into());
        }
        let items: Vec<_> = tiles.zip(addresses).collect();
        let proof = RangeProof {
            left: split_hashes(what, "left", &offer.left)?,
            right: split_hashes(what, "right", &offer.right)?,
        };
        let mut nodes = Vec::new();
        verify_range(
            offer.from,
            offer.to,
            self.head.size,
            &items,
            &proof,
            self.head.root,
            &mut |subtree, hash| nodes.push((subtree, hash)),
        )?;

        self.interval.to = offer.to;
        let missing: Vec<_> = (items.iter())
            .map(|(item, _)| self.all || !held.contains(item.begin(), item.end()))
            .collect();
        let wanted = (!self.all).then(|| v1::WantedHashes {
            bits: to_bits(&missing),
        });
        self.state = State::Offered {
            items,
            missing,
            chunk_level,
        };
        Ok(CheckedOffer { nodes, wanted })
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
        let State::Offered {
            items,
            missing,
            chunk_level,
        } = &mut self.state
        else {
            return Err(bad("id: nothing was offered").into());
        };
        if delivery.chunks.is_empty() {
            return Err(bad("chunks (none)").into());
        }
        let first = delivery.first as usize;
        let mut checked = Vec::with_capacity(delivery.chunks.len().min(MAX_OFFERED));
        for (i, bytes) in delivery.chunks.into_iter().enumerate() {
            let place = first.saturating_add(i);
            let (Some(&(subtree, hash)), Some(missing)) =
                (items.get(place), missing.get_mut(place))
            else {
                return Err(bad("place").into());
            };
            if !std::mem::take(missing) {
                return Err(bad("place: it was not wanted").into());
            }
            let mut chunk = CheckedChunk::parse(bytes, subtree.len(), max_value)?;
            // Only what is smaller than a chunk is kept record by record, and
            // needs its leaves again.
            let leaves = if subtree.level < *chunk_level {
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
