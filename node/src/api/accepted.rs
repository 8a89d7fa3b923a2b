//! Connections that the API has accepted: who is at the other end, what they
//! wait for, and what their end means.
//!
//! A connection is ended from here ([`super::line`]) by failing what is read of
//! it and written to it, so that whatever answers it comes to its end, too.
//!
//! An answer of unknown length to a client of HTTP/1.0 (nginx asks what is
//! behind it so, unless it is told otherwise) ends with the connection: one that
//! is cut off looks as one that is whole. So the connection is reset unless all
//! was sent, which such clients do notice; also when the process is killed.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use futures::StreamExt;
use hyper::body::{Frame, SizeHint};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::crowd::{Crowd, Entry, Membership, NO_FILE_PAUSE};
use super::head::Unreadable;
use super::limits::MAX_REFUSED_BYTES;
use super::line::{Cut, Line};
use super::peer::Peer;
use super::state::ApiState;
use crate::handle::{Node, is_out_of_files};

/// How much the system takes that was not yet sent: what somebody does not read
/// must not take megabytes of its memory, and shows soon. What is under way on a
/// long line comes on top of it. The system says that it takes more when half of
/// this is under way.
const UNSENT_BYTES: u32 = 32 << 10;

/// What one is told for whom there is no place.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
Connection: close\r\nRetry-After: 5\r\nContent-Type: application/problem+json\r\n\
Content-Length: 146\r\n\r\n\
{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
\"detail\":\"all connections of the API are taken; close some, or try again later\"}\n";

impl Connected<IncomingStream<'_, Accepting>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Accepting>) -> Self {
        stream.io().peer.clone()
    }
}

/// Accepts the connections of the API.
#[derive(Debug)]
pub struct Accepting {
    listener: TcpListener,
    node: Node,
    crowd: Arc<Crowd>,
}

impl Accepting {
    /// From this socket, for this API.
    #[must_use]
    pub fn new(listener: TcpListener, state: &ApiState) -> Self {
        let crowd = state.crowd().clone();
        tokio::spawn(Crowd::watch(Arc::downgrade(&crowd)));
        Self {
            listener,
            node: state.node().clone(),
            crowd,
        }
    }

    /// The next connection, and a place for it.
    async fn next(&self) -> (TcpStream, SocketAddr, Membership) {
        loop {
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_out_of_files(&error) => {
                    self.node.ran_out_of_files("the API", &error);
                    self.crowd.make_room();
                    tokio::time::sleep(NO_FILE_PAUSE).await;
                    continue;
                }
                // It was gone before it was accepted.
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    continue;
                }
            };
            match self.crowd.enter(address).await {
                Entry::Taken(membership) => return (stream, address, membership),
                Entry::Refused => {
                    // A new socket takes so much at once, or is gone.
                    let _ = stream.try_write(REFUSAL);
                }
            }
        }
    }
}

impl Listener for Accepting {
    type Io = Accepted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Accepted, SocketAddr) {
        let (stream, address, membership) = self.next().await;
        // A command's small request must not wait for an acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        if let Err(error) = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES) {
            tracing::debug!(%error, "cannot set TCP_NOTSENT_LOWAT");
        }
        let peer = Peer::on(membership.line.clone());
        let resets = false;
        let accepted = Accepted {
            stream,
            peer,
            resets,
            refused: None,
            membership,
        };
        (accepted, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection.
#[derive(Debug)]
pub struct Accepted {
    stream: TcpStream,
    peer: Peer,
    /// Whether closing it now resets it.
    resets: bool,
    /// Bytes that came after it was said that no more is read, once it was.
    refused: Option<usize>,
    /// Given back when the socket is closed.
    membership: Membership,
}

impl Accepted {
    /// Takes over what closing it means. The system does it then, whatever
    /// becomes of the process.
    fn take_over(&mut self) {
        let owes = self.peer.owes_end();
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

    /// Fails once the connection is to end.
    fn go_on(&mut self, cx: &Context<'_>) -> io::Result<()> {
        match self.peer.line().cut_for(cx.waker()) {
            Some(_) => Err(io::ErrorKind::TimedOut.into()),
            None => Ok(()),
        }
    }

    /// Says why no more of a head is read. Whoever answers requests has not heard of
    /// this one.
    fn refuse(&mut self, why: Unreadable) {
        self.refused = Some(0);
        if self.peer.line().is_silent() {
            // A socket that has sent all that it was given takes so much at once, or
            // is gone.
            let _ = self.stream.try_write(why.answer().as_bytes());
        }
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
    }

    /// Fails once the other end is done, or has sent too much: what was said would be
    /// lost if the connection were closed while something still comes. How long it may
    /// take is known to [`Line`].
    fn drained(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(self.stream().poll_read(cx, &mut buffer))?;
            let read = buffer.filled().len();
            let all = self.refused.unwrap_or_default() + read;
            self.refused = Some(all);
            if read == 0 || all > MAX_REFUSED_BYTES {
                let text = "the head of a request cannot be read";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
            }
        }
    }

    /// Notes how much the other end has taken, if it has taken anything.
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let taken = match &written {
            Poll::Ready(Ok(bytes)) => Some(*bytes),
            Poll::Ready(Err(_)) => Some(0),
            Poll::Pending => None,
        };
        self.peer.line().wrote(taken);
        written
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        self.peer.line().ends();
        // The system would go on to offer what nobody takes.
        if self.peer.line().cut_why() == Some(Cut::Stalled)
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "cannot set SO_LINGER");
        }
        if self.peer.line().standing().may_hang() {
            match SockRef::from(&self.stream).try_clone() {
                Ok(socket) => self.membership.hang(socket),
                Err(error) => tracing::debug!(%error, "a connection is closed at once"),
            }
        }
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
        self.go_on(cx)?;
        if self.refused.is_some() {
            return self.drained(cx);
        }
        let before = buffer.filled().len();
        let read = self.stream().poll_read(cx, buffer);
        let bytes = read.is_ready().then(|| &buffer.filled()[before..]);
        self.peer.line().read(bytes);
        match self.peer.line().unreadable() {
            Some(why) => {
                buffer.set_filled(before);
                self.refuse(why);
                self.drained(cx)
            }
            None => read,
        }
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.go_on(cx)?;
        self.take_over();
        let written = self.stream().poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.go_on(cx)?;
        self.take_over();
        let written = self.stream().poll_write_vectored(cx, bytes);
        self.wrote(written)
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
        self.peer.line().ends();
        match self.resets {
            // A shutdown would say that all was sent.
            true => Poll::Ready(Ok(())),
            false => self.stream().poll_shutdown(cx),
        }
    }
}

/// The connection of a request, if there is a socket.
pub(super) fn line_of(request: &Request) -> Option<Arc<Line>> {
    let peer = request.extensions().get::<ConnectInfo<Peer>>();
    peer.map(|ConnectInfo(peer)| peer.line().clone())
}

/// Notes that a request is there, and when its body is read.
pub(super) fn asked(line: &Arc<Line>, request: Request) -> Request {
    let has_body = !request.body().is_end_stream();
    line.asked(has_body);
    match has_body {
        true => request.map(|body| until(body, line.clone(), Line::body_ended)),
        false => request,
    }
}

/// Notes when a request is answered. A WebSocket is, for as long as it is open.
pub(super) fn answered(line: Arc<Line>, response: Response) -> Response {
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => response,
        _ => response.map(|body| until(body, line, Line::answered)),
    }
}

/// A body, and what is done when it has ended or is given up.
fn until(body: Body, line: Arc<Line>, ended: fn(&Line, bool)) -> Body {
    Body::new(Noted {
        body,
        line,
        ended,
        is_whole: false,
    })
}

struct Noted {
    body: Body,
    line: Arc<Line>,
    /// Told whether all of it came.
    ended: fn(&Line, bool),
    is_whole: bool,
}

impl HttpBody for Noted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.is_whole |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let is_whole = self.is_whole || self.body.is_end_stream();
        (self.ended)(&self.line, is_whole);
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
                    peer.owe_end(true);
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
                peer.owe_end(false);
            }
            block.map(|block| (block, (body, peer)))
        });
    Body::from_stream(blocks.fuse())
}
