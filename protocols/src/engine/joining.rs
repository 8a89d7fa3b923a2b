//! Finding those who have a stream on its meta topic: what we say there, what
//! we answer, what we pass on, and whom we connect to in the end.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use libp2p_identity::PeerId;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::log_state::LogState;
use super::{Engine, Output, Settings, Verdict};
use crate::bucket::Bucket;
use crate::head::UnverifiedHead;
use crate::id::{LogId, Topic};
use crate::limits::{
    ACCEPTED_OFFERS, DIAL_BACK_US, FIRST_JOIN_PAUSE_US, JOIN_EVERY_US, LISTENER_PAUSE_US,
    MAX_ADDRESS_BYTES, MAX_INTRODUCED_PER_PEER, MAX_INTRODUCED_STREAMS, MAX_MEETINGS,
    MAX_OFFERED_SERVERS, MAX_OFFERS_PER_JOIN, MAX_PEER_RECORD_BYTES, OFFER_BURST, OFFER_EVERY_US,
    RENDEZVOUS_AFTER_US,
};
use crate::manifest::UnverifiedManifest;
use crate::meta::allowance::{Allowances, Said};
use crate::meta::joiner::{Joiner, ReceivedOffer, Step};
use crate::meta::listener::{HeardJoin, Listener, MadeOffer, answer_delay_us, chance_per_mille};
use crate::meta::{Accept, AcceptContent, Join, Offer, OfferContent, Server, summary};
use crate::ranges::IntervalSet;
use crate::rendezvous::key_hash;
use crate::sealed::{OpeningKey, SealingKey};
use crate::store::Store;
use crate::time::Timestamp;
use crate::wire::{WireError, v1};

/// What the engine knows of joins, ours and others'.
#[derive(Debug)]
pub(super) struct Joining {
    local: PeerId,
    rng: ChaCha20Rng,
    offer_percent: u32,
    introduces: bool,
    /// Our signed peer record; empty until it is known.
    record: Bytes,
    servers: Vec<Server>,
    allowances: Allowances,
    listener: Listener,
    joiner: Joiner,
    /// When the next stream may say its first join.
    next_join: Timestamp,
    offers: Bucket,
    meetings: BTreeMap<PeerId, Meeting>,
    /// Peers that are subscribed to each meta topic.
    audience: BTreeMap<LogId, usize>,
    /// Streams that are not followed, and whose meta topic is passed on.
    introduced: BTreeSet<LogId>,
}

/// A peer that is to be connected after an acceptance.
#[derive(Debug)]
struct Meeting {
    log: LogId,
    record: Bytes,
    dial_at: Option<Timestamp>,
    meet_at: Timestamp,
    place: Option<(Server, [u8; 32])>,
}

impl Meeting {
    fn next_due(&self) -> Timestamp {
        self.dial_at.unwrap_or(self.meet_at)
    }
}

impl Joining {
    pub(super) fn new(local: PeerId, settings: &Settings) -> Self {
        Self {
            local,
            rng: ChaCha20Rng::from_seed(settings.seed),
            offer_percent: settings.offer_percent,
            introduces: settings.introduces,
            record: Bytes::new(),
            servers: Vec::new(),
            allowances: Allowances::default(),
            listener: Listener::default(),
            joiner: Joiner::default(),
            next_join: Timestamp(i64::MIN),
            offers: Bucket::default(),
            meetings: BTreeMap::new(),
            audience: BTreeMap::new(),
            introduced: BTreeSet::new(),
        }
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let meetings = self.meetings.values().map(Meeting::next_due);
        let searches = self.joiner.next_due().into_iter();
        meetings
            .chain(searches)
            .chain(self.listener.next_due())
            .min()
    }

    /// See [`Joiner::forget`].
    pub(super) fn forget(&mut self, log: LogId) {
        self.joiner.forget(log);
    }

    /// See [`Joiner::refused`].
    pub(super) fn refused(&mut self, log: LogId, peer: PeerId, now: Timestamp) {
        self.joiner.refused(log, peer, now);
    }

    /// See [`Joiner::shows`].
    pub(super) fn shows(&mut self, log: LogId, peer: PeerId, size: u64, held: &IntervalSet) {
        self.joiner.shows(log, peer, size, held);
    }

    /// A random number.
    pub(super) fn dice(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Puts things into a random order (Fisher and Yates).
    pub(super) fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            let place = self.dice() % (last as u64 + 1);
            things.swap(last, place as usize);
        }
    }

    fn random_bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn audience(&self, log: LogId) -> usize {
        self.audience.get(&log).copied().unwrap_or(0)
    }

    /// A time for the first join of a stream, apart from those of others.
    fn join_slot(&mut self, earliest: Timestamp) -> Timestamp {
        let at = self.next_join.max(earliest);
        self.next_join = at.plus(JOIN_EVERY_US);
        at
    }

    /// Where both can register: a server that both are connected to, else one
    /// that either is.
    fn common_server(&self, theirs: &[Server]) -> Option<Server> {
        let is_ours = |server: &&Server| self.servers.iter().any(|own| own.peer == server.peer);
        let common = theirs.iter().find(is_ours);
        common.or(self.servers.first()).or(theirs.first()).cloned()
    }

    /// Lets a peer be connected to; beyond the limit of meetings a new one is
    /// left to chance.
    fn meet(&mut self, peer: PeerId, meeting: Meeting) {
        if self.meetings.len() < MAX_MEETINGS || self.meetings.contains_key(&peer) {
            self.meetings.insert(peer, meeting);
        }
    }
}

impl<S: Store> Engine<S> {
    /// Whether a peer has broken an offer lately: it showed nothing of what it
    /// had offered when it was accepted.
    #[must_use]
    pub fn breaks_offers(&self, peer: &PeerId, now: Timestamp) -> bool {
        self.joining.joiner.breaks_offers(peer, now)
    }

    pub(super) fn reachable(&mut self, record: Bytes, servers: Vec<Server>, now: Timestamp) {
        if record.len() > MAX_PEER_RECORD_BYTES {
            return;
        }
        let was_unknown = self.joining.record.is_empty();
        let usable = |server: &Server| server.address.len() <= MAX_ADDRESS_BYTES;
        let usable = servers.into_iter().filter(usable);
        self.joining.servers = usable.take(MAX_OFFERED_SERVERS).collect();
        self.joining.record = record;
        if was_unknown {
            for log in self.logs.keys().collect::<Vec<_>>() {
                self.search_if_lacking(log, now);
            }
        }
    }

    /// Begins to search for those who have what a log lacks, or ends it.
    pub(super) fn search_if_lacking(&mut self, log: LogId, now: Timestamp) {
        let lacks = self.logs.get(&log).is_some_and(LogState::lacks_source);
        let joining = &mut self.joining;
        let searches = joining.joiner.is_searching(log);
        if lacks && !searches && !joining.record.is_empty() {
            let at = joining.join_slot(now.plus(FIRST_JOIN_PAUSE_US));
            joining.joiner.begin(log, at);
        } else if !lacks && searches {
            joining.joiner.end(log);
        }
    }

    /// A peer subscribed to a meta topic.
    pub(super) fn listens(&mut self, peer: PeerId, log: LogId, now: Timestamp) {
        let is_known = self.logs.contains_key(&log);
        let joining = &mut self.joining;
        if !is_known {
            let is_new = !joining.audience.contains_key(&log);
            let listens = self.peers.get(&peer).map_or(0, |peer| peer.listens.len());
            let full = is_new && joining.audience.len() >= 4 * MAX_INTRODUCED_STREAMS;
            if !joining.introduces || listens >= MAX_INTRODUCED_PER_PEER || full {
                return;
            }
        }
        if !self.peers.entry(peer).or_default().listens.insert(log) {
            return;
        }
        let audience = joining.audience.entry(log).or_default();
        *audience += 1;
        let several = *audience >= 2;
        if is_known {
            if joining.joiner.is_waiting(log) {
                let at = joining.join_slot(now.plus(LISTENER_PAUSE_US));
                joining.joiner.somebody_listens(log, at);
            }
        } else if several
            && joining.introduced.len() < MAX_INTRODUCED_STREAMS
            && joining.introduced.insert(log)
        {
            let topic = Topic::Meta(log);
            self.outputs.push_back(Output::Subscribe(topic));
        }
    }

    /// A peer is not subscribed to these meta topics any more.
    pub(super) fn stopped_listening(&mut self, logs: impl IntoIterator<Item = LogId>) {
        for log in logs {
            let Some(audience) = self.joining.audience.get_mut(&log) else {
                continue;
            };
            *audience -= 1;
            let few = *audience < 2;
            if *audience == 0 {
                self.joining.audience.remove(&log);
            }
            let is_followed = self.logs.get(&log).is_some_and(LogState::is_followed);
            if few && self.joining.introduced.remove(&log) && !is_followed {
                let topic = Topic::Meta(log);
                self.outputs.push_back(Output::Unsubscribe(topic));
            }
        }
    }

    /// Whether what is said about a log on its meta topic is of interest here.
    fn hears_of(&self, log: LogId) -> bool {
        let follows = self.logs.get(&log).is_some_and(LogState::is_followed);
        follows || self.joining.introduced.contains(&log)
    }

    /// Does what is due: joins, offers, acceptances, dials.
    pub(super) fn joining_is_due(&mut self, now: Timestamp) {
        while let Some(heard) = self.joining.listener.take_due(now) {
            self.make_offer(&heard, now);
        }
        loop {
            let Joining { joiner, rng, .. } = &mut self.joining;
            let logs = &self.logs;
            let publisher = |log| logs.get(&log)?.publisher();
            match joiner.take_due(now, publisher, || rng.next_u64()) {
                Some((log, Step::Ask { attempt })) => self.say_join(log, attempt, now),
                Some((log, Step::Accept(key, offers))) => {
                    for offer in offers {
                        self.accept(log, key, &offer, now);
                    }
                }
                None => break,
            }
        }
        // Their authors come last from now on.
        while self.joining.joiner.take_broken(now).is_some() {}
        self.go_to_meetings(now);
    }

    fn say_join(&mut self, log: LogId, attempt: u32, now: Timestamp) {
        let joining = &mut self.joining;
        let Some(state) = self.logs.get(&log).filter(|_| joining.audience(log) > 0) else {
            return joining.joiner.wait_for_listeners(log);
        };
        let key = OpeningKey::from_random(joining.random_bytes());
        // Where nothing of what is here counts, all of another tree is lacked.
        let size = if state.is_unsure() { 0 } else { state.size() };
        let join = Join {
            key: key.public(),
            size,
            held: summary(&state.counted()),
            wish: None,
            attempt,
            lacks_manifest: state.manifest().is_none(),
        };
        joining.joiner.asked(log, key, now);
        let topic = Topic::Meta(log);
        self.outputs
            .push_back(Output::Publish(topic, join.encode()));
    }

    /// Whether an author may say this on a stream's meta topic now; if so, it is
    /// counted.
    pub(super) fn may_say(
        &mut self,
        log: LogId,
        said: Said,
        author: PeerId,
        now: Timestamp,
    ) -> bool {
        author != self.joining.local && self.joining.allowances.take(log, said, author, now)
    }

    /// Judges a join, and decides whether to answer it.
    pub(super) fn join_heard(
        &mut self,
        author: PeerId,
        log: LogId,
        wire: &v1::Join,
        now: Timestamp,
    ) -> Result<Verdict, WireError> {
        let join = Join::from_wire(wire)?;
        let hears = self.hears_of(log) && author != self.joining.local;
        let joining = &mut self.joining;
        if !hears || !joining.allowances.take(log, Said::Join, author, now) {
            return Ok(Verdict::Ignore);
        }
        let key = join.key;
        let (attempt, audience) = (join.attempt, joining.audience(log));
        let can_serve = self
            .logs
            .get(&log)
            .is_some_and(|state| serves(state, &join));
        if !joining.listener.heard_join(log, author, join, now) {
            return Ok(Verdict::Ignore);
        }
        let chance = chance_per_mille(joining.offer_percent, attempt, audience);
        if can_serve && !joining.record.is_empty() && joining.rng.next_u64() % 1_000 < chance {
            let delay = answer_delay_us(joining.rng.next_u64());
            joining.listener.answer_at(key, now.plus(delay));
        }
        Ok(Verdict::Accept)
    }

    /// Answers a join, unless others have, or too many wait for answers.
    fn make_offer(&mut self, heard: &HeardJoin, now: Timestamp) {
        let log = heard.log;
        let state = self.logs.get(&log);
        let state = state.filter(|state| serves(state, &heard.join) && !heard.is_served());
        let Some((state, head)) = state.and_then(|state| Some((state, state.head_for_others()?)))
        else {
            return;
        };
        let joining = &mut self.joining;
        if !joining.offers.take((OFFER_EVERY_US, OFFER_BURST), now) {
            return;
        }
        let key = OpeningKey::from_random(joining.random_bytes());
        let rendezvous_key = joining.random_bytes();
        let manifest = state.manifest().filter(|_| heard.join.lacks_manifest);
        let content = OfferContent {
            manifest: manifest.map(|manifest| UnverifiedManifest::from(manifest.to_wire())),
            head: UnverifiedHead(head.to_wire()),
            held: summary(&state.counted()),
            record: joining.record.clone(),
            key: key.public(),
            rendezvous_key,
            servers: joining.servers.clone(),
        };
        let random = joining.random_bytes();
        let sealed = content.seal(log, joining.local, heard.join.key, random);
        let made = MadeOffer {
            log,
            joiner: heard.joiner,
            key,
            rendezvous_key,
        };
        if let Some(data) = sealed
            && joining.listener.made(made, now)
        {
            let (local, to) = (joining.local, heard.join.key);
            joining.listener.heard_offer(log, local, to);
            let topic = Topic::Meta(log);
            self.outputs.push_back(Output::Publish(topic, data));
        }
    }

    /// Judges an offer, and keeps it if it is for us.
    pub(super) fn offer_heard(
        &mut self,
        author: PeerId,
        log: LogId,
        wire: v1::Offer,
        now: Timestamp,
    ) -> Result<Verdict, WireError> {
        let offer = Offer::from_wire(wire)?;
        let hears = self.hears_of(log) && author != self.joining.local;
        let joining = &mut self.joining;
        if !hears || !joining.allowances.take(log, Said::Offer, author, now) {
            return Ok(Verdict::Ignore);
        }
        if let Some(key) = joining.joiner.key(log, offer.to).cloned() {
            if !joining.joiner.may_offer(log, author, MAX_OFFERS_PER_JOIN) {
                return Ok(Verdict::Ignore);
            }
            if let Some(content) = OfferContent::open(log, author, &key, &offer.sealed) {
                self.offered(author, log, content, now);
            }
            // Other listeners hear that there is one more.
            return Ok(Verdict::Accept);
        }
        let is_new = joining.listener.heard_offer(log, author, offer.to);
        Ok(if is_new {
            Verdict::Accept
        } else {
            Verdict::Ignore
        })
    }

    /// Keeps an offer to us if it is true as far as can be told, and of use.
    fn offered(&mut self, author: PeerId, log: LogId, content: OfferContent, now: Timestamp) {
        if let Some(manifest) = content.manifest
            && let Ok(manifest) = manifest.verify(Some(log))
        {
            self.keep_manifest(log, manifest, now);
            self.take_early(log, now);
        }
        let Ok(Some(head)) = self.verify_head(log, content.head) else {
            return;
        };
        let Some(state) = self.logs.get(&log).filter(|state| state.fetches()) else {
            return;
        };
        let counted = state.counted();
        let mut missing = counted.missing(state.begin(), head.size);
        let brings = missing.any(|gap| content.held.covered(gap.from, gap.to) > 0);
        if !brings && head.size <= state.size() && state.adopted().is_some() {
            return;
        }
        let publisher = state.publisher();
        let offer = ReceivedOffer {
            peer: author,
            size: head.size,
            held: content.held,
            record: content.record,
            key: content.key,
            rendezvous_key: content.rendezvous_key,
            servers: content.servers,
        };
        let random = self.joining.rng.next_u64();
        (self.joining.joiner).received(log, offer, publisher, now, random);
    }

    /// Accepts an offer: whoever is connected already is asked at once.
    fn accept(&mut self, log: LogId, join: SealingKey, offer: &ReceivedOffer, now: Timestamp) {
        let peer = offer.peer;
        self.joining.joiner.accepted(log, offer, now);
        if self.peers.get(&peer).is_some_and(|peer| peer.ready) {
            return self.ask_about(peer, log, now);
        }
        let joining = &mut self.joining;
        let server = joining.common_server(&offer.servers);
        let content = AcceptContent {
            record: joining.record.clone(),
            rendezvous_key: offer.rendezvous_key,
            server: server.clone(),
        };
        let random = joining.random_bytes();
        let record = offer.record.clone();
        // At once, so that they are dialled in the order of choice.
        self.outputs.push_back(Output::Dial { peer, log, record });
        let meeting = Meeting {
            log,
            record: Bytes::new(),
            dial_at: None,
            meet_at: now.plus(RENDEZVOUS_AFTER_US),
            place: server.map(|server| (server, key_hash(&offer.rendezvous_key))),
        };
        joining.meet(peer, meeting);
        if let Some(data) = content.seal(log, joining.local, join, offer.key, random) {
            let topic = Topic::Meta(log);
            self.outputs.push_back(Output::Publish(topic, data));
        }
    }

    /// Judges an acceptance, and prepares to connect if it is for us.
    pub(super) fn accept_heard(
        &mut self,
        author: PeerId,
        log: LogId,
        wire: v1::Accept,
        now: Timestamp,
    ) -> Result<Verdict, WireError> {
        let accept = Accept::from_wire(wire)?;
        let hears = self.hears_of(log) && author != self.joining.local;
        let joining = &mut self.joining;
        if !hears || !joining.allowances.take(log, Said::Accept, author, now) {
            return Ok(Verdict::Ignore);
        }
        if let Some(made) = joining.listener.take_made(log, author, accept.to) {
            let content = AcceptContent::open(log, author, &made.key, &accept.sealed);
            let content = content.filter(|c| c.rendezvous_key == made.rendezvous_key);
            if let Some(content) = content {
                let hash = key_hash(&made.rendezvous_key);
                let meeting = Meeting {
                    log,
                    record: content.record,
                    dial_at: Some(now.plus(DIAL_BACK_US)),
                    meet_at: now.plus(RENDEZVOUS_AFTER_US),
                    place: content.server.map(|server| (server, hash)),
                };
                joining.meet(author, meeting);
            }
            // It has arrived.
            return Ok(Verdict::Ignore);
        }
        let is_new = joining.listener.heard_accept(log, author, accept.from);
        Ok(if is_new {
            Verdict::Accept
        } else {
            Verdict::Ignore
        })
    }

    /// Connects to those who were accepted, or who accepted: directly first, and
    /// by way of a rendezvous server if that does not help.
    fn go_to_meetings(&mut self, now: Timestamp) {
        let due = (self.joining.meetings.iter()).filter(|(_, meeting)| meeting.next_due() <= now);
        let due: Vec<PeerId> = due.map(|(&peer, _)| peer).collect();
        for peer in due {
            let is_there = self.peers.get(&peer).is_some_and(|peer| peer.ready);
            let Some(mut meeting) = self.joining.meetings.remove(&peer).filter(|_| !is_there)
            else {
                continue;
            };
            let log = meeting.log;
            if meeting.dial_at.take().is_some() {
                let record = meeting.record.clone();
                self.outputs.push_back(Output::Dial { peer, log, record });
                if meeting.place.is_some() {
                    self.joining.meetings.insert(peer, meeting);
                }
            } else if let Some((server, hash)) = meeting.place {
                self.outputs.push_back(Output::Meet {
                    peer,
                    log,
                    hash,
                    server,
                });
            }
        }
    }
}

/// Whether something that a joiner lacks can be served from here.
fn serves(state: &LogState, join: &Join) -> bool {
    let head = state
        .head_for_others()
        .filter(|_| state.manifest().is_some());
    // Of a forked log it is clear what counts where there is a last head, also of one of
    // ours that is stopped for that.
    let has_end = head.is_some() && head == state.last_head();
    let is_open = state.fork().is_none() && state.stopped_for_good().is_none();
    let sound = state.is_followed() && !state.is_unsure() && (is_open || has_end);
    sound && head.is_some_and(|head| join.is_served_by(head.size, &state.counted()))
}

// A search must not accept more than others pass on for it.
const _: () = assert!(ACCEPTED_OFFERS <= crate::limits::MAX_ACCEPTS_PER_JOIN as usize);
