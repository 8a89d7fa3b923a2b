//! Bounds of fetching records: what is asked for, read, and on its way.

use std::time::Duration;

use super::MAX_CHUNK_BYTES;
use crate::backoff::Backoff;

/// Subtrees in one offer: the width of old Swarm's bit vector.
pub const MAX_OFFERED: usize = 128;

/// Bytes of chunks in one batch, which is what one request brings: two of them
/// in flight carry 80 MB/s at 100 ms a round trip.
pub const MAX_BATCH_BYTES: usize = 4 << 20;

/// Bytes of chunks that are put together in one delivery frame: large enough
/// that framing and encryption are cheap, small enough that a more urgent frame
/// does not wait long behind it.
pub const DELIVERY_BYTES: usize = 128 * 1024;

/// One byte in this many is kept for what is less urgent while it waits: enough
/// that history goes on under any load, too little for anybody to notice that
/// waits for a record.
pub const RESERVED_PART: i64 = 16;

/// Bytes of one frame: the largest chunk and its envelope.
pub const MAX_FRAME_BYTES: usize = MAX_CHUNK_BYTES + 64 * 1024;

/// Fields in the body of one frame, each element of a list being one: four times
/// the longest list. An empty element has two bytes on the wire and up to 128 in
/// memory, three times as many while its list grows: without this bound one frame
/// would take 200 MB.
pub const MAX_FRAME_FIELDS: usize = 4 * MAX_INTERVALS;

/// Intervals in one list of what is held, or in one request: 1,024 × 22 bytes
/// fit into a frame many times, and a stream with more holes is told from its
/// lowest ones.
pub const MAX_INTERVALS: usize = 1_024;

/// Records in one request, or as many as 128 chunks have if these are more. With
/// small chunks a request has several pages, which cost no round trip each.
pub const MIN_REQUEST_RECORDS: u64 = 1_024;

/// Pages of one request that are offered before the peer has said what it wants
/// of the first of them: 512 addresses a round trip, 1.5 MB a second at 100 ms
/// even of holes of one record each.
pub const MAX_OPEN_PAGES: usize = 4;

/// Holes that one source is asked for at least, when several share the work: a
/// page of single records.
pub const MIN_SHARED_INTERVALS: usize = MAX_OFFERED;

/// Batches in flight from one peer at least: one is stored while the next one
/// travels.
pub const BATCHES_IN_FLIGHT: usize = 2;

/// Batches that one peer may have open here, for all logs together, about 10 KB
/// each. Those of history come to 40 MiB, as much as is on its way from afar: 400
/// MB a second at 100 ms.
pub const MAX_OPEN_BATCHES: usize = 12;

/// Bytes that one unit of [`READ_ALLOWANCE`] stands for: reading them, and hashing
/// half of them, takes about as long as looking up a node of the tree, 4 µs. (A
/// chunk of which a part is offered is read twice and hashed once.)
pub const READ_UNIT_BYTES: u64 = 2048;

/// Microseconds in which a peer earns a unit of reading and proving, and how many
/// it may use up at once. 6,400 units a second are a fortieth of a core, and the
/// burst is a quarter of a second of one: it is for 1,400 holes in chunks of 27 KB.
/// Whoever takes what it is offered gets back what the offer cost, so that only
/// what is read in vain counts: a page of whole chunks costs nothing then.
pub const READ_ALLOWANCE: (u64, u64) = (156, 1 << 16);

/// The same of all peers at one place: of two that use all of theirs.
pub const READ_ALLOWANCE_OF_PLACE: (u64, u64) = (READ_ALLOWANCE.0 / 2, READ_ALLOWANCE.1 * 2);

/// Units that each question costs, whatever becomes of it: it is decoded, looked
/// at and answered, if only by saying that the peer has to wait. 640 questions a
/// second about the heads of 10,000 streams in common are a fifth of what a peer
/// earns.
pub const QUESTION_UNITS: u64 = 2;

/// Units that a peer may owe and still be told a manifest or a head, which cost
/// little: several times what one page can cost more than there was.
pub const MAX_OWED_UNITS: u64 = READ_ALLOWANCE.1 / 8;

/// Units that a peer may owe. Who is told to wait and waits never owes as much; who
/// goes on asking until it does, 32,000 questions later, is dropped. What nobody
/// asked for counts by its bytes: this and the burst are 256 MiB, five times what
/// may be on its way when it is cancelled.
pub const MAX_FLOOD_UNITS: u64 = READ_ALLOWANCE.1;

/// Trees whose ragged ends are kept to prove pages with, at most 12 hashes each: one
/// for each of the logs that are served at a time.
pub const MAX_KNOWN_ENDS: usize = 256;

/// Bytes of chunks after which a page of an offer ends that are read because only
/// a part of each is offered, and how many such chunks: 2 ms of the engine's time,
/// for which a live record waits.
pub const MAX_PAGE_READ_BYTES: u64 = 512 * 1024;

/// See [`MAX_PAGE_READ_BYTES`].
pub const MAX_PAGE_PARTS: usize = 16;

/// Records that are hashed in the time of one unit of [`READ_ALLOWANCE`], when a
/// node within a chunk is made from all of the chunk's.
pub const HASHED_AS_A_UNIT: usize = 16;

/// Bytes of a frame of a kind that is not known here. A later version may have
/// small ones; who fills large ones with nothing is up to no good.
pub const MAX_UNKNOWN_FRAME_BYTES: usize = 4 * 1024;

/// Peers whose reading is counted, 50 bytes each: several times the connections
/// of the busiest node.
pub const MAX_COUNTED_READERS: usize = 16_384;

/// Chunks and records that users wait for at a time, about 200 bytes each: more
/// than that and they are told to ask again.
pub const MAX_RETRIEVALS: usize = 1_024;

/// Microseconds after which a second peer is asked for what a user waits for, and
/// after as many more a third one: a twentieth of the time-out. A round trip and
/// a read of the disk fit in, so that honest peers are not asked for nothing.
pub const RETRIEVAL_HEDGE_US: u64 = REQUEST_TIMEOUT_US / 20;

/// Ranges of one log that users have asked to be fetched first and that are not
/// here yet. The oldest wish gives way to a new one.
pub const MAX_WISHES: usize = 16;

/// Peers that are asked at a time for what one user waits for.
pub const RETRIEVAL_PEERS: usize = 3;

/// Microseconds until a user is told that nobody has it. Whoever is connected in
/// the meantime is asked, too.
pub const RETRIEVAL_TIMEOUT_US: u64 = 10_000_000;

/// Questions about manifests and heads that one peer is asked at a time; the
/// others wait for their turn. Two nodes with 10,000 streams in common would
/// otherwise begin with 10,000 frames each; at 100 ms a round trip these are
/// 640 answers a second.
pub const MAX_OPEN_QUESTIONS: usize = 64;

/// Bytes of frames that wait in the transport for one peer. With it a bulk
/// transfer keeps the wire busy, and an urgent frame overtakes all the rest.
pub const OUTBOX_BYTES: usize = 1 << 20;

/// Bytes that a frame takes up beside its own while it waits to be taken: its
/// place in a queue that doubles as it grows (64), its length and capacity, and
/// what the allocator adds. An answer of eight bytes would otherwise count for a
/// tenth of what it is.
pub const FRAME_OVERHEAD_BYTES: usize = 128;

/// Bytes of frames that may wait for one peer, answers included. At two thirds of
/// it nothing more is read from the peer; the rest is for what was read already.
pub const MAX_UNTAKEN_OF_PEER: usize = 6 << 20;

/// Bytes that may wait for a peer in any case: a few short answers, whatever
/// others at its place do not take.
pub const MIN_UNTAKEN_OF_PEER: usize = 64 * 1024;

/// Bytes of frames that may wait for all peers at one place (an IP address):
/// [`OUTBOX_BYTES`] for each of the 32 that an ordinary node lets in from there.
pub const MAX_UNTAKEN_AT_PLACE: usize = 32 << 20;

/// Bytes that may wait at one place in any case: one transfer goes on, whatever is
/// not taken elsewhere.
pub const MIN_UNTAKEN_AT_PLACE: usize = OUTBOX_BYTES;

/// Bytes of frames that may wait for all peers together. With it a node serves
/// 100 peers at a time at their full rate, and the others at that of their round
/// trips.
pub const MAX_UNTAKEN_BYTES: usize = 128 << 20;

/// Microseconds without any progress after which a request is given up and
/// asked of somebody else. Bee's serial requests that waited for a minute
/// stalled whole nodes.
pub const REQUEST_TIMEOUT_US: u64 = 10_000_000;

/// Microseconds after which a batch is given up however it trickles in: 4 MiB
/// in two minutes is 35 KB/s, below which another source is the better one.
pub const MAX_BATCH_TIME_US: u64 = 120_000_000;

/// Batches of history that may be open with one peer, for all logs together;
/// the rest of [`MAX_OPEN_BATCHES`] is kept free for what is urgent.
pub const MAX_HISTORY_BATCHES: usize = MAX_OPEN_BATCHES - 2;

/// Before a peer is asked again that had no place left.
pub const BUSY_BACKOFF: Backoff =
    Backoff::doubling(Duration::from_millis(200), Duration::from_millis(6_400));

/// Before a peer is asked again that failed requests in a row.
pub const COOL_OFF_BACKOFF: Backoff =
    Backoff::doubling(Duration::from_millis(500), Duration::from_secs(60));
