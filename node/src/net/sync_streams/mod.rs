//! Long-lived sync streams: one substream a lane in each direction.
//!
//! libp2p-stream was the model, but it picks a random connection, drops bursts
//! and leaks an entry a closed connection; sync needs the direct connection,
//! back-pressure and an account of what was sent.
//!
//! # On the wire
//!
//! Protocol [`PROTOCOL`]. Each side opens its own outbound substreams, one a
//! [`Lane`], and only writes to them; inbound substreams are only read.
//!
//! ```text
//! +------+------------------+-------+------------------+-------+--
//! | lane | unsigned varint  | frame | unsigned varint  | frame | ...
//! | 1 B  | length of frame  |       | length of frame  |       |
//! +------+------------------+-------+------------------+-------+--
//! ```
//!
//! The control lane is opened with the connection, the others at the first
//! frame. A second substream of a lane that is still open, an unknown lane, a
//! frame above the maximum and an end inside a frame are [`ProtocolError`]s.
//!
//! Where both ends know [`PACKED_PROTOCOL`] the bulk lane is negotiated under
//! that name. Each of its frames then begins with a byte, which is in its
//! length: 0 for a frame as it is, 1 for a zstd frame (RFC 8878) that says the
//! size of its content, which is the frame.
//!
//! # Inside
//!
//! Frames bypass the swarm in both directions. [`Behaviour::send`] puts them
//! into the connection handler's own queue (a `NotifyHandler` event would block
//! every behaviour of the swarm while one connection is busy); handlers push
//! received ones into the bounded channels given to [`Behaviour::new`], one a
//! lane, and stop reading a lane whose channel is full. Only [`Event`]s take the swarm's way.
//!
//! What follows for the receiver of [`InboundFrame`]s:
//!
//! - Nothing is read from a peer before the swarm has handed out its
//!   [`Event::Ready`], so no first request is lost, if `Ready` is handled before
//!   the swarm is polled again.
//! - Frames still in a channel arrive after [`Event::Gone`]: drop the frames
//!   of peers that are not ready.
//! - Within one connection and lane the order is the sender's. When a peer
//!   moves to another connection, frames of both may interleave: go by
//!   correlation ids.

mod behaviour;
mod frames;
mod handler;
mod heard;
mod inbound;
mod outbound;
mod packing;
mod path;
mod place;
mod reader;
#[cfg(test)]
mod tests;
mod upgrade;

use std::time::Duration;

use bytes::Bytes;
use headwater_protocols::sync::Lane;
use ipnet::IpNet;
use libp2p::{PeerId, StreamProtocol, swarm::ConnectionId};

pub use behaviour::Behaviour;
pub use frames::{FrameReceiver, FrameSender, frame_channel};
pub use handler::Handler;
pub use packing::PACKED_PROTOCOL;

use super::limits::{QUIET_AFTER, SILENT_AFTER};

/// Name under which the protocol is negotiated.
pub const PROTOCOL: StreamProtocol = StreamProtocol::new("/headwater/sync/2");

/// Settings of [`Behaviour`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Largest frame that is accepted, without its length prefix. Each open
    /// inbound lane may hold one frame of this size in memory. The caller of
    /// [`Behaviour::send`] keeps to the remote's maximum.
    pub max_frame_bytes: usize,
    /// The same in the control lane, where questions and short answers are.
    pub max_control_bytes: usize,
    /// Nothing is read of the control lane while the frames that wait for the peer
    /// cost more: whoever asks takes the answers.
    pub max_untaken_bytes: usize,
    /// Networks in which those at one address have nothing in common.
    pub exempt: Vec<IpNet>,
    /// Small frames are gathered up to this size before they are written:
    /// 64-byte writes moved 18 MiB/s over yamux on loopback, 16 KiB ones 379.
    pub write_buffer_bytes: usize,
    /// Whether a connection to a sync peer is kept open while it is idle.
    pub keep_alive: bool,
    /// [`Event::Stalled`] is emitted when a lane with queued bytes, or one in the
    /// middle of a frame, has not moved by 16 KiB for this long (rust-yamux #227
    /// loses wake-ups; and nobody may hold memory for good).
    pub stall_timeout: Duration,
    /// A connection over which nothing came for this long gives way to another.
    pub silent_after: Duration,
    /// The same when a new one comes that is as good.
    pub quiet_after: Duration,
    /// How long an inbound lane that ended inside a frame, or a second one
    /// beside the first, is tolerated before it is reported. yamux shows a
    /// dying connection's reset as an end of stream, and QUIC may deliver a new
    /// stream before the end of the old one: neither is the peer's fault.
    pub grace: Duration,
}

impl Config {
    /// The defaults, for frames of at most `max_frame_bytes`.
    pub fn new(max_frame_bytes: usize) -> Self {
        Self {
            max_frame_bytes,
            max_control_bytes: max_frame_bytes,
            max_untaken_bytes: usize::MAX,
            exempt: Vec::new(),
            write_buffer_bytes: 64 * 1024,
            keep_alive: true,
            stall_timeout: Duration::from_secs(30),
            silent_after: SILENT_AFTER,
            quiet_after: QUIET_AFTER,
            grace: Duration::from_secs(5),
        }
    }
}

/// A frame received from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundFrame {
    /// Who sent it.
    pub peer: PeerId,
    /// The connection it came over.
    pub connection: ConnectionId,
    /// The lane it came over.
    pub lane: Lane,
    /// The frame, without its length prefix.
    pub bytes: Bytes,
}

/// What [`Behaviour`] tells the swarm's owner.
#[derive(Debug)]
pub enum Event {
    /// The peer speaks the protocol and can be sent to. Once, until `Gone`.
    Ready {
        /// The peer.
        peer: PeerId,
        /// A number for where it is; `None` where that says nothing.
        place: Option<u64>,
    },
    /// The last usable connection to a ready peer is closed, or was given up
    /// because its lanes kept breaking (then it may still be open for others).
    /// What was accepted and not yet reported as sent is lost.
    Gone {
        /// The peer.
        peer: PeerId,
    },
    /// Frames accepted before this event may be lost, and no further
    /// [`Event::Sent`] comes for them: the preferred connection changed, or one
    /// of its lanes broke. To be treated as `Gone` followed by `Ready`.
    Reset {
        /// The peer.
        peer: PeerId,
        /// As with `Ready`.
        place: Option<u64>,
    },
    /// The muxer accepted this much of what was queued. All reports since the
    /// last `Ready` or `Reset` add up to what the frames cost
    /// ([`headwater_protocols::sync::frame_cost`]) that [`Behaviour::send`]
    /// accepted since then, less what is still queued.
    Sent {
        /// The receiver.
        peer: PeerId,
        /// The lane.
        lane: Lane,
        /// What frames cost, without length prefixes; never 0.
        bytes: usize,
    },
    /// The peer broke the protocol. Nothing more is read from the connection;
    /// the owner of the swarm is expected to close it.
    Misbehaved {
        /// The peer.
        peer: PeerId,
        /// The connection to close.
        connection: ConnectionId,
        /// What the peer did.
        error: ProtocolError,
    },
    /// A lane has queued bytes, or a part of a frame, and has not moved for
    /// [`Config::stall_timeout`].
    /// Once a connection; the owner of the swarm is expected to close it.
    Stalled {
        /// The peer.
        peer: PeerId,
        /// The connection to close.
        connection: ConnectionId,
    },
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A frame's length is above [`Config::max_frame_bytes`], or
    /// [`Config::max_control_bytes`].
    #[error("{lane} frame of {bytes} bytes exceeds the maximum of {max_bytes}")]
    FrameTooLarge {
        /// The lane.
        lane: Lane,
        /// The announced length.
        bytes: usize,
        /// The maximum.
        max_bytes: usize,
    },
    /// A frame's length is not a minimally encoded unsigned varint.
    #[error("{0} frame has no valid length prefix")]
    BadLength(Lane),
    /// A packed frame has no form, or is not what its form says.
    #[error("{0} frame cannot be unpacked")]
    BadPacking(Lane),
    /// The first byte of a substream names no lane.
    #[error("unknown lane {0}")]
    UnknownLane(u8),
    /// A second substream of a lane beside one that is still open.
    #[error("second {0} substream beside an open one")]
    DuplicateLane(Lane),
    /// A substream ended inside a frame while the connection lived on.
    #[error("{0} substream ended inside a frame")]
    Truncated(Lane),
}

/// There is no usable connection to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no sync connection to the peer; wait for it to be ready")]
pub struct NotConnected;
