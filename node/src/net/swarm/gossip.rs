//! What comes in by gossip, and what is thought of it.

use bytes::Bytes;
use headwater_protocols::engine::{Input, Verdict};
use headwater_protocols::id::Topic;
use libp2p::PeerId;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId};

use super::super::gossip_noise::Admittance;
use super::super::limits::GRAYLIST_SCORE;
use super::Network;
use crate::handle::now;

const FALSE_GOSSIP: &str = "its gossip is false or breaks the rules";

impl Network {
    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => {
                let topic = Topic::parse(message.topic.as_str());
                // With strict validation there is always an author.
                let (Some(topic), Some(author)) = (topic, message.source) else {
                    return;
                };
                if !self.admits_gossip(&message_id, propagation_source) {
                    return;
                }
                self.input(Input::Gossip {
                    id: Bytes::from(message_id.0),
                    from: propagation_source,
                    author,
                    topic,
                    data: message.data.into(),
                });
            }
            gossipsub::Event::Subscribed { peer_id, topic } => {
                if let Some(topic) = Topic::parse(topic.as_str()) {
                    self.exchange.subscribed(peer_id, topic);
                    self.input(Input::Subscribed(peer_id, topic));
                }
                self.offenders.subscribed();
            }
            gossipsub::Event::Unsubscribed { peer_id, topic } => {
                if let Some(topic) = Topic::parse(topic.as_str()) {
                    self.exchange.unsubscribed(peer_id, topic);
                    self.input(Input::Unsubscribed(peer_id, topic));
                }
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                tracing::debug!(peer = %peer_id, "too slow for live records; it will catch up by sync");
            }
            gossipsub::Event::GossipsubNotSupported { .. } => {}
        }
    }

    pub(super) fn drop_gossip_offenders(&mut self) {
        for peer in self.offenders.liars(&self.swarm.behaviour().gossip) {
            self.ban_for(peer, FALSE_GOSSIP);
        }
        for peer in (self.offenders).hoarders(&self.swarm.behaviour().gossip) {
            tracing::warn!(%peer, "too many topics in all; the peer with most is disconnected");
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    /// Whether a message is worth a look: much of what its sender sent lately
    /// may have been of no use.
    fn admits_gossip(&mut self, id: &MessageId, from: PeerId) -> bool {
        let admittance = self.noise.admit(from, now());
        if admittance != Admittance::Judge {
            let gossip = &mut self.swarm.behaviour_mut().gossip;
            gossip.report_message_validation_result(id, &from, MessageAcceptance::Ignore);
        }
        if admittance == Admittance::Drop {
            self.ban_for(from, "it floods the topics with what is of no use");
        }
        admittance == Admittance::Judge
    }

    /// Tells gossipsub what the engine thinks of a message.
    pub(super) fn judged(&mut self, id: &[u8], from: PeerId, verdict: Verdict) {
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(&MessageId::new(id), &from, acceptance);
        let is_connected = self.swarm.is_connected(&from);
        if verdict == Verdict::Ignore && is_connected {
            self.noise.ignored(from, now());
        }
        // Gossipsub would stop listening, and go on decoding and checking
        // signatures.
        let score = self.swarm.behaviour().gossip.peer_score(&from);
        let is_heard = score.is_none_or(|score| score >= GRAYLIST_SCORE);
        if verdict == Verdict::Reject && is_connected && !is_heard {
            self.ban_for(from, FALSE_GOSSIP);
        }
    }
}
