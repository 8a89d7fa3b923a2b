//! Whom a node dials to have company.

use headwater_protocols::time::Timestamp;
use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, Swarm};

use super::super::behaviour::Behaviour;
use super::super::dialer::plain_dial;
use super::super::limits::{
    FIRST_RESCUE_PAUSE_US, MAX_EXCHANGE_DIALS, MAX_RESCUE_PAUSE_US, OTHER_DIAL_US, RESCUE_DIALS,
};
use super::super::peer_book::Candidate;
use super::{Exchange, random};
use crate::handle::Node;

impl Exchange {
    /// Dials known peers of the streams that have too few.
    pub(super) fn dial_for_streams(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        node: &Node,
        now: Timestamp,
    ) {
        for (stream, have) in self.shortages.iter() {
            let coming = self.book.of_stream(stream);
            let coming = coming.filter(|peer| self.dialling.contains(peer)).count();
            let missing = self.min_peers.saturating_sub(have + coming);
            if missing == 0 {
                continue;
            }
            if !self.has_room() {
                return;
            }
            let status = node.stream(stream);
            let manifest = status.as_ref().and_then(|status| status.manifest.as_ref());
            let publisher = manifest.map(|manifest| manifest.publisher.peer_id());
            let candidates = self.book.candidates(stream, publisher, now, &mut random);
            let is_there =
                |peer: &PeerId| self.dialling.contains(peer) || self.neighbours.contains_key(peer);
            let new = candidates.into_iter().filter(|(peer, _)| !is_there(peer));
            for candidate in new.take(missing).collect::<Vec<_>>() {
                self.dial(swarm, candidate, now);
            }
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

    fn dial(&mut self, swarm: &mut Swarm<Behaviour>, (peer, addresses): Candidate, now: Timestamp) {
        if !self.has_room() || self.dialling.contains(&peer) {
            return;
        }
        tracing::debug!(%peer, ?addresses, "dialling a known peer");
        let options = match self.has_waited(&peer, now) {
            true => patient_dial(peer, addresses),
            false => plain_dial(peer, addresses).options(),
        };
        match swarm.dial(options) {
            Ok(()) => {
                self.waiting.remove(&peer);
                self.dialling.insert(peer);
            }
            // Perhaps at an address where it is not any more, which takes its time.
            Err(DialError::DialPeerConditionFalse(_)) => {
                self.waiting.entry(peer).or_insert(now);
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "not dialled");
                self.note_failure(&peer, &error, now);
            }
        }
    }

    /// Whether a peer was to be dialled for some time, while another dial was under
    /// way that would have ended by now if it led anywhere.
    fn has_waited(&self, peer: &PeerId, now: Timestamp) -> bool {
        let since = self.waiting.get(peer);
        since.is_some_and(|since| now.since(*since) >= OTHER_DIAL_US)
    }

    /// What our own limits and access lists refuse says nothing about the peer.
    pub(super) fn note_failure(&mut self, peer: &PeerId, error: &DialError, now: Timestamp) {
        match is_unreachable(error) {
            true => self.book.dial_failed(peer, now),
            false => self.book.not_dialled(peer, now),
        }
    }

    /// Dials peers of the local network while anything is short of peers.
    pub(super) fn dial_nearby(&mut self, swarm: &mut Swarm<Behaviour>, now: Timestamp) {
        let has_enough = self.neighbours.len() >= self.min_peers && self.shortages.is_empty();
        if has_enough {
            return;
        }
        let room = self.room();
        let is_there =
            |peer: &PeerId| self.neighbours.contains_key(peer) || self.dialling.contains(peer);
        for candidate in self.nearby.take_due(is_there, room, now) {
            self.dial(swarm, candidate, now);
        }
    }

    /// Turns to any known peer when nobody is left.
    pub(super) fn rescue(&mut self, swarm: &mut Swarm<Behaviour>, now: Timestamp) {
        if !self.neighbours.is_empty() {
            self.rescue_at = now.plus(FIRST_RESCUE_PAUSE_US);
            self.rescue_pause_us = FIRST_RESCUE_PAUSE_US;
            return;
        }
        if now < self.rescue_at || !self.dialling.is_empty() {
            return;
        }
        self.rescue_at = now.plus(self.rescue_pause_us);
        self.rescue_pause_us = (self.rescue_pause_us * 2).min(MAX_RESCUE_PAUSE_US);
        let known = self.book.anybody(now, &mut random);
        for candidate in known.into_iter().take(RESCUE_DIALS) {
            self.dial(swarm, candidate, now);
        }
    }
}

/// As [`plain_dial`], beside another dial to the peer.
fn patient_dial(peer: PeerId, addresses: Vec<Multiaddr>) -> DialOpts {
    let options = DialOpts::peer_id(peer)
        .condition(PeerCondition::Disconnected)
        .addresses(addresses);
    // The port may be in use for the other one.
    options.allocate_new_port().build()
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
