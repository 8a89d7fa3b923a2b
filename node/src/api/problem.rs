//! Errors as RFC 9457 problem details.

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headwater_client::proof::NoProof;
use headwater_client::times::text::to_text;
use headwater_client::types::{BACKWARDS, ItemProblem, Problem};
use headwater_protocols::engine::CommandError;
use headwater_protocols::store::{ReadError, StoreError};
use headwater_reading::Unreadable;
use hyper::ext::ReasonPhrase;

use super::resolve::Unresolved;
use crate::handle::{NodeError, impossible_time};

/// The type of a problem with a stream that only a later version reads.
const TOO_NEW: &str = "urn:headwater:too_new";

/// A request that is answered with a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    problem: Box<Problem>,
    header: Option<(HeaderName, HeaderValue)>,
    /// The words behind the status, if not the usual ones.
    reason: Option<&'static str>,
    /// It has no line of its own in the log.
    is_expected: bool,
}

impl ApiError {
    /// A problem: what happened, to what, and what to do.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
        };
        Self {
            problem: Box::new(problem),
            header: None,
            reason: None,
            is_expected: false,
        }
    }

    /// 400.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// With the bad items of the body.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<ItemProblem>) -> Self {
        self.problem.errors = errors;
        self
    }

    /// With a name of this kind of error, for programs.
    fn of_kind(mut self, kind: &'static str) -> Self {
        kind.clone_into(&mut self.problem.kind);
        self
    }

    /// With a header that tells a program what to do.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    /// With words behind the status, for clients that show them alone.
    #[must_use]
    pub(super) fn with_reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The body of the answer.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Too many of something at a time.
    pub(super) fn busy(detail: impl Into<String>) -> Self {
        let busy = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        let mut busy = busy.with_header(header::RETRY_AFTER, "5");
        // Whoever asks too much must not fill the log, too.
        busy.is_expected = true;
        busy
    }

    /// The disk cannot be written, or not be read, now.
    fn stopped(error: &StoreError, detail: String) -> Self {
        let status = match error {
            StoreError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut problem = Self::new(status, detail).with_header(header::RETRY_AFTER, "5");
        problem.is_expected = true;
        problem
    }

    /// A defect of this program.
    pub(super) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // What lasts is a trouble of the node, and has its own line in the log.
        let is_expected = self.is_expected || status == StatusCode::INSUFFICIENT_STORAGE;
        if status.is_server_error() && !is_expected {
            tracing::warn!(%status, detail = %self.problem.detail, "a request failed");
        }
        let mut response = (status, Json(&*self.problem)).into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem);
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        if let Some(reason) = self.reason {
            let reason = ReasonPhrase::from_static(reason.as_bytes());
            response.extensions_mut().insert(reason);
        }
        response
    }
}

/// Answers a path that is not there.
pub(super) async fn not_found(uri: axum::http::Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {path}; the routes are in the documentation of the HTTP API"),
    )
}

/// Answers a method that a path does not have; which it has is in `Allow`.
pub(super) async fn method_not_allowed(method: axum::http::Method) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("this path does not take {method}; the header Allow lists what it takes"),
    )
}

/// Refuses to sign anything by a clock that cannot be right. It is set within
/// seconds where it ever is.
pub(super) fn require_a_possible_time() -> Result<(), ApiError> {
    match impossible_time() {
        Some(why) => Err(ApiError::busy(why)),
        None => Ok(()),
    }
}

impl From<NodeError> for ApiError {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Command(error) => error.into(),
            NodeError::Stopping => Self::busy(error.to_string()),
            NodeError::SomethingElse => Self::internal(error.to_string()),
        }
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        let detail = error.to_string();
        let status = match error {
            CommandError::UnknownStream(_)
            | CommandError::Beyond { .. }
            | CommandError::NotFound => StatusCode::NOT_FOUND,
            CommandError::Dropped { .. } => StatusCode::GONE,
            CommandError::TooManyRetrievals(_) | CommandError::TooManySearches(_) => {
                return Self::busy(detail);
            }
            CommandError::NotOwner(_) => StatusCode::FORBIDDEN,
            CommandError::Size { .. }
            | CommandError::StoppedForGood(_)
            | CommandError::Ended { .. }
            | CommandError::NotOpen(_)
            | CommandError::NotFollowed(_)
            | CommandError::OwnStream(_) => StatusCode::CONFLICT,
            CommandError::TooMany { .. } | CommandError::TooLong { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            CommandError::NoRoom { .. } => StatusCode::INSUFFICIENT_STORAGE,
            CommandError::Stopped(error) => return Self::stopped(&error, detail),
            CommandError::Repeated => StatusCode::UNPROCESSABLE_ENTITY,
            CommandError::Manifest(_)
            | CommandError::SearchTooLong { .. }
            | CommandError::OwnSuccessor
            | CommandError::Recovery(_) => StatusCode::BAD_REQUEST,
            CommandError::TooNew { .. } => {
                return Self::new(StatusCode::CONFLICT, detail).of_kind(TOO_NEW);
            }
            CommandError::Backwards { place, time, last } => {
                let detail = "the times of this stream never go back; nothing was stored";
                let (time, last) = (to_text(time), to_text(last));
                let backwards = Self::bad_request(detail).of_kind(BACKWARDS);
                return backwards.with_errors(vec![ItemProblem {
                    place,
                    detail: format!(
                        "the time {time} is before {last}, the last one in front of it"
                    ),
                }]);
            }
            CommandError::Value { place, why } => {
                let detail = "a value does not fit the stream; nothing was stored";
                return Self::bad_request(detail).with_errors(vec![ItemProblem {
                    place,
                    detail: format!("the value {why}"),
                }]);
            }
            // Nothing was written, and writing goes on when the disk works again.
            CommandError::Store(error @ StoreError::Failed(_)) => {
                return Self::stopped(&error, detail);
            }
            CommandError::Store(error) => return error.into(),
        };
        Self::new(status, detail)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Full(_) => Self::stopped(&error, detail),
            StoreError::Unclear(_) => Self::internal(format!(
                "{detail}; before you send it again, see whether the stream has grown when the disk \
                 works again, or name requests with Idempotency-Key"
            )),
            StoreError::Failed(_) | StoreError::Damaged(_) => Self::internal(detail),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotHeld(_) => Self::new(
                StatusCode::CONFLICT,
                format!("{error}; sync the stream first"),
            ),
            ReadError::Store(error) => error.into(),
        }
    }
}

impl From<Unreadable> for ApiError {
    fn from(error: Unreadable) -> Self {
        let status = match error {
            Unreadable::NotComeYet(_) | Unreadable::Hole { .. } | Unreadable::Disputed(_) => {
                StatusCode::CONFLICT
            }
            Unreadable::Dropped { .. } => StatusCode::GONE,
            Unreadable::TooNew { log, newer } => return CommandError::TooNew { log, newer }.into(),
            Unreadable::Read(error) => return error.into(),
        };
        Self::new(status, error.to_string())
    }
}

impl From<NoProof> for ApiError {
    fn from(error: NoProof) -> Self {
        let status = match error {
            NoProof::BeyondHead { .. } => StatusCode::NOT_FOUND,
            NoProof::Impossible(_) => StatusCode::BAD_REQUEST,
            NoProof::NoHead
            | NoProof::Early
            | NoProof::Disputed(_)
            | NoProof::NotHeld(_)
            | NoProof::NodesNotHeld(_) => StatusCode::CONFLICT,
            NoProof::Store(error) => return error.into(),
        };
        Self::new(status, error.to_string())
    }
}

impl From<Unresolved> for ApiError {
    fn from(error: Unresolved) -> Self {
        let status = match error {
            Unresolved::Unknown { .. } | Unresolved::Stranger { .. } => StatusCode::NOT_FOUND,
            Unresolved::TooShort(_) | Unresolved::Invite { .. } => StatusCode::BAD_REQUEST,
            Unresolved::Ambiguous { .. } => StatusCode::CONFLICT,
        };
        let advice = match &error {
            Unresolved::Unknown { similar, .. } if similar.is_empty() => {
                "; `headwater list` shows those that are known, and `headwater follow` takes the \
                 invite or the whole id of another node's"
            }
            _ => "",
        };
        Self::new(status, format!("{error}{advice}"))
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too long; split it into several requests",
            ),
            status => Self::new(status, rejection.body_text()),
        }
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<WebSocketUpgradeRejection> for ApiError {
    fn from(rejection: WebSocketUpgradeRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}
