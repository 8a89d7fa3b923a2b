//! The date that answers have. hyper keeps one for each thread and looks at the clock
//! whenever the thread takes up a connection: also where no date is to be said. If the
//! clock shows a time before 1970 when it does so for the first time, it panics, and
//! the connection ends. Later it goes on with the date that it has.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use futures::FutureExt;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;

use crate::handle::is_before_1970;

thread_local! {
    static IS_KEPT: Cell<bool> = const { Cell::new(false) };
}

/// Has a date kept for this thread, unless there is one or the clock shows none that
/// can be. For each thread of a runtime that serves the API, when it begins and, should
/// the clock have been wrong then, whenever it wakes up.
pub fn keep_date() {
    if IS_KEPT.get() || is_before_1970() {
        return;
    }
    let nobody = service_fn(|_| ready(Ok::<_, Infallible>(Response::new(Body::empty()))));
    let taken_up = http1::Builder::new().serve_connection(Gone, nobody);
    let _ = taken_up.now_or_never();
    IS_KEPT.set(true);
}

/// A connection whose other end has gone.
struct Gone;

impl Read for Gone {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Write for Gone {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
