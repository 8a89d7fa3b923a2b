//! When something came over a connection last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Written by the handler of a connection, read by the behaviour.
#[derive(Debug)]
pub(super) struct Heard {
    since: Instant,
    at_ms: AtomicU64,
}

impl Heard {
    /// Something has come now: the connection was just made.
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            at_ms: AtomicU64::new(0),
        }
    }

    /// Something has come now.
    pub(super) fn note(&self) {
        let now = self.since.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.at_ms.store(now, Ordering::Relaxed);
    }

    /// Whether something came within this time.
    pub(super) fn is_within(&self, span: Duration) -> bool {
        let last = Duration::from_millis(self.at_ms.load(Ordering::Relaxed));
        self.since.elapsed().saturating_sub(last) <= span
    }
}
