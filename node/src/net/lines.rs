//! The TCP sockets under the connections: those that have gone dead end. The
//! system notices that what was sent is not acknowledged; that an address has
//! left this machine is found out here, and so is who lets small packets through
//! and no large ones.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use futures::{AsyncRead, AsyncWrite};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use libp2p::tcp::tokio::TcpStream;
use socket2::{SockRef, TcpKeepalive};
use tokio::time::Instant;

use super::limits::{KEEPALIVE_AFTER, KEEPALIVE_EVERY, MIN_TRACKED_LINES, UNACKNOWLEDGED};
use super::narrow_paths::NarrowPaths;

/// All TCP sockets that are open, and what is known of the paths they take.
/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    open: Arc<Mutex<Vec<Weak<Ends>>>>,
    narrow: NarrowPaths,
}

/// Where a socket begins and ends, and how it is cut.
#[derive(Debug)]
struct Ends {
    local: SocketAddr,
    remote: SocketAddr,
    is_cut: AtomicBool,
    reader: AtomicWaker,
}

impl Ends {
    fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.reader.wake();
    }
}

impl Lines {
    /// Watches over a socket from now on.
    pub(super) fn keep(&self, socket: TcpStream) -> io::Result<Line> {
        watch(&socket)?;
        let ends = Arc::new(Ends {
            local: canonical(socket.0.local_addr()?),
            remote: canonical(socket.0.peer_addr()?),
            is_cut: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() == open.capacity() {
            open.retain(|ends| ends.strong_count() > 0);
            let room = open.len().max(MIN_TRACKED_LINES);
            open.reserve(room);
        }
        open.push(Arc::downgrade(&ends));
        drop(open);
        Ok(Line {
            socket,
            ends,
            narrow: self.narrow.clone(),
            last_read: Instant::now(),
        })
    }

    /// Ends the sockets whose local addresses have left this machine.
    pub(super) fn cut_departed(&self) {
        let open = self.open();
        let mut locals: Vec<SocketAddr> = open.iter().map(|ends| ends.local).collect();
        locals.iter_mut().for_each(|local| local.set_port(0));
        locals.sort_unstable();
        locals.dedup();
        locals.retain(|local| !is_here(*local));
        for ends in open {
            let mut local = ends.local;
            local.set_port(0);
            if locals.contains(&local) {
                tracing::debug!(address = %ends.local, remote = %ends.remote, "left this machine, so its connection ends");
                ends.cut();
            }
        }
    }

    /// Ends the socket of a connection to this address at once: a connection that
    /// is closed in order waits until all is sent, which on a dead line is never.
    pub(super) fn cut(&self, remote: &Multiaddr) {
        let Some(remote) = tcp_of(remote) else { return };
        for ends in self.open() {
            if ends.remote == remote {
                ends.cut();
            }
        }
    }

    /// Ends all of them.
    pub(super) fn cut_all(&self) {
        self.open().iter().for_each(|ends| ends.cut());
    }

    /// Where large packets do not pass.
    pub(super) fn narrow(&self) -> &NarrowPaths {
        &self.narrow
    }

    fn open(&self) -> Vec<Arc<Ends>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Has the system ask whether the other end is there while nothing is sent, and
/// give up when what is sent is not acknowledged.
fn watch(socket: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(&socket.0);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER);
    socket.set_tcp_keepalive(&keepalive.with_interval(KEEPALIVE_EVERY))?;
    // Elsewhere the pings notice, later.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

/// Whether an address (its port is 0) is one of this machine's. Where that cannot
/// be told it is taken for one.
pub(super) fn is_here(address: impl Into<SocketAddr>) -> bool {
    match UdpSocket::bind(address.into()) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::AddrNotAvailable,
    }
}

/// The address from which this machine would send to another one.
pub(super) fn source_of(remote: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    // No packet is sent: the system only looks for the route.
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((remote, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// An IPv4 address may be written as an IPv6 one.
fn canonical(mut address: SocketAddr) -> SocketAddr {
    address.set_ip(address.ip().to_canonical());
    address
}

fn tcp_of(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => IpAddr::from(ip).to_canonical(),
        _ => return None,
    };
    match (parts.next()?, parts.next()) {
        (Protocol::Tcp(port), None | Some(Protocol::P2p(_))) => Some((ip, port).into()),
        _ => None,
    }
}

/// A TCP socket that is watched over.
#[derive(Debug)]
pub(super) struct Line {
    socket: TcpStream,
    ends: Arc<Ends>,
    narrow: NarrowPaths,
    last_read: Instant,
}

impl Line {
    fn cut_error(&self) -> Option<io::Error> {
        let is_cut = self.ends.is_cut.load(Ordering::Acquire);
        is_cut.then(|| io::Error::new(io::ErrorKind::ConnectionAborted, "its line is dead"))
    }

    /// The system gave up, because what was sent was not acknowledged; and in the
    /// meantime something came from the other end: what is lost are our large
    /// packets.
    fn look_at(&self, error: &io::Error) {
        let heard = self.last_read.elapsed() < UNACKNOWLEDGED - Duration::from_secs(1);
        if error.kind() == io::ErrorKind::TimedOut && heard {
            self.narrow.note(self.ends.remote.ip(), Instant::now());
        }
    }

    fn look_after<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &result {
            self.look_at(error);
        }
        result
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.cut_error() {
            return Poll::Ready(Err(error));
        }
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        match read {
            Poll::Ready(Ok(_)) => self.last_read = Instant::now(),
            Poll::Ready(Err(_)) => return self.look_after(read),
            Poll::Pending => {
                self.ends.reader.register(cx.waker());
                // It may have been cut since.
                if let Some(error) = self.cut_error() {
                    return Poll::Ready(Err(error));
                }
            }
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.cut_error() {
            return Poll::Ready(Err(error));
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, buffer);
        self.look_after(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.cut_error() {
            return Poll::Ready(Err(error));
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, buffers);
        self.look_after(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.look_after(flushed)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.socket).poll_close(cx);
        self.look_after(closed)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Both ends of a connection over loopback; the first one is watched over.
    async fn line(lines: &Lines) -> (Line, tokio::net::TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dial = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(dial, listener.accept());
        let line = lines.keep(TcpStream(ours.unwrap())).unwrap();
        (line, theirs.unwrap().0)
    }

    async fn read(line: &mut Line) -> io::Result<usize> {
        let mut buffer = [0; 8];
        poll_fn(|cx| Pin::new(&mut *line).poll_read(cx, &mut buffer)).await
    }

    #[tokio::test]
    async fn a_line_that_is_cut_ends_although_somebody_waits_for_it() {
        let lines = Lines::default();
        let (mut cut, at) = line(&lines).await;
        let (other, _at_other) = line(&lines).await;
        let port = at.local_addr().unwrap().port();
        let remote: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
        let waits = tokio::spawn(async move { read(&mut cut).await });
        tokio::task::yield_now().await;
        lines.cut(&remote);
        let error = waits.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(other.cut_error().is_none());
        lines.cut_departed();
        assert!(other.cut_error().is_none(), "loopback has not left");
        lines.cut_all();
        assert!(other.cut_error().is_some());
    }

    #[tokio::test]
    async fn the_system_gives_up_what_is_not_acknowledged() {
        let (line, _at) = line(&Lines::default()).await;
        let socket = SockRef::from(&line.socket.0);
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
    }

    #[tokio::test]
    async fn lines_that_have_ended_are_forgotten() {
        let lines = Lines::default();
        for _ in 0..4 * MIN_TRACKED_LINES {
            let _ended = line(&lines).await;
        }
        let tracked = lines.open.lock().unwrap().len();
        assert!(tracked <= 2 * MIN_TRACKED_LINES, "{tracked}");
    }

    #[test]
    fn an_address_that_is_not_of_this_machine_is_told_from_one_that_is() {
        assert!(is_here(([127, 0, 0, 1], 0)));
        assert!(!is_here(([192, 0, 2, 1], 0)));
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(source_of(loopback), Some(loopback));
    }
}
