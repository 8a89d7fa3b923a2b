//! Which connections are let go: those of no use any more, and, when there are
//! nearly too many, those of least use. It knows neither clock nor network.

use std::collections::BTreeMap;

use headwater_protocols::time::Timestamp;
use libp2p::PeerId;

use super::limits::{IDLE_AFTER_US, SPARE_CONNECTIONS_PERCENT, YOUNG_CONNECTION_US};

/// What a connected peer is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// It is to be kept connected, has a stream in common with us, or one of us
    /// relays for the other.
    pub(super) needed: bool,
    /// It dialled us: it has its reasons, and lets go by itself.
    pub(super) inbound: bool,
}

/// Since when each connected peer is of no use.
#[derive(Debug, Default)]
pub(super) struct Idleness {
    peers: BTreeMap<PeerId, Idle>,
}

#[derive(Clone, Copy, Debug)]
struct Idle {
    connected: Timestamp,
    idle_since: Option<Timestamp>,
}

impl Idleness {
    /// Takes what each connected peer is good for now. Those to let go come
    /// back: peers that we dialled and that were of no use for a while, as long
    /// as `keep` others are left; and the idlest when there are nearly `max`.
    pub(super) fn review(
        &mut self,
        connected: &BTreeMap<PeerId, Use>,
        keep: usize,
        max: usize,
        now: Timestamp,
    ) -> Vec<PeerId> {
        self.peers.retain(|peer, _| connected.contains_key(peer));
        let mut idle = Vec::new();
        for (&peer, of) in connected {
            let state = self.peers.entry(peer).or_insert(Idle {
                connected: now,
                idle_since: None,
            });
            if of.needed {
                state.idle_since = None;
                continue;
            }
            let since = *state.idle_since.get_or_insert(now);
            if now.since(state.connected) >= YOUNG_CONNECTION_US {
                idle.push((since, peer, of.inbound));
            }
        }
        idle.sort_unstable();
        let few = max.saturating_sub(max * SPARE_CONNECTIONS_PERCENT / 100);
        let excess = connected.len().saturating_sub(few);
        let spare = connected.len().saturating_sub(keep);
        let is_due = |(place, (since, _, inbound)): &(usize, (Timestamp, PeerId, bool))| {
            *place < excess || !inbound && now.since(*since) >= IDLE_AFTER_US
        };
        let gone: Vec<PeerId> = (idle.into_iter().enumerate())
            .filter(is_due)
            .map(|(_, (_, peer, _))| peer)
            .take(spare)
            .collect();
        // Whoever comes back at once has its time again.
        self.peers.retain(|peer, _| !gone.contains(peer));
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(count: usize, needed: bool, inbound: bool) -> BTreeMap<PeerId, Use> {
        let of = Use { needed, inbound };
        (0..count).map(|_| (PeerId::random(), of)).collect()
    }

    const LATER: Timestamp = Timestamp(IDLE_AFTER_US.cast_signed());

    #[test]
    fn what_we_dialled_goes_when_it_is_of_no_use_for_long() {
        let mut idleness = Idleness::default();
        let mut connected = peers(3, false, false);
        connected.extend(peers(3, false, true));
        connected.extend(peers(3, true, false));
        assert!(idleness.review(&connected, 0, 100, Timestamp(0)).is_empty());
        let gone = idleness.review(&connected, 0, 100, LATER);
        assert_eq!(gone.len(), 3);
        for peer in gone {
            let of = connected.remove(&peer).unwrap();
            assert!(!of.needed && !of.inbound);
        }
    }

    #[test]
    fn a_peer_that_was_of_use_in_between_has_its_time_again() {
        let mut idleness = Idleness::default();
        let mut connected = peers(1, false, false);
        let peer = *connected.keys().next().unwrap();
        idleness.review(&connected, 0, 100, Timestamp(0));
        connected.get_mut(&peer).unwrap().needed = true;
        idleness.review(&connected, 0, 100, LATER);
        connected.get_mut(&peer).unwrap().needed = false;
        assert!(idleness.review(&connected, 0, 100, LATER).is_empty());
        let much_later = LATER.plus(IDLE_AFTER_US);
        assert_eq!(idleness.review(&connected, 0, 100, much_later), [peer]);
    }

    #[test]
    fn the_last_peers_stay_although_they_are_of_no_use() {
        let mut idleness = Idleness::default();
        let connected = peers(6, false, false);
        idleness.review(&connected, 4, 100, Timestamp(0));
        assert_eq!(idleness.review(&connected, 4, 100, LATER).len(), 2);
        // As if those two had come back in no time.
        let later = LATER.plus(1);
        assert_eq!(idleness.review(&connected, 0, 100, later).len(), 4);
    }

    #[test]
    fn near_the_maximum_the_idlest_go_and_never_those_of_use() {
        let mut idleness = Idleness::default();
        let first = peers(20, false, true);
        idleness.review(&first, 4, 100, Timestamp(0));
        let mut connected = first.clone();
        connected.extend(peers(10, false, true));
        connected.extend(peers(65, true, true));
        let later = Timestamp(1).plus(YOUNG_CONNECTION_US);
        idleness.review(&connected, 4, 100, Timestamp(1));
        let gone = idleness.review(&connected, 4, 100, later);
        assert_eq!(gone.len(), 5);
        assert!(gone.iter().all(|peer| first.contains_key(peer)));

        let all = peers(100, true, false);
        idleness.review(&all, 4, 100, Timestamp(0));
        assert!(idleness.review(&all, 4, 100, LATER).is_empty());
    }
}
