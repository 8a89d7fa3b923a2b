//! What connected peers say of themselves, and what the rest of the program is told
//! of them.

use libp2p::core::ConnectedPoint;
use libp2p::swarm::ConnectionId;
use libp2p::{PeerId, identify};
use tokio::time::Instant;

use super::super::nat::remote_address;
use super::Network;
use crate::handle::{self, PeerStatus};

impl Network {
    /// A peer says who it is and where it sees us.
    pub(super) fn identified(&mut self, peer: PeerId, id: ConnectionId, info: identify::Info) {
        let now = Instant::now();
        let observed = &mut self.swarm.behaviour_mut().observed;
        let counts = observed.observed(id, &info.observed_addr);
        let own = self.own_addresses();
        let (changed, actions) = (self.nat).identified((peer, id), &info, counts, &own, now);
        self.carry_out(actions);
        self.provider_identified(peer, &info);
        self.exchange.identified(peer, &info, handle::now());
        self.meetings.identified(peer, id, &info);
        self.backlog.extend(self.meetings.news());
        self.change_peer(&peer, |status| status.agent = Some(info.agent_version));
        if changed {
            self.external_changed();
        }
    }

    pub(super) fn set_syncs(&self, peer: PeerId, syncs: bool) {
        self.change_peer(&peer, |status| status.syncs = syncs);
    }

    pub(super) fn peer_connected(&self, peer: PeerId, endpoint: &ConnectedPoint) {
        let address = remote_address(peer, endpoint);
        let inbound = endpoint.is_listener();
        self.node.change_peers(|peers| {
            let status = peers.entry(peer).or_insert_with(|| PeerStatus {
                peer,
                addresses: Vec::new(),
                agent: None,
                rtt_us: None,
                syncs: false,
                inbound,
            });
            status.addresses.push(address);
        });
    }

    pub(super) fn peer_closed(&self, peer: PeerId, endpoint: &ConnectedPoint, remaining: u32) {
        let address = remote_address(peer, endpoint);
        self.node.change_peers(|peers| {
            if remaining == 0 {
                peers.remove(&peer);
            } else if let Some(status) = peers.get_mut(&peer)
                && let Some(place) = status.addresses.iter().position(|a| *a == address)
            {
                status.addresses.remove(place);
            }
        });
    }

    pub(super) fn has_said_who_it_is(&self, peer: &PeerId) -> bool {
        let mut known = false;
        self.change_peer(peer, |status| known = status.agent.is_some());
        known
    }

    /// Changes what is known of a connected peer.
    pub(super) fn change_peer(&self, peer: &PeerId, change: impl FnOnce(&mut PeerStatus)) {
        self.node.change_peers(|peers| {
            if let Some(status) = peers.get_mut(peer) {
                change(status);
            }
        });
    }
}
