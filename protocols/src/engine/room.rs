//! How much may still be written to the disk. Histories stop first, so that
//! live records and our own have a reserve; what would go beyond all of it is
//! refused before anything of it is stored.

use super::{CommandError, Engine, Output};
use crate::id::LogId;
use crate::store::{Store, StoreError};
use crate::sync::Priority;
use crate::time::Timestamp;

/// Bytes that may still be written. Whoever measures the disk says it anew now
/// and then; in between the engine counts what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Of histories that are fetched; 0 stops them.
    pub for_history: u64,
    /// Of anything.
    pub for_all: u64,
    /// Whether it is the disk that has no more, and not what was allowed.
    pub is_of_disk: bool,
}

impl Default for Room {
    /// No bound.
    fn default() -> Self {
        Self {
            for_history: u64::MAX,
            for_all: u64::MAX,
            is_of_disk: false,
        }
    }
}

impl Room {
    /// Counts bytes that are written.
    pub(super) fn take(&mut self, bytes: usize) {
        for left in [&mut self.for_history, &mut self.for_all] {
            // Without a bound it stays so.
            if *left != u64::MAX {
                *left = left.saturating_sub(bytes as u64);
            }
        }
    }

    /// Whether nothing is to be fetched with this priority.
    pub(super) fn stops(&self, priority: Priority) -> bool {
        match priority {
            Priority::History => self.for_history == 0,
            Priority::Live | Priority::User => self.for_all == 0,
        }
    }
}

impl<S: Store> Engine<S> {
    /// Hears how much may be written; fetching goes on where it had stopped.
    pub(super) fn room_is(&mut self, room: Room, now: Timestamp) {
        let before = std::mem::replace(&mut self.room, room);
        let stopped =
            |room: Room| [Priority::Live, Priority::History].map(|priority| room.stops(priority));
        if stopped(before) == stopped(room) {
            return;
        }
        for log in self.logs.keys().collect::<Vec<_>>() {
            self.changed.insert(log);
            self.schedule(log, now);
        }
    }

    /// Whether a log misses something that is not fetched because the disk has
    /// no room for it.
    pub(super) fn waits_for_room(&self, log: LogId) -> bool {
        let stops = self.room.stops(Priority::History);
        let state = self.logs.get(&log).filter(|_| stops);
        state.is_some_and(|state| state.fetches() && !state.is_complete())
    }

    /// Whether records of this many bytes may be published beside those that
    /// wait for the next commit.
    pub(super) fn require_room(&mut self, bytes: usize) -> Result<(), CommandError> {
        let left = (self.room.for_all).saturating_sub(self.staged_bytes() as u64);
        let needed = bytes as u64;
        if needed > left && self.room.is_of_disk {
            self.outputs.push_back(Output::Refused(needed));
            let why = format!("{left} bytes are left for records, and {needed} are needed");
            return Err(CommandError::Stopped(StoreError::Full(why)));
        }
        if needed > left {
            return Err(CommandError::NoRoom { needed, left });
        }
        Ok(())
    }
}
