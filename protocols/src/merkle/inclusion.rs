//! Inclusion proofs: RFC 9162 section 2.1.3.

use super::{Hash, Nodes, ProofError, ProveError, Subtree, check_size, node_hash, read, read_root};

/// The inclusion path of the leaf at `index` in the tree of `size`, from the
/// leaf upwards: PATH(index, D_size) of RFC 9162 section 2.1.3.1.
///
/// At most ⌈log₂ size⌉ hashes, from at most twice as many reads.
pub fn prove_inclusion<N: Nodes + ?Sized>(
    nodes: &N,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProveError<N::Error>> {
    check_size(size).map_err(ProveError::Impossible)?;
    if index >= size {
        return Err(ProveError::BeyondSize {
            position: index,
            size,
        });
    }
    let mut path = Vec::new();
    let mut subtree = Subtree::leaf(index);
    while subtree.len() < size {
        let sibling = subtree.sibling();
        if sibling.end() <= size {
            path.push(read(nodes, sibling)?);
        } else if sibling.begin() < size {
            path.push(read_root(nodes, sibling.begin(), size)?);
        }
        subtree = subtree.parent();
    }
    Ok(path)
}

/// Checks that `leaf` is at `index` in the tree of `size` with this root, by
/// the algorithm of RFC 9162 section 2.1.3.2.
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: Hash,
) -> Result<(), ProofError> {
    check_size(size)?;
    if index >= size {
        return Err(ProofError::IndexBeyondSize { index, size });
    }
    let len = path.len();
    let (mut node, mut last) = (index, size - 1);
    let mut computed = leaf;
    for hash in path {
        if last == 0 {
            return Err(ProofError::PathTooLong { len });
        }
        if node & 1 == 1 || node == last {
            computed = node_hash(*hash, computed);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            computed = node_hash(computed, *hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::PathTooShort { len });
    }
    check_root(root, computed)
}

/// Compares the root that the hashes led to with the claimed one.
pub(super) fn check_root(claimed: Hash, computed: Hash) -> Result<(), ProofError> {
    if claimed != computed {
        return Err(ProofError::RootMismatch { claimed, computed });
    }
    Ok(())
}
