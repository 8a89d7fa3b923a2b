//! How nodes that have heard of each other connect: by the records that they
//! give each other, or at a rendezvous server that everybody knows.

use bytes::Bytes;
use libp2p_identity::PeerId;
use prost::Message;

use super::{NodeId, Reach, Sim};
use crate::engine::Input;
use crate::id::Topic;
use crate::meta::Server;
use crate::rendezvous::Registered;
use crate::time::Timestamp;
use crate::wire::v1;

/// What was published on a meta topic.
#[derive(Clone, Debug)]
pub struct Said {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: NodeId,
    /// What.
    pub body: v1::meta::Body,
}

/// What stands for a signed peer record here.
fn record_of(peer: PeerId) -> Bytes {
    [&b"record of "[..], &peer.to_bytes()].concat().into()
}

impl Sim {
    /// Says who can connect to a node from now on.
    pub fn set_reach(&mut self, node: NodeId, reach: Reach) {
        self.nodes[node.0].reach = reach;
    }

    /// What was published on meta topics so far.
    #[must_use]
    pub fn said(&self) -> &[Said] {
        &self.said
    }

    /// Who dialled whom so far, well or not.
    #[must_use]
    pub fn dials(&self) -> &[(NodeId, NodeId)] {
        &self.dials
    }

    pub(super) fn reachable(&self, node: NodeId) -> Input {
        Input::Reachable {
            record: record_of(self.peer(node)),
            servers: vec![Server {
                peer: self.peer(NodeId(0)),
                address: Bytes::from_static(b"the only one"),
            }],
        }
    }

    pub(super) fn note_said(&mut self, node: NodeId, topic: Topic, data: &Bytes) {
        if let Topic::Meta(_) = topic
            && let Ok(v1::Meta { body: Some(body) }) = v1::Meta::decode(data.clone())
        {
            let (at, by) = (self.now(), node);
            self.said.push(Said { at, by, body });
        }
    }

    pub(super) fn dial(&mut self, node: NodeId, peer: PeerId, record: &Bytes) {
        let mut running = (0..self.nodes.len()).map(NodeId);
        let Some(other) = running.find(|&other| self.peer(other) == peer) else {
            return;
        };
        self.dials.push((node, other));
        if *record == record_of(peer) && self.nodes[other.0].reach == Reach::Open {
            self.connect(node, other);
        }
    }

    pub(super) fn go_to_rendezvous(&mut self, node: NodeId, hash: [u8; 32]) {
        let (peer, now) = (self.peer(node), self.now());
        let met = self.rendezvous.register(hash, peer, node, now);
        if let Registered::Matched { theirs: other, .. } = met {
            let reach = [node, other].map(|node| self.nodes[node.0].reach);
            if !reach.contains(&Reach::Nowhere) {
                self.connect(node, other);
            }
        }
    }
}
