//! Streams searched for among connected peers.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use headwater_client::query::DiscoverQuery;
use headwater_client::times::text::to_text;
use headwater_client::types::{DiscoveryView, FoundStreamView, Problem};
use headwater_protocols::engine::{Command, FoundStream};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use super::elsewhere::PeersMayBeAsked;
use super::problem::ApiError;
use super::state::ApiState;
use super::view::{age_ms, invite_to};
use crate::handle::{PeerStatus, wall_time};

/// `GET /v1/discover`.
#[utoipa::path(get, path = "/v1/discover", tag = "streams", summary = "Search the public streams that connected peers know",
    params(DiscoverQuery),
    responses((status = 200, description = "What was found within 3 s", body = DiscoveryView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn discover(
    State(state): State<ApiState>,
    may_ask: PeersMayBeAsked,
    options: Result<Query<DiscoverQuery>, QueryRejection>,
) -> Result<Json<DiscoveryView>, ApiError> {
    may_ask.require()?;
    let Query(DiscoverQuery { q }) = options?;
    let found = state.node().ask(Command::discover(q)).await?;
    let peers = state.node().peers();
    let own = state.node().addresses();
    let view = |stream: &FoundStream| found_view(stream, &peers, &own);
    Ok(Json(DiscoveryView {
        streams: found.streams.iter().map(view).collect(),
        asked: found.asked,
        answered: found.answered,
    }))
}

fn found_view(stream: &FoundStream, peers: &[PeerStatus], own: &[Multiaddr]) -> FoundStreamView {
    let manifest = &stream.manifest;
    let log = manifest.stream();
    let head = stream.head.as_deref();
    let mut addresses: Vec<Multiaddr> = (peers.iter())
        .filter(|peer| stream.peers.contains(&peer.peer))
        .flat_map(dialled)
        .collect();
    if stream.is_known {
        addresses.extend_from_slice(own);
    }
    FoundStreamView {
        id: log.to_string(),
        name: manifest.name.clone(),
        description: manifest.description.clone(),
        source: manifest.source.clone(),
        unit: manifest.unit.clone(),
        value_type: manifest.value_type.into(),
        tags: manifest.tags.clone(),
        licence: Some(manifest.licence.clone()).filter(|licence| !licence.is_empty()),
        too_new: manifest.too_new().map(ToString::to_string),
        publisher: manifest.publisher.peer_id().to_string(),
        size: head.map_or(0, |head| head.size),
        head_time: head.map(|head| to_text(head.time)),
        head_age_ms: head.map(|head| age_ms(wall_time(), head.time)),
        peers: stream.peers.len(),
        known: stream.is_known,
        invite: invite_to(log, &addresses),
    }
}

/// Where a peer was dialled; the remote end of a connection that it made is of
/// no use to others.
fn dialled(peer: &PeerStatus) -> Vec<Multiaddr> {
    if peer.inbound {
        return Vec::new();
    }
    let with_id = |address: &Multiaddr| match address.iter().last() {
        Some(Protocol::P2p(_)) => address.clone(),
        _ => address.clone().with(Protocol::P2p(peer.peer)),
    };
    peer.addresses.iter().map(with_id).collect()
}
