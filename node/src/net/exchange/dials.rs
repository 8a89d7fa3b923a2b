//! Whom a node dials to have company.

use headwater_protocols::id::LogId;
use headwater_protocols::time::Timestamp;
use libp2p::swarm::DialError;
use libp2p::{Multiaddr, PeerId};

use super::super::action::{Dial, Unless};
use super::super::dialer::plain_dial;
use super::super::limits::{MAX_EXCHANGE_DIALS, OTHER_DIAL_FOR, RESCUE_BACKOFF, RESCUE_DIALS};
use super::super::peer_book::Candidate;
use super::{Exchange, Step, random};

impl Exchange {
    /// Dials known peers of the streams that have too few, those with the fewest
    /// first.
    pub(super) fn dial_for_streams(&mut self) {
        let short = self.shortages.iter().into_iter();
        let dials = short.map(|(stream, have)| Step::DialFor(stream, have));
        self.steps.extend(dials);
    }

    /// Dials known peers of a stream that has this many.
    pub(super) fn dial_for(
        &mut self,
        stream: LogId,
        have: usize,
        publisher: impl FnOnce() -> Option<PeerId>,
        now: Timestamp,
    ) {
        if !self.has_room() {
            return;
        }
        let coming = self.book.of_stream(stream);
        let coming = coming.filter(|peer| self.dialling.contains(peer)).count();
        let missing = self.enough.saturating_sub(have + coming);
        if missing == 0 {
            return;
        }
        let candidates = self.book.candidates(stream, publisher(), now, &mut random);
        let is_there =
            |peer: &PeerId| self.dialling.contains(peer) || self.neighbours.contains_key(peer);
        let new = candidates.into_iter().filter(|(peer, _)| !is_there(peer));
        let new: Vec<Candidate> = new.take(missing).collect();
        self.dial_next(new);
    }

    /// Has these dialled, before anything else is looked at.
    fn dial_next(&mut self, candidates: Vec<Candidate>) {
        for candidate in candidates.into_iter().rev() {
            self.steps.push_front(Step::Dial(candidate));
        }
    }

    fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// How many more may be dialled now.
    fn room(&self) -> usize {
        let open = self.neighbours.len() + self.dialling.len();
        // The rest is for those who come.
        let connections = (self.max_connections / 4 * 3).saturating_sub(open);
        (MAX_EXCHANGE_DIALS.saturating_sub(self.dialling.len())).min(connections)
    }

    /// The dial of a peer, if there is room for it; what comes of it is to be
    /// [told](Self::dialled).
    pub(super) fn dial(&mut self, (peer, addresses): Candidate, now: Timestamp) -> Option<Dial> {
        if !self.has_room() || !self.dialling.insert(peer) {
            return None;
        }
        tracing::debug!(%peer, ?addresses, "dialling a known peer");
        Some(match self.has_waited(&peer, now) {
            true => patient_dial(peer, addresses),
            false => plain_dial(peer, addresses),
        })
    }

    /// Notes whether a dial has begun.
    pub(in crate::net) fn dialled(
        &mut self,
        peer: PeerId,
        begun: &Result<(), DialError>,
        now: Timestamp,
    ) {
        match begun {
            Ok(()) => {
                self.waiting.remove(&peer);
            }
            // Perhaps at an address where it is not any more, which takes its time.
            Err(DialError::DialPeerConditionFalse(_)) => {
                self.dialling.remove(&peer);
                self.waiting.entry(peer).or_insert(now);
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "not dialled");
                self.dialling.remove(&peer);
                self.note_failure(&peer, error, now);
            }
        }
    }

    /// Whether a peer was to be dialled for some time, while another dial was under
    /// way that would have ended by now if it led anywhere.
    fn has_waited(&self, peer: &PeerId, now: Timestamp) -> bool {
        let since = self.waiting.get(peer);
        since.is_some_and(|since| now.duration_since(*since) >= OTHER_DIAL_FOR)
    }

    /// What our own limits and access lists refuse says nothing about the peer.
    pub(super) fn note_failure(&mut self, peer: &PeerId, error: &DialError, now: Timestamp) {
        match is_unreachable(error) {
            true => self.book.dial_failed(peer, now),
            false => self.book.not_dialled(peer, now),
        }
    }

    /// Dials peers of the local network while anything is short of peers.
    pub(super) fn dial_nearby(&mut self, now: Timestamp) {
        let has_enough = self.neighbours.len() >= self.enough && self.shortages.is_empty();
        if has_enough {
            return;
        }
        let room = self.room();
        let is_there =
            |peer: &PeerId| self.neighbours.contains_key(peer) || self.dialling.contains(peer);
        let due = self.nearby.take_due(is_there, room, now);
        self.dial_next(due);
    }

    /// Turns to any known peer when nobody is left.
    pub(super) fn rescue(&mut self, now: Timestamp) {
        if !self.neighbours.is_empty() {
            self.rescue_at = now + RESCUE_BACKOFF.first();
            self.rescues = 0;
            return;
        }
        if now < self.rescue_at || !self.dialling.is_empty() {
            return;
        }
        self.rescue_at = now + RESCUE_BACKOFF.next(&mut self.rescues);
        let mut known = self.book.anybody(now, &mut random);
        known.truncate(RESCUE_DIALS);
        self.dial_next(known);
    }
}

/// As [`plain_dial`], beside another dial to the peer.
fn patient_dial(peer: PeerId, addresses: Vec<Multiaddr>) -> Dial {
    Dial {
        unless: Unless::Connected,
        // The port may be in use for the other one.
        from_new_port: true,
        ..Dial::new(peer, addresses)
    }
}

/// Whether a dial has failed because the peer is not where it says it is.
pub(super) fn is_unreachable(error: &DialError) -> bool {
    match error {
        DialError::Transport(_)
        | DialError::WrongPeerId { .. }
        | DialError::LocalPeerId { .. }
        | DialError::NoAddresses => true,
        DialError::DialPeerConditionFalse(_) | DialError::Aborted | DialError::Denied { .. } => {
            false
        }
    }
}
