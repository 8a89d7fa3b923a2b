//! Gossipsub as Headwater uses it. Every choice that differs from the defaults
//! has its reason here; benchmarks measure bare gossipsub with the same ones.

use std::time::Duration;

use headwater_protocols::id::Topic;
use headwater_protocols::merkle::leaf_hash;
use libp2p::gossipsub::{
    self, MaxCountSubscriptionFilter, MessageAuthenticity, MessageId, PeerScoreParams,
    PeerScoreThresholds, TopicHash, TopicScoreParams, TopicSubscriptionFilter, ValidationMode,
};
use libp2p::identity::Keypair;

use super::limits::{MAX_GOSSIP_FRAME_BYTES, MAX_TOPICS_PER_PEER};

/// Gossipsub with our filter of topics.
pub type Gossip =
    gossipsub::Behaviour<gossipsub::IdentityTransform, MaxCountSubscriptionFilter<HeadwaterTopics>>;

/// Lets in subscriptions to the topics of streams, and no others.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadwaterTopics;

impl TopicSubscriptionFilter for HeadwaterTopics {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        Topic::parse(topic.as_str()).is_some()
    }
}

/// Gossipsub for a node with this key.
///
/// # Errors
/// Never with the settings below; libp2p checks them at run time.
pub fn gossip(keypair: &Keypair) -> anyhow::Result<Gossip> {
    let config = gossipsub::ConfigBuilder::default()
        // A message is passed on only once the engine has checked it.
        .validate_messages()
        .validation_mode(ValidationMode::Strict)
        // One id network-wide, from what is said and where: defaults differ
        // between implementations, and the same head must not travel twice.
        // The topic is in it because gossipsub remembers ids of any topic:
        // data sent under another one would suppress the announcement itself.
        .message_id_fn(|message| message_id(&message.topic, &message.data))
        .max_transmit_size(MAX_GOSSIP_FRAME_BYTES)
        .max_control_message_size(MAX_GOSSIP_FRAME_BYTES)
        // The mesh carries the data; sending to every subscriber would make
        // the publisher's uplink the bottleneck.
        .flood_publish(false)
        // A node that comes back at once is offered by its neighbours what it
        // said before. Taken for a lie in its name, that would have it ban all
        // its honest followers; the engine knows it for old.
        .allow_self_origin(true)
        // A node that has just connected joins the mesh soon.
        .heartbeat_initial_delay(Duration::from_millis(100))
        .build()
        .map_err(|error| anyhow::anyhow!("gossipsub settings: {error}"))?;
    let filter = MaxCountSubscriptionFilter {
        filter: HeadwaterTopics,
        max_subscribed_topics: MAX_TOPICS_PER_PEER,
        max_subscriptions_per_request: MAX_TOPICS_PER_PEER,
    };
    let signed = MessageAuthenticity::Signed(keypair.clone());
    let mut gossip = Gossip::new_with_subscription_filter(signed, config, filter)
        .map_err(|error| anyhow::anyhow!("gossipsub: {error}"))?;
    gossip
        .with_peer_score(peer_score(), PeerScoreThresholds::default())
        .map_err(|error| anyhow::anyhow!("gossipsub peer score: {error}"))?;
    Ok(gossip)
}

/// The first 20 bytes of SHA-256( 0x00, topic, 0x00, data ).
fn message_id(topic: &TopicHash, data: &[u8]) -> MessageId {
    let said = [topic.as_str().as_bytes(), b"\0", data].concat();
    MessageId::new(&leaf_hash(&said).0[..20])
}

fn peer_score() -> PeerScoreParams {
    PeerScoreParams {
        // Fifteen nodes of an office behind one address would be ignored by all
        // others. Connections of one address are bounded where they are made.
        ip_colocation_factor_weight: 0.0,
        ..PeerScoreParams::default()
    }
}

/// How peers are scored on one topic: false messages count, silence does not,
/// because a stream may well be silent for a day.
#[must_use]
pub fn topic_score() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        // Neither patience nor speed buys the right to lie.
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        // Five false messages within a minute bring a peer below the
        // graylist threshold (-80): 5² × -4.
        invalid_message_deliveries_weight: -4.0,
        invalid_message_deliveries_decay: 0.96,
        ..TopicScoreParams::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of docs/interop.md.
    #[test]
    fn the_id_of_a_message_is_what_other_implementations_compute() {
        let stream = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
        let topic = TopicHash::from_raw(format!("/headwater/2/{stream}/data"));
        let id = message_id(&topic, b"hello world");
        assert_eq!(id.to_string(), "18f66aed620bb05f6c9d7fe55b2503a9bab53c18");
        assert_ne!(id, message_id(&topic, b"hello world!"));
        let other = TopicHash::from_raw(format!("/headwater/2/{stream}/meta"));
        assert_ne!(id, message_id(&other, b"hello world"));
    }
}
