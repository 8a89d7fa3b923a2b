//! The thread that waits for the disk, so that the engine does not: a sync takes
//! as long as everything needs that was written since the last one. It also has
//! table files written of which streams there are, so that they outlive a log of
//! writes that is lost.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use headwater_protocols::store::{Batch, Durability, Store, StoreError};
use tokio::sync::mpsc;

use super::worker::Worker;
use crate::store::RocksStore;

/// How long which streams there are may stand in the log of writes only.
const KNOWN_LOGS_EVERY: Duration = Duration::from_secs(1);

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
    loop {
        match asked.recv_timeout(KNOWN_LOGS_EVERY) {
            Ok(()) => {
                let outcome = store.commit(Batch::new(), Durability::Synced);
                if outcomes.blocking_send(outcome).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Err(error) = store.flush_known_logs() {
                    tracing::debug!(%error, "which streams there are stands in the log of writes only");
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
