//! What is not held here and somebody waits for: one observation, or one chunk,
//! asked of peers before anything else, and verified.

use std::io;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use headwater_client::types::Problem;
use headwater_export::{Encoder, Format, Shape};
use headwater_protocols::engine::{Command, LogStatus};
use headwater_protocols::merkle::Hash;
use headwater_protocols::record::Record;
use headwater_protocols::sync::retrieval::{Found, Retrieval};
use headwater_reading::extent::require_readable;

use super::elsewhere::PeersMayBeAsked;
use super::problem::ApiError;
use super::state::ApiState;

/// `GET /v1/chunks/{address}`: the records of a chunk, each after its length.
#[utoipa::path(get, path = "/v1/chunks/{address}", tag = "observations", summary = "A chunk by its address, from here or from a peer",
    params(("address" = String, Path, description = "The hash of the chunk's subtree, in lower-case hex")),
    responses((status = 200, description = "The records, each after its length as a varint; they hash to the address", body = Vec<u8>, content_type = "application/octet-stream"), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn chunk(
    State(state): State<ApiState>,
    may_ask: PeersMayBeAsked,
    address: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    may_ask.require()?;
    let Path(text) = address?;
    let address: Hash = (text.parse()).map_err(|error| {
        let why = format!("`{text}` is not the address of a chunk: {error}");
        ApiError::bad_request(why)
    })?;
    match ask(&state, Retrieval::Chunk(address)).await? {
        Found::Chunk(records) => {
            let about = [
                (header::CONTENT_TYPE, "application/octet-stream"),
                // Other bytes would have another address.
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ];
            Ok((about, records).into_response())
        }
        other => Err(unexpected(&other)),
    }
}

/// One observation that is not held here.
pub(super) async fn observation(
    state: &ApiState,
    status: &LogStatus,
    (format, shape): (Format, Shape),
    what: Retrieval,
) -> Result<Response, ApiError> {
    require_readable(status)?;
    let one = match ask(state, what).await? {
        Found::Record { index, record, .. } => Some((index, record)),
        Found::Nothing(_) => None,
        found @ Found::Chunk(_) => return Err(unexpected(&found)),
    };
    let body = encoded(format, shape, one);
    let body = body.map_err(|error| ApiError::internal(error.to_string()))?;
    let about = [
        (header::CONTENT_TYPE, format.media_type()),
        (header::VARY, "accept"),
    ];
    Ok((about, body).into_response())
}

fn encoded(format: Format, shape: Shape, one: Option<(u64, Record)>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut encoder = Encoder::begin(format, shape, &mut body)?;
    if let Some((index, record)) = one {
        encoder.record(index, &record)?;
    }
    encoder.finish()?;
    Ok(body)
}

/// Looks it up, here or at peers.
pub(super) async fn ask(state: &ApiState, what: Retrieval) -> Result<Found, ApiError> {
    Ok(*state.node().ask(Command::retrieve(what)).await?)
}

pub(super) fn unexpected(found: &Found) -> ApiError {
    ApiError::internal(format!("a retrieval found something else: {found:?}"))
}
