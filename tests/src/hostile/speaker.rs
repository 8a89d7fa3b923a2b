//! A peer that speaks the sync protocol by hand: it writes what it likes, and
//! reads only when it is told to.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use libp2p_stream::{Behaviour, Control, IncomingStreams};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/headwater/sync/2");

/// How long it tries to connect, and to open a stream.
const PATIENCE: Duration = Duration::from_secs(20);

/// The lane of questions.
pub const CONTROL: u8 = 0;

/// A question for the manifest of no log: its length, and five bytes. The answer
/// is as short.
pub const QUESTION: [u8; 5] = [4, 8, 1, 18, 0];

/// A peer that is connected.
pub struct Speaker {
    control: Control,
    victim: PeerId,
    incoming: IncomingStreams,
    /// Streams that the victim has opened, and that nobody reads.
    unread: Vec<Stream>,
    swarm: JoinHandle<()>,
}

impl Speaker {
    /// A new identity that is connected.
    ///
    /// # Errors
    /// It is not.
    pub async fn connect(address: &str) -> Result<Self> {
        let address: Multiaddr = address.parse()?;
        let Some(Protocol::P2p(victim)) = address.iter().last() else {
            anyhow::bail!("{address} has no peer id");
        };
        let mut swarm = swarm()?;
        let mut control = swarm.behaviour().new_control();
        let incoming = control.accept(PROTOCOL)?;
        swarm.dial(address)?;
        loop {
            match timeout(PATIENCE, swarm.select_next_some()).await? {
                SwarmEvent::ConnectionEstablished { .. } => break,
                SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
                _ => {}
            }
        }
        let swarm = tokio::spawn(async move { while swarm.next().await.is_some() {} });
        Ok(Self {
            control,
            victim,
            incoming,
            unread: Vec::new(),
            swarm,
        })
    }

    /// Opens a lane to write to.
    ///
    /// # Errors
    /// The victim lets nobody open one.
    pub async fn lane(&mut self, lane: u8) -> Result<Stream> {
        let opened = self.control.open_stream(self.victim, PROTOCOL);
        let mut stream = timeout(PATIENCE, opened).await??;
        stream.write_all(&[lane]).await?;
        stream.flush().await?;
        Ok(stream)
    }

    /// Accepts the lanes that the victim opens, and reads nothing of them.
    ///
    /// # Errors
    /// It opens none.
    pub async fn ignore_answers(&mut self) -> Result<()> {
        let first = timeout(PATIENCE, self.incoming.next()).await?;
        let (_, stream) = first.context("the victim opens no lane")?;
        self.unread.push(stream);
        Ok(())
    }

    /// Reads all that the victim says from now on, and forgets it; how many bytes
    /// it was comes in the end.
    #[must_use]
    pub fn take_answers(mut self) -> JoinHandle<u64> {
        tokio::spawn(async move {
            let mut bytes = 0;
            let mut buffer = vec![0; 64 << 10];
            let Some(mut stream) = self.unread.pop() else {
                return bytes;
            };
            loop {
                tokio::select! {
                    read = stream.read(&mut buffer) => match read {
                        Ok(count) if count > 0 => bytes += count as u64,
                        _ => return bytes,
                    },
                    Some((_, lane)) = self.incoming.next() => self.unread.push(lane),
                }
            }
        })
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.swarm.abort();
    }
}

/// A field of a message, of bytes.
#[must_use]
pub fn bytes_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
}

/// A field of a message, a number.
#[must_use]
pub fn number_field(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3][..], &varint(value)].concat()
}

/// A frame after its length, whose body is this field.
#[must_use]
pub fn frame(id: u64, body: &[u8]) -> Vec<u8> {
    let frame = [&number_field(1, id), body].concat();
    [varint(frame.len() as u64), frame].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Writes the same bytes again and again, until so many are written or the
/// other end has taken none for a while; how many were written.
pub async fn write_while_taken(stream: &mut Stream, bytes: &[u8], most: usize) -> usize {
    const STILL: Duration = Duration::from_secs(2);
    let block = bytes.repeat((64 << 10) / bytes.len());
    let mut written = 0;
    while written < most {
        match timeout(STILL, stream.write(&block[written % bytes.len()..])).await {
            Ok(Ok(count)) if count > 0 => written += count,
            _ => break,
        }
    }
    written
}

fn swarm() -> Result<Swarm<Behaviour>> {
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )?
        .with_behaviour(|_| Behaviour::new())?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build())
}
