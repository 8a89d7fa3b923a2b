//! What is kept: ordered tables of bytes behind a small trait, and on top of it
//! the history of each log.

pub mod addresses;
pub mod admission;
pub mod around;
pub mod audit;
pub mod history;
pub mod memory;
pub mod removal;
pub mod tables;
pub mod times;

use std::ops::ControlFlow;

use bytes::Bytes;

pub use admission::Admission;
pub use history::{History, LogKey, ReadError};
pub use memory::MemoryStore;
pub use removal::remove_chunks;
pub use tables::Table;

/// Takes keys and values until it breaks.
pub type Visitor<'a> = &'a mut (dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a);

/// Where everything is kept. Keys of a table are ordered as bytes.
///
/// A batch is atomic: after a crash all of it is there, or nothing. A batch
/// that was committed with [`Durability::Synced`], and every batch before it,
/// survives the loss of power; one that was committed with
/// [`Durability::Written`] survives the end of the process.
pub trait Store {
    /// The value of a key.
    ///
    /// # Errors
    /// The disk cannot be read.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Visits the keys in `[from, to)` in order, until the visitor breaks.
    ///
    /// # Errors
    /// The disk cannot be read.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: Visitor<'_>,
    ) -> Result<(), StoreError>;

    /// Applies a batch.
    ///
    /// # Errors
    /// The disk is full or broken. Nothing of the batch is visible. After
    /// [`StoreError::Unclear`] all of it may be there when the store is opened
    /// the next time, after every other error it is not.
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError>;
}

impl<S: Store + ?Sized> Store for std::sync::Arc<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        (**self).get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: Visitor<'_>,
    ) -> Result<(), StoreError> {
        (**self).scan(table, from, to, visit)
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        (**self).commit(batch, durability)
    }
}

/// What a commit promises when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Survives the end of the process, however it ends.
    Written,
    /// Survives the loss of power.
    Synced,
}

/// A failure of the disk, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no room left.
    #[error("the disk is full: {0}")]
    Full(String),
    /// Reading or writing failed. Of a batch nothing was written.
    #[error("the store failed: {0}")]
    Failed(String),
    /// Writing failed in a way that leaves open what the disk has: all of the
    /// batch, or nothing of it.
    #[error("the disk failed, and whether it has what was written is not known yet: {0}")]
    Unclear(String),
    /// What is stored does not have the form that was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// Changes that are made together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    changes: Vec<Change>,
}

/// One change of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a key.
    Put(Table, Vec<u8>, Bytes),
    /// Removes a key.
    Delete(Table, Vec<u8>),
    /// Removes the keys in `[from, to)`.
    DeleteRange(Table, Vec<u8>, Vec<u8>),
}

impl Batch {
    /// A batch without changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Bytes>) {
        self.changes
            .push(Change::Put(table, key.into(), value.into()));
    }

    /// Removes a key.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.changes.push(Change::Delete(table, key.into()));
    }

    /// Removes the keys in `[from, to)`.
    pub fn delete_range(&mut self, table: Table, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) {
        self.changes
            .push(Change::DeleteRange(table, from.into(), to.into()));
    }

    /// Adds the changes of another batch behind these.
    pub fn append(&mut self, mut other: Self) {
        self.changes.append(&mut other.changes);
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes, in order.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The changes, in order.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        self.changes
    }
}
