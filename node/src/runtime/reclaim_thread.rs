//! The thread that gives back the room of deleted streams, and of records that
//! their retention dropped: it writes table files
//! anew, which neither the engine nor those who wait for a sync should wait for.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::mpsc;

use super::worker::Worker;
use crate::store::RocksStore;

/// Log numbers whose room was given back.
pub(super) type Reclaimed = mpsc::Receiver<u32>;

/// What is to be given back.
#[derive(Clone, Copy, Debug)]
enum Ask {
    /// The room of all rows with a log number.
    Log(u32),
    /// The room of the chunks of a log number before this one.
    Chunks(u32, u64),
}

/// Reclaims what it is told to. Ends, after what it is doing, when it is
/// dropped; the next start goes on.
#[derive(Debug)]
pub(super) struct ReclaimThread(Worker<Sender<Ask>>);

impl ReclaimThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(store: Arc<RocksStore>) -> anyhow::Result<(Self, Reclaimed)> {
        // As many wait as a user has deleted streams, and as have had much to drop
        // since the last one was done.
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
            let _ = asks.send(Ask::Log(log));
        }
    }

    /// Has the room of a log's first chunks given back. Nobody hears of it.
    pub(super) fn reclaim_chunks(&self, log: u32, end: u64) {
        if let Some(asks) = self.0.asks() {
            let _ = asks.send(Ask::Chunks(log, end));
        }
    }
}

fn reclaim(store: &RocksStore, asked: &Receiver<Ask>, outcomes: &mpsc::Sender<u32>) {
    while let Ok(ask) = asked.recv() {
        if outcomes.is_closed() {
            return;
        }
        let done = match ask {
            Ask::Log(log) => store.reclaim(log),
            Ask::Chunks(log, end) => store.reclaim_chunks(log, end),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the room of deleted records is not given back yet");
            continue;
        }
        let Ask::Log(log) = ask else {
            continue;
        };
        if outcomes.blocking_send(log).is_err() {
            return;
        }
    }
}
