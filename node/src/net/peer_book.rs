//! The peers that are known: what they say of themselves, who told of them, and
//! who of them is dialled or told to others next. It knows neither clock nor
//! network: the time and random numbers are given to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_protocols::id::LogId;
use headwater_protocols::time::Timestamp;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::addresses::{Reach, reach, useful};
use super::limits::{
    KNOWN_PEER_FOR, KNOWN_PEERS_PER_CONNECTION, LOST_LATELY, LOST_PEER_BACKOFF, MAX_DIAL_FAILURES,
    MAX_PEERS_PER_SOURCE, MAX_STREAMS_PER_KNOWN_PEER, MET_PEER_FOR, MIN_KNOWN_PEERS, PEER_BACKOFF,
    PEER_GROUPS_IN_BOOK, REFUSED_DIAL_REST, TOLD_AFTER_CLOSE, UNRELATED_TOLD,
};
use super::peer_record::SignedRecord;

/// A part of the address space that one party may well have to itself. Nodes on
/// one machine or in one private network have none: whoever can reach them
/// there is trusted that far.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// A /16 of IPv4.
    V4([u8; 2]),
    /// A /32 of IPv6.
    V6([u8; 4]),
    /// The last two labels of a name.
    Name(String),
}

/// A peer to dial, and where.
pub(super) type Candidate = (PeerId, Vec<Multiaddr>);

/// A peer that was connected, for the next time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MetPeer {
    /// What it said of itself.
    pub(super) record: Arc<SignedRecord>,
    /// When it was connected last.
    pub(super) met: Timestamp,
    /// From how far away it was reached.
    pub(super) reach: Reach,
    /// Streams that it was subscribed to.
    pub(super) streams: BTreeSet<LogId>,
}

/// Who asks for peers, and for which.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    /// Who asks.
    pub(super) asker: PeerId,
    /// From how far away: nearer addresses are of no use there.
    pub(super) reach: Reach,
    /// How many at most.
    pub(super) count: usize,
    /// Whether for certain streams.
    pub(super) for_streams: bool,
    /// Who is subscribed to those, by their places in the question.
    pub(super) subscribed: BTreeMap<PeerId, BTreeSet<usize>>,
}

/// The peers that are known, within fixed bounds.
#[derive(Debug)]
pub(super) struct PeerBook {
    local: PeerId,
    max: usize,
    max_per_group: usize,
    entries: BTreeMap<PeerId, Entry>,
    /// How many of them are in each group.
    groups: BTreeMap<Group, usize>,
    by_stream: BTreeMap<LogId, BTreeSet<PeerId>>,
}

#[derive(Debug)]
struct Entry {
    record: Arc<SignedRecord>,
    /// Those of its addresses that are of use.
    addresses: Vec<Multiaddr>,
    reach: Reach,
    groups: BTreeSet<Group>,
    /// Who told of it; nobody, if it was itself.
    source: Option<PeerId>,
    streams: BTreeSet<LogId>,
    heard: Timestamp,
    met: Option<Timestamp>,
    connected: bool,
    failures: u32,
    rests_until: Timestamp,
}

impl Entry {
    /// What goes first when there is no room: whom we never met, then those
    /// who were heard of or met the longest ago.
    fn worth(&self) -> (bool, Timestamp) {
        (self.met.is_some(), self.met.unwrap_or(self.heard))
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        let lifetime = match self.met {
            Some(_) => MET_PEER_FOR,
            None => KNOWN_PEER_FOR,
        };
        let last = self.met.map_or(self.heard, |met| met.max(self.heard));
        !self.connected && now.duration_since(last) > lifetime
    }

    fn can_be_dialled(&self, now: Timestamp) -> bool {
        !self.connected && self.rests_until <= now && !self.addresses.is_empty()
    }

    /// It was seen to be there, a short while ago at most.
    fn is_there(&self, now: Timestamp) -> bool {
        let lately = |met| now.duration_since(met) <= TOLD_AFTER_CLOSE;
        self.source.is_none() && (self.connected || self.met.is_some_and(lately))
    }
}

impl PeerBook {
    /// An empty one, of the node with this id and so many connections at most.
    pub(super) fn new(local: PeerId, max_connections: usize) -> Self {
        let max = max_connections.saturating_mul(KNOWN_PEERS_PER_CONNECTION);
        let max = max.max(MIN_KNOWN_PEERS);
        Self {
            local,
            max,
            max_per_group: max / PEER_GROUPS_IN_BOOK,
            entries: BTreeMap::new(),
            groups: BTreeMap::new(),
            by_stream: BTreeMap::new(),
        }
    }

    /// Takes a record, of a peer itself or from a `source`; addresses that do
    /// not reach `at_least` so far are of no use. Whether it told anything new.
    pub(super) fn hear(
        &mut self,
        record: Arc<SignedRecord>,
        source: Option<PeerId>,
        at_least: Reach,
        now: Timestamp,
    ) -> bool {
        let peer = record.peer;
        if peer == self.local {
            return false;
        }
        let Some(known) = self.entries.get_mut(&peer) else {
            return self.insert(record, source, at_least, now);
        };
        // The peer itself may sign twice a second.
        let is_newer = match source {
            None => record.seq >= known.record.seq,
            Some(_) => record.seq > known.record.seq,
        };
        if !is_newer {
            return false;
        }
        // Where a peer was met tells what its addresses are worth; of one that
        // was only heard of, the source that is farther away.
        let reach = match (source, known.source) {
            (None, _) => at_least,
            (Some(_), None) => known.reach,
            (Some(_), Some(_)) => known.reach.max(at_least),
        };
        let addresses = useful_of(&record, reach);
        let groups = groups(&addresses);
        let others = |group: &&Group| !known.groups.contains(group);
        let added: Vec<Group> = groups.iter().filter(others).cloned().collect();
        if !self.make_room_in(&added, source) {
            return false;
        }
        if let Some(known) = self.entries.get_mut(&peer) {
            let is_new = known.addresses != addresses;
            if source.is_none() {
                known.source = None;
            }
            count_less(&mut self.groups, &known.groups);
            count_more(&mut self.groups, &groups);
            (known.record, known.addresses, known.groups) = (record, addresses, groups);
            (known.reach, known.heard) = (reach, now);
            if is_new {
                (known.failures, known.rests_until) = (0, now);
            }
            return is_new;
        }
        false
    }

    fn insert(
        &mut self,
        record: Arc<SignedRecord>,
        source: Option<PeerId>,
        reach: Reach,
        now: Timestamp,
    ) -> bool {
        let peer = record.peer;
        let addresses = useful_of(&record, reach);
        // Nobody can do anything with it.
        if addresses.is_empty() {
            return false;
        }
        let groups = groups(&addresses);
        let wanted: Vec<Group> = groups.iter().cloned().collect();
        let has_room = self.make_room_of(source)
            && self.make_room_in(&wanted, source)
            && self.make_room(source);
        if !has_room {
            return false;
        }
        count_more(&mut self.groups, &groups);
        let entry = Entry {
            record,
            addresses,
            reach,
            groups,
            source,
            streams: BTreeSet::new(),
            heard: now,
            met: None,
            connected: false,
            failures: 0,
            rests_until: now,
        };
        self.entries.insert(peer, entry);
        true
    }

    /// Whatever a source tells, it has so many places only.
    fn make_room_of(&mut self, source: Option<PeerId>) -> bool {
        let Some(source) = source else { return true };
        let told = |entry: &Entry| entry.source == Some(source);
        let count = self.entries.values().filter(|entry| told(entry)).count();
        count < MAX_PEERS_PER_SOURCE || self.drop_least(told)
    }

    /// Whoever has a part of the address space has so many places only. What a
    /// peer says of itself goes before what is said of others.
    fn make_room_in(&mut self, groups: &[Group], source: Option<PeerId>) -> bool {
        for group in groups {
            let count = self.groups.get(group).copied().unwrap_or(0);
            let is_hearsay = |entry: &Entry| entry.groups.contains(group) && entry.source.is_some();
            if count >= self.max_per_group && (source.is_some() || !self.drop_least(is_hearsay)) {
                return false;
            }
        }
        true
    }

    fn make_room(&mut self, source: Option<PeerId>) -> bool {
        if self.entries.len() < self.max {
            return true;
        }
        // Hearsay never pushes out those whom we have met.
        self.drop_least(|entry| source.is_none() || entry.met.is_none())
    }

    fn drop_least(&mut self, may_go: impl Fn(&Entry) -> bool) -> bool {
        let least = (self.entries.iter())
            .filter(|(_, entry)| !entry.connected && may_go(entry))
            .min_by_key(|(_, entry)| entry.worth())
            .map(|(&peer, _)| peer);
        least.is_some_and(|peer| self.remove(&peer))
    }

    /// Forgets a peer; whether it was known.
    pub(super) fn remove(&mut self, peer: &PeerId) -> bool {
        let Some(entry) = self.entries.remove(peer) else {
            return false;
        };
        count_less(&mut self.groups, &entry.groups);
        for stream in entry.streams {
            self.forget_stream(peer, stream);
        }
        true
    }

    /// Notes that a known peer is subscribed to a stream.
    pub(super) fn subscribed(&mut self, peer: &PeerId, stream: LogId) {
        if let Some(entry) = self.entries.get_mut(peer)
            && (entry.streams.len() < MAX_STREAMS_PER_KNOWN_PEER)
            && entry.streams.insert(stream)
        {
            self.by_stream.entry(stream).or_default().insert(*peer);
        }
    }

    /// Notes that a peer is subscribed to no other streams than these, whatever
    /// others tell.
    pub(super) fn subscribed_to_no_others(&mut self, peer: &PeerId, streams: &BTreeSet<LogId>) {
        if let Some(entry) = self.entries.get_mut(peer) {
            let gone: Vec<LogId> = entry.streams.difference(streams).copied().collect();
            entry.streams.retain(|stream| streams.contains(stream));
            for stream in gone {
                self.forget_stream(peer, stream);
            }
        }
    }

    fn forget_stream(&mut self, peer: &PeerId, stream: LogId) {
        if let Some(peers) = self.by_stream.get_mut(&stream) {
            peers.remove(peer);
            if peers.is_empty() {
                self.by_stream.remove(&stream);
            }
        }
    }

    /// Notes that a peer is connected.
    pub(super) fn connected(&mut self, peer: &PeerId, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(peer) {
            entry.connected = true;
            entry.met = Some(now);
            entry.failures = 0;
            entry.rests_until = now;
        }
    }

    /// Notes that the last connection to a peer is closed.
    pub(super) fn closed(&mut self, peer: &PeerId, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(peer)
            && entry.connected
        {
            entry.connected = false;
            entry.met = Some(now);
            entry.rests_until = now + PEER_BACKOFF.first();
        }
    }

    /// Notes that a peer could not be reached. It rests for longer and longer;
    /// one that was lost a moment ago is likely to come back, and is tried more
    /// often than one that was only heard of.
    pub(super) fn dial_failed(&mut self, peer: &PeerId, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(peer).filter(|entry| !entry.connected) else {
            return;
        };
        entry.failures = entry.failures.saturating_add(1);
        if entry.met.is_none() && entry.failures >= MAX_DIAL_FAILURES {
            self.remove(peer);
            return;
        }
        let lately = entry
            .met
            .is_some_and(|met| now.duration_since(met) <= LOST_LATELY);
        let backoff = match lately {
            true => LOST_PEER_BACKOFF,
            false => PEER_BACKOFF,
        };
        entry.rests_until = now + backoff.pause(entry.failures);
    }

    /// Notes that we did not dial a peer, for reasons of our own, which say
    /// nothing about it.
    pub(super) fn not_dialled(&mut self, peer: &PeerId, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(peer) {
            entry.rests_until = entry.rests_until.max(now + REFUSED_DIAL_REST);
        }
    }

    /// Whom to dial for the sake of a stream: its publisher first, the others
    /// in any order, so that not all of its followers come to the same peer.
    pub(super) fn candidates(
        &self,
        stream: LogId,
        publisher: Option<PeerId>,
        now: Timestamp,
        random: &mut impl FnMut() -> u64,
    ) -> Vec<Candidate> {
        let known = self.by_stream.get(&stream).into_iter().flatten();
        let mut peers: Vec<PeerId> = known.copied().collect();
        shuffle(&mut peers, random);
        if let Some(publisher) = publisher {
            peers.retain(|&peer| peer != publisher);
            peers.insert(0, publisher);
        }
        let candidate = |peer| self.candidate(&peer, now);
        peers.into_iter().filter_map(candidate).collect()
    }

    /// Whom to dial when nobody is left: whom we have met first.
    pub(super) fn anybody(
        &self,
        now: Timestamp,
        random: &mut impl FnMut() -> u64,
    ) -> Vec<Candidate> {
        let mut peers: Vec<PeerId> = self.entries.keys().copied().collect();
        shuffle(&mut peers, random);
        let never_met = |peer: &PeerId| self.entries.get(peer).is_none_or(|e| e.met.is_none());
        peers.sort_by_key(never_met);
        let candidate = |peer| self.candidate(&peer, now);
        peers.into_iter().filter_map(candidate).collect()
    }

    fn candidate(&self, peer: &PeerId, now: Timestamp) -> Option<Candidate> {
        let entry = self.entries.get(peer)?;
        let dial = entry.can_be_dialled(now);
        dial.then(|| (*peer, entry.addresses.clone()))
    }

    /// Whom to tell a peer of that asks: those that are known at first hand and
    /// can be reached from where it is; subscribers of the streams asked for
    /// before others; not all from one part of the address space.
    pub(super) fn tell(
        &self,
        asking: &Asking,
        now: Timestamp,
        random: &mut impl FnMut() -> u64,
    ) -> Vec<(Arc<SignedRecord>, BTreeSet<usize>)> {
        let Asking { asker, .. } = asking;
        let reachable = |entry: &Entry| {
            let reaches = entry.addresses.iter().filter_map(reach);
            reaches.max().is_some_and(|reach| reach >= asking.reach)
        };
        let mut peers: Vec<PeerId> = (self.entries.iter())
            .filter(|(peer, entry)| *peer != asker && entry.is_there(now) && reachable(entry))
            .map(|(&peer, _)| peer)
            .collect();
        shuffle(&mut peers, random);
        let (mut wanted, mut others) = (Vec::new(), Vec::new());
        for peer in peers {
            let places = (asking.subscribed.get(&peer)).cloned().unwrap_or_default();
            match places.is_empty() {
                true => others.push((peer, places)),
                false => wanted.push((peer, places)),
            }
        }
        self.diversify(&mut wanted);
        self.diversify(&mut others);
        if asking.for_streams {
            others.truncate(UNRELATED_TOLD);
        }
        let told = wanted.into_iter().chain(others).take(asking.count);
        told.filter_map(|(peer, places)| Some((self.entries.get(&peer)?.record.clone(), places)))
            .collect()
    }

    /// Puts the first of every part of the address space before the second of
    /// any.
    fn diversify(&self, peers: &mut Vec<(PeerId, BTreeSet<usize>)>) {
        let mut seen: BTreeMap<&Group, usize> = BTreeMap::new();
        let mut ranked = Vec::new();
        for told in peers.drain(..) {
            let groups = self.entries.get(&told.0).map(|entry| &entry.groups);
            let mut rank = 0;
            for group in groups.into_iter().flatten() {
                let count = seen.entry(group).or_insert(0);
                rank = rank.max(*count);
                *count += 1;
            }
            ranked.push((rank, told));
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        peers.extend(ranked.into_iter().map(|(_, told)| told));
    }

    /// Forgets those of whom nothing was heard for long.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let stale = |(&peer, entry): (&PeerId, &Entry)| entry.is_stale(now).then_some(peer);
        let stale: Vec<PeerId> = self.entries.iter().filter_map(stale).collect();
        for peer in stale {
            self.remove(&peer);
        }
    }

    /// The peers that were connected, those of streams of ours first, then the
    /// latest.
    pub(super) fn met(&self, max: usize) -> Vec<MetPeer> {
        let mut met: Vec<(Timestamp, &Entry)> = (self.entries.values())
            .filter_map(|entry| Some((entry.met?, entry)))
            .collect();
        met.sort_by_key(|(met, entry)| std::cmp::Reverse((!entry.streams.is_empty(), *met)));
        met.truncate(max);
        met.into_iter()
            .map(|(met, entry)| MetPeer {
                record: entry.record.clone(),
                met,
                reach: entry.reach,
                streams: entry.streams.clone(),
            })
            .collect()
    }

    /// Takes a peer that was connected in an earlier life of the node.
    pub(super) fn remember(&mut self, met: MetPeer, now: Timestamp) {
        let peer = met.record.peer;
        // A clock that was set back must not keep it for ever.
        let at = met.met.min(now);
        if now.duration_since(at) > MET_PEER_FOR || !self.hear(met.record, None, met.reach, now) {
            return;
        }
        if let Some(entry) = self.entries.get_mut(&peer) {
            entry.met = Some(at);
        }
        for stream in met.streams {
            self.subscribed(&peer, stream);
        }
    }

    /// The addresses of a known peer that are of use.
    pub(super) fn addresses(&self, peer: &PeerId) -> &[Multiaddr] {
        (self.entries.get(peer)).map_or(&[], |entry| &entry.addresses)
    }

    /// The peers that are said to be subscribed to a stream.
    pub(super) fn of_stream(&self, stream: LogId) -> impl Iterator<Item = PeerId> + '_ {
        self.by_stream.get(&stream).into_iter().flatten().copied()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

fn useful_of(record: &SignedRecord, at_least: Reach) -> Vec<Multiaddr> {
    let bare = |address: &Multiaddr| {
        let mut address = address.clone();
        if address.iter().last() == Some(Protocol::P2p(record.peer)) {
            address.pop();
        }
        address
    };
    useful(record.addresses.iter().map(bare), at_least)
}

fn groups(addresses: &[Multiaddr]) -> BTreeSet<Group> {
    let group = |address: &Multiaddr| {
        if reach(address)? < Reach::World {
            return None;
        }
        match address.iter().next()? {
            Protocol::Ip4(ip) => {
                let [a, b, ..] = ip.octets();
                Some(Group::V4([a, b]))
            }
            Protocol::Ip6(ip) => {
                let [a, b, c, d, ..] = ip.octets();
                Some(Group::V6([a, b, c, d]))
            }
            Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => {
                let labels: Vec<&str> = name.rsplit('.').take(2).collect();
                Some(Group::Name(labels.join(".").to_ascii_lowercase()))
            }
            _ => None,
        }
    };
    addresses.iter().filter_map(group).collect()
}

fn count_more(counts: &mut BTreeMap<Group, usize>, groups: &BTreeSet<Group>) {
    for group in groups {
        *counts.entry(group.clone()).or_default() += 1;
    }
}

fn count_less(counts: &mut BTreeMap<Group, usize>, groups: &BTreeSet<Group>) {
    for group in groups {
        if let Some(count) = counts.get_mut(group) {
            *count -= 1;
            if *count == 0 {
                counts.remove(group);
            }
        }
    }
}

/// Fisher and Yates.
pub(super) fn shuffle<T>(items: &mut [T], random: &mut impl FnMut() -> u64) {
    for last in (1..items.len()).rev() {
        let count = u64::try_from(last + 1).unwrap_or(u64::MAX);
        let place = usize::try_from(random() % count).unwrap_or(0);
        items.swap(last, place);
    }
}

#[cfg(test)]
mod tests;
