//! The Merkle tree of RFC 9162: hashes, proofs and compact ranges.
//!
//! Everything here is arithmetic over hashes. A prover reads perfect subtrees
//! from a [`Nodes`] source, O(log n) of them a proof; a verifier has only the
//! bytes that a peer sent, so every function takes any index, size, level and
//! path without panic, overflow or a loop longer than the bytes it was given.
//!
//! * [`hash`](leaf_hash): leaf and inner hashes, roots of a run of leaves.
//! * [`Subtree`], [`cover`]: which perfect subtrees make up a range.
//! * [`CompactRange`]: the hashes of that cover, appended to and merged.
//! * [`prove_inclusion`] / [`verify_inclusion`]: RFC 9162 section 2.1.3.
//! * [`prove_consistency`] / [`verify_consistency`]: RFC 9162 section 2.1.4.
//! * [`prove_range`] / [`verify_range`] / [`verify_extension`]: a run of nodes
//!   between two compact ranges, checked against a root.
//! * [`prove_ranges`] / [`verify_ranges`]: several runs at once.

mod compact;
mod consistency;
mod hash;
mod inclusion;
mod list;
mod multi_range;
mod range_proof;
mod subtree;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use compact::CompactRange;
pub use consistency::{prove_consistency, verify_consistency};
pub use hash::{
    Hash, HashParseError, empty_root, leaf_hash, node_hash, node_within, subtree_levels,
    subtree_root,
};
pub use inclusion::{prove_inclusion, verify_inclusion};
pub use list::{join_hashes, split_hashes};
pub use multi_range::{prove_ranges, verify_ranges};
pub use range_proof::{ExtensionError, RangeProof, prove_range, verify_extension, verify_range};
pub use subtree::{MAX_LEVEL, MAX_SIZE, Subtree, cover, cover_len};

/// A source of the hashes of perfect subtrees: a store, or a closure.
pub trait Nodes {
    /// Why a read failed.
    type Error;

    /// The hash of `subtree`, or `None` if it is not held.
    fn node(&self, subtree: Subtree) -> Result<Option<Hash>, Self::Error>;
}

impl<F, E> Nodes for F
where
    F: Fn(Subtree) -> Result<Option<Hash>, E>,
{
    type Error = E;

    fn node(&self, subtree: Subtree) -> Result<Option<Hash>, E> {
        self(subtree)
    }
}

/// Why a proof, or the hashes offered as one, prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A tree size or position beyond [`MAX_SIZE`].
    #[error("size {0} is beyond the largest tree, {MAX_SIZE}")]
    TooLarge(u64),
    /// A leaf index outside of the tree.
    #[error("index {index} is outside of a tree of size {size}")]
    IndexBeyondSize {
        /// The index asked for.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// A range, or a pair of sizes, whose end lies before its begin.
    #[error("the range ends at {end}, before its begin at {begin}")]
    OutOfOrder {
        /// Where the range begins.
        begin: u64,
        /// Where it claims to end.
        end: u64,
    },
    /// Consistency with the empty tree: RFC 9162 section 2.1.4 wants 0 < m.
    #[error("a consistency proof from the empty tree proves nothing")]
    EmptyFirstTree,
    /// The path ended below the root.
    #[error("the path ends below the root, after {len} hashes")]
    PathTooShort {
        /// Hashes in the path.
        len: usize,
    },
    /// The path goes on above the root.
    #[error("the path of {len} hashes goes on above the root")]
    PathTooLong {
        /// Hashes in the path.
        len: usize,
    },
    /// Not as many hashes as the range's cover has subtrees.
    #[error("the range takes {expected} hashes, not {actual}")]
    HashCount {
        /// Subtrees in the cover.
        expected: u64,
        /// Hashes given.
        actual: u64,
    },
    /// A subtree that no tree of at most [`MAX_SIZE`] leaves has.
    #[error("no tree has a subtree at level {} with index {}", .0.level, .0.index)]
    NoSuchSubtree(Subtree),
    /// Hashes that do not begin where the ones before them ended.
    #[error("the hashes continue at {actual} instead of {expected}")]
    NotContiguous {
        /// The end of what is there.
        expected: u64,
        /// The begin of what was to follow.
        actual: u64,
    },
    /// The hashes lead to another root than the one claimed.
    #[error("the hashes lead to the root {computed}, not to {claimed}")]
    RootMismatch {
        /// The root that was to be proved.
        claimed: Hash,
        /// The root that the hashes lead to.
        computed: Hash,
    },
}

/// Why no proof could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E> {
    /// The source does not hold a node that the proof needs.
    #[error("the subtree at level {} with index {} is not held", .0.level, .0.index)]
    Missing(Subtree),
    /// What was asked for lies outside of the tree.
    #[error("position {position} is outside of a tree of size {size}")]
    BeyondSize {
        /// The index, size or end asked for.
        position: u64,
        /// The tree's size.
        size: u64,
    },
    /// No such proof exists, whatever the source holds.
    #[error("there is no such proof")]
    Impossible(#[source] ProofError),
    /// The source failed.
    #[error("the nodes cannot be read")]
    Source(#[source] E),
}

/// One node of the source, which must be there.
fn read<N: Nodes + ?Sized>(nodes: &N, subtree: Subtree) -> Result<Hash, ProveError<N::Error>> {
    nodes
        .node(subtree)
        .map_err(ProveError::Source)?
        .ok_or(ProveError::Missing(subtree))
}

/// The hashes of the cover of [begin, end), left to right.
fn read_cover<N: Nodes + ?Sized>(
    nodes: &N,
    begin: u64,
    end: u64,
) -> Result<Vec<Hash>, ProveError<N::Error>> {
    cover(begin, end, MAX_LEVEL)
        .map(|subtree| read(nodes, subtree))
        .collect()
}

/// The tree hash of the leaves [begin, end): one read if they are a perfect
/// subtree, else one for each subtree of their cover. `begin` must be a
/// multiple of a power of two that is no less than `end - begin`, as it is for
/// each operand of RFC 9162's recursion.
fn read_root<N: Nodes + ?Sized>(
    nodes: &N,
    begin: u64,
    end: u64,
) -> Result<Hash, ProveError<N::Error>> {
    Ok(hash::fold_right(&read_cover(nodes, begin, end)?))
}

/// Refuses sizes that no tree has, before anything is shifted or added.
fn check_size(size: u64) -> Result<(), ProofError> {
    if size > MAX_SIZE {
        return Err(ProofError::TooLarge(size));
    }
    Ok(())
}
