//! `PUT /v1/unsigned/{name}`: a file becomes a history that nobody signed, wholly
//! or not at all.

use std::borrow::Cow;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use futures::StreamExt;
use headwater_client::object;
use headwater_client::times::{self, Unit};
use headwater_client::types::{Problem, UnsignedView};
use headwater_protocols::quorum::HistoryName;
use headwater_protocols::quorum::kept::{Import, Kept};
use headwater_protocols::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::super::limits::{MAX_UNSIGNED_BODY_BYTES, MAX_UNSIGNED_LINE_BYTES, QUEUED_BLOCKS};
use super::super::problem::ApiError;
use super::super::state::{ApiState, blocking};
use super::{claim, name_of, unsigned_view};
use crate::handle::Node;
use crate::runtime::quorum_walk::check_room;

/// What comes of a body.
enum Piece {
    Bytes(Bytes),
    /// The client is gone, or has sent too much.
    Broken(ApiError),
    /// All of it has come. Without it a client that went would have sent all.
    End,
}

/// Answers once it is durable.
#[utoipa::path(put, path = "/v1/unsigned/{name}", tag = "unsigned", summary = "Keep observations as a history that nobody signed, and tell peers of it as such",
    params(("name" = String, Path, description = "A new name, by which peers will know it")),
    request_body(content((String = "application/x-ndjson"), (String = "text/plain")), description = "One `{\"time\", \"value\"}` a line; a value is a text or a number"),
    responses((status = 201, description = "It is durable", body = UnsignedView), (status = "default", description = "An error (RFC 9457); nothing was stored", body = Problem, content_type = "application/problem+json")),
    security(("token" = [])),
)]
pub(in crate::api) async fn import(
    State(state): State<ApiState>,
    name: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<(StatusCode, Json<UnsignedView>), ApiError> {
    let name = name_of(name)?;
    let claim = claim(&state, &name)?;
    let node = state.node().clone();
    let (pieces, queue) = mpsc::channel(QUEUED_BLOCKS);
    let import = blocking(move || {
        let _claim = claim;
        take(&node, name, queue)
    });
    let (kept, ()) = tokio::join!(import, hand_over(body, pieces));
    Ok((StatusCode::CREATED, Json(unsigned_view(&kept?))))
}

/// Reads the body to its end even when nobody wants it any more: an answer that
/// comes before that does not reach every client.
async fn hand_over(body: Body, pieces: mpsc::Sender<Piece>) {
    let mut body = body.into_data_stream();
    let mut bytes = 0;
    while let Some(piece) = body.next().await {
        let piece = match piece {
            Ok(piece) => {
                bytes += piece.len();
                Piece::Bytes(piece)
            }
            Err(error) => Piece::Broken(ApiError::bad_request(format!(
                "the body was cut off: {error}; nothing was stored"
            ))),
        };
        let piece = match piece {
            Piece::Bytes(_) if bytes > MAX_UNSIGNED_BODY_BYTES => Piece::Broken(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "the body has more than {MAX_UNSIGNED_BODY_BYTES} bytes; nothing was stored"
                ),
            )),
            piece => piece,
        };
        let is_broken = matches!(piece, Piece::Broken(_));
        // The import may have ended already.
        let _ = pieces.send(piece).await;
        if is_broken {
            return;
        }
    }
    let _ = pieces.send(Piece::End).await;
}

fn take(
    node: &Node,
    name: HistoryName,
    mut queue: mpsc::Receiver<Piece>,
) -> Result<Kept, ApiError> {
    let store = node.store().clone();
    let mut import = Import::begin(&*store, name)?;
    let mut rest: Vec<u8> = Vec::new();
    let mut line = 0;
    loop {
        let is_end = match queue.blocking_recv() {
            Some(Piece::Bytes(bytes)) => {
                rest.extend_from_slice(&bytes);
                false
            }
            Some(Piece::End) => {
                rest.push(b'\n');
                true
            }
            Some(Piece::Broken(error)) => return Err(error),
            None => return Err(ApiError::bad_request("the client is gone")),
        };
        check_room(node)?;
        let mut from = 0;
        while let Some(length) = rest[from..].iter().position(|&byte| byte == b'\n') {
            line += 1;
            let row = rest[from..from + length].trim_ascii();
            from += length + 1;
            if !row.is_empty() {
                let (time, value) = row_of(row).map_err(|why| bad_row(line, &why))?;
                import.push(time, value)?;
            }
        }
        rest.drain(..from);
        if rest.len() > MAX_UNSIGNED_LINE_BYTES {
            return Err(bad_row(line + 1, "it is too long"));
        }
        if is_end {
            return Ok(import.finish()?);
        }
    }
}

fn bad_row(line: u64, why: &str) -> ApiError {
    ApiError::bad_request(format!("line {line}: {why}; nothing was stored"))
}

/// One observation. The token of a number is kept as it was written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row<'a> {
    #[serde(borrow)]
    time: &'a RawValue,
    time_unit: Option<Unit>,
    #[serde(borrow)]
    value: &'a RawValue,
}

fn row_of(line: &[u8]) -> Result<(Timestamp, Bytes), String> {
    let row: Row<'_> = object::from_json_bytes(line).map_err(|error| error.to_string())?;
    let written = row.time.get();
    let time = times::of_json(written, row.time_unit, None)
        .and_then(|moment| times::observed(moment, written));
    let time = time.map_err(|error| format!("the time {error}"))?.time;
    let value = text_or_number(row.value)?;
    Ok((time, Bytes::copy_from_slice(value.as_bytes())))
}

fn text_or_number(token: &RawValue) -> Result<Cow<'_, str>, String> {
    let token = token.get();
    match token.as_bytes().first() {
        Some(b'"') => {
            let text: String = serde_json::from_str(token).map_err(|error| error.to_string())?;
            Ok(Cow::Owned(text))
        }
        Some(b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(token)),
        _ => Err("a value is a text or a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_time_and_a_text_or_a_number() {
        let row = |line: &str| row_of(line.as_bytes());
        let (time, value) = row(r#"{"time":"1970-01-01T00:00:01Z","value":1.50}"#).unwrap();
        assert_eq!((time, &value[..]), (Timestamp(1_000_000), &b"1.50"[..]));
        let (time, value) = row(r#"{"time":-7,"time_unit":"us","value":"a \"b\""}"#).unwrap();
        assert_eq!((time, &value[..]), (Timestamp(-7), &b"a \"b\""[..]));
        for bad in [
            "",
            "1",
            r#"{"value":1}"#,
            r#"{"time":1764400000,"value":1}"#,
            r#"{"time":null,"value":1}"#,
            r#"{"time":"1h","value":1}"#,
            r#"{"time":"2024-05-01","value":null}"#,
            r#"{"time":"2024-05-01","value":[1]}"#,
            r#"{"time":1.5,"value":1}"#,
            r#"{"time":"soon","value":1}"#,
            r#"{"time":"2024-05-01","value":1,"more":1}"#,
        ] {
            assert!(row(bad).is_err(), "{bad}");
        }
    }
}
