//! How much travels for what arrives. The downstream is given the address of a
//! proxy in front of the upstream, which counts what both sockets carry: the
//! handshakes, offers, proofs and gossip of the session are all in it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Context;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::Bench;
use crate::report::{Against, Figure, progress};
use crate::sync::{RecordSize, Upstream, sync};

/// Measures `wire_bytes_per_payload_byte`.
pub(crate) fn figure(bench: &Bench) -> anyhow::Result<Figure> {
    let records = bench.sized(1_000_000, 200_000);
    let mut upstream = Upstream::filled(bench, RecordSize::Bytes100, records)?;
    let (counted, address) = Counted::on_the_way_to(&upstream.address)?;
    let run = sync(bench, &mut upstream, address)?;
    let [down, up] = [&counted.down, &counted.up].map(|bytes| bytes.load(Ordering::Relaxed));
    let payload = upstream.payload_bytes();
    progress(&format!("{down} bytes down, {up} up, {payload} of payload"));
    anyhow::ensure!(
        down > payload,
        "the downstream did not use the proxy: {down} bytes went through it"
    );
    upstream.process.end()?;

    let value = (down + up) as f64 / payload as f64;
    let against = Against {
        what: "the payload itself",
        value: 1.0,
        ratio: value,
    };
    let figure = Figure::new(
        bench,
        "wire_bytes_per_payload_byte",
        value,
        "bytes",
        against,
    )
    .with("records", records)
    .with("payload_bytes", payload)
    .with("down_bytes", down)
    .with("up_bytes", up)
    .with_number("seconds", run.seconds);
    Ok(figure)
}

/// Bytes that went through the proxy.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// From the peer behind it.
    pub(crate) down: AtomicU64,
    /// To that peer.
    pub(crate) up: AtomicU64,
}

impl Counted {
    /// Puts a proxy in front of a peer; the address leads through it.
    pub(crate) fn on_the_way_to(address: &str) -> anyhow::Result<(Arc<Self>, String)> {
        let counted = Arc::new(Self::default());
        let address = proxy(address, counted.clone())?;
        Ok((counted, address))
    }
}

/// Puts a proxy in front of a peer, and returns the address that leads through
/// it. It lives as long as this process.
fn proxy(address: &str, counted: Arc<Counted>) -> anyhow::Result<String> {
    let address: Multiaddr = address.parse()?;
    let part = |wanted: fn(&Protocol<'_>) -> Option<u16>| address.iter().find_map(|p| wanted(&p));
    let upstream_port = part(|protocol| match protocol {
        Protocol::Tcp(port) => Some(*port),
        _ => None,
    });
    let upstream_port = upstream_port.context("the upstream does not listen on TCP")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for downstream in listener.incoming() {
            let passed = downstream.and_then(|downstream| {
                let upstream = TcpStream::connect(("127.0.0.1", upstream_port))?;
                pass(downstream, upstream, &counted)
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
    Ok(through.collect::<Multiaddr>().to_string())
}

/// Copies both ways until both sides have ended.
fn pass(downstream: TcpStream, upstream: TcpStream, counted: &Arc<Counted>) -> std::io::Result<()> {
    for socket in [&downstream, &upstream] {
        socket.set_nodelay(true)?;
    }
    let (from, to, up) = (
        downstream.try_clone()?,
        upstream.try_clone()?,
        counted.clone(),
    );
    thread::spawn(move || copy(from, to, &up.up));
    let down = counted.clone();
    thread::spawn(move || copy(upstream, downstream, &down.down));
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream, bytes: &AtomicU64) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        bytes.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}
