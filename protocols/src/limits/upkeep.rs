//! Bounds of what a node does with what it has: reopening, deleting, dropping and looking
//! after it.

use std::time::Duration;

use super::{CLOCK_KEPT_US, MAX_CHUNK_LEVEL};
use crate::backoff::Backoff;

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

/// Between two attempts to write, while the disk cannot be written. Room that was made
/// is noticed within seconds, and a disk that is broken is not kept busy.
pub const PROBE_BACKOFF: Backoff =
    Backoff::doubling(Duration::from_millis(500), Duration::from_secs(5));

/// Before a log is read again that could not be read. A sector that is lost stays so.
pub const REREAD_BACKOFF: Backoff =
    Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));
