//! The node and its peers at a glance.

use std::fs;
use std::path::Path;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use headwater_client::times::text::to_text;
use headwater_client::types::{
    BootstrapView, Health, NodeView, PeerView, Problem, Ready, SeverityView, TroubleView,
};

use super::problem::ApiError;
use super::state::ApiState;
use super::view::{max_disk_view, nat_view, peer_view};
use super::work::blocking;
use crate::handle::{BootstrapStatus, Node, Severity};
use crate::net::addresses::best_first;

/// `GET /health`.
#[utoipa::path(get, path = "/health", tag = "node", summary = "Whether the node answers and can do its work",
    responses((status = 200, description = "It does", body = Health), (status = 503, description = "It cannot do its work, or a part of it; `troubles` says why. They end by themselves when their causes end: starting the node anew does not help", body = Health), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn health(
    State(state): State<ApiState>,
) -> Result<(StatusCode, Json<Health>), ApiError> {
    if state.stopping().is_cancelled() {
        return Err(ApiError::busy("the node is stopping"));
    }
    let mut troubles = trouble_views(state.node());
    troubles.retain(|trouble| trouble.severity == SeverityView::Failure);
    let (code, status) = match troubles.is_empty() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
    };
    let health = Health {
        status: status.to_owned(),
        peer_id: state.node().local_peer().to_string(),
        troubles,
    };
    Ok((code, Json(health)))
}

/// `GET /ready`.
#[utoipa::path(get, path = "/ready", tag = "node", summary = "Whether the node can be given work",
    description = "It can when it listens for peers, its store can be written, nothing else keeps it from its work (see `/health`), and one of its bootstrap nodes is connected, if it has any.",
    responses((status = 200, description = "It can", body = Ready), (status = 503, description = "Not yet, or not now; `reasons` says why", body = Ready), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn ready(State(state): State<ApiState>) -> (StatusCode, Json<Ready>) {
    let node = state.node();
    let mut reasons = Vec::new();
    if state.stopping().is_cancelled() {
        reasons.push("the node is stopping".to_owned());
    }
    if node.addresses().is_empty() {
        reasons.push("the node listens nowhere".to_owned());
    }
    let troubles = node.troubles().into_iter();
    let failures = troubles.filter(|trouble| trouble.severity == Severity::Failure);
    reasons.extend(failures.map(|trouble| trouble.what));
    let bootstrap = node.bootstrap();
    if bootstrap.known > 0 && bootstrap.connected == 0 {
        let known = bootstrap.known;
        reasons.push(format!("none of {known} bootstrap nodes is connected"));
    }
    let code = match reasons.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let ready = reasons.is_empty();
    (code, Json(Ready { ready, reasons }))
}

fn trouble_views(node: &Node) -> Vec<TroubleView> {
    let troubles = node.troubles().into_iter();
    (troubles.map(|trouble| TroubleView {
        name: trouble.name,
        severity: match trouble.severity {
            Severity::Warning => SeverityView::Warning,
            Severity::Failure => SeverityView::Failure,
        },
        since: to_text(trouble.since),
        what: trouble.what,
        advice: trouble.advice,
    }))
    .collect()
}

/// `GET /v1/node`.
#[utoipa::path(get, path = "/v1/node", tag = "node", summary = "The node at a glance",
    responses((status = 200, description = "The node", body = NodeView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn node(State(state): State<ApiState>) -> Result<Json<NodeView>, ApiError> {
    let data_dir = state.data_dir();
    let disk_bytes = blocking(move || Ok(data_dir.map_or(0, |dir| folder_bytes(&dir)))).await?;
    let node = state.node();
    Ok(Json(NodeView {
        peer_id: node.local_peer().to_string(),
        addresses: (best_first(&node.addresses()).iter())
            .map(ToString::to_string)
            .collect(),
        roles: state.roles().to_vec(),
        private_network: state.private_network().map(str::to_owned),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        connections: node.peers().len(),
        bootstrap: bootstrap_view(node.bootstrap()),
        streams: node.streams().len(),
        disk_bytes,
        max_disk: node.disk().map(max_disk_view),
        uptime_s: state.started().elapsed().as_secs(),
        nat: nat_view(&node.nat()),
        counters: (node.counters().named().into_iter())
            .map(|(name, count)| (name.to_owned(), count))
            .collect(),
        troubles: trouble_views(node),
    }))
}

fn bootstrap_view(status: BootstrapStatus) -> BootstrapView {
    BootstrapView {
        known: status.known,
        connected: status.connected,
        silent: status.is_silent(),
        key_in_doubt: status.key_in_doubt,
        last_error: status.last_error,
    }
}

/// `GET /v1/peers`.
#[utoipa::path(get, path = "/v1/peers", tag = "node", summary = "Peers that are connected",
    responses((status = 200, description = "The peers", body = [PeerView]), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn peers(State(state): State<ApiState>) -> Json<Vec<PeerView>> {
    let known = state.node().streams();
    let peers = state.node().peers();
    Json(peers.iter().map(|peer| peer_view(peer, &known)).collect())
}

/// Bytes of the files in a folder. Files that vanish meanwhile do not count:
/// the store removes some at any time.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_folder_are_those_of_all_files_in_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("inner")).unwrap();
        fs::write(dir.path().join("a"), [0; 10]).unwrap();
        fs::write(dir.path().join("inner/b"), [0; 5]).unwrap();
        assert_eq!(folder_bytes(dir.path()), 15);
        assert_eq!(folder_bytes(&dir.path().join("absent")), 0);
    }
}
