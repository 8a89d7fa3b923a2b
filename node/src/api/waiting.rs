//! Answers that are made in memory at once, and wait there for their clients.
//! They are handed over in blocks, so that it is known how long they wait, and all
//! of them together are bounded.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use serde::Serialize;

use super::caller::Client;
use super::crowd::Crowd;
use super::limits::BLOCK_BYTES;
use super::line::Line;
use super::problem::ApiError;

/// An answer that was written where it was made: long ones take milliseconds, which
/// nobody else should wait for.
#[derive(Debug)]
pub(super) struct Written(Bytes);

impl Written {
    pub(super) fn json<T: Serialize>(value: &T) -> Result<Self, ApiError> {
        let written = serde_json::to_vec(value);
        let failed = |error| ApiError::internal(format!("an answer cannot be written: {error}"));
        written.map(|written| Self(written.into())).map_err(failed)
    }

    /// Lets it wait for its client, if there is room for it.
    pub(super) fn for_client(self, crowd: &Crowd, client: &Client) -> Result<Response, ApiError> {
        let bytes = self.0.len();
        let body = match &client.line {
            Some(line) if bytes > BLOCK_BYTES => {
                if !crowd.let_wait(line, bytes) {
                    let text =
                        "too many answers wait for clients that do not read them; try again later";
                    return Err(ApiError::busy(text));
                }
                Body::new(Waiting::new(self.0, line.clone()))
            }
            Some(_) | None => Body::from(self.0),
        };
        let kind = HeaderValue::from_static("application/json");
        Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
    }
}

/// A body that waits.
struct Waiting {
    rest: Bytes,
    line: Arc<Line>,
}

impl Waiting {
    fn new(rest: Bytes, line: Arc<Line>) -> Self {
        Self { rest, line }
    }
}

impl HttpBody for Waiting {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let bytes = self.rest.len().min(BLOCK_BYTES);
        let block = self.rest.split_to(bytes);
        Poll::Ready((bytes > 0).then(|| Ok(Frame::data(block))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.line.set_waiting(0);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::super::peer::Peer;
    use super::*;

    #[tokio::test]
    async fn an_answer_is_handed_over_in_blocks_and_waits_until_the_last() {
        let bytes = Bytes::from(vec![b'x'; 3 * BLOCK_BYTES + 1]);
        let line = Peer::of("127.0.0.1:1".parse().unwrap()).line().clone();
        line.set_waiting(bytes.len());
        let mut body = Waiting::new(bytes.clone(), line.clone());
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let block = frame.unwrap().into_data().unwrap();
            assert!(block.len() <= BLOCK_BYTES);
            read.extend_from_slice(&block);
            let rest = (bytes.len() - read.len()) as u64;
            assert_eq!(body.size_hint().exact(), Some(rest));
            assert_eq!(body.is_end_stream(), rest == 0);
        }
        assert_eq!(read, bytes);
        assert!(line.waiting() > 0);
        drop(body);
        assert_eq!(line.waiting(), 0);
    }
}
