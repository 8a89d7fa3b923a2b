//! What is refused, said once in a while and not for each attempt.

use std::fmt::Display;
use std::time::Instant;

use super::limits::REFUSALS_SAID_EVERY;

/// Counts refusals between two lines of the log.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    unsaid: u64,
    said: Option<Instant>,
}

impl Refusals {
    /// Counts a refusal, and says it when none was said lately.
    pub(super) fn note(&mut self, now: Instant, why: &dyn Display, whom: &dyn Display) {
        tracing::trace!(%whom, %why, "a connection is refused");
        if let Some(count) = self.count(now) {
            tracing::info!(count, last = %whom, why = %why, "connections were refused");
        }
    }

    fn count(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        if (self.said).is_some_and(|said| now.duration_since(said) < REFUSALS_SAID_EVERY) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_refusals_are_one_line_and_all_are_counted() {
        let now = Instant::now();
        let mut refusals = Refusals::default();
        assert_eq!(refusals.count(now), Some(1));
        assert!((0..999).all(|_| refusals.count(now).is_none()));
        assert_eq!(refusals.count(now + REFUSALS_SAID_EVERY), Some(1_000));
    }
}
