//! What the swarm tells: which rooms hear of it, and in which order.

use headwater_protocols::engine::Input;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionError, ConnectionId, SwarmEvent};
use libp2p::{PeerId, identify, ping};
use tokio::time::Instant;

use super::super::behaviour::BehaviourEvent;
use super::super::nat::observed;
use super::super::sync_streams;
use super::Network;
use crate::handle::{self, is_out_of_files};
use crate::spans;

impl Network {
    pub(super) fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        let _peer = peer_of(&event).map(|peer| spans::peer(&peer).entered());
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::NewListenAddr {
                listener_id,
                address,
            } => {
                tracing::info!(%address, "listening");
                self.opening.remove(&listener_id);
                let actions = self.nat.listening(&address, &self.own_addresses());
                self.carry_out(actions);
                self.addresses_are_back();
                self.let_kad_rest();
                self.listeners_changed();
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                tracing::info!(%address, "not listening there any more");
                self.look_for_departures(Instant::now());
                self.listeners_changed();
            }
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                self.opening.remove(&listener_id);
                self.nat.listener_closed(listener_id, Instant::now());
                self.addresses_changed();
            }
            SwarmEvent::ExternalAddrConfirmed { address } => {
                tracing::info!(%address, "reached by others");
                self.nat.confirmed(&address);
                self.external_changed();
            }
            SwarmEvent::ExternalAddrExpired { address } => {
                tracing::info!(%address, "not reached by others any more");
                self.nat.expired(&address);
                self.external_changed();
            }
            SwarmEvent::ListenerError { error, .. } if is_out_of_files(&error) => {
                self.node.ran_out_of_files("a listener for peers", &error);
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener failed");
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.connection_made(peer_id, connection_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                endpoint,
                num_established,
                cause,
            } => {
                self.connection_closed(peer_id, connection_id, num_established, cause.as_ref());
                self.peer_closed(peer_id, &endpoint, num_established);
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                tracing::debug!(?peer_id, %error, "cannot connect");
                if let Some(peer) = peer_id {
                    self.exchange.dial_failed(&peer, &error, handle::now());
                    (self.bootstraps).dial_failed(&peer, &error, &self.node, Instant::now());
                    self.provider_dialled(&peer);
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "an incoming connection failed");
            }
            _ => {}
        }
    }

    fn connection_made(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let now = Instant::now();
        let (address, inbound) = (endpoint.get_remote_address(), endpoint.is_listener());
        tracing::debug!(%address, inbound, "connected");
        self.nat.connected(peer, id, endpoint, now);
        self.departures.connected(id, endpoint);
        if !endpoint.is_relayed() {
            self.rivals.connected(peer, id, endpoint.is_listener(), now);
        }
        self.meetings.connected(id, endpoint);
        let dialled = endpoint.is_dialer().then(|| endpoint.get_remote_address());
        self.dialer.connected(peer, dialled, now);
        self.bootstraps.connected(&peer, &self.node);
        self.peer_connected(peer, endpoint);
        let remote = endpoint.get_remote_address();
        let inbound = endpoint.is_listener();
        self.exchange
            .connected(peer, remote, inbound, handle::now());
        self.provider_connected(peer, endpoint);
    }

    fn connection_closed(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        remaining: u32,
        cause: Option<&ConnectionError>,
    ) {
        let failed = cause.is_some();
        let is_connected = self.swarm.is_connected(&peer);
        let circuit = self.nat.closed(peer, id, failed, is_connected);
        self.carry_out(circuit);
        self.departures.closed(id);
        if self.rivals.closed(&peer, id, failed) {
            self.part_from(peer);
        }
        self.meetings.closed(id, &peer, remaining == 0);
        self.backlog.extend(self.meetings.news());
        if let Some(cause) = cause {
            tracing::debug!(%peer, %cause, "connection closed");
        }
        if remaining > 0 {
            return;
        }
        let hung_up = !self.has_said_who_it_is(&peer) && self.strangers.closed(peer, cause);
        self.dialer.closed(peer, Instant::now());
        self.provider_closed(&peer);
        self.exchange.closed(&peer, handle::now());
        self.bootstraps.closed(&peer, hung_up, &self.node);
        self.noise.closed(&peer);
        self.input(Input::Disconnected(peer));
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Sync(event) => self.on_sync(event),
            BehaviourEvent::Kad(event) => self.on_kad(event),
            BehaviourEvent::Exchange(event) => self.on_exchange(event),
            BehaviourEvent::Observations(event) => self.on_observations(event),
            BehaviourEvent::Rendezvous(event) => self.on_rendezvous(event),
            BehaviourEvent::Autonat(event) => self.nat.on_autonat(&event),
            BehaviourEvent::RelayClient(event) => self.nat.on_relay_client(&event),
            BehaviourEvent::Dcutr(event) => self.nat.on_dcutr(&event),
            BehaviourEvent::Mdns(event) => self.exchange.on_mdns(event, handle::now()),
            BehaviourEvent::Relay(event) => self.exchange.on_relay(&event),
            BehaviourEvent::AutonatServer(_) => {}
            BehaviourEvent::Observed(observed::Event::SameRouter(peer)) => {
                let dial = self.nat.same_router(peer, Instant::now());
                self.carry_out(dial);
            }
            BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                connection_id,
                info,
            }) => self.identified(peer_id, connection_id, info),
            BehaviourEvent::Ping(ping::Event {
                peer,
                connection,
                result,
            }) => match result {
                Ok(rtt) => {
                    self.swarm.behaviour_mut().heard(peer, connection);
                    self.rivals.heard(connection);
                    let rtt_us = u64::try_from(rtt.as_micros()).ok();
                    self.change_peer(&peer, |status| status.rtt_us = rtt_us);
                }
                Err(ping::Failure::Unsupported) => {}
                // It is the second one of a row, of whatever kind: libp2p keeps
                // the first one to itself, and opens a stream for the next, so
                // that a dead line fails to negotiate and does not time out.
                Err(error) => {
                    tracing::debug!(%peer, %error, "silent, so its connection is closed");
                    self.give_up(connection);
                }
            },
            BehaviourEvent::Identify(identify::Event::Pushed { peer_id, .. }) => {
                self.exchange.pushed(&peer_id);
            }
            BehaviourEvent::Identify(_) => {}
        }
    }

    fn on_sync(&mut self, event: sync_streams::Event) {
        match event {
            sync_streams::Event::Ready { peer, place } => {
                self.set_syncs(peer, true);
                self.input(Input::Ready(peer, place));
            }
            sync_streams::Event::Gone { peer } => {
                self.set_syncs(peer, false);
                self.input(Input::Gone(peer));
                // A connection whose sync streams were given up may still be
                // open for gossip: it is closed, so that it is made anew.
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            sync_streams::Event::Reset { peer, place } => {
                self.input(Input::Gone(peer));
                self.input(Input::Ready(peer, place));
            }
            sync_streams::Event::Sent { peer, bytes, .. } => self.input(Input::Sent(peer, bytes)),
            sync_streams::Event::Misbehaved {
                peer,
                connection,
                error,
            } => {
                self.swarm.close_connection(connection);
                self.ban_for(peer, error.to_string());
            }
            sync_streams::Event::Stalled {
                peer, connection, ..
            } => {
                tracing::warn!(%peer, "a connection does not move any more and is closed");
                self.give_up(connection);
            }
        }
    }
}

/// Whom an event is about, when it is about one peer.
fn peer_of(event: &SwarmEvent<BehaviourEvent>) -> Option<PeerId> {
    match event {
        SwarmEvent::ConnectionEstablished { peer_id, .. }
        | SwarmEvent::ConnectionClosed { peer_id, .. } => Some(*peer_id),
        SwarmEvent::OutgoingConnectionError { peer_id, .. }
        | SwarmEvent::IncomingConnectionError { peer_id, .. } => *peer_id,
        SwarmEvent::Behaviour(BehaviourEvent::Identify(
            identify::Event::Received { peer_id, .. } | identify::Event::Pushed { peer_id, .. },
        )) => Some(*peer_id),
        SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => Some(event.peer),
        _ => None,
    }
}
