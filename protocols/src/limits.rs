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

/// Columns of a stream: weather stations have twenty values at a time, electric
/// meters forty.
pub const MAX_COLUMNS: usize = 64;

/// Tokens of a row: its columns, and what was measured since they were signed, for
/// which no stream has had more than a few hundred.
pub const MAX_ROW_TOKENS: usize = 4_096;

/// Arrays and objects within each other in one token of a row, which is an array
/// itself: JSON of more than 128 is not read by everybody.
pub const MAX_ROW_DEPTH: u32 = 127;

/// Bytes of a column's name: it heads a column of a table.
pub const MAX_COLUMN_NAME_BYTES: usize = 64;

/// Bytes of a column's unit; longer ones are descriptions.
pub const MAX_COLUMN_UNIT_BYTES: usize = 64;

/// Bytes of a column's description: 64 of them are half of a manifest.
pub const MAX_COLUMN_DESCRIPTION_BYTES: usize = 128;

/// Witnesses of a stream: five of seven bear two bad ones, and nobody waits for
/// more than twice as many.
pub const MAX_WITNESSES: usize = 16;

/// Bytes of a stream's witnesses together: 64 each, of which a key takes 54
/// beside its name.
pub const MAX_WITNESSES_BYTES: usize = 1024;

/// Tags of a stream: more describe nothing.
pub const MAX_TAGS: usize = 16;

/// Bytes of a tag: a word, or a key with a short value such as a position.
pub const MAX_TAG_BYTES: usize = 64;

/// Bytes of a media type with its parameters; the longest registered one has 74.
pub const MAX_CONTENT_TYPE_BYTES: usize = 128;

/// Bytes of an SPDX expression: four licences by their longest names.
pub const MAX_LICENCE_BYTES: usize = 128;

/// Bytes of what a recovery key signs: a head, three hashes and some words of a
/// later version.
pub const MAX_RECOVERY_BYTES: usize = 4 * 1024;

/// Bytes of a recovery with key and signature; of the kinds of keys that are in
/// sight (ML-DSA) these have 2.6 and 4.6 KB.
pub const MAX_SIGNED_RECOVERY_BYTES: usize = 16 * 1024;

/// Lines of later versions in a head.
pub const MAX_HEAD_LINES: usize = 4;

/// Bytes of these lines together: a hash in each.
pub const MAX_HEAD_LINE_BYTES: usize = 256;

/// Earlier heads that are kept of a log with a recovery key: a day of hours, and fewer
/// and fewer of the time before; 7 KB.
pub const MAX_PAST_HEADS: usize = 48;

/// Microseconds between two of them, by the holder's clock: what a thief signs in an
/// hour takes the place of one.
pub const PAST_HEAD_EVERY_US: u64 = 60 * 60 * 1_000_000;

/// Microseconds for which records stay that newer ones have freed, where a log has a
/// recovery key: a day in which a thief's records push nothing out.
pub const FREED_DELAY_US: u64 = 24 * 60 * 60 * 1_000_000;

/// Microseconds between two moments of which it is remembered what was freed then.
pub const FREED_STEP_US: u64 = FREED_DELAY_US / 24;

/// Proofs that a log went on after its end which are taken one after the other, each of
/// a smaller end: more than two or three thieves make. What comes then waits its turn: an
/// owner can sign as many as the log has records, and each is synced and told.
pub const MAX_ENDS_AT_ONCE: u32 = 8;

/// Statements of a recovery key that are told: one, or two that differ, which show that
/// the key says more than one thing.
pub const MAX_RECOVERY_STATEMENTS: usize = 2;

/// Bytes of a signed head: 32 + 32 + 64 bytes of hashes and signature, the lines,
/// two integers and the tags come to less than 430.
pub const MAX_SIGNED_HEAD_BYTES: usize = 512;

/// Bytes of a checkpoint with signatures: its text has at most 600, a witness adds
/// 132 bytes with a short name, and whoever hands one out may be asked by hundreds.
pub const MAX_CHECKPOINT_BYTES: usize = 64 * 1024;

/// Bytes of an announcement with its records; above it the head goes alone and
/// followers pull. Half of gossipsub's transmit size, because the proof (62
/// hashes at most) and gossipsub's envelope come on top.
pub const MAX_ANNOUNCED_RECORD_BYTES: usize = 32 * 1024;

/// Bytes of one gossip message: gossipsub's own default, checked here because
/// the transport must let longer lists of subscriptions through.
pub const MAX_GOSSIP_BYTES: usize = 64 * 1024;

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

/// How far two clocks may be apart that are both taken to be right: ordinary clock
/// error of machines without NTP is within seconds to minutes.
pub const MAX_CLOCK_SKEW_US: u64 = 600_000_000;

/// Microseconds by which the system's clock was set rather than went: NTP makes
/// smaller corrections bit by bit.
pub const CLOCK_JUMP_US: u64 = 2_000_000;

/// Microseconds within which the system's clock may be corrected again and again
/// without anybody doubting it.
pub const CLOCK_AGREES_US: u64 = 60_000_000;

/// Microseconds for which a clock that has jumped must go on steadily until it is
/// believed although nobody confirms it: NTP sets a clock within minutes of the
/// start, people within a day.
pub const CLOCK_STEADY_US: u64 = 24 * 3_600 * 1_000_000;

/// Microseconds after which it is written down again how late it surely is.
pub const CLOCK_KEPT_US: u64 = 600_000_000;

/// Records in one publish command; a larger one is split by the caller.
pub const MAX_PUBLISH_RECORDS: usize = 1 << 16;

/// Publishes that are remembered, so that one that is sent again is not done
/// again: over a minute of the fastest single ones, and about 10 MB of memory.
/// All streams share them; only the owner's own programs can fill them.
pub const MAX_REPEATS: u32 = 1 << 16;

/// How long a publish is remembered: programs that retry do so within minutes,
/// or at their next start within the day.
pub const REPEAT_US: u64 = 24 * 3_600 * 1_000_000;

/// Bytes of records in one publish command.
pub const MAX_PUBLISH_BYTES: usize = 16 << 20;

/// Peers that one log remembers as sources at a time.
pub const MAX_SOURCES: usize = 64;

/// Intervals of one log that are held. Chunks are asked for in order, so that many
/// come only from live records of a sparse listener, or from sources that have
/// single records.
pub const MAX_HELD_INTERVALS: usize = 1 << 16;

/// Intervals of one log that are asked of peers at a time: a full request of each
/// of 16 sources.
pub const MAX_ASSIGNED_INTERVALS: usize = 16 * MAX_INTERVALS;

/// Heads that were adopted lately and can still be asked for, so that a source
/// which is a few heads behind is not idle. One a second for about a minute.
pub const MAX_RECENT_HEADS: usize = 64;

/// Microseconds between two questions for the head of a followed log that is
/// complete and was alive a minute ago: gossip may lose a message, and the next
/// one may be a day away.
pub const HEAD_POLL_US: u64 = 15_000_000;

/// The same of a log that is quiet for long. Most of what a quiet stream costs
/// are these questions.
pub const MAX_HEAD_POLL_US: u64 = 120_000_000;

/// The same of a log of which something is missing.
pub const BUSY_HEAD_POLL_US: u64 = 1_000_000;

/// A head that an answer has brought is told to neighbours that lack it within
/// this time, at random: the first one to tell it spares all others, and a
/// message takes about a tenth of this.
pub const ECHO_WITHIN_US: u64 = 1_000_000;

/// Announcements that wait for the manifest of their log, one each, at most
/// 64 KiB: 4 MiB. A manifest takes a round trip, and few logs lack one at a time.
pub const MAX_EARLY_ANNOUNCEMENTS: usize = 64;

/// Streams that one question for peers may name: 8 KB of ids. A node with more
/// streams that lack peers asks again.
pub const MAX_ASKED_STREAMS: usize = 256;

/// Peers in one answer: four times the minimum that a node keeps by default,
/// because some of them are gone by the time they are dialled.
pub const MAX_TOLD_PEERS: usize = 16;

/// Intervals in a join or an offer. They only say whether it is worth
/// connecting: 64 × 22 bytes keep a join below 2 KiB, and what a peer holds in
/// detail is asked when it is there.
pub const MAX_JOIN_INTERVALS: usize = 64;

/// How often a joiner asks again before it leaves the search to Kademlia: with
/// a probability that begins at one half and doubles, every listener answers
/// from the second time on, and the rest is for messages that were lost.
pub const MAX_JOIN_ATTEMPTS: u32 = 5;

/// Offers that a join is to get, however many listen: enough that some of them
/// can be connected to, few enough that a thousand listeners are no flood.
pub const WANTED_OFFERS: u32 = 4;

/// Chance in percent that a listener answers a first join, unless it is set
/// otherwise; it doubles at each attempt, and falls with the audience.
pub const OFFER_PERCENT: u32 = 50;

/// Longest pause in microseconds before a listener answers: an offer crosses a
/// few hops of 50 ms in the meantime and keeps the others silent.
pub const OFFER_DELAY_US: u64 = 500_000;

/// Offers for one join that are passed on, from as many peers: several times
/// what is wanted, because listeners far from each other do not hear each other
/// in time.
pub const MAX_OFFERS_PER_JOIN: usize = 32;

/// Offers for one join that the joiner keeps to choose from.
pub const MAX_KEPT_OFFERS: usize = 16;

/// Offers that a joiner accepts: one of them may be gone, and two sources are
/// better than one.
pub const ACCEPTED_OFFERS: usize = 3;

/// Acceptances of one joiner that are passed on for one join.
pub const MAX_ACCEPTS_PER_JOIN: u32 = 4;

/// Microseconds that a joiner waits for a first offer before it asks again.
pub const OFFER_TIMEOUT_US: u64 = 3_000_000;

/// Microseconds from the first offer to the choice: what the longest delay of
/// the listeners leaves, so that the publisher is among them if it answers.
pub const COLLECT_OFFERS_US: u64 = 400_000;

/// Microseconds in which whoever was accepted has to show that it has what it
/// offered: a direct dial, the rendezvous and a hole punch fit.
pub const OFFER_DEADLINE_US: u64 = 15_000_000;

/// Microseconds that a stream without sources waits before its first join:
/// connections to known peers come up in that time.
pub const FIRST_JOIN_PAUSE_US: u64 = 500_000;

/// Microseconds between the first joins of two streams of one node: 1,000
/// streams that are followed at once take 20 s.
pub const JOIN_EVERY_US: u64 = 20_000;

/// Microseconds from hearing that somebody listens to a join that waited for
/// it: until then the mesh of the topic has more than this one.
pub const LISTENER_PAUSE_US: u64 = 200_000;

/// Microseconds before a stream that nobody answered for is asked for anew; it
/// doubles each time. Kademlia searches in the meantime.
pub const FIRST_JOIN_REST_US: u64 = 60_000_000;

/// The longest of these pauses.
pub const MAX_JOIN_REST_US: u64 = 900_000_000;

/// Joins that are remembered, to match offers and acceptances to them: 100 a
/// second for [`JOIN_MEMORY_US`], at most 3 KB each.
pub const MAX_REMEMBERED_JOINS: usize = 2_048;

/// How long a join is remembered, in microseconds: until its offers and
/// acceptances have passed.
pub const JOIN_MEMORY_US: u64 = 20_000_000;

/// Offers of ours that may still be accepted.
pub const MAX_OPEN_OFFERS: usize = 512;

/// Microseconds between two offers of one node, and how many it may make at
/// once: 50 joiners that come together are served, a flood costs 20 signatures
/// a second.
pub const OFFER_EVERY_US: u64 = 50_000;

/// See [`OFFER_EVERY_US`].
pub const OFFER_BURST: u64 = 64;

/// Peers that a node is about to connect to after an acceptance.
pub const MAX_MEETINGS: usize = 256;

/// Microseconds after an acceptance at which the offerer dials too, if the
/// joiner has not come: one of them may be reachable for the other only.
pub const DIAL_BACK_US: u64 = 1_000_000;

/// Microseconds after an acceptance at which both sides go to the rendezvous,
/// if they are not connected: a dial each way has had a second.
pub const RENDEZVOUS_AFTER_US: u64 = 2_000_000;

/// Peers whose broken offers are remembered.
pub const MAX_BROKEN_OFFERERS: usize = 1_024;

/// How long the offers of a peer that broke one come last, in microseconds; it
/// doubles at each.
pub const BROKEN_OFFER_US: u64 = 300_000_000;

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
pub const PEERS_QUESTIONS: u64 = 8;

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

/// Bytes of a multiaddr of a rendezvous server.
pub const MAX_ADDRESS_BYTES: usize = 256;

/// Rendezvous servers that an offer names.
pub const MAX_OFFERED_SERVERS: usize = 4;

/// Bytes of a sealed offer: a manifest, the intervals, a peer record and the
/// servers.
pub const MAX_SEALED_OFFER_BYTES: usize = 24 * 1024;

/// Bytes of a sealed acceptance: a peer record and a server.
pub const MAX_SEALED_ACCEPT_BYTES: usize = 4 * 1024;

/// Authors times streams whose allowance for joins, offers and acceptances is
/// remembered while it is not full, about 100 bytes each.
pub const MAX_ALLOWANCES: usize = 16_384;

/// Microseconds in which an author earns a join on a topic, and how many it may
/// say at once: one search is six of them.
pub const JOIN_ALLOWANCE: (u64, u64) = (5_000_000, 8);

/// The same of offers: one publisher answers 50 joiners that come together.
pub const OFFER_ALLOWANCE: (u64, u64) = (100_000, 64);

/// The same of acceptances: a search may end in as many as
/// [`ACCEPTED_OFFERS`], six times.
pub const ACCEPT_ALLOWANCE: (u64, u64) = (1_000_000, 20);

/// The same of notices that a follower holds everything.
pub const SYNCED_ALLOWANCE: (u64, u64) = (60_000_000, 4);

/// Microseconds between two such notices of ours about one stream: who has
/// lost nothing for good since then is not worth a message to everybody.
pub const SYNCED_NOTICE_US: u64 = 600_000_000;

/// All authors of one topic together may say this many times what one may: one
/// who has many names must not be the loudest.
pub const TOPIC_ALLOWANCE: u64 = 16;

/// Streams whose meta topic a node passes on without following them. Each is a
/// subscription of 90 bytes that every new neighbour is told.
pub const MAX_INTRODUCED_STREAMS: usize = 4_096;

/// Of these, streams for the sake of one neighbour.
pub const MAX_INTRODUCED_PER_PEER: usize = 1_024;

/// Microseconds for which a rendezvous server keeps a registration.
pub const RENDEZVOUS_US: u64 = 60_000_000;

/// Registrations that a rendezvous server keeps, about 2 KB each.
pub const MAX_RENDEZVOUS: usize = 8_192;

/// Registrations of one peer at a rendezvous server: several streams may be
/// joined at once.
pub const MAX_RENDEZVOUS_PER_PEER: usize = 32;

/// Bytes of a value in a history that nobody signed: as much as a stream takes
/// by default.
pub const MAX_UNSIGNED_VALUE_BYTES: usize = MAX_CHUNK_VALUE_BYTES >> DEFAULT_CHUNK_LEVEL;

/// Observations of such a history that share a time. Clocks that count seconds
/// make dozens of them; they are voted on as one.
pub const MAX_GROUP_VALUES: usize = 256;

/// Bytes of a group, and of all groups of an answer, with 4 for the tags of a
/// value and 16 for those of a group. The answers of all peers that are asked
/// at a time come to 4 MiB.
pub const MAX_OBSERVATIONS_BYTES: usize = 64 * 1024;

/// Groups in one answer. A round of questions takes a tenth of a second or more,
/// so that a year of hours comes in a few seconds.
pub const MAX_ANSWERED_GROUPS: usize = 512;

/// Bytes of an answer: its groups, and what says that there are no more.
pub const MAX_OBSERVATIONS_ANSWER_BYTES: usize = MAX_OBSERVATIONS_BYTES + 64;

/// Bytes of a question for observations: an id, a time, a number.
pub const MAX_OBSERVATIONS_QUESTION_BYTES: usize = 64;

/// Peers that are asked at a time. More voices do not make two thirds of them
/// any more certain.
pub const MAX_ASKED_PEERS: usize = 64;

/// Microseconds between two rounds of questions, and in which a peer earns a
/// question; and how many it may ask in a row. 1.3 MB a second at the worst.
pub const OBSERVATIONS_ALLOWANCE: (u64, u64) = (50_000, 16);

/// Bytes of such a history, with 8 for the time of each observation: a billion
/// numbers. Peers that agree with each other could go on for ever.
pub const MAX_UNSIGNED_HISTORY_BYTES: u64 = 16 << 30;

/// Histories that nobody signed in one store. They are few; each takes a place
/// in every list.
pub const MAX_UNSIGNED_HISTORIES: usize = 10_000;

/// How often the search for what two branches begin with begins anew because
/// the peer has adopted another head. Once it knows of the fork it adopts none.
pub const MAX_SEARCH_RESTARTS: u32 = 3;

/// Microseconds before it is searched again with a peer with whom nothing was
/// found: by then more may be held here, or the peer may have another head. A
/// search is up to 62 small questions, and a head of another branch comes with
/// every answer.
pub const VAIN_SEARCH_PAUSE_US: u64 = 60_000_000;

/// Microseconds without news after which a log of ours that is being reopened
/// is opened, if everything that peers know is here: a slow connection comes up
/// and answers in this time, and a larger head crosses a few hops.
pub const REOPENING_SETTLE_US: u64 = 5_000_000;

/// Followers that had all of a log of ours, and have to say what they have
/// before it opens by itself after a restore. One alone may have been away while
/// the last records were published; that two were is for their user to rule out.
pub const REOPENING_FOLLOWERS: usize = 2;

/// Microseconds for which such a log does not tell its head, while followers may
/// still open it: an answer that repeats what we have just said is worth nothing.
/// Followers are back within seconds of a start, those behind a relay within a
/// minute or two.
pub const REOPENING_SILENCE_US: u64 = 600_000_000;

/// Microseconds after the last head of somebody else that signs a log of ours,
/// until it is taken to have stopped: twice as long as a head lives, and a bit.
pub const TWIN_US: u64 = 1_500_000_000;

/// Microseconds at most for which a log of ours waits to hear of its followers
/// after an end that was not clean, where no mark says what was signed.
pub const UNCLEAN_WAIT_US: u64 = 10_000_000;

/// Followers of a log of ours that are remembered: enough that two of them are
/// found, and a row of 1 KB.
pub const MAX_KNOWN_FOLLOWERS: usize = 16;

/// Those of them that were known first keep their places, and one of the followers
/// that open a restored log is one of these: whoever comes later under many names
/// can neither push them out nor speak for all.
pub const EARLY_FOLLOWERS: usize = MAX_KNOWN_FOLLOWERS / 2;

/// Microseconds after which one of the others makes room for a newcomer again. Whoever
/// comes with many names must not push the others out at once.
pub const FOLLOWER_EXCHANGE_US: u64 = 60_000_000;

/// Chunks whose addresses are deleted in one step: a few milliseconds, as long
/// as live records may wait behind it.
pub const DELETED_CHUNKS_PER_STEP: usize = 1_024;

/// Chunks that retention drops in one step, as with a deletion.
pub const DROPPED_CHUNKS_PER_STEP: usize = 1_024;

/// Rows of single records, or of nodes within chunks, that retention drops in one
/// step: more than one chunk can have, so that every step gets on.
pub const DROPPED_ROWS_PER_STEP: usize = 2 << MAX_CHUNK_LEVEL;

/// Bytes of dropped records after which the disk is told to give back their room:
/// less would have table files written anew again and again for little.
pub const RECLAIM_DROPPED_BYTES: u64 = 16 << 20;

/// Microseconds between two looks at the age of what is kept, at least and at
/// most: the times in a stream need not rise as the clock does.
pub const AGE_CHECKS_US: (u64, u64) = (1_000_000, CLOCK_KEPT_US);

/// Chunks that are looked at for a time that can be true, where a publisher's
/// records lie in the future: as many as a step drops.
pub const MAX_AGE_LOOKAHEAD: usize = DROPPED_CHUNKS_PER_STEP;

/// Chunks that the engine reads and hashes in one step when one of them is said to
/// be damaged: 32 of 25 KiB take about a millisecond, as long as live records may
/// wait behind it.
pub const AUDITED_CHUNKS_PER_STEP: usize = 32;

/// Microseconds between two steps of a deletion, or of what retention drops, so
/// that others have their turn.
pub const DELETION_PAUSE_US: u64 = 2_000;

/// Microseconds until a step is tried again that the disk refused.
pub const DELETION_RETRY_US: u64 = 60_000_000;

/// Microseconds between two attempts to write, while the disk cannot be written:
/// the first, and the longest, for each that fails doubles it. Room that was made
/// is noticed within seconds, and a disk that is broken is not kept busy.
pub const PROBE_PAUSE_US: (u64, u64) = (500_000, 5_000_000);

/// Microseconds until a log is read again that could not be read: the first, and
/// the longest, as above. A sector that is lost stays so.
pub const REREAD_PAUSE_US: (u64, u64) = (1_000_000, 60_000_000);

/// Bytes of the words that streams are searched for by: a sentence.
pub const MAX_DISCOVER_TEXT_BYTES: usize = 128;

/// Streams in one answer to such a question: more than anybody reads, and few
/// enough that a peer that invents some does not drown the others.
pub const MAX_TOLD_STREAMS: usize = 64;

/// Bytes of their manifests and heads together, after which no further one is
/// added: a page of description each.
pub const MAX_TOLD_STREAM_BYTES: usize = 64 * 1024;

/// Peers that are asked for one search. They are those that are connected; the
/// streams that matter are known to several.
pub const DISCOVER_PEERS: usize = 32;

/// Places among them for peers that have delivered something of a followed stream:
/// those who know what we know are likely to know more of its kind, and were not
/// made up.
pub const DISCOVER_SOURCES: usize = DISCOVER_PEERS / 2;

/// Searches under way at a time: each keeps at most 32 answers of 64 KiB.
pub const MAX_DISCOVERIES: usize = 8;

/// Microseconds for which answers are waited for: a few round trips around the
/// world; somebody looks at a screen meanwhile.
pub const DISCOVER_TIMEOUT_US: u64 = 3_000_000;

/// Microseconds in which a peer earns a question for streams, and how many it
/// may ask at once: each makes us look through all that we know, about 10 ms
/// for 10,000 streams.
pub const DISCOVER_ALLOWANCE: (u64, u64) = (1_000_000, 8);
