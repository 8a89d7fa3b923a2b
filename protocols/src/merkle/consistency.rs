//! Consistency proofs: RFC 9162 section 2.1.4.

use super::inclusion::check_root;
use super::{Hash, Nodes, ProofError, ProveError, check_size, node_hash, read_root};

/// The proof that the tree of size `first` is the beginning of the tree of
/// size `second`: PROOF(first, D_second) of RFC 9162 section 2.1.4.1.
///
/// Empty if both sizes are the same; at most ⌈log₂ second⌉ + 1 hashes, from
/// O(log second) reads. There is none from the empty tree.
pub fn prove_consistency<N: Nodes + ?Sized>(
    nodes: &N,
    first: u64,
    second: u64,
) -> Result<Vec<Hash>, ProveError<N::Error>> {
    check_size(second).map_err(ProveError::Impossible)?;
    if first > second {
        return Err(ProveError::BeyondSize {
            position: first,
            size: second,
        });
    }
    if first == second {
        return Ok(Vec::new());
    }
    if first == 0 {
        return Err(ProveError::Impossible(ProofError::EmptyFirstTree));
    }
    // SUBPROOF descends from the root to the node that ends at `first`, and
    // appends what it passed on its way back: so the passed ones are reversed.
    let mut path = Vec::new();
    let (mut begin, mut end) = (0, second);
    while first < end {
        let middle = begin + split(end - begin);
        if first <= middle {
            path.push(read_root(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(read_root(nodes, begin, middle)?);
            begin = middle;
        }
    }
    // The verifier knows the first root already; it needs this node only if
    // the first tree is more than this node alone.
    if begin != 0 {
        path.push(read_root(nodes, begin, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks that the tree of size `first` with `first_root` is the beginning of
/// the tree of size `second` with `second_root`, by the algorithm of RFC 9162
/// section 2.1.4.2.
///
/// Equal sizes take an empty path and equal roots, even if both are 0; from
/// the empty tree to a larger one nothing is proved, so that is an error.
pub fn verify_consistency(
    first: u64,
    second: u64,
    first_root: Hash,
    second_root: Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    check_size(second)?;
    if first > second {
        return Err(ProofError::OutOfOrder {
            begin: first,
            end: second,
        });
    }
    let len = path.len();
    if first == second {
        if len > 0 {
            return Err(ProofError::PathTooLong { len });
        }
        return check_root(second_root, first_root);
    }
    if first == 0 {
        return Err(ProofError::EmptyFirstTree);
    }
    // The node where both trees begin to differ: the first root itself if the
    // first tree is perfect, else the first hash of the path.
    let (seed, rest) = if first.is_power_of_two() {
        (first_root, path)
    } else {
        let (seed, rest) = path.split_first().ok_or(ProofError::PathTooShort { len })?;
        (*seed, rest)
    };
    let skipped = (first - 1).trailing_ones();
    let (mut node, mut last) = ((first - 1) >> skipped, (second - 1) >> skipped);
    let (mut computed_first, mut computed_second) = (seed, seed);
    for hash in rest {
        if last == 0 {
            return Err(ProofError::PathTooLong { len });
        }
        if node & 1 == 1 || node == last {
            computed_first = node_hash(*hash, computed_first);
            computed_second = node_hash(*hash, computed_second);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            computed_second = node_hash(computed_second, *hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::PathTooShort { len });
    }
    check_root(first_root, computed_first)?;
    check_root(second_root, computed_second)
}

/// The largest power of two below n, for n ≥ 2: where RFC 9162 splits a tree.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}
