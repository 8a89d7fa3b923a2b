//! `PUT /v1/unsigned/{name}`: a file becomes a history that nobody signed, wholly
//! or not at all.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use futures::StreamExt;
use headwater_client::types::{Problem, UnsignedView};
use headwater_protocols::quorum::HistoryName;
use headwater_protocols::quorum::kept::{Import, Kept};
use tokio::sync::mpsc;

use super::super::limits::{MAX_UNSIGNED_BODY_BYTES, MAX_UNSIGNED_LINE_BYTES, QUEUED_BLOCKS};
use super::super::problem::ApiError;
use super::super::state::ApiState;
use super::super::work::blocking;
use super::{claim, name_of, unsigned_view};
use crate::handle::Node;
use crate::import::unsigned_row;
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
                let (time, value) = unsigned_row::read(row).map_err(|why| bad_row(line, &why))?;
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
