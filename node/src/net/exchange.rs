//! Company: a node that has too few peers for a stream asks those it has for
//! more, and dials them. A node that has lost everybody turns to the peers that
//! it knows, and to the bootstrap nodes.
//!
//! What is passed on are records that their peers have signed, of peers that
//! are or were connected to whoever tells of them; what they deliver is proved
//! as everything else.

mod bootstrap;
mod cache;
mod checked;
mod dials;
mod messages;
mod nearby;
mod shortage;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use headwater_protocols::engine::LogStatus;
use headwater_protocols::id::{LogId, Topic};
use headwater_protocols::peers::{Allowance, Subscriptions};
use headwater_protocols::time::Timestamp;
use libp2p::swarm::DialError;
use libp2p::{Multiaddr, PeerId, identify, mdns, relay};
use tokio::time::Instant;

use super::action::Action;
use super::addresses::{Reach, reach};
use super::dialer::Dialer;
use super::idle::{Crowd, Idleness, Use};
use super::limits::{EXCHANGE_TICK, FORGET_WAITING, IDLE_REVIEW, YOUNG_CONNECTION};
use super::peer_book::{Candidate, PeerBook};
use super::peer_record::SignedRecord;
use super::random;
use crate::handle::{Node, StreamPeer};
use bootstrap::Bootstrap;
use cache::Cache;
use dials::is_unreachable;
use messages::PROTOCOL;
pub(super) use messages::{Event, Messages, messages};
use nearby::Nearby;
use shortage::Shortages;

/// What the exchange is told at the start.
pub(crate) struct ExchangeConfig {
    /// Who we are.
    pub(crate) local: PeerId,
    /// Peers of a stream below which more are looked for; 0: never.
    pub(crate) enough: usize,
    /// Connections at most.
    pub(crate) connections: usize,
    /// The file of peers, if there is to be one.
    pub(crate) cache: Option<PathBuf>,
}

/// Who is known, who is asked, and who is dialled.
pub(super) struct Exchange {
    /// Peers that are enough for a stream.
    enough: usize,
    max_connections: usize,
    own: Option<Arc<SignedRecord>>,
    book: PeerBook,
    cache: Option<Cache>,
    bootstrap: Bootstrap,
    subscriptions: Subscriptions,
    /// Peers that hold a place at our relay.
    relayed: BTreeSet<PeerId>,
    /// Streams that we follow or publish.
    ours: BTreeSet<LogId>,
    neighbours: BTreeMap<PeerId, Neighbour>,
    shortages: Shortages,
    /// Peers that have something of our streams.
    needed: BTreeSet<PeerId>,
    nearby: Nearby,
    dialling: BTreeSet<PeerId>,
    /// Peers that are not dialled because others of us do, and since when.
    waiting: BTreeMap<PeerId, Timestamp>,
    allowance: Allowance,
    rescue_at: Timestamp,
    /// How often anybody at all was dialled since the last peer was lost.
    rescues: u32,
    idleness: Idleness,
    idle_review_at: Timestamp,
    due: Instant,
    /// When all was looked at last.
    looked: Instant,
    /// What is left of this look, and what came of it and is not done.
    steps: VecDeque<Step>,
    ready: VecDeque<Action>,
}

/// A part of a look at who is there. Each goes by what came of those before it.
#[derive(Debug)]
enum Step {
    /// Find somebody to dial for a stream that has this many peers.
    DialFor(LogId, usize),
    Dial(Candidate),
    Ask,
    DialNearby,
    Rescue,
    ExchangeRecords,
}

/// A stream that we follow or publish, and connected peers that have something of
/// it.
pub(super) struct OwnStream<'a> {
    pub(super) log: LogId,
    pub(super) sources: &'a [PeerId],
}

impl<'a> OwnStream<'a> {
    /// It, if that is how it stands.
    pub(super) fn of(status: &'a LogStatus) -> Option<Self> {
        // Nothing more is taken of a stream that is stopped for good, or of which nobody
        // knows what counts.
        let is_live = status.stopped_for_good.is_none() && status.is_clear();
        let is_ours = status.owned || status.followed;
        (is_ours && is_live).then(|| Self {
            log: status.log,
            sources: &status.sources,
        })
    }
}

/// A connected peer.
#[derive(Debug)]
struct Neighbour {
    since: Timestamp,
    reach: Reach,
    inbound: bool,
    /// It has told that it speaks the protocol.
    speaks: bool,
    is_asked: bool,
    /// It has not got our latest record, nor we its.
    lacks_record: bool,
    free_at: Timestamp,
}

impl Exchange {
    /// Knows those of the file, and keeps the first of a list of bootstrap nodes
    /// connected.
    pub(super) fn new(
        config: ExchangeConfig,
        bootstrap: Vec<Multiaddr>,
        dialer: &mut Dialer,
        clock: Instant,
        now: Timestamp,
    ) -> Self {
        let mut book = PeerBook::new(config.local, config.connections);
        let bootstrap = Bootstrap::new(bootstrap, random());
        for address in bootstrap.kept() {
            dialer.keep(address.clone(), clock);
        }
        Self {
            cache: (config.cache).map(|path| Cache::open(path, &mut book, now)),
            enough: config.enough,
            max_connections: config.connections,
            own: None,
            book,
            bootstrap,
            subscriptions: Subscriptions::default(),
            relayed: BTreeSet::new(),
            ours: BTreeSet::new(),
            neighbours: BTreeMap::new(),
            shortages: Shortages::default(),
            needed: BTreeSet::new(),
            nearby: Nearby::default(),
            dialling: BTreeSet::new(),
            waiting: BTreeMap::new(),
            allowance: Allowance::default(),
            rescue_at: now,
            rescues: 0,
            idleness: Idleness::default(),
            idle_review_at: now + IDLE_REVIEW,
            due: clock,
            looked: clock,
            steps: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// When [`tick`](Self::tick) is to be called.
    pub(super) fn next_due(&self) -> Instant {
        self.due
    }

    /// Looks at whether every stream of ours has peers enough. What is to be done
    /// about it [`next`](Self::next) says.
    pub(super) fn tick<'a>(
        &mut self,
        streams: impl IntoIterator<Item = OwnStream<'a>>,
        dialer: &mut Dialer,
        clock: Instant,
        now: Timestamp,
    ) {
        self.due = clock + EXCHANGE_TICK;
        self.looked = clock;
        self.book.expire(now);
        (self.waiting).retain(|_, since| now.duration_since(*since) < FORGET_WAITING);
        let is_connected = |peer: &PeerId| self.neighbours.contains_key(peer);
        (self.bootstrap).tick(dialer, is_connected, now, clock);
        self.look(streams, now);
        if self.enough > 0 {
            self.dial_for_streams();
            self.steps
                .extend([Step::Ask, Step::DialNearby, Step::Rescue]);
        }
        self.steps.push_back(Step::ExchangeRecords);
    }

    /// What is to be done next. Before the one after it is asked for, what came
    /// of a dial is to be [told](Self::dialled).
    pub(super) fn next(
        &mut self,
        publisher_of: impl Fn(LogId) -> Option<PeerId>,
        now: Timestamp,
    ) -> Option<Action> {
        loop {
            if let Some(action) = self.ready.pop_front() {
                return Some(action);
            }
            match self.steps.pop_front()? {
                Step::DialFor(stream, have) => {
                    self.dial_for(stream, have, || publisher_of(stream), now);
                }
                Step::Dial(candidate) => {
                    let dial = self.dial(candidate, now);
                    self.ready.extend(dial.map(Action::Dial));
                }
                Step::Ask => self.ask(now),
                Step::DialNearby => self.dial_nearby(now),
                Step::Rescue => self.rescue(now),
                Step::ExchangeRecords => self.exchange_records(now),
            }
        }
    }

    /// Connections at most.
    pub(super) fn max_connections(&self) -> u32 {
        u32::try_from(self.max_connections).unwrap_or(u32::MAX)
    }

    /// Writes down whom we know now and then.
    pub(super) fn write_cache(&mut self, now: Timestamp) {
        if self.cache.as_ref().is_some_and(|cache| cache.is_due(now)) {
            self.note_streams_of_neighbours();
            if let Some(cache) = &mut self.cache {
                cache.write(&self.book, now);
            }
        }
    }

    /// Has all looked at again at once.
    fn hurry(&mut self) {
        self.due = self.looked;
    }

    /// Writes down whom we know, for the next time.
    pub(super) async fn close(mut self) {
        self.note_streams_of_neighbours();
        if let Some(cache) = self.cache {
            cache.close(&self.book).await;
        }
    }

    /// Where a known peer may be reached.
    pub(super) fn addresses(&self, peer: &PeerId) -> &[Multiaddr] {
        self.book.addresses(peer)
    }

    /// The peers of a stream that are connected or known: its publisher first,
    /// then the connected ones.
    pub(super) fn peers_of(&self, stream: LogId, node: &Node) -> Vec<StreamPeer> {
        let status = node.stream(stream);
        let sources = status.as_ref().map_or(&[][..], |status| &status.sources);
        let manifest = status.as_ref().and_then(|status| status.manifest.as_ref());
        let publisher = manifest.map(|manifest| manifest.publisher.peer_id());
        let known = self.book.of_stream(stream).chain(sources.iter().copied());
        let known = known.chain(self.subscriptions.of_stream(stream));
        let others = publisher.filter(|peer| *peer != node.local_peer());
        let known: BTreeSet<PeerId> = known.chain(others).collect();
        let mut peers: Vec<StreamPeer> = (known.into_iter())
            .map(|peer| StreamPeer {
                peer,
                is_publisher: publisher == Some(peer),
                is_connected: self.neighbours.contains_key(&peer),
                is_source: sources.contains(&peer),
                addresses: self.book.addresses(&peer).to_vec(),
            })
            .collect();
        peers.sort_by_key(|peer| (!peer.is_publisher, !peer.is_connected, !peer.is_source));
        peers
    }

    /// Streams for which the peers that were asked know of nobody else: a few of
    /// them at a time are to be looked up in Kademlia.
    pub(super) fn lookups(&mut self, now: Timestamp) -> BTreeSet<LogId> {
        self.shortages.lookups(now)
    }

    /// Takes our latest record.
    pub(super) fn set_record(&mut self, record: Arc<SignedRecord>) {
        self.own = Some(record);
    }

    /// Looks at how many peers each stream has, and which peers are of use.
    fn look<'a>(&mut self, streams: impl IntoIterator<Item = OwnStream<'a>>, now: Timestamp) {
        let mut short = BTreeMap::new();
        self.ours.clear();
        self.needed.clear();
        for stream in streams {
            let log = stream.log;
            self.ours.insert(log);
            let sources = stream.sources.iter().copied();
            let sources = sources.filter(|peer| self.neighbours.contains_key(peer));
            let company: BTreeSet<PeerId> =
                self.subscriptions.of_stream(log).chain(sources).collect();
            if company.len() < self.enough {
                short.insert(log, company.len());
            }
            self.needed.extend(company);
        }
        self.shortages.set(&short, now);
    }

    /// Notes that a peer was told of new addresses of ours, without our signature.
    pub(super) fn pushed(&mut self, peer: &PeerId) {
        if let Some(neighbour) = self.neighbours.get_mut(peer) {
            neighbour.lacks_record = true;
        }
    }

    /// Takes what mDNS has heard in the local network.
    pub(super) fn on_mdns(&mut self, event: mdns::Event, now: Timestamp) {
        match event {
            mdns::Event::Discovered(found) => {
                for (peer, address) in found {
                    tracing::debug!(%peer, %address, "a peer in the local network");
                    self.nearby.found(peer, address, now);
                }
                self.hurry();
            }
            mdns::Event::Expired(lost) => {
                for (peer, _) in lost {
                    self.nearby.lost(&peer);
                }
            }
        }
    }

    /// Closes connections that are of no use, now and then.
    pub(super) fn let_go(
        &mut self,
        is_kept: impl Fn(&PeerId) -> bool,
        crowd: Crowd,
        now: Timestamp,
    ) -> Vec<Action> {
        if now < self.idle_review_at {
            return Vec::new();
        }
        self.idle_review_at = now + IDLE_REVIEW;
        let connected: BTreeMap<PeerId, Use> = (self.neighbours.iter())
            .map(|(&peer, neighbour)| {
                let in_use = neighbour.is_asked || self.relayed.contains(&peer);
                let needed = in_use || self.needed.contains(&peer) || is_kept(&peer);
                let inbound = neighbour.inbound;
                (peer, Use { needed, inbound })
            })
            .collect();
        let idle = (self.idleness).review(&connected, crowd, self.enough, now);
        let let_go = idle.into_iter().map(|peer| {
            tracing::debug!(%peer, "letting go of a connection that is of no use");
            Action::Disconnect(peer)
        });
        let_go.collect()
    }

    /// What connected peers of our streams are subscribed to is kept for the
    /// time after the connection.
    fn note_streams_of_neighbours(&mut self) {
        for &stream in &self.ours {
            for peer in self.subscriptions.of_stream(stream) {
                self.book.subscribed(&peer, stream);
            }
        }
    }

    /// Notes a connection, and from where it is.
    pub(super) fn connected(
        &mut self,
        peer: PeerId,
        remote: &Multiaddr,
        inbound: bool,
        now: Timestamp,
    ) {
        self.dialling.remove(&peer);
        self.waiting.remove(&peer);
        let reach = reach(remote).unwrap_or(Reach::World);
        let neighbour = self.neighbours.entry(peer).or_insert(Neighbour {
            since: now,
            reach,
            inbound,
            speaks: false,
            is_asked: false,
            lacks_record: false,
            free_at: now,
        });
        neighbour.reach = neighbour.reach.min(reach);
        neighbour.inbound &= inbound;
        self.book.connected(&peer, now);
    }

    /// Notes that the last connection to a peer is closed.
    pub(super) fn closed(&mut self, peer: &PeerId, now: Timestamp) {
        let neighbour = self.neighbours.remove(peer);
        self.relayed.remove(peer);
        let streams = self.subscriptions.remove_peer(peer);
        for &stream in streams.intersection(&self.ours) {
            self.book.subscribed(peer, stream);
        }
        // Whoever told that it was subscribed to more was wrong.
        if neighbour.is_some_and(|n| now.duration_since(n.since) >= YOUNG_CONNECTION) {
            self.book.subscribed_to_no_others(peer, &streams);
        }
        self.book.closed(peer, now);
        // What it leaves behind may be too few.
        self.hurry();
    }

    /// Notes that a dial has failed.
    pub(super) fn dial_failed(&mut self, peer: &PeerId, error: &DialError, now: Timestamp) {
        let is_ours = self.dialling.remove(peer);
        if is_ours || is_unreachable(error) {
            self.note_failure(peer, error, now);
        }
        if is_ours {
            self.hurry();
        }
    }

    /// Forgets a peer that broke the rules.
    pub(super) fn banned(&mut self, peer: &PeerId) {
        self.book.remove(peer);
    }

    /// Takes what a peer says of itself.
    pub(super) fn identified(&mut self, peer: PeerId, info: &identify::Info, now: Timestamp) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else {
            return;
        };
        if info.protocols.contains(&PROTOCOL) && !neighbour.speaks {
            neighbour.speaks = true;
            // One question carries both records, so one side asks.
            neighbour.lacks_record = !neighbour.inbound;
            self.shortages.hurry(now);
            self.hurry();
        }
    }

    fn heard_itself(
        &mut self,
        peer: PeerId,
        record: Arc<SignedRecord>,
        reach: Reach,
        now: Timestamp,
    ) {
        if record.peer == peer {
            self.book.hear(record, None, reach, now);
            self.book.connected(&peer, now);
        }
    }

    /// Notes that a peer has subscribed to a topic.
    pub(super) fn subscribed(&mut self, peer: PeerId, topic: Topic) {
        if let Topic::Data(stream) = topic {
            let is_ours = self.ours.contains(&stream);
            self.subscriptions.insert(peer, stream, is_ours);
        }
    }

    /// Notes that it has unsubscribed.
    pub(super) fn unsubscribed(&mut self, peer: PeerId, topic: Topic) {
        if let Topic::Data(stream) = topic {
            self.subscriptions.remove(peer, stream);
        }
    }

    /// Notes who holds a place at our relay.
    pub(super) fn on_relay(&mut self, event: &relay::Event) {
        match event {
            relay::Event::ReservationReqAccepted { src_peer_id, .. } => {
                self.relayed.insert(*src_peer_id);
            }
            relay::Event::ReservationTimedOut { src_peer_id }
            | relay::Event::ReservationClosed { src_peer_id } => {
                self.relayed.remove(src_peer_id);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
