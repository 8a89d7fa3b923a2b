//! Two nodes in one process, over real sockets and real stores.

use anyhow::{Context, Result, ensure};
use headwater_tests::InProcessNode;

async fn start() -> Result<InProcessNode> {
    InProcessNode::start(|_| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn history_and_live_records_reach_a_follower_whole() -> Result<()> {
    let publisher = start().await?;
    let log = publisher.create("numbers").await?;
    for batch in 0..20 {
        publisher.publish(log, batch * 5_000, 5_000).await?;
    }
    let follower = start().await?;
    follower.follow(log, &[publisher.address()?]).await?;
    follower.until_synced(log, 100_000).await?;
    for live in 0..300 {
        publisher.publish(log, 100_000 + live, 1).await?;
    }
    follower.until_synced(log, 100_300).await?;
    ensure!(publisher.root(log) == follower.root(log));
    let node = follower.node();
    let history = node.history(log).context("no history")?;
    for index in [0, 255, 256, 99_999, 100_000, 100_299] {
        ensure!(history.record(index)?.value() == index.to_string());
    }
    drop(history);
    follower.stop().await?;
    publisher.stop().await
}

/// Two topics a stream: gossipsub tells a new peer all of them in one frame,
/// and its default limits drop such a list in silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_are_followed_by_one_node() -> Result<()> {
    const STREAMS: usize = 1_000;
    let publisher = start().await?;
    let mut logs = Vec::new();
    for i in 0..STREAMS {
        let log = publisher.create(&format!("stream {i}")).await?;
        publisher.publish(log, 0, 1).await?;
        logs.push(log);
    }
    let follower = start().await?;
    for &log in &logs {
        follower.follow(log, &[publisher.address()?]).await?;
    }
    for &log in &logs {
        follower.until_synced(log, 1).await?;
    }
    for &log in &logs {
        publisher.publish(log, 1, 1).await?;
    }
    for &log in &logs {
        follower.until_synced(log, 2).await?;
    }
    follower.stop().await?;
    publisher.stop().await
}
