//! Bounds of the network, with their reasons.

use std::time::Duration;

/// Connections of one peer. Hole punching needs a relayed one and two direct
/// attempts at once.
pub const MAX_CONNECTIONS_PER_PEER: u32 = 4;

/// Established connections, both directions, unless the configuration says
/// otherwise. About 100 KB each.
pub const MAX_CONNECTIONS: u32 = 512;

/// Connections under negotiation in each direction: a flood of half-open ones
/// must not use up memory; honest bursts (20 nodes starting at once) fit.
pub const MAX_PENDING_CONNECTIONS: u32 = 128;

/// Frames from all peers that wait for the engine. A frame is at most 1.1 MiB,
/// typically 128 KiB: 8 MiB at the bulk rate. While it is full nothing more is
/// read from any peer.
pub const INBOUND_FRAMES: usize = 64;

/// Topics a peer may be subscribed to: two for each of 10,000 streams.
/// (Gossipsub's default of 100 is reached at 51 streams, and then drops all.)
pub const MAX_TOPICS_PER_PEER: usize = 20_000;

/// Bytes of one gossipsub frame, and of the subscriptions and control data in
/// it. Gossipsub tells a new peer all its topics in one, and both ends drop it
/// in silence when it is too long: 20,000 of 90 bytes must fit. A
/// published message is held to its own, smaller limit by the engine.
pub const MAX_GOSSIP_FRAME_BYTES: usize = 2 << 20;

/// How long a peer that broke the rules is not spoken to. Long enough to make
/// lying expensive, short enough that a peer with a bug comes back after an
/// update.
pub const BAN: Duration = Duration::from_secs(600);

/// Peers that are banned at a time; the oldest ban ends first.
pub const MAX_BANNED: usize = 4_096;

/// First pause before a peer that should be connected is dialled again; it
/// doubles at each failure.
pub const FIRST_REDIAL: Duration = Duration::from_millis(250);

/// Longest pause between two dials of one address.
pub const MAX_REDIAL: Duration = Duration::from_secs(30);

/// Addresses that are kept dialled: bootstrap peers and the known peers of
/// followed streams.
pub const MAX_KEPT_ADDRESSES: usize = 1_024;
