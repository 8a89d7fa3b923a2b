//! `GET /v1/join`: several streams as one table, written while it is sent.

use std::io::Write;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headwater_client::query::JoinQuery;
use headwater_client::types::Problem;
use headwater_export::{
    Column, Format, Join, JoinError, JoinedStream, Kind, Rows, column_names, join,
};
use headwater_protocols::engine::LogStatus;
use headwater_protocols::store::Store;
use headwater_reading::Records;
use headwater_reading::extent::{require_no_dispute, require_readable};

use super::asker::Asker;
use super::bounds::{Range, micros, positive_micros};
use super::caller::Client;
use super::compression;
use super::elsewhere::PeersMayBeAsked;
use super::etag::EntityTag;
use super::limits::MAX_JOINED_STREAMS;
use super::observations::format_of;
use super::parts::{self, Answer};
use super::places::mebibytes;
use super::problem::ApiError;
use super::spool::Name;
use super::state::{ApiState, not_come_yet};
use super::stream_body::WriteError;
use crate::handle::wall_time;
use crate::store::Patient;

/// Mebibytes that a join keeps of the records of its streams: one and a half of
/// each of a few, which have text. More is bounded by `MAX_DISORDER_BYTES`, and is
/// needed where times run backwards.
const JOIN_MEBIBYTES: usize = 8;

/// Answers with the table, by time.
#[utoipa::path(get, path = "/v1/join", tag = "observations", summary = "Several streams as one table: the latest value of each at or before the time of each row",
    params(JoinQuery, ("If-None-Match" = Option<String>, Header, description = "The entity tag of a table that the client has"), ("Range" = Option<String>, Header, description = "A part of the table, as of observations"), ("If-Range" = Option<String>, Header, description = "The entity tag of the version that parts are wanted of")),
    responses((status = 200, description = "The columns `time` and, for each stream, what it is called on this node (its alias, if it has one, or else its name); where several are called alike, or `time` or `token`, `_` and the end of the id stand behind it. A value that is not there is null, in CSV empty", content(
            (Vec<serde_json::Value> = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.arrow.file"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        )), (status = 206, description = "A part of the table", content(
            (Vec<u8> = "application/json"),
            (Vec<u8> = "application/x-ndjson"),
            (Vec<u8> = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.arrow.file"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        )), (status = 304, description = "The client has it already"), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn read(
    State(state): State<ApiState>,
    options: Result<Query<JoinQuery>, QueryRejection>,
    asker: Asker,
    (client, may_ask): (Client, PeersMayBeAsked),
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Query(options) = options?;
    let joining = Joining::new(&state, &options, &headers)?;
    let tag = joining.tag();
    let mut response = match tag.is_known(&headers) {
        true => {
            let is_weak = compression::is_done(&headers, joining.format);
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            let tag = tag.header(is_weak).map(|tag| (header::ETAG, tag));
            response.headers_mut().extend(tag);
            response
        }
        false => {
            let request = parts::Request {
                asker: &asker,
                client: &client,
                may_ask,
                method: &method,
                headers: &headers,
            };
            parts::answer(&state, joining.into_answer(&state), request).await?
        }
    };
    let accept = HeaderValue::from_static("accept");
    response.headers_mut().append(header::VARY, accept);
    Ok(response)
}

/// One request, under the heads of the moment when it came.
struct Joining {
    streams: Vec<Arc<LogStatus>>,
    /// What their columns are called.
    columns: Vec<String>,
    how: Join,
    format: Format,
}

impl Joining {
    fn new(state: &ApiState, options: &JoinQuery, headers: &HeaderMap) -> Result<Self, ApiError> {
        let format = format_of(options.format.as_deref(), headers)?;
        let given = options.streams.split(',').count();
        if given > MAX_JOINED_STREAMS {
            let text = format!(
                "{given} streams are too many for one address; join at most {MAX_JOINED_STREAMS}, and \
                 put the tables side by side, by their time"
            );
            return Err(ApiError::bad_request(text));
        }
        let mut streams: Vec<Arc<LogStatus>> = Vec::new();
        for name in options.streams.split(',') {
            let status = state.stream(name.trim())?;
            if streams.iter().any(|known| known.log == status.log) {
                let text = format!("stream {} is there twice; name each once", status.log);
                return Err(ApiError::bad_request(text));
            }
            require_readable(&status)?;
            require_no_dispute(&status)?;
            streams.push(status);
        }
        let range = Range {
            from: options.from.as_deref(),
            to: options.to.as_deref(),
            unit: options.time_unit,
            now: wall_time(),
        };
        let (since, before) = range.times()?;
        let tolerance = options.tolerance.as_deref();
        let how = Join {
            rows: rows(state, options, &streams)?,
            since,
            before,
            tolerance_us: micros("tolerance", tolerance, options.tolerance_us)?,
        };
        let columns = column_names(&called(state, &streams));
        Ok(Self {
            streams,
            columns,
            how,
            format,
        })
    }

    /// The table, as a file.
    fn into_answer(self, state: &ApiState) -> Answer {
        let store = state.node().store().clone();
        let logs: Vec<_> = self.streams.iter().map(|s| s.log.to_string()).collect();
        let (how, format) = (self.how, self.format);
        let sizes = (self
            .streams
            .iter()
            .filter_map(|status| status.manifest.as_ref()))
        .map(|manifest| mebibytes(format, manifest.value_type));
        Answer {
            // All columns together are bounded as one is.
            size: JOIN_MEBIBYTES + sizes.max().unwrap_or_default(),
            name: Name {
                resource: format!(
                    "join {} {:?} {how:?} {format:?}",
                    logs.join(" "),
                    self.columns
                ),
                tag: self.tag().to_string(),
            },
            format,
            // A row of before may get more values.
            only_grows: false,
            is_written_first: false,
            writing: Box::new(move |out| {
                self.write(&Patient::new(&store), out)?;
                Ok(0)
            }),
        }
    }

    /// The tag of the table: it changes when a stream does.
    fn tag(&self) -> EntityTag {
        let heads = self.streams.iter().filter_map(|status| {
            let head = status.head.as_ref()?;
            Some((head.root, status.begin, status.usable_size()))
        });
        // A span such as `3d` is another one as time goes by, and so may be what a
        // stream is called here.
        let question = format!("{:?} {:?}", self.how, self.columns);
        EntityTag::joined(heads, self.format).of_question(&question)
    }

    fn write<S: Store, W: Write + Send>(&self, store: &S, out: W) -> Result<(), WriteError> {
        let mut streams = Vec::with_capacity(self.streams.len());
        for (status, name) in self.streams.iter().zip(&self.columns) {
            let manifest = status.manifest.as_ref();
            let manifest = manifest.ok_or_else(|| not_come_yet(status))?;
            let records = Records::of(status, store)?;
            records.require_all_held()?;
            let value_type = manifest.value_type;
            streams.push(JoinedStream {
                column: Column {
                    name: name.clone(),
                    kind: Kind::Value(value_type),
                },
                records,
            });
        }
        Ok(join(&streams, &self.how, self.format, out)?)
    }
}

/// What the user calls each stream: its alias, if it has one, or else its name;
/// with its id.
fn called(state: &ApiState, streams: &[Arc<LogStatus>]) -> Vec<(String, String)> {
    let aliases = state.aliases();
    let called = |status: &Arc<LogStatus>| {
        let name = status.manifest.as_deref().map(|manifest| &*manifest.name);
        let name = aliases.of(status.log).or(name).unwrap_or_default();
        (name.to_owned(), status.log.to_string())
    };
    streams.iter().map(called).collect()
}

fn rows(
    state: &ApiState,
    options: &JoinQuery,
    streams: &[Arc<LogStatus>],
) -> Result<Rows, ApiError> {
    let every_us = positive_micros("every", options.every.as_deref(), options.every_us)?;
    match (&options.on, every_us) {
        (Some(_), Some(_)) => Err(ApiError::bad_request(
            "the rows are those of one stream or at equal steps: give on or every",
        )),
        (None, Some(step_us)) => Ok(Rows::Every(step_us)),
        (None, None) => Ok(Rows::On(0)),
        (Some(on), None) => {
            let log = state.stream(on)?.log;
            let place = streams.iter().position(|stream| stream.log == log);
            let not_one = || {
                let text = format!("on: stream {log} is not one of those that are joined");
                ApiError::bad_request(text)
            };
            place.map(Rows::On).ok_or_else(not_one)
        }
    }
}

impl From<JoinError> for WriteError {
    fn from(error: JoinError) -> Self {
        let detail = error.to_string();
        match error {
            JoinError::Disorder(_) | JoinError::TooManyRows(_) => {
                Self::Failed(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
            }
            JoinError::Read(error) => error.into(),
            JoinError::Io(error) => error.into(),
        }
    }
}
