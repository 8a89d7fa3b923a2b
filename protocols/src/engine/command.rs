//! What users ask of an engine, and what they get.

use crate::id::LogId;
use crate::manifest::{Manifest, ManifestError, SignedManifest, TooNew};
use crate::ranges::Interval;
use crate::record::Record;
use crate::recovery::RecoveryError;
use crate::store::StoreError;
use crate::sync::retrieval::{Found, Retrieval};
use crate::time::Timestamp;
use crate::wire::v1;

use super::{Discovery, RequestKey};

/// What a user asks for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Create a stream of our own.
    Create(Box<Manifest>),
    /// Create a stream of our own under a manifest that our key has signed before,
    /// whatever it says.
    CreateSigned(Box<SignedManifest>),
    /// Append records to a stream of our own.
    Publish {
        /// The stream.
        log: LogId,
        /// The records.
        records: Vec<Record>,
        /// Only if the stream has this size.
        expect_size: Option<u64>,
    },
    /// Append records to a stream of our own, unless that was done already: then
    /// the answer is the one that it had.
    PublishOnce {
        /// The stream.
        log: LogId,
        /// The records.
        records: Vec<Record>,
        /// Only if the stream has this size.
        expect_size: Option<u64>,
        /// What names it.
        request: RequestKey,
    },
    /// Close a stream of our own for good. Done again, it changes nothing.
    Close {
        /// The stream.
        log: LogId,
        /// The stream that continues it.
        successor: Option<LogId>,
    },
    /// End a stream in the word of its recovery key.
    Recover {
        /// The stream.
        log: LogId,
        /// What the key has signed.
        statement: Box<v1::SignedRecovery>,
    },
    /// Keep a stream in step with its publisher.
    Follow {
        /// The stream.
        log: LogId,
        /// Multiaddrs of peers that are known to have it, publisher first.
        peers: Vec<String>,
        /// Fill in the latest records first.
        newest_first: bool,
    },
    /// Fetch these records of a followed stream before the rest.
    FetchFirst(LogId, Interval),
    /// Stop that; what is held stays.
    Unfollow(LogId),
    /// Forget a stream and delete what is held of it.
    Delete {
        /// The stream.
        log: LogId,
        /// Even if it is our own. Its last head is kept, so that it can never be
        /// begun anew.
        own: bool,
    },
    /// Look one chunk or record up, here or at peers, before anything else.
    Retrieve(Retrieval),
    /// Search the public streams that are known here and to connected peers.
    Discover(String),
    /// Find out whether peers know more of a stream of our own than is here,
    /// and open it for writing when what they know is here.
    Reopen {
        /// The stream.
        log: LogId,
        /// Open it now: the user says that nobody knows more.
        none_is_larger: bool,
    },
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The stream was created.
    Created(LogId),
    /// The records are durable, at these indexes.
    Published(Interval),
    /// This was found; it was verified.
    Retrieved(Box<Found>),
    /// These streams were found.
    Discovered(Box<Discovery>),
    /// Done.
    Done,
}

/// A command, and what is answered to it when it is done.
#[derive(Debug, Clone)]
pub struct Asking<R> {
    command: Command,
    reply: fn(Reply) -> Option<R>,
}

impl<R> Asking<R> {
    /// The command, and what reads its reply. That gives nothing for the reply to
    /// another command.
    #[must_use]
    pub fn into_parts(self) -> (Command, fn(Reply) -> Option<R>) {
        (self.command, self.reply)
    }
}

impl Command {
    fn asking<R>(self, reply: fn(Reply) -> Option<R>) -> Asking<R> {
        let command = self;
        Asking { command, reply }
    }

    /// One that is answered by nothing else than that it is done.
    #[must_use]
    pub fn done(self) -> Asking<()> {
        self.asking(|reply| matches!(reply, Reply::Done).then_some(()))
    }

    /// [`Command::Create`]: the id of the stream.
    #[must_use]
    pub fn create(manifest: Manifest) -> Asking<LogId> {
        Self::Create(Box::new(manifest)).asking(created)
    }

    /// [`Command::CreateSigned`]: the id of the stream.
    #[must_use]
    pub fn create_signed(manifest: SignedManifest) -> Asking<LogId> {
        Self::CreateSigned(Box::new(manifest)).asking(created)
    }

    /// [`Command::Publish`], or [`Command::PublishOnce`] where something names the
    /// request: the indexes of the records.
    #[must_use]
    pub fn publish(
        log: LogId,
        records: Vec<Record>,
        expect_size: Option<u64>,
        request: Option<RequestKey>,
    ) -> Asking<Interval> {
        let command = match request {
            None => Self::Publish {
                log,
                records,
                expect_size,
            },
            Some(request) => Self::PublishOnce {
                log,
                records,
                expect_size,
                request,
            },
        };
        command.asking(|reply| match reply {
            Reply::Published(interval) => Some(interval),
            _ => None,
        })
    }

    /// [`Command::Retrieve`]: what was found.
    #[must_use]
    pub fn retrieve(what: Retrieval) -> Asking<Box<Found>> {
        Self::Retrieve(what).asking(|reply| match reply {
            Reply::Retrieved(found) => Some(found),
            _ => None,
        })
    }

    /// [`Command::Discover`]: the streams that were found.
    #[must_use]
    pub fn discover(text: String) -> Asking<Box<Discovery>> {
        Self::Discover(text).asking(|reply| match reply {
            Reply::Discovered(found) => Some(found),
            _ => None,
        })
    }
}

fn created(reply: Reply) -> Option<LogId> {
    match reply {
        Reply::Created(log) => Some(log),
        _ => None,
    }
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such stream here.
    #[error("stream {0} is not known here; follow it first")]
    UnknownStream(LogId),
    /// A stream that is known and not kept in step.
    #[error("stream {0} is not followed, so nothing is fetched; follow it first")]
    NotFollowed(LogId),
    /// Somebody else's stream.
    #[error("stream {0} belongs to another publisher; only its owner can publish to it")]
    NotOwner(LogId),
    /// A stream whose owner has closed it.
    #[error(
        "stream {log} was closed for good{}; nothing can follow its end",
        .successor.map_or_else(String::new, |log| format!(", and {log} continues it"))
    )]
    Ended {
        /// The stream.
        log: LogId,
        /// The stream that continues it.
        successor: Option<LogId>,
    },
    /// A word of a recovery key that is none of this stream.
    #[error("the stream was not recovered: {0}")]
    Recovery(#[from] RecoveryError),
    /// A stream that would continue itself.
    #[error("a stream cannot be its own successor; name the stream that continues it, or none")]
    OwnSuccessor,
    /// The stream does not have the size that the caller expects.
    #[error("the stream has {found} records, not {expected}")]
    Size {
        /// Its size.
        found: u64,
        /// What the caller expected.
        expected: u64,
    },
    /// Something else was published under the same name.
    #[error(
        "something else was published under the same idempotency key; use a new key for each request, and send a repeated one unchanged"
    )]
    Repeated,
    /// A value that the stream cannot take.
    #[error("value {place} {why}")]
    Value {
        /// The place of the record in the command, from 0.
        place: usize,
        /// What is wrong with the value.
        why: String,
    },
    /// A record of an earlier time than the one that it would follow, in a stream
    /// whose times are ordered.
    #[error(
        "the time of value {place}, {time}, is before the last one, {last}, and the times of this \
         stream never go back"
    )]
    Backwards {
        /// The place of the record in the command, from 0.
        place: usize,
        /// Its time.
        time: Timestamp,
        /// That of the record before it.
        last: Timestamp,
    },
    /// A stream that only a later version reads.
    #[error(
        "the manifest of stream {log} has what this version does not know: {newer}; a newer version of \
         headwater reads it, and this one only keeps and serves it"
    )]
    TooNew {
        /// The stream.
        log: LogId,
        /// What is not known.
        newer: TooNew,
    },
    /// A stream of our own that is to be deleted without a word.
    #[error(
        "this node publishes stream {0}: once it is deleted here it can only come back from peers \
         that have all of it; say --own (own=true) if that is what you want"
    )]
    OwnStream(LogId),
    /// More than the disk may be filled with.
    #[error(
        "nothing was stored: {needed} bytes of records do not fit into the {left} bytes that are left \
         of max_disk; delete streams (headwater stream delete), or allow more"
    )]
    NoRoom {
        /// Bytes of the records.
        needed: u64,
        /// Bytes that may still be written.
        left: u64,
    },
    /// More than one command may carry.
    #[error("{records} records at once are too many; send at most {max}")]
    TooMany {
        /// Records in the command.
        records: usize,
        /// The limit.
        max: usize,
    },
    /// More bytes than one command may carry.
    #[error("{bytes} bytes of records at once are too many; send at most {max}")]
    TooLong {
        /// Bytes of the records.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A record that is not there yet.
    #[error("there is no record {index} yet; the stream has {size}")]
    Beyond {
        /// The index asked for.
        index: u64,
        /// Records of the adopted head.
        size: u64,
    },
    /// A record that nobody has to keep any more.
    #[error("record {index} was dropped by the stream's retention: what is kept begins at {begin}")]
    Dropped {
        /// The index asked for.
        index: u64,
        /// The first record that is kept.
        begin: u64,
    },
    /// Nobody who is connected has what was to be retrieved.
    #[error("nobody who is connected has it; connect to a peer that does, or ask again later")]
    NotFound,
    /// Too many others wait.
    #[error("{0} retrievals are under way already; ask again when some of them have ended")]
    TooManyRetrievals(usize),
    /// Too many search.
    #[error("{0} searches are under way already; search again in a few seconds")]
    TooManySearches(usize),
    /// Longer than what is searched for may be.
    #[error("{bytes} bytes are too long to search for; give at most {max}")]
    SearchTooLong {
        /// Bytes of the words.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The manifest cannot be signed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The log is stopped, and does not go on by itself.
    #[error("the stream is stopped for good: {0}")]
    StoppedForGood(String),
    /// The disk cannot be written, or the log not be read.
    #[error("nothing was stored: {0}; the stream goes on by itself when the cause is gone")]
    Stopped(StoreError),
    /// The log is forked, or not written to before it is known that nobody has
    /// more of it.
    #[error("the stream is not open for writing: {0}")]
    NotOpen(String),
    /// The store failed. Nothing was published, unless the error is unclear: then
    /// the size of the stream tells it when the disk works again.
    #[error(transparent)]
    Store(#[from] StoreError),
}
