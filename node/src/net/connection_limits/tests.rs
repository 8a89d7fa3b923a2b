use super::*;
use crate::net::limits::MAX_PENDING_CONNECTIONS;

const BOUNDS: Bounds = Bounds {
    total: 40,
    pending: MAX_PENDING_CONNECTIONS,
    dials: MAX_PENDING_CONNECTIONS,
    per_ip: 10,
    exempt: Vec::new(),
};

/// Connections that come and go, as a swarm would tell of them.
struct World {
    limits: ConnectionLimits,
    next: usize,
    here: Multiaddr,
}

impl World {
    fn new(bounds: Bounds) -> Self {
        Self {
            limits: ConnectionLimits::new(bounds),
            next: 0,
            here: address("/ip4/198.51.100.1/tcp/1"),
        }
    }

    fn arrives(&mut self, from: &Multiaddr) -> Option<ConnectionId> {
        self.next += 1;
        let id = ConnectionId::new_unchecked(self.next);
        let here = self.here.clone();
        let pending = self
            .limits
            .handle_pending_inbound_connection(id, &here, from);
        pending.ok().map(|()| id)
    }

    fn is_established(&mut self, id: ConnectionId, peer: PeerId, from: &Multiaddr) -> bool {
        let here = self.here.clone();
        let admitted = self
            .limits
            .handle_established_inbound_connection(id, peer, &here, from);
        if admitted.is_err() {
            self.limits.ended(id);
            return false;
        }
        let endpoint = ConnectedPoint::Listener {
            local_addr: here,
            send_back_addr: from.clone(),
        };
        self.limits.established(id, peer, &endpoint);
        true
    }

    /// A newcomer with an identity of its own.
    fn connects(&mut self, from: &Multiaddr) -> Option<ConnectionId> {
        let id = self.arrives(from)?;
        self.is_established(id, PeerId::random(), from)
            .then_some(id)
    }
}

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn host(number: u8) -> Multiaddr {
    address(&format!("/ip4/192.0.2.{number}/tcp/1"))
}

#[test]
fn one_address_takes_its_share_and_leaves_the_rest_to_others() {
    let mut world = World::new(BOUNDS);
    let open: Vec<_> = (0..15).filter_map(|_| world.connects(&host(1))).collect();
    assert_eq!(open.len(), 10);
    assert!(world.connects(&host(2)).is_some());
    // A place that becomes free can be taken.
    world.limits.ended(open[0]);
    assert!(world.connects(&host(1)).is_some());
}

#[test]
fn incoming_connections_leave_places_for_outgoing_ones() {
    let mut world = World::new(BOUNDS);
    let open = (0..40)
        .filter(|&i| world.connects(&host(i)).is_some())
        .count();
    assert_eq!(open, 30);
    let dialled = (0..20).filter(|&i| {
        let id = ConnectionId::new_unchecked(1_000 + i);
        let peer = PeerId::random();
        let endpoint = ConnectedPoint::Dialer {
            address: host(1),
            role_override: Endpoint::Dialer,
            port_use: PortUse::Reuse,
        };
        let may = world.limits.may_stay(peer, false).is_ok();
        if may {
            world.limits.established(id, peer, &endpoint);
        }
        may
    });
    assert_eq!(dialled.count(), 10);
}

#[test]
fn one_peer_has_a_few_connections() {
    let mut world = World::new(BOUNDS);
    let peer = PeerId::random();
    let open = (0..8).filter(|&i| {
        let from = host(i);
        let id = world.arrives(&from).unwrap();
        world.is_established(id, peer, &from)
    });
    assert_eq!(open.count(), MAX_CONNECTIONS_PER_PEER as usize);
}

#[test]
fn half_open_connections_of_one_address_leave_room_for_others() {
    let bounds = Bounds {
        per_ip: 1_000,
        ..BOUNDS
    };
    let mut world = World::new(bounds);
    let pending = (0..500).filter(|_| world.arrives(&host(1)).is_some());
    assert_eq!(pending.count(), 16);
    assert!(world.connects(&host(2)).is_some());
}

#[test]
fn where_few_may_be_set_up_at_a_time_all_shares_of_them_are_smaller() {
    let bounds = Bounds {
        pending: 34,
        dials: 8,
        ..BOUNDS
    };
    let mut world = World::new(bounds);
    let pending = (0..500).filter(|_| world.arrives(&host(1)).is_some());
    assert_eq!(pending.count(), 4);
    let pending = (0..200).filter(|&i| world.arrives(&host(2 + i % 80)).is_some());
    assert_eq!(
        pending.count(),
        22,
        "a quarter is for those who came before"
    );
    world.limits.familiar.note(Origin::of(&host(250)));
    assert!(world.arrives(&host(250)).is_some());
    let mut dial = |number: usize| {
        let id = ConnectionId::new_unchecked(1_000 + number);
        let limits = &mut world.limits;
        let dialled = limits.handle_pending_outbound_connection(id, None, &[], Endpoint::Dialer);
        dialled.is_ok()
    };
    assert_eq!((0..100).filter(|&number| dial(number)).count(), 8);
}

#[test]
fn who_comes_and_goes_all_the_time_has_to_wait() {
    let mut world = World::new(BOUNDS);
    let mut admitted = 0;
    for _ in 0..100 {
        if let Some(id) = world.connects(&host(1)) {
            world.limits.ended(id);
            admitted += 1;
        }
    }
    // Twice the share, and what has come back while this ran.
    assert!((20..25).contains(&admitted), "{admitted}");
    assert!(world.connects(&host(2)).is_some());
}

#[test]
fn an_exempt_network_has_no_share() {
    let bounds = Bounds {
        exempt: vec!["192.0.2.1/32".parse().unwrap()],
        ..BOUNDS
    };
    let mut world = World::new(bounds);
    let open = (0..40).filter(|_| world.connects(&host(1)).is_some());
    assert_eq!(open.count(), 30);
}

#[test]
fn those_behind_one_relay_share_a_share() {
    let mut world = World::new(BOUNDS);
    let relay = PeerId::random();
    world.here = address(&format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit"));
    let behind = (0..15).filter(|_| {
        let from = address(&format!("/p2p/{}", PeerId::random()));
        world.connects(&from).is_some()
    });
    assert_eq!(behind.count(), 10);
}

#[test]
fn nothing_is_remembered_of_what_is_gone() {
    let mut world = World::new(BOUNDS);
    for i in 0..200 {
        if let Some(id) = world.connects(&host(i)) {
            world.limits.ended(id);
        }
        // Refused before, and after it is known who it is.
        let id = world.arrives(&host(i)).unwrap();
        world.limits.ended(id);
        world.limits.ended(id);
    }
    let counts = &world.limits.counts;
    assert!(counts.peers.is_empty() && counts.origins.is_empty());
    assert!(world.limits.connections.is_empty());
    assert_eq!((counts.incoming, counts.pending_incoming), (0, 0));
}

#[test]
fn the_usual_share_is_a_sixteenth() {
    assert_eq!(default_per_ip(512), 32);
    assert_eq!(default_per_ip(16), MIN_CONNECTIONS_PER_IP);
}

#[test]
fn silent_connections_of_many_addresses_leave_places_to_those_who_came_before() {
    let mut world = World::new(BOUNDS);
    let known = host(250);
    let id = world.connects(&known).unwrap();
    world.limits.ended(id);
    // They say nothing, and come again as soon as they are given up.
    let silent = (0..200).filter(|&i| world.arrives(&host(i % 40)).is_some());
    assert_eq!(silent.count(), 96);
    assert!(world.arrives(&host(60)).is_none(), "a stranger has a place");
    assert!(world.connects(&known).is_some());
    // One known address does not take the places of the others.
    let more = (0..20).filter(|_| world.arrives(&known).is_some());
    assert_eq!(more.count(), MAX_PENDING_FAMILIAR_PER_IP as usize);
}

#[test]
fn where_we_have_dialled_to_is_no_stranger() {
    let mut world = World::new(BOUNDS);
    let endpoint = ConnectedPoint::Dialer {
        address: host(250),
        role_override: Endpoint::Dialer,
        port_use: PortUse::Reuse,
    };
    let id = ConnectionId::new_unchecked(1_000);
    world.limits.established(id, PeerId::random(), &endpoint);
    for i in 0..200 {
        world.arrives(&host(i % 40));
    }
    assert!(world.connects(&host(250)).is_some());
}
