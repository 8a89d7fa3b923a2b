//! Does what the rooms want done.

use super::super::action::Action;
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
}
