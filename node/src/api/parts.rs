//! Answers that are files: whole as they are written, or their length (HEAD)
//! and parts of them (Range).

use headwater_export::Format;
use std::io::Write;

use super::asker::Asker;
use super::byte_range::ByteRange;
use super::caller::Client;
use super::choice::{Asked, Choice, Refusal};
use super::compression;
use super::elsewhere::PeersMayBeAsked;
use super::etag::weak;
use super::places::Place;
use super::problem::ApiError;
use super::spool::{Name, Spool};
use super::state::ApiState;
use super::stream_body::{WriteError, written_by};
use super::thinning::LEFT_OUT;
use super::told::{Last, Version};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Writes an answer; how many records are left out of it.
type Writing = Box<dyn FnOnce(&mut (dyn Write + Send)) -> Result<u64, WriteError> + Send>;

/// An answer whose bytes follow from what is asked and the entity tag.
pub(super) struct Answer {
    /// What is asked, and the version of this moment.
    pub(super) name: Name,
    pub(super) format: Format,
    /// Whether each version until now is the beginning of this one.
    pub(super) only_grows: bool,
    /// Mebibytes of memory that writing it may need.
    pub(super) size: usize,
    /// Whether its head says what only its end tells, so that it is written before it is
    /// sent.
    pub(super) is_written_first: bool,
    pub(super) writing: Writing,
}

/// One request for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) asker: &'a Asker,
    pub(super) client: &'a Client,
    pub(super) may_ask: PeersMayBeAsked,
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
}

/// Answers a request for a file.
pub(super) async fn answer(
    state: &ApiState,
    answer: Answer,
    request: Request<'_>,
) -> Result<Response, ApiError> {
    let question = request.asker.about(&answer.name.resource);
    let told = state.told().last(question);
    let is_head = request.method == Method::HEAD;
    let choice = match choice(state, &answer, request, told.as_ref()) {
        Ok(choice) => choice,
        Err(Refusal::WouldBeAppended) => {
            return nothing_to_append(state, answer, request, told.as_ref()).await;
        }
        Err(Refusal::Gone) => return Err(gone()),
    };
    // Those who have it whole as it is know its version, too; what is compressed
    // has other bytes.
    let is_compressed =
        choice.part.is_none() && !is_head && compression::is_done(request.headers, answer.format);
    if !is_compressed {
        let version = Version {
            tag: choice.tag.clone(),
            end: end(choice.part, told, &choice.tag),
        };
        let connection = request.asker.connection();
        state.told().tell(question, version, connection);
    }
    let name = Name {
        tag: choice.tag,
        ..answer.name.clone()
    };
    let about = About {
        tag: match is_compressed {
            true => weak(&name.tag),
            false => name.tag.clone(),
        },
        format: answer.format,
    };
    let spool = match state.spools().find(&name) {
        Some(spool) => spool,
        None => {
            let place = state.place(request.client, answer.size).await?;
            if !is_head && choice.part.is_none() && !answer.is_written_first {
                return about.streamed(answer.writing, place).await;
            }
            written(state, answer, place).await?
        }
    };
    if is_head {
        return Ok(about.whole(Body::empty(), spool.length(), spool.left_out()));
    }
    let place = state.place(request.client, COPY_MEBIBYTES).await?;
    about.read(spool, choice.part, place).await
}

/// What a copy of a file needs: the blocks that wait.
const COPY_MEBIBYTES: usize = 1;

fn choice(
    state: &ApiState,
    answer: &Answer,
    request: Request<'_>,
    told: Option<&Last>,
) -> Result<Choice, Refusal> {
    let asked = Asked {
        headers: request.headers,
        is_head: request.method == Method::HEAD,
        current: &answer.name.tag,
        told,
    };
    let is_kept = |tag: &str| {
        let tag = tag.to_owned();
        let resource = answer.name.resource.clone();
        state.spools().find(&Name { resource, tag }).is_some()
    };
    asked.choice(is_kept)
}

fn gone() -> ApiError {
    ApiError::new(
        StatusCode::PRECONDITION_FAILED,
        "the stream has grown, and the answer with this entity tag is gone; ask again from the start",
    )
}

/// The answer to a client that would put whatever it is sent behind what it has,
/// about which all that is known is how many bytes it has: the rest, where each
/// version is the beginning of this one; that it has everything, where it was told
/// this version last and has as many bytes; or else that it has to begin anew.
async fn nothing_to_append(
    state: &ApiState,
    answer: Answer,
    request: Request<'_>,
    told: Option<&Last>,
) -> Result<Response, ApiError> {
    let range = ByteRange::asked(request.headers);
    let is_told = matches!(told, Some(Last::One(version)) if version.tag == answer.name.tag);
    let (only_grows, about) = (answer.only_grows, About::of(&answer));
    let spool = match state.spools().find(&answer.name) {
        Some(spool) => spool,
        None => {
            let place = state.place(request.client, answer.size).await?;
            written(state, answer, place).await?
        }
    };
    match range {
        Some(ByteRange::From(has)) if has < spool.length() && only_grows => {
            let place = state.place(request.client, COPY_MEBIBYTES).await?;
            about.read(spool, range, place).await
        }
        Some(ByteRange::From(has)) if has == spool.length() && (only_grows || is_told) => {
            Ok(beyond(spool.length()))
        }
        _ => Err(ApiError::new(
            StatusCode::PRECONDITION_REQUIRED,
            "what is there may be of another version of the file than this one, and nothing must be put \
             behind it; remove it and fetch the file anew, or name its version in If-Range",
        )
        .with_reason("The stream may have grown; fetch the file anew without -c")),
    }
}

/// How much of the end this client has asked for since it began.
fn end(part: Option<ByteRange>, told: Option<Last>, tag: &str) -> u64 {
    match (part, told) {
        (Some(ByteRange::Last(bytes)), _) => bytes,
        (Some(_), Some(Last::One(told))) if told.tag == tag => told.end,
        _ => 0,
    }
}

async fn written(state: &ApiState, answer: Answer, place: Place) -> Result<Spool, ApiError> {
    let written = state
        .spools()
        .written(&answer.name, state.data_dir(), place, answer.writing);
    written.await
}

/// What the head of each answer says.
struct About {
    tag: String,
    format: Format,
}

impl About {
    /// An answer as it is.
    fn of(answer: &Answer) -> Self {
        Self {
            tag: answer.name.tag.clone(),
            format: answer.format,
        }
    }

    fn head(&self, status: StatusCode, body: Body) -> Response {
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static(self.format.media_type());
        headers.insert(header::CONTENT_TYPE, media_type);
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        insert(headers, header::ETAG, &self.tag);
        response
    }

    fn whole(&self, body: Body, length: u64, left_out: u64) -> Response {
        let mut response = self.head(StatusCode::OK, body);
        let headers = response.headers_mut();
        if left_out > 0 {
            headers.insert(LEFT_OUT, HeaderValue::from(left_out));
        }
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        response
    }

    /// The whole of an answer that is in no file, as it is written.
    async fn streamed(self, writing: Writing, place: Place) -> Result<Response, ApiError> {
        let body = written_by(place, move |out| writing(out).map(drop));
        Ok(self.head(StatusCode::OK, body.await?))
    }

    /// The whole of a file, or a part of it.
    async fn read(
        self,
        spool: Spool,
        part: Option<ByteRange>,
        place: Place,
    ) -> Result<Response, ApiError> {
        let length = spool.length();
        let Some((from, to)) = part.map_or(Some((0, length)), |part| part.within(length)) else {
            return Ok(beyond(length));
        };
        let left_out = spool.left_out();
        let copy = written_by(place, move |out| spool.copy(from, to, out));
        let mut response = self.whole(copy.await?, to - from, left_out);
        if part.is_some() {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {from}-{}/{length}", to - 1);
            insert(response.headers_mut(), header::CONTENT_RANGE, &range);
        }
        Ok(response)
    }
}

fn beyond(length: u64) -> Response {
    let detail = format!("the file has {length} bytes; the range begins behind its end");
    let mut response = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, detail).into_response();
    let range = format!("bytes */{length}");
    insert(response.headers_mut(), header::CONTENT_RANGE, &range);
    response
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
