//! The limit of a sync: one libp2p stream between two processes that carries
//! the same bytes and does nothing with them. TCP, noise and yamux as the node
//! has them.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use libp2p_stream::Control;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::process::{Calls, Process, Role, answer};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/headwater/bench/raw/1");

/// yamux moves most when it is given this much at a time.
const WRITE_BYTES: usize = 64 * 1024;

#[derive(Debug, Serialize, Deserialize)]
enum Call {
    /// Listen, and read whatever comes; answered by the address.
    Listen,
    /// Send so many bytes; answered by the seconds until all have arrived.
    Send { address: String, bytes: u64 },
}

/// What the stream carried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRun {
    /// 10^6 bytes a second.
    pub(crate) mb_per_s: f64,
    /// Processor time of both processes, in seconds.
    pub(crate) cpu_s: f64,
}

/// Carries so many bytes from one new process to another.
pub(crate) fn carry(bytes: u64) -> anyhow::Result<RawRun> {
    let mut receiver = Process::start(Role::RawStream)?;
    let mut sender = Process::start(Role::RawStream)?;
    let address = receiver.ask(&Call::Listen)?;
    let seconds: f64 = sender.ask(&Call::Send { address, bytes })?;
    let sender_cpu_s = sender.cpu_s;
    let _: String = receiver.ask(&Call::Listen)?;
    let cpu_s = sender_cpu_s + receiver.cpu_s;
    sender.end()?;
    receiver.end()?;
    Ok(RawRun {
        mb_per_s: bytes as f64 / seconds / 1e6,
        cpu_s,
    })
}

/// Plays either end.
pub(crate) async fn act() -> anyhow::Result<()> {
    let mut calls = Calls::from_stdin();
    let mut swarm = swarm()?;
    let mut control = swarm.behaviour().new_control();
    let mut streams = control.accept(PROTOCOL)?;
    tokio::spawn(async move {
        while let Some((_, stream)) = streams.next().await {
            tokio::spawn(swallow(stream));
        }
    });
    let local = *swarm.local_peer_id();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address.with(Protocol::P2p(local)).to_string();
        }
    };
    let (dial, dials) = mpsc::unbounded_channel();
    tokio::spawn(run(swarm, dials));
    while let Some(call) = calls.next().await? {
        match call {
            Call::Listen => answer(Ok(&address)),
            Call::Send { address, bytes } => {
                let address: Multiaddr = address.parse()?;
                let (connected, is_connected) = oneshot::channel();
                dial.send((address.clone(), connected))?;
                is_connected.await?;
                answer(send(&mut control, &address, bytes).await)
            }
        }?;
    }
    Ok(())
}

/// Keeps the swarm going, and dials; says when the connection is there.
async fn run(
    mut swarm: Swarm<libp2p_stream::Behaviour>,
    mut dials: mpsc::UnboundedReceiver<(Multiaddr, oneshot::Sender<()>)>,
) {
    let mut dialled = None;
    loop {
        tokio::select! {
            Some((address, connected)) = dials.recv() => match swarm.dial(address) {
                Ok(()) => dialled = Some(connected),
                Err(error) => tracing::warn!(%error, "cannot dial"),
            },
            event = swarm.select_next_some() => {
                if let SwarmEvent::ConnectionEstablished { .. } = event
                    && let Some(connected) = dialled.take()
                {
                    // Whoever asked may have gone.
                    let _ = connected.send(());
                }
            }
        }
    }
}

fn swarm() -> anyhow::Result<Swarm<libp2p_stream::Behaviour>> {
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )?
        .with_behaviour(|_| libp2p_stream::Behaviour::new())?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    Ok(swarm)
}

/// Says how many bytes come, sends them, and waits until all have arrived.
async fn send(control: &mut Control, address: &Multiaddr, bytes: u64) -> anyhow::Result<f64> {
    let peer = address.iter().find_map(|part| match part {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    });
    let peer: PeerId = peer.context("the address names no peer")?;
    let mut stream = control.open_stream(peer, PROTOCOL).await?;
    let data = vec![0x5a; WRITE_BYTES];
    let start_time = Instant::now();
    stream.write_all(&bytes.to_be_bytes()).await?;
    let mut left = bytes;
    while left > 0 {
        let part = left.min(WRITE_BYTES as u64);
        stream.write_all(&data[..part as usize]).await?;
        left -= part;
    }
    stream.flush().await?;
    stream.read_exact(&mut [0]).await?;
    Ok(start_time.elapsed().as_secs_f64())
}

/// Reads what [`send`] sends.
async fn swallow(mut stream: Stream) -> anyhow::Result<()> {
    let mut length = [0; 8];
    stream.read_exact(&mut length).await?;
    let mut left = u64::from_be_bytes(length);
    let mut buffer = vec![0; WRITE_BYTES];
    while left > 0 {
        let read = stream.read(&mut buffer).await?;
        anyhow::ensure!(read > 0, "the stream ended before its time");
        left -= read as u64;
    }
    stream.write_all(&[1]).await?;
    Ok(stream.flush().await?)
}
