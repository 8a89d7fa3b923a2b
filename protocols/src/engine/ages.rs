//! How old chunks are: by the latest time in them that can be true.

use crate::limits::MAX_AGE_LOOKAHEAD;
use crate::record::Record;
use crate::store::times::{Place, Summary, Times};
use crate::store::{History, LogKey, ReadError, Store, StoreError};
use crate::time::Timestamp;

/// The latest times of the chunks of one log. A record is not younger than those
/// after it: of one whose time lies beyond `limit`, which is in the future, theirs
/// count. One record of the year 2106 would keep everything for ever otherwise.
pub(super) struct LatestTimes<'s, S: ?Sized> {
    history: History<'s, S>,
    times: Times<'s, S>,
    limit: Timestamp,
    /// The chunks up to this one lie in the future, and what counts for them.
    future: Option<(u64, Timestamp)>,
}

impl<'s, S: Store + ?Sized> LatestTimes<'s, S> {
    /// Of the log with this key; nothing after `limit` can be true.
    pub(super) fn new(store: &'s S, key: LogKey, limit: Timestamp) -> Self {
        let history = History::new(store, key);
        Self {
            times: history.times(),
            history,
            limit,
            future: None,
        }
    }

    /// Of a chunk; `None` when nothing of it is held. While nothing has come after
    /// a chunk that lies in the future, it is as young as can be.
    ///
    /// # Errors
    /// The store fails.
    pub(super) fn of(&mut self, chunk: u64) -> Result<Option<Timestamp>, StoreError> {
        if let Some((_, time)) = self.future.filter(|&(to, _)| chunk <= to) {
            return Ok(Some(time));
        }
        let Some(summary) = self.at(chunk)? else {
            return Ok(None);
        };
        if let Some(time) = self.true_time(chunk, summary)? {
            return Ok(Some(time));
        }
        for later in (chunk..).skip(1).take(MAX_AGE_LOOKAHEAD) {
            let Some(summary) = self.at(later)? else {
                break;
            };
            if let Some(time) = self.true_time(later, summary)? {
                self.future = Some((later - 1, time));
                return Ok(Some(time));
            }
        }
        Ok(Some(self.limit))
    }

    fn at(&self, index: u64) -> Result<Option<Summary>, StoreError> {
        self.times.at(Place { height: 0, index })
    }

    /// The latest time in a chunk that is not in the future, if there is one.
    fn true_time(&self, chunk: u64, summary: Summary) -> Result<Option<Timestamp>, StoreError> {
        if summary.latest <= self.limit {
            return Ok(Some(summary.latest));
        }
        if summary.earliest > self.limit {
            return Ok(None);
        }
        let interval = self.history.key().chunk_interval(chunk);
        let run = match self.history.run(interval.from, interval.to) {
            // The last one is not whole.
            Err(ReadError::NotHeld(end)) => self.history.run(interval.from, end),
            run => run,
        };
        match run {
            Ok(records) => {
                let times = records.iter().map(Record::time);
                Ok(times.filter(|&time| time <= self.limit).max())
            }
            Err(ReadError::NotHeld(_)) => Ok(Some(summary.earliest)),
            Err(ReadError::Store(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranges::IntervalSet;
    use crate::store::{Admission, Durability, MemoryStore};

    const KEY: LogKey = LogKey {
        number: 1,
        chunk_level: 1,
    };
    const FUTURE: i64 = 1_000_000;

    /// What counts for each chunk of a log with these times.
    fn latest(times: &[i64]) -> Vec<i64> {
        let store = MemoryStore::new();
        let mut held = IntervalSet::default();
        let run: Vec<_> = (times.iter())
            .map(|&time| Record::new(Timestamp(time), b"1"))
            .collect();
        let leaves: Vec<_> = run.iter().map(Record::leaf).collect();
        let mut admission = Admission::new(&store, KEY, &mut held);
        admission.put_records(0, &run, &leaves).unwrap();
        let batch = admission.finish();
        store.commit(batch, Durability::Synced).unwrap();
        let mut latest = LatestTimes::new(&store, KEY, Timestamp(100));
        let chunks = times.len().div_ceil(2) as u64;
        (0..chunks)
            .map(|chunk| latest.of(chunk).unwrap().unwrap().0)
            .collect()
    }

    #[test]
    fn a_time_in_the_future_counts_as_those_beside_it_or_after_it() {
        assert_eq!(latest(&[1, 2, 3, 4]), [2, 4]);
        assert_eq!(latest(&[1, FUTURE, 3, 4]), [1, 4]);
        // Of whole chunks of them, what comes after them.
        let future = [1, 2, FUTURE, FUTURE, FUTURE, FUTURE + 9, 7, FUTURE, 8, 9];
        assert_eq!(latest(&future), [2, 7, 7, 7, 9]);
        // The last chunk is not whole.
        assert_eq!(latest(&[FUTURE, FUTURE, 5]), [5, 5]);
        // Nothing has come after them.
        assert_eq!(latest(&[1, 2, FUTURE, FUTURE]), [2, 100]);
    }

    #[test]
    fn nothing_is_known_of_what_is_not_held() {
        let store = MemoryStore::new();
        let mut latest = LatestTimes::new(&store, KEY, Timestamp(100));
        assert_eq!(latest.of(3), Ok(None));
    }
}
