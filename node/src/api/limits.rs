//! Every bound of the local API, with the reason for its number.

use std::time::Duration;

/// Connections of the API at a time: the live streams, the reads, and four
/// hundred of programs that publish. Each is an open file and 20 KB; while an
/// answer is not taken it holds what `READ_MEBIBYTES` and `LIVE_BATCH_BYTES` say.
pub const MAX_API_CONNECTIONS: usize = 1_024;

/// As many are left to the API however few files may be open: commands, a
/// dashboard, and some programs.
pub const MIN_API_CONNECTIONS: usize = 64;

/// Connections that were told to go and are not closed yet. While there are so
/// many, nobody is accepted: each is an open file until then.
pub const CLOSING_CONNECTIONS: usize = 64;

/// How long a connection that was closed from here, in the middle of a head or
/// because nothing of its answer was taken, is kept open for the other end: whoever
/// comes again at once then does so once in that time.
pub const TARPIT: Duration = Duration::from_secs(5);

/// Connections that are kept so, each of them an open file: those of a flood of twice
/// as many as there are places for. Fewer, or none, where few files may be open.
pub const MAX_TARPIT: usize = MAX_API_CONNECTIONS;

/// Bytes of the head of a request: the address of a join of 256 streams has 15 KB,
/// and cookies and what proxies add a few more. Of a thousand connections that is
/// 64 MB.
pub const MAX_HEAD_BYTES: usize = 64 << 10;

/// Bytes that are read and thrown away after it was said that no more of a head is
/// read, so that what was said arrives: those of a client that sends all before it
/// reads anything. Whoever has more to say does not hear why.
pub const MAX_REFUSED_BYTES: usize = 1 << 20;

/// Bytes of all answers together that are made in memory and wait for their
/// clients, beside the first `BLOCK_BYTES` of each: a report of gaps may have
/// 4 MB, and the list of ten thousand streams 10 MB.
pub const MAX_WAITING_BYTES: usize = 256 << 20;

/// How long the head of a request may take, from the first moment of a
/// connection, or from its first byte: a few packets, of which each may be lost
/// twice.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long somebody who has connected may take to ask before others that come
/// take the place, unless nobody had more: programs ask within a millisecond,
/// over a far line within two round trips.
pub const HEAD_GRACE: Duration = Duration::from_secs(1);

/// How long a connection may be kept that asks for nothing. Clients keep theirs
/// for 60 to 90 s; whoever keeps it longer than the other end may lose a request
/// at the moment at which it is closed.
pub const IDLE_CONNECTION: Duration = Duration::from_secs(120);

/// How long nothing may come of the body of a request that is waited for. Each
/// byte begins it anew, so that a slow line or a pipe goes on.
pub const BODY_PAUSE: Duration = Duration::from_secs(60);

/// How often all connections are looked at: far less than the shortest of these
/// times.
pub const CONNECTIONS_LOOKED_AT: Duration = Duration::from_millis(500);

/// How long after the last one that was turned away the API is no longer said
/// to be crowded.
pub const API_CROWDED_FOR: Duration = Duration::from_secs(4);

/// Bytes of the body of a publish. A command takes 65,536 records (see
/// `MAX_PUBLISH_RECORDS`); with a time of 27 characters and a short value an
/// item has 60 to 200 bytes of JSON, so that the usual batch is cut by the
/// number of records and not by this. It is all in memory at once.
pub const MAX_OBSERVATIONS_BODY_BYTES: usize = 16 << 20;

/// Kibibytes of all such bodies that are read at a time and have more than
/// [`MIDDLE_BODY_KIB`]: eight of the largest. What is made of one takes twice as
/// much beside it, so that they have 400 MB together.
pub const LARGE_BODIES_KIB: u32 = 128 << 10;

/// The same for all that have less: they do not wait for large ones.
pub const MIDDLE_BODIES_KIB: u32 = 32 << 10;

/// Kibibytes of a body of a few thousand observations.
pub const MIDDLE_BODY_KIB: u32 = 1 << 10;

/// Kibibytes of a body that need not wait for room among the others: those of all
/// connections have 64 MB, and whoever publishes a few observations never waits.
pub const SMALL_BODY_KIB: u32 = 64;

/// How long a body may wait until there is room for it.
pub const BODY_WAIT: Duration = Duration::from_secs(10);

/// Bytes of such a body that is read where it arrives: microseconds, less than a
/// thread takes to be woken for it.
pub const SHORT_BODY_BYTES: usize = 4 << 10;

/// Bytes of an `Idempotency-Key`: a UUID has 36, and some services write a path
/// before it. Only its hash is kept.
pub const MAX_KEY_BYTES: usize = 255;

/// Bytes of any other body. A manifest has at most 16 KiB, which JSON escapes
/// can make six times as long.
pub const MAX_BODY_BYTES: usize = 128 << 10;

/// Streams that are named when a text fits several.
pub const MAX_LISTED_CANDIDATES: usize = 10;

/// Characters of a stream id that name it. Six of base32 are 30 bits: among
/// 10⁴ streams a chance hit is one in 10⁵.
pub const MIN_ID_PART: usize = 6;

/// Streams that are proposed when a text names none.
pub const MAX_SIMILAR: usize = 3;

/// Characters by which a name may differ from a slip of it, at most.
pub const MAX_SLIPS: usize = 3;

/// Longer names are not compared with a text that names nothing: that takes the
/// product of both lengths, for each stream that is known. Nobody types them.
pub const MAX_SIMILAR_BYTES: usize = 64;

/// Addresses that a subscription may name: publisher, a few holders, and the
/// TCP, QUIC, IPv4 and IPv6 forms of each. Every one of them is dialled.
pub const MAX_KNOWN_PEERS: usize = 32;

/// Own addresses in an invite: TCP and QUIC of two networks. It should still
/// fit into one line of a message.
pub const MAX_INVITE_ADDRESSES: usize = 4;

/// Live streams at a time: 500 clients and some that just come back. Each may
/// hold `LIVE_BATCH_BYTES` while its client reads slowly, and for numbers about
/// 30 KiB. A tenth is for those who show a token: 500 need none.
pub const MAX_LIVE_STREAMS: usize = 600;

/// Readers of histories that work at a time, at least: one for each processor.
/// With more, who publishes beside them would wait for its turn at a processor.
/// The others wait for theirs here.
pub const MIN_READS: usize = 2;

/// How long one of them works before another one gets its turn.
pub const READ_TURN: Duration = Duration::from_millis(50);

/// Readers of histories in all, those included that wait for their clients. Each
/// is a thread, of the 512 that the runtime has for all that blocks.
pub const MAX_READERS: usize = 256;

/// Mebibytes that all of them may need together: the blocks that wait for each
/// client (`QUEUED_BLOCKS`, and what the connection holds of them, together one),
/// and what its encoder holds (the limits of `export`).
pub const READ_MEBIBYTES: usize = 1_024;

/// How long somebody waits for a place before the answer is that there is none:
/// longer than it takes until those have gone who do not read.
pub const READ_WAIT: Duration = Duration::from_secs(15);

/// How long a client may take nothing of its answer when others need its place.
/// On a line with long pauses a packet comes again after a second or two.
pub const STALLED_READ_IN_CROWD: Duration = Duration::from_secs(5);

/// The same for one that has taken something after a pause, and so goes on slowly:
/// between two programs of one machine the system hands on 120 KB at a time, which
/// at 16 KB a second are seven seconds. Less than [`READ_WAIT`].
pub const SLOW_READ_IN_CROWD: Duration = Duration::from_secs(12);

/// Bytes a second that such a one takes since its first pause, or it has no more
/// patience than others: less than half of the slowest that is meant. Who takes less
/// keeps a place, and reads nothing.
pub const SLOW_READ_BYTES: u64 = 6 << 10;

/// A pause, and not what it takes until the buffers between both ends are full.
pub const READ_PAUSE: Duration = Duration::from_secs(1);

/// Bytes of a block of an answer that is written while it is read: large enough
/// that the hand-over between threads costs little, small enough that the first
/// records are seen at once.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// Blocks that wait for the client.
pub const QUEUED_BLOCKS: usize = 4;

/// How long a client may read nothing of an answer before it is cut off although
/// nobody needs its place, so that forgotten clients do not hold the threads.
/// Long enough for a person who pages through an export.
pub const STALLED_READ: Duration = Duration::from_secs(600);

/// Records that are turned into events of a live stream at a time.
pub const LIVE_BATCH: u64 = 512;

/// Bytes of such events, unless one of them has more: 600 clients that are behind
/// hold 150 MB.
pub const LIVE_BATCH_BYTES: usize = 256 << 10;

/// Quiet time after which a live stream sends a comment, so that proxies and
/// clients see that it lives. Common proxies cut at 60 s.
pub const LIVE_HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a live client may take nothing before it is dropped. It comes back
/// with the last index that it has, and misses nothing.
pub const STALLED_LIVE: Duration = Duration::from_secs(30);

/// How long a live client that is dropped may take to hear why.
pub const LIVE_FAREWELL: Duration = Duration::from_secs(2);

/// Messages that a live client may send over a WebSocket between two of our
/// pings: it has nothing to say, but may ping us once a second.
pub const MAX_SOCKET_MESSAGES: u32 = 100;

/// Bytes of a message that a live client may send over a WebSocket: it has
/// nothing to say.
pub const MAX_SOCKET_MESSAGE_BYTES: usize = 4 << 10;

/// Bytes of a history that nobody signed, as it is imported: ten million
/// observations. It is stored while it comes.
pub const MAX_UNSIGNED_BODY_BYTES: usize = 1 << 30;

/// Bytes of a line of it: the longest value, with six for a character that has
/// to be escaped, and a time.
pub const MAX_UNSIGNED_LINE_BYTES: usize = 32 << 10;

/// How long peers have to answer a question of a walk: a slow connection and a
/// busy disk.
pub const WALK_DEADLINE: Duration = Duration::from_secs(5);

/// The longest that may be said: as long as the network waits for an answer.
pub const MAX_WALK_DEADLINE: Duration = Duration::from_secs(60);

/// Links to the dashboard that nobody has opened yet: a person opens one at a
/// time, scripts and second tries make a few.
pub const MAX_LINKS: usize = 16;

/// How long such a link is good: long enough to paste it elsewhere, short enough
/// that what is left in a terminal or a log opens nothing.
pub const LINK_LIFE: Duration = Duration::from_secs(60);

/// Sessions of browsers: a few browsers, and private windows that were closed.
pub const MAX_SESSIONS: usize = 16;

/// How long a session is good: a working day.
pub const SESSION_LIFE: Duration = Duration::from_secs(12 * 3_600);

/// Answers that are kept in files for clients that ask for parts: a notebook
/// that looks at each of its streams before it reads any. Each is an open file.
pub const MAX_SPOOLS: usize = 32;

/// How long such a file is kept after its last use. Clients ask for the parts
/// one right after the other; a person who steps through a notebook may pause.
pub const SPOOL_IDLE: Duration = Duration::from_secs(60);

/// How long it is kept in any case. A line of 10 Mbit/s takes the largest ones
/// in that time; who goes on asking must not keep an old version for ever.
pub const MAX_SPOOL_AGE: Duration = Duration::from_secs(2 * 3_600);

/// Bytes of all such files together, those that are still read included. A
/// number has 8 bytes in Parquet and 40 in CSV, so that the 10⁸ of a long
/// history have 0.8 GB or 4 GB: a few of these fit, and nobody fills the disk by
/// asking. What is larger is still sent whole.
pub const MAX_SPOOL_BYTES: u64 = 8 << 30;

/// Streams of which is kept how their rows were numbered when they had their first live
/// client, 100 bytes each: a node has 10⁴ streams, and these are some that were deleted and
/// followed again. Of others a client that comes back is told less.
pub const MAX_FIRST_ROWS: usize = 65_536;

/// Questions of clients for which is kept which version of the answer they were
/// told last, 200 bytes each: a notebook asks some tens, and a few run at a time.
/// Who is forgotten gets the whole instead of a part.
pub const MAX_TOLD: usize = 1_024;

/// How long a client that has read a part of a file is taken to be reading still:
/// who reads one asks for the next part within a second, and who thinks about it
/// for longer gets the whole, or parts of what he is told then.
pub const READING: Duration = Duration::from_secs(10);

/// Findings of each kind in a report of gaps, unless more are asked for: enough
/// to see what is wrong with a stream.
pub const LISTED_GAPS: usize = 100;

/// At most so many: 4 MB of JSON in all.
pub const MAX_LISTED_GAPS: usize = 10_000;

/// Streams of one join: a wide table of measurements, and an address of 15 KB
/// that has all of their ids, which common proxies still take. What a join keeps
/// in memory is bounded for all of its streams together (`MAX_DISORDER_BYTES`).
pub const MAX_JOINED_STREAMS: usize = 256;
