//! Trees of earlier sizes, and what lies between two of them, as the store has it.

use bytes::{Bytes, BytesMut};

use crate::head::Tree;
use crate::limits::MAX_ANNOUNCED_RECORD_BYTES;
use crate::merkle::{CompactRange, Hash, MAX_LEVEL, Nodes, cover, empty_root};
use crate::record::put_record;
use crate::store::around::readable;
use crate::store::{History, ReadError, Store, StoreError};

/// The least that a record takes up, with its length.
const MIN_RECORD_BYTES: u64 = 9;

/// The hashes of the subtrees that cover `[from, to)`, if all of them are known.
pub(super) fn nodes_between<S: Store + ?Sized>(
    history: &History<'_, S>,
    from: u64,
    to: u64,
) -> Result<Option<Vec<Hash>>, StoreError> {
    let nodes = cover(from, to, MAX_LEVEL).map(|subtree| history.node(subtree));
    nodes.collect()
}

/// The compact range of the first `size` records, read from the store.
pub(super) fn frontier<S: Store + ?Sized>(
    history: &History<'_, S>,
    size: u64,
) -> Result<CompactRange, StoreError> {
    let mut hashes = Vec::new();
    for subtree in cover(0, size, MAX_LEVEL) {
        let hash = history.node(subtree)?;
        hashes.push(hash.ok_or_else(|| damaged("a node of the tree is missing"))?);
    }
    CompactRange::from_hashes(0, size, hashes).map_err(|error| damaged(&error.to_string()))
}

/// The tree of so many records, if all of it is known here. What is damaged is not.
pub(super) fn beginning<S: Store + ?Sized>(
    history: &History<'_, S>,
    size: u64,
) -> Result<Option<Tree>, StoreError> {
    let mut known = CompactRange::empty(0);
    for subtree in cover(0, size, MAX_LEVEL) {
        let hash = readable(history.node(subtree))?.flatten();
        let is_next = |hash| known.push(subtree, hash, &mut |_, _| ()).is_ok();
        if !hash.is_some_and(is_next) {
            return Ok(None);
        }
    }
    let root = known.root().unwrap_or(empty_root());
    Ok(Some(Tree { size, root }))
}

/// Records that are held, each after its length, if they are few enough for an
/// announcement.
pub(super) fn few_records<S: Store + ?Sized>(
    history: &History<'_, S>,
    from: u64,
    to: u64,
) -> Result<Option<Bytes>, StoreError> {
    let most = MAX_ANNOUNCED_RECORD_BYTES;
    if (to - from).saturating_mul(MIN_RECORD_BYTES) > most as u64 {
        return Ok(None);
    }
    let mut bytes = BytesMut::new();
    let mut at = from;
    while at < to {
        let run = match history.run(at, to) {
            Ok(run) => run,
            Err(ReadError::NotHeld(_)) => return Ok(None),
            Err(ReadError::Store(error)) => return Err(error),
        };
        for record in &run {
            put_record(&mut bytes, record.as_bytes());
            if bytes.len() > most {
                return Ok(None);
            }
        }
        at += run.len() as u64;
    }
    Ok(Some(bytes.freeze()))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}
