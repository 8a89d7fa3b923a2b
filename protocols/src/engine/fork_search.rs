//! Where two branches of a forked log part: found with a peer that has the other
//! one, a level of the tree a question.

use std::cmp::Ordering;

use libp2p_identity::PeerId;

use super::trees::nodes_between;
use crate::head::SignedHead;
use crate::limits::MAX_SEARCH_RESTARTS;
use crate::log::{AdmitError, Common, Extension, ForkProof, Shown};
use crate::merkle::{CompactRange, Nodes, Subtree};
use crate::store::{History, Store, StoreError};

/// The search for the record at which another branch leaves ours, with a peer
/// that has adopted it: down the tree, one level a question.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) peer: PeerId,
    /// The peer was asked for its tree as an extension of this size.
    pub(super) asked: u64,
    /// The fork between our adopted head and the peer's.
    basis: Option<Box<ForkProof>>,
    /// The smallest subtree that is known to differ: everything before it is
    /// the same.
    differs: Option<Subtree>,
    /// The question is the last one: it shows the node that differs.
    last: bool,
    restarts: u32,
}

/// What an answer leads to.
#[derive(Debug)]
pub(super) enum Step {
    Ask(Search),
    Found(Box<ForkProof>),
    Nothing,
}

/// An answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SearchError {
    #[error(transparent)]
    Admit(#[from] AdmitError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Search {
    /// A search that begins with a question to a peer for its tree as an
    /// extension of this size.
    pub(super) fn new(peer: PeerId, asked: u64) -> Self {
        Self {
            peer,
            asked,
            basis: None,
            differs: None,
            last: false,
            restarts: 0,
        }
    }

    /// `left` covers `[0, asked)` of the peer's tree; what lies before `begin`
    /// was dropped.
    pub(super) fn step<S: Store + ?Sized>(
        mut self,
        history: &History<'_, S>,
        begin: u64,
        ours: &SignedHead,
        answer: &Extension,
        left: &CompactRange,
    ) -> Result<Step, SearchError> {
        let theirs = &answer.head;
        let same = |head: &SignedHead| head.tree() == theirs.tree();
        if !(self.basis.as_ref()).is_some_and(|fork| same(&fork.smaller) || same(&fork.larger)) {
            // The first answer, or the peer has meanwhile adopted another head.
            if self.asked != ours.size.min(theirs.size) {
                return Ok(self.restart(ours.size.min(theirs.size)));
            }
            let Some(basis) = fork_between(history, ours, answer)? else {
                return Ok(Step::Nothing);
            };
            self.basis = Some(basis);
        }
        if self.last {
            return self.found(history, ours, answer, left);
        }
        let mut differs = None;
        let mut known = true;
        for (subtree, hash) in left.nodes() {
            match history.node(subtree)? {
                Some(here) if here == hash => continue,
                here => {
                    known = here.is_some();
                    differs = Some(subtree);
                    break;
                }
            }
        }
        let whole = self.differs;
        let differs = match (differs, whole) {
            (Some(subtree), _) => Some(subtree),
            // The left half is the same, so that it is the right one.
            (None, Some(whole)) => whole.right_child(),
            (None, None) => None,
        };
        let level = history.key().chunk_level;
        let Some(differs) = differs else {
            return Ok(Step::Nothing);
        };
        if !known {
            return Ok(self.within(differs, level));
        }
        self.differs = Some(differs);
        // Within a chunk that was dropped nobody can tell.
        let is_told = differs.level > level || differs.begin() >= begin;
        let halves = differs.left_child().filter(|_| is_told);
        Ok(match halves {
            Some(half) => {
                self.asked = half.end();
                Step::Ask(self)
            }
            None => self.ask_for(differs),
        })
    }

    /// Of a chunk whose records are not here its address is known at most: then it
    /// is what differs, as where the records were dropped.
    fn within(self, unknown: Subtree, chunk_level: u8) -> Step {
        let Some(up) = chunk_level.checked_sub(unknown.level).filter(|&up| up > 0) else {
            // Somebody who knows our tree has to find out.
            return Step::Nothing;
        };
        let chunk = Subtree {
            level: chunk_level,
            index: unknown.index >> up,
        };
        let is_whole = |fork: &ForkProof| chunk.end() <= fork.smaller.size;
        match self.basis.as_deref().is_some_and(is_whole) {
            true => self.ask_for(chunk),
            // One tree ends within it, and has no such node.
            false => Step::Nothing,
        }
    }

    /// The last question: where the peer shows the node that differs by itself. As
    /// the last one before, or, if it is a right half, as the first one behind.
    fn ask_for(self, differs: Subtree) -> Step {
        Step::Ask(Self {
            differs: Some(differs),
            asked: (differs.index | 1) << differs.level,
            last: true,
            ..self
        })
    }

    fn restart(self, asked: u64) -> Step {
        if self.restarts >= MAX_SEARCH_RESTARTS || asked == 0 {
            return Step::Nothing;
        }
        Step::Ask(Self {
            asked,
            basis: None,
            differs: None,
            last: false,
            restarts: self.restarts + 1,
            ..self
        })
    }

    /// Everything before the node that differs is the same on both branches.
    fn found<S: Store + ?Sized>(
        self,
        history: &History<'_, S>,
        ours: &SignedHead,
        answer: &Extension,
        left: &CompactRange,
    ) -> Result<Step, SearchError> {
        let Some(differs) = self.differs else {
            return Ok(Step::Nothing);
        };
        let node = history.node(differs)?;
        if node.is_none() {
            return Ok(self.within(differs, history.key().chunk_level));
        }
        let Some(mut proof) = self.basis else {
            return Ok(Step::Nothing);
        };
        let here = nodes_between(history, 0, differs.begin())?;
        let rest = nodes_between(history, differs.end(), ours.size)?;
        let (Some(here), Some(node), Some(rest)) = (here, node, rest) else {
            return Ok(Step::Nothing);
        };
        let mut theirs = answer.right.clone();
        let mut common = left.hashes().to_vec();
        if differs.is_left() {
            theirs.splice(0..0, common.pop());
        }
        let tree = CompactRange::from_hashes(0, differs.begin(), common);
        let Some(tree) = tree.ok().filter(|tree| tree.hashes() == here) else {
            return Ok(Step::Nothing);
        };
        let ours_rest = [&[node][..], &rest].concat();
        let (smaller, larger) = match proof.smaller.tree() == ours.tree() {
            true => (ours_rest, theirs),
            false => (theirs, ours_rest),
        };
        proof.common = Some(Common {
            tree,
            level: differs.level,
            smaller,
            larger,
        });
        Ok(Step::Found(proof))
    }
}

/// The fork between our head and that of an answer which was asked from the
/// smaller of the two sizes; `None` when there is none.
fn fork_between<S: Store + ?Sized>(
    history: &History<'_, S>,
    ours: &SignedHead,
    answer: &Extension,
) -> Result<Option<Box<ForkProof>>, SearchError> {
    if ours.size <= answer.head.size {
        return Ok(match answer.check(&ours.clone().into())? {
            Shown::Fork(proof) => Some(proof),
            Shown::Extends(_) | Shown::Other => None,
        });
    }
    Ok(fork_with_smaller(history, &answer.head, ours)?)
}

/// Whether our tree begins with that of a head, where that can be told.
pub(super) fn holds<S: Store + ?Sized>(
    history: &History<'_, S>,
    head: &SignedHead,
) -> Result<Option<bool>, StoreError> {
    let Some(nodes) = nodes_between(history, 0, head.size)? else {
        return Ok(None);
    };
    let range = CompactRange::from_hashes(0, head.size, nodes).ok();
    Ok(Some(
        range.and_then(|range| range.root()) == Some(head.root),
    ))
}

/// The proof that a smaller head is none of our tree; `None` when it is, or
/// when that cannot be told from what is here.
pub(super) fn fork_with_smaller<S: Store + ?Sized>(
    history: &History<'_, S>,
    smaller: &SignedHead,
    ours: &SignedHead,
) -> Result<Option<Box<ForkProof>>, StoreError> {
    let (m, n) = (smaller.size, ours.size);
    let Some(left) = nodes_between(history, 0, m)? else {
        return Ok(None);
    };
    let range = CompactRange::from_hashes(0, m, left.clone()).ok();
    let same = range.and_then(|range| range.root()) == Some(smaller.root);
    if same || m.cmp(&n) != Ordering::Less {
        return Ok(None);
    }
    let Some(right) = nodes_between(history, m, n)? else {
        return Ok(None);
    };
    Ok(Some(Box::new(ForkProof {
        smaller: smaller.clone(),
        larger: ours.clone(),
        left,
        right,
        common: None,
    })))
}
