//! Range proofs: a run of nodes between two compact ranges, and the extension
//! of one tree to another.

use super::compact::CompactRange;
use super::inclusion::check_root;
use super::{Hash, Nodes, ProofError, ProveError, Subtree, check_size, read_cover};

/// What a verifier needs beside the nodes of [from, to) to compute the root of
/// the tree of a size: at most 2·log₂ size hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RangeProof {
    /// The hashes of the cover of [0, from), left to right.
    pub left: Vec<Hash>,
    /// The hashes of the cover of [to, size), left to right.
    pub right: Vec<Hash>,
}

/// The proof for the leaves [from, to) of the tree of `size`, from as many
/// reads as it has hashes. The range may be empty.
pub fn prove_range<N: Nodes + ?Sized>(
    nodes: &N,
    from: u64,
    to: u64,
    size: u64,
) -> Result<RangeProof, ProveError<N::Error>> {
    check_size(size).map_err(ProveError::Impossible)?;
    if to > size {
        return Err(ProveError::BeyondSize { position: to, size });
    }
    check_order(from, to).map_err(ProveError::Impossible)?;
    Ok(RangeProof {
        left: read_cover(nodes, 0, from)?,
        right: read_cover(nodes, to, size)?,
    })
}

/// Checks that `items` are the nodes over the leaves [from, to) of the tree of
/// `size` with this root.
///
/// The items must tile the range exactly, from the left to the right; they may
/// be of any levels, and none if the range is empty. Only when the root has
/// been matched does `visit` hear of every perfect node that is now known: the
/// ones of the proof, the items, and all parents that they complete, children
/// before parents.
///
/// The work is linear in the hashes given.
pub fn verify_range(
    from: u64,
    to: u64,
    size: u64,
    items: &[(Subtree, Hash)],
    proof: &RangeProof,
    root: Hash,
    visit: &mut impl FnMut(Subtree, Hash),
) -> Result<(), ProofError> {
    check_size(size)?;
    check_order(from, to)?;
    check_order(to, size)?;
    let left = CompactRange::from_hashes(0, from, proof.left.clone())?;
    let right = CompactRange::from_hashes(to, size, proof.right.clone())?;
    let mut known: Vec<_> = left.nodes().collect();
    let mut learn = |subtree, hash| known.push((subtree, hash));
    let mut tree = left;
    for (subtree, hash) in items {
        tree.push(*subtree, *hash, &mut learn)?;
    }
    append(&mut tree, &right, &mut learn)?;
    check_root(root, root_of(&tree))?;
    known
        .into_iter()
        .for_each(|(subtree, hash)| visit(subtree, hash));
    Ok(())
}

/// Why a tree was not shown to extend another, and whose fault that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// Sizes or hash counts that no honest sender writes.
    #[error("the extension proof is malformed")]
    Malformed(#[source] ProofError),
    /// The nodes are not those of the second tree: their sender lies, and
    /// nothing is known of the owner.
    #[error("the nodes lead to the root {computed}, not to that of the second tree")]
    NotTheSecondTree {
        /// The root that the nodes lead to.
        computed: Hash,
    },
    /// The nodes are those of the second tree, and its beginning is not the
    /// first tree: whoever signed both roots forked the log. The nodes are the
    /// proof of it.
    #[error("the second tree begins with the root {computed}, not with that of the first")]
    Fork {
        /// The second tree's root at the first tree's size.
        computed: Hash,
    },
}

/// Checks that the tree of size `second` begins with the tree of size `first`,
/// from the hashes of the covers of [0, first) (`left`) and [first, second)
/// (`right`).
///
/// Unlike a consistency proof this tells a lying sender from a forked owner,
/// works from size 0, and leaves the verifier with compact ranges of both
/// trees. Sizes may be equal (`right` is empty then); other roots of the same
/// size are a fork too. `visit` as in [`verify_range`]: only on success.
pub fn verify_extension(
    first: u64,
    second: u64,
    first_root: Hash,
    second_root: Hash,
    left: &[Hash],
    right: &[Hash],
    visit: &mut impl FnMut(Subtree, Hash),
) -> Result<(), ExtensionError> {
    let malformed = ExtensionError::Malformed;
    let left = CompactRange::from_hashes(0, first, left.to_vec()).map_err(malformed)?;
    let right = CompactRange::from_hashes(first, second, right.to_vec()).map_err(malformed)?;
    let first_computed = root_of(&left);
    let mut known: Vec<_> = left.nodes().collect();
    let mut tree = left;
    append(&mut tree, &right, &mut |subtree, hash| {
        known.push((subtree, hash))
    })
    .map_err(malformed)?;
    let computed = root_of(&tree);
    if computed != second_root {
        return Err(ExtensionError::NotTheSecondTree { computed });
    }
    if first_computed != first_root {
        return Err(ExtensionError::Fork {
            computed: first_computed,
        });
    }
    known
        .into_iter()
        .for_each(|(subtree, hash)| visit(subtree, hash));
    Ok(())
}

/// Merges `next` into `tree` and visits its nodes as well as the new parents.
fn append(
    tree: &mut CompactRange,
    next: &CompactRange,
    visit: &mut impl FnMut(Subtree, Hash),
) -> Result<(), ProofError> {
    if next.begin() != tree.end() {
        return Err(ProofError::NotContiguous {
            expected: next.begin(),
            actual: tree.end(),
        });
    }
    for (subtree, hash) in next.nodes() {
        tree.push(subtree, hash, visit)?;
    }
    Ok(())
}

fn root_of(tree: &CompactRange) -> Hash {
    tree.root().expect("a range that was begun at 0 has a root")
}

fn check_order(begin: u64, end: u64) -> Result<(), ProofError> {
    if begin > end {
        return Err(ProofError::OutOfOrder { begin, end });
    }
    Ok(())
}
