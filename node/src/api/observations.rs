//! `GET /v1/streams/{id}/observations`: history, read while it is sent.
//! Pagination is by `from` and `limit`.

use std::io::Write;
use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headwater_client::proof::prove_export;
use headwater_client::query::Query as Options;
use headwater_client::types::{Observation, Problem};
use headwater_export::{Encoder, Format, Shape, Summary};
use headwater_protocols::engine::LogStatus;
use headwater_protocols::head::AdoptedHead;
use headwater_protocols::ranges::Interval;
use headwater_protocols::store::Store;
use headwater_protocols::sync::retrieval::{Meant, Retrieval};
use headwater_protocols::time::Timestamp;
use headwater_reading::extent::{
    kept, require_any_undisputed, require_readable, require_undisputed,
};
use headwater_reading::{Order, Records, Selection, Unreadable};

use super::accept;
use super::asker::Asker;
use super::bounds::{self, Range, is_span};
use super::caller::Client;
use super::compression;
use super::elsewhere::PeersMayBeAsked;
use super::etag::EntityTag;
use super::parts::{self, Answer};
use super::places::mebibytes;
use super::problem::ApiError;
use super::retention::{BEGINS_AT, MAX_BEGINNINGS};
use super::retrieve;
use super::spool::Name;
use super::state::{ApiState, not_come_yet};
use super::stream_body::WriteError;
use super::thinning::{SORTED_MEBIBYTES, Spans, thinned};
use crate::handle::wall_time;
use crate::store::Patient;

/// In answers from a forked stream: the index from which on it is disputed.
const DISPUTED_FROM: HeaderName = HeaderName::from_static("headwater-disputed-from");

/// What the address says of spans.
fn spans(options: &Options) -> Spans<'_> {
    Spans {
        every: options.every.as_deref(),
        every_us: options.every_us,
        agg: options.agg.as_deref(),
        is_of_records: options.with_proof == Some(true)
            || options.at_or_before.is_some()
            || options.order.as_deref() == Some("desc"),
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// These, as far as the stream reaches.
    Select(Selection),
    /// The last one of the greatest time that is not after this one.
    AtOrBefore(Timestamp),
}

/// One request, under the head of the moment when it came.
#[derive(Clone, Debug)]
struct Asked {
    status: Arc<LogStatus>,
    head: AdoptedHead,
    question: Question,
    /// The same address asks for something else as time goes by.
    moves: bool,
    format: Format,
    shape: Shape,
    with_proof: bool,
    /// Rows are asked for that have one value for several records.
    summary: Option<Summary>,
}

impl Asked {
    fn new(
        status: Arc<LogStatus>,
        options: &Options,
        headers: &HeaderMap,
    ) -> Result<Self, ApiError> {
        require_readable(&status)?;
        let format = format(options, headers)?;
        let size = status.head.as_ref().map_or(0, |head| head.size);
        let spans = spans(options).checked()?;
        let (question, moves) = question(options, size, wall_time())?;
        let with_proof = options.with_proof.unwrap_or(false);
        if with_proof {
            provable(question, format)?;
        }
        let head = status.head.clone().ok_or_else(|| not_come_yet(&status))?;
        let shape = shape(&status, options)?;
        let summary = match spans {
            Some(spans) => Some(spans.summary(&status, &shape)?),
            None => None,
        };
        match &question {
            Question::Select(selection) => require_undisputed(&status, selection)?,
            Question::AtOrBefore(_) => require_any_undisputed(&status)?,
        }
        Ok(Self {
            status,
            head,
            question,
            moves,
            format,
            shape,
            with_proof,
            summary,
        })
    }

    /// Whether every answer to this question until now is the beginning of this one: it
    /// is of lines, from one record to the end of a stream of which nothing goes and
    /// nothing was ever told that does not count.
    fn only_grows(&self) -> bool {
        let is_open = match self.question {
            Question::Select(Selection {
                to: u64::MAX,
                limit: None,
                order: Order::Ascending,
                since: None,
                before: None,
                ..
            }) => !self.moves,
            Question::Select(_) | Question::AtOrBefore(_) => false,
        };
        let status = &self.status;
        let manifest = status.manifest.as_ref();
        let keeps_all = manifest.is_some_and(|manifest| !manifest.drops());
        let is_of_one_history =
            status.fork.is_none() && status.recovered.is_none() && status.disputed_from.is_none();
        // The last row of a summary changes.
        let is_of_records = self.format.is_of_lines() && self.summary.is_none();
        is_open && is_of_records && keeps_all && is_of_one_history
    }

    /// The answer, as a file.
    fn into_answer(self, state: &ApiState) -> Answer {
        let store = state.node().store().clone();
        let (size, is_written_first) = match self.summary {
            None => (0, false),
            // How many records are in none of its rows is known at its end.
            Some(_) => (SORTED_MEBIBYTES, true),
        };
        Answer {
            size: size + mebibytes(self.format, self.shape.value_type()),
            name: Name {
                resource: self.resource(),
                tag: self.tag().to_string(),
            },
            format: self.format,
            only_grows: self.only_grows(),
            is_written_first,
            writing: Box::new(move |out| self.write(&Patient::new(&store), out)),
        }
    }

    /// What is asked, about which stream: the same text for the same question.
    fn resource(&self) -> String {
        let Self {
            status,
            question,
            format,
            shape,
            with_proof,
            ..
        } = self;
        // What was written before a fork was known is another answer.
        let (log, disputed, begin) = (status.log, status.disputed_from, status.begin);
        let (columns, summary) = (
            shape.chosen_names(),
            self.summary.as_ref().map(Summary::name),
        );
        format!(
            "{log} {disputed:?} {begin} {question:?} {format:?} {with_proof} {columns:?} {summary:?}"
        )
    }

    /// The tag of the answer.
    fn tag(&self) -> EntityTag {
        let range = (self.status.begin, self.status.usable_size());
        let tag = EntityTag::new(&self.head, range, self.format, self.with_proof);
        if let Some(summary) = &self.summary {
            let summary = summary.name();
            return tag.of_question(&match self.moves {
                true => format!("{:?} {summary}", self.question),
                false => summary,
            });
        }
        match (self.moves, self.shape.chosen_names()) {
            (false, None) => tag,
            (true, None) => tag.of_question(&format!("{:?}", self.question)),
            (false, Some(columns)) => tag.of_question(&format!("{columns:?}")),
            (true, Some(columns)) => tag.of_question(&format!("{:?} {columns:?}", self.question)),
        }
    }

    /// The one observation that is asked for, if it has to come from a peer.
    async fn to_retrieve(&self, state: &ApiState) -> Result<Option<Retrieval>, ApiError> {
        let (status, size) = (&self.status, self.status.usable_size());
        if status.sources.is_empty() {
            // Nobody is there to be asked.
            return Ok(None);
        }
        let log = status.log;
        match self.question {
            Question::AtOrBefore(time) => {
                let is_whole = |held: &Interval| held.from <= status.begin && size <= held.to;
                let is_here = status.begin >= size || status.held.iter().any(is_whole);
                let is_ordered = status.manifest.as_ref().is_some_and(|one| one.ordered);
                let is_told = is_here
                    || is_ordered
                        && state
                            .with_records(status.clone(), move |records| {
                                Ok(records.meant(time)? != Meant::Unknown)
                            })
                            .await?;
                Ok((!is_told).then_some(Retrieval::Time(log, time)))
            }
            Question::Select(selection) if !selection.is_by_time() && self.summary.is_none() => {
                let Ok(selection) = kept(status, selection, size) else {
                    return Ok(None);
                };
                let (from, to) = selection.needed();
                let is_held = |held: &Interval| held.from <= from && to <= held.to;
                let is_one = to.checked_sub(from) == Some(1);
                let is_here = status.held.iter().any(is_held);
                Ok((is_one && !is_here).then_some(Retrieval::Index(log, from)))
            }
            Question::Select(_) => Ok(None),
        }
    }

    /// Writes the answer; how many records are in none of its rows.
    fn write<S: Store, W: Write + Send>(&self, store: &S, out: W) -> Result<u64, WriteError> {
        let status = &self.status;
        let shape = self.shape.clone();
        let records = Records::of(status, store)?;
        if let (Some(summary), Question::Select(selection)) = (&self.summary, self.question) {
            return thinned(summary, &records, selection, self.format, out);
        }
        let selection = answer(&records, self.question)?;
        let mut encoder = match self.with_proof {
            true => {
                let (from, to) = selection.needed();
                let proof =
                    prove_export(status, records.history(), from, to).map_err(ApiError::from)?;
                Encoder::begin_proved(shape, &proof.to_json(), out)?
            }
            false => Encoder::begin(self.format, shape, out)?,
        };
        records.visit(&selection, |index, record| {
            encoder.record(index, record)?;
            Ok::<_, WriteError>(())
        })?;
        encoder.finish()?;
        Ok(0)
    }
}

/// What is written of each record.
fn shape(status: &LogStatus, options: &Options) -> Result<Shape, ApiError> {
    let manifest = status.manifest.as_ref();
    let all = Shape::of(manifest.ok_or_else(|| not_come_yet(status))?);
    let Some(columns) = &options.columns else {
        return Ok(all);
    };
    if options.with_proof == Some(true) {
        return Err(ApiError::bad_request(
            "a proof is about whole records; leave off columns",
        ));
    }
    let names: Vec<_> = columns.split(',').collect();
    let chosen = all.chosen(&names);
    chosen.map_err(|why| ApiError::bad_request(format!("columns: {why}")))
}

/// A proof is about a run of records, and stands in a Parquet file.
fn provable(question: Question, format: Format) -> Result<(), ApiError> {
    let why = match question {
        _ if format != Format::Parquet => {
            "only Parquet carries its proof; for other formats ask /export-proof for it"
        }
        Question::Select(selection)
            if !selection.is_by_time() && selection.order == Order::Ascending =>
        {
            return Ok(());
        }
        Question::Select(_) | Question::AtOrBefore(_) => {
            "a proof is about a run of indexes, the lowest first; leave off times and order"
        }
    };
    Err(ApiError::bad_request(why))
}

/// Answers with the records, in the order and format asked for.
#[utoipa::path(get, path = "/v1/streams/{id}/observations", tag = "observations", summary = "Observations, read while they are sent",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite"), Options, ("If-None-Match" = Option<String>, Header, description = "The entity tag of an answer that the client has"), ("Range" = Option<String>, Header, description = "A part of the answer: `bytes=0-99`, `bytes=-8`; of the version that the client was told last, or else it is the whole. With If-Range also `bytes=100-`"), ("If-Range" = Option<String>, Header, description = "The entity tag of the version that parts are wanted of")),
    responses((status = 200, description = "The observations; ETag names the head that they were read under. With `every` rows without `index`", content(
            ([Observation] = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.arrow.file"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        ), headers(("headwater-disputed-from" = Option<u64>, description = "Of a stream whose publisher signed two histories: the index from which on it is disputed. An answer with an open end ends before it"), ("headwater-begins-at" = Option<u64>, description = "Where records were dropped by the stream's retention: the index of the first that is kept. An answer from the beginning begins there"), ("headwater-left-out" = Option<u64>, description = "With `every`: how many records are in none of the rows, because they are not what the manifest says"))), (status = 206, description = "A part of the answer", content(
            (Vec<u8> = "application/json"),
            (Vec<u8> = "application/x-ndjson"),
            (Vec<u8> = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.arrow.file"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        ), headers(("headwater-disputed-from" = Option<u64>, description = "As with 200"))), (status = 304, description = "The client has it already"), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn read(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    options: Result<Query<Options>, QueryRejection>,
    asker: Asker,
    (client, may_ask): (Client, PeersMayBeAsked),
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let request = parts::Request {
        asker: &asker,
        client: &client,
        may_ask,
        method: &method,
        headers: &headers,
    };
    let id = id?;
    let mut status = state.stream(&id)?;
    let Query(options) = options?;
    for _ in 1..MAX_BEGINNINGS {
        let begin = status.begin;
        let answer = read_under(&state, status, &options, request).await;
        // What was to be read may have been dropped meanwhile.
        if answer.is_ok() {
            return answer;
        }
        status = state.stream(&id)?;
        if status.begin <= begin {
            return answer;
        }
    }
    read_under(&state, status, &options, request).await
}

/// Answers with the records as the stream stands.
async fn read_under(
    state: &ApiState,
    status: Arc<LogStatus>,
    options: &Options,
    request: parts::Request<'_>,
) -> Result<Response, ApiError> {
    let (disputed_from, begin) = (status.disputed_from, status.begin);
    let headers = request.headers;
    let asked = Asked::new(status, options, headers)?;
    let tag = asked.tag();
    let is_weak = compression::is_done(headers, asked.format);
    let mut response = if tag.is_known(headers) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if let Some(what) = asked.to_retrieve(state).await? {
        request.may_ask.require()?;
        retrieve::observation(state, &asked.status, (asked.format, asked.shape), what).await?
    } else {
        parts::answer(state, asked.into_answer(state), request).await?
    };
    let headers = response.headers_mut();
    // Which format it is may depend on it; that it was compressed is added.
    headers.append(header::VARY, HeaderValue::from_static("accept"));
    if let Some(tag) = tag.header(is_weak)
        && !headers.contains_key(header::ETAG)
    {
        headers.insert(header::ETAG, tag);
    }
    if let Some(from) = disputed_from {
        // An open end is not where the stream ends.
        headers.insert(DISPUTED_FROM, from.into());
    }
    if begin > 0 {
        headers.insert(BEGINS_AT, begin.into());
    }
    Ok(response)
}

/// The records that answer the question. All of them are held.
fn answer<S: Store>(records: &Records<'_, S>, question: Question) -> Result<Selection, Unreadable> {
    match question {
        Question::Select(selection) => records.answering(selection),
        Question::AtOrBefore(time) => {
            let found = records.last_until(time)?;
            Ok(found.map_or_else(Selection::default, |index| {
                Selection::indexes(index, index + 1)
            }))
        }
    }
}

fn format(options: &Options, headers: &HeaderMap) -> Result<Format, ApiError> {
    format_of(options.format.as_deref(), headers)
}

/// The format that is asked for: by name, or else by `Accept`.
pub(super) fn format_of(name: Option<&str>, headers: &HeaderMap) -> Result<Format, ApiError> {
    if let Some(format) = name {
        let format = format.parse::<Format>();
        return format.map_err(|error| ApiError::bad_request(error.to_string()));
    }
    Ok(accept::format(headers))
}

/// What is asked for, and whether that moves as time goes by.
fn question(options: &Options, size: u64, now: Timestamp) -> Result<(Question, bool), ApiError> {
    let unit = options.time_unit;
    if let Some(time) = &options.at_or_before {
        let others = [&options.from, &options.to, &options.order];
        if others.iter().any(|other| other.is_some()) || options.limit.is_some() {
            let text = "at_or_before finds one record; leave off from, to, limit and order";
            return Err(ApiError::bad_request(text));
        }
        let instant = bounds::instant("at_or_before", time, unit, now)?;
        return Ok((Question::AtOrBefore(instant), is_span(time)));
    }
    let range = Range {
        from: options.from.as_deref(),
        to: options.to.as_deref(),
        unit,
        now,
    };
    let selection = Selection {
        limit: options.limit,
        order: order(options.order.as_deref())?,
        ..range.selection(size)?
    };
    Ok((Question::Select(selection), range.moves()))
}

fn order(text: Option<&str>) -> Result<Order, ApiError> {
    match text {
        None | Some("asc") => Ok(Order::Ascending),
        Some("desc") => Ok(Order::Descending),
        Some(_) => Err(ApiError::bad_request("order must be asc or desc")),
    }
}

#[cfg(test)]
#[path = "observations/as_of_tests.rs"]
mod as_of_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(options: Options) -> Result<Question, u16> {
        question(&options, 562, Timestamp(0))
            .map(|(question, _)| question)
            .map_err(|error| error.problem().status)
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn an_integer_is_an_index_and_rfc_3339_is_a_time() {
        let everything = Selection {
            to: u64::MAX,
            ..Selection::default()
        };
        assert_eq!(asked(Options::default()), Ok(Question::Select(everything)));
        let options = Options {
            from: text("5"),
            to: text("1970-01-01T00:00:01Z"),
            limit: Some(3),
            order: text("desc"),
            ..Options::default()
        };
        let selection = Selection {
            from: 5,
            before: Some(Timestamp(1_000_000)),
            limit: Some(3),
            order: Order::Descending,
            ..everything
        };
        assert_eq!(asked(options), Ok(Question::Select(selection)));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for bad in ["-1", "1.5", "", "yesterday", "99999999999999999999"] {
            assert_eq!(
                asked(Options {
                    from: text(bad),
                    ..Options::default()
                }),
                Err(400),
                "{bad}"
            );
            assert_eq!(
                asked(Options {
                    at_or_before: text(bad),
                    ..Options::default()
                }),
                Err(400),
                "{bad}"
            );
        }
        assert_eq!(
            asked(Options {
                order: text("down"),
                ..Options::default()
            }),
            Err(400)
        );
        let both = Options {
            at_or_before: text("1970-01-01T00:00:00Z"),
            limit: Some(1),
            ..Options::default()
        };
        assert_eq!(asked(both), Err(400));
    }

    #[test]
    fn the_format_is_asked_for_in_the_address_or_by_accept() {
        let mut headers = HeaderMap::new();
        let json = Options::default();
        assert_eq!(format(&json, &headers), Ok(Format::Json));
        headers.insert("accept", "text/csv".parse().unwrap());
        assert_eq!(format(&json, &headers), Ok(Format::Csv));
        let ndjson = Options {
            format: text("ndjson"),
            ..Options::default()
        };
        assert_eq!(format(&ndjson, &headers), Ok(Format::Ndjson));
        let unknown = Options {
            format: text("xls"),
            ..Options::default()
        };
        assert_eq!(
            format(&unknown, &headers).unwrap_err().problem().status,
            400
        );
    }
}
