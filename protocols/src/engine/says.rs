//! What a fork proof says, so that of two the one is kept that says more.

use std::cmp::Reverse;

use crate::log::ForkProof;
use crate::wire::v1;

/// What a fork proof says, in the order in which one takes the place of another.
/// That two trees differ says more than that a log was closed and went on; of two
/// ends the smaller one counts. What two trees begin with has one right answer, so
/// that nothing is to be waited for after that; where records were dropped, there is
/// one that says less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Says {
    /// A log of so many records was closed, and went on.
    WentOn(Reverse<u64>),
    /// Two trees differ, nobody has shown where.
    Differ,
    /// They differ in a node of this level.
    DifferAt(Reverse<u8>),
}

impl Says {
    /// What one says that was not checked yet.
    pub(super) fn of_wire(fork: &v1::ForkProof) -> Self {
        if let Some(common) = &fork.common {
            let level = u8::try_from(common.level).unwrap_or(u8::MAX);
            return Self::DifferAt(Reverse(level));
        }
        let (Some(smaller), Some(larger)) = (&fork.smaller, &fork.larger) else {
            return Self::Differ;
        };
        let shows_trees =
            !fork.left.is_empty() || smaller.size == larger.size && smaller.root != larger.root;
        match smaller.closed.is_some() && !shows_trees {
            true => Self::WentOn(Reverse(smaller.size)),
            false => Self::Differ,
        }
    }

    /// What one says that is known.
    pub(super) fn of(fork: &ForkProof) -> Self {
        match &fork.common {
            Some(common) => Self::DifferAt(Reverse(common.level)),
            None if fork.is_of_closing() => Self::WentOn(Reverse(fork.smaller.size)),
            None => Self::Differ,
        }
    }
}
