//! Peers that broke the rules, and the expiry of their bans: how long they are not
//! spoken to.

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

    /// Drops a peer. What it had sent before it was dropped may accuse it again;
    /// it is banned once.
    pub(super) fn ban(&mut self, peer: PeerId, misbehaviour: &Misbehaviour) {
        if !self.swarm.behaviour_mut().block(peer) {
            return;
        }
        let stream = misbehaviour.log.map(|log| log.to_string());
        tracing::warn!(
            %peer,
            stream,
            what = misbehaviour.what,
            "a peer broke the rules and is dropped"
        );
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
    use std::sync::Arc;

    use libp2p::identity::Keypair;
    use tokio::sync::mpsc;

    use super::super::super::connection_limits::Bounds;
    use super::super::NetworkConfig;
    use super::*;
    use crate::config::Config;
    use crate::handle::Node;
    use crate::net::behaviour::Services;
    use crate::net::sync_streams::frame_channel;
    use crate::store::RocksStore;

    /// The network of a node that listens nowhere and knows nobody.
    fn network(folder: &std::path::Path) -> Network {
        let keypair = Keypair::generate_ed25519();
        let local = keypair.public().to_peer_id();
        let store = Arc::new(RocksStore::open(folder).unwrap());
        let node = Node::new(
            store,
            mpsc::channel(1).0,
            mpsc::unbounded_channel().0,
            local,
        );
        let config = NetworkConfig {
            keypair,
            network_key: None,
            options: Config {
                listen: Vec::new(),
                min_peers: 0,
                ..Config::default()
            },
            dial: Vec::new(),
            limits: Bounds {
                total: 16,
                pending: 16,
                dials: 16,
                per_ip: 16,
                exempt: Vec::new(),
            },
            services: Services::default(),
            cache: None,
        };
        Network::listen(config, node, mpsc::channel(1).0, frame_channel(1, 1).0).unwrap()
    }

    #[tokio::test]
    async fn who_breaks_the_rules_again_before_it_is_gone_is_banned_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut network = network(folder.path());
        let (peer, other) = (PeerId::random(), PeerId::random());
        for liar in [peer, peer, other, peer] {
            network.ban_for(liar, "it lies");
        }
        assert_eq!(network.bans.ends.len(), 2);
        network.end_bans(Instant::now() + BAN);
        assert_eq!(network.bans.ends.len(), 0);
        // Once it is over, the next one counts.
        network.ban_for(peer, "it lies");
        assert_eq!(network.bans.ends.len(), 1);
    }

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
