//! Every bound that a peer can push against, with the reason for its number.

mod finding;
mod sync;
mod upkeep;

use std::time::Duration;

use crate::backoff::Backoff;

pub use finding::*;
pub use sync::*;
pub use upkeep::*;

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

/// Before those that follow a log of ours, and were not seen to have all of it, are
/// asked what they have: twice as long as a busy log waits, and as a quiet one at last.
pub const FOLLOWER_BACKOFF: Backoff = Backoff::doubling(
    Duration::from_micros(2 * BUSY_HEAD_POLL_US),
    Duration::from_micros(MAX_HEAD_POLL_US),
);

/// A head that an answer has brought is told to neighbours that lack it within
/// this time, at random: the first one to tell it spares all others, and a
/// message takes about a tenth of this.
pub const ECHO_WITHIN_US: u64 = 1_000_000;

/// Announcements that wait for the manifest of their log, one each, at most
/// 64 KiB: 4 MiB. A manifest takes a round trip, and few logs lack one at a time.
pub const MAX_EARLY_ANNOUNCEMENTS: usize = 64;

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
