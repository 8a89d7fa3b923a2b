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
