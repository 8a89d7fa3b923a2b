//! `GET /v1/streams/{id}/live`: Server-Sent Events, history first, then each
//! record as it is stored. The id of an event is the index of its record, so
//! that a client that comes back with `Last-Event-ID` misses nothing and gets
//! nothing twice.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use headwater_protocols::engine::LogStatus;
use headwater_protocols::store::{History, Store};
use headwater_protocols::time::Timestamp;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::limits::{LIVE_BATCH, LIVE_HEARTBEAT};
use super::observations::{Bound, bound, require_held};
use super::problem::ApiError;
use super::state::{ApiState, not_come_yet};
use crate::export::{RecordObject, Selection, held_until, visit};
use crate::proof::disputed;

/// What the address may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    from: Option<String>,
}

/// Answers for as long as the client and the node are there.
pub(super) async fn live(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    options: Result<Query<Options>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let status = state.stream(&id?)?;
    let Query(options) = options?;
    let permit = state.live_permit()?;
    let watch = state.node().watch(status.log);
    let watch = watch.ok_or_else(|| not_come_yet(&status))?;
    let next = match last_event_id(&headers)? {
        Some(last) => Some(last.saturating_add(1)),
        None => first(&state, status, options.from.as_deref()).await?,
    };
    let live = Live {
        state,
        watch,
        next,
        ready: VecDeque::new(),
        ended: false,
        _permit: permit,
    };
    let events = futures::stream::unfold(live, |mut live| async move {
        let event = live.next().await?;
        Some((Ok(event), live))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(LIVE_HEARTBEAT)))
}

/// A client that comes back says what it has seen. It asks the same address
/// again, so this stands above `from`.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(id) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let index = id.to_str().ok().and_then(|id| id.parse().ok());
    let wrong = || ApiError::bad_request("Last-Event-ID must be the index of a record");
    index.map(Some).ok_or_else(wrong)
}

/// Where to begin: at an index, at the first record of a time or later, or
/// behind what the stream has now.
async fn first(
    state: &ApiState,
    status: Arc<LogStatus>,
    from: Option<&str>,
) -> Result<Option<u64>, ApiError> {
    match from.map(|text| bound("from", text)).transpose()? {
        None => Ok(status.head.as_ref().map(|_| status.usable_size())),
        Some(Bound::Index(from)) => Ok(Some(from)),
        Some(Bound::Time(since)) => first_since(state, status, since).await.map(Some),
    }
}

async fn first_since(
    state: &ApiState,
    status: Arc<LogStatus>,
    since: Timestamp,
) -> Result<u64, ApiError> {
    let find = state.with_history(status, move |status, history| {
        let size = status.head.as_ref().map(|_| status.usable_size());
        let size = size.ok_or_else(|| not_come_yet(status))?;
        require_held(status, history, 0, size)?;
        let selection = Selection {
            since: Some(since),
            limit: Some(1),
            ..Selection::indexes(0, size)
        };
        let mut first = size;
        visit(history, &selection, |index, _| {
            first = index;
            Ok::<_, ApiError>(())
        })?;
        Ok(first)
    });
    find.await
}

/// One client that follows a stream.
struct Live {
    state: ApiState,
    watch: watch::Receiver<Arc<LogStatus>>,
    /// The record to send next; not known while no head has come.
    next: Option<u64>,
    ready: VecDeque<Event>,
    /// The last event was sent.
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Live {
    /// The next event; `None` when the node stops or the store fails.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            // Marked as seen before it is read, so that what comes while the
            // history is read wakes us again.
            let status = self.watch.borrow_and_update().clone();
            if let Some(event) = self.end_at_dispute(&status) {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            if self.read(status).await {
                continue;
            }
            tokio::select! {
                changed = self.watch.changed() => changed.ok()?,
                () = self.state.stopping().cancelled() => return None,
            }
        }
    }

    /// Says once that nothing more comes, because only one of two histories has
    /// it.
    fn end_at_dispute(&mut self, status: &LogStatus) -> Option<Event> {
        let from = status.disputed_from.filter(|_| !self.ended)?;
        if self.next.is_none_or(|next| next < from) {
            return None;
        }
        self.ended = true;
        let error = ApiError::new(StatusCode::CONFLICT, disputed(status, from));
        let problem = serde_json::to_string(error.problem()).unwrap_or_default();
        Some(Event::default().event("error").data(problem))
    }

    /// Reads what follows without a gap; false when nothing does.
    async fn read(&mut self, status: Arc<LogStatus>) -> bool {
        let Some(size) = status.head.as_ref().map(|_| status.usable_size()) else {
            return false;
        };
        let next = *self.next.get_or_insert(size);
        if next >= size || status.manifest.is_none() {
            return false;
        }
        let log = status.log;
        match self
            .state
            .with_history(status, move |status, history| events(status, history, next))
            .await
        {
            Ok(events) => {
                self.next = Some(next + events.len() as u64);
                self.ready.extend(events);
            }
            Err(error) => {
                let detail = &error.problem().detail;
                tracing::warn!(%log, next, detail, "a live stream cannot go on before the next change");
            }
        }
        !self.ready.is_empty()
    }
}

/// The events of the next records that are held.
fn events<S: Store + ?Sized>(
    status: &LogStatus,
    history: &History<'_, S>,
    next: u64,
) -> Result<Vec<Event>, ApiError> {
    let manifest = status
        .manifest
        .as_ref()
        .ok_or_else(|| not_come_yet(status))?;
    let held_until = held_until(status, history, next)?;
    if held_until <= next {
        return Ok(Vec::new());
    }
    // To the end of a chunk only: a batch is at most the bytes of one.
    let chunk = history.key().chunk_interval(history.key().chunk_of(next));
    let to = held_until.min(chunk.to).min(next + LIVE_BATCH);
    let mut object = RecordObject::new(manifest.value_type);
    let mut events = Vec::new();
    visit(history, &Selection::indexes(next, to), |index, record| {
        let mut json = Vec::new();
        object.put(&mut json, index, record);
        let json = String::from_utf8_lossy(&json);
        events.push(Event::default().id(index.to_string()).data(json));
        Ok::<_, ApiError>(())
    })?;
    Ok(events)
}

#[cfg(test)]
mod tests {
    use headwater_protocols::ranges::{Interval, IntervalSet};
    use headwater_protocols::record::Record;
    use headwater_protocols::store::{Admission, Durability, LogKey, MemoryStore};

    use super::super::view::tests::status;
    use super::*;

    #[test]
    fn events_end_before_a_hole_and_go_on_when_it_is_filled() {
        let key = LogKey {
            number: 1,
            chunk_level: 2,
        };
        let store = MemoryStore::new();
        let mut held = IntervalSet::default();
        let mut put = |from: u64, to: u64| {
            let run: Vec<_> = (from..to)
                .map(|i| Record::new(Timestamp(i as i64), b"1"))
                .collect();
            let leaves: Vec<_> = run.iter().map(Record::leaf).collect();
            let mut admission = Admission::new(&store, key, &mut held);
            admission.put_records(from, &run, &leaves).unwrap();
            let batch = admission.finish();
            store.commit(batch, Durability::Synced).unwrap();
        };
        put(0, 6);
        put(9, 12);
        let mut status = status("temperature", 1, 11);
        status.held = vec![Interval { from: 0, to: 6 }, Interval { from: 9, to: 12 }];
        let history = History::new(&store, key);
        let count = |status: &LogStatus, next| events(status, &history, next).unwrap().len();
        // To the end of the chunk, to the hole, none in it, and not beyond the head.
        assert_eq!(
            [0, 3, 4, 6, 8].map(|next| count(&status, next)),
            [4, 1, 2, 0, 0]
        );
        assert_eq!(
            [9, 11, 12, u64::MAX].map(|next| count(&status, next)),
            [2, 0, 0, 0]
        );
        put(6, 9);
        status.held = vec![Interval { from: 0, to: 12 }];
        assert_eq!([6, 8].map(|next| count(&status, next)), [2, 3]);
    }
}
