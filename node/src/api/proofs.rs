//! Heads and proofs of a stream.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use data_encoding::BASE64;
use serde::Deserialize;

use super::problem::ApiError;
use super::state::{ApiState, not_come_yet};
use super::types::{ConsistencyProof, HeadView, InclusionProof};
use crate::export::time::to_text;
use crate::proof;

/// `GET /v1/streams/{id}/head`.
pub(super) async fn head(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<HeadView>, ApiError> {
    let status = state.stream(&id?)?;
    let (Some(manifest), Some(head)) = (&status.manifest, &status.head) else {
        return Err(not_come_yet(&status));
    };
    Ok(Json(HeadView {
        stream: status.log.to_string(),
        publisher: BASE64.encode(&manifest.publisher.to_bytes()),
        size: head.size,
        root: head.root.to_string(),
        time: to_text(head.time),
        successor: head.successor.map(|log| log.to_string()),
        disputed_from: status.disputed_from,
        head: BASE64.encode(head.bytes()),
        head_signature: BASE64.encode(head.signature()),
        manifest: BASE64.encode(manifest.bytes()),
        manifest_signature: BASE64.encode(manifest.signature()),
    }))
}

/// `GET /v1/streams/{id}/proof/{index}`: the proof file of a record.
pub(super) async fn inclusion(
    State(state): State<ApiState>,
    place: Result<Path<(String, u64)>, PathRejection>,
) -> Result<Json<InclusionProof>, ApiError> {
    let Path((id, index)) = place?;
    let status = state.stream(&id)?;
    let prove = state.with_history(status, move |status, history| {
        Ok(proof::prove_inclusion(status, history, index)?)
    });
    prove.await.map(Json)
}

/// What the address of a consistency proof says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sizes {
    /// Size of the first tree.
    first: u64,
    /// Size of the second one; that of the adopted head when absent.
    second: Option<u64>,
}

/// `GET /v1/streams/{id}/consistency?first=&second=`.
pub(super) async fn consistency(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    sizes: Result<Query<Sizes>, QueryRejection>,
) -> Result<Json<ConsistencyProof>, ApiError> {
    let status = state.stream(&id?)?;
    let Query(Sizes { first, second }) = sizes?;
    let prove = state.with_history(status, move |status, history| {
        let usable = status.head.as_ref().map(|_| status.usable_size());
        let second = second.or(usable).unwrap_or(first);
        Ok(proof::prove_consistency(status, history, first, second)?)
    });
    prove.await.map(Json)
}
