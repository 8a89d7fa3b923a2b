//! The thread that waits for the disk, so that the engine does not: a sync takes
//! as long as everything needs that was written since the last one.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use headwater_protocols::store::{Batch, Durability, Store, StoreError};
use tokio::sync::mpsc;

use crate::store::RocksStore;

/// The outcomes of syncs. The engine has one under way at most.
pub(super) type Synced = mpsc::Receiver<Result<(), StoreError>>;

/// Syncs when it is asked to. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct DiskThread {
    asks: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DiskThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(store: Arc<RocksStore>) -> anyhow::Result<(Self, Synced)> {
        let (asks, asked) = sync_channel(1);
        let (outcomes, synced) = mpsc::channel(1);
        let thread = thread::Builder::new()
            .name("disk".to_owned())
            .spawn(move || sync(&store, &asked, &outcomes))
            .context("cannot start the thread that syncs the disk")?;
        let disk = Self {
            asks: Some(asks),
            thread: Some(thread),
        };
        Ok((disk, synced))
    }

    /// Asks for a sync of what is written now.
    pub(super) fn sync(&self) {
        if let Some(asks) = &self.asks {
            // One that waits already does as well.
            let _ = asks.try_send(());
        }
    }
}

impl Drop for DiskThread {
    fn drop(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that syncs the disk has panicked");
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
