//! Finding those who have a stream through Kademlia, with nothing but the
//! stream's id: nodes that hold something of a stream announce themselves as
//! its providers, and a stream that is followed and has no source is looked up.
//!
//! What a provider says of itself is only a hint whom to dial; what it then
//! delivers is proved as everything else.

mod agenda;
mod candidates;
pub(crate) mod provider_store;
mod shares;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;

use headwater_protocols::engine::LogStatus;
use headwater_protocols::id::LogId;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::kad::{
    self, BucketInserts, GetProvidersOk, Mode, ProgressStep, QueryId, QueryResult, RecordKey,
};
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, identify};
use tokio::time::Instant;

use super::addresses::{Reach, is_circuit, reach, useful, without_peer};
use super::behaviour::Behaviour;
use super::dialer::plain_dial;
use super::limits::{
    DISCOVERY_TICK, KAD_BUCKET_SIZE, MAX_ADDRESSES_PER_PEER, MAX_KAD_MESSAGE_BYTES,
    MAX_ROUTED_PER_IP, PROVIDER_TTL, QUERY_TIMEOUT,
};
use super::nat::remote_address;
use super::origin::Origin;
use super::random;
use crate::handle::Node;
use agenda::{Agenda, Need, Query};
use candidates::Candidates;
use provider_store::ProviderStore;

/// Kademlia with our store.
pub(super) type Kademlia = kad::Behaviour<ProviderStore>;

/// A network of our own: what others keep in theirs is of no use to us.
pub(super) const PROTOCOL: StreamProtocol = StreamProtocol::new("/headwater/kad/2");

/// How a multihash of 32 bytes of SHA-256 begins.
const SHA2_256_32: [u8; 2] = [0x12, 32];

/// Kademlia for the node with this id. A server answers and is in the routing
/// tables of others; a client only asks.
pub(super) fn kademlia(local: PeerId, is_server: bool) -> Kademlia {
    let mut config = kad::Config::new(PROTOCOL);
    config
        // Only peers whose addresses identify has told are passed on.
        .set_kbucket_inserts(BucketInserts::Manual)
        .disjoint_query_paths(true)
        .set_query_timeout(QUERY_TIMEOUT)
        .set_max_packet_size(MAX_KAD_MESSAGE_BYTES)
        .set_provider_record_ttl(Some(PROVIDER_TTL))
        // The agenda says it again: a few streams at a time, and at once when
        // nobody has heard it. There are no values.
        .set_provider_publication_interval(None)
        .set_publication_interval(None)
        .set_replication_interval(None);
    if let Some(size) = NonZeroUsize::new(KAD_BUCKET_SIZE) {
        config.set_kbucket_size(size);
    }
    let mut kademlia = Kademlia::with_config(local, ProviderStore::new(local), config);
    // Never by itself: libp2p takes the address of a relay for one of ours.
    kademlia.set_mode(Some(if is_server {
        Mode::Server
    } else {
        Mode::Client
    }));
    kademlia
}

/// Whether an address that the user gave makes this node one that others can
/// ask.
pub(super) fn is_reachable(external: &Multiaddr) -> bool {
    !is_circuit(external) && reach(external).is_some_and(|reach| reach > Reach::Machine)
}

/// What is looked up and announced, and who is dialled for it.
pub(super) struct Discovery {
    agenda: Agenda,
    candidates: Candidates,
    queries: HashMap<QueryId, Query>,
    /// Connected peers that have not said yet who they are.
    strangers: BTreeSet<PeerId>,
    due: Instant,
}

impl Discovery {
    /// Nothing is known yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            agenda: Agenda::default(),
            candidates: Candidates::default(),
            queries: HashMap::new(),
            strangers: BTreeSet::new(),
            due: now,
        }
    }

    /// When [`tick`](Self::tick) is to be called.
    pub(super) fn next_due(&self) -> Instant {
        self.due
    }

    /// Looks at what the streams need, and makes the queries that are due; those
    /// that are `short` of peers are looked up as well.
    pub(super) fn tick(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        node: &Node,
        short: impl FnOnce() -> BTreeSet<LogId>,
        now: Instant,
    ) {
        if now < self.due {
            return;
        }
        self.due = now + DISCOVERY_TICK;
        self.let_rest(swarm);
        let short = short();
        let mut needs: Vec<Need> = node.streams().iter().map(|status| need(status)).collect();
        for need in &mut needs {
            need.lacks_source |= short.contains(&need.log);
        }
        for log in self.agenda.set_needs(&needs, now) {
            swarm.behaviour_mut().kad.stop_providing(&key(log));
        }
        let lacking = needs.iter().filter(|need| need.lacks_source);
        let lacking: BTreeSet<LogId> = lacking.map(|need| need.log).collect();
        self.candidates.retain(|log| lacking.contains(&log));
        self.make_queries(swarm, now);
        self.dial(swarm, node);
    }

    /// Keeps Kademlia from looking around among nobody: it means to with every
    /// address that we listen on, and every few minutes, and warns when it knows
    /// no peer. It does so again by itself when one comes into its table.
    pub(super) fn let_rest(&self, swarm: &mut Swarm<Behaviour>) {
        let kad = &mut swarm.behaviour_mut().kad;
        if kad.kbuckets().next().is_none() {
            // Without a peer this does nothing but end what was intended.
            let _ = kad.bootstrap();
        }
    }

    fn make_queries(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant) {
        let kad = &mut swarm.behaviour_mut().kad;
        // Whoever knows nobody asks nobody; the first who is met changes that.
        // (A server answers for itself, too.)
        if kad.kbuckets().next().is_none() && kad.mode() == Mode::Client {
            return;
        }
        for query in self.agenda.take_due(now) {
            let id = match query {
                Query::Lookup(log) => Some(kad.get_providers(key(log))),
                Query::Announce(log) => kad.start_providing(key(log)).ok(),
            };
            match id {
                Some(id) => {
                    tracing::trace!(?query, "asking");
                    self.queries.insert(id, query);
                }
                None => self.agenda.ended(query, false, now, random()),
            }
        }
    }

    /// Answers others from now on, or does not any more. A place at a relay is
    /// not enough: everybody would ask through the relay.
    pub(super) fn serve(&self, swarm: &mut Swarm<Behaviour>, serves: bool) {
        let mode = if serves { Mode::Server } else { Mode::Client };
        let kad = &mut swarm.behaviour_mut().kad;
        if kad.mode() != mode {
            tracing::debug!(%mode, "Kademlia");
            kad.set_mode(Some(mode));
        }
    }

    /// Takes what Kademlia has to say.
    pub(super) fn on_event(
        &mut self,
        event: kad::Event,
        swarm: &mut Swarm<Behaviour>,
        node: &Node,
        now: Instant,
    ) {
        match event {
            kad::Event::OutboundQueryProgressed {
                id,
                result,
                step: ProgressStep { last, .. },
                stats,
            } => {
                let Some(&query) = self.queries.get(&id) else {
                    return;
                };
                if let Query::Lookup(log) = query
                    && let QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders {
                        providers,
                        ..
                    })) = result
                {
                    self.found(log, providers, swarm);
                    self.dial(swarm, node);
                }
                if last {
                    tracing::trace!(?query, ?stats, "asked");
                    self.queries.remove(&id);
                    let answered = stats.num_successes() > 0;
                    self.agenda.ended(query, answered, now, random());
                    self.make_queries(swarm, now);
                }
            }
            // A server that we dialled ourselves, perhaps at an address that it
            // does not know of.
            kad::Event::RoutablePeer { peer, address } => {
                let kad = &mut swarm.behaviour_mut().kad;
                let addresses = vec![address];
                if !is_crowded(kad, &addresses) {
                    add_addresses(kad, peer, addresses);
                }
            }
            kad::Event::RoutingUpdated {
                is_new_peer: true,
                peer,
                ..
            } => {
                tracing::debug!(%peer, "a peer that can be asked who has a stream");
                self.met(swarm, now);
            }
            kad::Event::RoutingUpdated { .. }
            | kad::Event::PendingRoutablePeer { .. }
            | kad::Event::UnroutablePeer { .. }
            | kad::Event::InboundRequest { .. }
            | kad::Event::ModeChanged { .. } => {}
        }
    }

    /// Looks up and announces what is due soon now: others can reach us at new
    /// addresses.
    pub(super) fn hurry(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant) {
        self.agenda.hurry();
        self.make_queries(swarm, now);
    }

    /// Notes a connection.
    pub(super) fn connected(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        node: &Node,
        peer: PeerId,
        endpoint: &ConnectedPoint,
    ) {
        let remote = endpoint.get_remote_address();
        let origin = Origin::of(&remote_address(peer, endpoint));
        let is_new = (swarm.behaviour_mut().kad.store_mut()).connected(peer, remote, origin);
        if is_new {
            self.strangers.insert(peer);
        }
        self.dial_ended(swarm, node, &peer);
    }

    /// Notes that the last connection to a peer is closed.
    pub(super) fn closed(&mut self, swarm: &mut Swarm<Behaviour>, peer: &PeerId) {
        swarm.behaviour_mut().kad.store_mut().closed(peer);
        self.strangers.remove(peer);
    }

    /// Notes that a dial has ended, well or not.
    pub(super) fn dial_ended(&mut self, swarm: &mut Swarm<Behaviour>, node: &Node, peer: &PeerId) {
        if self.candidates.dialled(peer) {
            self.dial(swarm, node);
        }
    }

    /// Takes what a peer says of itself: a server is asked from now on.
    pub(super) fn identified(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peer: PeerId,
        info: &identify::Info,
        now: Instant,
    ) {
        // It says it again every few minutes.
        let is_back = self.strangers.remove(&peer);
        let kad = &mut swarm.behaviour_mut().kad;
        let addresses = (kad.store_mut()).identified(peer, info.listen_addrs.iter().cloned());
        if !info.protocols.contains(&PROTOCOL) {
            kad.remove_peer(&peer);
            return;
        }
        let was_known = !routed_addresses(kad, peer).is_empty();
        if !was_known && is_crowded(kad, &addresses) {
            return;
        }
        add_addresses(kad, peer, addresses);
        if is_back && was_known {
            // It may have been started anew, and have forgotten everything.
            self.met(swarm, now);
        }
    }

    /// There is somebody new to ask and to tell. In a network of few servers
    /// each of them is among the closest of every key; in a larger one the
    /// others still know.
    fn met(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant) {
        let kad = &mut swarm.behaviour_mut().kad;
        let known: usize = kad.kbuckets().map(|bucket| bucket.num_entries()).sum();
        if known <= kad::K_VALUE.get() {
            self.agenda.hurry();
            self.make_queries(swarm, now);
        }
    }

    fn found(
        &mut self,
        log: LogId,
        providers: impl IntoIterator<Item = PeerId>,
        swarm: &mut Swarm<Behaviour>,
    ) {
        let local = *swarm.local_peer_id();
        for peer in providers {
            if peer == local || swarm.is_connected(&peer) {
                continue;
            }
            let addresses = known_addresses(&mut swarm.behaviour_mut().kad, peer);
            tracing::debug!(stream = %log, %peer, ?addresses, "a peer is said to have the stream");
            if !addresses.is_empty() {
                self.candidates.found(log, peer, addresses);
            }
        }
    }

    fn dial(&mut self, swarm: &mut Swarm<Behaviour>, node: &Node) {
        let publisher = |log| {
            let status = node.stream(log)?;
            let manifest = status.manifest.as_ref()?;
            Some(manifest.publisher.peer_id())
        };
        // Whoever cannot be dialled (a banned peer) leaves the place to others.
        loop {
            let mut failed = false;
            for (peer, addresses) in self.candidates.take(publisher, random) {
                if let Err(error) = swarm.dial(plain_dial(peer, addresses).options()) {
                    tracing::debug!(%peer, %error, "not dialled");
                    self.candidates.dialled(&peer);
                    failed = true;
                }
            }
            if !failed {
                return;
            }
        }
    }
}

fn need(status: &LogStatus) -> Need {
    // Nothing more is taken of a stream that is stopped for good or forked.
    let takes = status.followed && !status.owned && status.stopped_for_good.is_none();
    Need {
        log: status.log,
        lacks_source: takes && status.fork.is_none() && status.sources.is_empty(),
        provides: status.owned || status.followed && status.held_records > 0,
    }
}

/// The key of a stream: the multihash of its id, as every libp2p
/// implementation derives it from a CID.
fn key(log: LogId) -> RecordKey {
    RecordKey::from(log.cid().hash().to_bytes())
}

/// The stream of a key; `None` when it is the key of something else.
fn log_of(key: &RecordKey) -> Option<LogId> {
    LogId::from_slice(key.as_ref().strip_prefix(&SHA2_256_32)?)
}

/// The addresses at which a provider may be. While a query runs, Kademlia
/// keeps those that it has heard, and gives them to whoever dials; asked here,
/// because candidates are dialled after the query, too.
fn known_addresses(kad: &mut Kademlia, peer: PeerId) -> Vec<Multiaddr> {
    let nobody = ConnectionId::new_unchecked(0);
    let heard = kad.handle_pending_outbound_connection(nobody, Some(peer), &[], Endpoint::Dialer);
    let stored = kad.store_mut().addresses(&peer);
    let at_least = kad.store_mut().reach();
    let all = heard.into_iter().flatten().chain(stored);
    useful(all.map(|address| without_peer(address, peer)), at_least)
}

/// Whether as many servers of the routing table as may be are at one of these
/// IP addresses already: ids cost nothing, and whoever fills the table decides
/// who is asked. On this machine, and in a test network, all are at one.
fn is_crowded(kad: &mut Kademlia, addresses: &[Multiaddr]) -> bool {
    let far = |address: &&Multiaddr| reach(address) == Some(Reach::World);
    let origins: BTreeSet<Origin> = addresses.iter().filter(far).map(Origin::of).collect();
    if origins.is_empty() {
        return false;
    }
    let mut counts: BTreeMap<Origin, usize> = BTreeMap::new();
    for bucket in kad.kbuckets() {
        for entry in bucket.iter() {
            let at: BTreeSet<Origin> = entry.node.value.iter().map(Origin::of).collect();
            for origin in at.intersection(&origins) {
                *counts.entry(*origin).or_default() += 1;
            }
        }
    }
    counts.values().any(|count| *count >= MAX_ROUTED_PER_IP)
}

/// Adds addresses of a server to the routing table, where it keeps a few.
fn add_addresses(kad: &mut Kademlia, peer: PeerId, addresses: Vec<Multiaddr>) {
    let old = routed_addresses(kad, peer);
    for address in addresses.into_iter().filter(|address| !is_circuit(address)) {
        kad.add_address(&peer, address);
    }
    let excess = (routed_addresses(kad, peer).len()).saturating_sub(MAX_ADDRESSES_PER_PEER);
    for address in old.into_iter().take(excess) {
        kad.remove_address(&peer, &without_peer(address, peer));
    }
}

fn routed_addresses(kad: &mut Kademlia, peer: PeerId) -> Vec<Multiaddr> {
    let Some(bucket) = kad.kbucket(peer) else {
        return Vec::new();
    };
    let mut entries = bucket.iter();
    let entry = entries.find(|entry| *entry.node.key.preimage() == peer);
    entry.map_or_else(Vec::new, |entry| entry.node.value.iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of some thousand strangers at these addresses come into an
    /// empty table.
    fn places(address: impl Fn(usize) -> String) -> usize {
        let mut kad = kademlia(PeerId::random(), true);
        for n in 1..2_000 {
            let addresses = vec![address(n).parse().unwrap()];
            if !is_crowded(&mut kad, &addresses) {
                add_addresses(&mut kad, PeerId::random(), addresses);
            }
        }
        kad.kbuckets().map(|bucket| bucket.num_entries()).sum()
    }

    #[test]
    fn one_address_has_few_places_in_the_routing_table() {
        let one_address = |n| match n % 2 {
            0 => format!("/ip4/192.0.2.1/tcp/{n}"),
            _ => format!("/ip4/192.0.2.1/udp/{n}/quic-v1"),
        };
        assert_eq!(places(one_address), MAX_ROUTED_PER_IP);
        // Of IPv6 a household has a whole network.
        let one_network = |n| format!("/ip6/2001:db8::{n:x}/tcp/1");
        assert_eq!(places(one_network), MAX_ROUTED_PER_IP);
        // Others find room beside them, and one machine is a whole test network.
        let many = |n| format!("/ip4/198.51.{}.{}/tcp/1", n / 250, n % 250);
        assert!(places(many) > 2 * MAX_ROUTED_PER_IP);
        assert!(places(|n| format!("/ip4/127.0.0.1/tcp/{n}")) > 2 * MAX_ROUTED_PER_IP);
    }

    #[test]
    fn the_key_of_a_stream_is_the_multihash_of_its_id() {
        let log = LogId::of_manifest(b"x");
        let bytes = key(log).to_vec();
        assert_eq!(bytes.len(), 34);
        assert_eq!(bytes[2..], log.0);
        assert_eq!(log_of(&key(log)), Some(log));
        assert_eq!(log_of(&RecordKey::new(&log.0)), None);
    }

    #[test]
    fn an_address_that_others_reach_makes_a_server() {
        let is = |text: &str| is_reachable(&text.parse().unwrap());
        assert!(is("/ip4/192.0.2.1/tcp/1"));
        assert!(is("/dns/example.org/udp/1/quic-v1"));
        // A private network may be the whole world of its nodes.
        assert!(is("/ip4/10.0.0.1/tcp/1"));
        assert!(!is("/ip4/127.0.0.1/tcp/1"));
        let relay = PeerId::random();
        assert!(!is(&format!(
            "/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit"
        )));
    }
}
