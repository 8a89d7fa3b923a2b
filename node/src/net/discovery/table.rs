//! What is done with Kademlia itself: whom it asks, and the servers in its routing
//! table.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use libp2p::core::Endpoint;
use libp2p::kad::{self, BucketInserts, Mode};
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId, StreamProtocol, identify};

use super::super::addresses::{Reach, is_circuit, reach, useful, without_peer};
use super::super::limits::{
    KAD_BUCKET_SIZE, MAX_ADDRESSES_PER_PEER, MAX_KAD_MESSAGE_BYTES, MAX_ROUTED_PER_IP,
    PROVIDER_TTL, QUERY_TIMEOUT,
};
use super::super::origin::Origin;
use super::provider_store::ProviderStore;

/// Kademlia with our store.
pub(in crate::net) type Kademlia = kad::Behaviour<ProviderStore>;

/// A network of our own: what others keep in theirs is of no use to us.
pub(in crate::net) const PROTOCOL: StreamProtocol = StreamProtocol::new("/headwater/kad/2");

/// Kademlia for the node with this id. A server answers and is in the routing
/// tables of others; a client only asks.
pub(in crate::net) fn kademlia(local: PeerId, is_server: bool) -> Kademlia {
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

/// What is known of the routing table.
#[derive(Clone, Copy, Debug)]
pub(in crate::net) struct Table {
    /// Servers in it.
    pub(super) servers: usize,
    /// This node is a server itself.
    pub(super) serves: bool,
}

impl Table {
    /// It as it is now.
    pub(in crate::net) fn of(kad: &mut Kademlia) -> Self {
        Self {
            servers: kad.kbuckets().map(|bucket| bucket.num_entries()).sum(),
            serves: kad.mode() == Mode::Server,
        }
    }
}

/// Keeps Kademlia from looking around among nobody: it means to with every
/// address that we listen on, and every few minutes, and warns when it knows
/// no peer. It does so again by itself when one comes into its table.
pub(in crate::net) fn let_rest(kad: &mut Kademlia) {
    if kad.kbuckets().next().is_none() {
        // Without a peer this does nothing but end what was intended.
        let _ = kad.bootstrap();
    }
}

/// Answers others from now on, or does not any more. A place at a relay is
/// not enough: everybody would ask through the relay.
pub(in crate::net) fn serve(kad: &mut Kademlia, serves: bool) {
    let mode = if serves { Mode::Server } else { Mode::Client };
    if kad.mode() != mode {
        tracing::debug!(%mode, "Kademlia");
        kad.set_mode(Some(mode));
    }
}

/// Takes what a peer says of itself: a server is asked from now on. Whether it
/// was before.
pub(in crate::net) fn identified(kad: &mut Kademlia, peer: PeerId, info: &identify::Info) -> bool {
    let addresses = (kad.store_mut()).identified(peer, info.listen_addrs.iter().cloned());
    if !info.protocols.contains(&PROTOCOL) {
        kad.remove_peer(&peer);
        return false;
    }
    let was_known = !routed_addresses(kad, peer).is_empty();
    if was_known || !is_crowded(kad, &addresses) {
        add_addresses(kad, peer, addresses);
    }
    was_known
}

/// Asks a server from now on that we dialled ourselves, perhaps at an address
/// that it does not know of.
pub(in crate::net) fn routable(kad: &mut Kademlia, peer: PeerId, address: Multiaddr) {
    let addresses = vec![address];
    if !is_crowded(kad, &addresses) {
        add_addresses(kad, peer, addresses);
    }
}

/// The addresses at which a provider may be. While a query runs, Kademlia
/// keeps those that it has heard, and gives them to whoever dials; asked here,
/// because candidates are dialled after the query, too.
pub(in crate::net) fn known_addresses(kad: &mut Kademlia, peer: PeerId) -> Vec<Multiaddr> {
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
}
