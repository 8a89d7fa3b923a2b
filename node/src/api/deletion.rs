//! Streams deleted.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use headwater_client::query::DeleteQuery;
use headwater_client::types::{DeletedStream, Problem};
use headwater_protocols::engine::{Command, CommandError};
use headwater_protocols::id::LogId;
use headwater_protocols::store::StoreError;
use tokio::time::{Instant, sleep};

use super::problem::ApiError;
use super::resolve::Meaning;
use super::state::ApiState;
use super::work::blocking;
use crate::handle::{Node, NodeError};

/// How long a deletion waits on a full disk until the store was opened anew, with
/// the room that is kept back for it.
const RESERVE_WAIT: Duration = Duration::from_secs(10);
const RESERVE_POLL: Duration = Duration::from_millis(250);

/// Has the engine forget a stream. On a full disk the first attempt may fail, and
/// nothing of it is written then.
async fn forget(node: &Node, log: LogId, own: bool) -> Result<(), NodeError> {
    let since = Instant::now();
    loop {
        match node.ask(Command::Delete { log, own }.done()).await {
            Err(NodeError::Command(CommandError::Store(StoreError::Full(_))))
                if since.elapsed() < RESERVE_WAIT =>
            {
                sleep(RESERVE_POLL).await;
            }
            done => return done,
        }
    }
}

/// `DELETE /v1/streams/{id}`.
#[utoipa::path(delete, path = "/v1/streams/{id}", tag = "streams", summary = "Forget a stream and delete what is held of it",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite"), DeleteQuery),
    responses((status = 200, description = "It is gone; the disk gives back its room soon", body = DeletedStream), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
    security(("token" = [])),
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    options: Result<Query<DeleteQuery>, QueryRejection>,
) -> Result<Json<DeletedStream>, ApiError> {
    let Query(DeleteQuery { own }) = options?;
    let meaning = match own {
        true => Meaning::Own,
        false => Meaning::OnlyOne,
    };
    let status = state.stream_meant(&id?, meaning)?;
    let log = status.log;
    forget(state.node(), log, own).await?;
    forget_alias(&state, log).await?;
    state.spools().forget(log);
    tracing::info!(stream = %log, "deleted");
    Ok(Json(DeletedStream {
        id: log.to_string(),
        held_records: status.held_records,
    }))
}

/// What is gone needs no other name.
async fn forget_alias(state: &ApiState, log: LogId) -> Result<(), ApiError> {
    let state = state.clone();
    blocking(move || {
        let forgotten = state.aliases().set(log, None);
        if let Err(error) = forgotten {
            tracing::warn!(stream = %log, "its alias stays: {error:#}");
        }
        Ok(())
    })
    .await
}
