//! A rate limit of peers that send much of what is of no use: replays of old heads, questions
//! over and over. Each message costs a signature check, and none of them is
//! false, so that gossipsub's scores do not change.

use std::collections::BTreeMap;

use headwater_protocols::bucket::Bucket;
use headwater_protocols::time::Timestamp;
use libp2p::PeerId;

use super::limits::{IGNORED_MESSAGE_PAUSE, MAX_IGNORED_BURST, MAX_SHED_MESSAGES};

/// How often, and how many at once, may be of no use.
const RATE: (u64, u64) = (
    IGNORED_MESSAGE_PAUSE.as_micros() as u64,
    MAX_IGNORED_BURST as u64,
);

/// What is done with a message before it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admittance {
    /// It is looked at.
    Judge,
    /// It is not: too many were of no use lately.
    Shed,
    /// As before, and the peer is to be dropped.
    Drop,
}

/// A token bucket for each noisy peer; a message that was ignored takes a token. Only
/// connected peers have one, so that it needs no bound of its own as `Buckets` has, and
/// with it goes what was not looked at.
#[derive(Debug, Default)]
pub(super) struct GossipNoise {
    peers: BTreeMap<PeerId, Noise>,
}

#[derive(Debug, Default)]
struct Noise {
    bucket: Bucket,
    /// Messages that were not looked at since the bucket was full.
    shed: u32,
}

impl GossipNoise {
    /// Says what to do with a message of a peer.
    pub(super) fn admit(&mut self, peer: PeerId, now: Timestamp) -> Admittance {
        let Some(noise) = self.peers.get_mut(&peer) else {
            return Admittance::Judge;
        };
        if noise.bucket.is_full(now) {
            self.peers.remove(&peer);
            return Admittance::Judge;
        }
        if noise.bucket.has_one(RATE, now) {
            return Admittance::Judge;
        }
        noise.shed += 1;
        if noise.shed >= MAX_SHED_MESSAGES {
            self.peers.remove(&peer);
            return Admittance::Drop;
        }
        Admittance::Shed
    }

    /// Notes that a message of a connected peer was ignored.
    pub(super) fn ignored(&mut self, peer: PeerId, now: Timestamp) {
        let noise = self.peers.entry(peer).or_default();
        noise.bucket.charge(1, RATE, now);
    }

    /// Forgets a peer that is gone.
    pub(super) fn closed(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_repeats_itself_is_not_listened_to_and_then_dropped() {
        let mut noise = GossipNoise::default();
        let (noisy, other) = (PeerId::random(), PeerId::random());
        let now = Timestamp(0);
        let mut judged = 0;
        let dropped = (0..100_000).position(|_| match noise.admit(noisy, now) {
            Admittance::Judge => {
                judged += 1;
                noise.ignored(noisy, now);
                false
            }
            Admittance::Shed => false,
            Admittance::Drop => true,
        });
        assert_eq!(judged, MAX_IGNORED_BURST);
        let most = usize::try_from(MAX_IGNORED_BURST + MAX_SHED_MESSAGES).unwrap();
        assert_eq!(dropped, Some(most - 1));
        assert_eq!(noise.admit(other, now), Admittance::Judge);
    }

    #[test]
    fn who_is_quiet_for_a_while_is_listened_to_again_and_forgotten() {
        let mut noise = GossipNoise::default();
        let peer = PeerId::random();
        let now = Timestamp(0);
        for _ in 0..MAX_IGNORED_BURST {
            noise.ignored(peer, now);
        }
        assert_eq!(noise.admit(peer, now), Admittance::Shed);
        let later = now + IGNORED_MESSAGE_PAUSE;
        assert_eq!(noise.admit(peer, later), Admittance::Judge);
        let quiet = now + IGNORED_MESSAGE_PAUSE * MAX_IGNORED_BURST;
        assert_eq!(noise.admit(peer, quiet), Admittance::Judge);
        assert!(noise.peers.is_empty());
    }
}
