//! What becomes of a network that is cut in two and joined again, and of one
//! whose nodes come and go. `scripts/test --long` runs both at full length.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::lab::{Kind, Lab, LabNode, Place, Transport};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How long two halves may take to agree once they are joined again.
const AGREES: Duration = Duration::from_secs(30);

/// How long a node may be without anybody who has the stream.
const ALONE: Duration = Duration::from_secs(30);

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
        for (source, half) in sources.iter().zip(["west", "east"]) {
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

/// A node that may be replaced, and since when it has known nobody with the
/// stream.
struct Member {
    node: LabNode,
    alone_since: Option<Instant>,
    longest_alone: Duration,
}

impl Member {
    async fn join(place: &Place, bootstrap: &str, stream: &str) -> Result<Self> {
        let args = ["--bootstrap", bootstrap];
        let node = LabNode::start(place, Transport::Tcp, &args).await?;
        node.node.run(&["follow", stream])?;
        Ok(Self {
            node,
            alone_since: Some(Instant::now()),
            longest_alone: Duration::ZERO,
        })
    }

    async fn look(&mut self, stream: &str) -> Result<()> {
        let shown = self.node.node.get(&format!("/v1/streams/{stream}")).await?;
        let sources = shown["sources"].as_array().context("no sources")?;
        if let Some(since) = self.alone_since {
            self.longest_alone = self.longest_alone.max(since.elapsed());
        }
        self.alone_since = match (sources.is_empty(), self.alone_since) {
            (true, since) => Some(since.unwrap_or_else(Instant::now)),
            (false, _) => None,
        };
        ensure!(
            self.longest_alone < ALONE,
            "a {} node has been alone for {:?}\n{}",
            self.node.kind,
            self.longest_alone,
            self.node.node.log()
        );
        Ok(())
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
    ensure_agreement(&nodes, &[source], until).await
}
