//! Nodes behind routers of every kind meet, directly where the routers allow it
//! and through a relay where they do not.

mod dead_relay;
mod ipv6;
mod moved;
mod narrow;
mod one_router;
mod relayed_bytes;
mod rendezvous;

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::lab::{Kind, LOOK_AGAIN, Lab, LabNode, Transport};
use tokio::time::{Instant, sleep};

/// History and live records are to arrive this long after both nodes are up.
const ARRIVES: Duration = Duration::from_secs(10);

/// How long a direct connection may take: an attempt that fails at first is
/// made again, twice.
const DIRECT: Duration = Duration::from_secs(30);

/// Places at a relay are back this long after it is.
const RESERVED_AGAIN: Duration = Duration::from_secs(15);

/// How long a packet is on its way from one half of the network to the other:
/// across a continent. Without any delay the two dials that punch a hole race
/// each other closer than outside.
const FAR_MS: &str = "25";

/// Records of each stream before anybody follows it.
const HISTORY: u64 = 1_000;

/// One stream from one node to another, and when what had happened.
struct Pair<'a> {
    from: &'a LabNode,
    to: &'a LabNode,
    stream: &'a str,
    /// Since when both are up.
    up: Instant,
    /// No relay is needed.
    meets: bool,
    history: Option<Duration>,
    live: Option<Duration>,
    direct: Option<Duration>,
}

impl<'a> Pair<'a> {
    fn new(from: &'a LabNode, to: &'a LabNode, stream: &'a str, up: Instant) -> Self {
        Self {
            from,
            to,
            stream,
            up,
            meets: from.kind.meets(to.kind),
            history: None,
            live: None,
            direct: None,
        }
    }

    /// Whatever their routers are: they are to be connected directly.
    fn always_direct(mut self) -> Self {
        self.meets = true;
        self
    }

    /// Notes what has happened since the last look.
    async fn look(&mut self) -> Result<()> {
        if self.live.is_none() {
            let size = self.to.synced_size(self.stream).await;
            if self.history.is_none() && size >= HISTORY {
                self.history = Some(self.up.elapsed());
                let record = format!("{{\"value\":{HISTORY}}}");
                self.from.node.append(self.stream, record).await?;
            }
            if size > HISTORY {
                self.live = Some(self.up.elapsed());
            }
        }
        if self.direct.is_none() && self.to.is_direct_to(&self.from.id).await? == Some(true) {
            self.direct = Some(self.up.elapsed());
        }
        Ok(())
    }

    /// Whether there is nothing more to wait for.
    fn is_done(&self) -> bool {
        self.live.is_some() && (self.direct.is_some() || !self.meets)
    }

    /// What is not as it should be.
    fn fault(&self) -> Option<&'static str> {
        if self.live.is_none_or(|live| live > ARRIVES) {
            return Some("late");
        }
        match (self.meets, self.direct.is_some()) {
            (true, false) => Some("not direct"),
            (false, true) => Some("direct: the lab is not what it should be"),
            _ => None,
        }
    }

    fn row(&self) -> String {
        let seconds = |time: Option<Duration>| {
            time.map_or_else(|| "-".to_owned(), |t| format!("{:.1}", t.as_secs_f64()))
        };
        format!(
            "{:>16} {:>16} {:>8} {:>6} {:>7}  {}",
            self.from.kind,
            self.to.kind,
            seconds(self.history),
            seconds(self.live),
            seconds(self.direct),
            self.fault().unwrap_or_default()
        )
    }
}

/// All ordered pairs of these kinds, from the first node of the one to the second
/// of the other.
async fn each_reaches_each(kinds: &[Kind], transport: Transport, delay_ms: &str) -> Result<()> {
    let Some(lab) = Lab::with_two_of(kinds)? else {
        return Ok(());
    };
    lab.run(&["delay", delay_ms])?;
    let (relay, bootstrap) = LabNode::relay(&lab, transport).await?;
    let known = ["--bootstrap", &bootstrap];
    let mut publishers = Vec::new();
    for &kind in kinds {
        let publisher = LabNode::start(lab.two(kind)[0], transport, &known).await?;
        let mut streams = Vec::new();
        for to in kinds {
            let stream = publisher.node.create(&format!("{kind} to {to}"))?;
            publisher.node.publish_numbers(&stream, 0, HISTORY)?;
            streams.push(stream);
        }
        publishers.push((publisher, streams));
    }
    for (publisher, _) in &publishers {
        publisher.settled().await?;
    }

    let mut subscribers = Vec::new();
    for &kind in kinds {
        let subscriber = LabNode::start(lab.two(kind)[1], transport, &known).await?;
        subscribers.push((subscriber, Instant::now()));
    }
    let mut pairs = Vec::new();
    for (column, (subscriber, up)) in subscribers.iter().enumerate() {
        for (publisher, streams) in &publishers {
            let stream = &streams[column];
            subscriber.node.run(&["follow", stream])?;
            pairs.push(Pair::new(publisher, subscriber, stream, *up));
        }
    }
    watch(&mut pairs).await?;
    report(&pairs, transport, &relay)
}

/// Waits until all pairs have what they are to have, or none can any more.
async fn watch(pairs: &mut [Pair<'_>]) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < DIRECT && !pairs.iter().all(Pair::is_done) {
        for pair in &mut *pairs {
            pair.look().await?;
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// Shows the matrix, which is kept for who wants to look at the figures.
fn report(pairs: &[Pair<'_>], transport: Transport, relay: &LabNode) -> Result<()> {
    let mut table = format!(
        "{transport:?}\n{:>16} {:>16} {:>8} {:>6} {:>7}\n",
        "from", "to", "history", "live", "direct"
    );
    for pair in pairs {
        writeln!(table, "{}", pair.row())?;
    }
    #[allow(clippy::print_stderr, reason = "the figures of the matrix")]
    {
        eprintln!("{table}");
    }
    let Some(bad) = pairs.iter().find(|pair| pair.fault().is_some()) else {
        return Ok(());
    };
    if let Some(folder) = std::env::var_os("HEADWATER_LAB_LOGS") {
        let folder = std::path::Path::new(&folder);
        fs::create_dir_all(folder)?;
        fs::write(folder.join("relay.log"), relay.node.log())?;
        for pair in pairs {
            let name = |placed: &LabNode, end| format!("{}-{end}.log", placed.kind);
            fs::write(folder.join(name(pair.from, "from")), pair.from.node.log())?;
            fs::write(folder.join(name(pair.to, "to")), pair.to.node.log())?;
        }
    }
    bail!(
        "{} to {}: {}\n{table}",
        bad.from.kind,
        bad.to.kind,
        bad.fault().unwrap_or_default()
    )
}

#[tokio::test]
async fn every_kind_reaches_every_kind_over_tcp() -> Result<()> {
    each_reaches_each(&Kind::ALL, Transport::Tcp, FAR_MS).await
}

#[tokio::test]
async fn every_kind_reaches_every_kind_over_quic() -> Result<()> {
    each_reaches_each(&Kind::ALL, Transport::Quic, FAR_MS).await
}

#[tokio::test]
async fn every_kind_reaches_every_kind_next_door_over_tcp() -> Result<()> {
    each_reaches_each(&Kind::ALL, Transport::Tcp, "off").await
}

#[tokio::test]
async fn every_kind_reaches_every_kind_next_door_over_quic() -> Result<()> {
    each_reaches_each(&Kind::ALL, Transport::Quic, "off").await
}

/// After the relay is back, all are reached through it again.
async fn a_restarted_relay_is_used_again(transport: Transport) -> Result<()> {
    let closed = Kind::ALL.into_iter().filter(|kind| !kind.is_open());
    let kinds: Vec<_> = closed.chain([Kind::Symmetric]).collect();
    let Some(lab) = Lab::up(&kinds)? else {
        return Ok(());
    };
    let (mut relay, bootstrap) = LabNode::relay(&lab, transport).await?;
    let known = ["--bootstrap", &bootstrap];
    let (last, others) = lab.places().split_last().context("no places")?;
    let mut nodes = Vec::new();
    for place in others {
        nodes.push(LabNode::start(place, transport, &known).await?);
    }
    for node in &nodes {
        node.settled().await?;
    }
    relay.node.kill()?;
    relay.node.launch().await?;
    let back = Instant::now();
    for node in &nodes {
        // Until the node has noticed, it still says that it has its old place.
        while !(node.is_settled().await? && relay.is_direct_to(&node.id).await? == Some(true)) {
            ensure!(
                back.elapsed() < RESERVED_AGAIN,
                "a {} node has no place again\n{}",
                node.kind,
                node.node.log()
            );
            sleep(LOOK_AGAIN).await;
        }
    }
    // And they are places through which data comes.
    let from = (nodes.iter().find(|node| node.kind == Kind::Symmetric)).context("none")?;
    let stream = from.node.create("t")?;
    from.node.publish_numbers(&stream, 0, HISTORY)?;
    let subscriber = LabNode::start(last, transport, &known).await?;
    let up = Instant::now();
    subscriber.node.run(&["follow", &stream])?;
    subscriber.holds(&stream, HISTORY, up + ARRIVES).await?;
    ensure!(subscriber.is_direct_to(&from.id).await? == Some(false));
    Ok(())
}

#[tokio::test]
async fn a_restarted_relay_is_used_again_over_tcp() -> Result<()> {
    a_restarted_relay_is_used_again(Transport::Tcp).await
}

#[tokio::test]
async fn a_restarted_relay_is_used_again_over_quic() -> Result<()> {
    a_restarted_relay_is_used_again(Transport::Quic).await
}
