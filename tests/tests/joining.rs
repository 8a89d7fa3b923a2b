//! Nodes that find those who have a stream on its meta topic alone: nobody here
//! answers Kademlia's questions, and they know only a node that introduces them
//! and has nothing of the stream.

use anyhow::{Result, ensure};
use headwater::runtime::RuntimeConfig;
use headwater_protocols::id::LogId;
use headwater_tests::InProcessNode;

/// A node that has nothing, and lets others hear of each other.
async fn introducer() -> Result<InProcessNode> {
    InProcessNode::start(|config| config.introduces = true).await
}

/// A node that knows only this one.
async fn node(introducer: &InProcessNode) -> Result<InProcessNode> {
    node_with(introducer, |_| {}).await
}

async fn node_with(
    introducer: &InProcessNode,
    change: impl FnOnce(&mut RuntimeConfig),
) -> Result<InProcessNode> {
    let bootstrap = vec![introducer.address()?];
    InProcessNode::start(|config| {
        config.options.bootstrap = bootstrap;
        change(config);
    })
    .await
}

/// Creates a stream of `count` numbers.
async fn create(publisher: &InProcessNode, count: u64) -> Result<LogId> {
    let log = publisher.create("numbers").await?;
    publisher.publish(log, 0, count).await?;
    Ok(log)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_joiner_finds_holders_on_the_meta_topic_alone() -> Result<()> {
    let introducer = introducer().await?;
    let publisher = node(&introducer).await?;
    let log = create(&publisher, 10_000).await?;
    let subscriber = node(&introducer).await?;
    subscriber.follow(log, &[]).await?;
    subscriber.until_synced(log, 10_000).await?;

    // The publisher is gone; the subscriber answers.
    publisher.stop().await?;
    let joiner = node(&introducer).await?;
    joiner.follow(log, &[]).await?;
    joiner.until_synced(log, 10_000).await?;
    ensure!(joiner.root(log).is_some() && joiner.root(log) == subscriber.root(log));
    ensure!(
        introducer.node().stream(log).is_none(),
        "it has nothing of it"
    );
    for node in [joiner, subscriber, introducer] {
        node.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_listens_nowhere_dials_the_joiner() -> Result<()> {
    let introducer = introducer().await?;
    let nowhere = |config: &mut RuntimeConfig| config.options.listen.clear();
    let publisher = node_with(&introducer, nowhere).await?;
    let log = create(&publisher, 1_000).await?;
    let joiner = node(&introducer).await?;
    joiner.follow(log, &[]).await?;
    joiner.until_synced(log, 1_000).await?;
    for node in [joiner, publisher, introducer] {
        node.stop().await?;
    }
    Ok(())
}
