//! The records of a stream in the order of their times, found in the time index:
//! those that stand near each other in time are in memory, the others are not.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

use bytes::Bytes;
use headwater_protocols::store::times::Place;
use headwater_protocols::store::{History, ReadError, Store, StoreError};
use headwater_protocols::time::Timestamp;

use crate::limits::{MAX_DISORDER_BYTES, WAITING_BYTES};

/// Bytes that may wait in memory, shared by all streams that are read together.
#[derive(Debug)]
pub struct Room(Cell<usize>);

impl Default for Room {
    fn default() -> Self {
        Self::new(MAX_DISORDER_BYTES)
    }
}

impl Room {
    /// So many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Cell::new(bytes))
    }

    fn take(&self, bytes: usize) -> Result<(), Disorder> {
        let left = self.0.get().checked_sub(bytes).ok_or(Disorder::TooMuch)?;
        self.0.set(left);
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.0.set(self.0.get().saturating_add(bytes));
    }
}

/// Why the records cannot be put in order.
#[derive(Debug)]
pub enum Disorder {
    /// The times run to and fro so far that too much had to be in memory.
    TooMuch,
    /// One cannot be read.
    Read(ReadError),
}

impl From<ReadError> for Disorder {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<StoreError> for Disorder {
    fn from(error: StoreError) -> Self {
        Self::Read(error.into())
    }
}

/// The records with an index in `[from, to)` and a time in `[since, before)`, by
/// time, those of one time by index.
#[derive(Debug)]
pub struct ByTime<'a, S: ?Sized> {
    history: &'a History<'a, S>,
    from: u64,
    to: u64,
    since: Option<Timestamp>,
    before: Option<Timestamp>,
    room: &'a Room,
    /// What comes next is on top.
    waiting: BinaryHeap<Waiting>,
}

/// A record, with the bytes of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// Its time.
    pub time: Timestamp,
    /// Its value.
    pub value: Bytes,
}

#[derive(Debug)]
struct Waiting {
    /// That of the record, or the earliest one below a place.
    time: Timestamp,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A part of the time index that was not looked into.
    Place(Place),
    /// A record.
    Record { index: u64, value: Bytes },
}

impl Waiting {
    /// A place may have records of its earliest time with lower indexes than
    /// the records that are there already, so it comes first.
    fn rank(&self) -> (Timestamp, bool, u64) {
        match self.what {
            What::Place(place) => (self.time, false, place.index),
            What::Record { index, .. } => (self.time, true, index),
        }
    }

    fn bytes(&self) -> usize {
        match &self.what {
            What::Place(_) => WAITING_BYTES,
            What::Record { value, .. } => WAITING_BYTES + value.len(),
        }
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    /// The greatest is on top of a heap, and the earliest comes next.
    fn cmp(&self, other: &Self) -> Ordering {
        other.rank().cmp(&self.rank())
    }
}

impl<'a, S: Store + ?Sized> ByTime<'a, S> {
    /// All of these records must be held.
    pub(super) fn new(
        history: &'a History<'a, S>,
        (from, to): (u64, u64),
        (since, before): (Option<Timestamp>, Option<Timestamp>),
        room: &'a Room,
    ) -> Result<Self, Disorder> {
        let mut by_time = Self {
            history,
            from,
            to,
            since,
            before,
            room,
            waiting: BinaryHeap::new(),
        };
        if let Some((place, summary)) = history.times().top()? {
            by_time.wait(place, summary.earliest, summary.latest)?;
        }
        Ok(by_time)
    }

    /// The time of the next record.
    ///
    /// # Errors
    /// The store fails, or there is no room.
    pub fn next_time(&mut self) -> Result<Option<Timestamp>, Disorder> {
        self.look()?;
        Ok(self.waiting.peek().map(|waiting| waiting.time))
    }

    /// The place and the time of the next record.
    ///
    /// # Errors
    /// The store fails, or there is no room.
    pub fn next_place(&mut self) -> Result<Option<(u64, Timestamp)>, Disorder> {
        self.look()?;
        Ok(self.waiting.peek().and_then(|waiting| match waiting.what {
            What::Record { index, .. } => Some((index, waiting.time)),
            What::Place(_) => None,
        }))
    }

    /// The next record.
    ///
    /// # Errors
    /// The store fails, or there is no room.
    pub fn next_record(&mut self) -> Result<Option<Timed>, Disorder> {
        self.look()?;
        let Some(next) = self.waiting.pop() else {
            return Ok(None);
        };
        self.room.give_back(next.bytes());
        let time = next.time;
        Ok(match next.what {
            What::Record { value, .. } => Some(Timed { time, value }),
            What::Place(_) => None,
        })
    }

    /// Looks into places until a record is on top.
    fn look(&mut self) -> Result<(), Disorder> {
        while let Some(Waiting {
            what: What::Place(place),
            ..
        }) = self.waiting.peek()
        {
            let place = *place;
            if let Some(looked_into) = self.waiting.pop() {
                self.room.give_back(looked_into.bytes());
            }
            if place.height == 0 {
                self.take_chunk(place.index)?;
                continue;
            }
            for (child, summary) in self.history.times().children(place)? {
                self.wait(child, summary.earliest, summary.latest)?;
            }
        }
        Ok(())
    }

    fn wait(
        &mut self,
        place: Place,
        earliest: Timestamp,
        latest: Timestamp,
    ) -> Result<(), Disorder> {
        let is_early = self.since.is_some_and(|since| latest < since);
        let is_late = self.before.is_some_and(|before| earliest >= before);
        if is_early || is_late {
            return Ok(());
        }
        self.push(Waiting {
            time: earliest,
            what: What::Place(place),
        })
    }

    fn take_chunk(&mut self, chunk: u64) -> Result<(), Disorder> {
        let interval = self.history.key().chunk_interval(chunk);
        let (from, to) = (interval.from.max(self.from), interval.to.min(self.to));
        if from >= to {
            return Ok(());
        }
        let run = self.history.run(from, to)?;
        for (index, record) in (from..).zip(run) {
            let time = record.time();
            let is_early = self.since.is_some_and(|since| time < since);
            let is_late = self.before.is_some_and(|before| time >= before);
            if is_early || is_late {
                continue;
            }
            // A copy, or one record would keep its whole chunk in memory.
            let value = Bytes::copy_from_slice(&record.value());
            let what = What::Record { index, value };
            self.push(Waiting { time, what })?;
        }
        Ok(())
    }

    fn push(&mut self, waiting: Waiting) -> Result<(), Disorder> {
        self.room.take(waiting.bytes())?;
        self.waiting.push(waiting);
        Ok(())
    }
}

impl<S: ?Sized> Drop for ByTime<'_, S> {
    fn drop(&mut self) {
        let bytes = self.waiting.iter().map(Waiting::bytes).sum();
        self.room.give_back(bytes);
    }
}
