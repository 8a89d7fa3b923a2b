//! Compact ranges: the hashes that a run of leaves boils down to.

use super::hash::fold_right;
use super::subtree::{MAX_LEVEL, MAX_SIZE, Subtree, cover, cover_len};
use super::{Hash, ProofError, check_size, node_hash};

/// The hashes of the minimal cover of [begin, end): what must be kept of these
/// leaves to append to them, to join them with their neighbours, and, if they
/// begin at 0, to know their root.
///
/// The idea and the name are those of transparency-dev/merkle, package
/// `compact`. A range of n leaves has at most 2·log₂ n hashes, one that begins
/// at 0 as many as `end` has bits set.
///
/// The `visit` callbacks hear of perfect nodes as they become known, children
/// before parents. They hear of them before any root was compared: collect
/// them, and store them only once it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactRange {
    begin: u64,
    end: u64,
    /// One hash for each subtree of `cover(begin, end, MAX_LEVEL)`.
    hashes: Vec<Hash>,
}

impl CompactRange {
    /// The range of no leaves at a position; `at` = 0 starts a tree.
    pub const fn empty(at: u64) -> Self {
        Self {
            begin: at,
            end: at,
            hashes: Vec::new(),
        }
    }

    /// The range of [begin, end) with these hashes, left to right.
    ///
    /// Fails if the range is out of order or beyond [`MAX_SIZE`], or if the
    /// hashes are not exactly as many as its cover has subtrees.
    pub fn from_hashes(begin: u64, end: u64, hashes: Vec<Hash>) -> Result<Self, ProofError> {
        check_size(end)?;
        if begin > end {
            return Err(ProofError::OutOfOrder { begin, end });
        }
        let expected = cover_len(begin, end, MAX_LEVEL);
        let actual = hashes.len() as u64;
        if expected != actual {
            return Err(ProofError::HashCount { expected, actual });
        }
        Ok(Self { begin, end, hashes })
    }

    /// The first leaf.
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// The leaf behind the last one.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The hashes of the cover, left to right.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The subtrees of the cover with their hashes, left to right.
    pub fn nodes(&self) -> impl Iterator<Item = (Subtree, Hash)> + Clone {
        cover(self.begin, self.end, MAX_LEVEL).zip(self.hashes.iter().copied())
    }

    /// Appends a perfect subtree, which must begin at the range's end, and
    /// joins what it completes: amortised one hash or less a call. `visit`
    /// hears of the subtree and of every parent it completed.
    ///
    /// On an error nothing has changed and nothing was visited.
    pub fn push(
        &mut self,
        subtree: Subtree,
        hash: Hash,
        visit: &mut impl FnMut(Subtree, Hash),
    ) -> Result<(), ProofError> {
        self.check_next(subtree)?;
        visit(subtree, hash);
        self.join(subtree, hash, visit);
        Ok(())
    }

    /// Appends the leaf at the range's end; as [`push`](Self::push).
    pub fn append_leaf(
        &mut self,
        leaf: Hash,
        visit: &mut impl FnMut(Subtree, Hash),
    ) -> Result<(), ProofError> {
        self.push(Subtree::leaf(self.end), leaf, visit)
    }

    /// Appends a range, which must begin at this one's end, with at most
    /// 2·log₂ n hashes. `visit` hears only of the parents that the merge
    /// completed: the nodes of both ranges were known before.
    ///
    /// On an error nothing has changed and nothing was visited.
    pub fn merge(
        &mut self,
        next: &Self,
        visit: &mut impl FnMut(Subtree, Hash),
    ) -> Result<(), ProofError> {
        if next.begin != self.end {
            return Err(ProofError::NotContiguous {
                expected: self.end,
                actual: next.begin,
            });
        }
        for (subtree, hash) in next.nodes() {
            self.join(subtree, hash, visit);
        }
        Ok(())
    }

    /// The root of the tree of size `end`: [`empty_root`](super::empty_root)
    /// for size 0, `None` if the range does not begin at 0.
    pub fn root(&self) -> Option<Hash> {
        (self.begin == 0).then(|| fold_right(&self.hashes))
    }

    fn check_next(&self, subtree: Subtree) -> Result<(), ProofError> {
        subtree.check()?;
        if subtree.begin() != self.end {
            return Err(ProofError::NotContiguous {
                expected: self.end,
                actual: subtree.begin(),
            });
        }
        Ok(())
    }

    /// Appends a subtree that begins at `end`, and joins right halves with
    /// their left siblings for as long as those lie in the range.
    fn join(&mut self, added: Subtree, hash: Hash, visit: &mut impl FnMut(Subtree, Hash)) {
        debug_assert!(added.begin() == self.end && added.end() <= MAX_SIZE);
        let (mut subtree, mut hash) = (added, hash);
        while !subtree.is_left() && subtree.sibling().begin() >= self.begin {
            let left = self
                .hashes
                .pop()
                .expect("a left sibling inside of the range ends its minimal cover");
            hash = node_hash(left, hash);
            subtree = subtree.parent();
            visit(subtree, hash);
        }
        self.hashes.push(hash);
        self.end = added.end();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{leaf_hash, subtree_root};
    use super::*;

    #[test]
    fn appending_costs_less_than_one_inner_hash_a_leaf() {
        let mut range = CompactRange::empty(0);
        let (mut leaves, mut inner, mut most) = (0, 0, 0);
        for i in 0..100_000u64 {
            let before = inner;
            let mut count = |subtree: Subtree, _| match subtree.level {
                0 => leaves += 1,
                _ => inner += 1,
            };
            range
                .append_leaf(leaf_hash(&i.to_be_bytes()), &mut count)
                .expect("within the largest size");
            most = most.max(inner - before);
        }
        assert_eq!(leaves, 100_000);
        assert_eq!(inner, 100_000 - u64::from(100_000u32.count_ones()));
        assert_eq!(most, 16, "one append joins at most log2 n nodes");
        assert_eq!(range.hashes().len(), 100_000u32.count_ones() as usize);
    }

    #[test]
    fn only_a_range_from_zero_has_a_root() {
        let leaves: Vec<Hash> = (0..6u8).map(|i| leaf_hash(&[i])).collect();
        let mut range = CompactRange::empty(0);
        assert_eq!(range.root(), Some(super::super::empty_root()));
        for leaf in &leaves {
            range.append_leaf(*leaf, &mut |_, _| ()).expect("small");
        }
        assert_eq!(range.root(), Some(subtree_root(leaves)));
        assert_eq!(CompactRange::empty(1).root(), None);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let hash = leaf_hash(b"");
        let mut range = CompactRange::from_hashes(0, 2, vec![hash]).expect("one node");
        let before = range.clone();
        let mut visit = |_: Subtree, _: Hash| panic!("nothing may be visited");
        let gap = ProofError::NotContiguous {
            expected: 2,
            actual: 3,
        };
        assert_eq!(range.push(Subtree::leaf(3), hash, &mut visit), Err(gap));
        assert_eq!(range.merge(&CompactRange::empty(3), &mut visit), Err(gap));
        let no = Subtree {
            level: 63,
            index: 0,
        };
        let refused = range.push(no, hash, &mut visit);
        assert_eq!(refused, Err(ProofError::NoSuchSubtree(no)));
        assert_eq!(range, before);

        let mut full = CompactRange::empty(MAX_SIZE);
        assert!(full.append_leaf(hash, &mut visit).is_err());
        let mut beyond = CompactRange::empty(u64::MAX);
        assert!(beyond.append_leaf(hash, &mut visit).is_err());
    }

    #[test]
    fn hashes_must_be_as_many_as_the_cover() {
        let hash = leaf_hash(b"");
        assert_eq!(
            CompactRange::from_hashes(0, 3, vec![hash; 3]),
            Err(ProofError::HashCount {
                expected: 2,
                actual: 3
            })
        );
        assert!(CompactRange::from_hashes(3, 2, vec![]).is_err());
        assert!(CompactRange::from_hashes(0, MAX_SIZE + 1, vec![hash; 2]).is_err());
        assert!(CompactRange::from_hashes(0, MAX_SIZE, vec![hash]).is_ok());
    }
}
