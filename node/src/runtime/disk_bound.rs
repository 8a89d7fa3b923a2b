//! How much the node's data may grow: measured now and then by a thread of its
//! own, so that the engine never waits for it.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use headwater_protocols::engine::Room;
use tokio::sync::mpsc;

use crate::handle::{DiskState, DiskStatus, Node};
use crate::store::RocksStore;

/// Between two measurements. The engine counts what it writes in between.
const MEASURED_EVERY: Duration = Duration::from_millis(500);

/// Of the bound an eighth is kept for live records and what is published, and
/// at most this much: days of them on a large disk.
const MAX_RESERVE: u64 = 4 << 30;

/// Measurements on their way to the engine.
pub(super) type Measured = mpsc::Receiver<Room>;

/// Measures while it is there.
#[derive(Debug)]
pub(super) struct DiskBound {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DiskBound {
    /// Starts to measure; the first measurement is there when it returns. Without
    /// a bound nothing is measured.
    ///
    /// # Errors
    /// The folder cannot be read, or the system gives no thread.
    pub(super) fn start(
        node: &Node,
        store: &Arc<RocksStore>,
        max: Option<u64>,
    ) -> anyhow::Result<(Self, Measured)> {
        let (rooms, measured) = mpsc::channel(1);
        let Some(max) = max else {
            let none = Self {
                stop: None,
                thread: None,
            };
            return Ok((none, measured));
        };
        let mut meter = Meter {
            node: node.clone(),
            store: store.clone(),
            max,
            state: DiskState::Free,
        };
        let room = (meter.measure()).context("cannot measure what the data takes on the disk")?;
        // Its only place is free.
        let _ = rooms.try_send(room);
        let (stop, stopped) = channel::<()>();
        let thread = thread::Builder::new()
            .name("disk-bound".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(MEASURED_EVERY) == Err(RecvTimeoutError::Timeout) {
                    match meter.measure() {
                        // One that waits is as good.
                        Ok(room) => drop(rooms.try_send(room)),
                        Err(error) => tracing::warn!(%error, "the data cannot be measured"),
                    }
                }
            })
            .context("cannot start the thread that measures the disk")?;
        let bound = Self {
            stop: Some(stop),
            thread: Some(thread),
        };
        Ok((bound, measured))
    }
}

impl Drop for DiskBound {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that measures the disk has panicked");
        }
    }
}

struct Meter {
    node: Node,
    store: Arc<RocksStore>,
    max: u64,
    state: DiskState,
}

impl Meter {
    fn measure(&mut self) -> anyhow::Result<Room> {
        let mut used = self.store.disk_bytes()?;
        let mut state = state(self.state, used, self.max);
        if state != DiskState::Free && self.state == DiskState::Free {
            // What is in the log of writes only becomes smaller in table files.
            self.store.flush()?;
            used = self.store.disk_bytes()?;
            state = self::state(self.state, used, self.max);
        }
        if state != self.state {
            let (max, used) = (self.max, used);
            match state {
                DiskState::Free => tracing::info!(used, max, "histories are fetched again"),
                DiskState::NoHistory => tracing::warn!(
                    used,
                    max,
                    "the data is near max_disk: no more history is fetched; delete streams, or allow more"
                ),
                DiskState::Full => tracing::warn!(
                    used,
                    max,
                    "the data has reached max_disk: nothing is taken or published; delete streams, or allow more"
                ),
            }
            self.state = state;
        }
        let max = self.max;
        (self.node).set_disk(Some(DiskStatus { used, max, state }));
        Ok(match state {
            DiskState::Free => Room {
                for_history: history_bound(max).saturating_sub(used),
                for_all: max.saturating_sub(used),
            },
            DiskState::NoHistory | DiskState::Full => Room {
                for_history: 0,
                for_all: max.saturating_sub(used),
            },
        })
    }
}

/// Where histories stop.
fn history_bound(max: u64) -> u64 {
    max - (max / 8).min(MAX_RESERVE)
}

/// Histories go on only when a sixteenth of what they may fill is free again,
/// so that they do not stop and go.
fn state(before: DiskState, used: u64, max: u64) -> DiskState {
    let bound = history_bound(max);
    let resume = bound - bound / 16;
    let stopped = before != DiskState::Free;
    if used >= max {
        DiskState::Full
    } else if used >= bound || stopped && used >= resume {
        DiskState::NoHistory
    } else {
        DiskState::Free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_stop_at_seven_eighths_and_go_on_when_there_is_room_again() {
        use DiskState::{Free, Full, NoHistory};
        let at = |before, used| state(before, used, 1_600);
        assert_eq!([at(Free, 0), at(Free, 1_399)], [Free; 2]);
        assert_eq!([at(Free, 1_400), at(Free, 1_599)], [NoHistory; 2]);
        assert_eq!([at(Free, 1_600), at(NoHistory, 9_999)], [Full; 2]);
        assert_eq!([at(NoHistory, 1_313), at(Full, 1_399)], [NoHistory; 2]);
        assert_eq!([at(NoHistory, 1_312), at(Full, 0)], [Free; 2]);
        // A large disk keeps no more than a few GiB.
        assert_eq!(history_bound(1 << 40), (1 << 40) - MAX_RESERVE);
    }
}
