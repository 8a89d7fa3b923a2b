//! Heads and proofs of a stream.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use data_encoding::BASE64;
use headwater_client::proof::{self, NoProof};
use headwater_client::query::{ConsistencyQuery, ExportProofQuery};
use headwater_client::times::text::to_text;
use headwater_client::types::{
    ConsistencyProof, ExportProof, HeadView, HeadsView, InclusionProof, KnownHead, Problem,
};
use headwater_protocols::engine::{LogStatus, past_heads};
use headwater_protocols::head::SignedHead;
use headwater_protocols::head::checkpoint::verifier_key;
use headwater_protocols::manifest::SignedManifest;
use headwater_reading::Selection;
use headwater_reading::extent::{kept, require_kept, require_readable, require_undisputed};

use super::bounds::require_rising;
use super::caller::Client;
use super::problem::ApiError;
use super::state::{ApiState, not_come_yet};

/// `GET /v1/streams/{id}/head`.
#[utoipa::path(get, path = "/v1/streams/{id}/head", tag = "proofs", summary = "The signed head",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite")),
    responses((status = 200, description = "The head", body = HeadView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn head(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<HeadView>, ApiError> {
    let status = state.stream(&id?)?;
    let (manifest, head) = signed(&status)?;
    Ok(Json(HeadView {
        stream: status.log.to_string(),
        publisher: BASE64.encode(&manifest.publisher.to_bytes()),
        size: head.size,
        root: head.root.to_string(),
        time: to_text(head.time),
        closed: head.closing.is_some(),
        successor: (head.closing)
            .and_then(|closing| closing.successor)
            .map(|log| log.to_string()),
        disputed_from: status.disputed_from,
        checkpoint: head.note(&manifest.publisher),
        verifier_key: verifier_key(status.log, &manifest.publisher),
        head_signature: BASE64.encode(head.signature()),
        manifest: BASE64.encode(manifest.bytes()),
        manifest_signature: BASE64.encode(manifest.signature()),
    }))
}

/// `GET /v1/streams/{id}/checkpoint`: the signed head as tools of transparency logs
/// read it.
#[utoipa::path(get, path = "/v1/streams/{id}/checkpoint", tag = "proofs", summary = "The signed head as a C2SP checkpoint",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite")),
    responses((status = 200, description = "A signed note (c2sp.org/tlog-checkpoint); the key to open it is `verifier_key` of /head", body = String, content_type = "text/plain; charset=utf-8"), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn checkpoint(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<String, ApiError> {
    let status = state.stream(&id?)?;
    let (manifest, head) = signed(&status)?;
    Ok(head.note(&manifest.publisher))
}

/// `GET /v1/streams/{id}/heads`: the heads of a stream that are known here.
#[utoipa::path(get, path = "/v1/streams/{id}/heads", tag = "proofs", summary = "The signed heads that this node knows",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite")),
    responses((status = 200, description = "The largest first; earlier ones are kept of streams with a recovery key alone", body = HeadsView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn heads(
    State(state): State<ApiState>,
    client: Client,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<HeadsView>, ApiError> {
    let status = state.stream(&id?)?;
    let look = state.look_through(&client, status, move |records, _| {
        let (status, history) = (records.status(), records.history());
        let (manifest, head) = signed(status)?;
        let (log, owner) = (status.log, &manifest.publisher);
        let mut known = past_heads(history.store(), history.key().number, log, owner)?;
        known.extend(
            status
                .fork
                .iter()
                .flat_map(|fork| [fork.smaller.clone(), fork.larger.clone()]),
        );
        known.push(head.clone());
        known.extend((status.head.as_ref()).and_then(|head| head.signed().cloned()));
        known.sort_by_key(|head| (head.size, head.time));
        known.dedup_by(|one, other| *one == *other);
        let heads = known.iter().rev().map(|head| KnownHead {
            size: head.size,
            root: head.root.to_string(),
            time: to_text(head.time),
            checkpoint: head.note(owner),
        });
        Ok(HeadsView {
            stream: log.to_string(),
            publisher: BASE64.encode(&owner.to_bytes()),
            verifier_key: verifier_key(log, owner),
            heads: heads.collect(),
        })
    });
    look.await.map(Json)
}

/// The head of a stream that counts, as others can check it.
fn signed(status: &LogStatus) -> Result<(&SignedManifest, &SignedHead), ApiError> {
    let (Some(manifest), Some(_)) = (&status.manifest, &status.head) else {
        return Err(not_come_yet(status));
    };
    Ok((manifest, status.counted_head().ok_or(NoProof::Early)?))
}

/// `GET /v1/streams/{id}/proof/{index}`: the proof file of a record.
#[utoipa::path(get, path = "/v1/streams/{id}/proof/{index}", tag = "proofs", summary = "A proof that an observation is in the stream",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite"), ("index" = u64, Path, description = "Its place")),
    responses((status = 200, description = "The proof", body = InclusionProof), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn inclusion(
    State(state): State<ApiState>,
    client: Client,
    place: Result<Path<(String, u64)>, PathRejection>,
) -> Result<Json<InclusionProof>, ApiError> {
    let Path((id, index)) = place?;
    let status = state.stream(&id)?;
    require_readable(&status)?;
    let prove = state.look_through(&client, status, move |records, _| {
        let status = records.status();
        require_kept(status, index)?;
        Ok(proof::prove_inclusion(status, records.history(), index)?)
    });
    prove.await.map(Json)
}

/// `GET /v1/streams/{id}/consistency?first=&second=`.
#[utoipa::path(get, path = "/v1/streams/{id}/consistency", tag = "proofs", summary = "A proof that a stream only grew",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite"), ConsistencyQuery),
    responses((status = 200, description = "The proof", body = ConsistencyProof), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn consistency(
    State(state): State<ApiState>,
    client: Client,
    id: Result<Path<String>, PathRejection>,
    sizes: Result<Query<ConsistencyQuery>, QueryRejection>,
) -> Result<Json<ConsistencyProof>, ApiError> {
    let status = state.stream(&id?)?;
    let Query(ConsistencyQuery { first, second }) = sizes?;
    let prove = state.look_through(&client, status, move |records, _| {
        let status = records.status();
        let usable = status.head.as_ref().map(|_| status.usable_size());
        let second = second.or(usable).unwrap_or(first);
        Ok(proof::prove_consistency(
            status,
            records.history(),
            first,
            second,
        )?)
    });
    prove.await.map(Json)
}

/// `GET /v1/streams/{id}/export-proof?from=&to=`: what stands beside a CSV
/// file that is to be verified.
#[utoipa::path(get, path = "/v1/streams/{id}/export-proof", tag = "proofs", summary = "What stands beside an exported CSV file",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite"), ExportProofQuery),
    responses((status = 200, description = "The proof", body = ExportProof), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn export(
    State(state): State<ApiState>,
    client: Client,
    id: Result<Path<String>, PathRejection>,
    range: Result<Query<ExportProofQuery>, QueryRejection>,
) -> Result<Json<ExportProof>, ApiError> {
    let status = state.stream(&id?)?;
    require_readable(&status)?;
    let Query(ExportProofQuery { from, to }) = range?;
    let prove = state.look_through(&client, status, move |records, _| {
        let status = records.status();
        let size = status.head.as_ref().map_or(0, |head| head.size);
        let from = from.unwrap_or(0);
        require_rising(from, to)?;
        let asked = Selection::indexes(from, to.unwrap_or(u64::MAX));
        require_undisputed(status, &asked)?;
        let to = to.unwrap_or(status.usable_size()).min(size);
        let Selection { from, to, .. } = kept(status, Selection::indexes(from, to), size)?;
        let from = from.min(to);
        Ok(proof::prove_export(status, records.history(), from, to)?)
    });
    prove.await.map(Json)
}
