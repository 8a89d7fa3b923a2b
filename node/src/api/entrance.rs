//! What every request passes on its way in, and its answer on its way out.
//!
//! It is one layer: a layer of axum copies all that lies within it, more than
//! once a request, so that three of them take longer than to publish.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::accepted::Ending;
use super::auth::LocalTrust;
use super::request_coding;

/// Lets in what [`LocalTrust`] lets in and comes in a form that is read, before
/// anything of the body is.
pub(super) async fn pass(
    State(trust): State<Arc<LocalTrust>>,
    request: Request,
    next: Next,
) -> Response {
    let ending = Ending::of(&request);
    let refused = match trust.refusal(request.method(), request.uri(), request.headers()) {
        Some(refused) => Some(refused),
        None => request_coding::refusal(request.headers()).map(IntoResponse::into_response),
    };
    let mut response = match refused {
        Some(refused) => refused,
        None => next.run(request).await,
    };
    // Values are whatever a publisher wrote; a browser must not guess that
    // they are a page.
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    ending.told(response)
}
