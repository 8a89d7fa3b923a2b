//! `GET /v1/streams/{id}/live`: history first, then each record as it is
//! stored, as Server-Sent Events or over a WebSocket. Each carries the index of
//! its record, so that a client that comes back and says the last one misses
//! nothing and gets nothing twice. Whoever may have what does not count any more is
//! told so first (`reset`).

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use headwater_client::query::LiveQuery;
use headwater_client::times::Bound;
use headwater_client::types::Problem;
use headwater_protocols::engine::LogStatus;
use headwater_protocols::time::Timestamp;
use headwater_reading::extent::{in_dispute, require_readable};

use super::bounds::bound;
use super::caller::Client;
use super::event_id::EventId;
use super::limits::{LIVE_HEARTBEAT, MAX_SOCKET_MESSAGE_BYTES};
use super::live_client::{Begin, Live, handed_over, is_disputed};
use super::live_reader::LiveReader;
use super::live_said::{Observation, Said};
use super::problem::ApiError;
use super::retention::BEGINS_AT;
use super::socket;
use super::state::{ApiState, not_come_yet};
use crate::handle::wall_time;

/// Tells nginx to hand on what comes as it comes.
pub(super) const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Answers for as long as the client and the node are there.
#[utoipa::path(get, path = "/v1/streams/{id}/live", tag = "observations", summary = "History, then every new observation: events, or a WebSocket",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite"), LiveQuery, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that the client has")),
    responses((status = 200, description = "Server-Sent Events: `id` is the index, `data` an observation. Of a stream that was recovered, and had two histories, the id also says which one it is of, behind an `@`. A `reset` event, which has a Reset as its `data`, says that the recovery key of the stream has ended it, and what does not count of that which the client may have. An `ended` event, which has an Ended as its `data`, says that the client has all that counts, and that nothing more comes. An `error` event, which has a Problem as its `data`, is the last one: what follows is disputed", body = String, content_type = "text/event-stream"), (status = 101, description = "A WebSocket: each text message is an observation, or {\"reset\": Reset} or {\"ended\": Ended}, as the events of these names; the last one may be a Problem, when what follows is disputed"), (status = 409, description = "What was asked for is disputed, or nothing of the stream has come yet", body = Problem, content_type = "application/problem+json"), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn live(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    options: Result<Query<LiveQuery>, QueryRejection>,
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
    let watch = state.node().watch(status.log);
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
    let begins_at = watch.borrow().begin;
    let begin = Begin {
        began,
        next,
        reader,
        were_replaced,
    };
    let live = Live::new(state, watch, begin, client.line, place);
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
    if begins_at > 0 {
        headers.insert(BEGINS_AT, begins_at.into());
    }
    Ok(response)
}

/// The records as events.
fn events(live: Live) -> impl Stream<Item = Result<Event, Infallible>> {
    // A connection that stands still asks for no event, and tells nobody.
    let (patience, line) = (live.patience(), live.line());
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
    options: &LiveQuery,
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
