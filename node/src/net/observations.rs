//! Questions for the observations of histories that nobody signed, over libp2p's
//! request-response. The rules are in `headwater_protocols::quorum`: here peers
//! are asked for a walk, and answered from the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use headwater_protocols::limits::{
    MAX_OBSERVATIONS_ANSWER_BYTES, MAX_OBSERVATIONS_QUESTION_BYTES, OBSERVATIONS_ALLOWANCE,
};
use headwater_protocols::peers::Allowance;
use headwater_protocols::quorum::{Answer, Prefix, Question, Refusal, Reply, Silence, kept};
use headwater_protocols::time::Timestamp;
use headwater_protocols::wire::WireError;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, OutboundFailure, ProtocolSupport, ResponseChannel};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use tokio::sync::{Semaphore, mpsc};

use super::action::Action;
use super::addresses::{ip, is_circuit};
use super::codec::{Codec, Message};
use super::limits::{
    MAX_OBSERVATIONS_READS, MAX_OBSERVATIONS_STREAMS, MAX_OPEN_QUESTIONS, OBSERVATIONS_TIMEOUT,
};
use super::origin::Origin;
use crate::handle::{Node, ObservationsAsked, PeerReply, PeerStatus};
use crate::store::RocksStore;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/headwater/observations/1");

/// Rounds of questions that wait for the network: there is one walk at a time.
const QUEUED_ROUNDS: usize = 2;

/// Questions and answers.
pub(super) type Messages = request_response::Behaviour<Codec<Question, Answer>>;

/// What [`Messages`] tells.
pub(super) type Event = request_response::Event<Question, Answer>;

/// The behaviour that carries questions and answers.
pub(super) fn messages() -> Messages {
    let config = request_response::Config::default()
        .with_request_timeout(OBSERVATIONS_TIMEOUT)
        .with_max_concurrent_streams(MAX_OBSERVATIONS_STREAMS);
    Messages::new([(PROTOCOL, ProtocolSupport::Full)], config)
}

impl Message for Question {
    const MAX_BYTES: usize = MAX_OBSERVATIONS_QUESTION_BYTES;

    fn decode(bytes: Bytes) -> Result<Self, WireError> {
        Self::decode(bytes)
    }

    fn encode(self) -> Vec<u8> {
        Self::encode(&self)
    }
}

impl Message for Answer {
    const MAX_BYTES: usize = MAX_OBSERVATIONS_ANSWER_BYTES;

    fn decode(bytes: Bytes) -> Result<Self, WireError> {
        Self::decode(bytes)
    }

    fn encode(self) -> Vec<u8> {
        Self::encode(self)
    }
}

/// Whose vote a peer's answer is. Of several connections a direct one counts, in
/// an order that does not depend on when they were made.
pub(crate) fn prefix(status: &PeerStatus) -> Prefix {
    let of = |address: &Multiaddr| (is_circuit(address), of_address(status.peer, address));
    let best = status.addresses.iter().map(of).min();
    best.map_or(Prefix::Peer(status.peer), |(_, prefix)| prefix)
}

fn of_address(peer: PeerId, address: &Multiaddr) -> Prefix {
    if let Origin::Relay(relay) = Origin::of(address) {
        return Prefix::Relay(relay);
    }
    if let Some(ip) = ip(address) {
        return Prefix::of(peer, ip);
    }
    match address.iter().next() {
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => {
            let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
            let last = &labels[labels.len().saturating_sub(2)..];
            Prefix::Name(last.join(".").to_ascii_lowercase())
        }
        // Somewhere that says nothing: all of those have one vote.
        _ => Prefix::Name(String::new()),
    }
}

/// A question of ours that is not answered.
#[derive(Debug)]
struct Open {
    peer: PeerId,
    round: u64,
    question: Question,
    replies: mpsc::Sender<PeerReply>,
}

impl Open {
    fn reply(self, reply: Reply) {
        let (round, peer) = (self.round, self.peer);
        // The walk may be over.
        let _ = self.replies.try_send(PeerReply { round, peer, reply });
    }
}

/// An answer for a peer, and the way to it.
type Read<C> = (C, Answer);

/// What the network is to do.
pub(super) enum Due<C = ResponseChannel<Answer>> {
    Ask(ObservationsAsked),
    Tell(Read<C>),
}

/// Whom we ask, and who asks us. Peers are answered by ways of the kind `C`.
pub(super) struct Observations<C = ResponseChannel<Answer>> {
    store: Arc<RocksStore>,
    asked: mpsc::Receiver<ObservationsAsked>,
    open: BTreeMap<u64, Open>,
    /// The number of the next question of ours.
    next_number: u64,
    allowance: Allowance,
    places: Arc<Semaphore>,
    /// Has a place for each that is read at a time.
    read: (mpsc::Sender<Read<C>>, mpsc::Receiver<Read<C>>),
}

impl<C: Send + 'static> Observations<C> {
    /// Answers from the node's store, and asks for its walks.
    pub(super) fn new(node: &Node) -> Self {
        let (asks, asked) = mpsc::channel(QUEUED_ROUNDS);
        node.set_observations(asks);
        Self::with(node.store().clone(), asked)
    }

    fn with(store: Arc<RocksStore>, asked: mpsc::Receiver<ObservationsAsked>) -> Self {
        Self {
            store,
            asked,
            open: BTreeMap::new(),
            next_number: 0,
            allowance: Allowance::new(OBSERVATIONS_ALLOWANCE),
            places: Arc::new(Semaphore::new(MAX_OBSERVATIONS_READS)),
            read: mpsc::channel(MAX_OBSERVATIONS_READS),
        }
    }

    /// Waits for something to do. Nothing is lost when it is not waited for to
    /// the end.
    pub(super) async fn next(&mut self) -> Due<C> {
        tokio::select! {
            Some(asked) = self.asked.recv() => Due::Ask(asked),
            Some(read) = self.read.1.recv() => Due::Tell(read),
            else => std::future::pending().await,
        }
    }

    /// Asks the peers that a walk names.
    pub(super) fn ask(
        &mut self,
        asked: &ObservationsAsked,
        is_connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        for &peer in &asked.peers {
            let open = Open {
                peer,
                round: asked.round,
                question: asked.question,
                replies: asked.replies.clone(),
            };
            let unanswered = self.open.values().filter(|open| open.peer == peer);
            if unanswered.count() >= MAX_OPEN_QUESTIONS {
                open.reply(Reply::Silence(Silence::Late));
            } else if !is_connected(&peer) {
                // It would be dialled.
                let gone = "the connection was closed".to_owned();
                open.reply(Reply::Silence(Silence::Failed(gone)));
            } else {
                let (number, question) = (self.next_number, asked.question);
                self.next_number += 1;
                self.open.insert(number, open);
                actions.push(Action::AskObservations {
                    number,
                    peer,
                    question,
                });
            }
        }
        actions
    }

    /// Takes a question. It is answered at once when there is no room for it;
    /// else when the answer has been read.
    pub(super) fn question(
        &mut self,
        peer: PeerId,
        question: Question,
        channel: C,
        now: Timestamp,
    ) -> Option<Read<C>> {
        let place = self.places.clone().try_acquire_owned();
        let (true, Ok(place)) = (self.allowance.take(peer, now), place) else {
            return Some((channel, Answer::Refused(Refusal::Busy)));
        };
        let (store, read) = (self.store.clone(), self.read.0.clone());
        tokio::task::spawn_blocking(move || {
            let answer = kept::answer(&store, &question).unwrap_or_else(|error| {
                tracing::warn!(%error, "an unsigned history cannot be read");
                Answer::Refused(Refusal::Unknown)
            });
            let _ = read.blocking_send((channel, answer));
            drop(place);
        });
        None
    }

    /// Takes the answer to a question of ours. Whoever answers what no honest
    /// peer does is banned.
    pub(super) fn answered(&mut self, number: u64, answer: Answer) -> Option<Action> {
        let open = self.open.remove(&number)?;
        // One that comes too late, too.
        let absurd = answer.check(&open.question).err();
        let accused = absurd.map(|absurd| Action::Ban(open.peer, absurd.to_string()));
        open.reply(Reply::Answer(answer));
        accused
    }

    /// A question of ours has no answer.
    pub(super) fn failed(&mut self, number: u64, error: &OutboundFailure) -> Option<Action> {
        let open = self.open.remove(&number)?;
        let accused = too_long(error).map(|what| Action::Ban(open.peer, what));
        open.reply(Reply::Silence(silence(error)));
        accused
    }
}

/// Why there is no answer.
fn silence(error: &OutboundFailure) -> Silence {
    match error {
        OutboundFailure::UnsupportedProtocols => Silence::NotAsked,
        OutboundFailure::Timeout => Silence::Late,
        error => Silence::Failed(error.to_string()),
    }
}

/// What is wrong with an answer that has more bytes than any may have. One that
/// cannot be decoded may have been cut off with its connection.
fn too_long(error: &OutboundFailure) -> Option<String> {
    let OutboundFailure::Io(error) = error else {
        return None;
    };
    match error.get_ref()?.downcast_ref::<WireError>()? {
        error @ (WireError::TooLong { .. } | WireError::TooMany { .. }) => Some(error.to_string()),
        WireError::Undecodable { .. }
        | WireError::NotCanonical(_)
        | WireError::Form { .. }
        | WireError::BadField { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocols::limits::MAX_OBSERVATIONS_ANSWER_BYTES;
    use headwater_protocols::quorum::HistoryId;

    use super::*;

    fn of(addresses: &[&str]) -> Prefix {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        prefix(&PeerStatus {
            peer: PeerId::random(),
            addresses: addresses.collect(),
            agent: None,
            rtt_us: None,
            syncs: true,
            inbound: false,
        })
    }

    /// The questions of a node whose store is empty, and where its walk listens.
    struct Asking {
        room: Observations<u32>,
        replies: mpsc::Receiver<PeerReply>,
        told: mpsc::Sender<PeerReply>,
        _folder: tempfile::TempDir,
    }

    fn asking() -> Asking {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(RocksStore::open(folder.path()).unwrap());
        let (told, replies) = mpsc::channel(64);
        Asking {
            room: Observations::with(store, mpsc::channel(1).1),
            replies,
            told,
            _folder: folder,
        }
    }

    const QUESTION: Question = Question {
        history: HistoryId([1; 32]),
        before: Timestamp(5),
        groups: 1,
    };

    impl Asking {
        fn ask(&mut self, peers: &[PeerId], is_connected: bool) -> Vec<Action> {
            let asked = ObservationsAsked {
                round: 1,
                peers: peers.to_vec(),
                question: QUESTION,
                replies: self.told.clone(),
            };
            self.room.ask(&asked, |_| is_connected)
        }

        fn reply(&mut self) -> Reply {
            self.replies.try_recv().unwrap().reply
        }
    }

    #[test]
    fn a_peer_that_is_not_connected_is_not_asked() {
        let mut asking = asking();
        assert_eq!(asking.ask(&[PeerId::random()], false), []);
        let reply = asking.reply();
        assert!(matches!(reply, Reply::Silence(Silence::Failed(_))));
    }

    #[test]
    fn a_peer_that_answers_nothing_is_asked_a_few_questions_and_no_more() {
        let mut asking = asking();
        let (silent, other) = (PeerId::random(), PeerId::random());
        let mut asked = Vec::new();
        for _ in 0..10 * MAX_OPEN_QUESTIONS {
            asked.extend(asking.ask(&[silent], true));
        }
        assert_eq!(asked.len(), MAX_OPEN_QUESTIONS);
        assert_eq!(asking.reply(), Reply::Silence(Silence::Late));
        assert_eq!(asking.ask(&[other], true).len(), 1);
        // One that fails makes room for the next.
        asking.room.failed(0, &OutboundFailure::Timeout);
        assert_eq!(asking.ask(&[silent], true).len(), 1);
    }

    #[test]
    fn who_answers_what_no_honest_peer_does_is_banned_and_its_answer_is_told() {
        let mut asking = asking();
        let (liar, honest) = (PeerId::random(), PeerId::random());
        assert_eq!(asking.ask(&[liar, honest], true).len(), 2);
        let absurd = Answer::Groups {
            groups: Vec::new(),
            is_beginning: false,
        };
        let banned = asking.room.answered(0, absurd.clone());
        assert!(matches!(banned, Some(Action::Ban(peer, _)) if peer == liar));
        assert_eq!(asking.reply(), Reply::Answer(absurd));
        let refusal = Answer::Refused(Refusal::Unknown);
        assert_eq!(asking.room.answered(1, refusal.clone()), None);
        assert_eq!(asking.reply(), Reply::Answer(refusal));
    }

    #[tokio::test]
    async fn who_asks_too_often_is_told_so_at_once_and_others_are_answered() {
        let mut asking = asking();
        let (greedy, other) = (PeerId::random(), PeerId::random());
        let mut refused = Vec::new();
        for number in 0..100 {
            refused.extend(asking.room.question(greedy, QUESTION, number, Timestamp(0)));
            // What was read goes out, so that there is room for more.
            if refused.is_empty() {
                assert!(matches!(asking.room.next().await, Due::Tell(_)));
            }
        }
        assert!(refused.len() > 50, "{refused:?}");
        assert!((refused.iter()).all(|(_, answer)| *answer == Answer::Refused(Refusal::Busy)));
        assert_eq!(
            asking.room.question(other, QUESTION, 100, Timestamp(0)),
            None
        );
        assert!(matches!(asking.room.next().await, Due::Tell((100, _))));
    }

    #[test]
    fn an_answer_that_is_too_long_accuses_and_one_that_was_cut_off_does_not() {
        let failure = |bytes: Vec<u8>| {
            let error = Answer::decode(bytes.into()).unwrap_err();
            OutboundFailure::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, error))
        };
        let long = failure(vec![0; MAX_OBSERVATIONS_ANSWER_BYTES + 1]);
        assert!(too_long(&long).unwrap().contains("more than the"));
        assert_eq!(too_long(&failure(vec![0x12, 9, 1])), None);
        assert_eq!(too_long(&OutboundFailure::Timeout), None);
        assert_eq!(silence(&OutboundFailure::Timeout), Silence::Late);
        let old = OutboundFailure::UnsupportedProtocols;
        assert_eq!(silence(&old), Silence::NotAsked);
    }

    #[test]
    fn a_peer_votes_with_those_of_its_network_its_relay_or_its_name() {
        let here = Prefix::V4([198, 51]);
        assert_eq!(of(&["/ip4/198.51.100.7/tcp/1"]), here);
        let relay = PeerId::random();
        let circuit = format!("/ip4/203.0.113.1/tcp/1/p2p/{relay}/p2p-circuit");
        assert_eq!(of(&[&circuit]), Prefix::Relay(relay));
        // A direct connection tells more, whichever was there first.
        for both in [
            [&circuit[..], "/ip4/198.51.100.7/tcp/1"],
            ["/ip4/198.51.100.7/tcp/1", &circuit],
        ] {
            assert_eq!(of(&both), here);
        }
        let name = Prefix::Name("example.org".to_owned());
        assert_eq!(of(&["/dns4/a.Example.org/tcp/1"]), name);
        assert!(matches!(of(&["/ip4/127.0.0.1/tcp/1"]), Prefix::Peer(_)));
        assert!(matches!(of(&[]), Prefix::Peer(_)));
    }
}
