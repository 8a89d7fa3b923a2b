//! What waits in the transport for peers to take it: of one peer, of all peers
//! at one place, and in all. Peer ids cost nothing, so that the place counts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use libp2p_identity::PeerId;

use crate::limits::{
    FRAME_OVERHEAD_BYTES, MAX_UNTAKEN_AT_PLACE, MAX_UNTAKEN_BYTES, MAX_UNTAKEN_OF_PEER,
    MIN_UNTAKEN_AT_PLACE, MIN_UNTAKEN_OF_PEER, OUTBOX_BYTES,
};

/// What a frame of so many bytes takes up while it waits.
#[must_use]
pub fn frame_cost(bytes: usize) -> usize {
    bytes.saturating_add(FRAME_OVERHEAD_BYTES)
}

/// What waits, by peer and place.
#[derive(Debug, Default)]
pub(super) struct Outboxes {
    peers: BTreeMap<PeerId, Outbox>,
    places: BTreeMap<u64, usize>,
    total: usize,
    /// Peers for which something is left to deliver as soon as others have taken
    /// what waits for them; and who of them had its turn last.
    held_up: BTreeSet<PeerId>,
    last: Option<PeerId>,
}

#[derive(Debug, Default)]
struct Outbox {
    place: Option<u64>,
    bytes: usize,
}

impl Outboxes {
    /// Where a peer is, before anything waits for it.
    pub(super) fn is_at(&mut self, peer: PeerId, place: u64) {
        self.gone(peer);
        let outbox = self.peers.entry(peer).or_default();
        outbox.place = Some(place);
    }

    /// Where a peer is, if that is known.
    pub(super) fn place(&self, peer: PeerId) -> Option<u64> {
        self.peers.get(&peer)?.place
    }

    /// Something was handed to the transport that takes up so much.
    pub(super) fn queued(&mut self, peer: PeerId, cost: usize) {
        let outbox = self.peers.entry(peer).or_default();
        outbox.bytes += cost;
        self.total += cost;
        if let Some(place) = outbox.place {
            *self.places.entry(place).or_default() += cost;
        }
    }

    /// So much of it was taken.
    pub(super) fn sent(&mut self, peer: PeerId, cost: usize) {
        let Some(outbox) = self.peers.get_mut(&peer) else {
            return;
        };
        let cost = cost.min(outbox.bytes);
        outbox.bytes -= cost;
        self.total -= cost;
        if let Some(place) = outbox.place
            && let Some(bytes) = self.places.get_mut(&place)
        {
            *bytes -= cost;
            if *bytes == 0 {
                self.places.remove(&place);
            }
        }
    }

    /// What waited for a peer is lost. Where it is stays known until it is said
    /// anew, or it is forgotten.
    pub(super) fn lost(&mut self, peer: PeerId) {
        self.sent(peer, usize::MAX);
        self.held_up.remove(&peer);
    }

    /// Forgets a peer.
    pub(super) fn gone(&mut self, peer: PeerId) {
        self.lost(peer);
        self.peers.remove(&peer);
    }

    /// What waits for a peer.
    pub(super) fn bytes(&self, peer: PeerId) -> usize {
        self.peers.get(&peer).map_or(0, |outbox| outbox.bytes)
    }

    /// What waits where a peer is.
    fn at_place(&self, peer: PeerId) -> usize {
        let place = self.place(peer).and_then(|place| self.places.get(&place));
        place.copied().unwrap_or_else(|| self.bytes(peer))
    }

    /// Whether there is room for another delivery to a peer. If not, it has its
    /// turn when others have taken something, if they are the reason.
    pub(super) fn may_deliver(&mut self, peer: PeerId) -> bool {
        if self.bytes(peer) >= OUTBOX_BYTES {
            return false;
        }
        let at_place = self.at_place(peer);
        let may = at_place < MAX_UNTAKEN_AT_PLACE
            && (self.total < MAX_UNTAKEN_BYTES || at_place < MIN_UNTAKEN_AT_PLACE);
        if !may {
            self.held_up.insert(peer);
        }
        may
    }

    /// Whether there is room for a short answer to a peer: there is a little of it
    /// for everybody, whatever others do not take.
    pub(super) fn may_answer(&self, peer: PeerId) -> bool {
        let (bytes, at_place) = (self.bytes(peer), self.at_place(peer));
        let is_shared = at_place < MAX_UNTAKEN_AT_PLACE && self.total < MAX_UNTAKEN_BYTES;
        bytes < MIN_UNTAKEN_OF_PEER || (is_shared && bytes < MAX_UNTAKEN_OF_PEER)
    }

    /// A peer that was held up by others and is tried again: each in turn.
    pub(super) fn take_held_up(&mut self) -> Option<PeerId> {
        let after = self.last.and_then(|last| {
            let after = (Bound::Excluded(last), Bound::Unbounded);
            self.held_up.range(after).next().copied()
        });
        let next = after.or_else(|| self.held_up.first().copied())?;
        self.held_up.remove(&next);
        self.last = Some(next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::another_peer;

    /// Peers at a place, which take nothing of as many frames of this size as they
    /// are sent.
    fn hoarding(outboxes: &mut Outboxes, place: u64, peers: usize, frame: usize) {
        for _ in 0..peers {
            let peer = another_peer();
            outboxes.is_at(peer, place);
            while outboxes.may_answer(peer) || outboxes.may_deliver(peer) {
                outboxes.queued(peer, frame_cost(frame));
            }
        }
    }

    #[test]
    fn tiny_frames_count_with_what_keeps_them() {
        let mut outboxes = Outboxes::default();
        let peer = another_peer();
        let mut frames = 0;
        while outboxes.may_answer(peer) {
            outboxes.queued(peer, frame_cost(8));
            frames += 1;
        }
        assert!(frames * FRAME_OVERHEAD_BYTES <= MAX_UNTAKEN_OF_PEER);
        outboxes.sent(peer, frame_cost(8));
        assert!(outboxes.may_answer(peer));
    }

    #[test]
    fn peers_at_one_place_hold_no_more_than_its_share_and_keep_nobody_else_out() {
        let frame = 128 << 10;
        let mut outboxes = Outboxes::default();
        hoarding(&mut outboxes, 1, 256, frame);
        let floors = 256 * (MIN_UNTAKEN_OF_PEER + frame_cost(frame));
        assert!(outboxes.total <= MAX_UNTAKEN_AT_PLACE + floors);
        let honest = another_peer();
        outboxes.is_at(honest, 2);
        assert!(outboxes.may_deliver(honest) && outboxes.may_answer(honest));
        // One of theirs is heard, and no more than that.
        let neighbour = another_peer();
        outboxes.is_at(neighbour, 1);
        assert!(outboxes.may_answer(neighbour) && !outboxes.may_deliver(neighbour));
    }

    #[test]
    fn hoarders_at_many_places_leave_something_to_every_other_one() {
        let mut outboxes = Outboxes::default();
        for place in 0..20 {
            hoarding(&mut outboxes, place, 64, 1 << 20);
        }
        assert!(outboxes.total < 2 * MAX_UNTAKEN_BYTES + 20 * 64 * (2 << 20));
        let honest = another_peer();
        outboxes.is_at(honest, 99);
        assert!(outboxes.may_deliver(honest) && outboxes.may_answer(honest));
    }

    #[test]
    fn who_was_held_up_by_others_has_its_turn_when_they_have_taken_something() {
        let mut outboxes = Outboxes::default();
        let (hoarder, waiting) = (another_peer(), [another_peer(), another_peer()]);
        for peer in [hoarder, waiting[0], waiting[1]] {
            outboxes.is_at(peer, 1);
        }
        outboxes.queued(hoarder, MAX_UNTAKEN_AT_PLACE);
        for peer in waiting {
            assert!(!outboxes.may_deliver(peer));
        }
        outboxes.gone(hoarder);
        let mut turns = [outboxes.take_held_up(), outboxes.take_held_up()];
        turns.sort();
        let mut expected = waiting.map(Some);
        expected.sort();
        assert_eq!(turns, expected);
        assert_eq!(outboxes.take_held_up(), None);
        assert!(waiting.iter().all(|&peer| outboxes.may_deliver(peer)));
    }

    #[test]
    fn nothing_is_left_of_peers_that_are_gone() {
        let mut outboxes = Outboxes::default();
        let peer = another_peer();
        outboxes.is_at(peer, 1);
        outboxes.queued(peer, 1_000);
        outboxes.lost(peer);
        assert_eq!((outboxes.total, outboxes.place(peer)), (0, Some(1)));
        outboxes.gone(peer);
        assert!(outboxes.peers.is_empty() && outboxes.places.is_empty());
    }
}
