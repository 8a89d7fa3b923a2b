//! What becomes of a network that is cut in two and joined again, and of one
//! whose nodes come and go. `scripts/test --long` runs both at full length.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::lab::{Half, Kind, Lab, LabNode, Place, Transport};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How long two halves may take to agree once they are joined again.
const AGREES: Duration = Duration::from_secs(30);

/// Peers for the stream that each node is to have.
const MIN_PEERS: usize = 4;

/// How long a node may have fewer.
const SHORT: Duration = Duration::from_secs(30);

/// Pause between two records of a stream.
const CADENCE: Duration = Duration::from_millis(250);

fn is_long() -> bool {
    std::env::var_os("HEADWATER_LONG").is_some()
}

/// A stream and its publisher, which goes on publishing.
struct Source<'a> {
    node: &'a LabNode,
    stream: String,
    size: u64,
}

impl<'a> Source<'a> {
    fn new(node: &'a LabNode, history: u64) -> Result<Self> {
        let stream = node.node.create("t")?;
        node.node.publish_numbers(&stream, 0, history)?;
        let size = history;
        Ok(Self { node, stream, size })
    }

    async fn publish_one(&mut self) -> Result<()> {
        let record = format!("{{\"value\":{}}}", self.size);
        self.node.node.append(&self.stream, record).await?;
        self.size += 1;
        Ok(())
    }
}

/// Checks that all have every record of the streams, the same ones.
async fn ensure_agreement(
    nodes: &[&LabNode],
    sources: &[Source<'_>],
    until: Instant,
) -> Result<()> {
    for source in sources {
        for node in nodes {
            node.holds(&source.stream, source.size, until).await?;
        }
        let wanted = source.node.node.export(&source.stream)?;
        for node in nodes {
            let export = node.node.export(&source.stream)?;
            ensure!(export == wanted, "a {} node holds others", node.kind);
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_halves_that_were_cut_apart_agree_once_they_are_joined_again() -> Result<()> {
    // In turn west and east.
    let kinds = [
        Kind::PortRestricted,
        Kind::PortRestricted,
        Kind::Public,
        Kind::Public,
        Kind::Symmetric,
        Kind::Symmetric,
    ];
    let Some(lab) = Lab::up(&kinds)? else {
        return Ok(());
    };
    let (_relay, bootstrap) = LabNode::relay(&lab, Transport::Tcp).await?;
    let mut nodes = Vec::new();
    for place in lab.places() {
        nodes.push(LabNode::start(place, Transport::Tcp, &["--bootstrap", &bootstrap]).await?);
    }
    for node in &nodes {
        node.settled().await?;
    }
    // One of each half.
    let mut sources = [Source::new(&nodes[0], 100)?, Source::new(&nodes[1], 100)?];
    for source in &sources {
        for node in nodes.iter().filter(|node| node.id != source.node.id) {
            node.node.run(&["follow", &source.stream])?;
        }
    }
    let nodes: Vec<_> = nodes.iter().collect();
    ensure_agreement(&nodes, &sources, Instant::now() + AGREES).await?;

    let apart = Duration::from_secs(if is_long() { 60 } else { 10 });
    lab.run(&["cut"])?;
    let cut = Instant::now();
    let mut ticks = interval(CADENCE);
    while cut.elapsed() < apart {
        ticks.tick().await;
        for source in &mut sources {
            source.publish_one().await?;
        }
    }
    // Nothing has crossed. (Who had its own half's stream only from the other
    // half may have nothing new of either.)
    for (place, node) in lab.places().iter().zip(&nodes) {
        for (source, half) in sources.iter().zip([Half::West, Half::East]) {
            let shown = node.node.show(&source.stream)?;
            let size = shown["size"].as_u64().context("no size")?;
            let behind = source.size - size;
            ensure!(
                place.half == half || behind > 20,
                "a {} node in the {} is {behind} records behind the {half}",
                node.kind,
                place.half
            );
        }
    }
    lab.run(&["heal"])?;
    ensure_agreement(&nodes, &sources, Instant::now() + AGREES).await
}

/// A node that may be replaced, and since when it has had too few peers.
struct Member {
    node: LabNode,
    short_since: Option<Instant>,
    longest_short: Duration,
}

impl Member {
    async fn join(place: &Place, bootstrap: &str, stream: &str) -> Result<Self> {
        let min_peers = MIN_PEERS.to_string();
        let args = ["--bootstrap", bootstrap, "--min-peers", &min_peers];
        let node = LabNode::start(place, Transport::Tcp, &args).await?;
        node.node.run(&["follow", stream])?;
        Ok(Self {
            node,
            short_since: Some(Instant::now()),
            longest_short: Duration::ZERO,
        })
    }

    /// Whether it has peers enough for the stream now.
    async fn look(&mut self, stream: &str) -> Result<bool> {
        let path = format!("/v1/streams/{stream}/peers");
        let peers = self.node.node.get(&path).await?;
        let peers = peers.as_array().context("no peers")?;
        let connected = peers.iter().filter(|peer| peer["connected"] == true);
        let has_enough = connected.count() >= MIN_PEERS;
        if let Some(since) = self.short_since {
            self.longest_short = self.longest_short.max(since.elapsed());
        }
        self.short_since = match has_enough {
            true => None,
            false => self.short_since.or_else(|| Some(Instant::now())),
        };
        ensure!(
            self.short_since.is_none() || self.longest_short < SHORT,
            "a {} node has had too few peers for {:?}: {peers:?}\n{}",
            self.node.kind,
            self.longest_short,
            self.node.node.log()
        );
        Ok(has_enough)
    }
}

#[tokio::test]
async fn who_stays_has_every_record_although_others_come_and_go() -> Result<()> {
    // A tenth of the nodes a minute, for five minutes; or all much quicker.
    let (count, replaced, pause) = match is_long() {
        true => (20, 10, Duration::from_secs(30)),
        false => (8, 5, Duration::from_secs(4)),
    };
    let kinds: Vec<_> = [Kind::PortRestricted]
        .into_iter()
        .chain(Kind::ALL.into_iter().cycle())
        .take(count)
        .collect();
    let Some(lab) = Lab::up(&kinds)? else {
        return Ok(());
    };
    let (_relay, bootstrap) = LabNode::relay(&lab, Transport::Tcp).await?;
    let (first, others) = lab.places().split_first().context("no places")?;
    let known = ["--bootstrap", &bootstrap];
    let publisher = LabNode::start(first, Transport::Tcp, &known).await?;
    let mut source = Source::new(&publisher, 1_000)?;
    let stream = source.stream.clone();
    let mut members = Vec::new();
    for place in others {
        members.push(Member::join(place, &bootstrap, &stream).await?);
    }

    let mut ticks = interval(CADENCE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 0..replaced {
        let started = Instant::now();
        while started.elapsed() < pause {
            ticks.tick().await;
            source.publish_one().await?;
            for member in &mut members {
                member.look(&stream).await?;
            }
        }
        // Not the next one: the kinds would leave in the order in which they are.
        let place = turn * 3 % others.len();
        members[place].node.node.kill()?;
        members[place] = Member::join(&others[place], &bootstrap, &stream).await?;
    }
    let until = Instant::now() + AGREES;
    let nodes: Vec<_> = members.iter().map(|member| &member.node).collect();
    ensure_agreement(&nodes, &[source], until).await?;
    // The last ones have their time, too.
    for member in &mut members {
        while !member.look(&stream).await? {
            ticks.tick().await;
        }
        #[allow(clippy::print_stderr, reason = "the figures of the churn")]
        {
            let (kind, longest) = (member.node.kind, member.longest_short);
            eprintln!("{kind:>16}: too few peers for {longest:.1?} at most");
        }
    }
    Ok(())
}
