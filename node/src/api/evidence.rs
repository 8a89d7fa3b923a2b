//! Streams whose publisher signed two histories.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use headwater_client::proof;
use headwater_client::times::text::to_text;
use headwater_client::types::{EvidenceFile, EvidenceView, Problem};
use headwater_protocols::engine::LogStatus;

use super::problem::ApiError;
use super::state::ApiState;

/// `GET /v1/evidence`: what is known of all streams.
#[utoipa::path(get, path = "/v1/evidence", tag = "proofs", summary = "Streams whose publishers signed two histories",
    responses((status = 200, description = "The streams", body = [EvidenceView]), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn list(State(state): State<ApiState>) -> Json<Vec<EvidenceView>> {
    let known = state.node().streams();
    Json(known.iter().filter_map(|status| view(status)).collect())
}

/// `GET /v1/evidence/{stream}`: the evidence file.
#[utoipa::path(get, path = "/v1/evidence/{stream}", tag = "proofs", summary = "The evidence that a publisher signed two histories",
    params(("stream" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite")),
    responses((status = 200, description = "The evidence file", body = EvidenceFile), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn show(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<EvidenceFile>, ApiError> {
    let status = state.stream(&id?)?;
    let none = || {
        let text = format!(
            "there is no evidence against the publisher of stream {}",
            status.log
        );
        ApiError::new(StatusCode::NOT_FOUND, text)
    };
    proof::evidence(&status).map(Json).ok_or_else(none)
}

fn view(status: &LogStatus) -> Option<EvidenceView> {
    let (manifest, fork) = (status.manifest.as_ref()?, status.fork.as_ref()?);
    Some(EvidenceView {
        stream: status.log.to_string(),
        name: manifest.name.clone(),
        publisher: manifest.publisher.peer_id().to_string(),
        first_size: fork.smaller.size,
        first_root: fork.smaller.root.to_string(),
        first_time: to_text(fork.smaller.time),
        second_size: fork.larger.size,
        second_root: fork.larger.root.to_string(),
        second_time: to_text(fork.larger.time),
        common_size: proof::common_size(fork),
        disputed_from: status.usable_size(),
    })
}
