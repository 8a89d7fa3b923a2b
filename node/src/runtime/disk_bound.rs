//! How much the node's data may grow, and how much room its disk has: measured
//! now and then by a thread of its own, so that the engine never waits for it.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use headwater_protocols::engine::Room;
use tokio::sync::watch;

use super::disk_trouble::DiskTrouble;
use crate::config::Size;
use crate::handle::{DiskState, DiskStatus, Node};
use crate::store::{Reserve, RocksStore, Space};

/// Between two measurements. The engine counts what it writes in between.
const MEASURED_EVERY: Duration = Duration::from_millis(500);

/// The same where there is little room: a fast publisher must not be refused
/// before what is in the log of writes has become smaller in table files.
const MEASURED_OFTEN: Duration = Duration::from_millis(50);

/// How long a disk has to be full before that is a trouble: RocksDB takes room for
/// moments only, while it writes one table file for several.
const FULL_FOR: Duration = Duration::from_secs(1);

/// Of the bound an eighth is kept for live records and what is published, and
/// at most this much: days of them on a large disk.
const MAX_RESERVE: u64 = 4 << 30;

/// With so many free bytes nothing has to be counted: in half a second no disk
/// takes as much.
const PLENTY: u64 = 4 << 30;

/// Measurements on their way to the engine.
pub(super) type Measured = watch::Receiver<Room>;

/// Measures while it is there.
#[derive(Debug)]
pub(super) struct DiskBound {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DiskBound {
    /// Starts to measure; the first measurement is there when it returns. A node
    /// that ends with its command measures only where there is a bound.
    ///
    /// # Errors
    /// The folder cannot be read, or the system gives no thread.
    pub(super) fn start(
        node: &Node,
        store: &Arc<RocksStore>,
        trouble: &Arc<DiskTrouble>,
        max: Option<Size>,
        stays: bool,
    ) -> anyhow::Result<(Self, Meter, Measured)> {
        let (rooms, measured) = watch::channel(Room::default());
        let measuring = Measuring {
            node: node.clone(),
            store: store.clone(),
            trouble: trouble.clone(),
            max: max.map(|Size(bytes)| bytes),
            state: DiskState::Free,
            stays,
            is_full: false,
            short_since: None,
            failed_behind: 0,
            is_proven: true,
            reserve: Reserve::of(store.dir()),
            rooms,
            pause: MEASURED_EVERY,
        };
        let meter = Meter(Arc::new(Mutex::new(measuring)));
        meter.try_measure().context("cannot measure the disk")?;
        let mut bound = Self {
            stop: None,
            thread: None,
        };
        if max.is_none() && !stays {
            return Ok((bound, meter, measured));
        }
        let (stop, stopped) = channel::<()>();
        let measures = meter.clone();
        let thread = thread::Builder::new()
            .name("disk-bound".to_owned())
            .spawn(move || {
                let mut pause = MEASURED_EVERY;
                while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    pause = measures.measure();
                }
            })
            .context("cannot start the thread that measures the disk")?;
        (bound.stop, bound.thread) = (Some(stop), Some(thread));
        Ok((bound, meter, measured))
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

/// What measures. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Meter(Arc<Mutex<Measuring>>);

impl Meter {
    /// Measures, and tells the engine. Returns when to do it again.
    pub(super) fn measure(&self) -> Duration {
        self.try_measure().unwrap_or_else(|error| {
            tracing::debug!("the disk cannot be measured: {error:#}");
            MEASURED_EVERY
        })
    }

    fn try_measure(&self) -> anyhow::Result<Duration> {
        let mut measuring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = measuring.measure()?;
        measuring.rooms.send_if_modified(|known| {
            let changes = *known != room;
            *known = room;
            // The engine counts from what it was told last.
            changes || room.for_all != u64::MAX
        });
        Ok(measuring.pause)
    }
}

#[derive(Debug)]
struct Measuring {
    node: Node,
    store: Arc<RocksStore>,
    trouble: Arc<DiskTrouble>,
    max: Option<u64>,
    state: DiskState,
    /// Whether the node goes on running.
    stays: bool,
    /// Whether the disk has too little room for anything.
    is_full: bool,
    /// Since when it has too little for something.
    short_since: Option<Instant>,
    /// How often background work of the store had failed when it was asked last.
    failed_behind: u64,
    /// Whether table files could be written since there was too little room, or
    /// background work failed.
    is_proven: bool,
    reserve: Reserve,
    rooms: watch::Sender<Room>,
    pause: Duration,
}

impl Measuring {
    fn measure(&mut self) -> anyhow::Result<Room> {
        let mut room = match self.max {
            Some(max) => self.below_bound(max)?,
            None => Room::default(),
        };
        if self.stays {
            let left = self.left_on_disk()?;
            if left < room.for_all {
                room.for_all = left;
                room.is_of_disk = true;
            }
            room.for_history = room.for_history.min(left);
        }
        Ok(room)
    }

    /// Bytes that may still be written before the disk is full: what is in the
    /// log of writes is there twice while it is written into a table file.
    fn left_on_disk(&mut self) -> anyhow::Result<u64> {
        let mut space = Space::of(self.store.dir())?;
        self.pause = match space.free < space.reserve().saturating_mul(16) {
            true => MEASURED_OFTEN,
            false => MEASURED_EVERY,
        };
        let failed_behind = self.store.background_errors();
        if failed_behind != self.failed_behind {
            self.failed_behind = failed_behind;
            self.is_proven = false;
        }
        let is_short = self.is_full || self.short_since.is_some() || !self.is_proven;
        if space.free >= PLENTY && !is_short {
            self.keep_reserve(&space);
            return Ok(u64::MAX);
        }
        // What is kept back stays so while somebody else fills the disk, who would
        // take it, too. It is given back when a write fails.
        let mut left = self.left_of(&space)?;
        let log = self.store.log_bytes()?;
        let gains = left < least(&space) || log > left.max(space.reserve());
        let has_room = space.free > log;
        if gains && has_room && !self.is_full && self.store.failure().is_none() {
            // Room for what is in the log alone is there still.
            if let Err(error) = self.store.flush() {
                tracing::debug!(%error, "the log of writes stays as long as it is");
            }
            space = Space::of(self.store.dir())?;
            left = self.left_of(&space)?;
        }
        let bound = match self.is_full {
            true => space.reserve(),
            false => least(&space),
        };
        self.is_full = left < bound;
        let has_room = !self.is_full && left >= self.trouble.largest_refused();
        let is_well = has_room && self.is_well();
        if is_well {
            self.short_since = None;
            self.trouble.has_room();
        } else if self.short_since.get_or_insert_with(Instant::now).elapsed() >= FULL_FOR {
            self.is_proven = false;
            self.trouble.full(space);
        }
        self.keep_reserve(&space);
        Ok(if self.is_full || has_room && !is_well {
            0
        } else {
            left
        })
    }

    /// Whether the room can be used. A table file that could not be written while
    /// there was none is known to RocksDB only, which tells whoever writes next;
    /// that must not be somebody who was told that all is well.
    fn is_well(&mut self) -> bool {
        if self.is_proven {
            return true;
        }
        if let Err(error) = self.store.prove() {
            tracing::debug!(%error, "there is room, but no table file can be written yet");
            // Whoever writes waits for background work that is only behind.
            return self.store.failure().is_none();
        }
        self.failed_behind = self.store.background_errors();
        self.is_proven = true;
        true
    }

    fn left_of(&self, space: &Space) -> anyhow::Result<u64> {
        let kept = space.reserve().saturating_add(self.store.log_bytes()?);
        Ok(space.free.saturating_sub(kept) / 2)
    }

    /// Keeps some room back while there is enough.
    fn keep_reserve(&self, space: &Space) {
        let (wanted, kept) = (space.reserve(), self.reserve.bytes());
        if !self.is_full
            && kept != wanted
            && space.free > wanted.saturating_mul(3)
            && self.store.failure().is_none()
            && let Err(error) = self.reserve.make(wanted)
        {
            tracing::debug!(%error, "no room is kept back for deletions");
        }
    }

    fn below_bound(&mut self, max: u64) -> anyhow::Result<Room> {
        let mut used = self.store.disk_bytes()?;
        let mut state = state(self.state, used, max);
        if state != DiskState::Free && self.state == DiskState::Free {
            // What is in the log of writes only becomes smaller in table files.
            self.store.flush()?;
            used = self.store.disk_bytes()?;
            state = self::state(self.state, used, max);
        }
        if state != self.state {
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
        (self.node).set_disk(Some(DiskStatus { used, max, state }));
        let for_history = match state {
            DiskState::Free => history_bound(max).saturating_sub(used),
            DiskState::NoHistory | DiskState::Full => 0,
        };
        Ok(Room {
            for_history,
            for_all: max.saturating_sub(used),
            is_of_disk: false,
        })
    }
}

/// With less left than this the disk is full: a publish of the usual size fits.
fn least(space: &Space) -> u64 {
    space.reserve() / 8
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
