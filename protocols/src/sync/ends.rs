//! The ragged ends of trees, behind their last whole chunk. No row has the hashes
//! there: they are made from the records, which may be a mebibyte, and are in the
//! proof of every page.

use std::collections::VecDeque;

use crate::head;
use crate::limits::MAX_KNOWN_ENDS;
use crate::merkle::{Hash, Nodes, Subtree, cover};
use crate::store::{History, LogKey, Store, StoreError};

/// The ends of the trees that were offered last.
#[derive(Debug, Default)]
pub(super) struct Ends {
    known: VecDeque<End>,
}

/// The nodes between the last whole chunk of a tree and its size. A number is that
/// of one log for ever; but of a size a log may have another tree than before, where
/// what was lost is given up or a follower begins anew.
#[derive(Debug)]
struct End {
    number: u32,
    tree: head::Tree,
    nodes: Vec<(Subtree, Hash)>,
}

/// A tree, with its end at hand.
pub(super) struct Tree<'a, 's, S: ?Sized> {
    history: &'a History<'s, S>,
    end: &'a [(Subtree, Hash)],
}

impl Ends {
    /// This tree of a log. Its end is made from the records if it is not known, which
    /// counts as what the history was read for.
    ///
    /// # Errors
    /// The store fails.
    pub(super) fn with_end<'a, 's, S: Store + ?Sized>(
        &'a mut self,
        history: &'a History<'s, S>,
        tree: head::Tree,
    ) -> Result<Tree<'a, 's, S>, StoreError> {
        let key = history.key();
        let is_of = |end: &End| end.number == key.number && end.tree == tree;
        let known = self.known.iter().position(is_of);
        let end = match known.and_then(|place| self.known.remove(place)) {
            Some(end) => end,
            None => match End::read(history, tree)? {
                Some(end) if !end.nodes.is_empty() => end,
                // What is not held is told by whoever looks for it. One that has no
                // end takes no place from one that has.
                Some(_) | None => return Ok(Tree { history, end: &[] }),
            },
        };
        self.known.truncate(MAX_KNOWN_ENDS - 1);
        self.known.push_front(end);
        let end = &self.known[0].nodes;
        Ok(Tree { history, end })
    }

    /// Forgets what was made from the records of a log: some of them are damaged, or
    /// it is gone.
    pub(super) fn forget(&mut self, number: u32) {
        self.known.retain(|end| end.number != number);
    }
}

impl End {
    fn read<S: Store + ?Sized>(
        history: &History<'_, S>,
        tree: head::Tree,
    ) -> Result<Option<Self>, StoreError> {
        let LogKey {
            number,
            chunk_level,
        } = history.key();
        let begin = tree.size >> chunk_level << chunk_level;
        let mut nodes = Vec::new();
        for subtree in cover(begin, tree.size, chunk_level) {
            let Some(hash) = history.node(subtree)? else {
                return Ok(None);
            };
            nodes.push((subtree, hash));
        }
        Ok(Some(Self {
            number,
            tree,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranges::IntervalSet;
    use crate::record::Record;
    use crate::store::{Admission, Durability, MemoryStore};
    use crate::time::Timestamp;

    const KEY: LogKey = LogKey {
        number: 1,
        chunk_level: 3,
    };
    /// Of these, one is behind the last whole chunk, and has the hash of its leaf.
    const SIZE: u64 = 9;
    const LAST: Subtree = Subtree { level: 0, index: 8 };

    /// A store with records of this value, and their leaves. What stands for the root
    /// of the tree is the first of them.
    fn stored(value: &str) -> (MemoryStore, head::Tree, Hash) {
        let record = |index| Record::new(Timestamp(index), value.as_bytes());
        let records: Vec<_> = (0..SIZE as i64).map(record).collect();
        let leaves: Vec<_> = records.iter().map(Record::leaf).collect();
        let store = MemoryStore::new();
        let mut held = IntervalSet::default();
        let mut admission = Admission::new(&store, KEY, &mut held);
        admission.put_records(0, &records, &leaves).unwrap();
        let batch = admission.finish();
        store.commit(batch, Durability::Synced).unwrap();
        let root = leaves[0];
        (store, head::Tree { size: SIZE, root }, leaves[8])
    }

    fn last(ends: &mut Ends, store: &MemoryStore, tree: head::Tree) -> (Option<Hash>, u64) {
        let history = History::new(store, KEY);
        let node = ends.with_end(&history, tree).unwrap().node(LAST).unwrap();
        (node, history.bytes_read())
    }

    #[test]
    fn the_end_of_a_tree_is_read_once() {
        let (store, tree, leaf) = stored("one");
        let mut ends = Ends::default();
        let (node, read) = last(&mut ends, &store, tree);
        assert!(node == Some(leaf) && read > 0);
        assert_eq!(last(&mut ends, &store, tree), (Some(leaf), 0));
        // Until its records are not to be believed.
        ends.forget(KEY.number);
        assert_eq!(last(&mut ends, &store, tree), (Some(leaf), read));
    }

    #[test]
    fn another_tree_of_the_same_size_has_another_end() {
        let (given_up, before, lost) = stored("one");
        let (store, tree, leaf) = stored("two");
        let mut ends = Ends::default();
        assert_eq!(last(&mut ends, &given_up, before).0, Some(lost));
        assert_eq!(last(&mut ends, &store, tree).0, Some(leaf));
        assert_ne!(lost, leaf);
    }
}
