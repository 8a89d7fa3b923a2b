//! A way to a peer that counts what it carries, and may be long: a proxy on
//! loopback in front of the peer.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Read at once: as much as a socket gives.
const READ_BYTES: usize = 256 * 1024;

/// Read at once from a slow line, which passes a few milliseconds' worth at a
/// time.
const SLOW_READ_BYTES: usize = 16 * 1024;

/// A proxy in front of a peer. It lives as long as this process.
#[derive(Debug)]
pub(crate) struct Link {
    /// The address that leads through it.
    pub(crate) address: String,
    carried: Arc<Carried>,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    Short,
    /// Everything takes so long.
    Long(Duration),
    /// So many bytes a second.
    Slow(u64),
}

#[derive(Debug, Default)]
struct Carried {
    down: AtomicU64,
    up: AtomicU64,
}

impl Link {
    /// One that only counts.
    pub(crate) fn to(address: &str) -> anyhow::Result<Self> {
        Self::of(address, Line::Short)
    }

    /// One that lets so many bytes a second pass in each direction.
    pub(crate) fn with_rate(address: &str, bytes_per_s: u64) -> anyhow::Result<Self> {
        Self::of(address, Line::Slow(bytes_per_s))
    }

    /// One on which everything takes so long in each direction. As much as is
    /// sent is on its way, as on a cable without end.
    pub(crate) fn with_delay(address: &str, delay: Duration) -> anyhow::Result<Self> {
        Self::of(address, Line::Long(delay))
    }

    fn of(address: &str, line: Line) -> anyhow::Result<Self> {
        let address: Multiaddr = address.parse()?;
        let upstream_port = address.iter().find_map(|protocol| match protocol {
            Protocol::Tcp(port) => Some(port),
            _ => None,
        });
        let upstream_port = upstream_port.context("the peer does not listen on TCP")?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let carried = Arc::new(Carried::default());
        let counted = carried.clone();
        thread::spawn(move || {
            for downstream in listener.incoming() {
                let passed = downstream.and_then(|downstream| {
                    let upstream = TcpStream::connect(("127.0.0.1", upstream_port))?;
                    pass(&downstream, &upstream, line, &counted)
                });
                if let Err(error) = passed {
                    tracing::warn!(%error, "the proxy failed");
                }
            }
        });
        let through = address.iter().map(|protocol| match protocol {
            Protocol::Tcp(_) => Protocol::Tcp(port),
            other => other,
        });
        let address = through.collect::<Multiaddr>().to_string();
        Ok(Self { address, carried })
    }

    /// Bytes that came from the peer.
    pub(crate) fn down(&self) -> u64 {
        self.carried.down.load(Ordering::Relaxed)
    }

    /// Bytes that went to the peer.
    pub(crate) fn up(&self) -> u64 {
        self.carried.up.load(Ordering::Relaxed)
    }
}

/// Copies both ways until both sides have ended.
fn pass(
    downstream: &TcpStream,
    upstream: &TcpStream,
    line: Line,
    carried: &Arc<Carried>,
) -> std::io::Result<()> {
    for socket in [downstream, upstream] {
        socket.set_nodelay(true)?;
    }
    let count_up: fn(&Carried) -> &AtomicU64 = |carried| &carried.up;
    let count_down: fn(&Carried) -> &AtomicU64 = |carried| &carried.down;
    let ways = [
        (downstream, upstream, count_up),
        (upstream, downstream, count_down),
    ];
    for (from, to, count) in ways {
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let carried = carried.clone();
        let note = move |bytes: usize| {
            count(&carried).fetch_add(bytes as u64, Ordering::Relaxed);
        };
        match line {
            Line::Short => {
                thread::spawn(move || copy(from, to, None, note));
            }
            Line::Slow(bytes_per_s) => {
                thread::spawn(move || copy(from, to, Some(bytes_per_s), note));
            }
            Line::Long(delay) => copy_late(from, to, delay, note),
        }
    }
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream, bytes_per_s: Option<u64>, note: impl Fn(usize)) {
    let bytes = bytes_per_s.map_or(READ_BYTES, |_| SLOW_READ_BYTES);
    let mut buffer = vec![0; bytes];
    let mut free_at = Instant::now();
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        note(read);
        if let Some(bytes_per_s) = bytes_per_s {
            let takes = Duration::from_secs_f64(read as f64 / bytes_per_s as f64);
            free_at = free_at.max(Instant::now()) + takes;
            thread::sleep(free_at.saturating_duration_since(Instant::now()));
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}

/// One thread reads, another writes what is due.
fn copy_late(
    mut from: TcpStream,
    mut to: TcpStream,
    delay: Duration,
    note: impl Fn(usize) + Send + 'static,
) {
    let (sender, on_the_way) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            note(read);
            let due = Instant::now() + delay;
            if sender.send((due, buffer[..read].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        while let Ok((due, bytes)) = on_the_way.recv() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
