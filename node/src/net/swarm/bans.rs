//! Peers that broke the rules, and how long they are not spoken to.

use std::collections::VecDeque;

use headwater_protocols::engine::Misbehaviour;
use libp2p::PeerId;
use tokio::time::Instant;

use super::super::limits::{BAN, MAX_BANNED};
use super::Network;

/// The bans, in the order in which they end.
#[derive(Debug, Default)]
pub(super) struct Bans {
    ends: VecDeque<(Instant, PeerId)>,
}

impl Bans {
    /// When the next one ends.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.ends.front().map(|(end, _)| *end)
    }

    /// Begins a ban. When there are too many, whose ends first is free again.
    fn begin(&mut self, peer: PeerId, now: Instant) -> Option<PeerId> {
        self.ends.push_back((now + BAN, peer));
        if self.ends.len() <= MAX_BANNED {
            return None;
        }
        self.ends.pop_front().map(|(_, oldest)| oldest)
    }

    /// A peer whose ban has ended.
    fn take_ended(&mut self, now: Instant) -> Option<PeerId> {
        if self.next_due().is_none_or(|end| end > now) {
            return None;
        }
        self.ends.pop_front().map(|(_, peer)| peer)
    }
}

impl Network {
    /// Drops a peer for what it did to no stream in particular.
    pub(super) fn ban_for(&mut self, peer: PeerId, what: impl Into<String>) {
        let what = what.into();
        self.ban(peer, &Misbehaviour { log: None, what });
    }

    pub(super) fn ban(&mut self, peer: PeerId, misbehaviour: &Misbehaviour) {
        let stream = misbehaviour.log.map(|log| log.to_string());
        tracing::warn!(
            %peer,
            stream,
            what = misbehaviour.what,
            "a peer broke the rules and is dropped"
        );
        self.swarm.behaviour_mut().block(peer);
        self.exchange.banned(&peer);
        if let Some(oldest) = self.bans.begin(peer, Instant::now()) {
            self.swarm.behaviour_mut().unblock(oldest);
        }
    }

    pub(super) fn end_bans(&mut self, now: Instant) {
        while let Some(peer) = self.bans.take_ended(now) {
            self.swarm.behaviour_mut().unblock(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_ends_after_its_time() {
        let mut bans = Bans::default();
        let (peer, now) = (PeerId::random(), Instant::now());
        assert_eq!(bans.begin(peer, now), None);
        assert_eq!(bans.take_ended(now), None);
        assert_eq!(bans.next_due(), Some(now + BAN));
        assert_eq!(bans.take_ended(now + BAN), Some(peer));
        assert_eq!(bans.next_due(), None);
    }

    #[test]
    fn a_flood_of_bans_is_bounded_and_the_oldest_goes() {
        let mut bans = Bans::default();
        let (first, now) = (PeerId::random(), Instant::now());
        bans.begin(first, now);
        for _ in 1..MAX_BANNED {
            assert_eq!(bans.begin(PeerId::random(), now), None);
        }
        assert_eq!(bans.begin(PeerId::random(), now), Some(first));
        assert_eq!(bans.ends.len(), MAX_BANNED);
    }
}
