//! All connections: which of a peer's is used, and what the engine hears.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use headwater_protocols::sync::frame_cost;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour,
        NotifyHandler, ToSwarm,
    },
};

use super::{
    Config, Event, FrameSender, Lane, NotConnected,
    handler::{Accept, Command, FromHandler, Handler, Link},
    path::Path,
    place::Places,
};
use crate::net::origin::Origin;

/// The sync streams to all peers. See the module for the rules.
///
/// Order of use: give the inbound channel's receiver to the engine, put the
/// behaviour into a swarm, handle each [`Event`] before the swarm is polled
/// again, [`send`](Behaviour::send) to peers between their [`Event::Ready`] and
/// [`Event::Gone`].
///
/// Of several connections to a peer one over which something came lately is
/// preferred to one that is silent, a direct one to a relayed one, TCP to QUIC. A
/// better one that appears later takes over with [`Event::Reset`]; an equal one
/// does if nothing comes over the old one just then.
pub struct Behaviour {
    config: Arc<Config>,
    delivery: FrameSender,
    peers: HashMap<PeerId, Peer>,
    actions: VecDeque<ToSwarm<Event, Accept>>,
    opened: u64,
    places: Places,
}

/// A peer that is ready.
struct Peer {
    preferred: Connection,
    others: Vec<Connection>,
}

struct Connection {
    id: ConnectionId,
    link: Link,
    /// Position in the order of opening.
    order: u64,
    /// Number of the last `Discard`; reports of earlier ones are stale.
    epoch: u64,
    queued_cost: usize,
}

impl Connection {
    /// The best one is the greatest.
    fn rank(&self, config: &Config) -> (bool, Path, u64) {
        let is_heard = self.link.heard.is_within(config.silent_after);
        (is_heard, self.link.path, self.order)
    }

    /// Whether this one, which was there first, is to give way to a new one: a
    /// connected peer dials when it has lost what it had.
    fn gives_way_to(&self, new: &Self, config: &Config) -> bool {
        let heard = &self.link.heard;
        let is_equal = new.link.path == self.link.path;
        new.link.path > self.link.path
            || !heard.is_within(config.silent_after)
            || is_equal && !heard.is_within(config.quiet_after)
    }

    /// A failure to send means that the handler is gone, which the swarm is
    /// about to say.
    fn command(&self, command: Command) {
        let _ = self.link.outbox.send(command);
    }

    fn discard(&mut self) {
        self.epoch += 1;
        self.queued_cost = 0;
        self.command(Command::Discard { epoch: self.epoch });
    }
}

impl Behaviour {
    /// A behaviour that delivers received frames to `inbound`, and reads no
    /// further of a lane while that one is full.
    pub fn new(config: Config, inbound: FrameSender) -> Self {
        Self {
            places: Places::new(config.exempt.clone()),
            config: Arc::new(config),
            delivery: inbound,
            peers: HashMap::new(),
            actions: VecDeque::new(),
            opened: 0,
        }
    }

    /// Queues a frame for a ready peer. It is on its way at once, without the
    /// swarm being polled, and reported by [`Event::Sent`].
    ///
    /// The queue has no bound of its own: the caller bounds it by its credits
    /// (see [`queued_cost`](Behaviour::queued_cost)), and keeps frames within
    /// the remote's [`Config::max_frame_bytes`].
    pub fn send(&mut self, peer: PeerId, lane: Lane, frame: Bytes) -> Result<(), NotConnected> {
        let preferred = &mut self.peers.get_mut(&peer).ok_or(NotConnected)?.preferred;
        preferred.queued_cost += frame_cost(frame.len());
        preferred.command(Command::Frame(lane, frame));
        Ok(())
    }

    /// What the frames cost that were accepted for the peer and are not yet reported
    /// as sent.
    pub fn queued_cost(&self, peer: &PeerId) -> usize {
        let peer = self.peers.get(peer);
        peer.map_or(0, |peer| peer.preferred.queued_cost)
    }

    /// The connection that frames for the peer go to, if it is ready.
    pub fn preferred_connection(&self, peer: &PeerId) -> Option<ConnectionId> {
        self.peers.get(peer).map(|peer| peer.preferred.id)
    }

    fn emit(&mut self, event: Event) {
        self.actions.push_back(ToSwarm::GenerateEvent(event));
    }

    fn handler(&self, id: ConnectionId, peer: PeerId, path: Path, place: Option<u64>) -> Handler {
        let delivery = self.delivery.clone();
        Handler::new(self.config.clone(), peer, id, (path, place), delivery)
    }

    fn add(&mut self, peer: PeerId, id: ConnectionId, link: Link) {
        self.opened += 1;
        let mut added = Connection {
            id,
            link,
            order: self.opened,
            epoch: 0,
            queued_cost: 0,
        };
        let place = added.link.place;
        match self.peers.entry(peer) {
            Entry::Vacant(vacant) => {
                vacant.insert(Peer {
                    preferred: added,
                    others: Vec::new(),
                });
                self.emit(Event::Ready { peer, place });
            }
            Entry::Occupied(mut occupied) => {
                let known = occupied.get_mut();
                let is_better = known.preferred.gives_way_to(&added, &self.config);
                if is_better {
                    known.preferred.discard();
                    std::mem::swap(&mut known.preferred, &mut added);
                }
                known.others.push(added);
                if is_better {
                    self.emit(Event::Reset { peer, place });
                }
            }
        }
        // After `Ready`: the swarm hands that out before it takes this.
        self.actions.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(id),
            event: Accept,
        });
    }

    fn remove(&mut self, peer: PeerId, id: ConnectionId) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        if known.preferred.id != id {
            known.others.retain(|other| other.id != id);
            return;
        }
        let ranked = known.others.iter().enumerate();
        match ranked.max_by_key(|(_, other)| other.rank(&self.config)) {
            Some((best, _)) => {
                known.preferred = known.others.swap_remove(best);
                let place = known.preferred.link.place;
                self.emit(Event::Reset { peer, place });
            }
            None => {
                self.peers.remove(&peer);
                self.emit(Event::Gone { peer });
            }
        }
    }

    /// Notes that the peer has answered over a connection. Another one over which
    /// nothing comes gives way to it.
    pub fn heard(&mut self, peer: PeerId, id: ConnectionId) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        if known.preferred.id == id {
            known.preferred.link.heard.note();
            return;
        }
        let Some(at) = known.others.iter().position(|other| other.id == id) else {
            return;
        };
        let other = &mut known.others[at];
        other.link.heard.note();
        let preferred = known.preferred.rank(&self.config);
        let is_better = preferred < (true, other.link.path, 0);
        if is_better {
            known.preferred.discard();
            std::mem::swap(&mut known.preferred, other);
            let place = known.preferred.link.place;
            self.emit(Event::Reset { peer, place });
        }
    }

    /// Whether something came over a connection within [`Config::silent_after`].
    pub fn was_heard(&self, peer: &PeerId, id: ConnectionId) -> bool {
        let peer = self.peers.get(peer).into_iter();
        let mut all = peer.flat_map(|peer| peer.others.iter().chain([&peer.preferred]));
        let known = all.find(|known| known.id == id);
        known.is_some_and(|known| known.link.heard.is_within(self.config.silent_after))
    }

    /// The peer's preferred connection, if it is this one.
    fn preferred_mut(&mut self, peer: PeerId, id: ConnectionId) -> Option<&mut Connection> {
        let preferred = &mut self.peers.get_mut(&peer)?.preferred;
        (preferred.id == id).then_some(preferred)
    }

    fn sent(&mut self, peer: PeerId, id: ConnectionId, epoch: u64, lane: Lane, bytes: usize) {
        let preferred = self.preferred_mut(peer, id);
        if let Some(preferred) = preferred.filter(|preferred| preferred.epoch == epoch) {
            preferred.queued_cost = preferred.queued_cost.saturating_sub(bytes);
            self.emit(Event::Sent { peer, lane, bytes });
        }
    }

    fn lane_lost(&mut self, peer: PeerId, id: ConnectionId) {
        if let Some(preferred) = self.preferred_mut(peer, id) {
            preferred.discard();
            let place = preferred.link.place;
            self.emit(Event::Reset { peer, place });
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        let place = self
            .places
            .number(Origin::of_incoming(local, remote), remote);
        Ok(self.handler(id, peer, Path::of(&[local, remote]), place))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        let place = self.places.number(Origin::of(address), address);
        Ok(self.handler(id, peer, Path::of(&[address]), place))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        // A connection is known from its handler's `Open` on; nothing is kept of
        // one that another behaviour denies.
        if let FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id,
            connection_id,
            ..
        }) = event
        {
            self.remove(peer_id, connection_id);
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: FromHandler) {
        match event {
            FromHandler::Open(link) => self.add(peer, id, link),
            FromHandler::Sent { epoch, lane, bytes } => self.sent(peer, id, epoch, lane, bytes),
            FromHandler::LaneLost => self.lane_lost(peer, id),
            FromHandler::Unusable => self.remove(peer, id),
            FromHandler::Misbehaved(error) => self.emit(Event::Misbehaved {
                peer,
                connection: id,
                error,
            }),
            FromHandler::Stalled => self.emit(Event::Stalled {
                peer,
                connection: id,
            }),
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Event, Accept>> {
        self.actions.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}
