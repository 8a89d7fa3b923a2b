//! Histories that nobody signed: imported, taken from peers by quorum, read, and
//! deleted. They are no streams, and whatever is said of them says so.

mod import;
mod view;
mod walk;

use std::io::Write;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headwater_client::query::{TextFormat, UnsignedQuery};
use headwater_client::times::text::to_text;
use headwater_client::types::{Problem, UnsignedView};
use headwater_protocols::quorum::kept::{self, KeepError, Kept};
use headwater_protocols::quorum::{BadName, Group, HistoryName};

use super::caller::Client;
use super::problem::ApiError;
use super::state::ApiState;
use super::stream_body::{BlockWriter, WriteError, written_by};
use super::work::blocking;
use crate::handle::HistoryClaim;
use crate::runtime::quorum_walk::WalkError;

pub(super) use import::{__path_import, import};
pub(super) use view::unsigned_view;
pub(super) use walk::{__path_walk, walk};

/// `GET /v1/unsigned`.
#[utoipa::path(get, path = "/v1/unsigned", tag = "unsigned", summary = "The histories that nobody signed",
    responses((status = 200, description = "All of them, by no particular order", body = [UnsignedView]), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn list(
    State(state): State<ApiState>,
) -> Result<Json<Vec<UnsignedView>>, ApiError> {
    let store = state.node().store().clone();
    let mut all = blocking(move || Ok(kept::list(&*store)?)).await?;
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Json(all.iter().map(unsigned_view).collect()))
}

/// `GET /v1/unsigned/{name}`.
#[utoipa::path(get, path = "/v1/unsigned/{name}", tag = "unsigned", summary = "A history that nobody signed",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "What there is of it", body = UnsignedView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn show(
    State(state): State<ApiState>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<UnsignedView>, ApiError> {
    Ok(Json(unsigned_view(&found(&state, name_of(name)?).await?)))
}

/// `DELETE /v1/unsigned/{name}`.
#[utoipa::path(delete, path = "/v1/unsigned/{name}", tag = "unsigned", summary = "Delete a history that nobody signed",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "It is gone; this is what it was", body = UnsignedView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
    security(("token" = [])),
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<UnsignedView>, ApiError> {
    let name = name_of(name)?;
    let claim = claim(&state, &name)?;
    let store = state.node().store().clone();
    let deleted = blocking(move || {
        let _claim = claim;
        Ok(kept::delete(&*store, &name)?)
    });
    Ok(Json(unsigned_view(&deleted.await?)))
}

/// `GET /v1/unsigned/{name}/observations`: from the beginning, each marked.
#[utoipa::path(get, path = "/v1/unsigned/{name}/observations", tag = "unsigned", summary = "The observations of a history that nobody signed, the earliest first",
    params(("name" = String, Path, description = "Its name"), UnsignedQuery),
    responses((status = 200, description = "Every one says that it is unsigned", content((String = "text/csv"), (String = "application/x-ndjson"))), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn observations(
    State(state): State<ApiState>,
    name: Result<Path<String>, PathRejection>,
    options: Result<Query<UnsignedQuery>, QueryRejection>,
    client: Client,
) -> Result<Response, ApiError> {
    let kept = found(&state, name_of(name)?).await?;
    let Query(UnsignedQuery { format }) = options?;
    let format = format.unwrap_or(TextFormat::Csv);
    let place = state.place(&client, 1).await?;
    let store = state.node().store().clone();
    let id = kept.name.id();
    let body = written_by(place, move |out| {
        if let TextFormat::Csv = format {
            out.write_all(b"time,value,unsigned\n")?;
        }
        kept::visit_from_beginning(&*store, id, |group| write(out, format, group))
    });
    let kind = match format {
        TextFormat::Csv => HeaderValue::from_static("text/csv; charset=utf-8"),
        TextFormat::Ndjson => HeaderValue::from_static("application/x-ndjson"),
    };
    Ok(([(header::CONTENT_TYPE, kind)], body.await?).into_response())
}

impl From<headwater_protocols::store::StoreError> for WriteError {
    fn from(error: headwater_protocols::store::StoreError) -> Self {
        Self::Failed(error.into())
    }
}

fn write(out: &mut BlockWriter, format: TextFormat, group: &Group) -> Result<(), WriteError> {
    let time = to_text(group.time);
    for value in &group.values {
        let value = String::from_utf8_lossy(value);
        match format {
            TextFormat::Csv => {
                let mut line = csv::WriterBuilder::new().from_writer(Vec::new());
                let written = line.write_record([&*time, &*value, "true"]);
                written.map_err(std::io::Error::other)?;
                let line = line.into_inner().map_err(|_| WriteError::Gone)?;
                out.write_all(&line)?;
            }
            TextFormat::Ndjson => {
                // What nobody described has no type: a text says it as it is.
                let row = serde_json::json!({"time": time, "value": value, "unsigned": true});
                writeln!(out, "{row}")?;
            }
        }
    }
    Ok(())
}

fn name_of(name: Result<Path<String>, PathRejection>) -> Result<HistoryName, ApiError> {
    let Path(name) = name?;
    Ok(HistoryName::new(&name)?)
}

async fn found(state: &ApiState, name: HistoryName) -> Result<Kept, ApiError> {
    let store = state.node().store().clone();
    blocking(move || {
        let kept = kept::find(&*store, name.id())?;
        Ok(kept.ok_or_else(|| KeepError::Unknown(name.to_string()))?)
    })
    .await
}

/// Keeps others from a history that is about to be changed.
fn claim(state: &ApiState, name: &HistoryName) -> Result<HistoryClaim, ApiError> {
    let claim = state.node().claim_history(name.id(), false);
    Ok(claim.ok_or(WalkError::InUse)?)
}

impl From<BadName> for ApiError {
    fn from(error: BadName) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<KeepError> for ApiError {
    fn from(error: KeepError) -> Self {
        let status = match error {
            KeepError::Exists(_) => StatusCode::CONFLICT,
            KeepError::OtherBound { ref name, before } => {
                let detail = format!(
                    "the unsigned history `{name}` was begun with what lies before {}; leave out the time to go on \
                     with it, or delete it first",
                    to_text(before)
                );
                return Self::new(StatusCode::CONFLICT, detail);
            }
            KeepError::Unknown(_) => StatusCode::NOT_FOUND,
            KeepError::Flaw { time, flaw } => {
                let time = to_text(time);
                return Self::bad_request(format!(
                    "the observations at {time} cannot be kept: {flaw}; nothing was stored"
                ));
            }
            KeepError::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            KeepError::TooMany => StatusCode::INSUFFICIENT_STORAGE,
            KeepError::Store(error) => return error.into(),
        };
        Self::new(status, error.to_string())
    }
}

impl From<WalkError> for ApiError {
    fn from(error: WalkError) -> Self {
        let detail = error.to_string();
        match error {
            WalkError::NoNetwork | WalkError::InUse => Self::new(StatusCode::CONFLICT, detail),
            WalkError::NoRoom => Self::new(StatusCode::INSUFFICIENT_STORAGE, detail),
            WalkError::Stopping => Self::busy(detail),
            WalkError::Keep(error) => error.into(),
            WalkError::Failed(_) => Self::internal(detail),
        }
    }
}
