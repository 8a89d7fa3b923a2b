//! `POST /v1/unsigned/{name}/walk`: a history is taken from peers while the
//! answer is read, and where it got to is said with every round.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use headwater_client::query::WalkQuery;
use headwater_client::types::{Problem, WalkNews};
use headwater_protocols::quorum::Outcome;

use super::super::bounds::instant;
use super::super::limits::{MAX_WALK_DEADLINE, WALK_DEADLINE};
use super::super::live::UNBUFFERED;
use super::super::problem::ApiError;
use super::super::state::ApiState;
use super::name_of;
use super::view::{report_view, unsigned_view};
use crate::handle::wall_time;
use crate::runtime::quorum_walk::{QuorumWalk, Step};

/// Ends when peers agree that there is nothing more, when they do not agree, or
/// when nobody reads on; it can be taken up again.
#[utoipa::path(post, path = "/v1/unsigned/{name}/walk", tag = "unsigned", summary = "Take a history that nobody signed from peers, by quorum, or go on with it",
    params(("name" = String, Path, description = "Its name, by which peers know it"), WalkQuery),
    responses((status = 200, description = "A line after every round of questions", body = WalkNews, content_type = "application/x-ndjson"), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
    security(("token" = [])),
)]
pub(in crate::api) async fn walk(
    State(state): State<ApiState>,
    name: Result<Path<String>, PathRejection>,
    options: Result<Query<WalkQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let name = name_of(name)?;
    let Query(options) = options?;
    let before = options.before.as_deref();
    let before = before.map(|text| instant("before", text, options.time_unit, wall_time()));
    let before = before.transpose()?;
    let deadline = options.deadline_ms.map(Duration::from_millis);
    let deadline = deadline.unwrap_or(WALK_DEADLINE);
    if deadline.is_zero() || deadline > MAX_WALK_DEADLINE {
        let most = MAX_WALK_DEADLINE.as_millis();
        let text = format!("deadline_ms must be 1 to {most}");
        return Err(ApiError::bad_request(text));
    }
    let node = state.node().clone();
    let walk = QuorumWalk::begin(node, name, before, deadline).await?;
    let stopping = state.stopping().clone().cancelled_owned();
    let news = futures::stream::unfold(Some(walk), next);
    // Compression asks once more after the end.
    let news = news.take_until(stopping).fuse();
    let about = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (UNBUFFERED, "no"),
    ];
    Ok((about, Body::from_stream(news)).into_response())
}

type Line = (io::Result<Bytes>, Option<QuorumWalk>);

async fn next(walk: Option<QuorumWalk>) -> Option<Line> {
    let mut walk = walk?;
    let step = walk.step().await;
    let mut news = WalkNews {
        history: unsigned_view(walk.kept()),
        stopped: None,
        error: None,
    };
    let rest = match step {
        Ok(Step::Stored) => Some(walk),
        Ok(Step::Ended(Outcome::Complete)) => None,
        Ok(Step::Ended(Outcome::Stopped(report))) => {
            news.stopped = Some(report_view(&report));
            None
        }
        Err(error) => {
            tracing::warn!(%error, "a history cannot be taken from peers");
            news.error = Some(error.to_string());
            None
        }
    };
    let line = serde_json::to_vec(&news).map_err(io::Error::other);
    let line = line.map(|mut line| {
        line.push(b'\n');
        line.into()
    });
    Some((line, rest))
}
