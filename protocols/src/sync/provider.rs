//! The upstream side: offers ranges that are held, with proof, and delivers
//! what is wanted, the most urgent first, as far as the peer takes it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::Priority;
use crate::id::LogId;
use crate::limits::{
    DELIVERY_BYTES, MAX_BATCH_BYTES, MAX_CHUNK_BYTES, MAX_HISTORY_BATCHES, MAX_LOG_SIZE,
    MAX_OFFERED, MAX_OPEN_BATCHES, OUTBOX_BYTES,
};
use crate::merkle::{Hash, Nodes, ProveError, Subtree, cover, join_hashes, prove_range};
use crate::ranges::{Interval, IntervalSet};
use crate::record::encoded_len;
use crate::store::times::Place;
use crate::store::{History, LogKey, ReadError, Store, StoreError};
use crate::wire::v1;

/// Serves batches to all peers.
///
/// Give it requests with [`offer`](Self::offer) and [`wanted`](Self::wanted);
/// after each, and after [`sent`](Self::sent), take
/// [`next_delivery`](Self::next_delivery) until it has none.
#[derive(Debug, Default)]
pub struct Provider {
    peers: BTreeMap<PeerId, Downstream>,
    /// Records delivered, by log.
    served: BTreeMap<LogId, u64>,
}

#[derive(Debug, Default)]
struct Downstream {
    batches: BTreeMap<u64, Batch>,
    /// Bytes that were handed to the transport and are not yet sent.
    queued_bytes: usize,
}

/// What was offered and is not yet delivered.
#[derive(Debug)]
struct Batch {
    log: LogId,
    key: LogKey,
    priority: Priority,
    items: Vec<Subtree>,
    /// Places of what is wanted and not delivered; `None` until it is known.
    wanted: Option<VecDeque<usize>>,
}

/// An offer could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefuseError {
    /// The start of the range is not held, or nothing proves it.
    #[error("the range is not held here")]
    NotHeld,
    /// The peer has too many batches open.
    #[error("too many batches are open")]
    Busy,
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A frame for a peer.
#[derive(Debug)]
pub struct Served {
    /// The log that it is about.
    pub log: LogId,
    /// The request that it answers.
    pub id: u64,
    /// How urgent it is.
    pub priority: Priority,
    /// The answer.
    pub body: v1::frame::Body,
}

/// A range that a peer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeRequest {
    /// The log.
    pub log: LogId,
    /// The request's id.
    pub id: u64,
    /// Size of the tree that the peer wants the proof for.
    pub size: u64,
    /// The range.
    pub interval: Interval,
    /// Whether everything offered is wanted.
    pub all: bool,
    /// How urgent it is.
    pub priority: Priority,
}

impl Provider {
    /// Offers what is held of a range, up to a batch, from its first record on.
    ///
    /// # Errors
    /// Nothing can be offered.
    pub fn offer<S: Store + ?Sized>(
        &mut self,
        peer: PeerId,
        request: RangeRequest,
        history: &History<'_, S>,
        held: &IntervalSet,
    ) -> Result<v1::OfferedHashes, RefuseError> {
        let downstream = self.peers.entry(peer).or_default();
        let places = match request.priority {
            Priority::History => MAX_HISTORY_BATCHES,
            Priority::Live | Priority::User => MAX_OPEN_BATCHES,
        };
        if downstream.batches.len() >= places {
            return Err(RefuseError::Busy);
        }
        let RangeRequest { size, interval, .. } = request;
        let to = held.prefix(interval.from).min(interval.to).min(size);
        let (items, lengths) = cut(history, interval.from, to)?;
        let Some(last) = items.last() else {
            return Err(RefuseError::NotHeld);
        };
        let to = last.end();
        let proof = prove_range(history, interval.from, to, size).map_err(refuse)?;
        let addresses: Result<Vec<Hash>, _> = (items.iter())
            .map(|&item| history.node(item)?.ok_or(RefuseError::NotHeld))
            .collect();
        let wanted = request.all.then(|| (0..items.len()).collect());
        let batch = Batch {
            log: request.log,
            key: history.key(),
            priority: request.priority,
            items,
            wanted,
        };
        let offer = v1::OfferedHashes {
            from: interval.from,
            to,
            addresses: join_hashes(&addresses?),
            byte_lengths: lengths,
            left: join_hashes(&proof.left),
            right: join_hashes(&proof.right),
        };
        downstream.batches.insert(request.id, batch);
        Ok(offer)
    }

    /// Notes what a peer wants of an offer; nothing wanted ends the batch. An
    /// unknown id is ignored: the batch may have been cancelled meanwhile.
    pub fn wanted(&mut self, peer: PeerId, id: u64, bits: &[u8]) {
        let Some(downstream) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(batch) = downstream.batches.get_mut(&id) else {
            return;
        };
        if batch.wanted.is_some() {
            return;
        }
        let places: VecDeque<_> = (0..batch.items.len())
            .filter(|&place| bit(bits, place))
            .collect();
        if places.is_empty() {
            downstream.batches.remove(&id);
        } else {
            batch.wanted = Some(places);
        }
    }

    /// Drops a batch.
    pub fn cancel(&mut self, peer: PeerId, id: u64) {
        if let Some(downstream) = self.peers.get_mut(&peer) {
            downstream.batches.remove(&id);
        }
    }

    /// Forgets a peer.
    pub fn gone(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    /// Notes that bytes left the transport's queue.
    pub fn sent(&mut self, peer: PeerId, bytes: usize) {
        if let Some(downstream) = self.peers.get_mut(&peer) {
            downstream.queued_bytes = downstream.queued_bytes.saturating_sub(bytes);
        }
    }

    /// Notes that bytes were handed to the transport.
    pub fn queued(&mut self, peer: PeerId, bytes: usize) {
        let downstream = self.peers.entry(peer).or_default();
        downstream.queued_bytes = downstream.queued_bytes.saturating_add(bytes);
    }

    /// Records of a log that were delivered to others since the node started.
    #[must_use]
    pub fn served_records(&self, log: LogId) -> u64 {
        self.served.get(&log).copied().unwrap_or(0)
    }

    /// Bytes that were handed to the transport and are not yet sent.
    #[must_use]
    pub fn queued_bytes(&self, peer: PeerId) -> usize {
        self.peers.get(&peer).map_or(0, |d| d.queued_bytes)
    }

    /// The next frame for a peer: a run of chunks of its most urgent batch, or
    /// the end of that batch; `None` while nothing is wanted or enough waits in
    /// the transport.
    pub fn next_delivery<S: Store + ?Sized>(&mut self, peer: PeerId, store: &S) -> Option<Served> {
        let downstream = self.peers.get_mut(&peer)?;
        if downstream.queued_bytes >= OUTBOX_BYTES {
            return None;
        }
        // The most urgent, and of those the one asked for first.
        let (&id, batch) = (downstream.batches.iter_mut())
            .filter(|(_, batch)| batch.wanted.is_some())
            .max_by_key(|(id, batch)| (batch.priority, std::cmp::Reverse(**id)))?;
        let (log, priority) = (batch.log, batch.priority);
        let history = History::new(store, batch.key);
        let body = match batch.next_run(&history) {
            Ok(Some(delivery)) => {
                let first = delivery.first as usize;
                let items = &batch.items[first..first + delivery.chunks.len()];
                let records: u64 = items.iter().map(|item| item.len()).sum();
                *self.served.entry(batch.log).or_default() += records;
                v1::frame::Body::Delivery(delivery)
            }
            end => {
                downstream.batches.remove(&id);
                match end {
                    Ok(_) => v1::frame::Body::Done(v1::Done {}),
                    Err(error) => v1::frame::Body::Refused(v1::Refused {
                        why: why(&error).into(),
                    }),
                }
            }
        };
        Some(Served {
            log,
            id,
            priority,
            body,
        })
    }
}

/// What a refusal says to the peer.
fn why(error: &ReadError) -> v1::refused::Why {
    match error {
        ReadError::NotHeld(_) => v1::refused::Why::NotHeld,
        ReadError::Store(_) => v1::refused::Why::Failed,
    }
}

impl Batch {
    /// The next chunks that are wanted and stand side by side in the offer, up
    /// to the bytes of one frame.
    fn next_run<S: Store + ?Sized>(
        &mut self,
        history: &History<'_, S>,
    ) -> Result<Option<v1::Delivery>, ReadError> {
        let Some(wanted) = &mut self.wanted else {
            return Ok(None);
        };
        let Some(&first) = wanted.front() else {
            return Ok(None);
        };
        let mut chunks: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        while bytes < DELIVERY_BYTES && wanted.front() == Some(&(first + chunks.len())) {
            let chunk = history.subtree_bytes(self.items[first + chunks.len()])?;
            bytes += chunk.len();
            // A frame has room for one chunk of the largest size; the next one
            // is read again for a frame of its own.
            if bytes > MAX_CHUNK_BYTES && !chunks.is_empty() {
                break;
            }
            chunks.push(chunk);
            wanted.pop_front();
        }
        let first = u32::try_from(first).expect("an offer has at most 128 places");
        Ok(Some(v1::Delivery { first, chunks }))
    }
}

/// The subtrees of a batch from `from` on, with the bytes of each: as many as
/// the limits of a batch allow.
fn cut<S: Store + ?Sized>(
    history: &History<'_, S>,
    from: u64,
    to: u64,
) -> Result<(Vec<Subtree>, Vec<u32>), RefuseError> {
    let mut items = Vec::new();
    let mut lengths = Vec::new();
    let mut total = 0;
    if from >= to || to > MAX_LOG_SIZE {
        return Ok((items, lengths));
    }
    let mut edge = Edge::default();
    for item in cover(from, to, history.key().chunk_level).take(MAX_OFFERED) {
        let bytes = edge.subtree_len(history, item, to)?;
        total += bytes;
        if total > MAX_BATCH_BYTES && !items.is_empty() {
            break;
        }
        items.push(item);
        lengths.push(u32::try_from(bytes).unwrap_or(u32::MAX));
    }
    Ok((items, lengths))
}

/// The lengths of the records of a chunk that only a part of is offered: its
/// many small subtrees must not read it once each.
#[derive(Default)]
struct Edge {
    first: u64,
    lengths: Vec<usize>,
}

impl Edge {
    /// Bytes of a subtree of at most a chunk, of an offer that ends at `to`.
    fn subtree_len<S: Store + ?Sized>(
        &mut self,
        history: &History<'_, S>,
        item: Subtree,
        to: u64,
    ) -> Result<usize, RefuseError> {
        if item.level == history.key().chunk_level {
            let place = Place {
                height: 0,
                index: item.index,
            };
            if let Some(summary) = history.times().at(place)? {
                return Ok(usize::try_from(summary.bytes).unwrap_or(usize::MAX));
            }
        }
        let end = self.first + self.lengths.len() as u64;
        if item.begin() < self.first || item.end() > end {
            let run = history.run(item.begin(), to).map_err(|error| match error {
                ReadError::NotHeld(_) => RefuseError::NotHeld,
                ReadError::Store(error) => RefuseError::Store(error),
            })?;
            self.first = item.begin();
            self.lengths = run.iter().map(|r| encoded_len(r.as_bytes())).collect();
        }
        let place = (item.begin() - self.first) as usize;
        let lengths = self.lengths.get(place..place + item.len() as usize);
        Ok(lengths.ok_or(RefuseError::NotHeld)?.iter().sum())
    }
}

fn refuse(error: ProveError<StoreError>) -> RefuseError {
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
