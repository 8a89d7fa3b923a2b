//! One chunk or one record that a user waits for: the question, the answer from
//! a store, and the check of an answer that a peer gave.

use bytes::{Bytes, BytesMut};

use super::readers::Work;
use super::serving::RefuseError;
use crate::head::Tree;
use crate::id::LogId;
use crate::limits::{MAX_CHUNK_LEVEL, MAX_CHUNK_VALUE_BYTES};
use crate::log::AdmitError;
use crate::merkle::{Hash, Subtree, join_hashes, prove_ranges, split_hashes, verify_ranges};
use crate::ranges::IntervalSet;
use crate::record::{CheckedChunk, Record, put_record, records};
use crate::store::addresses::chunk_at;
use crate::store::{History, ReadError, Store, StoreError};
use crate::time::Timestamp;
use crate::wire::{WireError, v1};

/// What a user waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retrieval {
    /// The chunk with this address, of whatever log.
    Chunk(Hash),
    /// The record of a log at an index.
    Index(LogId, u64),
    /// The record of a log with the greatest (time, index) that is not after a
    /// time.
    Time(LogId, Timestamp),
}

/// Where a record of some time may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Among {
    /// The first record that somebody has to keep.
    pub begin: u64,
    /// The size of the tree.
    pub size: u64,
    /// Whether the times never go back, so that two neighbours tell which is meant.
    pub ordered: bool,
}

/// Which record of some time is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// The one at this index.
    Record(u64),
    /// All records that are kept are later.
    Nothing,
    /// One that is not held could be.
    Unknown,
}

impl Among {
    /// Which record is meant, as far as those that are held tell it: all of them do, and
    /// of a log in order the two between which the time lies, or its last one.
    ///
    /// # Errors
    /// The store fails.
    pub fn meant<S: Store + ?Sized>(
        self,
        history: &History<'_, S>,
        held: &IntervalSet,
        time: Timestamp,
    ) -> Result<Meant, StoreError> {
        let Self { begin, size, .. } = self;
        let meant = match begin >= size || held.contains(begin, size) {
            true => history.at_or_before(time, size).map(|found| match found {
                Some((index, _)) => Meant::Record(index),
                None => Meant::Nothing,
            }),
            false => self.neighbours(history, held, time).and_then(|found| {
                let Some((index, _)) = found else {
                    return Ok(Meant::Unknown);
                };
                Ok(match history.record(index)?.time() <= time {
                    true => Meant::Record(index),
                    false => Meant::Nothing,
                })
            }),
        };
        match meant {
            Err(ReadError::NotHeld(_)) => Ok(Meant::Unknown),
            Err(ReadError::Store(error)) => Err(error),
            Ok(meant) => Ok(meant),
        }
    }

    /// The records that show which one is meant, among those that are held.
    /// `None` where one that is not held could be.
    fn neighbours<S: Store + ?Sized>(
        self,
        history: &History<'_, S>,
        held: &IntervalSet,
        time: Timestamp,
    ) -> Result<Option<(u64, u64)>, ReadError> {
        let Self { begin, size, .. } = self;
        if size == 0 || !(self.ordered || held.contains(begin, size)) {
            return Ok(None);
        }
        let (from, to) = match history.at_or_before(time, size)? {
            Some((index, _)) => (index, size.min(index + 2)),
            None if begin > 0 => return Ok(None),
            None => (0, 1),
        };
        // In order, what lies behind is later than the one that was found.
        Ok(held.contains(from, to).then_some((from, to)))
    }
}

/// What was found. Nothing of it was believed: it hashes to the address, or up
/// to the root of a tree that was adopted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The records of the chunk, each after its length.
    Chunk(Bytes),
    /// A record.
    Record {
        /// Its index.
        index: u64,
        /// What it is.
        record: Record,
        /// The tree of the log in which it was proved.
        tree: Tree,
    },
    /// The first record of the log is later than the time that was asked for. In
    /// a log whose times run backwards an earlier one may follow.
    Nothing(Tree),
}

/// A question as it is asked of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// See [`Retrieval::Chunk`].
    Chunk(Hash),
    /// See [`Retrieval::Index`]; in a tree that was adopted.
    Index(LogId, Tree, u64),
    /// See [`Retrieval::Time`]; in a tree that was adopted.
    Time(LogId, Tree, Timestamp),
}

impl Question {
    /// As it travels.
    #[must_use]
    pub fn to_wire(&self) -> v1::Retrieve {
        use v1::retrieve::What;
        let of = |log: LogId, tree: Tree, what| v1::Retrieve {
            log: Bytes::copy_from_slice(&log.0),
            size: tree.size,
            root: Bytes::copy_from_slice(&tree.root.0),
            what: Some(what),
        };
        match self {
            Self::Chunk(address) => v1::Retrieve {
                what: Some(What::Address(Bytes::copy_from_slice(&address.0))),
                ..v1::Retrieve::default()
            },
            Self::Index(log, tree, index) => of(*log, *tree, What::Index(*index)),
            Self::Time(log, tree, time) => of(*log, *tree, What::Time(time.0)),
        }
    }

    /// Checks an answer; `max_value` is the limit of the log's values, in bytes.
    ///
    /// # Errors
    /// It is none, or false.
    pub fn check(&self, answer: &v1::Retrieved, max_value: usize) -> Result<Found, AdmitError> {
        match self {
            Self::Chunk(address) => check_chunk(*address, answer),
            Self::Index(_, tree, index) => {
                if answer.index != *index {
                    return Err(bad("index").into());
                }
                let [record] = &check_records(*tree, answer, max_value)?[..] else {
                    return Err(bad("count of records").into());
                };
                Ok(found(*index, record, *tree))
            }
            Self::Time(_, tree, time) => check_time(*tree, *time, answer, max_value),
        }
    }
}

fn found(index: u64, record: &Record, tree: Tree) -> Found {
    Found::Record {
        index,
        record: record.clone(),
        tree,
    }
}

/// The chunk itself shows how many records it has: a power of two, or it cannot
/// have an address.
fn check_chunk(address: Hash, answer: &v1::Retrieved) -> Result<Found, AdmitError> {
    let bytes = &answer.records;
    let most = 1 << MAX_CHUNK_LEVEL;
    let count = records(bytes).take(most + 1).count();
    if count > most || !count.is_power_of_two() {
        return Err(bad("count of records").into());
    }
    let max_value = MAX_CHUNK_VALUE_BYTES / count;
    let chunk = CheckedChunk::parse(bytes.clone(), count as u64, max_value)?;
    if crate::merkle::subtree_root(chunk.leaves) != address {
        return Err(bad("chunk: its records do not hash to its address").into());
    }
    Ok(Found::Chunk(bytes.clone()))
}

/// The records of an answer, of which there are one or two, proved in a tree.
fn check_records(
    tree: Tree,
    answer: &v1::Retrieved,
    max_value: usize,
) -> Result<Vec<Record>, AdmitError> {
    let count = records(&answer.records).take(3).count() as u64;
    if count > 2 || answer.index >= tree.size {
        return Err(bad("count of records").into());
    }
    let chunk = CheckedChunk::parse(answer.records.clone(), count, max_value)?;
    let leaves = (answer.index..).map(Subtree::leaf);
    let items: Vec<_> = leaves.zip(chunk.leaves.iter().copied()).collect();
    let range = answer.index..answer.index + count;
    let proof = split_hashes("a retrieved record", "proof", &answer.proof)?;
    let ranges = std::slice::from_ref(&range);
    verify_ranges(ranges, tree.size, &items, &proof, tree.root, &mut |_, _| ())?;
    Ok(chunk.records().collect())
}

/// That a record is the one meant cannot be proved in a log whose times run
/// backwards; in one whose times rise the next record shows it.
fn check_time(
    tree: Tree,
    time: Timestamp,
    answer: &v1::Retrieved,
    max_value: usize,
) -> Result<Found, AdmitError> {
    let list = check_records(tree, answer, max_value)?;
    let index = answer.index;
    let is_last = index + 1 == tree.size;
    match &list[..] {
        [first] if first.time() > time && index == 0 => Ok(Found::Nothing(tree)),
        [first] if first.time() <= time && is_last => Ok(found(index, first, tree)),
        [first, next] if first.time() <= time => {
            if next.time() <= time && next.time() >= first.time() {
                return Err(bad("record: the next one is meant").into());
            }
            Ok(found(index, first, tree))
        }
        _ => Err(bad("record: it is not at or before the time").into()),
    }
}

fn bad(field: &'static str) -> WireError {
    WireError::BadField {
        what: "a retrieved record or chunk",
        field,
    }
}

/// Answers a question for a chunk.
///
/// # Errors
/// It is not held, or the store fails.
pub fn answer_chunk<S: Store + ?Sized>(
    store: &S,
    address: Hash,
) -> Result<(v1::Retrieved, Work), RefuseError> {
    let records = chunk_at(store, address)?.ok_or(RefuseError::NotHeld)?;
    let work = Work::bytes(records.len() as u64);
    let answer = v1::Retrieved {
        records,
        ..v1::Retrieved::default()
    };
    Ok((answer, work))
}

/// Answers a question for a record at an index, in the tree of a size.
///
/// # Errors
/// It is not held, or nothing proves it, or the store fails.
pub fn answer_index<S: Store + ?Sized>(
    history: &History<'_, S>,
    held: &IntervalSet,
    size: u64,
    index: u64,
) -> Result<(v1::Retrieved, Work), RefuseError> {
    answer_records(history, held, size, index, index.saturating_add(1))
}

/// Answers a question for the record at or before a time.
///
/// # Errors
/// Something of the log is not held, so that it cannot be told, or the store
/// fails.
pub fn answer_time<S: Store + ?Sized>(
    history: &History<'_, S>,
    held: &IntervalSet,
    among: Among,
    time: Timestamp,
) -> Result<(v1::Retrieved, Work), RefuseError> {
    let neighbours = among.neighbours(history, held, time)?;
    let (from, to) = neighbours.ok_or(RefuseError::NotHeld)?;
    answer_records(history, held, among.size, from, to)
}

pub(crate) fn answer_records<S: Store + ?Sized>(
    history: &History<'_, S>,
    held: &IntervalSet,
    size: u64,
    from: u64,
    to: u64,
) -> Result<(v1::Retrieved, Work), RefuseError> {
    if to > size || from >= to || !held.contains(from, to) {
        return Err(RefuseError::NotHeld);
    }
    let mut bytes = BytesMut::new();
    for index in from..to {
        put_record(&mut bytes, history.record(index)?.as_bytes());
    }
    let range = from..to;
    let proof = prove_ranges(history, std::slice::from_ref(&range), size);
    let proof = proof.map_err(super::serving::refuse)?;
    let work = Work::of(history);
    let answer = v1::Retrieved {
        index: from,
        records: bytes.freeze(),
        proof: join_hashes(&proof),
    };
    Ok((answer, work))
}

/// What is found here, without asking anybody; `None` when it is not held, or
/// when something else that is not held could be meant.
///
/// # Errors
/// The store fails.
pub fn find<S: Store + ?Sized>(
    history: &History<'_, S>,
    held: &IntervalSet,
    among: Among,
    question: &Question,
) -> Result<Option<Found>, StoreError> {
    let read = |index, tree: Tree| match history.record(index) {
        Ok(record) => Ok(Some(found(index, &record, tree))),
        Err(ReadError::NotHeld(_)) => Ok(None),
        Err(ReadError::Store(error)) => Err(error),
    };
    match question {
        &Question::Index(_, tree, index) if held.contains(index, index + 1) => read(index, tree),
        &Question::Time(_, tree, time) => match among.meant(history, held, time)? {
            Meant::Record(index) => read(index, tree),
            Meant::Nothing => Ok(Some(Found::Nothing(tree))),
            Meant::Unknown => Ok(None),
        },
        Question::Chunk(_) | Question::Index(..) => Ok(None),
    }
}

/// Of what a peer has found in an earlier tree, and what is held here, whichever is
/// meant: what was the last record then need not be the last one any more.
#[must_use]
pub fn later_of<S: Store + ?Sized>(
    found: Found,
    (history, tree): (&History<'_, S>, Tree),
    time: Timestamp,
) -> Found {
    let theirs = match &found {
        Found::Record { index, record, .. } => Some((record.time(), *index)),
        Found::Nothing(_) => None,
        Found::Chunk(_) => return found,
    };
    // What cannot be read here is as if it were not held.
    let Ok(Some((index, at))) = history.at_or_before(time, tree.size) else {
        return found;
    };
    match history.record(index) {
        Ok(record) if theirs < Some((at, index)) => Found::Record {
            index,
            record,
            tree,
        },
        _ => found,
    }
}
