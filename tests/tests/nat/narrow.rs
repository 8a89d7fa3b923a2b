//! A path on which packets above 1,280 bytes are lost and nobody says so: TCP gets
//! connected, and then nothing large passes; QUIC finds out what does.

use std::time::Duration;

use anyhow::{Result, ensure};
use headwater_tests::lab::{Kind, LOOK_AGAIN, Lab, LabNode, Transport};
use tokio::time::{Instant, sleep};

use super::HISTORY;

/// Bytes of the largest packet that passes: what IPv6 demands of every link, and
/// what some lines and tunnels have left.
const PASSES: &str = "1280";

/// When the history is to be there.
const ARRIVES: Duration = Duration::from_secs(60);

/// Records that do not fit into packets of the beginning.
const RECORDS: u64 = 20 * HISTORY;

async fn a_history_passes(kinds: &[Kind], narrow: usize) -> Result<()> {
    let Some(lab) = Lab::up(kinds)? else {
        return Ok(());
    };
    lab.run(&["hole", &narrow.to_string(), PASSES])?;
    let (relay, bootstrap) = LabNode::relay(&lab, Transport::All).await?;
    let shown = relay.node.get("/v1/node").await?;
    let quic = shown["addresses"].as_array().into_iter().flatten();
    let mut quic = quic
        .filter_map(|it| it.as_str())
        .filter(|it| it.contains("/udp/"));
    let quic = quic
        .find(|it| it.starts_with("/ip4/198."))
        .unwrap_or(&bootstrap);
    let known = ["--bootstrap", &bootstrap, quic];
    let publisher = LabNode::start(lab.place(2), Transport::All, &known).await?;
    let stream = publisher.node.create("t")?;
    publisher.node.publish_numbers(&stream, 0, RECORDS)?;
    let subscriber = LabNode::start(lab.place(3), Transport::All, &known).await?;
    subscriber.node.run(&["follow", &stream])?;
    let started = Instant::now();
    subscriber
        .holds(&stream, RECORDS, started + ARRIVES)
        .await?;
    let history = started.elapsed();
    while subscriber.is_direct_to(&publisher.id).await? != Some(true) {
        ensure!(started.elapsed() < ARRIVES, "not connected directly");
        sleep(LOOK_AGAIN).await;
    }
    let (direct, size) = (started.elapsed(), RECORDS + 1);
    publisher.node.append(&stream, "{\"value\":1}").await?;
    subscriber
        .holds(&stream, size, Instant::now() + Duration::from_secs(15))
        .await?;
    #[allow(clippy::print_stderr, reason = "the figures of the path")]
    {
        eprintln!("{kinds:?}: history after {history:?}, direct after {direct:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_publisher_on_a_narrow_line_is_followed_over_quic() -> Result<()> {
    a_history_passes(&[Kind::PortRestricted, Kind::PortRestricted], 2).await
}

#[tokio::test]
async fn a_subscriber_on_a_narrow_line_gets_a_history_over_quic() -> Result<()> {
    a_history_passes(&[Kind::PortRestricted, Kind::PortRestricted], 3).await
}

#[tokio::test]
async fn a_publisher_that_anybody_reaches_is_followed_on_a_narrow_line() -> Result<()> {
    a_history_passes(&[Kind::Public, Kind::PortRestricted], 3).await
}
