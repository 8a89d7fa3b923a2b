//! `POST /v1/streams/{id}/fetch`: records that somebody wants before the rest of
//! a history that is still coming in.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use headwater_client::query::FetchQuery;
use headwater_client::times::Bound;
use headwater_client::types::{FetchView, Problem};
use headwater_protocols::engine::{Command, CommandError, LogStatus};
use headwater_protocols::ranges::Interval;
use headwater_protocols::sync::retrieval::{Found, Retrieval};
use headwater_protocols::time::Timestamp;

use super::bounds::Range;
use super::problem::ApiError;
use super::retrieve::{ask, unexpected};
use super::state::ApiState;
use crate::handle::wall_time;

/// Has these records fetched before all others, and answers at once.
#[utoipa::path(post, path = "/v1/streams/{id}/fetch", tag = "streams", summary = "Fetch some records of a followed stream before the rest",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite"), FetchQuery),
    responses((status = 200, description = "Which records these are", body = FetchView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
    security(("token" = [])),
)]
pub(super) async fn fetch(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    options: Result<Query<FetchQuery>, QueryRejection>,
) -> Result<Json<FetchView>, ApiError> {
    let status = state.stream(&id?)?;
    let Query(options) = options?;
    // Before a head has come, nothing is known of what there is.
    let size = status
        .head
        .as_ref()
        .map_or(u64::MAX, |_| status.usable_size());
    let begin = status.begin;
    let range = Range {
        from: options.from.as_deref(),
        to: options.to.as_deref(),
        unit: options.time_unit,
        now: wall_time(),
    };
    let (from, to) = range.bounds(size)?;
    let from = place(&state, &status, from, begin).await?;
    let to = place(&state, &status, to, size).await?;
    if from < to && to <= begin {
        return Err(CommandError::Dropped { index: from, begin }.into());
    }
    // What was dropped or is disputed is not fetched, and what is not there yet
    // comes live.
    let to = to.min(size);
    let wish = Interval {
        from: from.max(begin).min(to),
        to,
    };
    let command = Command::FetchFirst(status.log, wish);
    state.node().ask(command.done()).await?;
    Ok(Json(FetchView {
        from: wish.from,
        to: wish.to,
    }))
}

/// The index that a bound means: of a time, the one behind the last record
/// before it.
async fn place(
    state: &ApiState,
    status: &LogStatus,
    bound: Option<Bound>,
    default: u64,
) -> Result<u64, ApiError> {
    let time = match bound {
        None => return Ok(default),
        Some(Bound::Index(index)) => return Ok(index),
        Some(Bound::Time(time)) => time,
    };
    let before = Timestamp(time.0.saturating_sub(1));
    match ask(state, Retrieval::Time(status.log, before)).await? {
        Found::Record { index, .. } => Ok(index + 1),
        Found::Nothing(_) => Ok(0),
        found @ Found::Chunk(_) => Err(unexpected(&found)),
    }
}
