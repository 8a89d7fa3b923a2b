//! Streams created, each under a name that this node's streams do not have yet.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use headwater_client::invite;
use headwater_client::query::CreateQuery;
use headwater_client::types::{CreatedStream, NewStream, Problem};
use headwater_protocols::engine::Command;
use headwater_protocols::id::LogId;
use headwater_protocols::identity::PublicKey;
use headwater_protocols::manifest::{Manifest, NONCE_BYTES};
use headwater_protocols::time::Timestamp;
use libp2p::PeerId;

use super::bounds::positive_micros;
use super::new_name::require_unlike;
use super::new_terms::{differing, put_terms};
use super::problem::{ApiError, require_a_possible_time};
use super::resolve::Names;
use super::retention::Retained;
use super::state::ApiState;
use super::streams::parse;
use crate::handle::wall_time;

/// `POST /v1/streams`.
#[utoipa::path(post, path = "/v1/streams", tag = "streams", summary = "Create a stream",
    params(CreateQuery), request_body(content = NewStream),
    responses((status = 201, description = "It was created; the header Location names it", body = CreatedStream), (status = 200, description = "It was there already (with if_not_exists)", body = CreatedStream), (status = "default", description = "An error (RFC 9457); 409 where this node has a stream of this name", body = Problem, content_type = "application/problem+json")),
    security(("token" = [])),
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    options: Result<Query<CreateQuery>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let Query(CreateQuery { if_not_exists }) = options?;
    let new = with_spans(parse(&body?)?)?;
    let target = new.target.as_deref();
    let target = target.map(|target| target_of(&state, target)).transpose()?;
    // Two that come at once do not both find the name free.
    let _naming = state.naming().await;
    let there = with_name(&state, &new.name, if_not_exists)?;
    if let Some((log, there)) = there {
        fits(log, &there, new, target)?;
        return Ok(answer(StatusCode::OK, log));
    }
    require_new(&state, &new.name)?;
    require_a_possible_time()?;
    let publisher = publisher_key(state.node().local_peer())?;
    let manifest = manifest(
        new,
        target,
        Manifest::new(publisher, "", nonce()?),
        wall_time(),
    )?;
    let log = state.node().ask(Command::create(manifest)).await?;
    Ok(answer(StatusCode::CREATED, log))
}

/// Refuses a name that would be taken for another one.
fn require_new(state: &ApiState, name: &str) -> Result<(), ApiError> {
    let known = state.node().streams();
    let aliases = state.aliases();
    let (known, aliases) = (&*known, &*aliases);
    require_unlike(Names { known, aliases }, name, None)
}

/// With spans in microseconds, also where they were said as texts.
fn with_spans(mut new: NewStream) -> Result<NewStream, ApiError> {
    for (name, text, us) in [
        ("cadence", new.cadence.take(), &mut new.cadence_us),
        ("retain_age", new.retain_age.take(), &mut new.retain_age_us),
    ] {
        let said = (*us > 0).then_some(*us);
        *us = positive_micros(name, text.as_deref(), said)?.unwrap_or(0);
    }
    Ok(new)
}

fn answer(status: StatusCode, log: LogId) -> Response {
    let location = [(header::LOCATION, format!("/v1/streams/{log}"))];
    let id = log.to_string();
    (status, location, Json(CreatedStream { id })).into_response()
}

/// The stream of this node's own that has the name; nothing where it is free.
///
/// # Errors
/// It is taken, and a new stream was asked for.
fn with_name(
    state: &ApiState,
    name: &str,
    if_not_exists: bool,
) -> Result<Option<(LogId, Manifest)>, ApiError> {
    let known = state.node().streams();
    let aliases = state.aliases();
    let (known, aliases) = (&*known, &*aliases);
    let names = Names { known, aliases };
    if let Some(own) = names.own(name) {
        let log = own.log;
        let manifest = own.manifest.as_deref().cloned();
        return match manifest.filter(|_| if_not_exists) {
            Some(manifest) => Ok(Some((log, manifest))),
            None => Err(taken(format!(
                "this node has a stream `{name}` already, {log}; take another name, or say that the \
                 one that is there will do (`--if-not-exists`, `?if_not_exists=true`)"
            ))),
        };
    }
    let alias = aliases.stream(name);
    match alias.filter(|&log| known.iter().any(|status| status.log == log)) {
        Some(log) => Err(taken(format!(
            "`{name}` is what this node calls stream {log}; take another name, or give that one \
             another alias with: headwater follow {log} --as NAME"
        ))),
        None => Ok(None),
    }
}

fn taken(detail: String) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, detail)
}

/// Whether a stream that is there is as a new one would be. What was not said of
/// the new one does not matter, but for what its values are and how long they are
/// kept.
fn fits(
    log: LogId,
    there: &Manifest,
    new: NewStream,
    target: Option<LogId>,
) -> Result<(), ApiError> {
    let retained = Retained::of(&new)?;
    let blank = Manifest::new(there.publisher.clone(), "", [0; NONCE_BYTES]);
    let terms = manifest(new.clone(), target, blank, there.created)?;
    let text = |said: &str, there: &str| said.is_empty() || said == there;
    let level_is_said = new.chunk_level.is_some() || new.latest_only;
    let differs: Vec<&str> = [
        ("unit", text(&new.unit, &there.unit)),
        ("description", text(&new.description, &there.description)),
        ("source", text(&new.source, &there.source)),
        ("target", target.is_none() || target == there.target),
        (
            "cadence_us",
            new.cadence_us == 0 || new.cadence_us == there.cadence_us,
        ),
        (
            "chunk_level",
            !level_is_said || retained.chunk_level == there.chunk_level,
        ),
        ("retain_age_us", retained.age_us == there.retain_us),
        ("retain_records", retained.records == there.retain_records),
    ]
    .into_iter()
    .filter_map(|(field, same)| (!same).then_some(field))
    .chain(differing(there, &terms))
    .collect();
    if differs.is_empty() {
        return Ok(());
    }
    let (name, fields) = (&there.name, differs.join(", "));
    Err(taken(format!(
        "this node has a stream `{name}` already, {log}, and it is another one: {fields} of it differ; \
         `headwater show {log}` tells how; take another name, or ask for what it is"
    )))
}

/// The stream that a new one predicts: a full id, which need not be known here,
/// an invite, or what names a stream that is.
fn target_of(state: &ApiState, text: &str) -> Result<LogId, ApiError> {
    if let Ok(log) = text.parse() {
        return Ok(log);
    }
    if text.starts_with(invite::SCHEME) {
        let invite = invite::parse(text);
        let wrong = |error| ApiError::bad_request(format!("target: {error}"));
        return invite.map(|invite| invite.stream).map_err(wrong);
    }
    Ok(state.stream(text)?.log)
}

fn manifest(
    new: NewStream,
    target: Option<LogId>,
    blank: Manifest,
    now: Timestamp,
) -> Result<Manifest, ApiError> {
    let retained = Retained::of(&new)?;
    let mut terms = blank;
    put_terms(&new, &mut terms)?;
    Ok(Manifest {
        name: new.name,
        description: new.description,
        source: new.source,
        target,
        unit: new.unit,
        cadence_us: new.cadence_us,
        chunk_level: retained.chunk_level,
        retain_us: retained.age_us,
        retain_records: retained.records,
        created: now,
        ..terms
    })
}

/// Nobody guesses the id of a stream that few know of, and a node that lost its
/// folder begins other ones.
fn nonce() -> Result<[u8; NONCE_BYTES], ApiError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce)
        .map_err(|error| ApiError::internal(format!("the system has no random bytes: {error}")))?;
    Ok(nonce)
}

/// The public key inside the peer id: one of an ed25519 key is the key itself.
fn publisher_key(local: PeerId) -> Result<PublicKey, ApiError> {
    let key = libp2p::identity::PublicKey::try_decode_protobuf(local.as_ref().digest());
    let key = key.ok().and_then(|key| key.try_into_ed25519().ok());
    key.and_then(|key| PublicKey::from_bytes(&key.to_bytes()))
        .ok_or_else(|| ApiError::internal("the peer id of this node has no ed25519 key"))
}

#[cfg(test)]
mod tests {
    use headwater_client::types::{NewColumn, ValueTypeView};
    use headwater_protocols::identity::SigningKey;
    use headwater_protocols::limits::DEFAULT_CHUNK_LEVEL;
    use headwater_protocols::manifest::ValueType;

    use super::*;

    fn blank() -> Manifest {
        let key = SigningKey::from_secret(&mut [1; 32]);
        assert_eq!(publisher_key(key.public().peer_id()).unwrap(), key.public());
        Manifest::new(key.public(), "", [7; NONCE_BYTES])
    }

    #[test]
    fn the_publisher_of_a_new_stream_is_this_node() {
        let key = SigningKey::from_secret(&mut [1; 32]);
        let new = NewStream {
            name: "x".to_owned(),
            ..NewStream::default()
        };
        let target = Some(LogId([9; 32]));
        let manifest = manifest(new, target, blank(), Timestamp(5)).unwrap();
        assert_eq!(manifest.publisher, key.public());
        assert_eq!(manifest.value_type, ValueType::Number);
        assert_eq!(
            (manifest.chunk_level, manifest.created),
            (DEFAULT_CHUNK_LEVEL, Timestamp(5))
        );
        assert_eq!(manifest.target, target);
        assert!(manifest.sign(&key).is_ok());
    }

    #[test]
    fn spans_of_a_new_stream_are_texts_or_microseconds() {
        let spans = |json: &str| {
            let new = with_spans(serde_json::from_str(json).unwrap());
            let new = new.map_err(|error| error.problem().detail.clone())?;
            Ok::<_, String>((new.cadence_us, new.retain_age_us))
        };
        let hour_us = 3_600_000_000;
        assert_eq!(spans("{}"), Ok((0, 0)));
        assert_eq!(
            spans(r#"{"cadence":"1h","retain_age":"1d"}"#),
            Ok((hour_us, 24 * hour_us))
        );
        assert_eq!(spans(r#"{"cadence_us":5,"retain_age_us":0}"#), Ok((5, 0)));
        for (wrong, words) in [
            (r#"{"cadence":"0s"}"#, "cadence must be longer than nothing"),
            (r#"{"retain_age":"0d"}"#, "retain_age must be longer"),
            (r#"{"cadence":"1h","cadence_us":5}"#, "leave one off"),
            (r#"{"cadence":"hourly"}"#, "is not a duration"),
        ] {
            let error = spans(wrong).unwrap_err();
            assert!(error.contains(words), "{wrong}: {error}");
        }
    }

    fn column(name: &str, column_type: &str) -> NewColumn {
        NewColumn {
            name: name.to_owned(),
            column_type: column_type.to_owned(),
            ..NewColumn::default()
        }
    }

    #[test]
    fn a_stream_with_columns_has_rows_whatever_else_is_not_said() {
        let made = |columns: Vec<NewColumn>, value_type| {
            let new = NewStream {
                name: "weather".to_owned(),
                columns,
                value_type,
                ..NewStream::default()
            };
            let made = manifest(new, None, blank(), Timestamp(5));
            made.map_err(|error| error.problem().detail.clone())
        };
        let there = made(vec![column("air", "number"), column("sky", "text")], None).unwrap();
        assert_eq!(there.value_type, ValueType::Json);
        let names: Vec<_> = there.columns.iter().map(|column| &*column.name).collect();
        assert_eq!(names, ["air", "sky"]);
        let json = Some(ValueTypeView::Json);
        assert!(made(vec![column("air", "number")], json).is_ok());
        let number = Some(ValueTypeView::Number);
        let refused = made(vec![column("air", "number")], number).unwrap_err();
        assert!(refused.contains("leave it off"), "{refused}");
        let refused = made(vec![column("air", "float")], None).unwrap_err();
        assert!(
            refused.contains("column `air`: `float` is not a type") && refused.contains("integer"),
            "{refused}"
        );
    }

    #[test]
    fn a_stream_that_is_there_fits_what_is_said_of_a_new_one() {
        let log = LogId([1; 32]);
        let new = NewStream {
            name: "x".to_owned(),
            unit: "°C".to_owned(),
            ..NewStream::default()
        };
        let there = manifest(new.clone(), None, blank(), Timestamp(5)).unwrap();
        let differs = |change: fn(&mut NewStream)| {
            let mut new = new.clone();
            change(&mut new);
            match fits(log, &there, new, None) {
                Ok(()) => String::new(),
                Err(error) => error.problem().detail.clone(),
            }
        };
        assert_eq!(differs(|_| ()), "");
        assert_eq!(differs(|new| new.unit.clear()), "");
        assert_eq!(
            differs(|new| new.chunk_level = Some(DEFAULT_CHUNK_LEVEL)),
            ""
        );
        for (change, field) in [
            (
                (|new| new.unit = "K".to_owned()) as fn(&mut NewStream),
                "unit",
            ),
            (
                |new| new.value_type = Some(ValueTypeView::Text),
                "value_type",
            ),
            (
                |new| new.columns = vec![column("air", "number")],
                "value_type, columns",
            ),
            (|new| new.cadence_us = 5, "cadence_us"),
            (|new| new.retain_records = 5, "retain_records"),
            (|new| new.retain_age_us = 5, "retain_age_us"),
            (|new| new.chunk_level = Some(3), "chunk_level"),
            (|new| new.description = "y".to_owned(), "description"),
            (|new| new.ordered = true, "ordered"),
            (|new| new.tags = vec!["y".to_owned()], "tags"),
            (|new| new.licence = "MIT".to_owned(), "licence"),
            (|new| new.recovery = Some("00".repeat(32)), "recovery"),
        ] {
            let said = differs(change);
            assert!(said.contains(&format!(": {field} of it differ")), "{said}");
        }
        assert!(fits(log, &there, new, Some(log)).is_err());
    }
}
