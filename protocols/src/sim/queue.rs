//! What will happen, in order: the only clock of a simulation.

use std::collections::BTreeMap;

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::NodeId;
use super::network::Way;
use crate::engine::{Command, Room};
use crate::id::Topic;
use crate::ranges::Interval;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Something that will happen to a node.
#[derive(Debug)]
pub(super) enum Event {
    /// The streams to a peer are open.
    Ready { peer: NodeId, epoch: u64 },
    /// The streams to a peer were lost; `closed`: the connection too.
    Gone { peer: PeerId, closed: bool },
    /// A peer has subscribed to a topic, or unsubscribed.
    Subscription {
        peer: NodeId,
        epoch: u64,
        topic: Topic,
        subscribed: bool,
    },
    /// A frame arrives.
    Frame {
        from: NodeId,
        epoch: u64,
        bytes: Bytes,
    },
    /// A frame that cost so much has left the transport's queue.
    Sent {
        peer: NodeId,
        epoch: u64,
        cost: usize,
    },
    /// A gossip message arrives.
    Gossip {
        from: NodeId,
        author: NodeId,
        epoch: u64,
        topic: Topic,
        data: Bytes,
    },
    /// The disk has everything that it had been given when the node, opened for
    /// this time, asked for it.
    Synced {
        opened: u64,
        result: Result<(), StoreError>,
    },
    /// The attempt to write of a node that was opened for this time has ended.
    Probed {
        opened: u64,
        result: Result<(), StoreError>,
    },
    /// The disk has given back the room of deleted rows.
    Reclaimed { opened: u64, number: u32 },
    /// Somebody found that the store cannot be written.
    Failed(StoreError),
    /// The disk was measured.
    Room(Room),
    /// Its clock shows this much more than the virtual one, in microseconds.
    Clock(i64),
    /// Something of a log could not be read.
    Suspect(crate::id::LogId, Interval),
    /// A user's command.
    Command(u64, Command),
    /// The engine asked to be woken.
    Wake,
}

impl Event {
    /// The other end of the connection that it comes by, how, and the epoch in
    /// which it was sent.
    pub(super) fn link(&self) -> Option<(NodeId, Way, u64)> {
        match *self {
            Self::Ready { peer, epoch } | Self::Sent { peer, epoch, .. } => {
                Some((peer, Way::Streams, epoch))
            }
            Self::Frame { from, epoch, .. } => Some((from, Way::Streams, epoch)),
            Self::Subscription { peer, epoch, .. } => Some((peer, Way::Gossip, epoch)),
            Self::Gossip { from, epoch, .. } => Some((from, Way::Gossip, epoch)),
            Self::Gone { .. }
            | Self::Synced { .. }
            | Self::Probed { .. }
            | Self::Reclaimed { .. }
            | Self::Failed(_)
            | Self::Room(_)
            | Self::Clock(_)
            | Self::Suspect(..)
            | Self::Command(..)
            | Self::Wake => None,
        }
    }
}

/// Events by time; those of one time in the order in which they were pushed.
#[derive(Debug)]
pub(super) struct Queue {
    now: Timestamp,
    sequence: u64,
    events: BTreeMap<(Timestamp, u64), (NodeId, Event)>,
}

impl Queue {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            now,
            sequence: 0,
            events: BTreeMap::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Lets something happen to a node, not earlier than now.
    pub(super) fn push(&mut self, at: Timestamp, node: NodeId, event: Event) {
        let key = (at.max(self.now), self.sequence);
        self.sequence += 1;
        self.events.insert(key, (node, event));
    }

    /// The next event that happens until `end`; the clock goes on to it. When
    /// there is none, the clock goes on to `end`.
    pub(super) fn pop_until(&mut self, end: Timestamp) -> Option<(NodeId, Event)> {
        match self.events.first_entry() {
            Some(entry) if entry.key().0 <= end => {
                self.now = entry.key().0;
                Some(entry.remove())
            }
            _ => {
                self.now = self.now.max(end);
                None
            }
        }
    }

    /// Events that were pushed so far.
    #[cfg(test)]
    pub(super) fn pushed(&self) -> u64 {
        self.sequence
    }

    /// Whether the next event happens now, and to this node.
    pub(super) fn continues(&self, node: NodeId) -> bool {
        let next = self.events.first_key_value();
        next.is_some_and(|((at, _), (to, _))| *at == self.now && *to == node)
    }
}
