//! Questions and answers: whom a node asks for peers, and what it tells others.

use std::collections::{BTreeMap, BTreeSet};

use headwater_protocols::id::LogId;
use headwater_protocols::limits::{MAX_ASKED_STREAMS, MAX_TOLD_PEERS};
use headwater_protocols::time::Timestamp;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::{PeerId, StreamProtocol};

use super::super::action::Action;
use super::super::addresses::Reach;
use super::super::codec::Codec;
use super::super::limits::{
    ASK_AGAIN, ASK_BUSY_AGAIN, ASKED_AT_ONCE, EXCHANGE_TIMEOUT, MAX_EXCHANGE_STREAMS,
};
use super::super::peer_book::{Asking, shuffle};
use super::super::peer_question::Request;
use super::checked::Response;
use super::{Exchange, Neighbour, random};

/// Questions and answers.
pub(in crate::net) type Messages = request_response::Behaviour<Codec<Request, Response>>;

/// What [`Messages`] tells.
pub(in crate::net) type Event = request_response::Event<Request, Response>;

pub(super) const PROTOCOL: StreamProtocol = StreamProtocol::new("/headwater/peers/2");

/// The behaviour that carries questions and answers.
pub(in crate::net) fn messages() -> Messages {
    let config = request_response::Config::default()
        .with_request_timeout(EXCHANGE_TIMEOUT)
        .with_max_concurrent_streams(MAX_EXCHANGE_STREAMS);
    Messages::new([(PROTOCOL, ProtocolSupport::Full)], config)
}

impl Exchange {
    /// Asks for more peers: one that has the most of the streams that lack
    /// them, and any other.
    pub(super) fn ask(&mut self, now: Timestamp) {
        let due = self.shortages.due(now);
        if due.is_empty() {
            return;
        }
        let free = |(_, n): &(&PeerId, &Neighbour)| n.speaks && !n.is_asked && n.free_at <= now;
        let mut free: Vec<PeerId> = self
            .neighbours
            .iter()
            .filter(free)
            .map(|(&p, _)| p)
            .collect();
        shuffle(&mut free, &mut random);
        let mut shared: BTreeMap<PeerId, usize> = BTreeMap::new();
        for &stream in &due {
            for peer in self.subscriptions.of_stream(stream) {
                *shared.entry(peer).or_insert(0) += 1;
            }
        }
        let best = (0..free.len()).max_by_key(|&place| shared.get(&free[place]).copied());
        if let Some(best) = best {
            free.swap(0, best);
        }
        free.truncate(ASKED_AT_ONCE);
        let mut asked = BTreeSet::new();
        for peer in free {
            let mut streams = due.clone();
            // What it knows about first, then what nobody was asked for.
            streams.sort_by_key(|stream| {
                (
                    !self.subscriptions.contains(&peer, *stream),
                    asked.contains(stream),
                )
            });
            streams.truncate(MAX_ASKED_STREAMS);
            asked.extend(streams.iter().copied());
            self.ask_peer(peer, streams, MAX_TOLD_PEERS, now);
        }
        let asked: Vec<LogId> = asked.into_iter().collect();
        self.shortages.asked(&asked, now, random());
    }

    fn ask_peer(&mut self, peer: PeerId, streams: Vec<LogId>, count: usize, now: Timestamp) {
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.is_asked = true;
            neighbour.free_at = now + ASK_AGAIN;
        }
        tracing::trace!(%peer, streams = streams.len(), "asking for peers");
        let request = Request {
            streams,
            count,
            record: self.own.clone(),
            falsehood: None,
        };
        self.ready.push_back(Action::AskPeers { peer, request });
    }

    /// Asks peers for nothing but their record, and hands over ours: identify
    /// tells addresses without a signature. (It could sign them, in a form that
    /// only rust-libp2p reads, and others refuse all of it then.)
    pub(super) fn exchange_records(&mut self, now: Timestamp) {
        let is_due = |n: &Neighbour| n.lacks_record && n.speaks && !n.is_asked && n.free_at <= now;
        let due = |(&peer, n): (&PeerId, &Neighbour)| is_due(n).then_some(peer);
        let lacking: Vec<PeerId> = self.neighbours.iter().filter_map(due).collect();
        for peer in lacking {
            if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                neighbour.lacks_record = false;
            }
            self.ask_peer(peer, Vec::new(), 0, now);
        }
    }

    /// Takes a question, which is answered if its sender is connected.
    ///
    /// # Errors
    /// Its sender passes on what is false, and is to be banned for that.
    pub(in crate::net) fn question(
        &mut self,
        peer: PeerId,
        request: Request,
        now: Timestamp,
    ) -> Result<Option<Response>, String> {
        if let Some(falsehood) = request.falsehood {
            return Err(falsehood);
        }
        let Some(reach) = self.neighbours.get(&peer).map(|neighbour| neighbour.reach) else {
            return Ok(None);
        };
        if let Some(record) = request.record {
            self.heard_itself(peer, record, reach, now);
        }
        Ok(Some(match self.allowance.take(peer, now) {
            true => self.tell(peer, reach, request.count, &request.streams, now),
            false => Response {
                busy: true,
                ..Response::default()
            },
        }))
    }

    /// A peer did not answer.
    pub(in crate::net) fn not_answered(&mut self, peer: &PeerId, now: Timestamp) {
        if let Some(neighbour) = self.neighbours.get_mut(peer) {
            neighbour.is_asked = false;
            neighbour.free_at = now + ASK_BUSY_AGAIN;
        }
    }

    fn tell(
        &self,
        asker: PeerId,
        reach: Reach,
        count: usize,
        streams: &[LogId],
        now: Timestamp,
    ) -> Response {
        let mut subscribed: BTreeMap<PeerId, BTreeSet<usize>> = BTreeMap::new();
        for (place, &stream) in streams.iter().enumerate() {
            for peer in self.subscriptions.of_stream(stream) {
                subscribed.entry(peer).or_default().insert(place);
            }
        }
        let asking = Asking {
            asker,
            reach,
            count: count.min(MAX_TOLD_PEERS),
            for_streams: !streams.is_empty(),
            subscribed,
        };
        let told = self.book.tell(&asking, now, &mut random);
        Response {
            record: self.own.clone(),
            peers: told,
            busy: false,
            falsehood: None,
        }
    }

    /// Takes the answer of a peer that was asked about these streams. Whoever
    /// passes on what is false is banned; else some of those that it has told of
    /// may be dialled [next](Self::next).
    pub(in crate::net) fn answered(
        &mut self,
        peer: PeerId,
        streams: &[LogId],
        response: Response,
        now: Timestamp,
    ) -> Option<Action> {
        let neighbour = self.neighbours.get_mut(&peer)?;
        neighbour.is_asked = false;
        if response.busy {
            neighbour.free_at = now + ASK_BUSY_AGAIN;
        }
        let reach = neighbour.reach;
        if let Some(record) = response.record {
            self.heard_itself(peer, record, reach, now);
        }
        let told = response.peers.len();
        let mut new = 0;
        for (record, places) in response.peers {
            let about = record.peer;
            new += usize::from(self.book.hear(record, Some(peer), reach, now));
            for stream in places.iter().filter_map(|&place| streams.get(place)) {
                self.book.subscribed(&about, *stream);
            }
        }
        tracing::debug!(%peer, told, new, known = self.book.len(), "a peer told of others");
        if let Some(falsehood) = response.falsehood {
            return Some(Action::Ban(peer, falsehood));
        }
        self.dial_for_streams();
        None
    }
}
