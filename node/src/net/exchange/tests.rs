use std::time::Duration;

use libp2p::StreamProtocol;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::PeerCondition;

use super::super::action::{Dial, Unless};
use super::super::limits::{
    ASK_BUSY_AGAIN, EXCHANGE_TICK, IDLE_AFTER, OTHER_DIAL_FOR, RESCUE_BACKOFF, RESCUE_DIALS,
};
use super::super::peer_question::Request;
use super::checked::Response;
use super::*;

const NOW: Timestamp = Timestamp(1_000_000_000);
const ENOUGH: usize = 2;
const FAR: &str = "/ip4/192.0.2.1/tcp/1";

/// The exchange of a node that wants two peers a stream, and what it knows of
/// time.
struct Company {
    exchange: Exchange,
    dialer: Dialer,
    clock: Instant,
    now: Timestamp,
}

/// A peer and its signed record.
fn known(number: usize) -> (PeerId, Arc<SignedRecord>) {
    // Each in a part of the address space of its own.
    let address = format!("/ip4/{}.1.1.1/tcp/1", 60 + number).parse().unwrap();
    let record = SignedRecord::sign(&Keypair::generate_ed25519(), vec![address]).unwrap();
    (record.peer, record.into())
}

fn stream() -> LogId {
    LogId::of_manifest(b"x")
}

/// What a peer says of itself that speaks the protocol.
fn speaks() -> identify::Info {
    identify::Info {
        public_key: Keypair::generate_ed25519().public(),
        protocol_version: String::new(),
        agent_version: String::new(),
        listen_addrs: Vec::new(),
        protocols: vec![PROTOCOL, StreamProtocol::new("/other")],
        observed_addr: FAR.parse().unwrap(),
        signed_peer_record: None,
    }
}

fn dialled_peers(actions: &[Action]) -> Vec<PeerId> {
    let peer = |action: &Action| match action {
        Action::Dial(dial) => Some(dial.peer),
        _ => None,
    };
    actions.iter().filter_map(peer).collect()
}

fn asked_peers(actions: &[Action]) -> Vec<PeerId> {
    let peer = |action: &Action| match action {
        Action::AskPeers { peer, .. } => Some(*peer),
        _ => None,
    };
    actions.iter().filter_map(peer).collect()
}

impl Company {
    fn new() -> Self {
        let config = ExchangeConfig {
            local: PeerId::random(),
            enough: ENOUGH,
            connections: 512,
            cache: None,
        };
        let (mut dialer, clock) = (Dialer::default(), Instant::now());
        Self {
            exchange: Exchange::new(config, Vec::new(), &mut dialer, clock, NOW),
            dialer,
            clock,
            now: NOW,
        }
    }

    /// Somebody is connected, whom we have dialled, and speaks the protocol.
    fn meets(&mut self) -> PeerId {
        let peer = PeerId::random();
        self.meets_again(peer);
        peer
    }

    fn meets_again(&mut self, peer: PeerId) {
        let remote = FAR.parse().unwrap();
        self.exchange.connected(peer, &remote, false, self.now);
        self.exchange.identified(peer, &speaks(), self.now);
    }

    fn passes(&mut self, span: Duration) {
        self.now += span;
        self.clock += EXCHANGE_TICK;
    }

    /// All that is done in a look at one stream, where each dial comes to this.
    fn looks(&mut self, begun: impl Fn(PeerId) -> Result<(), DialError>) -> Vec<Action> {
        let ours = OwnStream {
            log: stream(),
            sources: &[],
        };
        (self.exchange).tick([ours], &mut self.dialer, self.clock, self.now);
        self.does(None, begun)
    }

    fn does(
        &mut self,
        publisher: Option<PeerId>,
        begun: impl Fn(PeerId) -> Result<(), DialError>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(action) = self.exchange.next(|_| publisher, self.now) {
            if let Action::Dial(Dial { peer, .. }) = &action {
                self.exchange.dialled(*peer, &begun(*peer), self.now);
            }
            actions.push(action);
        }
        actions
    }

    /// A peer that was asked about the stream tells of these, as subscribers.
    fn hears_of(&mut self, source: PeerId, records: &[Arc<SignedRecord>]) -> Option<Action> {
        let of_stream = |record: &Arc<SignedRecord>| (record.clone(), BTreeSet::from([0]));
        let response = Response {
            peers: records.iter().map(of_stream).collect(),
            ..Response::default()
        };
        (self.exchange).answered(source, &[stream()], response, self.now)
    }
}

fn refused() -> Result<(), DialError> {
    Err(DialError::Aborted)
}

fn under_way() -> Result<(), DialError> {
    let condition = PeerCondition::DisconnectedAndNotDialing;
    Err(DialError::DialPeerConditionFalse(condition))
}

#[test]
fn a_peer_is_asked_for_others_of_a_stream_and_not_again_before_it_has_answered() {
    let mut company = Company::new();
    assert_eq!(company.looks(|_| Ok(())), [], "nobody is there");
    let peer = company.meets();
    company.passes(RESCUE_BACKOFF.first());
    let asked = company.looks(|_| Ok(()));
    let [
        Action::AskPeers {
            peer: whom,
            request,
        },
    ] = &asked[..]
    else {
        panic!("{asked:?}");
    };
    assert_eq!((*whom, &request.streams[..]), (peer, &[stream()][..]));
    company.passes(ASK_BUSY_AGAIN);
    assert_eq!(company.looks(|_| Ok(())), []);
    company.exchange.not_answered(&peer, company.now);
    company.passes(ASK_BUSY_AGAIN);
    assert_eq!(asked_peers(&company.looks(|_| Ok(()))), [peer]);
}

#[test]
fn of_those_it_hears_of_a_node_dials_the_publisher_first_and_no_more_than_it_lacks() {
    let mut company = Company::new();
    let source = company.meets();
    company.looks(|_| Ok(()));
    let (peers, records): (Vec<_>, Vec<_>) = (1..9).map(known).unzip();
    assert_eq!(company.hears_of(source, &records), None);
    let dialled = dialled_peers(&company.does(Some(peers[5]), |_| Ok(())));
    assert_eq!((dialled.len(), dialled[0]), (ENOUGH, peers[5]));
    // Those that are dialled count as if they were there.
    company.passes(RESCUE_BACKOFF.first());
    assert_eq!(dialled_peers(&company.looks(|_| Ok(()))), []);
}

#[test]
fn a_dial_that_does_not_begin_leaves_its_place_to_others() {
    let mut company = Company::new();
    let source = company.meets();
    company.looks(|_| Ok(()));
    let records: Vec<_> = (1..9).map(|number| known(number).1).collect();
    company.hears_of(source, &records);
    let refused_dials = dialled_peers(&company.does(None, |_| refused()));
    assert_eq!(refused_dials.len(), ENOUGH);
    let others = dialled_peers(&company.looks(|_| Ok(())));
    assert_eq!(others.len(), ENOUGH);
    assert!(others.iter().all(|peer| !refused_dials.contains(peer)));
}

#[test]
fn a_peer_to_which_another_dial_is_under_way_for_long_is_dialled_beside_it() {
    let mut company = Company::new();
    let source = company.meets();
    company.looks(|_| Ok(()));
    let (peer, record) = known(1);
    company.hears_of(source, &[record]);
    let usual = company.does(None, |_| under_way());
    let dial = |action: &Action| match action {
        Action::Dial(dial) => (dial.peer, dial.unless),
        action => panic!("{action:?}"),
    };
    assert_eq!(dial(&usual[0]), (peer, Unless::ConnectedOrDialled));
    company.passes(OTHER_DIAL_FOR);
    let patient = company.looks(|_| under_way());
    let patient: Vec<_> = (patient.iter())
        .filter(|action| matches!(action, Action::Dial(_)))
        .map(dial)
        .collect();
    assert_eq!(patient, [(peer, Unless::Connected)]);
}

#[test]
fn who_has_lost_everybody_turns_to_a_few_that_it_knows_with_growing_pauses() {
    let mut company = Company::new();
    let source = company.meets();
    company.looks(|_| Ok(()));
    let records: Vec<_> = (1..30).map(|number| known(number).1).collect();
    let response = Response {
        peers: (records.into_iter())
            .map(|record| (record, BTreeSet::new()))
            .collect(),
        ..Response::default()
    };
    (company.exchange).answered(source, &[stream()], response, company.now);
    assert_eq!(dialled_peers(&company.looks(|_| Ok(()))), []);
    company.exchange.closed(&source, company.now);
    let mut pauses = Vec::new();
    let mut since = company.now;
    for _ in 0..200 {
        company.passes(Duration::from_millis(100));
        let dialled = dialled_peers(&company.looks(|_| refused()));
        assert!(dialled.len() <= RESCUE_DIALS);
        if !dialled.is_empty() {
            pauses.push(company.now.since(since));
            since = company.now;
        }
    }
    assert!(pauses.is_sorted() && pauses.len() >= 4, "{pauses:?}");
    assert!(pauses[0] < pauses[3], "{pauses:?}");
}

#[test]
fn who_passes_on_what_is_false_is_banned_and_nobody_is_dialled_for_it() {
    let mut company = Company::new();
    let liar = company.meets();
    let falsehood = Some("forged".to_owned());
    let question = Request {
        falsehood: falsehood.clone(),
        ..Request::default()
    };
    let answer = company.exchange.question(liar, question, NOW);
    assert_eq!(answer.err(), falsehood);
    company.looks(|_| Ok(()));
    let response = Response {
        peers: vec![(known(1).1, BTreeSet::from([0]))],
        falsehood,
        ..Response::default()
    };
    let banned = (company.exchange).answered(liar, &[stream()], response, NOW);
    assert_eq!(banned, Some(Action::Ban(liar, "forged".to_owned())));
    assert_eq!(company.does(None, |_| Ok(())), []);
}

#[test]
fn who_asks_is_told_of_others_that_are_there_and_who_asks_too_often_that_we_are_busy() {
    let mut company = Company::new();
    let asker = company.meets();
    let (there, record) = known(1);
    company.meets_again(there);
    let mut ask = |peer, record| {
        let question = Request {
            count: 9,
            record,
            ..Request::default()
        };
        company.exchange.question(peer, question, NOW).unwrap()
    };
    assert!(ask(PeerId::random(), None).is_none(), "not connected");
    // It hands over its record with a question of its own.
    assert!(ask(there, Some(record.clone())).is_some());
    let told = ask(asker, None).unwrap();
    assert_eq!(told.peers, [(record, BTreeSet::new())]);
    let busy = (0..1_000).filter(|_| ask(asker, None).unwrap().busy);
    assert!(busy.count() > 900);
}

#[test]
fn a_connection_of_no_use_is_closed_and_one_that_is_kept_is_not() {
    let mut company = Company::new();
    let mut peers: Vec<_> = (0..=ENOUGH).map(|_| company.meets()).collect();
    // Of those that are of as little use the first one goes first.
    peers.sort_unstable();
    let (kept, idle) = (peers[0], &peers[1..]);
    let crowd = Crowd {
        open: 3,
        incoming: 0,
        max: 512,
    };
    let let_go = |company: &mut Company| {
        company
            .exchange
            .let_go(|peer| *peer == kept, crowd, company.now)
    };
    let mut closed = Vec::new();
    for _ in 0..4 {
        company.passes(IDLE_AFTER);
        for action in let_go(&mut company) {
            let Action::Disconnect(peer) = action else {
                panic!("{action:?}");
            };
            closed.push(peer);
        }
    }
    assert!(!closed.is_empty());
    assert!(closed.iter().all(|peer| idle.contains(peer)), "{closed:?}");
}
