//! Does what the rooms want done.

use tokio::time::Instant;

use super::super::action::Action;
use super::super::nat::OwnAddresses;
use super::Network;

impl Network {
    /// Does all of it, in this order.
    pub(super) fn carry_out(&mut self, actions: impl IntoIterator<Item = Action>) {
        for action in actions {
            self.act(action);
        }
    }

    /// Does one thing.
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Ban(peer, what) => self.ban_for(peer, what),
            Action::Dial(dial) => {
                let peer = dial.peer;
                if let Err(error) = self.swarm.dial(dial.options()) {
                    tracing::debug!(%peer, %error, "not dialled");
                }
            }
            Action::Disconnect(peer) => {
                // There may be no connection left.
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            Action::Close(connection) => {
                self.swarm.close_connection(connection);
            }
            Action::AskRelay { relay, circuit } => {
                let listener = self.swarm.listen_on(circuit.clone());
                if let Err(error) = &listener {
                    tracing::debug!(%circuit, %error, "cannot ask the relay");
                }
                (self.nat).relay_asked(relay, listener.ok(), Instant::now());
            }
            Action::StopListening(listener) => {
                self.swarm.remove_listener(listener);
            }
            Action::AddAddress(address) => self.swarm.add_external_address(address),
            Action::RemoveAddress(address) => self.swarm.remove_external_address(&address),
            Action::TestAddress(address) => self.swarm.behaviour_mut().observed.own(&address),
            Action::Register {
                peer,
                server,
                addresses,
                registration,
            } => {
                let messages = &mut self.swarm.behaviour_mut().rendezvous;
                let id = messages.send_request_with_addresses(&server, registration, addresses);
                self.asked.meetings.insert(id, peer);
            }
            Action::AskPeers { peer, request } => {
                let streams = request.streams.clone();
                let messages = &mut self.swarm.behaviour_mut().exchange;
                let id = messages.send_request(&peer, request);
                self.asked.peers.insert(id, streams);
            }
            Action::Query(query) => self.query(query),
            Action::StopProviding(log) => self.stop_providing(log),
            Action::AskObservations {
                number,
                peer,
                question,
            } => {
                let messages = &mut self.swarm.behaviour_mut().observations;
                let id = messages.send_request(&peer, question);
                self.asked.observations.insert(id, number);
            }
        }
    }

    /// Where this node is.
    pub(super) fn own_addresses(&self) -> OwnAddresses {
        OwnAddresses {
            listeners: self.swarm.listeners().cloned().collect(),
            external: self.swarm.external_addresses().cloned().collect(),
        }
    }

    /// Tells the rest of the program of the ways to us.
    pub(super) fn tell_nat(&self) {
        let listeners: Vec<_> = self.swarm.listeners().cloned().collect();
        self.node.set_nat(self.nat.status(&listeners));
    }
}
