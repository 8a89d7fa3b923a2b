//! What is new in a stream, read once for all who wait for it: five hundred
//! clients at the end of a stream want the same records at the same moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use headwater_protocols::engine::LogStatus;
use headwater_protocols::id::LogId;
use tokio::sync::OnceCell;

use super::live_said::Observation;
use super::problem::ApiError;

/// The ends of the streams that have live clients.
#[derive(Debug, Default)]
pub(super) struct LiveTails(Mutex<BTreeMap<LogId, Weak<LiveTail>>>);

impl LiveTails {
    /// That of a stream, which its clients hold together. It goes with the last
    /// of them.
    pub(super) fn of(&self, log: LogId) -> Arc<LiveTail> {
        let mut tails = lock(&self.0);
        if let Some(tail) = tails.get(&log).and_then(Weak::upgrade) {
            return tail;
        }
        tails.retain(|_, tail| tail.strong_count() > 0);
        let tail = Arc::default();
        tails.insert(log, Arc::downgrade(&tail));
        tail
    }
}

/// The last read at the end of a stream.
#[derive(Debug, Default)]
pub(super) struct LiveTail(Mutex<Option<Arc<SharedRead>>>);

/// What follows an index in one state of the stream.
#[derive(Debug)]
struct SharedRead {
    /// Kept, so that another state is never taken for this one.
    status: Arc<LogStatus>,
    next: u64,
    found: OnceCell<Arc<[Observation]>>,
}

impl LiveTail {
    /// The records from an index on. Whoever asks for the same in the same state
    /// gets what the first one has read; a client that is behind reads for
    /// itself.
    pub(super) async fn read<F>(
        &self,
        status: &Arc<LogStatus>,
        next: u64,
        read: impl FnOnce() -> F,
    ) -> Result<Arc<[Observation]>, ApiError>
    where
        F: Future<Output = Result<Vec<Observation>, ApiError>>,
    {
        let Some(shared) = self.shared(status, next) else {
            return Ok(read().await?.into());
        };
        let found = shared
            .found
            .get_or_try_init(|| async { Ok(read().await?.into()) });
        found.await.cloned()
    }

    fn shared(&self, status: &Arc<LogStatus>, next: u64) -> Option<Arc<SharedRead>> {
        let mut last = lock(&self.0);
        match &*last {
            Some(shared) if Arc::ptr_eq(&shared.status, status) && shared.next == next => {
                return Some(shared.clone());
            }
            Some(shared) if next < shared.next => return None,
            _ => {}
        }
        let shared = Arc::new(SharedRead {
            status: status.clone(),
            next,
            found: OnceCell::new(),
        });
        *last = Some(shared.clone());
        Some(shared)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::view::tests::status;
    use super::*;

    /// Reads one record, and counts the reads.
    async fn one(reads: &AtomicU64, index: u64) -> Result<Vec<Observation>, ApiError> {
        reads.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let json = index.to_string().into();
        Ok(vec![Observation { index, json }])
    }

    #[tokio::test]
    async fn those_who_want_the_same_share_a_read_and_others_do_not() {
        let tails = LiveTails::default();
        let (now, reads) = (Arc::new(status("temperature", 1, 9)), AtomicU64::new(0));
        let tail = tails.of(now.log);
        let ask = async |status: &Arc<LogStatus>, next| {
            let found = tail.read(status, next, || one(&reads, next)).await.unwrap();
            assert_eq!(found[0].index, next);
            reads.load(Ordering::Relaxed)
        };
        let both = futures::join!(ask(&now, 8), ask(&now, 8));
        assert_eq!((both, ask(&now, 8).await), ((1, 1), 1));
        // Another index, one that is behind, and another state.
        assert_eq!(ask(&now, 9).await, 2);
        assert_eq!(ask(&now, 3).await, 3);
        assert_eq!(ask(&now, 9).await, 3);
        let later = Arc::new(LogStatus::clone(&now));
        assert_eq!(ask(&later, 9).await, 4);
    }

    #[tokio::test]
    async fn a_read_that_fails_is_done_again() {
        let (now, reads) = (Arc::new(status("temperature", 1, 9)), AtomicU64::new(0));
        let tail = LiveTail::default();
        let failed = tail.read(&now, 8, async || Err(ApiError::internal("the disk")));
        assert!(failed.await.is_err());
        let found = tail.read(&now, 8, || one(&reads, 8)).await.unwrap();
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_tail_goes_with_its_last_client() {
        let tails = LiveTails::default();
        let logs = [1, 2].map(|byte| LogId([byte; 32]));
        let first = tails.of(logs[0]);
        assert!(Arc::ptr_eq(&first, &tails.of(logs[0])));
        drop(first);
        let _second = tails.of(logs[1]);
        assert_eq!(lock(&tails.0).len(), 1);
    }
}
