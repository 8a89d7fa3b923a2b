//! Parquet: whole as it is written, or its length (HEAD) and its parts (Range).

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;

use super::byte_range::{Asked, asked};
use super::limits::MAX_CLIENT_NAME;
use super::observations::Reading;
use super::problem::ApiError;
use super::spool::{Name, Spool};
use super::state::ApiState;
use super::stream_body::written_by;

/// Answers a request for a file.
pub(super) async fn answer(
    state: &ApiState,
    reading: Reading,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let permit = state.read_permit()?;
    let current = Name {
        resource: reading.resource(),
        tag: reading.tag().to_string(),
    };
    let client = client(headers);
    let is_head = method == Method::HEAD;
    let wants_part = !is_head && headers.contains_key(header::RANGE);
    let (name, takes_part) = match named(headers) {
        Some(named) => chosen(state, &current, named, wants_part)?,
        None if wants_part && !asks_for_end(headers) => {
            let told = state.spools().told(&client, &current.resource);
            (
                told.map_or_else(|| current.clone(), |tag| with_tag(&current, &tag)),
                true,
            )
        }
        None => (current.clone(), wants_part),
    };
    let found = state.spools().find(&name);
    if found.is_none() && !is_head && !takes_part {
        let store = state.node().store().clone();
        let body = written_by(move |out| {
            let _permit = permit;
            reading.write(&*store, out)
        });
        return Ok(response(StatusCode::OK, &current.tag, body.await?));
    }
    let (name, spool, permit) = match found {
        Some(spool) => (name, spool, permit),
        None => {
            let spool = written(state, &current, reading, permit).await?;
            (current, spool, state.read_permit()?)
        }
    };
    if is_head || takes_part {
        state.spools().tell(&client, &name);
    }
    let length = spool.length();
    let (status, from, to) = match asked(headers, length) {
        Asked::Part { from, to } if takes_part => (StatusCode::PARTIAL_CONTENT, from, to),
        Asked::Beyond if takes_part => return Ok(beyond(length)),
        Asked::Part { .. } | Asked::Beyond | Asked::All => (StatusCode::OK, 0, length),
    };
    let body = match is_head {
        true => Body::empty(),
        false => {
            let copy = written_by(move |out| {
                let _permit = permit;
                spool.copy(from, to, out)
            });
            copy.await?
        }
    };
    let mut response = response(status, &name.tag, body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(to - from));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {from}-{}/{length}", to - 1);
        insert(headers, header::CONTENT_RANGE, &range);
    }
    Ok(response)
}

async fn written(
    state: &ApiState,
    name: &Name,
    reading: Reading,
    permit: OwnedSemaphorePermit,
) -> Result<Spool, ApiError> {
    let store = state.node().store().clone();
    let write = move |out: &mut (dyn std::io::Write + Send)| reading.write(&*store, out);
    let written = state
        .spools()
        .written(name, state.data_dir(), permit, write);
    written.await
}

/// Whether a client begins to read: a file of Parquet is read from its end.
fn asks_for_end(headers: &HeaderMap) -> bool {
    let range = headers.get(header::RANGE);
    range.is_some_and(|range| range.as_bytes().starts_with(b"bytes=-"))
}

/// The tag that a client insists on, and whether it gives up without it.
fn named(headers: &HeaderMap) -> Option<(&str, bool)> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let if_match = text(header::IF_MATCH).map(|tag| (tag.trim(), true));
    if_match.or_else(|| text(header::IF_RANGE).map(|tag| (tag.trim(), false)))
}

/// The answer that a client names, and whether it gets a part of it: of an
/// answer that is gone it gets the whole of the present one, or nothing.
fn chosen(
    state: &ApiState,
    current: &Name,
    (tag, must_match): (&str, bool),
    wants_part: bool,
) -> Result<(Name, bool), ApiError> {
    if tag == current.tag || (must_match && tag == "*") {
        return Ok((current.clone(), wants_part));
    }
    let earlier = with_tag(current, tag);
    if state.spools().find(&earlier).is_some() {
        return Ok((earlier, wants_part));
    }
    match must_match {
        true => Err(ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            "the stream has grown, and the answer with this entity tag is gone; ask again from the start",
        )),
        false => Ok((current.clone(), false)),
    }
}

fn with_tag(name: &Name, tag: &str) -> Name {
    Name {
        tag: tag.to_owned(),
        ..name.clone()
    }
}

/// What the client calls itself.
fn client(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok()).unwrap_or("");
    agent.chars().take(MAX_CLIENT_NAME).collect()
}

fn response(status: StatusCode, tag: &str, body: Body) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    let media_type = crate::export::Format::Parquet.media_type();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    insert(headers, header::ETAG, tag);
    response
}

fn beyond(length: u64) -> Response {
    let detail = format!("the file has {length} bytes; the range begins behind its end");
    let mut response = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, detail).into_response();
    let range = format!("bytes */{length}");
    insert(response.headers_mut(), header::CONTENT_RANGE, &range);
    response
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
