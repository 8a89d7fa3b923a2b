//! Connections that are dead, and addresses that have left.

use libp2p::PeerId;
use libp2p::swarm::ConnectionId;
use tokio::time::Instant;

use super::Network;

impl Network {
    /// Closes a connection that does not answer. Its line is cut, because nothing
    /// that waits to be sent over it would ever arrive.
    pub(super) fn give_up(&mut self, connection: ConnectionId) {
        if let Some(remote) = self.departures.remote(connection) {
            self.lines.cut(remote);
        }
        self.swarm.close_connection(connection);
    }

    /// Parts from the peers that have dialled us because their old connections were
    /// dead.
    pub(super) fn part_from_stale(&mut self, now: Instant) {
        for (peer, old) in self.rivals.take_stale(now) {
            let behaviour = self.swarm.behaviour();
            if old.iter().any(|id| behaviour.was_heard(&peer, *id)) {
                continue;
            }
            for id in old {
                self.give_up(id);
            }
            self.part_from(peer);
        }
    }

    /// Closes all connections of a peer that has lost what it knew of us: whoever
    /// wants the other dials again, and both begin anew.
    pub(super) fn part_from(&mut self, peer: PeerId) {
        tracing::debug!(%peer, "has lost its connection and made another; both begin anew");
        // There may be none left.
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    /// Looks at which addresses are still this machine's. What was connected from
    /// others is dead, and nobody is told of them any more.
    pub(super) fn look_for_departures(&mut self, now: Instant) {
        let changes = self.departures.look(self.swarm.listeners(), now);
        for id in changes.dead {
            self.swarm.close_connection(id);
        }
        if !changes.left.is_empty() {
            tracing::info!(addresses = ?changes.left, "not addresses of this machine any more");
            let actions = self.nat.departed(&changes.left, &self.own_addresses());
            self.carry_out(actions);
        }
        if changes.back {
            self.addresses_are_back();
        }
        if changes.back || !changes.left.is_empty() {
            self.listeners_changed();
        }
    }

    /// Has those taken up again that others reached before.
    pub(super) fn addresses_are_back(&mut self) {
        let departures = &self.departures;
        let own = self.own_addresses();
        let actions = (self.nat).returned(&own, |address| departures.is_here(address));
        self.carry_out(actions);
    }
}
