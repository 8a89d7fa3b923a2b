//! A live record among a thousand nodes: gossipsub as the node sets it up, each
//! with a swarm of its own and the node's check of every announcement, on lines
//! that take 75 ms each way in the mean.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Buf, Bytes};
use futures::{AsyncRead, AsyncWrite, StreamExt};
use headwater::net::gossip::{Gossip, gossip, topic_score};
use headwater_protocols::identity::PublicKey;
use headwater_protocols::log::Announcement;
use headwater_protocols::record::max_value_bytes;
use libp2p::core::transport::MemoryTransport;
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{Event, IdentTopic, MessageAcceptance};
use libp2p::identity::Keypair;
use libp2p::swarm::{self, SwarmEvent};
use libp2p::{Multiaddr, Swarm, Transport, noise, yamux};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, interval, sleep, sleep_until, timeout};

use crate::Bench;
use crate::gossip::{LOG, announcements, announcer};
use crate::node::PATIENCE;
use crate::report::{Against, Figure, median, percentile, progress};

/// Nodes, and others that each of them dials: about twice as many are connected
/// to each.
const NODES: usize = 1_000;
const DIALS: u64 = 5;

/// The least and the greatest time that something takes one way, in
/// milliseconds: 75 in the mean.
const DELAY_MS: (u64, u64) = (25, 125);

/// Heartbeats of gossipsub until the meshes are trimmed.
const SETTLE: Duration = Duration::from_secs(8);

/// Records that do not count: the meshes are new.
const WARM_UP: u64 = 3;

/// What an arrival is: which record, and when.
type Arrival = (u64, Instant);

/// Measures `live_p99_of_1000`.
pub(crate) fn figure(bench: &Bench) -> anyhow::Result<Figure> {
    let records = bench.sized(30, 10);
    let runtime = tokio::runtime::Runtime::new()?;
    let delays = runtime.block_on(delays_ms(records))?;
    let expected = records * (NODES as u64 - 1);
    let value = percentile(&delays, 0.99);
    let against = Against {
        what: "within a second, ms",
        value: 1_000.0,
        ratio: value / 1_000.0,
    };
    let figure = Figure::new(bench, "live_p99_of_1000", value, "ms", against)
        .with("nodes", NODES as u64)
        .with("records", records)
        .with("lost", expected - delays.len() as u64)
        .with_number("live_p50", median(&delays))
        .with_number("live_max", percentile(&delays, 1.0));
    Ok(figure)
}

async fn delays_ms(records: u64) -> anyhow::Result<Vec<f64>> {
    let (arrivals, mut arrived) = mpsc::unbounded_channel();
    let dice = Dice::new(0x5eed);
    let known = Arc::new(AtomicUsize::new(0));
    let (publish, mut messages) = mpsc::unbounded_channel::<Bytes>();
    let mut publisher = None;
    for node in 0..NODES {
        let mut swarm = swarm(&dice)?;
        swarm.listen_on(address(node))?;
        for _ in 0..DIALS.min(node as u64) {
            let other = dice.below(node as u64) as usize;
            // Dialled twice, it is one more connection.
            swarm.dial(address(other))?;
        }
        if node == 0 {
            publisher = Some(swarm);
        } else {
            tokio::spawn(subscribe(swarm, arrivals.clone(), known.clone()));
        }
    }
    let mut publisher = publisher.context("there is a publisher")?;
    let topic = IdentTopic::new(LOG.data_topic());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                Some(message) = messages.recv() => {
                    if let Err(error) = publisher.behaviour_mut().publish(topic.clone(), message) {
                        progress(&format!("a record was not published: {error}"));
                    }
                }
                _ = publisher.select_next_some() => {}
            }
        }
    });
    let all_know_some = async {
        while known.load(Ordering::Relaxed) < NODES - 1 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    (timeout(PATIENCE, all_know_some).await).context("some node has met nobody")?;
    sleep(SETTLE).await;
    let mut published = BTreeMap::new();
    let mut ticks = interval(Duration::from_secs(1));
    for (size, message) in (1..).zip(announcements(WARM_UP + records)) {
        ticks.tick().await;
        published.insert(size, Instant::now());
        publish.send(message)?;
    }
    let mut delays = Vec::new();
    let expected = records as usize * (NODES - 1);
    while delays.len() < expected {
        // What has not come by then is lost.
        let Ok(Some((size, at))) = timeout(Duration::from_secs(15), arrived.recv()).await else {
            break;
        };
        if size > WARM_UP {
            delays.push(at.duration_since(published[&size]).as_secs_f64() * 1e3);
        }
    }
    Ok(delays)
}

/// Passes on what is true, as a node does, and tells when it came.
async fn subscribe(
    mut swarm: Swarm<Gossip>,
    arrivals: mpsc::UnboundedSender<Arrival>,
    known: Arc<AtomicUsize>,
) {
    let owner: PublicKey = announcer().public();
    let max = max_value_bytes(headwater_protocols::limits::DEFAULT_CHUNK_LEVEL);
    let mut knows_somebody = false;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(Event::Subscribed { .. }) if !knows_somebody => {
                knows_somebody = true;
                known.fetch_add(1, Ordering::Relaxed);
            }
            SwarmEvent::Behaviour(Event::Message {
                propagation_source,
                message_id,
                message,
            }) => {
                let data = Bytes::from(message.data);
                let checked = Announcement::verify(&data, LOG, &owner, max);
                let verdict = match &checked {
                    Ok(_) => MessageAcceptance::Accept,
                    Err(_) => MessageAcceptance::Reject,
                };
                swarm.behaviour_mut().report_message_validation_result(
                    &message_id,
                    &propagation_source,
                    verdict,
                );
                if let Ok(announcement) = checked {
                    let arrival = (announcement.head().size, Instant::now());
                    if arrivals.send(arrival).is_err() {
                        return;
                    }
                }
            }
            _ => {}
        }
    }
}

/// Where a node listens, within this process.
fn address(node: usize) -> Multiaddr {
    let port = 1_000 + node as u64;
    Multiaddr::empty().with(libp2p::multiaddr::Protocol::Memory(port))
}

fn swarm(dice: &Dice) -> anyhow::Result<Swarm<Gossip>> {
    let keypair = Keypair::generate_ed25519();
    let dice = dice.clone();
    let transport = MemoryTransport::new()
        .map(move |line, _| {
            let (least, greatest) = DELAY_MS;
            Delayed::new(
                line,
                Duration::from_millis(least + dice.below(greatest - least + 1)),
            )
        })
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(&keypair)?)
        .multiplex(yamux::Config::default())
        .boxed();
    let mut gossip = gossip(&keypair)?;
    let topic = IdentTopic::new(LOG.data_topic());
    gossip.subscribe(&topic)?;
    (gossip.set_topic_params(topic, topic_score()))
        .map_err(|error| anyhow::anyhow!("gossipsub: {error}"))?;
    let config =
        swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(600));
    Ok(Swarm::new(
        transport,
        gossip,
        keypair.public().to_peer_id(),
        config,
    ))
}

/// Random numbers for all nodes: splitmix64.
#[derive(Clone, Debug)]
struct Dice(Arc<AtomicU64>);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    fn below(&self, end: u64) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// A line on which what is read has been under way for a while.
struct Delayed<L> {
    line: L,
    delay: Duration,
    under_way: VecDeque<(Instant, Bytes)>,
    ended: bool,
    alarm: Pin<Box<Sleep>>,
}

/// Bytes that may be under way.
const MAX_UNDER_WAY: usize = 1 << 20;

impl<L: AsyncRead + Unpin> Delayed<L> {
    fn new(line: L, delay: Duration) -> Self {
        Self {
            line,
            delay,
            under_way: VecDeque::new(),
            ended: false,
            alarm: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Takes what has been sent.
    fn pump(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let mut bytes: usize = self.under_way.iter().map(|(_, bytes)| bytes.len()).sum();
        while !self.ended && bytes < MAX_UNDER_WAY {
            match Pin::new(&mut self.line).poll_read(context, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(read) => {
                    let read = read?;
                    self.ended = read == 0;
                    bytes += read;
                    let arrives = Instant::now() + self.delay;
                    let sent = Bytes::copy_from_slice(&buffer[..read]);
                    self.under_way.push_back((arrives, sent));
                }
            }
        }
        Ok(())
    }
}

impl<L: AsyncRead + Unpin> AsyncRead for Delayed<L> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.pump(context)?;
        loop {
            let Some(&(arrives, _)) = self.under_way.front() else {
                return if self.ended {
                    Poll::Ready(Ok(0))
                } else {
                    Poll::Pending
                };
            };
            if arrives > Instant::now() {
                self.alarm.as_mut().reset(arrives);
                futures::ready!(self.alarm.as_mut().poll(context));
            }
            if let Some((_, bytes)) = self.under_way.front_mut() {
                let count = bytes.len().min(into.len());
                bytes.copy_to_slice(&mut into[..count]);
                if bytes.is_empty() {
                    self.under_way.pop_front();
                }
                return Poll::Ready(Ok(count));
            }
        }
    }
}

impl<L: AsyncWrite + Unpin> AsyncWrite for Delayed<L> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.line).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_close(context)
    }
}
