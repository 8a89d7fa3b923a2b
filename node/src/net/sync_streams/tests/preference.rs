//! Which connection is used, without sockets.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    thread::sleep,
    time::Duration,
};

use bytes::Bytes;
use headwater_protocols::sync::frame_cost;
use libp2p::{
    Multiaddr, PeerId,
    swarm::{ConnectionId, NetworkBehaviour, ToSwarm},
};

use tokio::sync::mpsc;

use super::super::{
    Behaviour, Config, Event, Lane, frame_channel,
    handler::{Command, FromHandler, Link},
    heard::Heard,
    path::Path,
};

struct Bench {
    behaviour: Behaviour,
    peer: PeerId,
}

impl Bench {
    fn new() -> Self {
        Self::with(Config::new(1000))
    }

    fn with(config: Config) -> Self {
        let (inbound, _) = frame_channel(1, 64 << 20);
        Self {
            behaviour: Behaviour::new(config, inbound),
            peer: PeerId::random(),
        }
    }

    fn tell(&mut self, connection: usize, event: FromHandler) {
        let id = ConnectionId::new_unchecked(connection);
        self.behaviour
            .on_connection_handler_event(self.peer, id, event);
    }

    fn open(&mut self, connection: usize, path: Path) -> mpsc::UnboundedReceiver<Command> {
        let (outbox, commands) = mpsc::unbounded_channel();
        let heard = Arc::new(Heard::new());
        let link = Link {
            outbox,
            path,
            place: None,
            heard,
        };
        self.tell(connection, FromHandler::Open(link));
        commands
    }

    fn heard(&mut self, connection: usize) {
        let id = ConnectionId::new_unchecked(connection);
        self.behaviour.heard(self.peer, id);
    }

    fn send(&mut self, bytes: &'static [u8]) {
        let frame = Bytes::from_static(bytes);
        let sent = self.behaviour.send(self.peer, Lane::Bulk, frame);
        assert_eq!(sent, Ok(()));
    }

    /// The events since the last call, by name.
    fn events(&mut self) -> Vec<&'static str> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut names = Vec::new();
        while let Poll::Ready(action) = self.behaviour.poll(&mut cx) {
            names.extend(match action {
                ToSwarm::GenerateEvent(event) => Some(match event {
                    Event::Ready { .. } => "ready",
                    Event::Gone { .. } => "gone",
                    Event::Reset { .. } => "reset",
                    Event::Sent { .. } => "sent",
                    Event::Misbehaved { .. } => "misbehaved",
                    Event::Stalled { .. } => "stalled",
                }),
                ToSwarm::NotifyHandler { .. } => Some("accept"),
                _ => None,
            });
        }
        names
    }

    fn preferred(&self) -> Option<usize> {
        let known = [1, 2, 3].into_iter();
        let preferred = self.behaviour.preferred_connection(&self.peer)?;
        known
            .into_iter()
            .find(|id| preferred == ConnectionId::new_unchecked(*id))
    }
}

#[test]
fn a_direct_connection_takes_over_from_a_relayed_one() {
    let mut bench = Bench::new();
    let mut relayed = bench.open(1, Path::Relayed);
    assert_eq!(bench.events(), ["ready", "accept"]);
    bench.send(b"old");
    let _direct = bench.open(2, Path::Quic);
    assert_eq!(bench.events(), ["reset", "accept"]);
    assert_eq!(bench.preferred(), Some(2));
    assert_eq!(bench.behaviour.queued_cost(&bench.peer), 0);
    // The relayed one forgets what it had queued.
    assert!(matches!(relayed.try_recv(), Ok(Command::Frame(..))));
    assert!(matches!(
        relayed.try_recv(),
        Ok(Command::Discard { epoch: 1 })
    ));
}

#[test]
fn an_equal_or_worse_connection_does_not_take_over() {
    let mut bench = Bench::new();
    let _first = bench.open(1, Path::Tcp);
    let _second = bench.open(2, Path::Tcp);
    let _third = bench.open(3, Path::Relayed);
    assert_eq!(bench.events(), ["ready", "accept", "accept", "accept"]);
    assert_eq!(bench.preferred(), Some(1));
}

/// So short that a test can wait for longer.
const SHORT: Duration = Duration::from_millis(20);

#[test]
fn an_equal_connection_takes_over_where_nothing_comes_over_the_old_one() {
    let mut config = Config::new(1000);
    config.quiet_after = SHORT;
    let mut bench = Bench::with(config);
    let _first = bench.open(1, Path::Tcp);
    sleep(2 * SHORT);
    let _worse = bench.open(2, Path::Quic);
    assert_eq!(bench.preferred(), Some(1));
    let _equal = bench.open(3, Path::Tcp);
    assert_eq!(bench.preferred(), Some(3));
    bench.events();
    // It is not taken from it when the old one turns out to be alive.
    bench.heard(1);
    assert_eq!((bench.events(), bench.preferred()), (vec![], Some(3)));
}

#[test]
fn a_silent_connection_gives_way_to_one_that_is_heard_of_whatever_its_path() {
    let mut config = Config::new(1000);
    config.silent_after = SHORT;
    let mut bench = Bench::with(config);
    let _tcp = bench.open(1, Path::Tcp);
    let _quic = bench.open(2, Path::Quic);
    bench.heard(2);
    assert_eq!(bench.preferred(), Some(1));
    sleep(2 * SHORT);
    bench.events();
    bench.heard(2);
    assert_eq!(
        (bench.events(), bench.preferred()),
        (vec!["reset"], Some(2))
    );
    // It was only slow.
    bench.heard(1);
    assert_eq!(
        (bench.events(), bench.preferred()),
        (vec!["reset"], Some(1))
    );
}

#[test]
fn the_best_remaining_connection_follows_a_lost_one() {
    let mut bench = Bench::new();
    let _one = bench.open(1, Path::Tcp);
    let _two = bench.open(2, Path::Relayed);
    let _three = bench.open(3, Path::Quic);
    bench.events();
    bench.tell(1, FromHandler::Unusable);
    assert_eq!(
        (bench.events(), bench.preferred()),
        (vec!["reset"], Some(3))
    );
    bench.tell(2, FromHandler::Unusable);
    assert_eq!((bench.events(), bench.preferred()), (vec![], Some(3)));
    bench.tell(3, FromHandler::Unusable);
    assert_eq!((bench.events(), bench.preferred()), (vec!["gone"], None));
}

#[test]
fn reports_from_before_a_reset_do_not_count() {
    let mut bench = Bench::new();
    let _commands = bench.open(1, Path::Tcp);
    bench.send(b"lost");
    bench.tell(1, FromHandler::LaneLost);
    bench.send(b"new");
    let sent = |epoch| FromHandler::Sent {
        epoch,
        lane: Lane::Bulk,
        bytes: frame_cost(3),
    };
    bench.tell(1, sent(0));
    assert_eq!(bench.behaviour.queued_cost(&bench.peer), frame_cost(3));
    bench.tell(1, sent(1));
    assert_eq!(bench.behaviour.queued_cost(&bench.peer), 0);
    assert_eq!(bench.events(), ["ready", "accept", "reset", "sent"]);
}

#[test]
fn paths_are_told_from_addresses() {
    let id = PeerId::random();
    let path = |address: String| Path::of(&[&address.parse::<Multiaddr>().unwrap()]);
    assert_eq!(path("/ip4/127.0.0.1/tcp/4001".into()), Path::Tcp);
    assert_eq!(path("/ip6/::1/udp/4001/quic-v1".into()), Path::Quic);
    let circuit = format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{id}/p2p-circuit");
    assert_eq!(path(circuit), Path::Relayed);
}
