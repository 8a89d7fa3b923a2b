//! Room for the bodies that are read into memory whole.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::crowd::Crowd;
use super::limits::{
    BODY_WAIT, LARGE_BODIES_KIB, MAX_OBSERVATIONS_BODY_BYTES, MIDDLE_BODIES_KIB, MIDDLE_BODY_KIB,
    SMALL_BODY_KIB,
};
use super::line::Line;
use super::problem::ApiError;

/// The room for all of them, in kibibytes.
#[derive(Clone, Debug)]
pub(super) struct BodyRooms {
    middle: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Default for BodyRooms {
    fn default() -> Self {
        let room = |kibibytes| Arc::new(Semaphore::new(kibibytes as usize));
        Self {
            middle: room(MIDDLE_BODIES_KIB),
            large: room(LARGE_BODIES_KIB),
        }
    }
}

impl BodyRooms {
    /// That in which a body of this size is read.
    fn of(&self, kibibytes: u32) -> Arc<Semaphore> {
        match kibibytes <= MIDDLE_BODY_KIB {
            true => self.middle.clone(),
            false => self.large.clone(),
        }
    }
}

/// Room for the body of a request, until it is dropped. It is taken before
/// anything of the body is read.
pub(super) struct BodyRoom {
    _permit: Option<OwnedSemaphorePermit>,
}

/// How often one that waits looks for one that does not come.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Kibibytes of a body that says so much of its length.
fn kibibytes(length: Option<u64>) -> u32 {
    let most = MAX_OBSERVATIONS_BODY_BYTES as u64;
    // What is longer is refused, and what does not say it may have as much.
    let bytes = length.map_or(most, |length| length.min(most));
    u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX)
}

impl BodyRoom {
    /// For the body of the request with this head, by this connection, one of this
    /// crowd.
    pub(super) async fn of(
        rooms: &BodyRooms,
        crowd: &Crowd,
        headers: &HeaderMap,
        line: Option<Arc<Line>>,
    ) -> Result<Self, ApiError> {
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let kibibytes = kibibytes(length);
        if kibibytes <= SMALL_BODY_KIB {
            return Ok(Self { _permit: None });
        }
        let room = rooms.of(kibibytes);
        let mut permit = pin!(room.acquire_many_owned(kibibytes));
        let began = Instant::now();
        while began.elapsed() < BODY_WAIT {
            match timeout(LOOK_AGAIN, &mut permit).await {
                Ok(Ok(permit)) => {
                    if let Some(line) = &line {
                        line.takes_room();
                    }
                    let _permit = Some(permit);
                    return Ok(Self { _permit });
                }
                // It is never closed.
                Ok(Err(_)) => break,
                Err(_) => {}
            }
            crowd.cut_bodies_that_do_not_come();
        }
        Err(ApiError::busy(
            "as many bodies are read already as there is memory for; nothing was stored, send it again",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_what_it_says_and_at_most_what_one_may_have() {
        let most = (MAX_OBSERVATIONS_BODY_BYTES >> 10) as u32;
        assert_eq!(kibibytes(Some(0)), 0);
        assert_eq!(kibibytes(Some(100)), 1);
        assert_eq!(kibibytes(Some(1 << 20)), 1_024);
        assert_eq!(kibibytes(Some(u64::MAX)), most);
        assert_eq!(kibibytes(None), most);
    }
}
