//! Questions for the observations of histories that nobody signed, over libp2p's
//! request-response. The rules are in `headwater_protocols::quorum`: here peers
//! are asked for a walk, and answered from the store.

mod codec;

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocols::limits::OBSERVATIONS_ALLOWANCE;
use headwater_protocols::peers::Allowance;
use headwater_protocols::quorum::{Answer, Prefix, Question, Refusal, Reply, Silence, kept};
use headwater_protocols::wire::WireError;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{
    self, Message, OutboundFailure, OutboundRequestId, ProtocolSupport, ResponseChannel,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm};
use tokio::sync::{Semaphore, mpsc};

use super::addresses::{ip, is_circuit};
use super::behaviour::Behaviour;
use super::limits::{
    MAX_OBSERVATIONS_READS, MAX_OBSERVATIONS_STREAMS, MAX_OPEN_QUESTIONS, OBSERVATIONS_TIMEOUT,
};
use super::origin::Origin;
use crate::handle::{Node, ObservationsAsked, PeerReply, PeerStatus, now};
use crate::store::RocksStore;
use codec::ObservationsCodec;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/headwater/observations/1");

/// Rounds of questions that wait for the network: there is one walk at a time.
const QUEUED_ROUNDS: usize = 2;

/// Questions and answers.
pub(super) type Messages = request_response::Behaviour<ObservationsCodec>;

/// What [`Messages`] tells.
pub(super) type Event = request_response::Event<Question, Answer>;

/// The behaviour that carries questions and answers.
pub(super) fn messages() -> Messages {
    let config = request_response::Config::default()
        .with_request_timeout(OBSERVATIONS_TIMEOUT)
        .with_max_concurrent_streams(MAX_OBSERVATIONS_STREAMS);
    Messages::new([(PROTOCOL, ProtocolSupport::Full)], config)
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

/// An answer that was read for a peer.
type Read = (ResponseChannel<Answer>, Answer);

/// What the network is to do.
pub(super) enum Due {
    Ask(ObservationsAsked),
    Tell(Read),
}

/// Whom we ask, and who asks us.
pub(super) struct Observations {
    store: Arc<RocksStore>,
    asked: mpsc::Receiver<ObservationsAsked>,
    open: BTreeMap<OutboundRequestId, Open>,
    allowance: Allowance,
    places: Arc<Semaphore>,
    /// Has a place for each that is read at a time.
    read: (mpsc::Sender<Read>, mpsc::Receiver<Read>),
}

impl Observations {
    /// Answers from the node's store, and asks for its walks.
    pub(super) fn new(node: &Node) -> Self {
        let (asks, asked) = mpsc::channel(QUEUED_ROUNDS);
        node.set_observations(asks);
        Self {
            store: node.store().clone(),
            asked,
            open: BTreeMap::new(),
            allowance: Allowance::new(OBSERVATIONS_ALLOWANCE),
            places: Arc::new(Semaphore::new(MAX_OBSERVATIONS_READS)),
            read: mpsc::channel(MAX_OBSERVATIONS_READS),
        }
    }

    /// Waits for something to do. Nothing is lost when it is not waited for to
    /// the end.
    pub(super) async fn next(&mut self) -> Due {
        tokio::select! {
            Some(asked) = self.asked.recv() => Due::Ask(asked),
            Some(read) = self.read.1.recv() => Due::Tell(read),
            else => std::future::pending().await,
        }
    }

    /// Does it.
    pub(super) fn act(&mut self, due: Due, swarm: &mut Swarm<Behaviour>) {
        match due {
            Due::Ask(asked) => self.ask(&asked, swarm),
            Due::Tell((channel, answer)) => {
                // It may have gone, or not have waited.
                let messages = &mut swarm.behaviour_mut().observations;
                let _ = messages.send_response(channel, answer);
            }
        }
    }

    fn ask(&mut self, asked: &ObservationsAsked, swarm: &mut Swarm<Behaviour>) {
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
            } else if !swarm.is_connected(&peer) {
                // It would be dialled.
                let gone = "the connection was closed".to_owned();
                open.reply(Reply::Silence(Silence::Failed(gone)));
            } else {
                let messages = &mut swarm.behaviour_mut().observations;
                let id = messages.send_request(&peer, asked.question);
                self.open.insert(id, open);
            }
        }
    }

    /// Takes questions and answers. Whoever answers what no honest peer does
    /// comes back.
    pub(super) fn on_event(
        &mut self,
        event: Event,
        swarm: &mut Swarm<Behaviour>,
    ) -> Option<(PeerId, String)> {
        match event {
            request_response::Event::Message { peer, message, .. } => match message {
                Message::Request {
                    request, channel, ..
                } => {
                    self.question(peer, request, channel, swarm);
                    None
                }
                Message::Response {
                    request_id,
                    response,
                } => self.answer(request_id, response),
            },
            request_response::Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                tracing::debug!(%peer, %error, "a peer did not tell of observations");
                let accused = too_long(&error).map(|what| (peer, what));
                if let Some(open) = self.open.remove(&request_id) {
                    open.reply(Reply::Silence(silence(&error)));
                }
                accused
            }
            request_response::Event::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "a question for observations was not answered");
                None
            }
            request_response::Event::ResponseSent { .. } => None,
        }
    }

    fn question(
        &mut self,
        peer: PeerId,
        question: Question,
        channel: ResponseChannel<Answer>,
        swarm: &mut Swarm<Behaviour>,
    ) {
        let place = self.places.clone().try_acquire_owned();
        let (true, Ok(place)) = (self.allowance.take(peer, now()), place) else {
            let busy = Answer::Refused(Refusal::Busy);
            self.act(Due::Tell((channel, busy)), swarm);
            return;
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
    }

    fn answer(&mut self, id: OutboundRequestId, answer: Answer) -> Option<(PeerId, String)> {
        let open = self.open.remove(&id)?;
        // One that comes too late, too.
        let absurd = answer.check(&open.question).err();
        let accused = absurd.map(|absurd| (open.peer, absurd.to_string()));
        open.reply(Reply::Answer(answer));
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
