//! The records of a stream under its head of one moment.

use bytes::Bytes;
use headwater_protocols::engine::LogStatus;
use headwater_protocols::ranges::IntervalSet;
use headwater_protocols::record::Record;
use headwater_protocols::store::{History, ReadError, Store, StoreError};
use headwater_protocols::sync::retrieval::{Among, Meant};
use headwater_protocols::time::Timestamp;

use crate::by_time::{ByTime, Disorder, Room};
use crate::extent::{dropped, kept};
use crate::holes;
use crate::selection::Selection;
use crate::unreadable::Unreadable;
use crate::visit::visit;

/// What is verified of a stream, and can be read from a store. Made for one use: it
/// remembers the chunk that was read last.
#[derive(Debug)]
pub struct Records<'a, S: ?Sized> {
    status: &'a LogStatus,
    history: History<'a, S>,
}

impl<'a, S: Store + ?Sized> Records<'a, S> {
    /// Those of the stream with this status.
    ///
    /// # Errors
    /// Its manifest has not come.
    pub fn of(status: &'a LogStatus, store: &'a S) -> Result<Self, Unreadable> {
        let key = status.key.ok_or(Unreadable::NotComeYet(status.log))?;
        let history = History::new(store, key);
        Ok(Self { status, history })
    }

    /// The stream.
    #[must_use]
    pub fn status(&self) -> &'a LogStatus {
        self.status
    }

    /// What proofs are made of: the tree above the records, too.
    #[must_use]
    pub fn history(&self) -> &History<'a, S> {
        &self.history
    }

    /// The first index that is kept.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.status.begin
    }

    /// The index behind the last record that counts: those below the head that are not
    /// disputed.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.status.usable_size()
    }

    /// Bytes of all that are held.
    ///
    /// # Errors
    /// The store fails.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        self.history.bytes()
    }

    /// What is held, as far as it matters below `to`.
    ///
    /// # Errors
    /// The store fails; it is read only when there are more holes than the status
    /// lists.
    pub fn held(&self, to: u64) -> Result<IntervalSet, StoreError> {
        holes::held(self.status, &self.history, to)
    }

    /// Refuses to read over a hole.
    ///
    /// # Errors
    /// There is one in `[from, to)`, or the store fails.
    pub fn require_held(&self, from: u64, to: u64) -> Result<(), Unreadable> {
        match holes::missing(self.status, &self.history, from, to)? {
            None => Ok(()),
            Some(hole) => Err(Unreadable::Hole {
                log: self.status.log,
                followed: self.status.followed,
                hole,
            }),
        }
    }

    /// Refuses to read by time where anything is not held: times run backwards, so that
    /// a record may lie in any hole.
    ///
    /// # Errors
    /// There is a hole, or the store fails.
    pub fn require_all_held(&self) -> Result<(), Unreadable> {
        self.require_held(self.begin(), self.size())
    }

    /// What a selection means here: as far as records are kept and the stream reaches.
    /// All of it is held.
    ///
    /// # Errors
    /// Something of it was dropped, or is not held.
    pub fn answering(&self, selection: Selection) -> Result<Selection, Unreadable> {
        let selection = kept(self.status, selection, self.size())?;
        let (from, to) = selection.needed();
        self.require_held(from, to)?;
        Ok(selection)
    }

    /// Reads the records of a selection one chunk at a time and hands each one to
    /// `take`. Everything in [`Selection::needed`] must be held; ask
    /// [`Self::require_held`] before.
    ///
    /// # Errors
    /// A record is not held, the store fails, or `take` does.
    pub fn visit<E: From<ReadError>>(
        &self,
        selection: &Selection,
        take: impl FnMut(u64, &Record) -> Result<(), E>,
    ) -> Result<(), E> {
        visit(&self.history, selection, take)
    }

    /// From `next` on as far as everything is held, but to the end of a chunk at most,
    /// so that it is as many bytes as one has; `next` itself when it is not held.
    ///
    /// # Errors
    /// The store fails.
    pub fn run_end(&self, next: u64) -> Result<u64, StoreError> {
        let held_until = holes::held_until(self.status, &self.history, next)?;
        let key = self.history.key();
        Ok(match held_until <= next {
            true => next,
            false => held_until.min(key.chunk_interval(key.chunk_of(next)).to),
        })
    }

    /// The index of the first record of this time or later, or the size, if there is none.
    ///
    /// # Errors
    /// Something is not held, or the store fails.
    pub fn first_since(&self, since: Timestamp) -> Result<u64, Unreadable> {
        let size = self.size();
        let begin = self.begin().min(size);
        self.require_held(begin, size)?;
        let selection = Selection {
            since: Some(since),
            limit: Some(1),
            ..Selection::indexes(begin, size)
        };
        let mut first = size;
        self.visit(&selection, |index, _| {
            first = index;
            Ok::<_, ReadError>(())
        })?;
        Ok(first)
    }

    /// The index of the last record of the greatest time that is not after this one.
    ///
    /// # Errors
    /// It may lie where something is not held, or was dropped; or the store fails.
    pub fn last_until(&self, time: Timestamp) -> Result<Option<u64>, Unreadable> {
        match self.meant(time)? {
            Meant::Record(index) => Ok(Some(index)),
            Meant::Nothing => match self.begin().checked_sub(1) {
                Some(last) => Err(dropped(self.status, last)),
                None => Ok(None),
            },
            Meant::Unknown => {
                self.require_all_held()?;
                // It was not held a moment ago.
                Err(ReadError::NotHeld(self.begin()).into())
            }
        }
    }

    /// Which record that is. Times run backwards, so that it may lie in any hole; only in
    /// a stream that is in order two neighbours tell.
    ///
    /// # Errors
    /// The store fails.
    pub fn meant(&self, time: Timestamp) -> Result<Meant, Unreadable> {
        let manifest = self.status.manifest.as_ref();
        let among = Among {
            begin: self.begin(),
            size: self.size(),
            ordered: manifest.is_some_and(|manifest| manifest.ordered),
        };
        let held = self.held(self.size())?;
        Ok(among.meant(&self.history, &held, time)?)
    }

    /// The last one until then, with its time, where all is known to be held.
    ///
    /// # Errors
    /// The store fails.
    pub fn latest_until(&self, time: Timestamp) -> Result<Option<(u64, Timestamp)>, ReadError> {
        self.history.at_or_before(time, self.size())
    }

    /// The bytes of a record's value.
    ///
    /// # Errors
    /// It is not held, or the store fails.
    pub fn value(&self, index: u64) -> Result<Bytes, ReadError> {
        Ok(self.history.record(index)?.value())
    }

    /// The records of a span of time, by time, those of one time by index. All must be
    /// held.
    ///
    /// # Errors
    /// The store fails, or there is no room.
    pub fn by_time(
        &'a self,
        span: (Option<Timestamp>, Option<Timestamp>),
        room: &'a Room,
    ) -> Result<ByTime<'a, S>, Disorder> {
        ByTime::new(&self.history, (0, self.size()), span, room)
    }

    /// The same of a selection, whatever its limit and its order; ask
    /// [`Self::answering`] for it before.
    ///
    /// # Errors
    /// The store fails, or there is no room.
    pub fn selected_by_time(
        &'a self,
        selection: &Selection,
        room: &'a Room,
    ) -> Result<ByTime<'a, S>, Disorder> {
        let span = (selection.since, selection.before);
        ByTime::new(&self.history, (selection.from, selection.to), span, room)
    }
}
