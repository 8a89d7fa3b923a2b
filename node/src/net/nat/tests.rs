use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::identify::Info;
use libp2p::identity::Keypair;

use super::*;

const OUTSIDE: &str = "/ip4/203.0.113.9/tcp/4600";
const MOVED: &str = "/ip4/203.0.113.77/tcp/4600";

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn id(number: usize) -> ConnectionId {
    ConnectionId::new_unchecked(number)
}

fn nat(is_operator: bool, external: &[&str]) -> Nat {
    let external: Vec<_> = external.iter().copied().map(address).collect();
    Nat::new(is_operator, &external, CircuitMeter::new(1))
}

/// A node that listens at these addresses, and knows of none outside.
fn listening_at(listeners: &[&str]) -> OwnAddresses {
    OwnAddresses {
        listeners: listeners.iter().copied().map(address).collect(),
        external: Vec::new(),
    }
}

fn dialled(address: Multiaddr) -> ConnectedPoint {
    ConnectedPoint::Dialer {
        address,
        role_override: Endpoint::Dialer,
        port_use: PortUse::Reuse,
    }
}

fn circuit() -> Multiaddr {
    address(&format!(
        "/ip4/192.0.2.1/tcp/1/p2p/{}/p2p-circuit",
        PeerId::random()
    ))
}

/// What a peer says that sees us at `observed`.
fn sees_us(observed: &str) -> Info {
    Info {
        public_key: Keypair::generate_ed25519().public(),
        protocol_version: String::new(),
        agent_version: String::new(),
        listen_addrs: Vec::new(),
        protocols: Vec::new(),
        observed_addr: address(observed),
        signed_peer_record: None,
    }
}

#[test]
fn a_circuit_that_its_relay_has_ended_is_made_anew_and_one_that_we_closed_is_not() {
    let again = |failed, is_connected| {
        let (mut nat, peer, circuit) = (nat(false, &[]), PeerId::random(), circuit());
        nat.connected(peer, id(1), &dialled(circuit.clone()), Instant::now());
        let dial = nat.closed(peer, id(1), failed, is_connected);
        assert!(dial.is_none() || dial == Some(Action::Dial(Dial::new(peer, vec![circuit]))));
        dial.is_some()
    };
    assert!(again(true, false));
    assert!(!again(false, false), "we closed it");
    assert!(!again(true, true), "there is another connection");
}

#[test]
fn an_operator_is_reached_where_it_listens_farthest_and_others_have_it_tested() {
    let (near, far) = ("/ip4/192.168.1.2/tcp/1", "/ip4/203.0.113.9/tcp/1");
    let own = listening_at(&[near, far]);
    let mut operator = nat(true, &[]);
    let told = operator.listening(&address(far), &own);
    let expected = [
        Action::RemoveAddress(address(near)),
        Action::AddAddress(address(far)),
    ];
    assert_eq!(told, expected);
    assert!(operator.is_reachable());
    // What it was told to be its address is enough.
    let mut named = nat(true, &["/dns/example.org/tcp/1"]);
    let test = [Action::TestAddress(address(far))];
    assert_eq!(named.listening(&address(far), &own), test);
    let mut other = nat(false, &[]);
    assert_eq!(other.listening(&address(near), &own), []);
    assert_eq!(other.listening(&address(far), &own), test);
    assert!(!other.is_reachable());
}

#[test]
fn when_a_router_has_a_new_address_the_old_one_is_taken_back_until_it_is_ours_again() {
    let mut nat = nat(false, &[]);
    let (peer, now) = (PeerId::random(), Instant::now());
    let own = listening_at(&["/ip4/192.168.1.2/tcp/4600"]);
    nat.confirmed(&address(OUTSIDE));
    let mut seen = |at: &str, counts| {
        let (changed, actions) = nat.identified((peer, id(1)), &sees_us(at), counts, &own, now);
        assert_eq!(changed, !actions.is_empty());
        actions
    };
    assert_eq!(seen(OUTSIDE, true), []);
    assert_eq!(seen(MOVED, false), [], "not seen on a listen port");
    let taken_back = [Action::RemoveAddress(address(OUTSIDE))];
    assert_eq!(seen(MOVED, true), taken_back);
    let told_again = [Action::AddAddress(address(OUTSIDE))];
    assert_eq!(seen(OUTSIDE, true), told_again);
}

#[test]
fn an_address_that_leaves_the_machine_is_taken_back_unless_the_user_named_it() {
    // One that leads nowhere but to this machine, on every machine.
    let (here, named) = ("/ip4/127.0.0.1/tcp/4600", "/ip4/127.0.0.1/tcp/4601");
    let mut nat = nat(false, &[named]);
    nat.confirmed(&address(here));
    let own = OwnAddresses {
        external: vec![address(here), address(named), circuit()],
        ..listening_at(&[here])
    };
    let elsewhere = BTreeSet::from(["127.0.0.77".parse().unwrap()]);
    assert_eq!(nat.departed(&elsewhere, &own), []);
    let left = BTreeSet::from(["127.0.0.1".parse().unwrap()]);
    let taken_back = [Action::RemoveAddress(address(here))];
    assert_eq!(nat.departed(&left, &own), taken_back);
    assert_eq!(nat.returned(&own, |_| false), [], "it is not back");
    assert_eq!(
        nat.returned(&own, |_| true),
        [Action::AddAddress(address(here))]
    );
    assert_eq!(nat.returned(&own, |_| true), [], "it is back already");
}

#[test]
fn a_relay_is_asked_for_a_place_only_while_nobody_reaches_us_directly() {
    let (relay, now) = (PeerId::random(), Instant::now());
    let at = address("/ip4/192.0.2.1/tcp/1");
    let own = listening_at(&["/ip4/192.168.1.2/tcp/4600"]);
    let says = Info {
        protocols: vec![HOP],
        ..sees_us(OUTSIDE)
    };
    let mut nat = nat(false, &[]);
    // One that has dialled us may be reached by nobody.
    nat.identified((relay, id(1)), &says, false, &own, now);
    assert_eq!(nat.tick(now), []);
    nat.connected(relay, id(2), &dialled(at.clone()), now);
    nat.identified((relay, id(2)), &says, false, &own, now);
    let circuit = at.with(Protocol::P2p(relay)).with(Protocol::P2pCircuit);
    assert_eq!(nat.tick(now), [Action::AskRelay { relay, circuit }]);
    let listener = ListenerId::next();
    nat.relay_asked(relay, Some(listener), now);
    assert!(nat.is_relay(&relay));
    nat.confirmed(&address(OUTSIDE));
    assert_eq!(nat.tick(now), [Action::StopListening(listener)]);
}

#[test]
fn a_relayed_peer_is_dialled_where_it_says_it_is_from_another_port() {
    let (mut nat, peer, now) = (nat(false, &[]), PeerId::random(), Instant::now());
    let own = listening_at(&["/ip4/192.168.1.2/tcp/4600"]);
    let (open, inside) = ("/ip4/198.51.100.7/tcp/1", "/ip4/10.0.0.7/tcp/4601");
    let says = Info {
        listen_addrs: vec![address(open), address(inside), circuit()],
        ..sees_us(OUTSIDE)
    };
    nat.connected(peer, id(1), &dialled(circuit()), now);
    let (_, actions) = nat.identified((peer, id(1)), &says, false, &own, now);
    let dial = |at: &str| {
        Action::Dial(Dial {
            unless: Unless::Never,
            from_new_port: true,
            ..Dial::new(peer, vec![address(at)])
        })
    };
    assert_eq!(actions, [dial(open)]);
    // It is behind our router: also in another part of our private network.
    assert_eq!(nat.same_router(peer, now), Some(dial(inside)));
    assert_eq!(nat.same_router(peer, now), None);
}
