//! Trees of earlier sizes, and parts of them, as the store has them.

use crate::head::Tree;
use crate::merkle::{CompactRange, Hash, MAX_LEVEL, Nodes, cover, empty_root};
use crate::store::around::readable;
use crate::store::{History, Store, StoreError};

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

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}
