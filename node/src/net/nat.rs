//! The ways through routers: where others see us, whether they reach us, the
//! relays through which they do otherwise, and the direct connections that take
//! the place of relayed ones.

pub(super) mod circuit_meter;
pub(crate) mod identify;
pub(crate) mod observed;
mod paths;
mod reachability;
mod relays;
mod withdrawn;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use libp2p::core::ConnectedPoint;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, StreamProtocol, autonat, dcutr, relay};
use tokio::time::Instant;

use super::action::{Action, Dial, Unless};
use super::addresses::{Reach, ip, is_circuit, reach};
use super::limits::{RELAYED_PER_PEER_HOUR, RELAYED_SAID_EVERY, RELAYED_WATCHED_EVERY};
use super::lines::source_of;
use crate::config::relay::RelayLimits;
use crate::handle::NatStatus;
use circuit_meter::CircuitMeter;
use paths::Paths;
use reachability::Signs;
use relays::{Relays, Step};
use withdrawn::Withdrawn;

/// What the rates of the relay are counted by.
const HOUR: Duration = Duration::from_secs(3_600);

/// The relay service: whoever speaks it grants places.
const HOP: StreamProtocol = relay::HOP_PROTOCOL_NAME;

/// The relay service of a node that relays for others.
pub(super) fn relay(local: PeerId, limits: RelayLimits) -> relay::Behaviour {
    let mut config = relay::Config {
        max_reservations: limits.max_reservations,
        max_circuits: limits.max_circuits,
        max_circuits_per_peer: limits.max_circuits_per_peer,
        max_circuit_duration: Duration::from_secs(limits.max_circuit_duration_s.into()),
        max_circuit_bytes: limits.max_circuit_bytes,
        reservation_rate_limiters: Vec::new(),
        circuit_src_rate_limiters: Vec::new(),
        ..relay::Config::default()
    };
    // As many as may be taken within an hour may be taken at once.
    if let Some(rate) = NonZeroU32::new(RELAYED_PER_PEER_HOUR) {
        let pause = HOUR / RELAYED_PER_PEER_HOUR;
        config = (config.reservation_rate_per_peer(rate, pause)).circuit_src_per_peer(rate, pause);
    }
    if let Some(rate) = NonZeroU32::new(limits.reservations_per_ip_hour) {
        config = config.reservation_rate_per_ip(rate, HOUR / rate.get());
    }
    if let Some(rate) = NonZeroU32::new(limits.circuits_per_ip_hour) {
        config = config.circuit_src_per_ip(rate, HOUR / rate.get());
    }
    let mut relay = relay::Behaviour::new(local, config);
    // Never by itself: libp2p takes a place at another relay for reachability.
    relay.set_status(Some(relay::Status::Enable));
    relay
}

/// The remote end of a connection; through a relay, the relay's address with
/// the peer's id.
pub(super) fn remote_address(peer: PeerId, endpoint: &ConnectedPoint) -> Multiaddr {
    match endpoint {
        ConnectedPoint::Listener { local_addr, .. } if endpoint.is_relayed() => {
            local_addr.clone().with(Protocol::P2p(peer))
        }
        _ => endpoint.get_remote_address().clone(),
    }
}

/// Dials a peer that is connected through a relay.
fn dial_directly(peer: PeerId, direct: Vec<Multiaddr>) -> Option<Action> {
    if direct.is_empty() {
        return None;
    }
    tracing::debug!(%peer, ?direct, "dialling a relayed peer directly");
    // From another port than DCUtR's: two SYNs that cross between the same
    // ports become one connection with a dialler at both ends, which fails, and
    // for a minute the ports cannot be used again.
    Some(Action::Dial(Dial {
        unless: Unless::Never,
        from_new_port: true,
        ..Dial::new(peer, direct)
    }))
}

/// Where this node is.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnAddresses {
    /// Where it listens.
    pub(super) listeners: Vec<Multiaddr>,
    /// Where others reach it, as far as the swarm knows.
    pub(super) external: Vec<Multiaddr>,
}

/// What is known of the ways to us and to others.
pub(super) struct Nat {
    /// Serves others from an address that it was given, so that its own
    /// addresses are taken as they are.
    is_operator: bool,
    /// Addresses that the user named, which stay.
    given: Vec<Multiaddr>,
    signs: Signs,
    withdrawn: Withdrawn,
    relays: Relays,
    /// How far away the farthest relay is that could be used.
    relay_reach: Option<Reach>,
    paths: Paths,
    /// Where the peers are that we dialled directly.
    dialled: HashMap<ConnectionId, Multiaddr>,
    /// Circuits that we dialled: a relay closes each after some bytes or minutes.
    circuits: HashMap<ConnectionId, Multiaddr>,
    punched: u64,
    not_punched: u64,
    meter: CircuitMeter,
    /// When what went through relays is looked at.
    watch_at: Option<Instant>,
    /// When the log has said that the bound is reached.
    bound_said: Option<Instant>,
}

impl Nat {
    /// Nothing is known but what the user said: `external` addresses are
    /// believed. An operator's listen addresses are, too, where it named none.
    pub(super) fn new(is_operator: bool, external: &[Multiaddr], meter: CircuitMeter) -> Self {
        let mut signs = Signs::default();
        for address in external {
            signs.confirmed(address);
        }
        Self {
            is_operator: is_operator && external.is_empty(),
            given: external.to_vec(),
            signs,
            withdrawn: Withdrawn::default(),
            relays: Relays::default(),
            relay_reach: None,
            paths: Paths::default(),
            dialled: HashMap::new(),
            circuits: HashMap::new(),
            punched: 0,
            not_punched: 0,
            meter,
            watch_at: None,
            bound_said: None,
        }
    }

    /// When [`tick`](Self::tick) is to be called.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let relays = self.relays.next_due();
        let due = self.paths.next_due().into_iter().chain(relays);
        due.chain(self.watch_at).min()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Action> {
        let leaving = self.paths.take_due(now).into_iter().map(Action::Close);
        let steps = self.relays.steps(now).into_iter().map(|step| match step {
            Step::Listen(relay, circuit) => Action::AskRelay { relay, circuit },
            Step::Close(listener) => Action::StopListening(listener),
        });
        let actions = leaving.chain(steps).collect();
        if self.watch_at.is_some_and(|at| at <= now) {
            self.watch_circuits(now);
        }
        actions
    }

    /// A relay is asked by this listener, or cannot be.
    pub(super) fn relay_asked(
        &mut self,
        relay: PeerId,
        listener: Option<ListenerId>,
        now: Instant,
    ) {
        self.relays.asked(relay, listener, now);
    }

    /// Looks at what goes through relays, as long as anything does.
    fn watch_circuits(&mut self, now: Instant) {
        self.watch_at = (self.paths.any_relayed()).then(|| now + RELAYED_WATCHED_EVERY);
        if self.meter.take_waited()
            && (self.bound_said).is_none_or(|said| said + RELAYED_SAID_EVERY <= now)
        {
            self.bound_said = Some(now);
            tracing::warn!(
                bytes = self.meter.bytes(),
                bytes_per_second = self.meter.bytes_per_second(),
                "what goes through relays has reached its bound and waits; `headwater doctor` \
                 says why connections are not direct"
            );
        }
    }

    /// Notes a connection.
    pub(super) fn connected(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        endpoint: &ConnectedPoint,
        now: Instant,
    ) {
        let is_relayed = endpoint.is_relayed();
        self.paths.connected(peer, id, is_relayed, now);
        if is_relayed {
            self.watch_at.get_or_insert(now + RELAYED_WATCHED_EVERY);
        }
        if let ConnectedPoint::Dialer { address, .. } = endpoint {
            let dialled = if is_relayed {
                &mut self.circuits
            } else {
                &mut self.dialled
            };
            dialled.insert(id, address.clone());
        }
    }

    /// Notes that a connection is closed, by us or because it `failed`. A circuit
    /// that its relay has ended is made anew, once: when that fails, whoever
    /// needs the peer looks for it.
    pub(super) fn closed(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        failed: bool,
        is_connected: bool,
    ) -> Option<Action> {
        let was_relayed = self.paths.is_relayed(&peer);
        self.paths.closed(peer, id);
        self.dialled.remove(&id);
        let circuit = self.circuits.remove(&id)?;
        (was_relayed && failed && !is_connected)
            .then(|| Action::Dial(Dial::new(peer, vec![circuit])))
    }

    /// Takes what a peer says of itself, and where it sees us, which `counts` if
    /// we dialled it from a listen port. Whether other addresses are ours than
    /// before.
    pub(super) fn identified(
        &mut self,
        (peer, id): (PeerId, ConnectionId),
        info: &libp2p::identify::Info,
        counts: bool,
        own: &OwnAddresses,
        now: Instant,
    ) -> (bool, Vec<Action>) {
        let mut actions = Vec::new();
        let changed = counts && self.observed(peer, &info.observed_addr, own, &mut actions);
        if info.protocols.contains(&HOP)
            && let Some(address) = self.dialled.get(&id)
            && let Some(far) = reach(address)
            // Whoever reaches a relay on this machine reaches us, too.
            && far > Reach::Machine
        {
            self.relay_reach = self.relay_reach.max(Some(far));
            self.relays.found(peer, address.clone(), now);
            self.consider_relays();
        }
        let told = info.listen_addrs.iter().cloned();
        let direct = (self.paths).direct_addresses(&peer, told, &own.listeners);
        actions.extend(dial_directly(peer, direct));
        let near = self.paths.near_addresses(&peer, now);
        actions.extend(dial_directly(peer, near));
        (changed, actions)
    }

    /// A peer that we dialled from a listen port sees us there. Whether other
    /// addresses are ours than before.
    fn observed(
        &mut self,
        peer: PeerId,
        address: &Multiaddr,
        own: &OwnAddresses,
        actions: &mut Vec<Action>,
    ) -> bool {
        let before = self.signs.observed(peer, address);
        if !self.signs.are_seen_at(peer, address) {
            return false;
        }
        let moved = before.is_some_and(|before| self.moved_outside(&before, address, own, actions));
        let back = self.take_back(|known| known == address);
        let any_back = !back.is_empty();
        actions.extend(back);
        any_back || moved
    }

    /// A peer is behind the same router as we are, which may not lead back to those
    /// behind it who call its outside address.
    pub(super) fn same_router(&mut self, peer: PeerId, now: Instant) -> Option<Action> {
        self.paths.same_router(&peer);
        let near = self.paths.near_addresses(&peer, now);
        dial_directly(peer, near)
    }

    fn consider_relays(&mut self) {
        let needed = (self.relay_reach).is_some_and(|far| !self.signs.is_reachable_from(far));
        self.relays.set_needed(needed && !self.is_operator);
    }

    /// An address of ours is confirmed: by AutoNAT, or it is a place at a relay.
    pub(super) fn confirmed(&mut self, address: &Multiaddr) {
        self.signs.confirmed(address);
        self.withdrawn.forget(address);
        self.consider_relays();
    }

    /// An address of ours is not valid any more.
    pub(super) fn expired(&mut self, address: &Multiaddr) {
        self.signs.expired(address);
        self.consider_relays();
    }

    /// Addresses have left this machine: what was reached there is not any more,
    /// nor what a router passed on to them.
    pub(super) fn departed(&mut self, left: &BTreeSet<IpAddr>, own: &OwnAddresses) -> Vec<Action> {
        let from = |signs: &Signs, address: &Multiaddr| {
            let source = signs.source(address).or_else(|| ip(address));
            source.is_some_and(|source| left.contains(&source))
        };
        let actions = self.withdraw(own, from);
        self.signs.forget_observations();
        actions
    }

    /// A peer sees us at another IP address than before: our router has a new
    /// one. What was reached at the old one is in doubt. Whether anything was.
    fn moved_outside(
        &mut self,
        before: &Multiaddr,
        now: &Multiaddr,
        own: &OwnAddresses,
        actions: &mut Vec<Action>,
    ) -> bool {
        let old = ip(before);
        if old == ip(now) || own.listeners.iter().any(|own| ip(own) == old) {
            return false;
        }
        tracing::info!(%before, %now, "seen at another address");
        let gone = self.withdraw(own, |_, address| ip(address) == old);
        let any = !gone.is_empty();
        actions.extend(gone);
        any
    }

    /// Takes back addresses that were confirmed, but for those that the user named.
    fn withdraw(
        &mut self,
        own: &OwnAddresses,
        is_gone: impl Fn(&Signs, &Multiaddr) -> bool,
    ) -> Vec<Action> {
        let known = own.external.iter().chain(self.signs.addresses());
        let gone: BTreeSet<Multiaddr> = known
            .filter(|address| !is_circuit(address) && !self.given.contains(address))
            .filter(|address| is_gone(&self.signs, address))
            .cloned()
            .collect();
        for address in &gone {
            tracing::info!(%address, "not reached by others any more");
            let source = self.signs.source(address);
            self.signs.expired(address);
            self.withdrawn.note(address.clone(), source);
        }
        self.consider_relays();
        gone.into_iter().map(Action::RemoveAddress).collect()
    }

    /// Addresses of this machine are back: of those that others reached before, the
    /// ones that we listen on. (Behind a router peers have to see the outside one.)
    pub(super) fn returned(
        &mut self,
        own: &OwnAddresses,
        is_here: impl Fn(&Multiaddr) -> bool,
    ) -> Vec<Action> {
        self.take_back(|known| own.listeners.contains(known) && is_here(known))
    }

    /// Tells others again of addresses that were taken back and are ours once more.
    /// It was found out before that others reach them, and nobody tests that again.
    fn take_back(&mut self, is_back: impl Fn(&Multiaddr) -> bool) -> Vec<Action> {
        let back = self.withdrawn.take(is_back, source_of);
        for address in &back {
            tracing::info!(%address, "reached by others again");
            self.signs.confirmed(address);
        }
        self.consider_relays();
        back.into_iter().map(Action::AddAddress).collect()
    }

    /// A new address is listened on. An operator is reached there; of several
    /// the ones that reach farthest are told to others. Of anybody else it is to
    /// be tested, and a hole may be punched to it.
    pub(super) fn listening(&mut self, address: &Multiaddr, own: &OwnAddresses) -> Vec<Action> {
        let Some(far) = reach(address).filter(|_| !is_circuit(address)) else {
            return Vec::new();
        };
        if !self.is_operator {
            let test = (far == Reach::World).then(|| Action::TestAddress(address.clone()));
            return test.into_iter().collect();
        }
        let farthest = own.listeners.iter().filter_map(reach).max();
        let (far, near): (Vec<Multiaddr>, Vec<Multiaddr>) = (own.listeners.iter())
            .filter(|address| !is_circuit(address))
            .cloned()
            .partition(|address| reach(address) == farthest);
        for address in &near {
            self.signs.expired(address);
        }
        for address in &far {
            self.signs.confirmed(address);
        }
        let near = near.into_iter().map(Action::RemoveAddress);
        near.chain(far.into_iter().map(Action::AddAddress))
            .collect()
    }

    /// Whether others can ask us: not through a relay, and not only from this
    /// machine.
    pub(super) fn is_reachable(&self) -> bool {
        self.signs.is_reachable_from(Reach::Site)
    }

    /// Whether this peer relays for us.
    pub(super) fn is_relay(&self, peer: &PeerId) -> bool {
        self.relays.uses(peer)
    }

    /// Direct addresses of ours that are confirmed.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Multiaddr> {
        self.signs.addresses()
    }

    /// A listener is closed.
    pub(super) fn listener_closed(&mut self, listener: ListenerId, now: Instant) {
        self.relays.closed(listener, now);
    }

    /// Takes what the relay client has to say.
    pub(super) fn on_relay_client(&mut self, event: &relay::client::Event) {
        match event {
            relay::client::Event::ReservationReqAccepted {
                relay_peer_id,
                renewal,
                limit,
            } => {
                tracing::debug!(relay = %relay_peer_id, renewal, ?limit, "a place at a relay");
                self.relays.accepted(relay_peer_id);
            }
            relay::client::Event::OutboundCircuitEstablished { relay_peer_id, .. } => {
                tracing::debug!(relay = %relay_peer_id, "a circuit to a peer");
            }
            relay::client::Event::InboundCircuitEstablished { src_peer_id, .. } => {
                tracing::debug!(peer = %src_peer_id, "a circuit from a peer");
            }
        }
    }

    /// Takes the outcome of a test of AutoNAT.
    pub(super) fn on_autonat(&mut self, event: &autonat::v2::client::Event) {
        let autonat::v2::client::Event {
            tested_addr,
            server,
            result,
            ..
        } = event;
        match result {
            Ok(()) => tracing::debug!(address = %tested_addr, %server, "reachable"),
            Err(error) => {
                tracing::debug!(address = %tested_addr, %server, %error, "not reachable");
                self.signs.failed();
            }
        }
    }

    /// Takes the outcome of an attempt at a direct connection.
    pub(super) fn on_dcutr(&mut self, event: &dcutr::Event) {
        let peer = event.remote_peer_id;
        match &event.result {
            Ok(_) => {
                tracing::debug!(%peer, "a direct connection in place of a relayed one");
                self.punched += 1;
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "no direct connection");
                self.not_punched += 1;
            }
        }
    }

    /// What the rest of the program is told.
    pub(super) fn status(&self, listeners: &[Multiaddr]) -> NatStatus {
        NatStatus {
            reachability: self.signs.reachability(),
            mapping: self.signs.mapping(listeners),
            relays: self.relays.reserved(),
            punched: self.punched,
            not_punched: self.not_punched,
            relayed_bytes: self.meter.bytes(),
            relayed_bytes_per_second: self.meter.bytes_per_second(),
        }
    }
}

#[cfg(test)]
mod tests;
