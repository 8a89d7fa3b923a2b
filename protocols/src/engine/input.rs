//! What the engine is told.

use std::collections::BTreeMap;

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::{Command, LostRows, Mark, Room};
use crate::id::{LogId, Topic};
use crate::meta::Server;
use crate::ranges::Interval;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Something happened.
#[derive(Debug)]
pub enum Input {
    /// A peer that speaks the sync protocol is there; and a number for where it is,
    /// if that is known and few parties can be at many such places.
    Ready(PeerId, Option<u64>),
    /// A peer is gone, or its streams were opened anew: what was on the way to
    /// it or from it is lost.
    Gone(PeerId),
    /// The last connection to a peer is closed.
    Disconnected(PeerId),
    /// A peer subscribed to a topic, or was found to be.
    Subscribed(PeerId, Topic),
    /// A peer unsubscribed from a topic.
    Unsubscribed(PeerId, Topic),
    /// A frame of a sync stream.
    Frame(PeerId, Bytes),
    /// Frames that cost so much ([`crate::sync::frame_cost`]) have left the
    /// transport's queue.
    Sent(PeerId, usize),
    /// A gossip message that waits for a verdict.
    Gossip {
        /// Names the message to the transport.
        id: Bytes,
        /// The peer that passed it on.
        from: PeerId,
        /// The peer that published and signed it.
        author: PeerId,
        /// Where it was heard.
        topic: Topic,
        /// The message.
        data: Bytes,
    },
    /// How others reach this node. Before it is known the node neither joins on
    /// meta topics nor offers anything there.
    Reachable {
        /// Its signed peer record, as others verify it.
        record: Bytes,
        /// Rendezvous servers that it is connected to; the first few are used.
        servers: Vec<Server>,
    },
    /// The outcome of [`Output::Sync`](super::Output::Sync).
    Synced(Result<(), StoreError>),
    /// The disk has given back the room of the rows with this number: see
    /// [`Output::Reclaim`](super::Output::Reclaim).
    Reclaimed(u32),
    /// The outcome of [`Output::Probe`](super::Output::Probe).
    Probed(Result<(), StoreError>),
    /// A write to the store that somebody else made has failed, so that nothing can be
    /// written: it is seen to as after one of the engine's own. Whoever has no room to
    /// write would never find out.
    Failed(StoreError),
    /// How much may be written from now on. Without a word, everything.
    Room(Room),
    /// What the system's clock shows at the `now` of the call. It is told when it
    /// does not go as `now` does: it may be set, in either direction.
    Clock(Timestamp),
    /// Somebody could not read what is held of this part of a log, or found that it
    /// is not what was proved. It is read here, and no longer held if that is true.
    Suspect(LogId, Interval),
    /// The store has lost rows: see [`LostRows`]. Which of its repairs that was.
    RowsLost(Vec<LostRows>, u64),
    /// What was signed last of streams of ours, by a note that was found only now.
    Marks(BTreeMap<LogId, Mark>),
    /// What a user asks for; the number comes back with the reply.
    Command(u64, Command),
}
