//! Nodes that know a bootstrap node and nobody else find each other by the id
//! of a stream.

use anyhow::{Result, ensure};
use headwater_tests::TestNode;

/// A node that introduces others, and its address.
async fn bootstrap(known: &[&str]) -> Result<(TestNode, String)> {
    let args = [&["--role", "bootstrap"], known].concat();
    let node = TestNode::start(&args).await?;
    let address = node.address()?;
    Ok((node, address))
}

#[tokio::test]
async fn a_stream_is_found_by_its_id_alone() -> Result<()> {
    let (bootstrap, address) = bootstrap(&[]).await?;
    let known = ["--bootstrap", &address];
    let mut publisher = TestNode::start(&known).await?;
    let stream = publisher.create("t")?;
    publisher.publish_numbers(&stream, 0, 1_000)?;

    let subscriber = TestNode::start(&known).await?;
    subscriber.run(&["follow", &stream])?;
    subscriber.until_synced(&stream, 1_000).await?;
    // It is live, too.
    publisher.publish_numbers(&stream, 1_000, 10)?;
    subscriber.until_synced(&stream, 1_010).await?;

    // The publisher is gone; who found it by the id can be found by the id.
    publisher.stop().await?;
    let joiner = TestNode::start(&known).await?;
    joiner.run(&["follow", &stream])?;
    joiner.until_synced(&stream, 1_010).await?;
    ensure!(
        joiner.export(&stream)? == subscriber.export(&stream)?,
        "the exports differ"
    );

    // The bootstrap node has introduced them, and has nothing of it.
    ensure!(bootstrap.show(&stream).is_err(), "the stream is known");
    Ok(())
}

#[tokio::test]
async fn who_follows_before_anybody_has_the_stream_finds_it_later() -> Result<()> {
    let (mut bootstrap, address) = bootstrap(&[]).await?;
    bootstrap.keep_port()?;
    let known = ["--bootstrap", &address];
    let mut publisher = TestNode::start(&known).await?;
    let stream = publisher.create("t")?;
    publisher.publish_numbers(&stream, 0, 10)?;
    publisher.stop().await?;

    let subscriber = TestNode::start(&known).await?;
    subscriber.run(&["follow", &stream])?;
    // A bootstrap node that is started anew has forgotten everybody.
    bootstrap.kill()?;
    bootstrap.launch().await?;
    publisher.launch().await?;
    subscriber.until_synced(&stream, 10).await?;
    Ok(())
}

#[tokio::test]
async fn a_stream_is_found_across_two_bootstrap_nodes() -> Result<()> {
    let (_one, one) = bootstrap(&[]).await?;
    let (_other, other) = bootstrap(&["--bootstrap", &one]).await?;
    let publisher = TestNode::start(&["--bootstrap", &one]).await?;
    let stream = publisher.create("t")?;
    publisher.publish_numbers(&stream, 0, 10)?;

    let joiner = TestNode::start(&["--bootstrap", &other]).await?;
    joiner.run(&["follow", &stream])?;
    joiner.until_synced(&stream, 10).await?;
    Ok(())
}
