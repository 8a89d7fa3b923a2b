//! Streams: listed, created, followed.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use headwater_client::base64;
use headwater_client::object;
use headwater_client::query::{ListQuery, ShowQuery};
use headwater_client::types::{
    Close, ItemProblem, Problem, Recover, Reopen, StreamPeerView, StreamView, Subscription,
};
use headwater_protocols::engine::{Command, LogStatus};
use headwater_protocols::id::LogId;
use headwater_protocols::wire::v1;
use headwater_reading::Records;
use libp2p::Multiaddr;
use prost::Message;
use serde::de::DeserializeOwned;

use super::caller::Client;
use super::limits::MAX_KNOWN_PEERS;
use super::new_name::{lookalikes, require_unlike};
use super::problem::{ApiError, require_a_possible_time};
use super::resolve::{Meaning, Names, Unresolved};
use super::state::ApiState;
use super::view::{StreamBytes, stream_peer_view, stream_view};
use super::waiting::Written;
use super::work::blocking;
use crate::handle::wall_time;
use crate::store::Patient;

type Id = Result<Path<String>, PathRejection>;
type Body = Result<Bytes, BytesRejection>;

/// What a list of ten thousand streams takes, as it is made and as it is written.
const LIST_MEBIBYTES: usize = 32;

/// `GET /v1/streams`.
#[utoipa::path(get, path = "/v1/streams", tag = "streams", summary = "Streams that are known here",
    params(ListQuery),
    responses((status = 200, description = "The streams", body = [StreamView]), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    client: Client,
    options: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(ListQuery { disk }) = options?;
    // Of ten thousand streams it is long.
    let _place = state.place(&client, LIST_MEBIBYTES).await?;
    let known = state.node().streams();
    let mut views = views(&state, known, disk).await?;
    let written = blocking(move || {
        views.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Written::json(&views)
    });
    written.await?.for_client(state.crowd(), &client)
}

/// `GET /v1/streams/{id}`.
#[utoipa::path(get, path = "/v1/streams/{id}", tag = "streams", summary = "A stream: manifest, head, what is held, invite",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite. A name means this node's own stream before those of others"), ShowQuery),
    responses((status = 200, description = "The stream", body = StreamView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn show(
    State(state): State<ApiState>,
    id: Id,
    options: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Json<StreamView>, ApiError> {
    let Query(ShowQuery { own }) = options?;
    let id = id?;
    let meaning = match own {
        true => Meaning::Own,
        false => Meaning::Reading,
    };
    let status = state.stream_meant(&id, meaning)?;
    let log = status.log;
    let Json(mut shown) = view(&state, status).await?;
    let known = state.node().streams();
    let aliases = state.aliases();
    let (known, aliases) = (&*known, &*aliases);
    let namesakes = Names { known, aliases }.namesakes(&id, log);
    shown.namesakes = namesakes.iter().map(LogId::to_string).collect();
    Ok(Json(shown))
}

/// `PUT /v1/streams/{id}/subscription`: the only route that takes the id of a
/// stream that is not known yet.
#[utoipa::path(put, path = "/v1/streams/{id}/subscription", tag = "streams", summary = "Follow a stream, which may be unknown here",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite")),
    request_body(content = Option<Subscription>),
    responses((status = 200, description = "The stream", body = StreamView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
    security(("token" = [])),
)]
pub(super) async fn follow(
    State(state): State<ApiState>,
    id: Id,
    body: Body,
) -> Result<Json<StreamView>, ApiError> {
    let Path(id) = id?;
    let log = match id.parse::<LogId>() {
        Ok(log) => log,
        Err(_) => to_be_followed(&state, &id)?,
    };
    follow_with(&state, log, subscription(&body?)?).await
}

fn to_be_followed(state: &ApiState, text: &str) -> Result<LogId, ApiError> {
    let known = state.node().streams();
    let aliases = state.aliases();
    let (known, aliases) = (&*known, &*aliases);
    let names = Names { known, aliases };
    match names.resolve(text, Meaning::Others) {
        Ok(log) | Err(Unresolved::Stranger { log, .. }) => Ok(log),
        Err(error) => Err(no_invite(error)),
    }
}

/// What is to be followed is known by what names it, not by being known here.
fn no_invite(error: Unresolved) -> ApiError {
    let Unresolved::Unknown { .. } = error else {
        return error.into();
    };
    let detail = format!(
        "{error}; a stream of others is followed by its whole id (bafkrei…, 59 characters) or by an \
         invite, which looks like headwater:bafkrei…?peer=/ip4/192.0.2.1/tcp/4600/p2p/12D3KooW… and \
         which `headwater show` prints on a node that has it"
    );
    ApiError::new(StatusCode::NOT_FOUND, detail.replace("?;", "?"))
}

/// `DELETE /v1/streams/{id}/subscription`.
#[utoipa::path(delete, path = "/v1/streams/{id}/subscription", tag = "streams", summary = "Follow a stream no longer; what is held stays",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite")),
    responses((status = 200, description = "The stream", body = StreamView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
    security(("token" = [])),
)]
pub(super) async fn unfollow(
    State(state): State<ApiState>,
    id: Id,
) -> Result<Json<StreamView>, ApiError> {
    let status = state.stream_meant(&id?, Meaning::Others)?;
    let log = status.log;
    if status.owned {
        let text = format!("this node publishes stream {log}, so it cannot unfollow it");
        return Err(ApiError::new(StatusCode::CONFLICT, text));
    }
    state.node().ask(Command::Unfollow(log).done()).await?;
    changed(&state, log).await
}

/// `POST /v1/streams/{id}/close`: ends a stream of this node's own for good.
#[utoipa::path(post, path = "/v1/streams/{id}/close", tag = "streams", summary = "Close a stream of this node's own for good",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite")), request_body = Close,
    responses((status = 200, description = "The stream; closed already with the same successor, it is as it was", body = StreamView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")), security(("token" = [])),
)]
pub(super) async fn close(
    State(state): State<ApiState>,
    id: Id,
    body: Body,
) -> Result<Json<StreamView>, ApiError> {
    let log = state.stream_meant(&id?, Meaning::Own)?.log;
    let body = body?;
    // What cannot be taken back is not done by a request that says nothing.
    if body.trim_ascii().is_empty() {
        return Err(ApiError::bad_request(format!(
            "closing stream {log} is for good, and the request says nothing; nothing was closed. Say {{}} to \
             close it, or {{\"successor\":\"bafkrei…\"}} with the id of the stream that continues it"
        )));
    }
    let how: Close = parse(&body)?;
    let successor = (how.successor).map(|id| {
        id.parse::<LogId>().map_err(|error| {
            ApiError::bad_request(format!(
                "`successor` must be the whole id of a stream: {error}"
            ))
        })
    });
    let successor = successor.transpose()?;
    require_a_possible_time()?;
    let command = Command::Close { log, successor };
    state.node().ask(command.done()).await?;
    changed(&state, log).await
}

/// `POST /v1/streams/{id}/recovery`: ends a stream in the word of its recovery key. What
/// was posted there before it meant that is still taken as `reopen`.
#[utoipa::path(post, path = "/v1/streams/{id}/recovery", tag = "streams", summary = "End a stream in the word of its recovery key",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite")), request_body = Recover,
    responses((status = 200, description = "The stream; said before, it is as it was", body = StreamView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")), security(("token" = [])),
)]
pub(super) async fn recover(
    State(state): State<ApiState>,
    id: Id,
    body: Body,
) -> Result<Json<StreamView>, ApiError> {
    let is_early = (body.as_ref())
        .is_ok_and(|body| body.trim_ascii().is_empty() || parse::<Reopen>(body).is_ok());
    if is_early {
        return reopen(State(state), id, body).await;
    }
    let log = state.stream_meant(&id?, Meaning::OnlyOne)?.log;
    let how: Recover = parse(&body?)?;
    let statement = base64::decode(how.statement.as_bytes()).ok();
    let statement = statement.and_then(|bytes| v1::SignedRecovery::decode(&bytes[..]).ok());
    let statement = statement.ok_or_else(|| {
        ApiError::bad_request("`statement` is not a SignedRecovery in base64 (docs/formats.md)")
    })?;
    let statement = Box::new(statement);
    let command = Command::Recover { log, statement };
    state.node().ask(command.done()).await?;
    changed(&state, log).await
}

/// `POST /v1/streams/{id}/reopen`: opens a stream of this node's own for
/// writing, once peers were asked or the user has decided.
#[utoipa::path(post, path = "/v1/streams/{id}/reopen", tag = "streams", summary = "Open a stream of this node's own for writing after it was restored",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite")), request_body = Reopen,
    responses((status = 200, description = "The stream", body = StreamView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")), security(("token" = [])),
)]
pub(super) async fn reopen(
    State(state): State<ApiState>,
    id: Id,
    body: Body,
) -> Result<Json<StreamView>, ApiError> {
    let status = state.stream_meant(&id?, Meaning::Own)?;
    let log = status.log;
    let body = body?;
    let how: Reopen = match body.trim_ascii().is_empty() {
        true => Reopen::default(),
        false => parse(&body)?,
    };
    let none_is_larger = how.none_is_larger;
    require_a_possible_time()?;
    if none_is_larger {
        require_loss_is_meant(&status, how.give_up)?;
    }
    let command = Command::Reopen {
        log,
        none_is_larger,
    };
    state.node().ask(command.done()).await?;
    changed(&state, log).await
}

/// Nobody but the mark knows of records that were signed here and are lost: who
/// opens the stream without them has to know how many they are.
fn require_loss_is_meant(status: &LogStatus, said: Option<u64>) -> Result<(), ApiError> {
    let mark = (status.reopening.as_ref()).and_then(|reopening| reopening.mark);
    let here = status.head.as_ref().map_or(0, |head| head.size);
    let lost = mark.map_or(0, |mark| mark.size.saturating_sub(here));
    let (log, said) = (status.log, said.unwrap_or(0));
    if lost == said {
        return Ok(());
    }
    let detail = match lost {
        0 => format!(
            "nothing of stream {log} that this node has signed is missing here, so that there is nothing to give up; leave \
             give_up off"
        ),
        lost => format!(
            "this node has signed {lost} more records of stream {log} than the {here} that are here: to open it without them \
             is to give them up, and forks it for ever if anybody has them; wait for a peer that has them, or say \
             \"give_up\":{lost}, too"
        ),
    };
    Err(ApiError::new(StatusCode::CONFLICT, detail))
}

/// `GET /v1/streams/{id}/peers`: who has it or follows it, publisher first.
#[utoipa::path(get, path = "/v1/streams/{id}/peers", tag = "streams", summary = "Who has a stream or follows it, its publisher first",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite")),
    responses((status = 200, description = "The peers", body = [StreamPeerView]), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn peers(
    State(state): State<ApiState>,
    id: Id,
) -> Result<Json<Vec<StreamPeerView>>, ApiError> {
    let status = state.stream(&id?)?;
    let peers = state.node().stream_peers(status.log).await;
    Ok(Json(peers.iter().map(stream_peer_view).collect()))
}

/// `POST /v1/streams/{id}/peers`: more peers of a stream that is followed.
#[utoipa::path(post, path = "/v1/streams/{id}/peers", tag = "streams", summary = "More peers of a stream that is followed",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite")),
    request_body(content = Subscription),
    responses((status = 200, description = "The stream", body = StreamView), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
    security(("token" = [])),
)]
pub(super) async fn add_peers(
    State(state): State<ApiState>,
    id: Id,
    body: Body,
) -> Result<Json<StreamView>, ApiError> {
    let status = state.stream(&id?)?;
    if !status.followed {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            format!("stream {} is not followed; follow it first", status.log),
        ));
    }
    let mut subscription = subscription(&body?)?;
    // More peers change nothing of the order.
    subscription.newest_first |= status.newest_first;
    follow_with(&state, status.log, subscription).await
}

async fn follow_with(
    state: &ApiState,
    log: LogId,
    subscription: Subscription,
) -> Result<Json<StreamView>, ApiError> {
    let addresses = addresses(&subscription.peers)?;
    let alias = subscription.alias.as_deref();
    // Until the name is written down nobody else gets it.
    let _naming = match alias {
        Some(alias) => {
            let naming = state.naming().await;
            require_free_alias(state, log, alias)?;
            Some(naming)
        }
        None => None,
    };
    let command = Command::Follow {
        log,
        peers: subscription.peers,
        newest_first: subscription.newest_first,
    };
    state.node().ask(command.done()).await?;
    for address in addresses {
        state.node().keep_dialled(address);
    }
    if let Some(alias) = subscription.alias {
        set_alias(state, log, alias).await?;
    }
    changed(state, log).await
}

/// A name of this node's own stays what it is, and so does another alias.
fn require_free_alias(state: &ApiState, log: LogId, alias: &str) -> Result<(), ApiError> {
    if alias.is_empty() {
        return Ok(());
    }
    let known = state.node().streams();
    let aliases = state.aliases();
    let (known, aliases) = (&*known, &*aliases);
    let names = Names { known, aliases };
    require_unlike(names, alias, Some(log))?;
    let conflict = |text: String| Err(ApiError::new(StatusCode::CONFLICT, text));
    if known.iter().any(|status| status.owned && status.log == log) {
        return conflict(format!(
            "this node publishes stream {log}, whose name is what it is called; only streams of others \
             have aliases"
        ));
    }
    if let Some(own) = names.own(alias) {
        return conflict(format!(
            "this node has a stream `{alias}` of its own, {}; take another alias",
            own.log
        ));
    }
    let other = aliases.stream(alias).filter(|&other| other != log);
    match other.filter(|other| known.iter().any(|status| status.log == *other)) {
        Some(other) => conflict(format!(
            "`{alias}` is what this node calls stream {other}; take another alias, or give that one \
             another"
        )),
        None => Ok(()),
    }
}

/// An empty one takes it away.
async fn set_alias(state: &ApiState, log: LogId, alias: String) -> Result<(), ApiError> {
    let state = state.clone();
    blocking(move || {
        let alias = Some(alias.as_str()).filter(|alias| !alias.is_empty());
        let failed = |error: anyhow::Error| ApiError::internal(format!("{error:#}"));
        state.aliases().set(log, alias).map_err(failed)
    })
    .await
}

/// The stream as it is after a command.
async fn changed(state: &ApiState, log: LogId) -> Result<Json<StreamView>, ApiError> {
    let status = state.stream(&log.to_string())?;
    view(state, status).await
}

async fn view(state: &ApiState, status: Arc<LogStatus>) -> Result<Json<StreamView>, ApiError> {
    let log = status.log;
    let view = views(state, vec![status], true).await?.pop();
    let mut view = view.ok_or_else(|| ApiError::internal("one stream has no view"))?;
    let known = state.node().streams();
    let aliases = state.aliases();
    let (known, aliases) = (&*known, &*aliases);
    let called: Vec<&str> = view
        .alias
        .iter()
        .chain([&view.name])
        .map(String::as_str)
        .collect();
    let alike = lookalikes(Names { known, aliases }, log, &called);
    view.lookalikes = alike.iter().map(LogId::to_string).collect();
    Ok(Json(view))
}

async fn views(
    state: &ApiState,
    known: Vec<Arc<LogStatus>>,
    with_disk: bool,
) -> Result<Vec<StreamView>, ApiError> {
    let store = state.node().store().clone();
    let addresses = state.node().addresses();
    let now = wall_time();
    let aliases = state.aliases().clone();
    blocking(move || {
        let patient = Patient::new(&store);
        let view = |status: &Arc<LogStatus>| {
            let disk = match status.key {
                Some(key) => StreamBytes {
                    records: Records::of(status, &patient)?.bytes()?,
                    files: with_disk.then(|| patient.disk_bytes_of(key)).transpose()?,
                },
                None => StreamBytes::default(),
            };
            let mut view = stream_view(status, &addresses, disk, now);
            view.alias = aliases.of(status.log).map(str::to_owned);
            Ok(view)
        };
        known.iter().map(view).collect()
    })
    .await
}

/// A body of JSON; the type of its content does not matter, because writing
/// needs a header that no form can send.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    object::from_json_bytes(body)
        .map_err(|error| ApiError::bad_request(format!("the body is not as expected: {error}")))
}

/// A subscription without a body names no peers.
fn subscription(body: &[u8]) -> Result<Subscription, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(Subscription::default());
    }
    parse(body)
}

fn addresses(peers: &[String]) -> Result<Vec<Multiaddr>, ApiError> {
    if peers.len() > MAX_KNOWN_PEERS {
        let given = peers.len();
        let text = format!("{given} peers are too many; give at most {MAX_KNOWN_PEERS}");
        return Err(ApiError::bad_request(text));
    }
    let mut errors = Vec::new();
    let mut addresses = Vec::new();
    for (place, peer) in peers.iter().enumerate() {
        match peer.parse() {
            Ok(address) => addresses.push(address),
            Err(error) => errors.push(ItemProblem {
                place,
                detail: format!("`{peer}` is not a multiaddr such as /ip4/192.0.2.1/tcp/4001/p2p/<peer id>: {error}"),
            }),
        }
    }
    if !errors.is_empty() {
        return Err(ApiError::bad_request("a peer's address is wrong").with_errors(errors));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_client::types::NewStream;

    #[test]
    fn every_wrong_address_is_listed() {
        let peers = ["/ip4/192.0.2.1/tcp/1", "192.0.2.1:1", "/ip4/x"].map(str::to_owned);
        let error = addresses(&peers).unwrap_err();
        let places: Vec<_> = error.problem().errors.iter().map(|e| e.place).collect();
        assert_eq!((error.problem().status, places), (400, vec![1, 2]));
        assert_eq!(addresses(&peers[..1]).unwrap().len(), 1);
        assert!(
            addresses(&vec![
                "/ip4/192.0.2.1/tcp/1".to_owned();
                MAX_KNOWN_PEERS + 1
            ])
            .is_err()
        );
    }

    #[test]
    fn a_body_with_a_field_that_is_not_known_is_refused() {
        let error = parse::<NewStream>(br#"{"name":"x","untis":"hPa"}"#).unwrap_err();
        assert!(error.problem().detail.contains("untis"));
        assert_eq!(subscription(b" \n").unwrap(), Subscription::default());
        assert!(subscription(b"[]x").is_err());
    }
}
