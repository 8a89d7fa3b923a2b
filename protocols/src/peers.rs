//! What peers tell each other about peers: the question, the answer, how often
//! one may ask, and who is subscribed to what.
//!
//! A record is bytes here: whoever receives one checks its signature.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use libp2p_identity::PeerId;
use prost::Message;

use crate::bucket::Buckets;
use crate::id::LogId;
use crate::limits::{
    MAX_ASKED_STREAMS, MAX_COUNTED_ASKERS, MAX_NOTED_SUBSCRIPTIONS,
    MAX_NOTED_SUBSCRIPTIONS_PER_PEER, MAX_PEER_RECORD_BYTES, MAX_PEERS_ANSWER_BYTES,
    MAX_PEERS_REQUEST_BYTES, MAX_TOLD_PEERS, PEERS_QUESTION_US, PEERS_QUESTIONS,
};
use crate::time::Timestamp;
use crate::wire::{WireError, decode, v1};

/// Who else is there?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The streams that peers are wanted for; none: any peers.
    pub streams: Vec<LogId>,
    /// How many peers at most.
    pub count: usize,
    /// The signed peer record of whoever asks; empty when it has none.
    pub record: Bytes,
}

/// What a peer tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The signed peer record of whoever answers; empty when it has none.
    pub record: Bytes,
    /// Peers that it knows at first hand.
    pub peers: Vec<Told>,
    /// It was asked too often.
    pub busy: bool,
}

/// A peer that another one knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Its signed peer record.
    pub record: Bytes,
    /// The places, among the streams asked for, of those that it is subscribed
    /// to.
    pub subscribed: BTreeSet<usize>,
}

impl Question {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let id = |log: &LogId| Bytes::copy_from_slice(&log.0);
        let request = v1::PeersRequest {
            streams: self.streams.iter().map(id).collect(),
            count: u32::try_from(self.count).unwrap_or(u32::MAX),
            record: self.record.clone(),
        };
        request.encode_to_vec()
    }

    /// Reads a peer's question.
    ///
    /// # Errors
    /// It is none, or asks for more than one may ask for.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        const WHAT: &str = "a question for peers";
        let bad = |field| WireError::BadField { what: WHAT, field };
        let request: v1::PeersRequest = decode(WHAT, bytes, MAX_PEERS_REQUEST_BYTES)?;
        if request.streams.len() > MAX_ASKED_STREAMS {
            return Err(bad("number of streams"));
        }
        let ids = request.streams.iter().map(|id| LogId::from_slice(id));
        Ok(Self {
            streams: ids.collect::<Option<_>>().ok_or(bad("stream"))?,
            count: usize::try_from(request.count).unwrap_or(usize::MAX),
            record: bounded(request.record).ok_or(bad("record"))?,
        })
    }
}

impl Answer {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let told = |peer: &Told| v1::ToldPeer {
            record: peer.record.clone(),
            subscribed: bits(&peer.subscribed),
        };
        let answer = v1::PeersAnswer {
            record: self.record.clone(),
            peers: self.peers.iter().map(told).collect(),
            busy: self.busy,
        };
        answer.encode_to_vec()
    }

    /// Reads a peer's answer.
    ///
    /// # Errors
    /// It is none, or tells of more than one may tell of.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        const WHAT: &str = "an answer with peers";
        let bad = |field| WireError::BadField { what: WHAT, field };
        let answer: v1::PeersAnswer = decode(WHAT, bytes, MAX_PEERS_ANSWER_BYTES)?;
        if answer.peers.len() > MAX_TOLD_PEERS {
            return Err(bad("number of peers"));
        }
        let told = |peer: v1::ToldPeer| {
            Some(Told {
                record: bounded(peer.record).filter(|record| !record.is_empty())?,
                subscribed: places(&peer.subscribed)?,
            })
        };
        let peers = answer.peers.into_iter().map(told);
        Ok(Self {
            peers: peers.collect::<Option<_>>().ok_or(bad("peer"))?,
            record: bounded(answer.record).ok_or(bad("record"))?,
            busy: answer.busy,
        })
    }
}

fn bounded(record: Bytes) -> Option<Bytes> {
    (record.len() <= MAX_PEER_RECORD_BYTES).then_some(record)
}

fn bits(places: &BTreeSet<usize>) -> Bytes {
    let mut bytes = vec![0; places.last().map_or(0, |last| last / 8 + 1)];
    for place in places {
        if let Some(byte) = bytes.get_mut(place / 8) {
            *byte |= 1 << (place % 8);
        }
    }
    bytes.into()
}

fn places(bits: &[u8]) -> Option<BTreeSet<usize>> {
    let is_set = |place: &usize| bits[place / 8] >> (place % 8) & 1 == 1;
    let count = bits.len() * 8;
    (count <= MAX_ASKED_STREAMS).then(|| (0..count).filter(is_set).collect())
}

/// How often each peer may ask: a token bucket a peer, kept when it is gone, so
/// that coming back does not fill it.
#[derive(Debug)]
pub struct Allowance {
    rate: (u64, u64),
    askers: Buckets<PeerId>,
}

/// Microseconds in which a question is earned, and how many may be asked in a row.
const RATE: (u64, u64) = (PEERS_QUESTION_US, PEERS_QUESTIONS);

impl Default for Allowance {
    fn default() -> Self {
        Self::new(RATE)
    }
}

impl Allowance {
    /// One of questions that are earned each in so many microseconds, and of
    /// which so many may be asked in a row.
    #[must_use]
    pub fn new(rate: (u64, u64)) -> Self {
        Self {
            rate,
            askers: Buckets::new(MAX_COUNTED_ASKERS),
        }
    }

    /// Takes a question of a peer; `false` when it asks too often.
    pub fn take(&mut self, peer: PeerId, now: Timestamp) -> bool {
        self.askers.take([(peer, self.rate)], now)
    }
}

/// Which connected peers are subscribed to which streams.
#[derive(Debug)]
pub struct Subscriptions {
    by_stream: BTreeMap<LogId, BTreeSet<PeerId>>,
    by_peer: BTreeMap<PeerId, BTreeSet<LogId>>,
    count: usize,
    max: usize,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self {
            by_stream: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            count: 0,
            max: MAX_NOTED_SUBSCRIPTIONS,
        }
    }
}

impl Subscriptions {
    /// Notes that a peer is subscribed to a stream. One that is `ours` is noted
    /// in any case: there are no more of them than connections times streams.
    pub fn insert(&mut self, peer: PeerId, stream: LogId, ours: bool) {
        let streams = self.by_peer.entry(peer).or_default();
        let has_room = self.count < self.max && streams.len() < MAX_NOTED_SUBSCRIPTIONS_PER_PEER;
        if (ours || has_room) && streams.insert(stream) {
            self.by_stream.entry(stream).or_default().insert(peer);
            self.count += 1;
        }
        if self.by_peer.get(&peer).is_some_and(BTreeSet::is_empty) {
            self.by_peer.remove(&peer);
        }
    }

    /// Notes that it is not any more.
    pub fn remove(&mut self, peer: PeerId, stream: LogId) {
        let Some(streams) = self.by_peer.get_mut(&peer) else {
            return;
        };
        if streams.remove(&stream) {
            self.count -= 1;
            forget(&mut self.by_stream, stream, &peer);
        }
        if streams.is_empty() {
            self.by_peer.remove(&peer);
        }
    }

    /// Forgets a peer that is gone; the streams that it was subscribed to come
    /// back.
    pub fn remove_peer(&mut self, peer: &PeerId) -> BTreeSet<LogId> {
        let streams = self.by_peer.remove(peer).unwrap_or_default();
        for &stream in &streams {
            self.count -= 1;
            forget(&mut self.by_stream, stream, peer);
        }
        streams
    }

    /// The peers that are subscribed to a stream.
    pub fn of_stream(&self, stream: LogId) -> impl Iterator<Item = PeerId> + '_ {
        self.by_stream.get(&stream).into_iter().flatten().copied()
    }

    /// The streams that a peer is subscribed to.
    pub fn of_peer(&self, peer: &PeerId) -> impl Iterator<Item = LogId> + '_ {
        self.by_peer.get(peer).into_iter().flatten().copied()
    }

    /// Whether a peer is subscribed to a stream.
    #[must_use]
    pub fn contains(&self, peer: &PeerId, stream: LogId) -> bool {
        (self.by_peer.get(peer)).is_some_and(|streams| streams.contains(&stream))
    }
}

fn forget(by_stream: &mut BTreeMap<LogId, BTreeSet<PeerId>>, stream: LogId, peer: &PeerId) {
    if let Some(peers) = by_stream.get_mut(&stream) {
        peers.remove(peer);
        if peers.is_empty() {
            by_stream.remove(&stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(number: usize) -> LogId {
        LogId::of_manifest(&number.to_be_bytes())
    }

    fn peer(number: u16) -> PeerId {
        let mut secret = [7; 32];
        secret[..2].copy_from_slice(&number.to_be_bytes());
        crate::identity::SigningKey::from_secret(&mut secret)
            .public()
            .peer_id()
    }

    #[test]
    fn a_question_and_an_answer_are_read_as_they_were_written() {
        let question = Question {
            streams: (0..3).map(log).collect(),
            count: 9,
            record: Bytes::from_static(b"me"),
        };
        assert_eq!(Question::decode(question.encode().into()), Ok(question));
        let answer = Answer {
            record: Bytes::new(),
            peers: vec![Told {
                record: Bytes::from_static(b"somebody"),
                subscribed: [0, 9, 255].into(),
            }],
            busy: false,
        };
        let bytes = answer.encode();
        // The bits of bytes 0 and 1, from the least significant one on.
        assert_eq!(bits(&answer.peers[0].subscribed)[..2], [0b1, 0b10]);
        assert_eq!(Answer::decode(bytes.into()), Ok(answer));
    }

    #[test]
    fn the_longest_question_and_answer_fit_and_longer_ones_are_refused() {
        let record = Bytes::from(vec![0; MAX_PEER_RECORD_BYTES]);
        let mut question = Question {
            streams: (0..MAX_ASKED_STREAMS).map(log).collect(),
            count: usize::MAX,
            record: record.clone(),
        };
        assert!(Question::decode(question.encode().into()).is_ok());
        question.streams.push(log(0));
        assert!(Question::decode(question.encode().into()).is_err());

        let told = Told {
            record: record.clone(),
            subscribed: (0..MAX_ASKED_STREAMS).collect(),
        };
        let mut answer = Answer {
            record,
            peers: vec![told.clone(); MAX_TOLD_PEERS],
            busy: true,
        };
        assert!(Answer::decode(answer.encode().into()).is_ok());
        answer.peers.push(told);
        assert!(Answer::decode(answer.encode().into()).is_err());
    }

    #[test]
    fn what_a_peer_sends_is_refused_where_it_makes_no_sense() {
        let request = v1::PeersRequest {
            streams: vec![Bytes::from_static(&[1; 31])],
            ..v1::PeersRequest::default()
        };
        assert!(Question::decode(request.encode_to_vec().into()).is_err());
        let told = |record: &'static [u8], subscribed: &'static [u8]| v1::PeersAnswer {
            peers: vec![v1::ToldPeer {
                record: record.into(),
                subscribed: subscribed.into(),
            }],
            ..v1::PeersAnswer::default()
        };
        let decoded = |answer: v1::PeersAnswer| Answer::decode(answer.encode_to_vec().into());
        assert!(decoded(told(b"x", &[1; 32])).is_ok());
        assert!(decoded(told(b"x", &[1; 33])).is_err());
        assert!(decoded(told(b"", &[])).is_err());
        assert!(Answer::decode(Bytes::from_static(&[0xff; 40])).is_err());
    }

    #[test]
    fn a_peer_that_asks_without_a_pause_is_answered_at_the_rate_allowed() {
        let mut allowance = Allowance::default();
        let mut answered = 0;
        // Ten times a second, for a minute.
        for tenth in 0..600 {
            let now = Timestamp(1).plus(tenth * 100_000);
            answered += u64::from(allowance.take(peer(1), now));
        }
        assert_eq!(answered, PEERS_QUESTIONS + 11);
        // Others do not suffer from it.
        assert!(allowance.take(peer(2), Timestamp(60_000_000)));
    }

    #[test]
    fn a_flood_of_askers_is_not_remembered_without_end() {
        let mut allowance = Allowance::default();
        let peers: Vec<_> = (0..=MAX_COUNTED_ASKERS as u16).map(peer).collect();
        let last = peers.len() - 1;
        for &peer in &peers[..last] {
            assert!(allowance.take(peer, Timestamp(0)));
        }
        assert!(!allowance.take(peers[last], Timestamp(0)));
        assert_eq!(allowance.askers.len(), MAX_COUNTED_ASKERS);
        let later = Timestamp(0).plus(PEERS_QUESTION_US);
        assert!(allowance.take(peers[last], later));
        assert_eq!(allowance.askers.len(), 1);
    }

    #[test]
    fn subscriptions_are_forgotten_with_their_peer() {
        let mut noted = Subscriptions::default();
        for stream in 0..3 {
            noted.insert(peer(1), log(stream), false);
            noted.insert(peer(1), log(stream), false);
        }
        noted.insert(peer(2), log(1), false);
        noted.remove(peer(1), log(0));
        assert_eq!(noted.count, 3);
        assert!(noted.contains(&peer(1), log(1)) && !noted.contains(&peer(1), log(0)));
        assert_eq!(noted.of_stream(log(1)).count(), 2);
        assert_eq!(noted.remove_peer(&peer(1)).len(), 2);
        assert_eq!(noted.of_stream(log(1)).collect::<Vec<_>>(), [peer(2)]);
        assert_eq!(noted.of_stream(log(2)).count(), 0);
        noted.remove(peer(2), log(1));
        assert_eq!(noted.count, 0);
        assert!(noted.by_peer.is_empty() && noted.by_stream.is_empty());
    }

    #[test]
    fn a_flood_of_subscriptions_leaves_room_for_those_to_our_streams() {
        let mut noted = Subscriptions {
            max: 100,
            ..Subscriptions::default()
        };
        for stream in 0..200 {
            noted.insert(peer(1), log(stream), false);
        }
        assert_eq!(noted.count, 100);
        noted.insert(peer(2), log(1), false);
        assert!(!noted.contains(&peer(2), log(1)));
        noted.insert(peer(2), log(1), true);
        assert!(noted.contains(&peer(2), log(1)));
        assert_eq!(noted.by_peer.len(), 2);
    }
}
