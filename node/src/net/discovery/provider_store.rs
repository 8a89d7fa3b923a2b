//! Who provides which stream, as told by the providers themselves. It takes
//! provider entries only; when it is full, those go of which one IP address has
//! most.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::time::Instant;

use headwater_protocols::id::LogId;
use libp2p::kad::store::{Error, RecordStore, Result};
use libp2p::kad::{ProviderRecord, Record, RecordKey};
use libp2p::{Multiaddr, PeerId};

use super::super::addresses::{Reach, reach, useful};
use super::super::limits::{
    MAX_KEYS_PER_PROVIDER, MAX_PROVIDER_ADDRESS_BYTES, MAX_PROVIDER_ENTRIES, MAX_PROVIDERS_PER_KEY,
};
use super::super::origin::Origin;
use super::key::log_of;
use super::shares::{Shares, first_to_go, in_turn};

/// Provider entries in memory, within fixed bounds.
///
/// A provider's addresses are kept once for all of its streams: those that it
/// told with an entry, and those that it told by identify. (libp2p sends only
/// confirmed external addresses with an entry, which a node in a private
/// network never has.)
#[derive(Debug)]
pub(crate) struct ProviderStore {
    local: PeerId,
    bounds: Bounds,
    /// What this node provides. Never pushed out by others.
    provided: BTreeSet<LogId>,
    entries: BTreeMap<LogId, BTreeMap<PeerId, Entry>>,
    /// The entries by age, the oldest first; a refreshed one is young again.
    by_age: BTreeMap<u64, (LogId, PeerId)>,
    shares: Shares,
    providers: BTreeMap<PeerId, Provider>,
    address_bytes: usize,
    /// Peers that are connected; the swarm's limit bounds them.
    connected: BTreeMap<PeerId, Contact>,
    next_age: u64,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    entries: usize,
    providers_per_key: usize,
    keys_per_provider: usize,
    address_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    age: u64,
    /// From where it was told.
    origin: Origin,
    expires: Option<Instant>,
}

#[derive(Debug, Default)]
struct Provider {
    /// The ages of its entries.
    ages: BTreeSet<u64>,
    addresses: Vec<Multiaddr>,
}

#[derive(Debug)]
struct Contact {
    reach: Reach,
    origin: Origin,
    identified: Vec<Multiaddr>,
}

impl Entry {
    fn share(&self) -> (Origin, u64) {
        (self.origin, self.age)
    }
}

impl ProviderStore {
    /// An empty store of the node with this id.
    pub(super) fn new(local: PeerId) -> Self {
        let bounds = Bounds {
            entries: MAX_PROVIDER_ENTRIES,
            providers_per_key: MAX_PROVIDERS_PER_KEY,
            keys_per_provider: MAX_KEYS_PER_PROVIDER,
            address_bytes: MAX_PROVIDER_ADDRESS_BYTES,
        };
        Self::with_bounds(local, bounds)
    }

    fn with_bounds(local: PeerId, bounds: Bounds) -> Self {
        Self {
            local,
            bounds,
            provided: BTreeSet::new(),
            entries: BTreeMap::new(),
            by_age: BTreeMap::new(),
            shares: Shares::default(),
            providers: BTreeMap::new(),
            address_bytes: 0,
            connected: BTreeMap::new(),
            next_age: 0,
        }
    }

    /// Notes that a peer is connected, and from where: it may name addresses
    /// that reach at least as far, and takes its place among those of its
    /// `origin`. Whether it is its first connection.
    pub(in crate::net) fn connected(
        &mut self,
        peer: PeerId,
        remote: &Multiaddr,
        origin: Origin,
    ) -> bool {
        let is_new = !self.connected.contains_key(&peer);
        let reach = reach(remote).unwrap_or(Reach::World);
        let contact = self.connected.entry(peer).or_insert(Contact {
            reach,
            origin,
            identified: Vec::new(),
        });
        contact.reach = contact.reach.min(reach);
        // A relay does not tell where a peer is; a direct connection does.
        if let Origin::Relay(_) | Origin::Unknown = contact.origin {
            contact.origin = origin;
        }
        is_new
    }

    /// Notes that the last connection to a peer is closed. Its entries stay.
    pub(in crate::net) fn closed(&mut self, peer: &PeerId) {
        self.connected.remove(peer);
    }

    /// Notes what addresses a connected peer names by identify; those that are
    /// of use come back.
    pub(super) fn identified(
        &mut self,
        peer: PeerId,
        addresses: impl IntoIterator<Item = Multiaddr>,
    ) -> Vec<Multiaddr> {
        let Some(contact) = self.connected.get_mut(&peer) else {
            return Vec::new();
        };
        contact.identified = useful(addresses, contact.reach);
        let identified = contact.identified.clone();
        if self.providers.contains_key(&peer) {
            self.set_addresses(peer, identified.clone());
            self.shrink();
        }
        identified
    }

    /// The shortest reach among the connected peers: what they tell of others
    /// is of use from there on.
    pub(super) fn reach(&self) -> Reach {
        let reaches = self.connected.values().map(|contact| contact.reach);
        reaches.min().unwrap_or(Reach::World)
    }

    /// The known addresses of a provider.
    pub(super) fn addresses(&self, provider: &PeerId) -> Vec<Multiaddr> {
        let provider = self.providers.get(provider);
        provider.map_or_else(Vec::new, |provider| provider.addresses.clone())
    }

    fn add(&mut self, log: LogId, record: ProviderRecord) {
        let peer = record.provider;
        self.remove(log, &peer);
        let origin = (self.connected.get(&peer)).map_or(Origin::Unknown, |contact| contact.origin);
        self.make_room(log, &peer, origin);
        let age = self.next_age;
        self.next_age += 1;
        let expires = record.expires;
        let entry = Entry {
            age,
            origin,
            expires,
        };
        self.entries.entry(log).or_default().insert(peer, entry);
        self.by_age.insert(age, (log, peer));
        self.shares.insert(origin, age);
        (self.providers.entry(peer).or_default()).ages.insert(age);
        let contact = self.connected.get(&peer);
        let at_least = contact.map_or(Reach::World, |contact| contact.reach);
        let identified = contact.map_or(&[][..], |contact| &contact.identified);
        let told = record.addresses.into_iter();
        let addresses = useful(told.chain(identified.iter().cloned()), at_least);
        if !addresses.is_empty() {
            self.set_addresses(peer, addresses);
        }
        self.shrink();
    }

    fn make_room(&mut self, log: LogId, peer: &PeerId, origin: Origin) {
        if let Some(provider) = self.providers.get(peer)
            && provider.ages.len() >= self.bounds.keys_per_provider
            && let Some(&age) = provider.ages.first()
        {
            self.remove_age(age);
        }
        if let Some(providers) = self.entries.get(&log)
            && providers.len() >= self.bounds.providers_per_key
            && let Some(age) = first_to_go(providers.values().map(Entry::share), origin)
        {
            self.remove_age(age);
        }
    }

    /// Lets entries go until everything is within its bounds: of the IP address
    /// that has most, the oldest. (All entries live equally long, so those that
    /// expire next are the oldest.)
    fn shrink(&mut self) {
        while self.by_age.len() > self.bounds.entries
            || self.address_bytes > self.bounds.address_bytes
        {
            let Some(age) = self.shares.first_to_go() else {
                return;
            };
            self.remove_age(age);
        }
    }

    fn set_addresses(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        if let Some(provider) = self.providers.get_mut(&peer) {
            self.address_bytes -= length(&provider.addresses);
            self.address_bytes += length(&addresses);
            provider.addresses = addresses;
        }
    }

    fn remove_age(&mut self, age: u64) {
        if let Some((log, peer)) = self.by_age.get(&age).copied() {
            self.remove(log, &peer);
        }
    }

    fn remove(&mut self, log: LogId, peer: &PeerId) {
        let Some(providers) = self.entries.get_mut(&log) else {
            return;
        };
        let Some(entry) = providers.remove(peer) else {
            return;
        };
        if providers.is_empty() {
            self.entries.remove(&log);
        }
        self.by_age.remove(&entry.age);
        self.shares.remove(entry.origin, entry.age);
        if let Some(provider) = self.providers.get_mut(peer) {
            provider.ages.remove(&entry.age);
            if provider.ages.is_empty() {
                self.address_bytes -= length(&provider.addresses);
                self.providers.remove(peer);
            }
        }
    }
}

impl RecordStore for ProviderStore {
    type RecordsIter<'a> = iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = iter::Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, _: &RecordKey) -> Option<Cow<'_, Record>> {
        None
    }

    /// Values are refused: everything a node wants to know of a stream is
    /// signed, and comes from those who have it.
    fn put(&mut self, _: Record) -> Result<()> {
        Err(Error::ValueTooLarge)
    }

    fn remove(&mut self, _: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        iter::empty()
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        // What is no stream's id is nobody's business here.
        let log = log_of(&record.key).ok_or(Error::MaxProvidedKeys)?;
        if record.provider == self.local {
            self.provided.insert(log);
        } else {
            self.add(log, record);
        }
        Ok(())
    }

    /// The youngest first: a reply carries only some of them, and who has just
    /// told that it is there is the likeliest to be. But each IP address has its
    /// turn.
    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        let Some(log) = log_of(key) else {
            return Vec::new();
        };
        let others = self.entries.get(&log).into_iter().flatten();
        let others = in_turn(others.collect(), |(_, entry)| entry.share());
        let own = self.provided.contains(&log).then(|| ProviderRecord {
            key: key.clone(),
            provider: self.local,
            expires: None,
            addresses: Vec::new(),
        });
        let others = others.into_iter().map(|(&provider, entry)| ProviderRecord {
            key: key.clone(),
            provider,
            expires: entry.expires,
            addresses: self.addresses(&provider),
        });
        own.into_iter().chain(others).collect()
    }

    /// None: the agenda says again what this node provides, a few at a time.
    fn provided(&self) -> Self::ProvidedIter<'_> {
        iter::empty()
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        let Some(log) = log_of(key) else {
            return;
        };
        if *provider == self.local {
            self.provided.remove(&log);
        } else {
            self.remove(log, provider);
        }
    }
}

fn length(addresses: &[Multiaddr]) -> usize {
    addresses.iter().map(Multiaddr::len).sum()
}

#[cfg(test)]
mod tests {
    use libp2p::multiaddr::Protocol;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        entries: 6,
        providers_per_key: 3,
        keys_per_provider: 4,
        address_bytes: 100,
    };

    fn store() -> ProviderStore {
        ProviderStore::with_bounds(PeerId::random(), BOUNDS)
    }

    fn key(number: u8) -> RecordKey {
        super::super::key::key(LogId([number; 32]))
    }

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()
    }

    fn add(store: &mut ProviderStore, number: u8, provider: PeerId) {
        let record = ProviderRecord::new(key(number), provider, vec![address(1)]);
        store.add_provider(record).unwrap();
    }

    fn providers(store: &ProviderStore, number: u8) -> Vec<PeerId> {
        let records = store.providers(&key(number)).into_iter();
        records.map(|record| record.provider).collect()
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_oldest_provider() {
        let mut store = store();
        let peers: Vec<_> = (0..4).map(|_| PeerId::random()).collect();
        for &peer in &peers[..3] {
            add(&mut store, 1, peer);
        }
        // Who has just said it again is not the oldest.
        add(&mut store, 1, peers[0]);
        add(&mut store, 1, peers[3]);
        assert_eq!(providers(&store, 1), [peers[3], peers[0], peers[2]]);
        assert_eq!(store.by_age.len(), 3);
    }

    #[test]
    fn one_provider_cannot_fill_the_store() {
        let mut store = store();
        let (honest, flooder) = (PeerId::random(), PeerId::random());
        add(&mut store, 0, honest);
        for number in 1..100 {
            add(&mut store, number, flooder);
        }
        assert_eq!(providers(&store, 0), [honest]);
        assert_eq!(store.by_age.len(), 1 + BOUNDS.keys_per_provider);
        assert_eq!(providers(&store, 99), [flooder]);
        assert_eq!(providers(&store, 95), []);
    }

    fn connected(store: &mut ProviderStore, host: u8) -> PeerId {
        let peer = PeerId::random();
        let remote = format!("/ip4/192.0.2.{host}/tcp/1").parse().unwrap();
        store.connected(peer, &remote, Origin::of(&remote));
        peer
    }

    #[test]
    fn those_behind_one_relay_push_out_nobody_at_another_place() {
        let mut store = store();
        let honest = connected(&mut store, 1);
        add(&mut store, 0, honest);
        let behind = Origin::Relay(PeerId::random());
        for number in 0..100 {
            let flooder = PeerId::random();
            let remote = Multiaddr::empty().with(Protocol::P2p(flooder));
            store.connected(flooder, &remote, behind);
            add(&mut store, number % 10, flooder);
        }
        assert!(providers(&store, 0).contains(&honest));
        assert!(
            store
                .entries
                .values()
                .flat_map(BTreeMap::values)
                .all(|entry| entry.origin == behind
                    || entry.origin == store.connected[&honest].origin)
        );
    }

    #[test]
    fn who_is_connected_directly_at_last_is_not_counted_with_its_relay() {
        let mut store = store();
        let peer = PeerId::random();
        let relayed = Multiaddr::empty().with(Protocol::P2p(peer));
        assert!(store.connected(peer, &relayed, Origin::Relay(PeerId::random())));
        assert!(!store.connected(peer, &address(1), Origin::of(&address(1))));
        assert_eq!(store.connected[&peer].origin, Origin::of(&address(1)));
        // Another circuit makes no difference.
        store.connected(peer, &relayed, Origin::Relay(PeerId::random()));
        assert_eq!(store.connected[&peer].origin, Origin::of(&address(1)));
    }

    #[test]
    fn a_thousand_identities_of_one_address_push_out_nobody_else() {
        let mut store = store();
        let honest = [1, 2].map(|host| connected(&mut store, host));
        add(&mut store, 0, honest[0]);
        add(&mut store, 1, honest[1]);
        for number in 0..1_000 {
            let flooder = connected(&mut store, 99);
            // The keys of the honest ones, and others.
            add(&mut store, u8::try_from(number % 10).unwrap(), flooder);
            store.closed(&flooder);
        }
        // They are told, and not only kept.
        assert!(
            providers(&store, 0)
                .iter()
                .take(2)
                .any(|peer| *peer == honest[0])
        );
        assert!(
            providers(&store, 1)
                .iter()
                .take(2)
                .any(|peer| *peer == honest[1])
        );
        assert_eq!(store.by_age.len(), BOUNDS.entries);
    }

    #[test]
    fn nodes_of_one_address_have_the_store_for_themselves_when_nobody_else_is_there() {
        let mut store = store();
        let peers: Vec<_> = (0..3).map(|_| connected(&mut store, 1)).collect();
        for &peer in &peers {
            add(&mut store, 1, peer);
        }
        assert_eq!(providers(&store, 1).len(), 3);
    }

    #[test]
    fn many_providers_stay_within_all_bounds() {
        let mut store = store();
        for number in 0..200 {
            add(&mut store, number % 50, PeerId::random());
        }
        assert!(store.by_age.len() <= BOUNDS.entries);
        assert!(store.address_bytes <= BOUNDS.address_bytes);
        assert_eq!(store.by_age.len(), store.providers.len());
        while let Some((&age, _)) = store.by_age.first_key_value() {
            store.remove_age(age);
        }
        assert_eq!(store.address_bytes, 0);
        assert!(store.entries.is_empty() && store.providers.is_empty());
    }

    #[test]
    fn a_provider_without_addresses_is_known_by_those_of_identify() {
        let mut store = store();
        let peer = PeerId::random();
        store.connected(peer, &address(9), Origin::of(&address(9)));
        let record = ProviderRecord::new(key(1), peer, Vec::new());
        store.add_provider(record.clone()).unwrap();
        assert!(store.addresses(&peer).is_empty());
        let loopback: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        assert_eq!(store.identified(peer, [loopback, address(2)]), [address(2)]);
        assert_eq!(store.providers(&key(1))[0].addresses, [address(2)]);
        // The connection ends, the entry stays, and its addresses with it.
        store.closed(&peer);
        assert_eq!(store.providers(&key(1))[0].addresses, [address(2)]);
    }

    #[test]
    fn values_and_foreign_keys_are_refused() {
        let mut store = store();
        assert!(store.put(Record::new(key(1), vec![1])).is_err());
        assert!(store.get(&key(1)).is_none());
        let short = RecordKey::new(&[1; 32]);
        let record = ProviderRecord::new(short, PeerId::random(), Vec::new());
        assert!(store.add_provider(record).is_err());
    }

    #[test]
    fn what_this_node_provides_is_not_pushed_out() {
        let mut store = store();
        let local = store.local;
        add(&mut store, 1, local);
        for _ in 0..100 {
            add(&mut store, 1, PeerId::random());
        }
        assert_eq!(providers(&store, 1)[0], local);
        store.remove_provider(&key(1), &local);
        assert!(!providers(&store, 1).contains(&local));
    }
}
