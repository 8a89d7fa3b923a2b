//! The upstream side: offers ranges that are held, with proof, and delivers
//! what is wanted, each log in its turn, as far as the peer takes it.

use std::collections::BTreeMap;

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::Priority;
use super::readers::Readers;
pub use super::readers::Work;
pub use super::serving::{RangeRequest, RefuseError};
use super::serving::{Serving, Step};
use super::turns::Turns;
use crate::id::LogId;
use crate::limits::{MAX_HISTORY_BATCHES, MAX_OFFERED, MAX_OPEN_BATCHES, OUTBOX_BYTES};
use crate::ranges::{Interval, IntervalSet};
use crate::store::{History, Store};
use crate::time::Timestamp;
use crate::wire::v1;

/// Serves requests to all peers.
///
/// Give it requests with [`offer`](Self::offer) and [`wanted`](Self::wanted);
/// after each, and after [`sent`](Self::sent), take
/// [`next_frame`](Self::next_frame) until it has none.
#[derive(Debug, Default)]
pub struct Provider {
    peers: BTreeMap<PeerId, Downstream>,
    /// Records delivered, by log.
    served: BTreeMap<LogId, u64>,
    readers: Readers,
}

#[derive(Debug, Default)]
struct Downstream {
    requests: BTreeMap<u64, Serving>,
    turns: Turns,
    /// Bytes that were handed to the transport and are not yet sent.
    queued_bytes: usize,
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
    /// What is refused because it could not be read, though it was held when it
    /// was asked for.
    pub unreadable: Option<Interval>,
}

impl Provider {
    /// Takes a request for ranges, and offers the first page of what is held of
    /// them.
    ///
    /// # Errors
    /// Nothing can be offered.
    pub fn offer<S: Store + ?Sized>(
        &mut self,
        peer: PeerId,
        request: &RangeRequest,
        history: &History<'_, S>,
        held: &IntervalSet,
        now: Timestamp,
    ) -> Result<v1::OfferedHashes, RefuseError> {
        let may_ask = self.may_ask(peer, now);
        let downstream = self.peers.entry(peer).or_default();
        let places = match request.priority {
            Priority::History => MAX_HISTORY_BATCHES,
            Priority::Live | Priority::User => MAX_OPEN_BATCHES,
        };
        if downstream.requests.len() >= places || !may_ask {
            return Err(RefuseError::Busy);
        }
        let mut serving = Serving::new(request, history.key(), held)?;
        let page = serving.next_page(history);
        let (offer, work) = page.inspect_err(|_| {
            // What was looked up in vain was looked up, too.
            self.readers.charge(
                peer,
                Work {
                    nodes: MAX_OFFERED,
                    bytes: 0,
                },
                now,
            );
        })?;
        downstream.requests.insert(request.id, serving);
        self.readers.charge(peer, work, now);
        Ok(offer)
    }

    /// Whether a peer may ask for something that has to be read, or has made us
    /// read so much lately that it has to wait.
    #[must_use]
    pub fn may_ask(&self, peer: PeerId, now: Timestamp) -> bool {
        self.readers.may_ask(peer, now)
    }

    /// Counts what an answer took that is given elsewhere.
    pub fn charge(&mut self, peer: PeerId, work: Work, now: Timestamp) {
        self.readers.charge(peer, work, now);
    }

    /// Notes what a peer wants of a page. An unknown one is ignored: the request
    /// may have been cancelled meanwhile.
    pub fn wanted(&mut self, peer: PeerId, id: u64, wanted: &v1::WantedHashes) {
        let downstream = self.peers.get_mut(&peer);
        if let Some(serving) = downstream.and_then(|d| d.requests.get_mut(&id)) {
            serving.wanted(wanted.first as usize, &wanted.bits);
        }
    }

    /// Drops a request.
    pub fn cancel(&mut self, peer: PeerId, id: u64) {
        if let Some(downstream) = self.peers.get_mut(&peer) {
            downstream.requests.remove(&id);
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

    /// The next frame for a peer, of the request whose turn it is: a run of
    /// chunks, a page, or the end; `None` while nothing is wanted or enough waits in the
    /// transport.
    pub fn next_frame<S: Store + ?Sized>(
        &mut self,
        peer: PeerId,
        store: &S,
        now: Timestamp,
    ) -> Option<Served> {
        let downstream = self.peers.get_mut(&peer)?;
        if downstream.queued_bytes >= OUTBOX_BYTES {
            return None;
        }
        let waiting = || {
            let requests = downstream.requests.iter();
            requests.filter(|(_, serving)| serving.step() != Step::Wait)
        };
        let ready = waiting().map(|(_, serving)| (serving.priority, serving.log));
        let (priority, log) = downstream.turns.next(&ready.collect())?;
        // Of one log the request that came first.
        let is_next = |serving: &Serving| (serving.priority, serving.log) == (priority, log);
        let (&id, _) = waiting().find(|(_, serving)| is_next(serving))?;
        let serving = downstream.requests.get_mut(&id)?;
        let history = History::new(store, serving.key);
        let made = match serving.step() {
            Step::Deliver => (serving.next_run(&history))
                .map_err(RefuseError::from)
                .map(|run| {
                    run.map(|(delivery, records)| {
                        *self.served.entry(log).or_default() += records;
                        v1::frame::Body::Delivery(delivery)
                    })
                }),
            Step::Offer if !self.readers.may_ask(peer, now) => Err(RefuseError::Busy),
            Step::Offer => serving.next_page(&history).map(|(page, work)| {
                self.readers.charge(peer, work, now);
                Some(v1::frame::Body::OfferedHashes(page))
            }),
            Step::Done | Step::Wait => Ok(None),
        };
        let mut unreadable = None;
        let body = match made {
            Ok(Some(body)) => body,
            end => {
                if let Err(RefuseError::NotHeld | RefuseError::Store(_)) = &end {
                    unreadable = serving.next_interval();
                }
                downstream.requests.remove(&id);
                match end {
                    Ok(_) => v1::frame::Body::Done(v1::Done {}),
                    Err(error) => v1::frame::Body::Refused(v1::Refused {
                        why: error.why().into(),
                    }),
                }
            }
        };
        downstream.turns.sent(priority, log, bytes_of(&body));
        Some(Served {
            log,
            id,
            priority,
            body,
            unreadable,
        })
    }
}

/// About how many bytes a frame has.
fn bytes_of(body: &v1::frame::Body) -> usize {
    match body {
        v1::frame::Body::Delivery(delivery) => delivery.chunks.iter().map(Bytes::len).sum(),
        v1::frame::Body::OfferedHashes(offer) => offer.addresses.len() + offer.proof.len(),
        _ => 0,
    }
}
