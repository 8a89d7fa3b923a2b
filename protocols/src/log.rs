//! One log: what its owner announces, when a follower may adopt a head, and
//! what proves that an owner forked.

pub mod fork;

use bytes::Bytes;
use prost::Message;

use crate::head::{AdoptedHead, Head, HeadError, SignedHead, Tree, UnverifiedHead};
use crate::id::LogId;
use crate::identity::PublicKey;
use crate::limits::{MAX_ANNOUNCED_RECORD_BYTES, MAX_GOSSIP_BYTES};
use crate::manifest::ManifestError;
use crate::merkle::{
    CompactRange, ExtensionError, Hash, ProofError, Subtree, split_hashes, verify_extension,
};
use crate::record::{CheckedChunk, RecordError};
use crate::wire::{WireError, decode_canonical, v1};
pub use fork::{Common, ForkProof};

/// Why something that a peer sent is not admitted, sorted by who is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// No message of ours: the sender is broken or hostile.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Malformed records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A head that its owner did not sign.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A manifest that its publisher did not sign, or of another stream.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A proof that proves nothing: its sender lies.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// A node of the tree, with its hash.
pub type Node = (Subtree, Hash);

/// What an owner sends to all subscribers when its log grew: a head, the
/// compact range below the first new record, and the new records.
///
/// Whoever has an `Announcement` knows that its head is signed by the owner and
/// that its records hash up to it.
#[derive(Clone, Debug)]
pub struct Announcement {
    head: SignedHead,
    first: u64,
    prefix: CompactRange,
    chunk: Option<CheckedChunk>,
    nodes: Vec<Node>,
}

impl Announcement {
    /// What the owner sends for `head`: `prefix` is the compact range of
    /// `[0, first)`, `records` are `[first, head.size)`. When the records are
    /// too long for one message, the head goes alone, with its own compact range.
    #[must_use]
    pub fn encode(
        head: &SignedHead,
        prefix: &CompactRange,
        records: &Bytes,
        whole: &CompactRange,
    ) -> Bytes {
        let fits = records.len() <= MAX_ANNOUNCED_RECORD_BYTES;
        let (range, records) = if fits {
            (prefix, records.clone())
        } else {
            (whole, Bytes::new())
        };
        let message = v1::Announcement {
            head: Some(head.to_wire()),
            first: range.end(),
            compact_range: (range.hashes().iter())
                .map(|hash| Bytes::copy_from_slice(&hash.0))
                .collect(),
            records,
        };
        message.encode_to_vec().into()
    }

    /// Decodes with bounds, hashes up to the root, checks the signature.
    ///
    /// # Errors
    /// Anything is wrong with it.
    pub fn verify(
        bytes: &Bytes,
        log: LogId,
        owner: &PublicKey,
        max_value: usize,
    ) -> Result<Self, AdmitError> {
        let what = "an announcement";
        let wire: v1::Announcement = decode_canonical(what, bytes, MAX_GOSSIP_BYTES)?;
        let head = UnverifiedHead::try_from(wire.head)?.verify(log, owner)?;
        let first = wire.first;
        let bad = |field| WireError::BadField { what, field };
        let count = (head.size.checked_sub(first)).ok_or_else(|| bad("first record"))?;
        if wire.records.is_empty() != (count == 0) {
            return Err(bad("records").into());
        }
        let hashes: Option<Vec<_>> = wire
            .compact_range
            .iter()
            .map(|h| Hash::from_slice(h))
            .collect();
        let hashes = hashes.ok_or_else(|| bad("compact range"))?;
        let prefix = CompactRange::from_hashes(0, first, hashes)?;
        let chunk = match count {
            0 => None,
            _ => Some(CheckedChunk::parse(wire.records, count, max_value)?),
        };

        let mut nodes: Vec<Node> = prefix.nodes().collect();
        let mut range = prefix.clone();
        for &leaf in chunk.iter().flat_map(|chunk| &chunk.leaves) {
            range.append_leaf(leaf, &mut |node, hash| nodes.push((node, hash)))?;
        }
        if range.root() != Some(head.root) {
            return Err(bad("records (they do not hash up to the head)").into());
        }
        Ok(Self {
            head,
            first,
            prefix,
            chunk,
            nodes,
        })
    }

    /// The head.
    #[must_use]
    pub fn head(&self) -> &SignedHead {
        &self.head
    }

    /// Index of the first record.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The records, if it carries any.
    #[must_use]
    pub fn chunk(&self) -> Option<&CheckedChunk> {
        self.chunk.as_ref()
    }

    /// Every node of the tree that it proves.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The compact range of `[0, size)`, when it can be told: from `first` on.
    fn range_at(&self, size: u64) -> Option<CompactRange> {
        let new = usize::try_from(size.checked_sub(self.first)?).ok()?;
        let leaves = self.chunk.as_ref().map_or(&[][..], |chunk| &chunk.leaves);
        let mut range = self.prefix.clone();
        for &leaf in leaves.get(..new)? {
            range.append_leaf(leaf, &mut |_, _| ()).ok()?;
        }
        Some(range)
    }

    /// How this announcement stands to the head that was adopted before.
    #[must_use]
    pub fn relation(&self, adopted: &AdoptedHead) -> Relation {
        let heads = Relation::of_heads(adopted, &self.head);
        let Relation::Unproven = heads else {
            return heads;
        };
        let Some(range) = self.range_at(adopted.size) else {
            return Relation::Unproven;
        };
        if range.root() == Some(adopted.root) {
            return Relation::Extends;
        }
        let Some(signed) = adopted.signed() else {
            return Relation::Other;
        };
        let mut right = CompactRange::empty(adopted.size);
        let new = (adopted.size - self.first) as usize;
        let leaves = self.chunk.as_ref().map_or(&[][..], |chunk| &chunk.leaves);
        for &leaf in &leaves[new..] {
            right
                .append_leaf(leaf, &mut |_, _| ())
                .expect("the same leaves were appended when it was verified");
        }
        Relation::Fork(Box::new(ForkProof {
            smaller: signed.clone(),
            larger: self.head.clone(),
            left: range.hashes().to_vec(),
            right: right.hashes().to_vec(),
            common: None,
        }))
    }
}

/// How a head stands to the one that was adopted before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Of a smaller tree: nothing new.
    Older,
    /// The same tree, signed earlier or at the same time: nothing new.
    Same,
    /// The same tree, signed later, or closed: the owner is, or was, alive.
    Renews,
    /// Shown to be the same tree, grown.
    Extends,
    /// Larger; whether it is the same tree, grown, must be shown by an extension.
    Unproven,
    /// Another tree than that of an early head, with which nothing can be proved.
    Other,
    /// No log can hold both.
    Fork(Box<ForkProof>),
}

impl Relation {
    /// What the two heads alone tell.
    #[must_use]
    pub fn of_heads(adopted: &AdoptedHead, heard: &SignedHead) -> Self {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let proof = adopted
            .signed()
            .and_then(|adopted| ForkProof::of_heads(adopted, heard));
        if let Some(proof) = proof {
            return Self::Fork(proof);
        }
        match heard.size.cmp(&adopted.size) {
            Less => Self::Older,
            // One in the form of today takes the place of an early one.
            Equal if adopted.signed().is_none() => match heard.root == adopted.root {
                true => Self::Renews,
                false => Self::Other,
            },
            // The end is one text, which is not renewed.
            Equal if adopted.closing.is_some() => Self::Same,
            Equal if heard.closing.is_some() => Self::Renews,
            Equal if heard.time > adopted.time => Self::Renews,
            Equal => Self::Same,
            Greater if adopted.size == 0 => Self::Extends,
            Greater => Self::Unproven,
        }
    }
}

/// Proof that the tree of one head is the tree of another, grown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The head of the larger tree.
    pub head: SignedHead,
    /// Size of the smaller tree.
    pub from_size: u64,
    /// Hashes of the subtrees that cover `[0, from_size)`.
    pub left: Vec<Hash>,
    /// Hashes of the subtrees that cover `[from_size, head.size)`.
    pub right: Vec<Hash>,
}

/// What an extension turned out to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The head extends the adopted one; these nodes of its tree are proved.
    Extends(Vec<Node>),
    /// It is another tree than that of an early head, with which nothing can be
    /// proved.
    Other,
    /// The owner forked.
    Fork(Box<ForkProof>),
}

impl Extension {
    /// Decodes an answer and checks its head.
    ///
    /// # Errors
    /// Malformed, or not signed by the owner.
    pub fn from_wire(
        wire: v1::Extension,
        from_size: u64,
        log: LogId,
        owner: &PublicKey,
    ) -> Result<Self, AdmitError> {
        let what = "an extension";
        let head = UnverifiedHead::try_from(wire.head)?.verify(log, owner)?;
        Ok(Self {
            head,
            from_size,
            left: split_hashes(what, "left", &wire.left)?,
            right: split_hashes(what, "right", &wire.right)?,
        })
    }

    /// The compact range of `[0, from_size)` in the tree of its head.
    ///
    /// # Errors
    /// The nodes do not hash up to the head: whoever sent them lies.
    pub fn prefix(&self) -> Result<CompactRange, AdmitError> {
        Ok(self.proved()?.0)
    }

    /// The compact range of `[0, from_size)` in the tree of its head, and all
    /// nodes of that tree that it proves.
    ///
    /// # Errors
    /// The nodes do not hash up to the head: whoever sent them lies.
    pub fn proved(&self) -> Result<(CompactRange, Vec<Node>), AdmitError> {
        let (from, size) = (self.from_size, self.head.size);
        let left = CompactRange::from_hashes(0, from, self.left.clone())?;
        let right = CompactRange::from_hashes(from, size, self.right.clone())?;
        let mut nodes: Vec<Node> = left.nodes().chain(right.nodes()).collect();
        let mut whole = left.clone();
        whole.merge(&right, &mut |node, hash| nodes.push((node, hash)))?;
        if whole.root() != Some(self.head.root) {
            return Err(AdmitError::Wire(WireError::BadField {
                what: "an extension",
                field: "proof (it does not hash up to its head)",
            }));
        }
        Ok((left, nodes))
    }

    /// Checks it against the head that was adopted before.
    ///
    /// # Errors
    /// The nodes do not hash up to the head: whoever sent them lies.
    pub fn check(&self, adopted: &AdoptedHead) -> Result<Shown, AdmitError> {
        let mut nodes = Vec::new();
        match verify_extension(
            adopted.size,
            self.head.size,
            adopted.root,
            self.head.root,
            &self.left,
            &self.right,
            &mut |node, hash| nodes.push((node, hash)),
        ) {
            Ok(()) => Ok(Shown::Extends(nodes)),
            Err(ExtensionError::Fork { .. }) => {
                let Some(signed) = adopted.signed() else {
                    return Ok(Shown::Other);
                };
                // Two roots of one size need no nodes.
                let unequal = adopted.size < self.head.size;
                let hashes = |hashes: &[Hash]| if unequal { hashes.to_vec() } else { Vec::new() };
                Ok(Shown::Fork(Box::new(ForkProof {
                    smaller: signed.clone(),
                    larger: self.head.clone(),
                    left: hashes(&self.left),
                    right: hashes(&self.right),
                    common: None,
                })))
            }
            Err(ExtensionError::NotTheSecondTree { .. }) => {
                Err(AdmitError::Wire(WireError::BadField {
                    what: "an extension",
                    field: "proof (it does not hash up to its head)",
                }))
            }
            Err(ExtensionError::Malformed(error)) => Err(error.into()),
        }
    }
}

/// What the owner holds of its tree: enough to append at a constant number of
/// hashes on average.
#[derive(Clone, Debug)]
pub struct Appender {
    frontier: CompactRange,
}

impl Appender {
    /// From the compact range of everything that was appended.
    #[must_use]
    pub fn new(frontier: CompactRange) -> Self {
        Self { frontier }
    }

    /// Records in the log.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frontier.end()
    }

    /// The compact range of the whole log.
    #[must_use]
    pub fn frontier(&self) -> &CompactRange {
        &self.frontier
    }

    /// Appends leaves, and returns the nodes that they completed.
    pub fn append(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<Node> {
        let mut nodes = Vec::new();
        for leaf in leaves {
            self.frontier
                .append_leaf(leaf, &mut |node, hash| nodes.push((node, hash)))
                .expect("no log reaches 2^62 records");
        }
        nodes
    }

    /// The head of the log as it is, unsigned.
    #[must_use]
    pub fn head(&self, log: LogId, time: crate::time::Timestamp) -> Head {
        Head::of_tree(log, self.tree(), time)
    }

    /// The tree as it is.
    ///
    /// # Panics
    /// Never: it begins at 0.
    #[must_use]
    pub fn tree(&self) -> Tree {
        Tree {
            size: self.size(),
            root: self.frontier.root().expect("the range starts at 0"),
        }
    }
}

#[cfg(test)]
#[path = "log/tests.rs"]
mod tests;

#[cfg(test)]
mod vectors;
