//! Every bound that a peer can push against, with the reason for its number.

/// Largest chunk level of a manifest: chunks of 4,096 records. Above it the
/// 1 MiB of a chunk would leave less than 256 bytes a value.
pub const MAX_CHUNK_LEVEL: u8 = 12;

/// Chunk level when the publisher names none: 256 records, so that one 32-byte
/// address stands for 25 KB of 100-byte records (0.1 % of the wire).
pub const DEFAULT_CHUNK_LEVEL: u8 = 8;

/// Bytes of values in one chunk: a value is at most this, shifted right by the
/// chunk level. A chunk is checked only when it is whole, so it must be small
/// enough to be lost and asked for again.
pub const MAX_CHUNK_VALUE_BYTES: usize = 1 << 20;

/// Bytes of one encoded chunk: the values, and for each of at most 4,096
/// records its time (8) and length (3).
pub const MAX_CHUNK_BYTES: usize = MAX_CHUNK_VALUE_BYTES + (1 << MAX_CHUNK_LEVEL) * 11;

/// Largest size of a log. Leaves room for sums of two indexes in a u64, and
/// the levels of its tree in 62 steps.
pub const MAX_LOG_SIZE: u64 = 1 << 62;

/// Bytes of a manifest. A page of description is about 3 KB; a manifest must
/// fit into one gossip message with room to spare.
pub const MAX_MANIFEST_BYTES: usize = 16 * 1024;

/// Bytes of a stream's name: it stands in tables and topics of logs.
pub const MAX_NAME_BYTES: usize = 128;

/// Bytes of a signed head: 32 + 32 + 32 + 64 bytes of hashes and signature,
/// two integers and the tags come to less than 200.
pub const MAX_SIGNED_HEAD_BYTES: usize = 256;

/// Bytes of an announcement with its records; above it the head goes alone and
/// followers pull. Half of gossipsub's transmit size, because the proof (62
/// hashes at most) and gossipsub's envelope come on top.
pub const MAX_ANNOUNCED_RECORD_BYTES: usize = 32 * 1024;

/// Bytes of one gossip message: gossipsub's own default, checked here because
/// the transport must let longer lists of subscriptions through.
pub const MAX_GOSSIP_BYTES: usize = 64 * 1024;

/// Subtrees in one offer: the width of old Swarm's bit vector.
pub const MAX_OFFERED: usize = 128;

/// Bytes of chunks in one batch. At 100 ms a round trip, two of them in flight
/// carry 80 MB/s.
pub const MAX_BATCH_BYTES: usize = 4 << 20;

/// Bytes of chunks that are put together in one delivery frame: large enough
/// that framing and encryption are cheap, small enough that a more urgent frame
/// does not wait long behind it.
pub const DELIVERY_BYTES: usize = 128 * 1024;

/// Bytes of one frame: the largest chunk and its envelope.
pub const MAX_FRAME_BYTES: usize = MAX_CHUNK_BYTES + 64 * 1024;

/// Intervals in one list of what is held: 1,024 × 22 bytes fit into a frame
/// many times, and a stream with more holes is told from its lowest ones.
pub const MAX_INTERVALS: usize = 1_024;

/// Batches in flight from one peer: one is stored while the next one travels.
pub const BATCHES_IN_FLIGHT: usize = 2;

/// Batches that one peer may have open here, for all logs together. Four times
/// what our own scheduler asks of one peer for a log.
pub const MAX_OPEN_BATCHES: usize = 8;

/// Bytes of frames that wait in the transport for one peer. With it a bulk
/// transfer keeps the wire busy, and an urgent frame overtakes all the rest.
pub const OUTBOX_BYTES: usize = 1 << 20;

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

/// Microseconds after which a peer that had no place left is asked again; the
/// pause doubles, five times at most, while it has none.
pub const BUSY_PAUSE_US: u64 = 200_000;

/// First pause after a peer failed a request; doubled at each failure in a row.
pub const FIRST_COOL_OFF_US: u64 = 500_000;

/// Longest pause after repeated failures.
pub const MAX_COOL_OFF_US: u64 = 60_000_000;

/// Microseconds between two renewals of a head that did not grow, unless the
/// stream's cadence is longer: the age of a head tells a reader how fresh its
/// view is.
pub const HEAD_RENEWAL_US: u64 = 600_000_000;

/// Heads whose time lies this far behind the newest one heard are ignored.
pub const MAX_HEAD_LAG_US: u64 = 60_000_000;

/// Heads may be this far ahead of our clock: ordinary clock error of machines
/// without NTP is within seconds to minutes.
pub const MAX_CLOCK_SKEW_US: u64 = 600_000_000;

/// Records in one publish command; a larger one is split by the caller.
pub const MAX_PUBLISH_RECORDS: usize = 1 << 16;

/// Bytes of records in one publish command.
pub const MAX_PUBLISH_BYTES: usize = 16 << 20;

/// Peers that one log remembers as sources at a time.
pub const MAX_SOURCES: usize = 64;

/// Holes of one log that are remembered as intervals. Chunks are asked for in
/// order, so that many holes come only from live records of a sparse listener.
pub const MAX_HELD_INTERVALS: usize = 1 << 16;

/// Heads that were adopted lately and can still be asked for, so that a source
/// which is a few heads behind is not idle. One a second for about a minute.
pub const MAX_RECENT_HEADS: usize = 64;

/// Microseconds between two questions for the head of a followed log that is
/// complete: gossip may lose a message, and the next one may be a day away.
pub const HEAD_POLL_US: u64 = 15_000_000;

/// The same while something is missing.
pub const BUSY_HEAD_POLL_US: u64 = 1_000_000;

/// Streams that one question for peers may name: 8 KB of ids. A node with more
/// streams that lack peers asks again.
pub const MAX_ASKED_STREAMS: usize = 256;

/// Peers in one answer: four times the minimum that a node keeps by default,
/// because some of them are gone by the time they are dialled.
pub const MAX_TOLD_PEERS: usize = 16;

/// Bytes of a signed peer record. A dozen addresses with a relay's come to
/// 1.5 KB; identify carries no more than 4 KB with all its lists.
pub const MAX_PEER_RECORD_BYTES: usize = 3 * 1024;

/// Bytes of a question for peers: the ids with their tags, and a record.
pub const MAX_PEERS_REQUEST_BYTES: usize = MAX_ASKED_STREAMS * 34 + MAX_PEER_RECORD_BYTES + 64;

/// Bytes of an answer: the peers and who answers, each with a record, and a bit
/// a stream.
pub const MAX_PEERS_ANSWER_BYTES: usize =
    (MAX_TOLD_PEERS + 1) * (MAX_PEER_RECORD_BYTES + MAX_ASKED_STREAMS / 8 + 16) + 64;

/// Questions for peers that are answered in a row. A node that has just lost its
/// peers asks at once, then in growing pauses.
pub const PEERS_QUESTIONS: u32 = 8;

/// Microseconds in which a peer earns another question: 50 KB of answers a
/// minute at the worst, whatever it costs to ask.
pub const PEERS_QUESTION_US: u64 = 5_000_000;

/// Peers whose questions are counted. Those who have not asked lately are
/// forgotten first; while all of them did, newcomers wait.
pub const MAX_COUNTED_ASKERS: usize = 4_096;

/// Subscriptions of peers to streams that are not ours which are remembered, to
/// tell others: about 100 bytes each.
pub const MAX_NOTED_SUBSCRIPTIONS: usize = 200_000;

/// The same of one peer: as many streams as a node is built for. A twentieth of
/// what is remembered.
pub const MAX_NOTED_SUBSCRIPTIONS_PER_PEER: usize = 10_000;
