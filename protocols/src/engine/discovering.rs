//! Searching for streams: connected peers are asked which public ones they
//! know. What they answer are manifests and heads under their publishers'
//! signatures, so that a peer can hide streams and invent its own, but not
//! alter anybody's.

use std::collections::{BTreeMap, BTreeSet};

use libp2p_identity::PeerId;
use prost::Message;

use super::log_state::LogState;
use super::requests::RequestKind;
use super::{CommandError, Engine, Output, Reply};
use crate::head::{SignedHead, UnverifiedHead};
use crate::id::LogId;
use crate::limits::{
    DISCOVER_ALLOWANCE, DISCOVER_PEERS, DISCOVER_SOURCES, DISCOVER_TIMEOUT_US,
    MAX_DISCOVER_TEXT_BYTES, MAX_DISCOVERIES, MAX_TOLD_STREAM_BYTES, MAX_TOLD_STREAMS,
};
use crate::log::AdmitError;
use crate::manifest::{Manifest, SignedManifest, UnverifiedManifest, is_tagged};
use crate::store::Store;
use crate::sync::Lane;
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::frame::Body;
use crate::wire::v1::refused::Why;

/// A stream that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundStream {
    /// Its manifest; the signature was checked.
    pub manifest: SignedManifest,
    /// The largest head that was told; the signature was checked, not that it
    /// extends any other.
    pub head: Option<SignedHead>,
    /// Peers that told of it.
    pub peers: Vec<PeerId>,
    /// Whether it is known here.
    pub is_known: bool,
}

/// What a search has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// The streams, those that most peers told of first.
    pub streams: Vec<FoundStream>,
    /// Peers that were asked.
    pub asked: usize,
    /// Those of them that answered in time.
    pub answered: usize,
}

/// A search that waits for peers.
#[derive(Debug)]
struct Open {
    words: Words,
    found: BTreeMap<LogId, FoundStream>,
    asked: usize,
    answered: usize,
    waiting: usize,
    until: Timestamp,
}

/// The searches under way, by the numbers of their commands.
#[derive(Debug, Default)]
pub(super) struct Discoveries {
    open: BTreeMap<u64, Open>,
}

impl Discoveries {
    /// When the next one is given up.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.open.values().map(|open| open.until).min()
    }
}

/// What is searched for.
#[derive(Debug)]
struct Words(Vec<String>);

impl Words {
    /// `None` when it is too long.
    fn of(text: &str) -> Option<Self> {
        let fits = text.len() <= MAX_DISCOVER_TEXT_BYTES;
        fits.then(|| Self(text.split_whitespace().map(str::to_lowercase).collect()))
    }

    /// Whether every word is somewhere in what describes a stream.
    fn describe(&self, log: LogId, manifest: &Manifest) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let texts = [
            &manifest.name,
            &manifest.description,
            &manifest.source,
            &manifest.unit,
        ];
        let text = texts.map(|text| text.to_lowercase()).join("\n");
        let id = log.to_string();
        let is_there = |word: &String| {
            text.contains(word) || id.contains(word) || is_tagged(&manifest.tags, word)
        };
        self.0.iter().all(is_there)
    }
}

/// Whether others may hear of a stream.
fn is_told(state: &LogState) -> Option<&SignedManifest> {
    let manifest = state.manifest()?;
    // What a later version says of it may be about just that.
    let may_be_told = !manifest.is_hidden() && manifest.too_new().is_none();
    may_be_told.then_some(manifest)
}

impl<S: Store> Engine<S> {
    /// Asks connected peers; the reply comes when they have answered, or after a
    /// while.
    pub(super) fn discover(&mut self, command: u64, text: &str, now: Timestamp) {
        let Some(words) = Words::of(text) else {
            let (bytes, max) = (text.len(), MAX_DISCOVER_TEXT_BYTES);
            let error = Err(CommandError::SearchTooLong { bytes, max });
            return self.outputs.push_back(Output::Reply(command, error));
        };
        if self.discoveries.open.len() >= MAX_DISCOVERIES {
            let error = Err(CommandError::TooManySearches(MAX_DISCOVERIES));
            return self.outputs.push_back(Output::Reply(command, error));
        }
        let found = (self.logs.iter())
            .filter_map(|(log, state)| {
                let manifest = is_told(state)
                    .filter(|one| words.describe(log, one))?
                    .clone();
                let found = FoundStream {
                    manifest,
                    head: state.head_for_others().cloned(),
                    peers: Vec::new(),
                    is_known: true,
                };
                Some((log, found))
            })
            .collect();
        let peers = self.whom_to_ask();
        let open = Open {
            words,
            found,
            asked: peers.len(),
            answered: 0,
            waiting: peers.len(),
            until: now.plus(DISCOVER_TIMEOUT_US),
        };
        self.discoveries.open.insert(command, open);
        for peer in &peers {
            let ask = v1::Discover {
                text: text.to_owned(),
            };
            self.ask(
                *peer,
                RequestKind::Discover(command),
                Body::Discover(ask),
                now,
            );
        }
        if peers.is_empty() {
            self.end_discovery(command);
        }
    }

    /// The peers that are asked: some that have delivered what is followed here,
    /// and any others, by lot, so that nobody can be sure to be asked, or to keep
    /// others from it.
    fn whom_to_ask(&mut self) -> Vec<PeerId> {
        let ready: BTreeSet<PeerId> = (self.peers.iter())
            .filter(|(_, peer)| peer.ready)
            .map(|(&peer, _)| peer)
            .collect();
        let states = self.logs.iter().map(|(_, state)| state);
        let sources: BTreeSet<PeerId> = (states.filter(|state| state.is_followed()))
            .flat_map(|state| state.sources())
            .filter(|(peer, source)| source.has_delivered && ready.contains(peer))
            .map(|(&peer, _)| peer)
            .collect();
        let mut chosen = self.draw(&sources, DISCOVER_SOURCES);
        let others = ready.into_iter().filter(|peer| !chosen.contains(peer));
        let others = others.collect();
        chosen.extend(self.draw(&others, DISCOVER_PEERS - chosen.len()));
        chosen
    }

    /// Draws peers by lot: one of each place before the second one of any, because
    /// their ids cost nothing.
    fn draw(&mut self, peers: &BTreeSet<PeerId>, most: usize) -> Vec<PeerId> {
        let mut places: BTreeMap<_, Vec<PeerId>> = BTreeMap::new();
        for &peer in peers {
            let place = self.provider.place(peer);
            // Where it is not known, each is somewhere else.
            let alone = place.is_none().then_some(peer);
            places.entry((place, alone)).or_default().push(peer);
        }
        let mut lots: Vec<_> = (places.into_values())
            .flat_map(|mut there| {
                self.joining.shuffle(&mut there);
                there.into_iter().enumerate()
            })
            .collect();
        self.joining.shuffle(&mut lots);
        lots.sort_by_key(|(round, _)| *round);
        (lots.into_iter().take(most).map(|(_, peer)| peer)).collect()
    }

    /// Takes the answer of a peer.
    pub(super) fn discovered(&mut self, peer: PeerId, command: u64, answer: v1::Discovered) {
        if let Err(error) = self.take_discovered(peer, command, answer) {
            self.ban(peer, None, &error);
        }
        self.discovery_answered(command);
    }

    fn take_discovered(
        &mut self,
        peer: PeerId,
        command: u64,
        answer: v1::Discovered,
    ) -> Result<(), AdmitError> {
        let mut told = BTreeMap::new();
        for stream in answer.streams.into_iter().take(MAX_TOLD_STREAMS) {
            let manifest = UnverifiedManifest::from(stream.manifest.unwrap_or_default());
            let manifest = manifest.verify(None)?;
            let log = manifest.stream();
            let head = match stream.head {
                Some(head) => {
                    let head = UnverifiedHead::try_from(Some(head))?;
                    Some(head.verify(log, &manifest.publisher)?)
                }
                None => None,
            };
            told.insert(log, (manifest, head));
        }
        let Some(open) = self.discoveries.open.get_mut(&command) else {
            return Ok(());
        };
        open.answered += 1;
        for (log, (manifest, head)) in told {
            // What is private is nobody's business, and what was not searched
            // for is of no use.
            if manifest.is_hidden() || !open.words.describe(log, &manifest) {
                continue;
            }
            let found = open.found.entry(log).or_insert_with(|| FoundStream {
                manifest,
                head: None,
                peers: Vec::new(),
                is_known: false,
            });
            let size = |head: &Option<SignedHead>| head.as_ref().map(|head| (head.size, head.time));
            if size(&head) > size(&found.head) {
                found.head = head;
            }
            found.peers.push(peer);
        }
        Ok(())
    }

    /// One peer less is waited for.
    pub(super) fn discovery_answered(&mut self, command: u64) {
        let Some(open) = self.discoveries.open.get_mut(&command) else {
            return;
        };
        open.waiting = open.waiting.saturating_sub(1);
        if open.waiting == 0 {
            self.end_discovery(command);
        }
    }

    /// Answers searches whose peers take too long.
    pub(super) fn discovering_is_due(&mut self, now: Timestamp) {
        let open = self.discoveries.open.iter();
        let late = open.filter(|(_, open)| open.until <= now);
        for command in late.map(|(&command, _)| command).collect::<Vec<_>>() {
            let asked = self.requests.which(
                |request| matches!(request.kind, RequestKind::Discover(of) if of == command),
            );
            for id in asked {
                if let Some(request) = self.requests.remove(id) {
                    self.send(request.peer, Lane::Control, id, Body::Cancel(v1::Cancel {}));
                }
            }
            self.end_discovery(command);
        }
    }

    fn end_discovery(&mut self, command: u64) {
        let Some(open) = self.discoveries.open.remove(&command) else {
            return;
        };
        let mut streams: Vec<_> = open.found.into_values().collect();
        // Stable: those of as many peers stand in the order of their ids.
        streams.sort_by_key(|found| std::cmp::Reverse(found.peers.len()));
        let discovery = Discovery {
            streams,
            asked: open.asked,
            answered: open.answered,
        };
        let reply = Ok(Reply::Discovered(Box::new(discovery)));
        self.outputs.push_back(Output::Reply(command, reply));
    }

    /// Tells a peer which public streams are known here.
    pub(super) fn answer_discover(
        &mut self,
        peer: PeerId,
        id: u64,
        ask: &v1::Discover,
        now: Timestamp,
    ) {
        let may_ask = (self.peers.get_mut(&peer))
            .is_some_and(|peer| peer.searches.take(DISCOVER_ALLOWANCE, now));
        if !may_ask {
            return self.refuse_peer(peer, id, Why::Busy);
        }
        let Some(words) = Words::of(&ask.text) else {
            return self.refuse_peer(peer, id, Why::Malformed);
        };
        let mut known: Vec<_> = (self.logs.iter())
            .filter_map(|(log, state)| {
                let manifest = is_told(state).filter(|one| words.describe(log, one))?;
                Some((manifest, state.head_for_others()))
            })
            .collect();
        known.sort_by_key(|(_, head)| std::cmp::Reverse(head.map(|head| head.time)));
        let mut bytes = 0;
        let mut streams = Vec::new();
        for (manifest, head) in known.into_iter().take(MAX_TOLD_STREAMS) {
            let stream = v1::KnownStream {
                manifest: Some(manifest.to_wire()),
                head: head.map(SignedHead::to_wire),
            };
            bytes += stream.encoded_len();
            if bytes > MAX_TOLD_STREAM_BYTES && !streams.is_empty() {
                break;
            }
            streams.push(stream);
        }
        self.reply(peer, id, Body::Discovered(v1::Discovered { streams }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Input, Settings};
    use crate::identity::{SigningKey, another_peer};
    use crate::manifest::tests::manifest;
    use crate::store::MemoryStore;

    #[test]
    fn every_word_must_be_somewhere_in_what_describes_a_stream() {
        let key = SigningKey::from_secret(&mut [1; 32]);
        let mut manifest = manifest(&key, "Wind at the Pier", 8);
        manifest.unit = "m/s".to_owned();
        manifest.source = "anemometer ÄÖ".to_owned();
        let log = LogId([7; 32]);
        let finds = |text: &str| Words::of(text).unwrap().describe(log, &manifest);
        for text in ["", "  ", "wind", "PIER wind", "m/s", "äö", "ind anemo"] {
            assert!(finds(text), "{text}");
        }
        for text in ["rain", "wind rain", "windat"] {
            assert!(!finds(text), "{text}");
        }
        assert!(finds(&log.to_string()[20..30]));
        assert!(Words::of(&"x".repeat(MAX_DISCOVER_TEXT_BYTES + 1)).is_none());
    }

    /// An engine that knows nobody.
    fn engine(seed: u8) -> Engine<MemoryStore> {
        let key = SigningKey::from_secret(&mut [9; 32]);
        let settings = Settings {
            seed: [seed; 32],
            offer_percent: 50,
            introduces: false,
            copied: false,
            lost_rows: false,
            marks: BTreeMap::new(),
            lost: None,
            ended_badly: false,
            time: Timestamp(0),
        };
        Engine::open(MemoryStore::default(), key, &settings, Timestamp(0)).unwrap()
    }

    #[test]
    fn those_with_small_ids_at_one_place_do_not_keep_others_from_being_asked() {
        for seed in 0..8 {
            let mut engine = engine(seed);
            let mut ids: Vec<PeerId> = (0..300).map(|_| another_peer()).collect();
            ids.sort_unstable();
            // The smallest are at one place, or at none that is known; the others
            // are honest, each somewhere else.
            let (ground, honest) = ids.split_at(280);
            for &peer in ground {
                engine.handle(Input::Ready(peer, Some(1)), Timestamp(0));
            }
            for (place, &peer) in (10..).zip(honest) {
                engine.handle(Input::Ready(peer, Some(place)), Timestamp(0));
            }
            let asked = engine.whom_to_ask();
            assert_eq!(asked.len(), DISCOVER_PEERS);
            let lacking = honest.iter().filter(|peer| !asked.contains(peer)).count();
            assert_eq!(lacking, 0, "seed {seed}");
            assert_eq!(BTreeSet::from_iter(asked.iter()).len(), DISCOVER_PEERS);
        }
    }

    #[test]
    fn whom_is_asked_is_decided_by_lot() {
        let ids: Vec<PeerId> = (0..300).map(|_| another_peer()).collect();
        let asked = |seed| {
            let mut engine = engine(seed);
            for &peer in &ids {
                engine.handle(Input::Ready(peer, None), Timestamp(0));
            }
            BTreeSet::from_iter(engine.whom_to_ask())
        };
        assert_eq!(asked(1), asked(1));
        let both = asked(1).intersection(&asked(2)).count();
        assert!(both < DISCOVER_PEERS / 2, "{both} are asked in any case");
    }
}
