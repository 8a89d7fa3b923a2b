//! Substreams of one connection: yamux, as in `libp2p-yamux`, but with a bound of
//! what may wait unread in all of them. There it is 1 GiB, and no setting of it.
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures::{AsyncReadExt, AsyncWriteExt};
    use libp2p::tcp::tokio::TcpStream as Socket;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;
    use tokio::time::{Instant, sleep, sleep_until};

    use super::*;

    /// How late somebody hears of us. The longer that takes, the larger our windows
    /// become.
    const LATE: Duration = Duration::from_millis(100);

    /// Substreams that are read for a while, so that their windows grow, and how much
    /// is read of each.
    const READ: usize = 4;
    const READ_BYTES: usize = 64 << 20;

    /// What the system keeps of a connection on its way through two sockets.
    const OF_SOCKETS: usize = 16 << 20;

    /// Both ends of a connection on which the first one hears of the second late.
    async fn connected() -> (Socket, Socket) {
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
        tokio::spawn(async move {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(read @ 1..) = from_second.read(&mut bytes).await {
                let _ = late.send((Instant::now() + LATE, bytes[..read].to_vec()));
            }
        });
        tokio::spawn(async move {
            while let Some((at, bytes)) = due.recv().await {
                sleep_until(at).await;
                let _ = to_first.write_all(&bytes).await;
            }
        });
        (Socket(first), Socket(second))
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
    async fn what_is_sent_and_not_read_is_bounded_however_far_away_its_sender_is() {
        let (theirs, ours) = connected().await;
        let mut sender = Yamux::on(theirs, Mode::Client);
        let mut streams = Vec::new();
        for _ in 0..MAX_SUBSTREAMS - 1 {
            let stream = poll_fn(|cx| Pin::new(&mut sender).poll_outbound(cx)).await;
            streams.push(stream.unwrap());
        }
        let mut taken = drive(Yamux::on(ours, Mode::Server));
        let _acknowledged = drive(sender);
        let written = Arc::new(AtomicUsize::new(0));
        for mut stream in streams {
            let written = written.clone();
            tokio::spawn(async move {
                let block = vec![0; 64 << 10];
                while let Ok(bytes @ 1..) = stream.write(&block).await {
                    written.fetch_add(bytes, Ordering::Relaxed);
                }
            });
        }
        let mut held = Vec::new();
        for number in 0..MAX_SUBSTREAMS - 1 {
            let mut stream = taken.recv().await.unwrap();
            held.push(tokio::spawn(async move {
                if number < READ {
                    let mut bytes = vec![0; READ_BYTES];
                    stream.read_exact(&mut bytes).await.unwrap();
                }
                stream
            }));
        }
        let held = futures::future::join_all(held).await;
        let mut before = 0;
        loop {
            sleep(Duration::from_secs(1)).await;
            let now = written.load(Ordering::Relaxed);
            if now == before {
                break;
            }
            before = now;
        }
        let unread = before - READ * READ_BYTES;
        assert!(unread <= MAX_UNREAD_BYTES + OF_SOCKETS, "{unread} bytes");
        // The windows that grow are a part of it.
        assert!(unread > MAX_UNREAD_BYTES * 3 / 4, "{unread} bytes");
        drop(held);
    }

    #[tokio::test]
    async fn one_substream_too_many_ends_the_connection() {
        let (theirs, ours) = connected().await;
        let mut config = yamux::Config::default();
        config.set_max_num_streams(2 * MAX_SUBSTREAMS);
        let mut sender = Connection::new(theirs, config, Mode::Client);
        let mut taken = drive(Yamux::on(ours, Mode::Server));
        let mut streams = Vec::new();
        for _ in 0..=MAX_SUBSTREAMS {
            let stream = poll_fn(|cx| sender.poll_new_outbound(cx)).await;
            let mut stream = stream.unwrap();
            let write = stream.write_all(b"x");
            tokio::pin!(write);
            poll_fn(|cx| {
                let _ = sender.poll_next_inbound(cx);
                write.as_mut().poll(cx)
            })
            .await
            .unwrap();
            streams.push(stream);
        }
        // The end of the connection is what comes next.
        let ended = poll_fn(|cx| sender.poll_next_inbound(cx)).await;
        assert!(!matches!(ended, Some(Ok(_))));
        let mut held = Vec::new();
        while let Some(stream) = taken.recv().await {
            held.push(stream);
        }
        assert!(held.len() <= MAX_SUBSTREAMS);
    }
}
