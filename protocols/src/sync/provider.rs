//! The upstream side: offers ranges that are held, with proof, and delivers
//! what is wanted, each log in its turn, as far as the peer takes it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::Priority;
use super::ends::Ends;
use super::outbox::{Outboxes, frame_cost};
pub use super::readers::Work;
use super::readers::{Reader, Readers};
pub use super::serving::{RangeRequest, RefuseError};
use super::serving::{Serving, Step};
use super::turns::Turns;
use crate::id::LogId;
use crate::limits::{MAX_HISTORY_BATCHES, MAX_OFFERED, MAX_OPEN_BATCHES};
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
    outboxes: Outboxes,
    ends: Ends,
}

#[derive(Debug, Default)]
struct Downstream {
    requests: BTreeMap<u64, Serving>,
    turns: Turns,
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
    /// Something had to be looked up for it: others come before the next one.
    pub is_page: bool,
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
        let reader = self.reader(peer);
        let may_ask = self.readers.may_ask(reader, now);
        let places = match request.priority {
            Priority::History => MAX_HISTORY_BATCHES,
            Priority::Live | Priority::User => MAX_OPEN_BATCHES,
        };
        if self.open_requests(peer) >= places || !may_ask {
            return Err(RefuseError::Busy);
        }
        let mut serving = Serving::new(request, history.key(), held)?;
        let page = serving.next_page(history, &mut self.ends);
        let (offer, work) = page.inspect_err(|_| {
            // What was looked up in vain was looked up, too.
            self.readers.charge(reader, Work::nodes(MAX_OFFERED), now);
        })?;
        let downstream = self.peers.entry(peer).or_default();
        downstream.requests.insert(request.id, serving);
        self.readers.charge(reader, work, now);
        Ok(offer)
    }

    /// Who asks, and from where.
    fn reader(&self, peer: PeerId) -> Reader {
        (peer, self.outboxes.place(peer))
    }

    fn open_requests(&self, peer: PeerId) -> usize {
        (self.peers.get(&peer)).map_or(0, |downstream| downstream.requests.len())
    }

    /// Whether a peer may ask for something that has to be read, or has made us
    /// read so much lately that it has to wait.
    #[must_use]
    pub fn may_ask(&self, peer: PeerId, now: Timestamp) -> bool {
        self.readers.may_ask(self.reader(peer), now)
    }

    /// Whether a peer may ask for something that costs little.
    #[must_use]
    pub fn may_ask_little(&self, peer: PeerId, now: Timestamp) -> bool {
        self.readers.may_ask_little(self.reader(peer), now)
    }

    /// Whether a peer has gone on asking although it was told to wait.
    #[must_use]
    pub fn floods(&self, peer: PeerId, now: Timestamp) -> bool {
        self.readers.floods(self.reader(peer), now)
    }

    /// Counts what a question, or an answer that is given elsewhere, took.
    pub fn charge(&mut self, peer: PeerId, work: Work, now: Timestamp) {
        self.readers.charge(self.reader(peer), work, now);
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

    /// A peer is there, at a place if that is known, and nothing is on its way to
    /// it.
    pub fn ready(&mut self, peer: PeerId, place: Option<u64>) {
        self.gone(peer);
        if let Some(place) = place {
            self.outboxes.is_at(peer, place);
        }
    }

    /// Where a peer is that is there, if that is known.
    #[must_use]
    pub fn place(&self, peer: PeerId) -> Option<u64> {
        self.outboxes.place(peer)
    }

    /// Forgets a peer, and what was on its way to it.
    pub fn gone(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
        self.outboxes.gone(peer);
    }

    /// Notes that frames which cost so much (see [`frame_cost`]) left the
    /// transport's queue.
    pub fn sent(&mut self, peer: PeerId, cost: usize) {
        self.outboxes.sent(peer, cost);
    }

    /// Notes that a frame of so many bytes was handed to the transport.
    pub fn queued(&mut self, peer: PeerId, bytes: usize) {
        self.outboxes.queued(peer, frame_cost(bytes));
    }

    /// Whether there is room for a short answer.
    #[must_use]
    pub fn may_answer(&self, peer: PeerId) -> bool {
        self.outboxes.may_answer(peer)
    }

    /// A peer to which something may be delivered now that others have taken
    /// something.
    pub fn take_held_up(&mut self) -> Option<PeerId> {
        self.outboxes.take_held_up()
    }

    /// Forgets the nodes that are kept of the log with this number: what they were made
    /// from is damaged, or gone.
    pub fn forget_ends(&mut self, number: u32) {
        self.ends.forget(number);
    }

    /// Records of a log that were delivered to others since the node started.
    #[must_use]
    pub fn served_records(&self, log: LogId) -> u64 {
        self.served.get(&log).copied().unwrap_or(0)
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
        let reader = self.reader(peer);
        let downstream = self.peers.get_mut(&peer)?;
        let waiting = || {
            let requests = downstream.requests.iter();
            requests.filter(|(_, serving)| serving.step() != Step::Wait)
        };
        let ready = waiting().map(|(_, serving)| (serving.priority, serving.log));
        let ready: BTreeSet<_> = ready.collect();
        if ready.is_empty() || !self.outboxes.may_deliver(peer) {
            return None;
        }
        let (priority, log) = downstream.turns.next(&ready)?;
        // Of one log the request that came first.
        let is_next = |serving: &Serving| (serving.priority, serving.log) == (priority, log);
        let (&id, _) = waiting().find(|(_, serving)| is_next(serving))?;
        let serving = downstream.requests.get_mut(&id)?;
        let history = History::new(store, serving.key);
        let step = serving.step();
        let made = match step {
            Step::Deliver => (serving.next_run(&history))
                .map_err(RefuseError::from)
                .map(|run| {
                    run.map(|run| {
                        *self.served.entry(log).or_default() += run.records;
                        self.readers.give_back(reader, run.paid_nodes);
                        v1::frame::Body::Delivery(run.delivery)
                    })
                }),
            Step::Offer if !self.readers.may_ask(reader, now) => Err(RefuseError::Busy),
            Step::Offer => serving
                .next_page(&history, &mut self.ends)
                .map(|(page, work)| {
                    self.readers.charge(reader, work, now);
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
            is_page: step == Step::Offer,
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
