//! Bounds of one connection: how it is made, what it may hold, and when it is dead.

use std::num::NonZeroU8;
use std::time::Duration;

use super::MAX_ADDRESSES_PER_PEER;

/// How long the other end of a new connection of a private network may take to
/// prove that it has the key: one round trip, after a QUIC handshake that may
/// take as long.
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection whose other end has another key is kept for it to
/// find that out, too: a round trip.
pub const PROOF_LINGER: Duration = Duration::from_millis(500);

/// How long it takes at most to reach an address over TCP, before anything is
/// negotiated: the system asks again after 1, 3 and 7 seconds.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// How long it takes at most to reach a peer and to negotiate: as libp2p has
/// it.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long all of it takes at most for one address, from when it is dialled, with
/// the names that are looked up and the proof of a network key. Longer than
/// [`CONNECTION_TIMEOUT`], which tells more when it is over; the addresses of a name
/// are dialled one after the other, and when the first is silent for
/// [`CONNECT_TIMEOUT`] this leaves the next one time.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

/// Addresses of a peer that are dialled at the same time: TCP and QUIC over IPv4 and
/// IPv6. The others follow as these fail: who tells us of peers would else have us call
/// at twice as many places of others.
pub const DIALLED_AT_ONCE: NonZeroU8 = NonZeroU8::new(4).unwrap();

/// The same of a peer that is to be kept connected, whose addresses the user named or
/// it was reached at before: all, so that it is found at once wherever it has gone. Each
/// may be a socket, over QUIC, too, where it goes out from a port of its own: with so
/// many `open_files` counts for every dial.
pub const KEPT_DIALLED_AT_ONCE: NonZeroU8 = NonZeroU8::new(MAX_ADDRESSES_PER_PEER as u8).unwrap();

/// Substreams of one connection over TCP or through a relay, both ways. The lanes of
/// sync are six, gossip has two, and questions of each protocol a few to 32: 128 are
/// more than anybody honest has. The other 256 are circuits, each of which is one on
/// the connection of the relay with the node at its end: all that a relay carries,
/// unless it is told otherwise, may lead to the same node. Where we open one more, the
/// connection ends; where the other end does, it is told to go, which ends it there, and
/// whoever does not heed that has none more.
pub const MAX_SUBSTREAMS: usize = 384;

/// Bytes of one connection that may wait unread in all of its substreams: the 256 KiB
/// of each that the protocol fixes, 96 MiB, and 32 MiB for windows that grow with the
/// length of the line, which is twice what is under way on one of 160 MB/s and 100 ms.
/// An honest peer has a few KB there: what comes is read at once, and where we stop
/// reading a lane its window fills.
///
/// It is what the frames carry, and not what they cost: each is kept by itself, with 64
/// to 96 bytes beside what it carries. A peer that sends single bytes, 13 on the line,
/// makes each of them cost up to a hundred times as much. yamux does not bound that.
pub const MAX_UNREAD_BYTES: usize = 128 << 20;

/// Substreams that the other end has opened and that wait to be negotiated; more are
/// reset. As many more as [`MAX_NEGOTIATED_SUBSTREAMS`] are on their way.
pub const MAX_WAITING_SUBSTREAMS: usize = 32;

/// Substreams of one connection whose protocol is negotiated at a time, for ten
/// seconds at most. After a meeting a peer opens one of each protocol, a dozen.
pub const MAX_NEGOTIATED_SUBSTREAMS: usize = 32;

/// Substreams of one connection over QUIC that the other end may have open: as many as
/// over TCP. The next one waits for another to end.
pub const MAX_QUIC_SUBSTREAMS: u32 = MAX_SUBSTREAMS as u32;

/// Bytes of one connection over QUIC that may wait unread in one of its substreams,
/// and in all of them: as libp2p has it, what is under way on a line of 100 MB/s and
/// 100 ms, and half as much for the other lanes.
pub const MAX_UNREAD_QUIC_SUBSTREAM_BYTES: u32 = 10_000_000;
/// See [`MAX_UNREAD_QUIC_SUBSTREAM_BYTES`].
pub const MAX_UNREAD_QUIC_BYTES: u32 = 15_000_000;

/// How often the log names one and the same stranger at the door of a private
/// network: it knocks again and again.
pub const NAME_STRANGER_AGAIN: Duration = Duration::from_secs(600);

/// Strangers that the log names within that time. More of them are a flood,
/// which must fill neither the memory nor the log.
pub const MAX_NAMED_STRANGERS: usize = 256;

/// How long what was sent over TCP may go without any acknowledgement before the
/// system gives the connection up. It has repeated it six times by then, after
/// 0.2 to 6.4 s; with the ping that shows it, a dead line ends after 22 s, and the
/// rest of half a minute is left for a new connection.
pub const UNACKNOWLEDGED: Duration = Duration::from_secs(12);

/// How long nothing may come over TCP before the system asks the other end, and
/// how often it does so then. No process has to wake up for it.
pub const KEEPALIVE_AFTER: Duration = Duration::from_secs(6);
/// See [`KEEPALIVE_AFTER`].
pub const KEEPALIVE_EVERY: Duration = Duration::from_secs(3);

/// TCP sockets after which those that have ended are looked for: 1 KB.
pub const MIN_TRACKED_LINES: usize = 64;

/// How often it is looked at whether the addresses that we use are still this
/// machine's, should the system not tell. A few microseconds for each.
pub const DEPARTURES_EVERY: Duration = Duration::from_secs(3);

/// How long a path is remembered on which large packets of TCP are lost: a line
/// with such a fault keeps it, but whoever moves gets another line.
pub const NARROW_FOR: Duration = Duration::from_secs(1_800);

/// How long all paths are suspected when one was found to be so: a node whose own line
/// is meets its relay first, and then its peers.
pub const NARROW_LINE_FOR: Duration = Duration::from_secs(60);

/// Such paths that are remembered, 50 bytes each.
pub const MAX_NARROW_PATHS: usize = 256;

/// By how much QUIC goes before TCP on such a path: a handshake and its first
/// repetition.
pub const QUIC_HEAD_START: Duration = Duration::from_secs(3);

/// How long nothing may come over a connection before another one to the same
/// peer takes its place: a ping and its answer, and a second more.
pub const SILENT_AFTER: Duration = Duration::from_secs(12);

/// The same when a new connection comes that is as good. What is under way on a
/// busy one is not to be disturbed.
pub const QUIET_AFTER: Duration = Duration::from_secs(2);

/// How old a connection is before one that its peer makes beside it is taken for a
/// sign that the peer may have lost it: two that dial each other at once have both
/// of theirs within this time. (Where it is alive a ping shows that.)
pub const RIVAL_AFTER: Duration = Duration::from_secs(2);

/// Addresses of ours that were confirmed and taken back, and are taken up again when
/// they come back: those of a few networks that a machine goes to and fro between.
pub const MAX_WITHDRAWN: usize = 32;

/// How often a peer is asked for a sign of life. Two answers that do not come
/// end the connection, after 45 s at most: this is for peers that hang. What is
/// lost on the way is noticed earlier, by [`UNACKNOWLEDGED`] and by QUIC.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long an answer may take. The 256 KiB that may be queued before it take
/// as long at 140 kbit/s.
pub const PING_TIMEOUT: Duration = Duration::from_secs(15);
