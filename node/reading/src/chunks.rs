//! Which chunks may have records of a span of time, found in the time index.

use headwater_protocols::store::times::{Place, Summary, Times};
use headwater_protocols::store::{Store, StoreError};

use crate::selection::{Order, Selection};

/// The chunks that may have records of a selection, in its order. Reads one
/// row of the time index for each 64 chunks, 64² chunks, … that overlap it, and
/// keeps at most 64 entries a height in memory.
#[derive(Debug)]
pub(super) struct CandidateChunks<'a, S: ?Sized> {
    times: Times<'a, S>,
    chunk_level: u8,
    selection: &'a Selection,
    /// What is still to be looked at, the next one last.
    stack: Vec<(Place, Summary)>,
}

impl<'a, S: Store + ?Sized> CandidateChunks<'a, S> {
    pub(super) fn new(
        times: Times<'a, S>,
        chunk_level: u8,
        selection: &'a Selection,
    ) -> Result<Self, StoreError> {
        let stack = times.top()?.into_iter().collect();
        Ok(Self {
            times,
            chunk_level,
            selection,
            stack,
        })
    }

    fn may_have(&self, place: Place, summary: Summary) -> bool {
        let first = match place.index.checked_sub(1) {
            Some(index) => (Place { index, ..place }).last_index(self.chunk_level) + 1,
            None => 0,
        };
        let last = place.last_index(self.chunk_level);
        let Selection {
            from,
            to,
            since,
            before,
            ..
        } = *self.selection;
        first < to
            && last >= from
            && since.is_none_or(|since| summary.latest >= since)
            && before.is_none_or(|before| summary.earliest < before)
    }

    fn step(&mut self, place: Place) -> Result<(), StoreError> {
        let mut children = self.times.children(place)?;
        if self.selection.order == Order::Ascending {
            children.reverse();
        }
        self.stack.extend(children);
        Ok(())
    }
}

impl<S: Store + ?Sized> Iterator for CandidateChunks<'_, S> {
    type Item = Result<u64, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((place, summary)) = self.stack.pop() {
            if !self.may_have(place, summary) {
                continue;
            }
            if place.height == 0 {
                return Some(Ok(place.index));
            }
            if let Err(error) = self.step(place) {
                self.stack.clear();
                return Some(Err(error));
            }
        }
        None
    }
}
