//! The ragged ends of trees, behind their last whole chunk. No row has the hashes
//! there: they are made from the records, which may be a mebibyte, and are in the
//! proof of every page.

use std::collections::VecDeque;

use crate::limits::MAX_KNOWN_ENDS;
use crate::merkle::{Hash, Nodes, Subtree, cover};
use crate::store::{History, LogKey, Store, StoreError};

/// The ends of the trees that were offered last.
#[derive(Debug, Default)]
pub(super) struct Ends {
    known: VecDeque<End>,
}

/// The nodes between the last whole chunk of a tree and its size. A number is that
/// of one log for ever, and a log has one tree of a size.
#[derive(Debug)]
struct End {
    number: u32,
    size: u64,
    nodes: Vec<(Subtree, Hash)>,
}

/// A tree, with its end at hand.
pub(super) struct Tree<'a, 's, S: ?Sized> {
    history: &'a History<'s, S>,
    end: &'a [(Subtree, Hash)],
}

impl Ends {
    /// The tree of a log at a size. Its end is made from the records if it is not
    /// known, which counts as what the history was read for.
    ///
    /// # Errors
    /// The store fails.
    pub(super) fn with_end<'a, 's, S: Store + ?Sized>(
        &'a mut self,
        history: &'a History<'s, S>,
        size: u64,
    ) -> Result<Tree<'a, 's, S>, StoreError> {
        let key = history.key();
        let is_of = |end: &End| end.number == key.number && end.size == size;
        let known = self.known.iter().position(is_of);
        let end = match known.and_then(|place| self.known.remove(place)) {
            Some(end) => end,
            None => match End::read(history, size)? {
                Some(end) => end,
                // What is not held is told by whoever looks for it.
                None => return Ok(Tree { history, end: &[] }),
            },
        };
        self.known.truncate(MAX_KNOWN_ENDS - 1);
        self.known.push_front(end);
        let end = &self.known[0].nodes;
        Ok(Tree { history, end })
    }
}

impl End {
    fn read<S: Store + ?Sized>(
        history: &History<'_, S>,
        size: u64,
    ) -> Result<Option<Self>, StoreError> {
        let LogKey {
            number,
            chunk_level,
        } = history.key();
        let begin = size >> chunk_level << chunk_level;
        let mut nodes = Vec::new();
        for subtree in cover(begin, size, chunk_level) {
            let Some(hash) = history.node(subtree)? else {
                return Ok(None);
            };
            nodes.push((subtree, hash));
        }
        Ok(Some(Self {
            number,
            size,
            nodes,
        }))
    }
}

impl<S: Store + ?Sized> Nodes for Tree<'_, '_, S> {
    type Error = StoreError;

    fn node(&self, subtree: Subtree) -> Result<Option<Hash>, StoreError> {
        match self.end.iter().find(|(known, _)| *known == subtree) {
            Some(&(_, hash)) => Ok(Some(hash)),
            None => self.history.node(subtree),
        }
    }
}
