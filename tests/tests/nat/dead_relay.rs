//! A relay that dies in mid-transfer.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::lab::{Kind, LOOK_AGAIN, Lab, LabNode, Transport};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Records of the stream: 5 MB, ten seconds at [`RATE`].
const RECORDS: u64 = 300_000;

/// What the subscriber's line carries.
const RATE: &str = "4mbit";

/// How long the other relay, or the same one once it is back, may take until
/// something comes through it.
const GOES_ON: Duration = Duration::from_secs(30);

/// How long it may take until all is there: the rest of the transfer as well.
const COMPLETES: Duration = Duration::from_secs(90);

/// Records that are there.
async fn held(node: &LabNode, stream: &str) -> Result<u64> {
    let shown = node.node.get(&format!("/v1/streams/{stream}")).await?;
    shown["held_records"].as_u64().context("no number")
}

/// Waits until more than so many records are there; how many.
async fn more_than(node: &LabNode, stream: &str, records: u64, wait: Duration) -> Result<u64> {
    let until = Instant::now() + wait;
    loop {
        let held = held(node, stream).await?;
        if held > records {
            return Ok(held);
        }
        ensure!(
            Instant::now() < until,
            "{held} records are there, and no more come\n{}",
            node.node.log()
        );
        sleep(LOOK_AGAIN).await;
    }
}

/// Two whom only relays connect, and a transfer that is under way.
struct Transfer {
    lab: Lab,
    publisher: LabNode,
    subscriber: LabNode,
    stream: String,
}

impl Transfer {
    async fn begin(lab: Lab, transport: Transport, relays: &[String]) -> Result<Self> {
        let mut known = vec!["--bootstrap"];
        known.extend(relays.iter().map(String::as_str));
        let [one, other] = lab.two(Kind::Symmetric);
        let publisher = LabNode::start(one, transport, &known).await?;
        let stream = publisher.node.create("t")?;
        publisher.node.publish_numbers(&stream, 0, RECORDS)?;
        publisher.settled().await?;
        lab.run(&["limit", &other.node.to_string(), RATE])?;
        let subscriber = LabNode::start(other, transport, &known).await?;
        subscriber.node.run(&["follow", &stream])?;
        more_than(&subscriber, &stream, RECORDS / 10, COMPLETES).await?;
        Ok(Self {
            lab,
            publisher,
            subscriber,
            stream,
        })
    }

    /// Which of the relays it goes through.
    async fn way(&self, relays: &[LabNode]) -> Result<usize> {
        let peers = self.subscriber.node.get("/v1/peers").await?;
        let peers = peers.as_array().context("no list")?;
        let found = peers
            .iter()
            .find(|found| found["peer_id"] == self.publisher.id);
        let found = found.context("not connected")?;
        ensure!(found["path"] == "relayed", "not through a relay: {found}");
        let addresses = found["addresses"].to_string();
        let is_way = |relay: &LabNode| addresses.contains(&format!("{}/p2p-circuit", relay.id));
        relays
            .iter()
            .position(is_way)
            .context("through no known relay")
    }

    /// What was under way when the relay died arrives all the same.
    async fn completes(self) -> Result<()> {
        let left = held(&self.subscriber, &self.stream).await?;
        ensure!(left < RECORDS * 9 / 10, "the transfer was nearly complete");
        let died = Instant::now();
        // What had left the relay may still arrive.
        let more = left + RECORDS / 20;
        more_than(&self.subscriber, &self.stream, more, GOES_ON).await?;
        let went_on = died.elapsed();
        let until = died + COMPLETES;
        (self.subscriber.holds(&self.stream, RECORDS, until)).await?;
        #[allow(clippy::print_stderr, reason = "the figures of the transfer")]
        {
            let done = died.elapsed();
            eprintln!("{left} records were there; went on after {went_on:?}, done after {done:?}");
        }
        let (theirs, ours) = (&self.publisher.node, &self.subscriber.node);
        let same = theirs.export(&self.stream)? == ours.export(&self.stream)?;
        ensure!(same, "the exports differ");
        drop(self.lab);
        Ok(())
    }
}

async fn another_relay_takes_over(transport: Transport) -> Result<()> {
    let kinds = [Kind::Symmetric, Kind::Symmetric, Kind::Public];
    let Some(lab) = Lab::up(&kinds)? else {
        return Ok(());
    };
    let (one, first) = LabNode::relay(&lab, transport).await?;
    let (other, second) = LabNode::public(lab.place(4), transport, "bootstrap,relay").await?;
    let mut relays = [one, other];
    let transfer = Transfer::begin(lab, transport, &[first, second]).await?;
    let way = transfer.way(&relays).await?;
    relays[way].node.kill()?;
    transfer.completes().await
}

#[tokio::test]
async fn a_transfer_goes_on_through_another_relay_when_its_own_dies_over_tcp() -> Result<()> {
    another_relay_takes_over(Transport::Tcp).await
}

#[tokio::test]
async fn a_transfer_goes_on_through_another_relay_when_its_own_dies_over_quic() -> Result<()> {
    another_relay_takes_over(Transport::Quic).await
}

#[tokio::test]
async fn a_transfer_goes_on_once_its_only_relay_is_back() -> Result<()> {
    let Some(lab) = Lab::with_two_of(&[Kind::Symmetric])? else {
        return Ok(());
    };
    let (mut relay, address) = LabNode::relay(&lab, Transport::Tcp).await?;
    let transfer = Transfer::begin(lab, Transport::Tcp, &[address]).await?;
    transfer.way(std::slice::from_ref(&relay)).await?;
    relay.node.kill()?;
    // Both have noticed.
    for node in [&transfer.publisher, &transfer.subscriber] {
        let is_alone = |peers: &Value| peers.as_array().is_some_and(Vec::is_empty);
        node.node.until_get("/v1/peers", is_alone).await?;
    }
    relay.node.launch().await?;
    transfer.completes().await
}
