//! What proves, to anybody, an equivocation: that an owner signed two histories, or went
//! on after the end.

use std::cmp::Ordering;

use bytes::Bytes;

use super::{AdmitError, Node};
use crate::head::{SignedHead, Tree, UnverifiedHead};
use crate::id::LogId;
use crate::manifest::SignedManifest;
use crate::merkle::{CompactRange, ExtensionError, Hash, ProofError, Subtree, verify_extension};
use crate::wire::{WireError, v1};

/// What the errors are about.
const WHAT: &str = "a fork proof";

/// Two signed heads of one owner that cannot both be true: no tree can hold both,
/// or one closes the log and the other one goes on. Anybody can check it, with the
/// owner's key alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkProof {
    /// The head of the smaller tree (of equal sizes: the one adopted first; of equal
    /// trees: one that closes the log).
    pub smaller: SignedHead,
    /// The head of the larger tree.
    pub larger: SignedHead,
    /// For different trees of different sizes: the nodes that cover
    /// `[0, smaller.size)` in the larger tree.
    pub left: Vec<Hash>,
    /// The nodes that cover `[smaller.size, larger.size)`.
    pub right: Vec<Hash>,
    /// What both trees begin with, once somebody has found it out. Where the smaller
    /// head closes the log that is its tree, and nothing is to be found out.
    pub common: Option<Common>,
}

/// Whether the one head closes the log, and the other one says that it goes on, or
/// ends otherwise: a closing head is the last one, and later than all others of its
/// tree.
fn goes_on_after(closing: &SignedHead, other: &SignedHead) -> bool {
    let Some(end) = closing.closing else {
        return false;
    };
    match other.size.cmp(&closing.size) {
        Ordering::Less => false,
        Ordering::Greater => true,
        // Two trees of one size are two histories, closed or not.
        Ordering::Equal if other.root != closing.root => false,
        Ordering::Equal => match other.closing {
            None => other.time > closing.time,
            Some(other) => other != end,
        },
    }
}

/// The beginning that both trees have in common: its records are as good as
/// those of any other log. The node behind it differs, so that of two trees there
/// is one such proof, and nobody can say less; or two, where records were dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// The nodes that cover it. Its end is its size.
    pub tree: CompactRange,
    /// The level of the nodes that differ: 0, or that of a chunk whose records
    /// nobody has to keep.
    pub level: u8,
    /// In the smaller tree, the node that differs, and those that cover the rest.
    pub smaller: Vec<Hash>,
    /// The same in the larger tree.
    pub larger: Vec<Hash>,
}

impl Common {
    /// Records that both trees begin with.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tree.end()
    }

    /// Root of the tree over them.
    ///
    /// # Panics
    /// Never: the tree begins at 0.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root().expect("it begins at 0")
    }

    /// The node that differs.
    #[must_use]
    pub fn differing(&self) -> Subtree {
        Subtree {
            level: self.level,
            index: self.size() >> self.level,
        }
    }

    /// The tree of this size that begins with it and goes on like this; `visit`
    /// is given the nodes above.
    ///
    /// # Errors
    /// They do not fit.
    pub fn with_rest(
        &self,
        rest: &[Hash],
        size: u64,
        visit: &mut impl FnMut(Subtree, Hash),
    ) -> Result<CompactRange, ProofError> {
        let next = self.differing();
        let [first, rest @ ..] = rest else {
            return Err(ProofError::HashCount {
                expected: 1,
                actual: 0,
            });
        };
        let rest = CompactRange::from_hashes(next.end(), size, rest.to_vec())?;
        let mut whole = self.tree.clone();
        whole.push(next, *first, visit)?;
        whole.merge(&rest, visit)?;
        Ok(whole)
    }

    /// Checks that both heads' trees begin with it, and differ behind it.
    fn verify(
        wire: &v1::Common,
        smaller: &SignedHead,
        larger: &SignedHead,
        chunk_level: u8,
    ) -> Result<Self, AdmitError> {
        let level = match u8::try_from(wire.level) {
            Ok(level) if level == 0 || level == chunk_level => level,
            _ => return Err(bad("common level: it is neither a record's nor a chunk's")),
        };
        let tree = CompactRange::from_hashes(0, wire.size, hashes(&wire.tree, "common tree")?)?;
        let common = Self {
            tree,
            level,
            smaller: hashes(&wire.smaller, "rest of the smaller tree")?,
            larger: hashes(&wire.larger, "rest of the larger tree")?,
        };
        if common.smaller.first() == common.larger.first() {
            return Err(bad("claim: both trees have more in common"));
        }
        for (head, rest) in [(smaller, &common.smaller), (larger, &common.larger)] {
            let whole = common.with_rest(rest, head.size, &mut |_, _| ())?;
            if whole.root() != Some(head.root) {
                return Err(bad("claim: not both trees begin with the common one"));
            }
        }
        Ok(common)
    }

    fn to_wire(&self) -> v1::Common {
        v1::Common {
            size: self.size(),
            tree: bytes(self.tree.hashes()),
            smaller: bytes(&self.smaller),
            larger: bytes(&self.larger),
            level: self.level.into(),
        }
    }
}

impl ForkProof {
    /// What two heads prove by themselves, in whichever order they came.
    #[must_use]
    pub fn of_heads(first: &SignedHead, second: &SignedHead) -> Option<Box<Self>> {
        let forks = first.size == second.size && first.root != second.root;
        let (smaller, larger) = if forks || goes_on_after(first, second) {
            (first, second)
        } else if goes_on_after(second, first) {
            (second, first)
        } else {
            return None;
        };
        Some(Box::new(Self {
            smaller: smaller.clone(),
            larger: larger.clone(),
            left: Vec::new(),
            right: Vec::new(),
            common: None,
        }))
    }

    /// Whether the smaller head closed the log, and the larger one says something
    /// else: what counts is the closed tree. No more is shown, or claimed, than that.
    #[must_use]
    pub fn is_of_closing(&self) -> bool {
        self.left.is_empty() && self.common.is_none() && goes_on_after(&self.smaller, &self.larger)
    }

    /// What continues the log: what its end names, and no other end says otherwise.
    #[must_use]
    pub fn successor(&self) -> Option<LogId> {
        match (self.smaller.closing, self.larger.closing) {
            (Some(one), Some(other)) if one.successor != other.successor => None,
            (Some(one), Some(_)) => one.successor,
            (Some(one), None) if self.is_of_closing() => one.successor,
            (_, _) => None,
        }
    }

    /// Records that both trees are known to begin with; 0 when nobody has found
    /// out.
    #[must_use]
    pub fn common_size(&self) -> u64 {
        match &self.common {
            Some(common) => common.size(),
            None if self.is_of_closing() => self.smaller.size,
            None => 0,
        }
    }

    /// The nodes of one of the two trees that are shown: those that the common
    /// beginning and what lies behind it are covered with, and what they make up.
    /// None where nobody has found out what is common.
    #[must_use]
    pub fn nodes_of(&self, tree: Tree) -> Vec<Node> {
        let mut nodes = Vec::new();
        let Some(common) = &self.common else {
            return nodes;
        };
        for (head, rest) in [
            (&self.smaller, &common.smaller),
            (&self.larger, &common.larger),
        ] {
            let [first, behind @ ..] = &rest[..] else {
                continue;
            };
            if head.tree() != tree {
                continue;
            }
            let next = common.differing();
            let after = CompactRange::from_hashes(next.end(), head.size, behind.to_vec());
            if let Ok(after) = after {
                nodes.extend(common.tree.nodes().chain([(next, *first)]));
                nodes.extend(after.nodes());
                // It fits: the proof was checked.
                let _ =
                    common.with_rest(rest, head.size, &mut |node, hash| nodes.push((node, hash)));
            }
        }
        nodes
    }

    /// As it travels and as it is stored.
    #[must_use]
    pub fn to_wire(&self) -> v1::ForkProof {
        v1::ForkProof {
            smaller: Some(self.smaller.to_wire()),
            larger: Some(self.larger.to_wire()),
            left: bytes(&self.left),
            right: bytes(&self.right),
            common: self.common.as_ref().map(Common::to_wire),
        }
    }

    /// Decodes and checks: both heads are signed by the owner of `log`, no tree
    /// can hold both, and both begin with what is said to be common, and with no
    /// more than that.
    ///
    /// # Errors
    /// Malformed, not signed, or the heads do not contradict each other.
    pub fn verify(
        wire: v1::ForkProof,
        log: LogId,
        manifest: &SignedManifest,
    ) -> Result<Self, AdmitError> {
        let owner = &manifest.publisher;
        let smaller = UnverifiedHead::try_from(wire.smaller)?.verify(log, owner)?;
        let larger = UnverifiedHead::try_from(wire.larger)?.verify(log, owner)?;
        let left = hashes(&wire.left, "left")?;
        let right = hashes(&wire.right, "right")?;
        if !contradict(&smaller, &larger, &left, &right) {
            return Err(bad("claim: one log holds both heads"));
        }
        // Of a log that was closed the closed tree counts, whatever else is shown.
        let closes = left.is_empty() && goes_on_after(&smaller, &larger);
        if closes && wire.common.is_some() {
            return Err(bad("common tree of a log that was closed"));
        }
        let common = wire
            .common
            .map(|common| Common::verify(&common, &smaller, &larger, manifest.chunk_level));
        Ok(Self {
            common: common.transpose()?,
            smaller,
            larger,
            left,
            right,
        })
    }
}

/// Whether no log can hold both heads.
fn contradict(smaller: &SignedHead, larger: &SignedHead, left: &[Hash], right: &[Hash]) -> bool {
    let (m, n) = (smaller.size, larger.size);
    if left.is_empty() && right.is_empty() && goes_on_after(smaller, larger) {
        return true;
    }
    if m == n {
        return smaller.root != larger.root && left.is_empty() && right.is_empty();
    }
    let (first, second) = (smaller.root, larger.root);
    let shown = verify_extension(m, n, first, second, left, right, &mut |_, _| ());
    m < n && matches!(shown, Err(ExtensionError::Fork { .. }))
}

fn bad(field: &'static str) -> AdmitError {
    AdmitError::Wire(WireError::BadField { what: WHAT, field })
}

fn bytes(hashes: &[Hash]) -> Vec<Bytes> {
    let bytes = hashes.iter().map(|hash| Bytes::copy_from_slice(&hash.0));
    bytes.collect()
}

fn hashes(list: &[Bytes], field: &'static str) -> Result<Vec<Hash>, AdmitError> {
    let hashes: Option<_> = list.iter().map(|hash| Hash::from_slice(hash)).collect();
    hashes.ok_or_else(|| bad(field))
}
