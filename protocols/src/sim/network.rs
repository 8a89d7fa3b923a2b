//! The network between the nodes: connections, latency, loss.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::NodeId;
use crate::sync::Lane;
use crate::time::Timestamp;

/// How the network treats messages.
#[derive(Clone, Copy, Debug)]
pub struct NetworkConfig {
    /// The least and the greatest latency of a message, in microseconds.
    pub latency_us: (u64, u64),
    /// The part of gossip messages that is lost on each hop, from 0 to 1.
    pub gossip_loss: f64,
    /// The part of gossip messages that arrives twice, from 0 to 1.
    pub gossip_duplication: f64,
    /// Bytes a second that the sync streams of one connection carry each way.
    pub bytes_per_second: u64,
    /// Bytes a second that one node sends over all its sync streams.
    pub uplink_bytes_per_second: u64,
}

impl Default for NetworkConfig {
    /// A wide-area network without loss or caps: 1 to 40 ms.
    fn default() -> Self {
        Self {
            latency_us: (1_000, 40_000),
            gossip_loss: 0.0,
            gossip_duplication: 0.0,
            bytes_per_second: u64::MAX,
            uplink_bytes_per_second: u64::MAX,
        }
    }
}

/// A connection between two nodes.
#[derive(Debug, Default)]
struct Link {
    up: bool,
    /// Counts how often the connection was lost: what is on the way since
    /// before that never arrives.
    lost: u64,
    /// The same of the sync streams.
    streams_lost: u64,
    /// By sender and lane: when the last frame arrives. The next one comes later.
    last: BTreeMap<(NodeId, Lane), Timestamp>,
    /// By sender: when everything before has left.
    free: BTreeMap<NodeId, Timestamp>,
}

/// What a message travels by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The sync streams, which can be lost alone.
    Streams,
    /// Everything else in the connection.
    Gossip,
}

/// All connections, and the dice.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) config: NetworkConfig,
    rng: ChaCha8Rng,
    links: BTreeMap<(NodeId, NodeId), Link>,
    /// When all that a node sent before has left it.
    uplinks: BTreeMap<NodeId, Timestamp>,
}

impl Network {
    pub(super) fn new(seed: u64, config: NetworkConfig) -> Self {
        Self {
            config,
            rng: ChaCha8Rng::seed_from_u64(seed),
            links: BTreeMap::new(),
            uplinks: BTreeMap::new(),
        }
    }

    /// A number below `end`.
    pub(super) fn dice(&mut self, end: u64) -> u64 {
        self.rng.next_u64() % end.max(1)
    }

    /// Whether something happens that has this probability.
    fn happens(&mut self, probability: f64) -> bool {
        // Not asked for when it cannot happen, so that a network without loss
        // costs no dice.
        probability > 0.0
            && (self.rng.next_u64() >> 11) as f64 / ((1_u64 << 53) as f64) < probability
    }

    /// When a message that is sent now arrives.
    pub(super) fn arrival(&mut self, now: Timestamp) -> Timestamp {
        let (least, greatest) = self.config.latency_us;
        let spread = greatest.saturating_sub(least);
        let latency = least + self.dice(spread + 1);
        now.plus(latency)
    }

    /// When a frame arrives: behind all frames before it in its lane, and not
    /// before the line was free for it.
    pub(super) fn frame_arrival(
        &mut self,
        from: NodeId,
        to: NodeId,
        lane: Lane,
        bytes: usize,
        now: Timestamp,
    ) -> Timestamp {
        let takes = |rate: u64| (bytes as u64).saturating_mul(1_000_000) / rate.max(1);
        let out = self.uplinks.entry(from).or_insert(now);
        *out = (*out)
            .max(now)
            .plus(takes(self.config.uplink_bytes_per_second));
        let link = self.links.entry(ends(from, to)).or_default();
        let free = link.free.entry(from).or_insert(now);
        *free = (*free).max(now).plus(takes(self.config.bytes_per_second));
        let left = (*free).max(*out);
        let arrival = self.arrival(left);
        let link = self.links.entry(ends(from, to)).or_default();
        let last = link.last.entry((from, lane)).or_insert(arrival);
        *last = (*last).max(arrival);
        *last
    }

    /// When the streams from a peer are open: before any of its frames arrives.
    pub(super) fn ready_arrival(
        &mut self,
        node: NodeId,
        peer: NodeId,
        now: Timestamp,
    ) -> Timestamp {
        let at = self.arrival(now);
        let link = self.links.entry(ends(node, peer)).or_default();
        for lane in Lane::ALL {
            link.last.insert((peer, lane), at);
        }
        at
    }

    /// When the copies of a gossip message arrive: none when it is lost.
    pub(super) fn gossip_arrivals(&mut self, now: Timestamp) -> Vec<Timestamp> {
        let NetworkConfig {
            gossip_loss,
            gossip_duplication,
            ..
        } = self.config;
        let mut copies = 0;
        if !self.happens(gossip_loss) {
            copies = 1 + usize::from(self.happens(gossip_duplication));
        }
        (0..copies).map(|_| self.arrival(now)).collect()
    }

    /// Connects two nodes; `false` when they are connected.
    pub(super) fn raise(&mut self, a: NodeId, b: NodeId) -> bool {
        let link = self.links.entry(ends(a, b)).or_default();
        !std::mem::replace(&mut link.up, true)
    }

    /// Disconnects two nodes; `false` when they are not connected.
    pub(super) fn lower(&mut self, a: NodeId, b: NodeId) -> bool {
        let was_up = self.drop_frames(a, b);
        if let Some(link) = self.links.get_mut(&ends(a, b)).filter(|_| was_up) {
            link.up = false;
            link.lost += 1;
        }
        was_up
    }

    /// Loses what is in the streams between two nodes; `false` when they are not
    /// connected.
    pub(super) fn drop_frames(&mut self, a: NodeId, b: NodeId) -> bool {
        let Some(link) = self.links.get_mut(&ends(a, b)).filter(|link| link.up) else {
            return false;
        };
        link.streams_lost += 1;
        link.last.clear();
        link.free.clear();
        true
    }

    /// Tells messages of a connection that is up from those that were lost with
    /// an earlier one.
    pub(super) fn epoch(&self, a: NodeId, b: NodeId, way: Way) -> Option<u64> {
        let link = self.links.get(&ends(a, b)).filter(|link| link.up)?;
        Some(match way {
            Way::Streams => link.streams_lost,
            Way::Gossip => link.lost,
        })
    }
}

fn ends(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}
