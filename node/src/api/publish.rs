//! `POST /v1/streams/{id}/observations`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use headwater_client::query::Publishing;
use headwater_client::times::Unit;
use headwater_client::types::{ObservationsBody, Problem, PublishAnswer};
use headwater_protocols::engine::{Command, CommandError, RequestKey};
use headwater_protocols::ranges::Interval;
use headwater_reading::extent::require_readable;
use sha2::{Digest, Sha256};

use super::accepted::line_of;
use super::body_room::BodyRoom;
use super::content_type;
use super::limits::{MAX_KEY_BYTES, SHORT_BODY_BYTES};
use super::problem::{ApiError, require_a_possible_time};
use super::resolve::Meaning;
use super::state::{ApiState, not_come_yet};
use super::work::blocking;
use crate::handle::wall_time;
use crate::import::incoming::{self, Form, Incoming, NotTaken, Why};

/// Answers once the records are durable.
#[utoipa::path(post, path = "/v1/streams/{id}/observations", tag = "observations", summary = "Publish observations; answered once they are durable",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite"), Publishing, ("Idempotency-Key" = Option<String>, Header, description = "A name of this request, for example a UUID: a request with the same name and body is answered as the first time, for a day, and not done again")),
    request_body(content((ObservationsBody = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 201, description = "They are durable", body = PublishAnswer), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
    security(("token" = [])),
)]
pub(super) async fn publish(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    options: Result<Query<Publishing>, QueryRejection>,
    request: Request,
) -> Result<(StatusCode, Json<PublishAnswer>), ApiError> {
    let status = state.stream_meant(&id?, Meaning::Own)?;
    let Query(Publishing {
        expect_size,
        time_unit,
        far_ahead,
    }) = options?;
    let log = status.log;
    if !status.owned {
        return Err(CommandError::NotOwner(log).into());
    }
    require_readable(&status)?;
    require_a_possible_time()?;
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let form = content_type::form(content_type.and_then(|value| value.to_str().ok()))?;
    let name = request_name(request.headers())?;
    let line = line_of(&request);
    let _room = BodyRoom::of(state.bodies(), state.crowd(), request.headers(), line).await?;
    let body = Bytes::from_request(request, &()).await?;
    let request = name.map(|name| request_key(name, form, (expect_size, time_unit), &body));
    let is_short = body.len() <= SHORT_BODY_BYTES;
    let read = move || {
        let manifest = status.manifest.as_ref();
        let manifest = manifest.ok_or_else(|| not_come_yet(&status))?;
        let terms = incoming::Terms {
            time_unit,
            far_ahead,
        };
        let observations = incoming::observations(form, &body, manifest, wall_time(), terms);
        observations.map_err(ApiError::from)
    };
    let Incoming { records, notes } = match is_short {
        true => read()?,
        false => blocking(read).await?,
    };
    let publish = Command::publish(log, records, expect_size, request);
    let Interval { from, to } = state.node().ask(publish).await?;
    Ok((StatusCode::CREATED, Json(PublishAnswer { from, to, notes })))
}

impl From<NotTaken> for ApiError {
    fn from(error: NotTaken) -> Self {
        let status = match error.why {
            Why::Bad => StatusCode::BAD_REQUEST,
            Why::OtherForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Why::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Self::new(status, error.detail).with_errors(error.items)
    }
}

/// The header that names a request: whoever sends it again with the same name
/// gets the answer of the first time.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The name of a request, hashed.
fn request_name(headers: &HeaderMap) -> Result<Option<[u8; 32]>, ApiError> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let key = key.as_bytes();
    let is_visible = key.iter().all(|byte| (b' '..=b'~').contains(byte));
    if keys.next().is_some() || key.is_empty() || key.len() > MAX_KEY_BYTES || !is_visible {
        return Err(ApiError::bad_request(format!(
            "Idempotency-Key must be one text of 1 to {MAX_KEY_BYTES} visible ASCII characters, for example a UUID"
        )));
    }
    Ok(Some(Sha256::digest(key).into()))
}

/// What tells a request from another one of the same name.
fn request_key(
    name: [u8; 32],
    form: Form,
    (expect_size, time_unit): (Option<u64>, Option<Unit>),
    body: &[u8],
) -> RequestKey {
    let unit = time_unit.map_or("", Unit::symbol);
    let content = Sha256::new()
        .chain_update(format!("{form:?} {expect_size:?}{unit}\n"))
        .chain_update(body);
    RequestKey {
        name,
        content: content.finalize().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_by_its_key_and_known_by_all_that_it_asks_for() {
        let key = |key: &str, size, body: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(IDEMPOTENCY_KEY, key.parse().unwrap());
            let name = request_name(&headers).map_err(|error| error.problem().status)?;
            Ok(name.map(|name| request_key(name, Form::Json, (size, None), body)))
        };
        let first = key("a", None, b"1").unwrap();
        assert!(first.is_some());
        assert_eq!(key("a", None, b"1").unwrap(), first);
        let others = [
            key("b", None, b"1"),
            key("a", Some(1), b"1"),
            key("a", None, b"2"),
        ];
        assert!(others.iter().all(|other| *other != Ok(first)));
        let names = others.map(|other| other.unwrap().unwrap().name == first.unwrap().name);
        assert_eq!(names, [false, true, true]);
        assert_eq!(request_name(&HeaderMap::new()), Ok(None));
        assert_eq!(key("", None, b""), Err(400));
        assert_eq!(key(&"x".repeat(MAX_KEY_BYTES + 1), None, b""), Err(400));
    }
}
