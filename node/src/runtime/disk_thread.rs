//! The thread that waits for the disk, so that the engine does not: a sync takes
//! as long as everything needs that was written since the last one, and opening
//! the store anew as long as reading its log of writes. It also has table files
//! written of which streams there are, so that they outlive a log of writes that
//! is lost.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use headwater_protocols::engine::Input;
use headwater_protocols::store::{Batch, Durability, Store, StoreError};
use tokio::sync::mpsc;

use super::disk_bound::Meter;
use super::worker::Worker;
use crate::store::{RocksStore, Space};

/// How long which streams there are may stand in the log of writes only.
const KNOWN_LOGS_EVERY: Duration = Duration::from_secs(1);

/// Below this many bytes it is not even tried to open a store whose disk is full:
/// each attempt writes some files.
const LEAST_ROOM: u64 = 1 << 20;

/// The outcomes of syncs and probes. The engine has one of each under way at most.
pub(super) type Outcomes = mpsc::Receiver<Input>;

/// What is asked of the disk.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Sync,
    Probe,
}

/// Syncs when it is asked to. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct DiskThread(Worker<SyncSender<Ask>>);

impl DiskThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(store: Arc<RocksStore>, meter: Meter) -> anyhow::Result<(Self, Outcomes)> {
        let (asks, asked) = sync_channel(2);
        let (outcomes, done) = mpsc::channel(2);
        let work = move || work(&store, &meter, &asked, &outcomes);
        let worker = Worker::start("disk", "syncs the disk", asks, work)?;
        Ok((Self(worker), done))
    }

    /// Asks for a sync of what is written now.
    pub(super) fn sync(&self) {
        self.ask(Ask::Sync);
    }

    /// Asks whether anything can be written.
    pub(super) fn probe(&self) {
        self.ask(Ask::Probe);
    }

    fn ask(&self, ask: Ask) {
        if let Some(asks) = self.0.asks() {
            // There is a place for each.
            let _ = asks.try_send(ask);
        }
    }
}

fn work(store: &RocksStore, meter: &Meter, asked: &Receiver<Ask>, outcomes: &mpsc::Sender<Input>) {
    let mut is_told = false;
    loop {
        let outcome = match asked.recv_timeout(KNOWN_LOGS_EVERY) {
            Ok(Ask::Sync) => Input::Synced(store.commit(Batch::new(), Durability::Synced)),
            Ok(Ask::Probe) => {
                is_told = false;
                Input::Probed(probe(store, meter))
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Err(error) = store.flush_known_logs() {
                    tracing::debug!(%error, "which streams there are stands in the log of writes only");
                }
                match untold_failure(store, &mut is_told) {
                    Some(failure) => Input::Failed(failure),
                    None => continue,
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if outcomes.blocking_send(outcome).is_err() {
            return;
        }
    }
}

/// Why the store cannot be written, if nobody was told. Whoever writes finds out, but
/// nobody writes without room, so that a table file that could not be written would keep
/// the store from being opened anew. A full disk is told when there is room again for
/// what is in the log of writes; before that, opening helps for a moment only. What the
/// engine knows already is nothing new to it.
fn untold_failure(store: &RocksStore, is_told: &mut bool) -> Option<StoreError> {
    let failure = store.failure();
    *is_told &= failure.is_some();
    let failure = failure.filter(|_| !*is_told)?;
    if matches!(failure, StoreError::Full(_)) && !has_room_for_log(store) {
        return None;
    }
    *is_told = true;
    Some(failure)
}

fn has_room_for_log(store: &RocksStore) -> bool {
    let (Ok(space), Ok(log)) = (Space::of(store.dir()), store.log_bytes()) else {
        return false;
    };
    space.free > space.reserve().saturating_add(log)
}

fn probe(store: &RocksStore, meter: &Meter) -> Result<(), StoreError> {
    if let Some(error @ StoreError::Full(_)) = store.failure()
        && Space::of(store.dir()).is_ok_and(|space| space.free < LEAST_ROOM)
    {
        return Err(error);
    }
    store
        .probe()
        .inspect_err(|error| tracing::debug!(%error, "the disk cannot be written yet"))?;
    // How much may be written is known before anything is.
    meter.measure();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use headwater_protocols::store::Table;

    use super::*;

    #[test]
    fn a_table_file_that_cannot_be_written_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("store");
        let store = RocksStore::open(&folder).unwrap();
        let mut is_told = false;
        assert_eq!(untold_failure(&store, &mut is_told), None);
        let mut batch = Batch::new();
        batch.put(Table::Meta, b"key".to_vec(), b"value".to_vec());
        store.commit(batch, Durability::Written).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert!(store.prove().is_err());
        assert!(untold_failure(&store, &mut is_told).is_some());
        assert_eq!(untold_failure(&store, &mut is_told), None);
    }
}
