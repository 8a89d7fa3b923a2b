//! Work for an answer that is not sent while it is made, on a thread that may block.

use std::sync::{Arc, Weak};

use tokio::runtime::Handle;

use super::places::Place;
use super::problem::ApiError;

/// Reads that write no answer meanwhile: they take turns, and end when nobody
/// waits for them any more.
#[derive(Debug)]
pub(super) struct Work {
    place: Place,
    runtime: Handle,
    asked: Weak<()>,
    steps: u32,
}

/// Records between two looks at whether the work may go on.
const STEPS: u32 = 1_024;

impl Work {
    /// Another record is looked at.
    pub(super) fn step(&mut self) -> Result<(), ApiError> {
        self.steps = (self.steps + 1) % STEPS;
        if self.steps > 0 {
            return Ok(());
        }
        let goes_on = self.asked.strong_count() > 0 && self.place.take_turns(&self.runtime);
        goes_on
            .then_some(())
            .ok_or_else(|| ApiError::internal("nobody waits for the answer any more"))
    }
}

/// Does such work on a thread that may block.
pub(super) async fn working<T: Send + 'static>(
    place: Place,
    work: impl FnOnce(&mut Work) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let asks = Arc::new(());
    let (runtime, asked) = (Handle::current(), Arc::downgrade(&asks));
    let steps = 0;
    let mut doing = Work {
        place,
        runtime,
        asked,
        steps,
    };
    let done = blocking(move || work(&mut doing)).await;
    drop(asks);
    done
}

/// Runs what reads the disk or takes long on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ApiError::internal(format!("the request failed: {error}"))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::super::places::Places;
    use super::super::places::tests::{enter, stranger};
    use super::*;

    #[tokio::test]
    async fn work_ends_when_nobody_waits_for_it() {
        let places = Arc::new(Places::with_turns(1));
        let place = enter(&places, &stranger(), 1).await;
        let (ended, end) = oneshot::channel();
        let endless = working(place, move |work| {
            let error = std::iter::repeat_with(|| work.step()).find_map(Result::err);
            let _ = ended.send(error.is_some());
            Ok(())
        });
        assert!(timeout(Duration::from_millis(50), endless).await.is_err());
        assert!(end.await.unwrap());
        enter(&places, &stranger(), 1).await;
    }
}
