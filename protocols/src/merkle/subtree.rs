//! Perfect subtrees, and the ones that make up a range of leaves.

use super::ProofError;

/// The highest level of a subtree, that of the root of a tree of [`MAX_SIZE`].
pub const MAX_LEVEL: u8 = 62;

/// The most leaves of a tree. Two bits are left free, so that the sum of two
/// positions and the end of any subtree fit a `u64` (and an `i64`).
pub const MAX_SIZE: u64 = 1 << MAX_LEVEL;

/// The perfect subtree over the leaves [index·2^level, (index + 1)·2^level).
///
/// Any level and index can be written down, and may come from a peer: the
/// methods never panic; positions that do not fit saturate, and
/// [`check`](Self::check) tells which subtrees exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subtree {
    /// Height above the leaves; a leaf has level 0.
    pub level: u8,
    /// How many subtrees of the same level lie to the left.
    pub index: u64,
}

#[expect(
    clippy::len_without_is_empty,
    reason = "a subtree has at least one leaf"
)]
impl Subtree {
    /// The leaf at this index.
    pub const fn leaf(index: u64) -> Self {
        Self { level: 0, index }
    }

    /// Refuses a subtree that no tree of at most [`MAX_SIZE`] leaves has.
    pub fn check(self) -> Result<(), ProofError> {
        if self.level > MAX_LEVEL || self.end() > MAX_SIZE {
            return Err(ProofError::NoSuchSubtree(self));
        }
        Ok(())
    }

    /// Its first leaf.
    pub fn begin(self) -> u64 {
        position(self.level, self.index.into())
    }

    /// The leaf behind its last one.
    pub fn end(self) -> u64 {
        position(self.level, u128::from(self.index) + 1)
    }

    /// The number of its leaves.
    pub fn len(self) -> u64 {
        position(self.level, 1)
    }

    /// The subtree of which this one is half.
    pub fn parent(self) -> Self {
        Self {
            level: self.level.saturating_add(1),
            index: self.index >> 1,
        }
    }

    /// The other half of the parent.
    pub fn sibling(self) -> Self {
        Self {
            index: self.index ^ 1,
            ..self
        }
    }

    /// Its left half; a leaf has none.
    pub fn left_child(self) -> Option<Self> {
        Some(Self {
            level: self.level.checked_sub(1)?,
            index: self.index.checked_mul(2)?,
        })
    }

    /// Its right half; a leaf has none.
    pub fn right_child(self) -> Option<Self> {
        self.left_child().map(Self::sibling)
    }

    /// Whether it is the left half of its parent.
    pub fn is_left(self) -> bool {
        self.index & 1 == 0
    }

    /// Whether `inner` is this subtree or lies inside of it.
    pub fn contains(self, inner: Self) -> bool {
        match self.level.checked_sub(inner.level) {
            Some(up) => inner.index.checked_shr(up.into()).unwrap_or(0) == self.index,
            None => false,
        }
    }
}

/// `index` · 2^`level`, at most `u64::MAX`.
fn position(level: u8, index: u128) -> u64 {
    if index == 0 {
        return 0;
    }
    // index ≤ 2^64, so that up to level 63 the shift keeps every bit.
    match level {
        0..64 => u64::try_from(index << level).unwrap_or(u64::MAX),
        64.. => u64::MAX,
    }
}

/// The fewest aligned perfect subtrees of at most `max_level` that cover
/// [begin, end) without overlap, from the left to the right; none if the range
/// is empty. Levels above [`MAX_LEVEL`] are never used. Without a limit on the
/// level there are at most 2·62 of them for a range inside of [`MAX_SIZE`].
pub fn cover(begin: u64, end: u64, max_level: u8) -> impl Iterator<Item = Subtree> + Clone {
    let max_level = max_level.min(MAX_LEVEL);
    let mut at = begin;
    std::iter::from_fn(move || {
        let rest = end.checked_sub(at).filter(|rest| *rest > 0)?;
        let level = at.trailing_zeros().min(rest.ilog2()).min(max_level.into()) as u8;
        let subtree = Subtree {
            level,
            index: at >> level,
        };
        at += 1 << level;
        Some(subtree)
    })
}

/// How many subtrees [`cover`] yields, in constant time.
pub fn cover_len(begin: u64, end: u64, max_level: u8) -> u64 {
    if begin >= end {
        return 0;
    }
    // In the highest bit in which the two differ `end` has a 1: so a multiple
    // of its power of two, or of a lower one, lies in (begin, end]. Subtrees
    // grow up to the first multiple of the largest power allowed, are all of
    // that size up to the last one, and shrink from there on. Each set bit of
    // the distances before and behind is one subtree.
    let top = (begin ^ end).ilog2();
    let max_level = u32::from(max_level.min(MAX_LEVEL));
    let level = top.min(max_level);
    let mask = (1u64 << level) - 1;
    let rising = begin.wrapping_neg() & mask;
    let falling = end & mask;
    let between = (end - falling) - (begin + rising);
    u64::from(rising.count_ones()) + (between >> level) + u64::from(falling.count_ones())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(level: u8, index: u64) -> Subtree {
        Subtree { level, index }
    }

    #[test]
    fn a_subtree_knows_its_leaves_and_its_family() {
        let subtree = at(3, 5);
        assert_eq!((subtree.begin(), subtree.end(), subtree.len()), (40, 48, 8));
        assert_eq!(subtree.parent(), at(4, 2));
        assert_eq!(subtree.sibling(), at(3, 4));
        assert_eq!(subtree.left_child(), Some(at(2, 10)));
        assert_eq!(subtree.right_child(), Some(at(2, 11)));
        assert!(!subtree.is_left() && subtree.sibling().is_left());
        assert_eq!(Subtree::leaf(7).left_child(), None);
        assert!(subtree.contains(at(0, 47)) && subtree.contains(subtree));
        assert!(!subtree.contains(at(0, 48)) && !subtree.contains(at(4, 2)));
    }

    #[test]
    fn no_level_or_index_makes_a_subtree_panic() {
        for level in 0..=255 {
            for index in [0, 1, 2, 1 << 61, 1 << 62, u64::MAX - 1, u64::MAX] {
                let subtree = at(level, index);
                assert!(subtree.begin() <= subtree.end());
                let _ = (subtree.parent(), subtree.sibling(), subtree.len());
                let _ = (subtree.left_child(), subtree.right_child());
                assert!(subtree.contains(subtree));
                let _ = at(255, 0).contains(subtree);
                let fits = level <= 62 && u128::from(index) < 1 << (62 - level);
                assert_eq!(subtree.check().is_ok(), fits, "{subtree:?}");
            }
        }
        assert_eq!((at(255, 0).begin(), at(255, 0).end()), (0, u64::MAX));
    }

    #[test]
    fn covers_grow_and_shrink_again() {
        let found: Vec<_> = cover(1, 14, MAX_LEVEL).collect();
        assert_eq!(found, [at(0, 1), at(1, 1), at(2, 1), at(2, 2), at(1, 6)]);
        let found: Vec<_> = cover(1, 8, 1).collect();
        assert_eq!(found, [at(0, 1), at(1, 1), at(1, 2), at(1, 3)]);
        assert_eq!(cover(5, 5, MAX_LEVEL).count(), 0);
        assert_eq!(cover(6, 5, MAX_LEVEL).count(), 0);
    }

    #[test]
    fn the_largest_ranges_are_covered_without_overflow() {
        assert_eq!(cover(0, MAX_SIZE, 255).collect::<Vec<_>>(), [at(62, 0)]);
        for (begin, end) in [(0, u64::MAX), (1, u64::MAX), (1, MAX_SIZE - 1)] {
            let counted = cover(begin, end, 255).count() as u64;
            assert_eq!(cover_len(begin, end, 255), counted);
        }
        assert_eq!(cover_len(1, MAX_SIZE - 1, 255), 2 * 61);
        assert_eq!(cover_len(0, u64::MAX, 0), u64::MAX);
        assert_eq!(cover_len(3, MAX_SIZE, 8), 7 + (MAX_SIZE >> 8) - 1);
    }
}
