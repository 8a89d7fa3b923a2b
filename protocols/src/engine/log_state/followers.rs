//! Which peers have had all of a log of ours: whom to ask for it, should this
//! folder ever be a copy that has less.

use std::collections::BTreeSet;

use libp2p_identity::PeerId;

use crate::engine::log_state::{LogState, put_log};
use crate::engine::{Engine, subscribers};
use crate::head::SignedHead;
use crate::id::LogId;
use crate::limits::{EARLY_FOLLOWERS, FOLLOWER_BACKOFF, FOLLOWER_EXCHANGE_US, MAX_KNOWN_FOLLOWERS};
use crate::ranges::IntervalSet;
use crate::store::{Batch, Durability, ReadError, Store};
use crate::time::Timestamp;

/// The peers that were seen to hold everything of a log of ours.
#[derive(Debug, Default)]
pub(in crate::engine) struct Followers {
    /// Those that were known first stand first, and stay there; behind them, whoever
    /// was seen last stands last.
    known: Vec<PeerId>,
    /// When a newcomer took the place of another one last.
    exchanged_at: Option<Timestamp>,
    /// When those that follow it and are not known are asked what they have.
    ask_at: Option<Timestamp>,
    /// How often it was waited until then, since somebody came.
    waits: u32,
}

impl Followers {
    /// As they were stored. What is no peer id is left out.
    pub(in crate::engine) fn from_stored(rows: &[bytes::Bytes]) -> Self {
        let mut seen = BTreeSet::new();
        let known = rows.iter().filter_map(|row| PeerId::from_bytes(row).ok());
        // Whoever stood there twice would count twice.
        let known = known.filter(|peer| seen.insert(*peer));
        Self {
            known: known.take(MAX_KNOWN_FOLLOWERS).collect(),
            ..Self::default()
        }
    }

    /// As they are stored.
    pub(in crate::engine) fn to_stored(&self) -> Vec<bytes::Bytes> {
        self.known
            .iter()
            .map(|peer| peer.to_bytes().into())
            .collect()
    }

    /// Those that are known.
    pub(in crate::engine) fn known(&self) -> &[PeerId] {
        &self.known
    }

    /// When [`Engine::ask_followers`] has something to do.
    pub(in crate::engine) fn due(&self) -> Option<Timestamp> {
        self.ask_at
    }

    /// Takes a peer that holds everything; whether others are known now than
    /// before.
    fn seen(&mut self, peer: PeerId, now: Timestamp) -> bool {
        if let Some(place) = self.known.iter().position(|&known| known == peer) {
            if place >= EARLY_FOLLOWERS {
                self.known.remove(place);
                self.known.push(peer);
            }
            return false;
        }
        if self.known.len() >= MAX_KNOWN_FOLLOWERS {
            let is_early = |at: Timestamp| at.plus(FOLLOWER_EXCHANGE_US) > now;
            if self.exchanged_at.is_some_and(is_early) {
                return false;
            }
            self.exchanged_at = Some(now);
            self.known.remove(EARLY_FOLLOWERS);
        }
        self.known.push(peer);
        true
    }
}

impl LogState {
    /// Whether a peer with this head of ours, and this much of it, is in step:
    /// it has all of a head that is at most one renewal old.
    fn is_in_step(&self, head: &SignedHead, held: &IntervalSet) -> bool {
        let Some(ours) = self.adopted() else {
            return false;
        };
        let begin = self.begin_at(head.size);
        let has_all = head.size > 0 && (begin >= head.size || held.contains(begin, head.size));
        has_all && head.size <= ours.size && ours.time.since(head.time) <= self.renewal_us()
    }
}

impl<S: Store> Engine<S> {
    /// A peer tells what it has of a log that is open for writing here.
    pub(in crate::engine) fn follower_has(
        &mut self,
        peer: PeerId,
        log: LogId,
        head: &SignedHead,
        held: &IntervalSet,
        now: Timestamp,
    ) {
        let state = self.logs.get(&log);
        if state.is_some_and(|state| state.is_open() && state.is_in_step(head, held)) {
            self.follower_is_in_step(peer, log, now);
        }
    }

    /// A peer has everything of a log of ours.
    pub(in crate::engine) fn follower_is_in_step(
        &mut self,
        peer: PeerId,
        log: LogId,
        now: Timestamp,
    ) {
        let state = self.logs.get_mut(&log);
        let Some(state) = state.filter(|state| state.is_open()) else {
            return;
        };
        let is_news = state.followers_mut().is_some_and(|all| all.seen(peer, now));
        if !is_news {
            return;
        }
        self.changed.insert(log);
        let mut batch = Batch::new();
        put_log(&mut batch, log, state);
        if let Err(error) = self.store.commit(batch, Durability::Written) {
            self.store_failed(log, &ReadError::Store(error));
        }
    }

    /// A peer follows a log of ours: it is asked again when it may have caught
    /// up.
    pub(in crate::engine) fn follower_came(&mut self, log: LogId, now: Timestamp) {
        let state = self.logs.get_mut(&log);
        let state = state.filter(|state| state.is_open());
        if let Some(followers) = state.and_then(LogState::followers_mut) {
            followers.waits = 0;
            let soon = now + FOLLOWER_BACKOFF.next(&mut followers.waits);
            followers.ask_at = Some(followers.ask_at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// Asks those who follow a log of ours, and were not seen to have all of it,
    /// what they have.
    pub(in crate::engine) fn ask_followers(&mut self, log: LogId, now: Timestamp) {
        let peers = &self.peers;
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let is_open = state.is_open();
        let Some(followers) = state.followers_mut() else {
            return;
        };
        if followers.ask_at.is_none_or(|at| at > now) {
            return;
        }
        followers.ask_at = None;
        if !is_open || followers.known.len() >= MAX_KNOWN_FOLLOWERS {
            return;
        }
        let mut unknown = subscribers(peers, log);
        unknown.retain(|peer| !followers.known.contains(peer));
        if unknown.is_empty() {
            return;
        }
        unknown.truncate(MAX_KNOWN_FOLLOWERS);
        followers.ask_at = Some(now + FOLLOWER_BACKOFF.next(&mut followers.waits));
        for peer in unknown {
            self.ask_about(peer, log, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SigningKey;

    #[test]
    fn of_many_followers_some_are_known_and_newcomers_take_a_place_now_and_then() {
        let mut followers = Followers::default();
        let peers: Vec<_> = (0..MAX_KNOWN_FOLLOWERS + 3)
            .map(|seed| {
                let mut secret = [seed as u8; 32];
                SigningKey::from_secret(&mut secret).public().peer_id()
            })
            .collect();
        let at = |seconds: u64| Timestamp(0).plus(seconds * 1_000_000);
        let (first, late) = peers.split_at(MAX_KNOWN_FOLLOWERS);
        for &peer in first {
            assert!(followers.seen(peer, at(0)));
        }
        let place = EARLY_FOLLOWERS;
        assert!(!followers.seen(first[place], at(1)), "it is known");
        assert!(followers.seen(late[0], at(2)));
        assert!(!followers.seen(late[1], at(3)), "one a while");
        assert!(followers.seen(late[1], at(2).plus(FOLLOWER_EXCHANGE_US)));
        assert_eq!(followers.known().len(), MAX_KNOWN_FOLLOWERS);
        assert!(
            followers.known().contains(&first[place]),
            "it was seen again"
        );
        assert_eq!(
            followers.known()[..place],
            first[..place],
            "they were first"
        );
        let stored = Followers::from_stored(&followers.to_stored());
        assert_eq!(stored.known(), followers.known());
    }
}
