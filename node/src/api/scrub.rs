//! `/v1/streams/{id}/scrub`: all that is held of a stream is read and hashed.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use headwater_client::times::text::to_text;
use headwater_client::types::{Problem, ScrubView};
use headwater_protocols::engine::LogStatus;

use super::problem::ApiError;
use super::state::ApiState;
use crate::handle::ScrubStatus;

/// Has everything read, unless that is under way, and answers at once.
#[utoipa::path(post, path = "/v1/streams/{id}/scrub", tag = "streams", summary = "Read and hash all that is held of a stream; what is damaged is fetched again from peers",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite")),
    responses((status = 202, description = "How far it has come", body = ScrubView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
    security(("token" = [])),
)]
pub(super) async fn begin(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<(StatusCode, Json<ScrubView>), ApiError> {
    let status = state.stream(&id?)?;
    if !state.node().begin_scrub(status.log) {
        return Err(ApiError::internal(
            "the thread that scrubs has ended".to_owned(),
        ));
    }
    let scrub = state.node().scrub(status.log).unwrap_or_default();
    Ok((StatusCode::ACCEPTED, Json(view(&status, scrub))))
}

/// How far the last one has come that was asked for since the node started.
#[utoipa::path(get, path = "/v1/streams/{id}/scrub", tag = "streams", summary = "How far reading and hashing a stream has come, and what was found",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite")),
    responses((status = 200, description = "How far it has come", body = ScrubView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn show(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ScrubView>, ApiError> {
    let status = state.stream(&id?)?;
    let scrub = state.node().scrub(status.log).ok_or_else(|| {
        let id = status.log;
        let text = format!(
            "stream {id} was not scrubbed since the node started; begin with: headwater scrub {id}"
        );
        ApiError::new(StatusCode::NOT_FOUND, text)
    })?;
    Ok(Json(view(&status, scrub)))
}

fn view(status: &LogStatus, scrub: ScrubStatus) -> ScrubView {
    ScrubView {
        id: status.log.to_string(),
        running: scrub.ended.is_none(),
        begun: to_text(scrub.begun),
        ended: scrub.ended.map(to_text),
        records: scrub.records,
        bytes: scrub.bytes,
        bad_records: scrub.bad_records,
        bad: scrub.bad,
        damaged_records: (status.damage.as_ref()).map_or(0, |damage| damage.records),
        sources: status.sources.iter().map(ToString::to_string).collect(),
    }
}
