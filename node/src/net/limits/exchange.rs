//! Bounds of asking peers for others, of the book of those that are known, and of letting
//! connections go that are of no use.

use std::time::Duration;

use headwater_protocols::backoff::{Backoff, Jitter};

/// How often a node looks at whether it has peers enough.
pub const EXCHANGE_TICK: Duration = Duration::from_secs(1);

/// How long an answer with peers may take.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Questions for peers under way on one connection: honest peers have one in
/// each direction.
pub const MAX_EXCHANGE_STREAMS: usize = 4;

/// Peers that are asked at a time: one that is likely to know, and any other,
/// so that no clique of peers can keep the rest of the network from a node.
pub const ASKED_AT_ONCE: usize = 2;

/// How long there is at least between two questions to one peer: half of what it
/// answers in the long run is left for what cannot wait.
pub const ASK_AGAIN: Duration = Duration::from_secs(3);

/// How long a peer that was busy, or did not answer, is not asked.
pub const ASK_BUSY_AGAIN: Duration = Duration::from_secs(30);

/// Streams for which peers are looked for at a time: three questions' worth.
pub const MAX_SHORT_STREAMS: usize = 768;

/// Before peers are asked again for a stream that has too few. In a network that has
/// no more peers a question a minute costs next to nothing.
pub const ASK_BACKOFF: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));

/// Nodes that lost the same peer do not ask together.
pub const ASK_JITTER: Jitter = Jitter::quarters(0, 1);

/// Questions after which a stream that still has too few peers is looked up in
/// Kademlia.
pub const VAIN_QUESTIONS: u32 = 3;

/// Streams that have too few peers, but some, and are looked up at a time: a
/// part of [`MAX_LOOKUPS`](super::MAX_LOOKUPS), because those without any come first.
pub const MAX_SHORT_LOOKUPS: usize = 6;

/// How long such a stream is looked up: one query and the dials after it.
pub const LOOKUP_FOR: Duration = Duration::from_secs(30);

/// How long before it is looked up again. In this time 360 streams have
/// their turn; a small network, where nobody ever finds enough, stays quiet.
pub const LOOKUP_AGAIN: Duration = Duration::from_secs(1_800);

/// Dials at a time for the sake of peer exchange, an eighth of
/// [`MAX_PENDING_CONNECTIONS`](super::MAX_PENDING_CONNECTIONS).
pub const MAX_EXCHANGE_DIALS: usize = 16;

/// How long a peer that one part of the node dials is not dialled by another one. A dial that leads to somebody takes less; one to an address where
/// nobody is any more takes [`CONNECT_TIMEOUT`](super::CONNECT_TIMEOUT), and is made again and again.
pub const OTHER_DIAL_FOR: Duration = Duration::from_millis(1_500);

/// How long before it is forgotten that somebody waited for that.
pub const FORGET_WAITING: Duration = Duration::from_secs(20);

/// Peers of the local network that are remembered, as mDNS announces them.
pub const MAX_NEARBY_PEERS: usize = 64;

/// How long before one of them is dialled again.
pub const NEARBY_REST: Duration = Duration::from_secs(30);

/// Peers that are dialled at a time when nobody is left.
pub const RESCUE_DIALS: usize = 3;

/// Before the next of them are.
pub const RESCUE_BACKOFF: Backoff =
    Backoff::doubling(Duration::from_secs(1), Duration::from_secs(30));

/// Bootstrap nodes that are kept connected at a time; of a longer list the next
/// ones come when none of these answers. Each of them serves everybody, so that
/// few must do.
pub const MAX_KEPT_BOOTSTRAP: usize = 4;

/// How long before bootstrap nodes that do not answer are given up for the next ones
/// of the list: a few dials that time out.
pub const BOOTSTRAP_SILENCE: Duration = Duration::from_secs(10);

/// Peers in the book for each connection that there may be: once all of those
/// are lost, as many others are known. With a record, its addresses and a few
/// streams each 1 to 4 KB: 4 MB, 32 MB on a node with 4,096 connections.
pub const KNOWN_PEERS_PER_CONNECTION: usize = 2;

/// Peers in the book however few connections there may be: what one hears of a
/// network with thousands of nodes.
pub const MIN_KNOWN_PEERS: usize = 1_024;

/// Known peers in one /16 of IPv4, one /32 of IPv6 or under one name: a
/// sixteenth of the book for whoever has that part of the address space.
pub const PEER_GROUPS_IN_BOOK: usize = 16;

/// Known peers that one peer told of: four answers. A liar fills a sixteenth of
/// the smallest book.
pub const MAX_PEERS_PER_SOURCE: usize = 64;

/// Streams that are remembered for one known peer.
pub const MAX_STREAMS_PER_KNOWN_PEER: usize = 1_024;

/// How long a peer is known that was only heard of: a day, in which most home connections keep their address.
pub const KNOWN_PEER_FOR: Duration = Duration::from_secs(24 * 3_600);

/// The same of one that was connected: a node that was off for a fortnight
/// finds its peers again.
pub const MET_PEER_FOR: Duration = Duration::from_secs(15 * 24 * 3_600);

/// How long after the end of a connection others are still told of the peer:
/// connections come and go while nodes do not.
pub const TOLD_AFTER_CLOSE: Duration = Duration::from_secs(600);

/// Peers of no stream in common that are told to one who asks for streams: a
/// way out of a group that knows only itself.
pub const UNRELATED_TOLD: usize = 4;

/// Dials that may fail before a peer that was only heard of is forgotten.
pub const MAX_DIAL_FAILURES: u32 = 5;

/// Before a peer is dialled whose connection has ended, and, from the second pause on,
/// one that could not be reached.
pub const PEER_BACKOFF: Backoff =
    Backoff::doubling(Duration::from_secs(1), Duration::from_secs(600));

/// The same of a peer that was connected within [`LOST_LATELY`]: a network that was
/// cut heals within seconds.
pub const LOST_PEER_BACKOFF: Backoff =
    Backoff::doubling(Duration::from_secs(1), Duration::from_secs(8));
/// See [`LOST_PEER_BACKOFF`].
pub const LOST_LATELY: Duration = Duration::from_secs(600);

/// How long before a peer is dialled again after our own limits or access
/// lists did not let us: a burst of dials is over by then.
pub const REFUSED_DIAL_REST: Duration = Duration::from_secs(5);

/// Peers in the file of peers: thirty times the minimum, about 100 KB.
pub const MAX_CACHED_PEERS: usize = 128;

/// Bytes of that file; a longer one is not ours.
pub const MAX_PEER_CACHE_BYTES: u64 = 16 << 20;

/// How soon after the first change the file of peers is written, and then how
/// often at most.
pub const FIRST_CACHE_WRITE: Duration = Duration::from_secs(10);
/// See [`FIRST_CACHE_WRITE`].
pub const CACHE_WRITE: Duration = Duration::from_secs(180);

/// How often connections that are of no use are looked for.
pub const IDLE_REVIEW: Duration = Duration::from_secs(10);

/// How long before a connection that we made and that is of no use is closed: time to subscribe, to ask and to be asked.
pub const IDLE_AFTER: Duration = Duration::from_secs(120);

/// Of a hundred connections that may be open, and of a hundred incoming ones, so
/// many are left for whoever comes: those of least use go first when there are
/// more.
pub const SPARE_CONNECTIONS_PERCENT: u32 = 10;

/// How long a connection is left alone in any case.
pub const YOUNG_CONNECTION: Duration = Duration::from_secs(20);
