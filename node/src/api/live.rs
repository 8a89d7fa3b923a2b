//! `GET /v1/streams/{id}/live`: history first, then each record as it is
//! stored, as Server-Sent Events or over a WebSocket. Each carries the index of
//! its record, so that a client that comes back and says the last one misses
//! nothing and gets nothing twice. Whoever may have what does not count any more is
//! told so first (`reset`).
//!
//! Records are read from the store at the client's pace: a slow one costs a
//! batch of memory and never slows the node. Those who wait at the end share one
//! read of what is new. One that takes nothing for a while
//! is dropped, so that its place is free.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use headwater_client::times::{Bound, Unit};
use headwater_client::types::{Ended, Problem, Reset};
use headwater_protocols::engine::LogStatus;
use headwater_protocols::store::Store;
use headwater_protocols::time::Timestamp;
use serde::Deserialize;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, watch};
use utoipa::IntoParams;

use super::bounds::bound;
use super::caller::Client;
use super::event_id::{Epoch, EventId};
use super::limits::{
    LIVE_BATCH, LIVE_BATCH_BYTES, LIVE_FAREWELL, LIVE_HEARTBEAT, MAX_SOCKET_MESSAGE_BYTES,
};
use super::line::{Cut, Line};
use super::live_places::LivePlace;
use super::live_reader::LiveReader;
use super::live_tail::LiveTail;
use super::problem::ApiError;
use super::retention::BEGINS_AT;
use super::socket;
use super::state::{ApiState, not_come_yet};
use crate::export::RecordObject;
use crate::handle::wall_time;
use crate::reading::extent::{in_dispute, require_readable};
use crate::reading::{Records, Selection};

/// Tells nginx to hand on what comes as it comes.
pub(super) const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What the address may say.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Options {
    /// From this index or time on (RFC 3339, a date, or a span such as `3d`, which
    /// is so long before now); else from what is new.
    from: Option<String>,
    /// `from` is a number of this unit since 1970: `s`, `ms`, `us` or `ns`.
    /// Without it a whole number is an index.
    #[param(inline)]
    time_unit: Option<Unit>,
}

/// Answers for as long as the client and the node are there.
#[utoipa::path(get, path = "/v1/streams/{id}/live", tag = "observations", summary = "History, then every new observation: events, or a WebSocket",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite"), Options, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that the client has")),
    responses((status = 200, description = "Server-Sent Events: `id` is the index, `data` an observation. Of a stream that was recovered, and had two histories, the id also says which one it is of, behind an `@`. A `reset` event, which has a Reset as its `data`, says that the recovery key of the stream has ended it, and what does not count of that which the client may have. An `ended` event, which has an Ended as its `data`, says that the client has all that counts, and that nothing more comes. An `error` event, which has a Problem as its `data`, is the last one: what follows is disputed", body = String, content_type = "text/event-stream"), (status = 101, description = "A WebSocket: each text message is an observation, or {\"reset\": Reset} or {\"ended\": Ended}, as the events of these names; the last one may be a Problem, when what follows is disputed"), (status = 409, description = "What was asked for is disputed, or nothing of the stream has come yet", body = Problem, content_type = "application/problem+json"), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn live(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    options: Result<Query<Options>, QueryRejection>,
    client: Client,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let status = state.stream(&id?)?;
    require_readable(&status)?;
    let Query(options) = options?;
    let socket = match headers.contains_key(header::UPGRADE) {
        true => Some(upgrade?),
        false => None,
    };
    let place = state.live_place(&client)?;
    let status_log = status.log;
    let watch = state.node().watch(status_log);
    let watch = watch.ok_or_else(|| not_come_yet(&status))?;
    let were_replaced = state.first_rows().were_replaced(&watch.borrow());
    let (began, next, reader) = match last_event_id(&headers)? {
        // It has what comes before.
        Some(last) => {
            let reader = LiveReader::with(&last, &watch.borrow(), were_replaced);
            (0, Some(last.index.saturating_add(1)), reader)
        }
        None => {
            let first = first(&state, status, &options).await?;
            (first.unwrap_or(0), first, LiveReader::before(first))
        }
    };
    // An event would not keep a browser from coming back for ever.
    if let Some(from) = is_disputed(&watch.borrow(), next) {
        return Err(in_dispute(&watch.borrow(), from).into());
    }
    let tail = state.live_tails().of(status_log);
    let live = Live {
        state,
        watch,
        tail,
        began,
        next,
        reader,
        were_replaced,
        ready: VecDeque::new(),
        ended: false,
        told_end: None,
        line: client.line.clone(),
        _place: place,
    };
    let begin = live.watch.borrow().begin;
    let mut response = match socket {
        Some(socket) => socket
            .max_message_size(MAX_SOCKET_MESSAGE_BYTES)
            .on_upgrade(|socket| socket::serve(socket, live)),
        None => Sse::new(events(live))
            .keep_alive(KeepAlive::new().interval(LIVE_HEARTBEAT))
            .into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    if begin > 0 {
        headers.insert(BEGINS_AT, begin.into());
    }
    Ok(response)
}

/// The records as events.
fn events(live: Live) -> impl Stream<Item = Result<Event, Infallible>> {
    // A connection that stands still asks for no event, and tells nobody.
    let (patience, line) = (live.patience(), live.line.clone());
    let observations = handed_over(live, patience, line);
    futures::stream::unfold(observations, |mut observations| async {
        let event = match observations.recv().await? {
            Said::Observation(Observation { index, json }, epoch) => {
                let id = EventId { index, epoch };
                Event::default().id(id.to_string()).data(&*json)
            }
            Said::Reset(reset) => {
                let reset = serde_json::to_string(&reset).unwrap_or_default();
                Event::default().event("reset").data(reset)
            }
            Said::Ended(ended) => {
                let ended = serde_json::to_string(&ended).unwrap_or_default();
                Event::default().event("ended").data(ended)
            }
            Said::End(problem) => Event::default().event("error").data(problem),
            Said::TooSlow => Event::default().comment("too slow; come back with Last-Event-ID"),
        };
        Some((Ok(event), observations))
    })
}

/// The records, from a task of its own that ends when the client takes none for
/// so long, is gone, or the node stops.
///
/// A connection that is given has to end soon after, whatever still waits there.
pub(super) fn handed_over(
    mut live: Live,
    patience: Duration,
    line: Option<Arc<Line>>,
) -> mpsc::Receiver<Said> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let said = tokio::select! {
                said = live.next() => said,
                () = sender.closed() => None,
            };
            let Some(said) = said else {
                return;
            };
            match sender.send_timeout(said, patience).await {
                Ok(()) => {}
                Err(SendTimeoutError::Closed(_)) => return,
                Err(SendTimeoutError::Timeout(_)) => {
                    tracing::debug!("a live client takes nothing more and is dropped");
                    drop(live);
                    // Should it take something after all, it hears why.
                    let _ = sender.send_timeout(Said::TooSlow, LIVE_FAREWELL).await;
                    drop(sender);
                    tokio::time::sleep(LIVE_FAREWELL).await;
                    let now = Instant::now();
                    let stands_still =
                        |line: &Arc<Line>| line.standing().has_stalled(now, LIVE_FAREWELL);
                    if let Some(line) = line.filter(stands_still) {
                        line.cut(Cut::Stalled);
                    }
                    return;
                }
            }
        }
    });
    receiver
}

/// A client that comes back says what it has seen. It asks the same address
/// again, so this stands above `from`.
fn last_event_id(headers: &HeaderMap) -> Result<Option<EventId>, ApiError> {
    let Some(id) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let id = id.to_str().ok().and_then(|id| id.parse().ok());
    let wrong = || {
        ApiError::bad_request(
            "Last-Event-ID must be the id of an event of this stream: the index of a record",
        )
    };
    id.map(Some).ok_or_else(wrong)
}

/// Where to begin: at an index, at the first record of a time or later, or
/// behind what the stream has now.
async fn first(
    state: &ApiState,
    status: Arc<LogStatus>,
    options: &Options,
) -> Result<Option<u64>, ApiError> {
    let size = status.head.as_ref().map_or(0, |head| head.size);
    let (from, unit) = (options.from.as_deref(), options.time_unit);
    let from = from.map(|text| bound("from", text, unit, wall_time(), size));
    match from.transpose()? {
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
    let find = state.with_records(status, move |records| {
        let status = records.status();
        status.head.as_ref().ok_or_else(|| not_come_yet(status))?;
        Ok(records.first_since(since)?)
    });
    find.await
}

/// From where on the stream is disputed, if nothing before that is left to be
/// sent.
fn is_disputed(status: &LogStatus, next: Option<u64>) -> Option<u64> {
    let next = next?;
    // Of a recovered stream it is said what counts, and nothing more comes.
    let is_open = status.recovered.is_none();
    status.disputed_from.filter(|&from| is_open && next >= from)
}

/// What live clients get.
#[derive(Debug)]
pub(super) enum Said {
    /// A record, and which history it is of, where clients may have another one.
    Observation(Observation, Option<Epoch>),
    /// The recovery key of the stream has ended it.
    Reset(Reset),
    /// The client has all that counts of a stream that has come to its end.
    Ended(Ended),
    /// Problem details: nothing more comes.
    End(String),
    /// The client took nothing for too long.
    TooSlow,
}

/// A record, as live clients get it.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) index: u64,
    /// The object that NDJSON has in lines.
    pub(super) json: Arc<str>,
}

/// One client that follows a stream.
pub(super) struct Live {
    state: ApiState,
    watch: watch::Receiver<Arc<LogStatus>>,
    tail: Arc<LiveTail>,
    /// The client wants nothing before this record.
    began: u64,
    /// The record to send next; not known while no head has come.
    next: Option<u64>,
    /// What the client may have.
    reader: LiveReader,
    /// The rows of the stream are others than when it had its first live client.
    were_replaced: bool,
    ready: VecDeque<Observation>,
    /// The last word was sent.
    ended: bool,
    /// What was said of its end when all was sent.
    told_end: Option<Ended>,
    /// The connection, if there is a socket.
    line: Option<Arc<Line>>,
    _place: LivePlace,
}

impl Live {
    /// The connection, if there is a socket.
    pub(super) fn line(&self) -> Option<Arc<Line>> {
        self.line.clone()
    }

    /// How long its client may take nothing.
    pub(super) fn patience(&self) -> Duration {
        self.state.live_patience()
    }

    /// The next record; `None` when the node stops or the store fails.
    async fn next(&mut self) -> Option<Said> {
        loop {
            // Marked as seen before it is read, so that what comes while the
            // history is read wakes us again.
            let status = self.watch.borrow_and_update().clone();
            self.drop_disputed(&status);
            if let Some(reset) = self.reset(&status) {
                return Some(Said::Reset(reset));
            }
            if let Some(observation) = self.ready.pop_front() {
                self.reader.gets(observation.index);
                let epoch = Epoch::needed(&status, self.were_replaced);
                return Some(Said::Observation(observation, epoch));
            }
            if let Some(end) = self.end_at_dispute(&status) {
                return Some(end);
            }
            if self.ended {
                return None;
            }
            if self.read(status.clone()).await {
                continue;
            }
            if let Some(ended) = self.end(&status) {
                return Some(Said::Ended(ended));
            }
            tokio::select! {
                changed = self.watch.changed() => {
                    if changed.is_err() && !self.state.stopping().is_cancelled() {
                        return Some(self.end_at_deletion());
                    }
                    changed.ok()?;
                }
                () = self.state.stopping().cancelled() => return None,
            }
        }
    }

    /// What was read before a fork was known is not sent any more.
    fn drop_disputed(&mut self, status: &LogStatus) {
        let Some(from) = status.disputed_from else {
            return;
        };
        while let Some(last) = self.ready.pop_back_if(|last| last.index >= from) {
            self.next = Some(last.index);
        }
    }

    /// Says what does not count any more of that which the client may have.
    fn reset(&mut self, status: &LogStatus) -> Option<Reset> {
        if self.reader.are_rows_of_another_tree(status) {
            self.ready.clear();
            self.were_replaced = true;
            // What was read of it and not sent is read again, of the tree that counts.
            self.next = self
                .next
                .map(|next| next.min(self.reader.has().max(self.began)));
        }
        let from = self.reader.disowned_from(status)?;
        let begin = self.began.max(from);
        self.next = self.next.map(|next| next.min(begin));
        self.told_end = None;
        let recovered = status.recovered.as_ref()?;
        Some(Reset {
            from,
            successor: recovered.successor().map(|log| log.to_string()),
        })
    }

    /// Says once, and again when it changes, that the stream has come to its end, and
    /// that the client has all of it.
    fn end(&mut self, status: &LogStatus) -> Option<Ended> {
        let (size, successor) = match (&status.recovered, status.head.as_ref()?.closing) {
            (Some(recovered), _) => (recovered.tree().size, recovered.successor()),
            (None, Some(closing)) => (status.head.as_ref()?.size, closing.successor),
            (None, None) => return None,
        };
        let is_all = status.usable_size() == size && self.next.is_some_and(|next| next >= size);
        let ended = Ended {
            size,
            successor: successor.map(|log| log.to_string()),
        };
        if !is_all || self.told_end.as_ref() == Some(&ended) {
            return None;
        }
        self.told_end = Some(ended.clone());
        Some(ended)
    }

    /// Says once that nothing more comes, because only one of two histories has
    /// it.
    fn end_at_dispute(&mut self, status: &LogStatus) -> Option<Said> {
        let from = is_disputed(status, self.next).filter(|_| !self.ended)?;
        self.ended = true;
        let error = ApiError::from(in_dispute(status, from));
        let problem = serde_json::to_string(error.problem()).unwrap_or_default();
        Some(Said::End(problem))
    }

    /// Says once that nothing more comes, because the stream was deleted.
    fn end_at_deletion(&mut self) -> Said {
        self.ended = true;
        let log = self.watch.borrow().log;
        let text = format!("stream {log} was deleted here; follow it again to read it");
        let error = ApiError::new(StatusCode::GONE, text);
        Said::End(serde_json::to_string(error.problem()).unwrap_or_default())
    }

    /// Reads what follows without a gap; false when nothing does.
    async fn read(&mut self, status: Arc<LogStatus>) -> bool {
        let Some(size) = status.head.as_ref().map(|_| status.usable_size()) else {
            return false;
        };
        // What was dropped by the stream's retention is left out: the next index
        // shows it.
        let next = *self
            .next
            .insert(self.next.unwrap_or(size).max(status.begin));
        // It may have come since, with something that is not known here.
        let is_read = status.manifest.is_some() && require_readable(&status).is_ok();
        if next >= size || !is_read {
            return false;
        }
        let log = status.log;
        let found = self.tail.read(&status, next, || {
            let status = status.clone();
            (self.state).with_records(status, move |records| read(records, next))
        });
        match found.await {
            Ok(observations) => {
                self.next = Some(next + observations.len() as u64);
                self.ready.extend(observations.iter().cloned());
            }
            Err(error) => {
                let detail = &error.problem().detail;
                tracing::warn!(%log, next, detail, "a live stream cannot go on before the next change");
            }
        }
        !self.ready.is_empty()
    }
}

/// The next records that are held.
fn read<S: Store + ?Sized>(
    records: &Records<'_, S>,
    next: u64,
) -> Result<Vec<Observation>, ApiError> {
    let status = records.status();
    let manifest = status
        .manifest
        .as_ref()
        .ok_or_else(|| not_come_yet(status))?;
    let to = records.run_end(next)?.min(next.saturating_add(LIVE_BATCH));
    if to <= next {
        return Ok(Vec::new());
    }
    let mut object = RecordObject::new(manifest.value_type);
    let (mut observations, mut bytes) = (Vec::new(), 0);
    records.visit(&Selection::indexes(next, to), |index, record| {
        // The rest is read when these were taken.
        if bytes >= LIVE_BATCH_BYTES {
            return Ok(());
        }
        let mut json = Vec::new();
        object.put(&mut json, index, record);
        bytes += json.len();
        let json = String::from_utf8_lossy(&json).into();
        observations.push(Observation { index, json });
        Ok::<_, ApiError>(())
    })?;
    Ok(observations)
}

#[cfg(test)]
mod tests {
    use headwater_protocols::ranges::{Interval, IntervalSet};
    use headwater_protocols::store::{LogKey, MemoryStore};

    use super::super::view::tests::{put_seconds, status};
    use super::*;

    #[test]
    fn events_end_before_a_hole_and_go_on_when_it_is_filled() {
        let key = LogKey {
            number: 1,
            chunk_level: 2,
        };
        let store = MemoryStore::new();
        let mut held = IntervalSet::default();
        let mut put = |from, to| put_seconds(&store, key, &mut held, from, to);
        put(0, 6);
        put(9, 12);
        let mut status = status("temperature", 1, 11);
        status.held = vec![Interval { from: 0, to: 6 }, Interval { from: 9, to: 12 }];
        status.key = Some(key);
        let count = |status: &LogStatus, next| {
            let records = Records::of(status, &store).unwrap();
            read(&records, next).unwrap().len()
        };
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
