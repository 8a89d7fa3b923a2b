//! Bounds of finding those who have a stream: peers that are asked for others, joins and
//! offers, meetings, and searches.

use std::time::Duration;

use crate::backoff::{Backoff, Jitter};

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

/// Before a stream that nobody answered for is asked for anew. Kademlia searches in
/// the meantime.
pub const JOIN_BACKOFF: Backoff =
    Backoff::doubling(Duration::from_secs(60), Duration::from_secs(900));

/// Streams that were followed together must not ask together.
pub const JOIN_JITTER: Jitter = Jitter::quarters(2, 2);

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

/// How long the offers of a peer that broke some come last.
pub const BROKEN_OFFER_BACKOFF: Backoff =
    Backoff::doubling(Duration::from_secs(300), Duration::from_secs(4_800));

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
