//! The thread that gives back the room of deleted streams: it writes table files
//! anew, which neither the engine nor those who wait for a sync should wait for.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::mpsc;

use super::worker::Worker;
use crate::store::RocksStore;

/// Log numbers whose room was given back.
pub(super) type Reclaimed = mpsc::Receiver<u32>;

/// Reclaims what it is told to. Ends, after what it is doing, when it is
/// dropped; the next start goes on.
#[derive(Debug)]
pub(super) struct ReclaimThread(Worker<Sender<u32>>);

impl ReclaimThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(store: Arc<RocksStore>) -> anyhow::Result<(Self, Reclaimed)> {
        // As many wait as a user has deleted streams.
        let (asks, asked) = channel();
        let (outcomes, reclaimed) = mpsc::channel(1);
        let work = move || reclaim(&store, &asked, &outcomes);
        let worker = Worker::start("reclaim", "gives back room on the disk", asks, work)?;
        Ok((Self(worker), reclaimed))
    }

    /// Has the room of a log's rows given back.
    pub(super) fn reclaim(&self, log: u32) {
        if let Some(asks) = self.0.asks() {
            // It ends with this handle only.
            let _ = asks.send(log);
        }
    }
}

fn reclaim(store: &RocksStore, asked: &Receiver<u32>, outcomes: &mpsc::Sender<u32>) {
    while let Ok(log) = asked.recv() {
        if outcomes.is_closed() {
            return;
        }
        if let Err(error) = store.reclaim(log) {
            tracing::warn!(%error, "the room of a deleted stream is not given back yet");
            continue;
        }
        if outcomes.blocking_send(log).is_err() {
            return;
        }
    }
}
