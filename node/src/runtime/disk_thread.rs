//! The thread that waits for the disk, so that the engine does not: a sync takes
//! as long as everything needs that was written since the last one.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use headwater_protocols::store::{Batch, Durability, Store, StoreError};
use tokio::sync::mpsc;

use super::worker::Worker;
use crate::store::RocksStore;

/// The outcomes of syncs. The engine has one under way at most.
pub(super) type Synced = mpsc::Receiver<Result<(), StoreError>>;

/// Syncs when it is asked to. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct DiskThread(Worker<SyncSender<()>>);

impl DiskThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(store: Arc<RocksStore>) -> anyhow::Result<(Self, Synced)> {
        let (asks, asked) = sync_channel(1);
        let (outcomes, synced) = mpsc::channel(1);
        let work = move || sync(&store, &asked, &outcomes);
        let worker = Worker::start("disk", "syncs the disk", asks, work)?;
        Ok((Self(worker), synced))
    }

    /// Asks for a sync of what is written now.
    pub(super) fn sync(&self) {
        if let Some(asks) = self.0.asks() {
            // One that waits already does as well.
            let _ = asks.try_send(());
        }
    }
}

fn sync(store: &RocksStore, asked: &Receiver<()>, outcomes: &mpsc::Sender<Result<(), StoreError>>) {
    while asked.recv().is_ok() {
        let outcome = store.commit(Batch::new(), Durability::Synced);
        if outcomes.blocking_send(outcome).is_err() {
            return;
        }
    }
}
