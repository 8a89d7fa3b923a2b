//! Bounds of finding those who have a stream through Kademlia.

use std::time::Duration;

use headwater_protocols::backoff::{Backoff, Jitter};

/// Bytes of a Kademlia message. (At libp2p's 16 KiB, peers with long addresses
/// make replies too large to be sent.)
pub const MAX_KAD_MESSAGE_BYTES: usize = 64 * 1024;

/// Peers in each of the 256 buckets of the routing table. Room for all of them
/// is set aside at the start, with libp2p's 20 about 1.1 MiB; BitTorrent's
/// network has always got along with 8.
pub const KAD_BUCKET_SIZE: usize = 8;

/// Servers of the routing table at one IP address (of IPv6: in one /64): a
/// bucket's worth. It takes some dozen addresses to own the buckets that matter
/// for a key.
pub const MAX_ROUTED_PER_IP: usize = KAD_BUCKET_SIZE;

/// Streams times providers that a node remembers for others, about 200 bytes
/// each: 40 MB at most, on the nodes that everybody asks.
pub const MAX_PROVIDER_ENTRIES: usize = 200_000;

/// Providers of one stream: twice what one reply carries.
pub const MAX_PROVIDERS_PER_KEY: usize = 40;

/// Streams that one provider may name: as many as a node is built for. A
/// twentieth of what is remembered.
pub const MAX_KEYS_PER_PROVIDER: usize = 10_000;

/// Bytes of the addresses of all providers: 40,000 of them with 400 each.
pub const MAX_PROVIDER_ADDRESS_BYTES: usize = 16 << 20;

/// How long others remember that this node provides a stream. libp2p's 48 h
/// would leave too many that are long gone.
pub const PROVIDER_TTL: Duration = Duration::from_secs(24 * 3_600);

/// How often this node says again what it provides: a quarter of the lifetime,
/// so that three failures in a row are harmless.
pub const ANNOUNCE_EVERY: Duration = Duration::from_secs(6 * 3_600);

/// Shortest time between two announcements of a stream that were heard: peers
/// that come and go must not make a node with many streams talk all the time.
pub const ANNOUNCE_AGAIN: Duration = Duration::from_secs(60);

/// How long a query takes at most: a few dials that time out, one after the
/// other.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Queries at a time: each is a dozen messages and perhaps as many dials, and
/// 1,000 streams must not begin with all of theirs.
pub const MAX_QUERIES: usize = 16;

/// Lookups among them, so that announcements always move.
pub const MAX_LOOKUPS: usize = 12;

/// How often discovery looks at what the streams need. To decide about 10,000
/// of them takes 1.2 ms (measured).
pub const DISCOVERY_TICK: Duration = Duration::from_secs(1);

/// Before a query is made again, such as that for a stream that nobody has.
pub const QUERY_BACKOFF: Backoff =
    Backoff::doubling(Duration::from_secs(5), Duration::from_secs(300));

/// Nodes that were started together do not ask together.
pub const QUERY_JITTER: Jitter = Jitter::quarters(1, 1);

/// Peers that wait to be dialled for the sake of one stream: one reply's.
pub const MAX_CANDIDATES: usize = 20;

/// Dials at a time for one stream: some of those found are usually gone, and
/// two sources are better than one.
pub const MAX_DISCOVERY_DIALS_PER_STREAM: usize = 3;

/// Dials at a time for all streams, a quarter of [`MAX_PENDING_CONNECTIONS`](super::MAX_PENDING_CONNECTIONS):
/// the peers that are to be kept connected need the rest.
pub const MAX_DISCOVERY_DIALS: usize = 32;
