//! The tree against a naive one written straight from the RFC.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

/// MTH of RFC 9162 section 2.1.1.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            node_hash(naive_root(left), naive_root(right))
        }
    }
}

fn naive_split(n: usize) -> usize {
    let mut k = 1;
    while 2 * k < n {
        k *= 2;
    }
    k
}

/// PATH of RFC 9162 section 2.1.3.1.
fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return vec![];
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, top) = if m < k {
        (naive_path(m, left), naive_root(right))
    } else {
        (naive_path(m - k, right), naive_root(left))
    };
    path.push(top);
    path
}

/// SUBPROOF of RFC 9162 section 2.1.4.1.
fn naive_subproof(m: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if known {
            vec![]
        } else {
            vec![naive_root(leaves)]
        };
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, top) = if m <= k {
        (naive_subproof(m, left, known), naive_root(right))
    } else {
        (naive_subproof(m - k, right, false), naive_root(left))
    };
    path.push(top);
    path
}

fn leaves(size: usize) -> Vec<Hash> {
    (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

fn naive_node(leaves: &[Hash], subtree: Subtree) -> Hash {
    naive_root(&leaves[subtree.begin() as usize..subtree.end() as usize])
}

/// A source of the perfect subtrees of these leaves, and of no others.
fn source(leaves: &[Hash]) -> impl Fn(Subtree) -> Result<Option<Hash>, Infallible> {
    move |subtree| {
        let held = subtree.end() <= leaves.len() as u64;
        Ok(held.then(|| naive_node(leaves, subtree)))
    }
}

fn quiet(_: Subtree, _: Hash) {}

fn flip(hash: &mut Hash, bit: usize) {
    hash.0[bit / 8 % 32] ^= 1 << (bit % 8);
}

/// All ways in which `alter` can spoil a list: a bit of each hash, one hash
/// too few or too many at either end, two neighbours swapped.
fn spoilt(path: &[Hash], bit: usize) -> Vec<Vec<Hash>> {
    let mut all = vec![];
    for i in 0..path.len() {
        let mut other = path.to_vec();
        flip(&mut other[i], bit);
        all.push(other);
        let mut other = path.to_vec();
        other.remove(i);
        all.push(other);
        if i > 0 {
            let mut other = path.to_vec();
            other.swap(i - 1, i);
            all.push(other);
        }
    }
    for i in [0, path.len()] {
        let mut other = path.to_vec();
        other.insert(i, leaf_hash(b"one too many"));
        all.push(other);
    }
    all
}

/// A size with a position in it.
fn size_and(below: usize) -> impl Strategy<Value = (usize, usize)> {
    (1..below).prop_flat_map(|size| (Just(size), 0..size))
}

/// Three numbers in order.
fn ordered(below: usize) -> impl Strategy<Value = [usize; 3]> {
    prop::array::uniform3(0..below).prop_map(|mut points| {
        points.sort_unstable();
        points
    })
}

proptest! {
    #[test]
    fn roots_are_those_of_the_rfc(size in 0..300usize) {
        let leaves = leaves(size);
        let mut range = CompactRange::empty(0);
        for leaf in &leaves {
            range.append_leaf(*leaf, &mut quiet)?;
        }
        prop_assert_eq!(range.root(), Some(naive_root(&leaves)));
        prop_assert_eq!(subtree_root(leaves.clone()), naive_root(&leaves));
    }

    #[test]
    fn covers_are_minimal_and_counted_right(
        [begin, _, end] in ordered(2_000), max_level in 0..12u8, far in any::<bool>(),
    ) {
        let base = if far { MAX_SIZE - 2_048 } else { 0 };
        let (begin, end) = (base + begin as u64, base + end as u64);
        let found: Vec<_> = cover(begin, end, max_level).collect();
        prop_assert_eq!(cover_len(begin, end, max_level), found.len() as u64);
        let mut at = begin;
        for subtree in &found {
            prop_assert_eq!(subtree.begin(), at);
            prop_assert!(subtree.level <= max_level);
            let parent = subtree.parent();
            let larger = parent.begin() >= begin && parent.end() <= end;
            prop_assert!(!larger || subtree.level == max_level, "{:?} could be larger", subtree);
            at = subtree.end();
        }
        prop_assert_eq!(at, end);
    }

    #[test]
    fn cover_len_counts_any_range(a in any::<u64>(), b in any::<u64>()) {
        let (begin, end) = (a.min(b), a.max(b));
        let counted = cover(begin, end, 255).count() as u64;
        prop_assert_eq!(cover_len(begin, end, 255), counted);
    }

    #[test]
    fn a_compact_range_is_the_same_however_it_is_split(
        [begin, middle, end] in ordered(300), cut in 0..6u8,
    ) {
        let leaves = leaves(300);
        let ends = [begin as u64, middle as u64, end as u64];
        let of = |from: u64, to: u64, max_level| {
            let mut range = CompactRange::empty(from);
            for subtree in cover(from, to, max_level) {
                range.push(subtree, naive_node(&leaves, subtree), &mut quiet)?;
            }
            Ok::<_, ProofError>(range)
        };
        let whole = of(ends[0], ends[2], 0)?;
        let expected: Vec<_> = cover(ends[0], ends[2], MAX_LEVEL)
            .map(|subtree| (subtree, naive_node(&leaves, subtree)))
            .collect();
        prop_assert_eq!(whole.nodes().collect::<Vec<_>>(), expected);
        prop_assert_eq!(&of(ends[0], ends[2], cut)?, &whole);
        let hashes = whole.hashes().to_vec();
        prop_assert_eq!(&CompactRange::from_hashes(ends[0], ends[2], hashes)?, &whole);

        let mut merged = of(ends[0], ends[1], cut)?;
        let mut joined = BTreeMap::new();
        let right = of(ends[1], ends[2], 0)?;
        merged.merge(&right, &mut |subtree, hash| { joined.insert(subtree, hash); })?;
        prop_assert_eq!(&merged, &whole);
        for (subtree, hash) in joined {
            prop_assert_eq!(naive_node(&leaves, subtree), hash);
            prop_assert!(subtree.begin() < ends[1] && ends[1] < subtree.end());
        }
    }

    #[test]
    fn inclusion_paths_are_those_of_the_rfc_and_verify((size, index) in size_and(200)) {
        let leaves = leaves(size);
        let root = naive_root(&leaves);
        let path = prove_inclusion(&source(&leaves), index as u64, size as u64)?;
        prop_assert_eq!(&path, &naive_path(index, &leaves));
        verify_inclusion(leaves[index], index as u64, size as u64, &path, root)?;
    }

    #[test]
    fn altered_inclusion_proofs_are_rejected(
        (size, index) in size_and(200), bit in 0..256usize, other in 0..400u64,
    ) {
        let leaves = leaves(size);
        let (root, at, n) = (naive_root(&leaves), index as u64, size as u64);
        let leaf = leaves[index];
        let path = naive_path(index, &leaves);
        for path in spoilt(&path, bit) {
            prop_assert!(verify_inclusion(leaf, at, n, &path, root).is_err());
        }
        let (mut other_leaf, mut other_root) = (leaf, root);
        flip(&mut other_leaf, bit);
        flip(&mut other_root, bit);
        prop_assert!(verify_inclusion(other_leaf, at, n, &path, root).is_err());
        prop_assert!(verify_inclusion(leaf, at, n, &path, other_root).is_err());
        if other != at {
            prop_assert!(verify_inclusion(leaf, other, n, &path, root).is_err());
        }
    }

    #[test]
    fn consistency_paths_are_those_of_the_rfc_and_verify([_, a, b] in ordered(200)) {
        let (first, second) = (a.max(1), b.max(1));
        let leaves = leaves(second);
        let path = prove_consistency(&source(&leaves), first as u64, second as u64)?;
        prop_assert_eq!(&path, &naive_subproof(first, &leaves, true));
        let (first_root, second_root) = (naive_root(&leaves[..first]), naive_root(&leaves));
        verify_consistency(first as u64, second as u64, first_root, second_root, &path)?;
    }

    #[test]
    fn altered_consistency_proofs_are_rejected(
        (second, first) in size_and(200), bit in 0..256usize, other in 0..400u64,
    ) {
        let first = first.max(1);
        let leaves = leaves(second);
        let path = naive_subproof(first, &leaves, true);
        let (m, n) = (first as u64, second as u64);
        let (old, new) = (naive_root(&leaves[..first]), naive_root(&leaves));
        for path in spoilt(&path, bit) {
            prop_assert!(verify_consistency(m, n, old, new, &path).is_err());
        }
        let (mut other_old, mut other_new) = (old, new);
        flip(&mut other_old, bit);
        flip(&mut other_new, bit);
        prop_assert!(verify_consistency(m, n, other_old, new, &path).is_err());
        prop_assert!(verify_consistency(m, n, old, other_new, &path).is_err());
        if other != m && first != second {
            prop_assert!(verify_consistency(other, n, old, new, &path).is_err());
        }
    }

    #[test]
    fn range_proofs_verify_and_teach_only_true_nodes(
        [from, to, size] in ordered(300), max_level in 0..9u8,
    ) {
        let leaves = leaves(size);
        let (from, to, size) = (from as u64, to as u64, size as u64);
        let proof = prove_range(&source(&leaves), from, to, size)?;
        let items: Vec<_> = cover(from, to, max_level)
            .map(|subtree| (subtree, naive_node(&leaves, subtree)))
            .collect();
        let mut learnt = BTreeMap::new();
        let mut visit = |subtree, hash| assert!(learnt.insert(subtree, hash).is_none());
        verify_range(from, to, size, &items, &proof, naive_root(&leaves), &mut visit)?;
        for (subtree, hash) in &learnt {
            prop_assert_eq!(naive_node(&leaves, *subtree), *hash);
        }
        // Nothing that could be learnt is left out: the given nodes, and the
        // parent of every two known siblings.
        let given = cover(0, from, 62).chain(cover(from, to, max_level)).chain(cover(to, size, 62));
        for subtree in given {
            prop_assert!(learnt.contains_key(&subtree));
        }
        for subtree in learnt.keys() {
            if learnt.contains_key(&subtree.sibling()) {
                prop_assert!(learnt.contains_key(&subtree.parent()));
            }
        }
    }

    #[test]
    fn altered_range_proofs_are_rejected_and_teach_nothing(
        [from, to, size] in ordered(200), max_level in 0..9u8, bit in 0..256usize,
    ) {
        let leaves = leaves(size);
        let root = naive_root(&leaves);
        let (from, to, size) = (from as u64, to as u64, size as u64);
        let proof = prove_range(&source(&leaves), from, to, size)?;
        let items: Vec<_> = cover(from, to, max_level)
            .map(|subtree| (subtree, naive_node(&leaves, subtree)))
            .collect();
        let rejects = |size, items: &[_], proof: &RangeProof, root| {
            let mut visit = |_, _| panic!("a failed proof taught something");
            verify_range(from, to, size, items, proof, root, &mut visit).is_err()
        };
        let RangeProof { left, right } = &proof;
        for left in spoilt(left, bit) {
            let other = RangeProof { left, right: right.clone() };
            prop_assert!(rejects(size, &items, &other, root));
        }
        for right in spoilt(right, bit) {
            let other = RangeProof { left: left.clone(), right };
            prop_assert!(rejects(size, &items, &other, root));
        }
        for i in 0..items.len() {
            let mut other = items.clone();
            flip(&mut other[i].1, bit);
            prop_assert!(rejects(size, &other, &proof, root));
            let mut other = items.clone();
            other.remove(i);
            prop_assert!(rejects(size, &other, &proof, root));
            let mut other = items.clone();
            other.insert(i, items[i]);
            prop_assert!(rejects(size, &other, &proof, root));
        }
        let mut other = items.clone();
        other.push((Subtree::leaf(to), leaf_hash(b"one too many")));
        prop_assert!(rejects(size, &other, &proof, root));
        let mut other = root;
        flip(&mut other, bit);
        prop_assert!(rejects(size, &items, &proof, other));
    }

    #[test]
    fn extensions_tell_the_liar_from_the_forker(
        [_, first, second] in ordered(200), bit in 0..256usize,
    ) {
        let leaves = leaves(second);
        let (old, new) = (naive_root(&leaves[..first]), naive_root(&leaves));
        let (m, n) = (first as u64, second as u64);
        let RangeProof { left, right } = prove_range(&source(&leaves), m, m, n)?;
        let mut learnt = BTreeMap::new();
        let mut visit = |subtree, hash| { learnt.insert(subtree, hash); };
        verify_extension(m, n, old, new, &left, &right, &mut visit)?;
        for (subtree, hash) in learnt {
            prop_assert_eq!(naive_node(&leaves, subtree), hash);
        }

        let mut never = |_, _| panic!("a failed proof taught something");
        let mut other = old;
        flip(&mut other, bit);
        let forked = verify_extension(m, n, other, new, &left, &right, &mut never);
        prop_assert_eq!(forked, Err(ExtensionError::Fork { computed: old }));
        let mut check = |root, left: &[Hash], right: &[Hash]| {
            let verdict = verify_extension(m, n, old, root, left, right, &mut never);
            matches!(
                verdict,
                Err(ExtensionError::NotTheSecondTree { .. } | ExtensionError::Malformed(_))
            )
        };
        let mut other = new;
        flip(&mut other, bit);
        prop_assert!(check(other, &left, &right));
        for left in spoilt(&left, bit) {
            prop_assert!(check(new, &left, &right));
        }
        for right in spoilt(&right, bit) {
            prop_assert!(check(new, &left, &right));
        }
    }

    #[test]
    fn whatever_a_peer_sends_is_answered_without_panic(
        a in any::<u64>(), b in any::<u64>(), c in any::<u64>(), shift in 0..64u32,
        count in 0..140usize, level in any::<u8>(),
    ) {
        let hash = leaf_hash(b"");
        let (a, b, c) = (a >> shift, b >> (shift / 2), c >> shift);
        let path = vec![hash; count];
        let mut never = |_, _| panic!("nothing can be proved here");
        prop_assert!(verify_inclusion(hash, a, b, &path, empty_root()).is_err());
        prop_assert!(verify_consistency(a, b, hash, empty_root(), &path).is_err());
        let proof = RangeProof { left: path.clone(), right: path.clone() };
        let items = [(Subtree { level, index: c }, hash)];
        prop_assert!(verify_range(a, b, c, &items, &proof, empty_root(), &mut never).is_err());
        prop_assert!(
            verify_extension(a, b, hash, empty_root(), &path, &path, &mut never).is_err()
        );
    }
}

/// A tree whose leaves are all the same, so that a node depends on its level
/// only: any size without any memory. It counts its reads.
struct Uniform {
    levels: Vec<Hash>,
    reads: Cell<usize>,
}

impl Uniform {
    fn new() -> Self {
        let leaf = leaf_hash(b"the same");
        let levels = std::iter::successors(Some(leaf), |below| Some(node_hash(*below, *below)))
            .take(usize::from(MAX_LEVEL) + 1)
            .collect();
        Self {
            levels,
            reads: Cell::new(0),
        }
    }

    fn root(&self, size: u64) -> Hash {
        let hashes = cover(0, size, MAX_LEVEL).map(|s| self.levels[usize::from(s.level)]);
        let range = CompactRange::from_hashes(0, size, hashes.collect());
        range
            .ok()
            .and_then(|range| range.root())
            .expect("a range from 0")
    }
}

impl Nodes for Uniform {
    type Error = Infallible;

    fn node(&self, subtree: Subtree) -> Result<Option<Hash>, Infallible> {
        self.reads.set(self.reads.get() + 1);
        Ok(self.levels.get(usize::from(subtree.level)).copied())
    }
}

#[test]
fn proofs_at_a_hundred_million_are_small_and_cheap() {
    let (tree, size) = (Uniform::new(), 100_000_000);
    let (root, leaf) = (tree.root(size), tree.levels[0]);
    let (mut longest, mut dearest) = (0, 0);
    let steps = (0..size).step_by(999_983);
    for index in steps.chain([1, 67_108_863, 67_108_864, size - 1]) {
        tree.reads.set(0);
        let path = prove_inclusion(&tree, index, size).expect("every node is held");
        dearest = dearest.max(tree.reads.get());
        longest = longest.max(path.len());
        assert_eq!(verify_inclusion(leaf, index, size, &path, root), Ok(()));

        tree.reads.set(0);
        let first = index + 1;
        let path = prove_consistency(&tree, first, size).expect("every node is held");
        dearest = dearest.max(tree.reads.get());
        assert!(path.len() <= 28);
        assert_eq!(
            verify_consistency(first, size, tree.root(first), root, &path),
            Ok(())
        );

        tree.reads.set(0);
        let to = (first + 128 * 256).min(size);
        let proof = prove_range(&tree, index, to, size).expect("every node is held");
        assert_eq!(tree.reads.get(), proof.left.len() + proof.right.len());
        assert!(tree.reads.get() <= 54);
    }
    assert_eq!(longest, 27, "27 hashes are 864 bytes");
    assert!(dearest <= 2 * 27, "{dearest} reads");
}

#[test]
fn the_largest_tree_can_be_proved_and_nothing_larger() {
    let tree = Uniform::new();
    let (leaf, root) = (tree.levels[0], tree.root(MAX_SIZE));
    let path = prove_inclusion(&tree, MAX_SIZE - 1, MAX_SIZE).expect("every node is held");
    let verdict = verify_inclusion(leaf, MAX_SIZE - 1, MAX_SIZE, &path, root);
    assert_eq!((path.len(), verdict), (62, Ok(())));

    let larger = ProofError::TooLarge(MAX_SIZE + 1);
    let verdict = verify_inclusion(leaf, 0, MAX_SIZE + 1, &path, root);
    assert_eq!(verdict, Err(larger));
    let verdict = verify_consistency(1, MAX_SIZE + 1, leaf, root, &path);
    assert_eq!(verdict, Err(larger));
    let impossible = ProveError::Impossible(larger);
    assert_eq!(prove_inclusion(&tree, 0, MAX_SIZE + 1), Err(impossible));
    assert_eq!(prove_consistency(&tree, 1, MAX_SIZE + 1), Err(impossible));
    assert_eq!(prove_range(&tree, 0, 0, MAX_SIZE + 1), Err(impossible));
}

#[test]
fn an_overlong_path_is_refused() {
    let tree = Uniform::new();
    let (leaf, root) = (tree.levels[0], tree.root(5));
    let path = vec![leaf; 10_000];
    let too_long = Err(ProofError::PathTooLong { len: 10_000 });
    assert_eq!(verify_inclusion(leaf, 2, 5, &path, root), too_long);
    assert_eq!(verify_consistency(2, 5, root, root, &path), too_long);
    assert_eq!(verify_consistency(5, 5, root, root, &path), too_long);
}

#[test]
fn what_cannot_be_proved_is_named() {
    let held = leaves(6);
    let nodes = source(&held);
    let missing = Subtree { level: 1, index: 3 };
    assert_eq!(
        prove_inclusion(&nodes, 5, 8),
        Err(ProveError::Missing(missing))
    );
    let beyond = |position, size| ProveError::BeyondSize { position, size };
    assert_eq!(prove_inclusion(&nodes, 6, 6), Err(beyond(6, 6)));
    assert_eq!(prove_consistency(&nodes, 7, 6), Err(beyond(7, 6)));
    assert_eq!(prove_range(&nodes, 1, 7, 6), Err(beyond(7, 6)));
    let empty = ProveError::Impossible(ProofError::EmptyFirstTree);
    assert_eq!(prove_consistency(&nodes, 0, 6), Err(empty));
    assert_eq!(prove_consistency(&nodes, 0, 0), Ok(vec![]));
    let failing = |_: Subtree| Err::<Option<Hash>, _>("disk");
    assert_eq!(
        prove_inclusion(&failing, 0, 2),
        Err(ProveError::Source("disk"))
    );
}
