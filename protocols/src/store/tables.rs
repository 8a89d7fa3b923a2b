//! The tables and their keys. docs/formats.md draws them byte by byte.

use crate::merkle::Hash;

/// What kind of thing a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Name → what the store as a whole needs to know.
    Meta,
    /// Log id → number, manifest, and what the user said of it.
    Logs,
    /// Log number, kind → signed head, fork proof, or where what is kept begins.
    Heads,
    /// Log number, first index → end of an interval that is held.
    Held,
    /// Log number, chunk → the records of a whole chunk.
    Chunks,
    /// Log number, index → a record outside of whole chunks.
    Records,
    /// Log number, level, index → hash of a subtree of a chunk or more.
    Nodes,
    /// Log number, chunk, level, index → hash of a subtree within a chunk
    /// whose records are not all held.
    Edges,
    /// Log number, height, index → earliest and latest time, bytes.
    Times,
    /// Address of a whole chunk, log number, chunk → nothing: the last two are the
    /// key of its bytes.
    Addresses,
    /// Histories that nobody signed: what they are, and their observations.
    /// Nothing that is verified or proved reads it.
    Unsigned,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 11] = [
        Self::Meta,
        Self::Logs,
        Self::Heads,
        Self::Held,
        Self::Chunks,
        Self::Records,
        Self::Nodes,
        Self::Edges,
        Self::Times,
        Self::Addresses,
        Self::Unsigned,
    ];

    /// The name that it has on disk.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Logs => "logs",
            Self::Heads => "heads",
            Self::Held => "held",
            Self::Chunks => "chunks",
            Self::Records => "records",
            Self::Nodes => "nodes",
            Self::Edges => "edges",
            Self::Times => "times",
            Self::Addresses => "addresses",
            Self::Unsigned => "unsigned",
        }
    }
}

/// Key of [`Table::Meta`]: the number that the next log gets.
pub const NEXT_NUMBER: &[u8] = b"next_number";

/// Key of [`Table::Meta`]: up to when the system's clock was sure (i64).
pub const CLOCK: &[u8] = b"clock";

/// Beginning of keys of [`Table::Meta`]: a publish that was done, by its place
/// in a ring (u32).
pub const REPEATS: &[u8] = b"repeat/";

/// Beginning of keys of [`Table::Meta`]: rows that are being deleted, by their
/// log number (u32).
pub const DELETIONS: &[u8] = b"deletion/";

/// Beginning of keys of [`Table::Meta`]: which log has a number (u32).
pub const NAMES: &[u8] = b"log/";

/// Key of [`Table::Meta`] that says which log has a number.
#[must_use]
pub fn name_key(log: u32) -> Vec<u8> {
    [NAMES, &log.to_be_bytes()].concat()
}

/// A kind of head, in [`Table::Heads`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// The head that everything held is proved against, as version 0.1.0 signed it,
    /// until there is one of today.
    EarlyAdopted = 0,
    /// Proof that the owner forked, by heads as version 0.1.0 signed them.
    EarlyFork = 1,
    /// No head, but where what is kept begins (u64), as found out here, and as
    /// told by peers (u64).
    Begin = 2,
    /// What the clock showed when something was last found too old to be kept
    /// (i64). Folders of older versions do not have it.
    Aged = 3,
    /// The head that everything held is proved against.
    Adopted = 4,
    /// Proof that the owner forked.
    Fork = 5,
    /// What the recovery key has said.
    Recovered = 6,
    /// Earlier heads, of a log that has a recovery key.
    Past = 7,
}

/// Key of [`Table::Heads`].
#[must_use]
pub fn head_key(log: u32, kind: HeadKind) -> [u8; 5] {
    join(&[&log.to_be_bytes(), &[kind as u8]])
}

/// Key of [`Table::Held`], [`Table::Chunks`] and [`Table::Records`].
#[must_use]
pub fn index_key(log: u32, index: u64) -> [u8; 12] {
    join(&[&log.to_be_bytes(), &index.to_be_bytes()])
}

/// Key of [`Table::Nodes`] and [`Table::Times`].
#[must_use]
pub fn level_key(log: u32, level: u8, index: u64) -> [u8; 13] {
    join(&[&log.to_be_bytes(), &[level], &index.to_be_bytes()])
}

/// Key of [`Table::Edges`].
#[must_use]
pub fn edge_key(log: u32, chunk: u64, level: u8, index: u64) -> [u8; 21] {
    join(&[
        &log.to_be_bytes(),
        &chunk.to_be_bytes(),
        &[level],
        &index.to_be_bytes(),
    ])
}

/// Key of [`Table::Addresses`].
#[must_use]
pub fn address_key(address: &Hash, log: u32, chunk: u64) -> [u8; 44] {
    join(&[&address.0, &log.to_be_bytes(), &chunk.to_be_bytes()])
}

/// The key in [`Table::Chunks`] that a row of [`Table::Addresses`] leads to. In
/// stores of before this the address was the whole key, and the place the row.
#[must_use]
pub fn place_of<'a>(key: &'a [u8], row: &'a [u8]) -> Option<&'a [u8]> {
    match key.get(size_of::<Hash>()..) {
        Some([]) => Some(row),
        place => place,
    }
}

/// The tables whose keys begin with a log number.
pub const OF_LOGS: [Table; 7] = [
    Table::Heads,
    Table::Held,
    Table::Chunks,
    Table::Records,
    Table::Nodes,
    Table::Edges,
    Table::Times,
];

/// All keys of a log in each of [`OF_LOGS`]: from the first, to the second.
#[must_use]
pub fn log_range(log: u32) -> (Vec<u8>, Vec<u8>) {
    let end = match log.checked_add(1) {
        Some(next) => next.to_be_bytes().to_vec(),
        // Longer than every key.
        None => vec![0xff; 32],
    };
    (log.to_be_bytes().to_vec(), end)
}

/// The index at the end of a key.
#[must_use]
pub fn index_of(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|index| u64::from_be_bytes(*index))
}

fn join<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    let mut rest = &mut key[..];
    for part in parts {
        let (head, tail) = rest.split_at_mut(part.len());
        head.copy_from_slice(part);
        rest = tail;
    }
    debug_assert!(rest.is_empty());
    key
}
