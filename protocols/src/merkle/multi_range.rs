//! Multi-range proofs: several runs of nodes with all that lies between them,
//! checked against one root at once.

use std::ops::Range;

use super::compact::CompactRange;
use super::inclusion::check_root;
use super::{
    Hash, MAX_LEVEL, Nodes, ProofError, ProveError, Subtree, check_size, cover, cover_len,
    read_cover,
};

/// What a verifier needs beside the nodes of some ranges to compute the root of
/// the tree of `size`: the hashes of the subtrees that cover what lies before,
/// between and behind the ranges, left to right.
///
/// That is the least: each of these subtrees is the sibling of a node on the way
/// from a range to the root, and none of them can be computed from the others.
///
/// The ranges must be ascending, none empty, with a gap between any two.
///
/// # Errors
/// The ranges are not like that or lie outside of the tree, a node is not held,
/// or the source fails.
pub fn prove_ranges<N: Nodes + ?Sized>(
    nodes: &N,
    ranges: &[Range<u64>],
    size: u64,
) -> Result<Vec<Hash>, ProveError<N::Error>> {
    check_ranges(ranges, size).map_err(ProveError::Impossible)?;
    let mut hashes = Vec::new();
    for gap in gaps(ranges, size) {
        hashes.extend(read_cover(nodes, gap.start, gap.end)?);
    }
    Ok(hashes)
}

/// Checks that `items` are the nodes over the leaves of `ranges` in the tree of
/// `size` with this root, by the hashes that [`prove_ranges`] tells.
///
/// The items must tile each range exactly, from the left to the right; they may
/// be of any levels. Only when the root has been matched does `visit` hear of
/// every perfect node that is now known: the ones of the proof, the items, and
/// all parents that they complete, children before parents.
///
/// The number of hashes is compared before any is used, so that the work is
/// linear in the ranges and items.
///
/// # Errors
/// The ranges are none that an honest prover names, or the hashes lead to
/// another root.
pub fn verify_ranges(
    ranges: &[Range<u64>],
    size: u64,
    items: &[(Subtree, Hash)],
    proof: &[Hash],
    root: Hash,
    visit: &mut impl FnMut(Subtree, Hash),
) -> Result<(), ProofError> {
    check_ranges(ranges, size)?;
    let expected = proof_len(ranges, size);
    let actual = proof.len() as u64;
    if expected != actual {
        return Err(ProofError::HashCount { expected, actual });
    }
    let mut known = Vec::with_capacity(2 * (items.len() + proof.len()));
    let mut learn = |subtree, hash| known.push((subtree, hash));
    let mut tree = CompactRange::empty(0);
    let (mut proof, mut items) = (proof.iter(), items.iter());
    for (place, gap) in gaps(ranges, size).enumerate() {
        for subtree in cover(gap.start, gap.end, MAX_LEVEL) {
            let hash = proof.next().expect("they were counted");
            tree.push(subtree, *hash, &mut learn)?;
        }
        let Some(range) = ranges.get(place) else {
            break;
        };
        while tree.end() < range.end {
            let (subtree, hash) = items.next().ok_or(not_contiguous(range.end, &tree))?;
            tree.push(*subtree, *hash, &mut learn)?;
        }
        if tree.end() != range.end {
            return Err(not_contiguous(range.end, &tree));
        }
    }
    if let Some((subtree, _)) = items.next() {
        return Err(ProofError::NoSuchSubtree(*subtree));
    }
    let computed = tree.root().expect("the tree was begun at 0");
    check_root(root, computed)?;
    for (subtree, hash) in known {
        visit(subtree, hash);
    }
    Ok(())
}

/// How many hashes the proof of these ranges has, whatever the tree holds.
fn proof_len(ranges: &[Range<u64>], size: u64) -> u64 {
    gaps(ranges, size)
        .map(|gap| cover_len(gap.start, gap.end, MAX_LEVEL))
        .sum()
}

/// What lies before, between and behind ranges that were checked: one more than
/// there are ranges. The first and the last may be empty.
fn gaps(ranges: &[Range<u64>], size: u64) -> impl Iterator<Item = Range<u64>> {
    let begins = std::iter::once(0).chain(ranges.iter().map(|range| range.end));
    let ends = ranges.iter().map(|range| range.start).chain([size]);
    begins.zip(ends).map(|(begin, end)| begin..end)
}

fn check_ranges(ranges: &[Range<u64>], size: u64) -> Result<(), ProofError> {
    check_size(size)?;
    let mut end = None;
    for range in ranges {
        let touches = end.is_some_and(|end| range.start <= end);
        if touches || range.is_empty() || range.end > size {
            return Err(ProofError::OutOfOrder {
                begin: range.start,
                end: range.end,
            });
        }
        end = Some(range.end);
    }
    Ok(())
}

fn not_contiguous(expected: u64, tree: &CompactRange) -> ProofError {
    ProofError::NotContiguous {
        expected,
        actual: tree.end(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::super::{leaf_hash, node_hash, subtree_root};
    use super::*;

    fn leaves(size: u64) -> Vec<Hash> {
        (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    /// Every perfect subtree of these leaves, computed level by level.
    fn naive_nodes(leaves: &[Hash]) -> BTreeMap<Subtree, Hash> {
        let mut nodes = BTreeMap::new();
        let (mut level, mut row) = (0, leaves.to_vec());
        while !row.is_empty() {
            let named = (0..).zip(&row);
            nodes.extend(named.map(|(index, hash)| (Subtree { level, index }, *hash)));
            let pairs = row.as_chunks::<2>().0;
            row = pairs.iter().map(|[a, b]| node_hash(*a, *b)).collect();
            level += 1;
        }
        nodes
    }

    /// The proof by its definition: the largest perfect subtrees that share no
    /// leaf with the ranges, left to right.
    fn naive_proof(nodes: &BTreeMap<Subtree, Hash>, ranges: &[Range<u64>]) -> Vec<Hash> {
        let is_apart = |node: Subtree| {
            let overlap = |range: &Range<u64>| node.begin() < range.end && range.start < node.end();
            nodes.contains_key(&node) && !ranges.iter().any(overlap)
        };
        let largest = nodes
            .keys()
            .filter(|node| is_apart(**node) && !is_apart(node.parent()));
        let by_place: BTreeMap<_, _> = largest.map(|node| (node.begin(), nodes[node])).collect();
        by_place.into_values().collect()
    }

    fn source(
        nodes: &BTreeMap<Subtree, Hash>,
    ) -> impl Fn(Subtree) -> Result<Option<Hash>, Infallible> {
        |subtree| Ok(nodes.get(&subtree).copied())
    }

    /// Ranges of a tree, in order, with gaps between them.
    fn some_ranges(size: u64) -> impl Strategy<Value = Vec<Range<u64>>> {
        prop::collection::btree_set(0..=size, 0..12).prop_map(|points| {
            let points: Vec<_> = points.into_iter().collect();
            points
                .as_chunks::<2>()
                .0
                .iter()
                .map(|[a, b]| *a..*b)
                .collect()
        })
    }

    #[derive(Debug, Clone)]
    struct Case {
        size: u64,
        ranges: Vec<Range<u64>>,
        items: Vec<(Subtree, Hash)>,
        proof: Vec<Hash>,
        root: Hash,
        nodes: BTreeMap<Subtree, Hash>,
    }

    /// An honest offer of some ranges, in subtrees of at most a level.
    fn case() -> impl Strategy<Value = Case> {
        (1..200_u64, 0..4_u8).prop_flat_map(|(size, level)| {
            some_ranges(size).prop_map(move |ranges| {
                let leaves = leaves(size);
                let nodes = naive_nodes(&leaves);
                let tiles = ranges.iter().flat_map(|r| cover(r.start, r.end, level));
                let items = tiles.map(|tile| (tile, nodes[&tile])).collect();
                let proof = prove_ranges(&source(&nodes), &ranges, size).unwrap();
                let root = subtree_root(leaves);
                Case {
                    size,
                    ranges,
                    items,
                    proof,
                    root,
                    nodes,
                }
            })
        })
    }

    impl Case {
        fn refuses(&self) -> bool {
            let visit = &mut |_, _| panic!("nothing may be learnt from a false proof");
            let (size, root) = (self.size, self.root);
            verify_ranges(&self.ranges, size, &self.items, &self.proof, root, visit).is_err()
        }
    }

    /// All ways to spoil a list of hashes: one altered, one too few, one too
    /// many, two swapped, the first one last.
    fn spoilt(hashes: &[Hash]) -> Vec<Vec<Hash>> {
        let mut all = Vec::new();
        for i in 0..hashes.len() {
            let mut other = hashes.to_vec();
            other[i].0[i % 32] ^= 1;
            all.push(other);
            let mut other = hashes.to_vec();
            other.remove(i);
            all.push(other);
            let mut other = hashes.to_vec();
            other.insert(i, hashes[i]);
            all.push(other);
            if i > 0 {
                let mut other = hashes.to_vec();
                other.swap(0, i);
                all.push(other);
            }
        }
        if hashes.len() > 2 {
            let mut other = hashes.to_vec();
            other.rotate_left(1);
            all.push(other);
        }
        all.push([hashes, &[leaf_hash(b"one too many")]].concat());
        all
    }

    proptest! {
        #[test]
        fn proofs_are_the_naive_ones_and_teach_all_true_nodes_above_them(case in case()) {
            let Case { size, ranges, items, proof, root, nodes } = case;
            prop_assert_eq!(&proof, &naive_proof(&nodes, &ranges));
            let mut learnt = BTreeMap::new();
            let visit = &mut |subtree, hash| {
                let before = learnt.insert(subtree, hash);
                assert_eq!(before, None, "{subtree:?} was told twice");
            };
            verify_ranges(&ranges, size, &items, &proof, root, visit)?;
            for (subtree, hash) in &learnt {
                prop_assert_eq!(Some(hash), nodes.get(subtree));
            }
            // Each perfect parent of two learnt nodes is learnt itself, so that
            // every item can be proved on from them.
            for node in learnt.keys() {
                let parent = node.parent();
                if nodes.contains_key(&parent) {
                    prop_assert!(learnt.contains_key(&parent), "{:?}", parent);
                }
            }
        }

        #[test]
        fn whatever_is_altered_is_refused_and_teaches_nothing(case in case()) {
            for proof in spoilt(&case.proof) {
                let other = Case { proof, ..case.clone() };
                prop_assert!(other.refuses(), "{:?}", other);
            }
            let hashes: Vec<_> = case.items.iter().map(|(_, hash)| *hash).collect();
            for hashes in spoilt(&hashes) {
                let places = case.items.iter().map(|(subtree, _)| *subtree);
                let items: Vec<_> = places.zip(hashes.iter().copied()).collect();
                let extra = (hashes.len() > items.len()).then(|| {
                    let index = case.size;
                    (Subtree { level: 0, index }, leaf_hash(b"one too many"))
                });
                let items: Vec<_> = items.into_iter().chain(extra).collect();
                if items != case.items {
                    let other = Case { items, ..case.clone() };
                    prop_assert!(other.refuses(), "{:?}", other);
                }
            }
            let mut other = case.clone();
            other.items.reverse();
            prop_assert!(case.items.len() < 2 || other.refuses());
            let other = Case { root: leaf_hash(b"another"), ..case.clone() };
            prop_assert!(other.refuses());
        }

        #[test]
        fn a_proof_is_of_its_ranges_alone(case in case(), other in some_ranges(200)) {
            if other != case.ranges {
                let other = Case { ranges: other, ..case };
                prop_assert!(other.refuses(), "{:?}", other);
            }
        }

        #[test]
        fn whatever_a_peer_sends_is_answered_without_panic(
            points in prop::collection::vec(any::<u64>(), 0..8), size in any::<u64>(),
            items in prop::collection::vec((any::<u8>(), any::<u64>()), 0..5), hashes in 0..70_usize,
        ) {
            let ranges: Vec<_> = points.as_chunks::<2>().0.iter().map(|[a, b]| *a..*b).collect();
            let hash = leaf_hash(b"");
            let items: Vec<_> = (items.into_iter())
                .map(|(level, index)| (Subtree { level, index }, hash))
                .collect();
            let proof = vec![hash; hashes];
            let visit = &mut |_, _| panic!("nothing was proved");
            prop_assert!(verify_ranges(&ranges, size, &items, &proof, hash, visit).is_err());
        }
    }

    #[test]
    #[expect(
        clippy::single_range_in_vec_init,
        reason = "lists of one range are meant"
    )]
    fn ranges_that_touch_or_go_back_or_are_empty_are_no_ranges() {
        let nodes = naive_nodes(&leaves(20));
        for bad in [vec![0..3, 3..5], vec![4..6, 1..2], vec![3..3], vec![15..21]] {
            let proof = prove_ranges(&source(&nodes), &bad, 20);
            assert!(matches!(proof, Err(ProveError::Impossible(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_thousand_leaves_of_a_million_take_ten_hashes_each() {
        // What lies in common above them is told once.
        let zero = |_: Subtree| Ok::<_, Infallible>(Some(leaf_hash(b"")));
        let ranges: Vec<_> = (0..1_000).map(|i| i * 1_000 + 77..i * 1_000 + 78).collect();
        let proof = prove_ranges(&zero, &ranges, 1_000_000).unwrap();
        assert!((9_000..11_000).contains(&proof.len()), "{}", proof.len());
    }
}
