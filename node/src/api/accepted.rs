//! Connections that the API has accepted: who is at the other end, and what
//! their end means.
//!
//! An answer of unknown length to a client of HTTP/1.0 (nginx asks what is
//! behind it so, unless it is told otherwise) ends with the connection: one that
//! is cut off looks as one that is whole. So the connection is reset unless all
//! was sent, which such clients do notice; also when the process is killed.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, Version, header};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    address: SocketAddr,
    /// Whether an answer is under way whose end is that of the connection.
    owes: Arc<AtomicBool>,
}

impl Peer {
    pub(super) fn of(address: SocketAddr) -> Self {
        Self {
            address,
            owes: Arc::default(),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connection, without holding it.
    pub(super) fn connection(&self) -> Connection {
        Connection(Arc::downgrade(&self.owes))
    }

    fn owes(&self, owes: bool) {
        self.owes.store(owes, Ordering::Release);
    }
}

/// A connection that may have ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection(Weak<AtomicBool>);

impl Connection {
    pub(super) fn is_open(&self) -> bool {
        self.0.strong_count() > 0
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

impl Connected<IncomingStream<'_, Accepting>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Accepting>) -> Self {
        stream.io().peer.clone()
    }
}

/// Accepts the connections of the API.
#[derive(Debug)]
pub struct Accepting(TcpListener);

impl Accepting {
    /// From this socket.
    #[must_use]
    pub fn new(listener: TcpListener) -> Self {
        Self(listener)
    }
}

impl Listener for Accepting {
    type Io = Accepted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Accepted, SocketAddr) {
        // It goes on after errors by itself.
        let (stream, address) = Listener::accept(&mut self.0).await;
        // A command's small request must not wait for an acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let peer = Peer::of(address);
        let resets = false;
        (
            Accepted {
                stream,
                peer,
                resets,
            },
            address,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection.
#[derive(Debug)]
pub struct Accepted {
    stream: TcpStream,
    peer: Peer,
    /// Whether closing it now resets it.
    resets: bool,
}

impl Accepted {
    /// Takes over what closing it means. The system does it then, whatever
    /// becomes of the process.
    fn take_over(&mut self) {
        let owes = self.peer.owes.load(Ordering::Acquire);
        if owes == self.resets {
            return;
        }
        let set = match owes {
            true => self.stream.set_zero_linger(),
            false => lingers_not(&self.stream),
        };
        match set {
            Ok(()) => self.resets = owes,
            Err(error) => tracing::debug!(%error, "cannot set SO_LINGER"),
        }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.stream)
    }
}

/// As it was: what is not yet sent goes on its way after the close.
#[expect(
    deprecated,
    reason = "only a time to wait would block, and this sets none"
)]
fn lingers_not(stream: &TcpStream) -> io::Result<()> {
    stream.set_linger(None)
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take_over();
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.take_over();
        self.stream().poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.take_over();
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.take_over();
        match self.resets {
            // A shutdown would say that all was sent.
            true => Poll::Ready(Ok(())),
            false => self.stream().poll_shutdown(cx),
        }
    }
}

/// What the end of an answer means to who asked.
pub(super) enum Ending {
    /// It is told by the answer's form.
    Told,
    /// It is that of the connection, where the answer has no length.
    OfConnection(Peer),
}

impl Ending {
    pub(super) fn of(request: &Request) -> Self {
        let is_old = request.version() < Version::HTTP_11;
        let peer = request.extensions().get::<ConnectInfo<Peer>>();
        match peer.filter(|_| is_old) {
            Some(ConnectInfo(peer)) => Self::OfConnection(peer.clone()),
            None => Self::Told,
        }
    }

    /// Lets an answer whose end is that of the connection owe its end.
    pub(super) fn told(self, response: Response) -> Response {
        let has_length = || {
            response.headers().contains_key(header::CONTENT_LENGTH)
                || response.body().size_hint().exact().is_some()
        };
        match self {
            Self::OfConnection(peer) if !has_length() && !is_endless(&response) => {
                response.map(|body| {
                    peer.owes(true);
                    owing(body, peer)
                })
            }
            Self::OfConnection(_) | Self::Told => response,
        }
    }
}

/// Events go on until somebody goes; who comes back says what the last one was.
fn is_endless(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.map(HeaderValue::as_bytes)
        .is_some_and(|kind| kind.starts_with(b"text/event-stream"))
}

fn owing(body: Body, peer: Peer) -> Body {
    let blocks =
        futures::stream::unfold((body.into_data_stream(), peer), |(mut body, peer)| async {
            let block = body.next().await;
            if block.is_none() {
                peer.owes(false);
            }
            block.map(|block| (block, (body, peer)))
        });
    Body::from_stream(blocks.fuse())
}
