//! The store as the engine writes it. After a write that failed nothing more is
//! written before it was read back what the disk has: the engine and the disk
//! may not agree, and what is written on top of that could be another tree.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::store::{Batch, Durability, Store, StoreError, Table, Visitor};

/// The store, and why it is not written to.
#[derive(Debug)]
pub(super) struct Disk<S> {
    store: S,
    failure: Mutex<Option<StoreError>>,
}

impl<S> Disk<S> {
    pub(super) fn new(store: S) -> Self {
        let failure = Mutex::default();
        Self { store, failure }
    }

    pub(super) fn store(&self) -> &S {
        &self.store
    }

    /// Why nothing is written.
    pub(super) fn failure(&self) -> Option<StoreError> {
        self.lock().clone()
    }

    /// A write that somebody else made has failed.
    pub(super) fn fail(&self, error: StoreError) {
        self.lock().get_or_insert(error);
    }

    /// A write has succeeded: it may be written again.
    pub(super) fn heal(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<StoreError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store> Store for Disk<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.store.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: Visitor<'_>,
    ) -> Result<(), StoreError> {
        self.store.scan(table, from, to, visit)
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        let mut failure = self.lock();
        if let Some(error) = &*failure {
            // Of this batch it is known: nothing was written.
            return Err(match error {
                StoreError::Unclear(why) => StoreError::Failed(why.clone()),
                error => error.clone(),
            });
        }
        (self.store.commit(batch, durability)).inspect_err(|error| *failure = Some(error.clone()))
    }
}
