//! What every request passes on its way in, and its answer on its way out.
//!
//! It is one layer: a layer of axum copies all that lies within it, more than
//! once a request, so that three of them take longer than to publish. And it is
//! no function as middleware, which would be given a copy of the rest, too.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use tower::{Layer, Service};
use tracing::Instrument;

use super::accepted::{self, Ending};
use super::caller::Caller;
use super::crowd::Crowd;
use super::dashboard::LINKS;
use super::line::Line;
use super::problem::ApiError;
use super::request_coding;
use super::state::ApiState;
use crate::spans;

/// Lets in what [`LocalTrust`](super::auth::LocalTrust) lets in and comes in a
/// form that is read, before anything of the body is.
#[derive(Clone, Debug)]
pub(super) struct Entrance(pub(super) ApiState);

impl<S> Layer<S> for Entrance {
    type Service = Entered<S>;

    fn layer(&self, inner: S) -> Entered<S> {
        let entrance = self.clone();
        Entered { entrance, inner }
    }
}

impl Entrance {
    /// The answer to a request that is not let in. One that is says whose it is,
    /// and whether peers may be asked for it.
    fn refusal(&self, line: Option<&Line>, request: &mut Request) -> Option<Response> {
        let Self(state) = self;
        if line.is_some_and(Line::is_ambiguous) {
            let text = "the request has both Content-Length and Transfer-Encoding, so that nobody can tell \
                        where its body ends; send one of them";
            return Some(ApiError::bad_request(text).into_response());
        }
        let trust = state.trust();
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let refused = trust.refusal(method, uri, headers);
        let refused =
            refused.or_else(|| request_coding::refusal(request).map(IntoResponse::into_response));
        if refused.is_some() {
            return refused;
        }
        let caller = trust.caller(headers);
        if let Some(refused) = line.and_then(|line| no_place(state.crowd(), &caller, line)) {
            return Some(refused.into_response());
        }
        let may_ask = trust.may_ask_peers(uri, headers, &caller);
        let known = request.extensions_mut();
        known.insert(may_ask);
        known.insert(caller);
        None
    }
}

/// What lies behind the entrance.
#[derive(Clone, Debug)]
pub(super) struct Entered<S> {
    entrance: Entrance,
    inner: S,
}

impl<S> Service<Request> for Entered<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let span = spans::request(request.method(), shown(request.uri().path()));
        let ending = Ending::of(&request);
        let line = accepted::line_of(&request);
        let mut request = match &line {
            Some(line) => accepted::asked(line, request),
            None => request,
        };
        match self.entrance.refusal(line.as_deref(), &mut request) {
            Some(refused) => span.in_scope(|| ready(Ok(sent(refused, ending, line))).boxed()),
            None => {
                let answered = span.in_scope(|| self.inner.call(request));
                answered
                    .map(|Ok(response)| Ok(sent(response, ending, line)))
                    .instrument(span)
                    .boxed()
            }
        }
    }
}

/// A path, as the log may show it: whoever has a link that was not followed yet gets in.
fn shown(path: &str) -> &str {
    match path.starts_with(LINKS) {
        true => LINKS,
        false => path,
    }
}

fn sent(mut response: Response, ending: Ending, line: Option<Arc<Line>>) -> Response {
    tracing::trace!(status = response.status().as_u16(), "answered");
    // Values are whatever a publisher wrote; a browser must not guess that
    // they are a page.
    let nosniff = HeaderValue::from_static("nosniff");
    (response.headers_mut()).insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let response = ending.told(response);
    match line {
        Some(line) => accepted::answered(line, response),
        None => response,
    }
}

/// Notes who a connection belongs to. A part of all connections is for those who
/// show a token.
fn no_place(crowd: &Crowd, caller: &Caller, line: &Line) -> Option<ApiError> {
    let is_known = *caller != Caller::Unknown;
    line.trust(is_known);
    if is_known {
        return None;
    }
    if crowd.has_room_for_strangers() {
        return None;
    }
    crowd.refused();
    Some(ApiError::busy(
        "the connections of the API that are for requests without a token are taken; close some, show a \
         token, or try again later",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_that_lets_somebody_in_is_shown() {
        assert_eq!(shown("/open/abcdef"), "/open/");
        assert_eq!(shown("/v1/streams"), "/v1/streams");
    }
}
