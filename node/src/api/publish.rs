//! `POST /v1/streams/{id}/observations`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use headwater_protocols::engine::{Command, CommandError, Reply};
use serde::Deserialize;

use super::incoming::{self, Form};
use super::problem::ApiError;
use super::state::{ApiState, blocking, not_come_yet};
use super::streams::unexpected;
use super::types::Published;
use crate::handle::now;

/// What the address may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// Publish only if the stream has this size, which makes a retry safe.
    expect_size: Option<u64>,
}

/// Answers once the records are durable.
pub(super) async fn publish(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    options: Result<Query<Options>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Published>), ApiError> {
    let status = state.stream(&id?)?;
    let Query(Options { expect_size }) = options?;
    let log = status.log;
    if !status.owned {
        return Err(CommandError::NotOwner(log).into());
    }
    let content_type = headers.get(header::CONTENT_TYPE);
    let form = Form::of(content_type.and_then(|value| value.to_str().ok()));
    let body = body?;
    let records = blocking(move || {
        let manifest = status.manifest.as_ref();
        let manifest = manifest.ok_or_else(|| not_come_yet(&status))?;
        incoming::observations(form, &body, manifest, now())
    });
    let command = Command::Publish {
        log,
        records: records.await?,
        expect_size,
    };
    match state.node().command(command).await? {
        Reply::Published(interval) => {
            let (from, to) = (interval.from, interval.to);
            Ok((StatusCode::CREATED, Json(Published { from, to })))
        }
        other => Err(unexpected(&other)),
    }
}
