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

use super::accepted::Ending;
use super::auth::LocalTrust;
use super::request_coding;

/// Lets in what [`LocalTrust`] lets in and comes in a form that is read, before
/// anything of the body is.
#[derive(Clone, Debug)]
pub(super) struct Entrance(pub(super) Arc<LocalTrust>);

impl<S> Layer<S> for Entrance {
    type Service = Entered<S>;

    fn layer(&self, inner: S) -> Entered<S> {
        let entrance = self.clone();
        Entered { entrance, inner }
    }
}

impl Entrance {
    fn refusal(&self, request: &Request) -> Option<Response> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let refused = self.0.refusal(method, uri, headers);
        refused.or_else(|| request_coding::refusal(request).map(IntoResponse::into_response))
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
        let ending = Ending::of(&request);
        match self.entrance.refusal(&request) {
            Some(refused) => ready(Ok(sent(refused, ending))).boxed(),
            None => {
                let answered = self.inner.call(request);
                answered
                    .map(|Ok(response)| Ok(sent(response, ending)))
                    .boxed()
            }
        }
    }
}

fn sent(mut response: Response, ending: Ending) -> Response {
    // Values are whatever a publisher wrote; a browser must not guess that
    // they are a page.
    let nosniff = HeaderValue::from_static("nosniff");
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    ending.told(response)
}
