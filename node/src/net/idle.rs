//! Which connections are let go: those of no use any more, and, when there are
//! nearly too many, those of least use. It knows neither clock nor network.

use std::collections::BTreeMap;

use headwater_protocols::time::Timestamp;
use libp2p::PeerId;

use super::connection_limits::max_incoming;
use super::limits::{IDLE_AFTER, SPARE_CONNECTIONS_PERCENT, YOUNG_CONNECTION};

/// What a connected peer is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// It is to be kept connected, has a stream in common with us, or one of us
    /// relays for the other.
    pub(super) needed: bool,
    /// It dialled us: it has its reasons, and lets go by itself.
    pub(super) inbound: bool,
}

/// How many connections there are, of how many that there may be. A peer may
/// have several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    /// Established ones, both directions.
    pub(super) open: u32,
    /// Those of them that came in.
    pub(super) incoming: u32,
    /// At most, both directions.
    pub(super) max: u32,
}

impl Crowd {
    /// Connections beyond those that leave room for whoever comes.
    fn excess(&self) -> usize {
        beyond(self.open, self.max)
    }

    /// The same of the incoming ones, which have a bound of their own: while
    /// they are at it, newcomers are refused however few we have dialled.
    fn incoming_excess(&self) -> usize {
        beyond(self.incoming, max_incoming(self.max))
    }
}

fn beyond(open: u32, max: u32) -> usize {
    let percent = 100 - u64::from(SPARE_CONNECTIONS_PERCENT);
    let few = (u64::from(max) * percent).div_ceil(100);
    usize::try_from(u64::from(open).saturating_sub(few)).unwrap_or(usize::MAX)
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
    /// as `keep` others are left; and the idlest when there is hardly any room
    /// left, for anybody or for those who come.
    pub(super) fn review(
        &mut self,
        connected: &BTreeMap<PeerId, Use>,
        crowd: Crowd,
        keep: usize,
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
            if now.duration_since(state.connected) >= YOUNG_CONNECTION {
                idle.push((since, peer, of.inbound));
            }
        }
        idle.sort_unstable();
        let (mut incoming_excess, mut excess) = (crowd.incoming_excess(), crowd.excess());
        let mut gone = Vec::new();
        // Each of those is one connection less of all, too.
        idle.retain(|&(_, peer, inbound)| {
            let goes = inbound && incoming_excess > 0;
            if goes {
                incoming_excess -= 1;
                excess = excess.saturating_sub(1);
                gone.push(peer);
            }
            !goes
        });
        for (place, (since, peer, inbound)) in idle.into_iter().enumerate() {
            if place < excess || !inbound && now.duration_since(since) >= IDLE_AFTER {
                gone.push(peer);
            }
        }
        gone.truncate(connected.len().saturating_sub(keep));
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

    /// One connection a peer, of a hundred.
    fn crowd(connected: &BTreeMap<PeerId, Use>) -> Crowd {
        let incoming = connected.values().filter(|of| of.inbound).count();
        Crowd {
            open: u32::try_from(connected.len()).unwrap(),
            incoming: u32::try_from(incoming).unwrap(),
            max: 100,
        }
    }

    /// A review in which so many others are to be left.
    fn review(
        idleness: &mut Idleness,
        connected: &BTreeMap<PeerId, Use>,
        keep: usize,
        now: Timestamp,
    ) -> Vec<PeerId> {
        idleness.review(connected, crowd(connected), keep, now)
    }

    /// A review when none of these connections is young any more, and none idle
    /// for long.
    fn review_of_full(idleness: &mut Idleness, connected: &BTreeMap<PeerId, Use>) -> Vec<PeerId> {
        review(idleness, connected, 4, Timestamp(1));
        let later = Timestamp(1) + YOUNG_CONNECTION;
        review(idleness, connected, 4, later)
    }

    const LATER: Timestamp = Timestamp(IDLE_AFTER.as_micros() as i64);

    #[test]
    fn what_we_dialled_goes_when_it_is_of_no_use_for_long() {
        let mut idleness = Idleness::default();
        let mut connected = peers(3, false, false);
        connected.extend(peers(3, false, true));
        connected.extend(peers(3, true, false));
        assert!(review(&mut idleness, &connected, 0, Timestamp(0)).is_empty());
        let gone = review(&mut idleness, &connected, 0, LATER);
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
        review(&mut idleness, &connected, 0, Timestamp(0));
        connected.get_mut(&peer).unwrap().needed = true;
        review(&mut idleness, &connected, 0, LATER);
        connected.get_mut(&peer).unwrap().needed = false;
        assert!(review(&mut idleness, &connected, 0, LATER).is_empty());
        let much_later = LATER + IDLE_AFTER;
        assert_eq!(review(&mut idleness, &connected, 0, much_later), [peer]);
    }

    #[test]
    fn the_last_peers_stay_although_they_are_of_no_use() {
        let mut idleness = Idleness::default();
        let connected = peers(6, false, false);
        review(&mut idleness, &connected, 4, Timestamp(0));
        assert_eq!(review(&mut idleness, &connected, 4, LATER).len(), 2);
        // As if those two had come back in no time.
        let later = LATER.plus(1);
        assert_eq!(review(&mut idleness, &connected, 0, later).len(), 4);
    }

    #[test]
    fn near_the_maximum_the_idlest_go_and_never_those_of_use() {
        let mut idleness = Idleness::default();
        let first = peers(20, false, false);
        review(&mut idleness, &first, 4, Timestamp(0));
        let mut connected = first.clone();
        connected.extend(peers(10, false, false));
        connected.extend(peers(65, true, false));
        let gone = review_of_full(&mut idleness, &connected);
        assert_eq!(gone.len(), 5);
        assert!(gone.iter().all(|peer| first.contains_key(peer)));
    }

    #[test]
    fn newcomers_find_room_although_strangers_have_taken_all_that_is_for_them() {
        let mut idleness = Idleness::default();
        let strangers = peers(75, false, true);
        let mut connected = strangers.clone();
        connected.extend(peers(5, false, false));
        let gone = review_of_full(&mut idleness, &connected);
        // A tenth of the 75, and none of those that we have dialled.
        assert_eq!(gone.len(), 7);
        assert!(gone.iter().all(|peer| strangers.contains_key(peer)));
    }

    #[test]
    fn a_stranger_with_several_connections_counts_as_often() {
        let mut idleness = Idleness::default();
        let connected = peers(30, false, true);
        let crowd = Crowd {
            open: 75,
            incoming: 75,
            max: 100,
        };
        let later = Timestamp(1) + YOUNG_CONNECTION;
        idleness.review(&connected, crowd, 4, Timestamp(1));
        assert_eq!(idleness.review(&connected, crowd, 4, later).len(), 7);
    }

    #[test]
    fn those_of_use_stay_however_many_there_are() {
        let mut idleness = Idleness::default();
        let all = peers(100, true, false);
        review(&mut idleness, &all, 4, Timestamp(0));
        assert!(review(&mut idleness, &all, 4, LATER).is_empty());
    }
}
