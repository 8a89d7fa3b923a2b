//! Substreams of one connection: yamux, as in `libp2p-yamux`, but with a bound of
//! what may wait unread in all of them. There it is 1 GiB, and no setting of it. (What
//! keeping it costs is not bounded here: see [`MAX_UNREAD_BYTES`].)
//!
//! Each substream may have 256 KiB, as the protocol fixes it, and more the faster it
//! is read and the longer a round trip takes; the other end tells how long that is.

use std::collections::VecDeque;
use std::io;
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use futures::future::{Ready, ready as at_once};
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use yamux::{Connection, ConnectionError, Mode, Stream};

use crate::net::limits::{MAX_SUBSTREAMS, MAX_UNREAD_BYTES, MAX_WAITING_SUBSTREAMS};

/// Makes a [`Muxer`] of a bare connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Yamux;

impl Yamux {
    fn on<C>(io: C, mode: Mode) -> Muxer<C>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = yamux::Config::default();
        // Each call checks that both fit together.
        config
            .set_max_num_streams(MAX_SUBSTREAMS)
            .set_max_connection_receive_window(Some(MAX_UNREAD_BYTES));
        Muxer {
            connection: Connection::new(io, config, mode),
            waiting: VecDeque::new(),
            taker: None,
        }
    }
}

impl UpgradeInfo for Yamux {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<C> InboundConnectionUpgrade<C> for Yamux
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_inbound(self, io: C, _: Self::Info) -> Self::Future {
        at_once(Ok(Self::on(io, Mode::Server)))
    }
}

impl<C> OutboundConnectionUpgrade<C> for Yamux
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_outbound(self, io: C, _: Self::Info) -> Self::Future {
        at_once(Ok(Self::on(io, Mode::Client)))
    }
}

/// The substreams of a connection.
pub(super) struct Muxer<C> {
    connection: Connection<C>,
    /// Those of the other end that nobody has taken yet. They come while the
    /// connection is driven for others.
    waiting: VecDeque<Stream>,
    /// Who takes the next one.
    taker: Option<Waker>,
}

impl<C> Muxer<C>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Stream, ConnectionError>> {
        let next = self.connection.poll_next_inbound(cx);
        next.map(|next| next.unwrap_or(Err(ConnectionError::Closed)))
    }
}

impl<C> StreamMuxer for Muxer<C>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    type Substream = Stream;
    type Error = ConnectionError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, ConnectionError>> {
        if let Some(stream) = self.waiting.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = self.poll_next(cx);
        if next.is_pending() {
            self.taker = Some(cx.waker().clone());
        }
        next
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, ConnectionError>> {
        self.connection.poll_new_outbound(cx)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.connection.poll_close(cx)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, ConnectionError>> {
        let stream = ready!(self.poll_next(cx))?;
        // One that is dropped is reset, and what came in it is gone.
        if self.waiting.len() < MAX_WAITING_SUBSTREAMS {
            self.waiting.push_back(stream);
            if let Some(taker) = self.taker.take() {
                taker.wake();
            }
        }
        // Others have their turn between two of them.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use futures::future::join_all;
    use futures::{AsyncReadExt, AsyncWriteExt};
    use libp2p::tcp::tokio::TcpStream as Socket;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;
    use tokio::time::{Instant, sleep_until};
    use yamux::DEFAULT_CREDIT;

    use super::*;

    /// How late somebody hears of us. The longer that takes, the larger our windows
    /// become.
    const LATE: Duration = Duration::from_millis(100);

    /// Substreams that are read, so that their windows grow, and how much is read of
    /// each.
    const READ: usize = 4;
    const READ_BYTES: usize = 64 << 20;
    const BLOCK: usize = 64 << 10;

    /// What all substreams may have waiting without growing.
    const FIXED: usize = MAX_SUBSTREAMS * DEFAULT_CREDIT as usize;

    /// Bytes of the head of a frame, its kinds, and the flag of one that opens a
    /// substream.
    const HEAD: usize = 12;
    const DATA: u8 = 0;
    const WINDOW: u8 = 1;
    const GO_AWAY: u8 = 3;
    const OPENS: u8 = 1;

    /// What one end has allowed the other one to send, beside what is fixed, by the
    /// frames that it has sent.
    #[derive(Default)]
    struct Allowed {
        bytes: usize,
        head: Vec<u8>,
        /// What is still to come of the last frame.
        body: usize,
    }

    impl Allowed {
        fn read(&mut self, mut bytes: &[u8]) {
            while !bytes.is_empty() {
                let body = self.body.min(bytes.len());
                self.body -= body;
                bytes = &bytes[body..];
                let (head, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
                self.head.extend(head);
                bytes = rest;
                if let [_, kind, .., a, b, c, d] = self.head[..]
                    && self.head.len() == HEAD
                {
                    let length = u32::from_be_bytes([a, b, c, d]) as usize;
                    match kind {
                        DATA => self.body = length,
                        WINDOW => self.bytes += length,
                        _ => {}
                    }
                    self.head.clear();
                }
            }
        }
    }

    /// Both ends of a connection on which the first one hears of the second late, and
    /// what the second allows the first.
    async fn connected() -> (Socket, Socket, Arc<Mutex<Allowed>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let pair = async || {
            let near = TcpStream::connect(address).await.unwrap();
            (near, listener.accept().await.unwrap().0)
        };
        let ((first, relayed), (second, relayed_second)) = (pair().await, pair().await);
        let (mut from_first, mut to_first) = relayed.into_split();
        let (mut from_second, mut to_second) = relayed_second.into_split();
        tokio::spawn(async move { copy(&mut from_first, &mut to_second).await });
        let (late, mut due) = mpsc::unbounded_channel();
        let allowed = Arc::new(Mutex::new(Allowed::default()));
        let counted = allowed.clone();
        tokio::spawn(async move {
            let mut bytes = vec![0; BLOCK];
            while let Ok(read @ 1..) = from_second.read(&mut bytes).await {
                counted.lock().unwrap().read(&bytes[..read]);
                let _ = late.send((Instant::now() + LATE, bytes[..read].to_vec()));
            }
        });
        tokio::spawn(async move {
            while let Some((at, bytes)) = due.recv().await {
                sleep_until(at).await;
                let _ = to_first.write_all(&bytes).await;
            }
        });
        (Socket(first), Socket(second), allowed)
    }

    /// Drives a connection, and hands on the substreams of the other end.
    fn drive(mut muxer: Muxer<Socket>) -> mpsc::UnboundedReceiver<Stream> {
        let (streams, taken) = mpsc::unbounded_channel();
        tokio::spawn(poll_fn(move |cx| {
            while let Poll::Ready(Ok(stream)) = Pin::new(&mut muxer).poll_inbound(cx) {
                let _ = streams.send(stream);
            }
            Pin::new(&mut muxer).poll(cx).map(drop)
        }));
        taken
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_may_be_sent_and_not_read_is_bounded_however_far_away_its_sender_is() {
        let (theirs, ours, allowed) = connected().await;
        let mut sender = Yamux::on(theirs, Mode::Client);
        let mut ends = Vec::new();
        for _ in 0..READ {
            let stream = poll_fn(|cx| Pin::new(&mut sender).poll_outbound(cx)).await;
            let mut stream = stream.unwrap();
            ends.push(tokio::spawn(async move {
                let block = [0; BLOCK];
                for _ in 0..READ_BYTES / BLOCK {
                    stream.write_all(&block).await.unwrap();
                }
                stream.read_exact(&mut [0; 1]).await.unwrap();
            }));
        }
        let mut taken = drive(Yamux::on(ours, Mode::Server));
        let _none = drive(sender);
        for _ in 0..READ {
            let mut stream = taken.recv().await.unwrap();
            ends.push(tokio::spawn(async move {
                let mut block = [0; BLOCK];
                for _ in 0..READ_BYTES / BLOCK {
                    stream.read_exact(&mut block).await.unwrap();
                }
                // It comes behind all that the substream has allowed.
                stream.write_all(b"x").await.unwrap();
            }));
        }
        let ended = join_all(ends).await;
        assert!(ended.iter().all(Result::is_ok));
        let unread = FIXED + allowed.lock().unwrap().bytes - READ * READ_BYTES;
        assert!(unread <= MAX_UNREAD_BYTES, "{unread} bytes");
        // The windows that grow are a part of it.
        let grown = MAX_UNREAD_BYTES - FIXED;
        assert!(unread > FIXED + grown / 4, "{unread} bytes");
    }

    #[tokio::test]
    async fn who_opens_one_substream_too_many_is_told_to_go_and_has_none_more() {
        let (mut theirs, ours, _) = connected().await;
        let mut taken = drive(Yamux::on(ours, Mode::Server));
        let mut held = Vec::new();
        // Of the end that dials they have odd numbers.
        let mut numbers = (1..).step_by(2);
        let mut opens = || {
            let [a, b, c, d] = u32::to_be_bytes(numbers.next().unwrap());
            [0, WINDOW, 0, OPENS, a, b, c, d, 0, 0, 0, 0]
        };
        for _ in 0..MAX_SUBSTREAMS {
            theirs.write_all(&opens()).await.unwrap();
            held.push(taken.recv().await.unwrap());
        }
        // Also who does not heed it.
        for _ in 0..2 {
            theirs.write_all(&opens()).await.unwrap();
            let mut answer = [0; HEAD];
            while answer[1] != GO_AWAY {
                theirs.read_exact(&mut answer).await.unwrap();
            }
        }
        assert_eq!(
            taken.try_recv().err(),
            Some(mpsc::error::TryRecvError::Empty)
        );
    }
}
