//! How far the reading of what is held has come, by stream.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, OnceLock};

use headwater_protocols::id::LogId;
use headwater_protocols::time::Timestamp;

use super::{Node, lock, now};

/// Damaged parts of a stream that a report names; the others are counted.
pub const MAX_NAMED_PARTS: usize = 64;

/// A scrub of one stream: reading and hashing all that is held of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubStatus {
    /// When it was begun.
    pub begun: Timestamp,
    /// When it had read everything.
    pub ended: Option<Timestamp>,
    /// Records that were read and are what was proved.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that were not, or could not be read.
    pub bad_records: u64,
    /// Where they are, the first of them.
    pub bad: Vec<(u64, u64)>,
}

/// What the thread that scrubs is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ScrubAsk {
    /// To read all that is held of a stream.
    Read(LogId),
    /// To end.
    Stop,
}

#[derive(Debug, Default)]
pub(super) struct Scrubs {
    known: Mutex<BTreeMap<LogId, ScrubStatus>>,
    asks: OnceLock<Sender<ScrubAsk>>,
}

impl Node {
    /// The last scrub of a stream that a user asked for, or the one under way.
    #[must_use]
    pub fn scrub(&self, log: LogId) -> Option<ScrubStatus> {
        lock(&self.shared.scrubs.known).get(&log).cloned()
    }

    /// Has all that is held of a stream read and hashed now, unless that is under
    /// way; whether somebody does it.
    pub fn begin_scrub(&self, log: LogId) -> bool {
        {
            let mut known = lock(&self.shared.scrubs.known);
            if known.get(&log).is_some_and(|scrub| scrub.ended.is_none()) {
                return true;
            }
            let begun = ScrubStatus {
                begun: now(),
                ..ScrubStatus::default()
            };
            known.insert(log, begun);
        }
        let asks = self.shared.scrubs.asks.get();
        let is_asked = asks.is_some_and(|asks| asks.send(ScrubAsk::Read(log)).is_ok());
        if !is_asked {
            lock(&self.shared.scrubs.known).remove(&log);
        }
        is_asked
    }

    /// Who scrubs, when the node starts.
    pub(crate) fn set_scrubber(&self, asks: Sender<ScrubAsk>) {
        // A node has one.
        let _ = self.shared.scrubs.asks.set(asks);
    }

    pub(crate) fn change_scrub(&self, log: LogId, change: impl FnOnce(&mut ScrubStatus)) {
        if let Some(scrub) = lock(&self.shared.scrubs.known).get_mut(&log) {
            change(scrub);
        }
    }

    /// A stream is not known any more.
    pub(super) fn forget_scrub(&self, log: LogId) {
        lock(&self.shared.scrubs.known).remove(&log);
    }
}
