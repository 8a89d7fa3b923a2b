//! What a slow line carries.

use anyhow::{Result, ensure};
use headwater_tests::{SlowLink, TestNode};
use serde_json::Value;

/// A publisher of numbers, and a follower that reaches it over a slow link.
struct Pair {
    publisher: TestNode,
    stream: String,
    link: SlowLink,
    follower: TestNode,
}

impl Pair {
    async fn new(records: u64, bytes_per_s: u64) -> Result<Self> {
        let publisher = TestNode::start(&[]).await?;
        let stream = publisher.create("numbers")?;
        publisher.publish_numbers(&stream, 0, records)?;
        let link = SlowLink::to(&publisher, bytes_per_s).await?;
        let follower = TestNode::start(&[]).await?;
        let invite = format!("headwater:{stream}?peer={}", link.address());
        follower.run(&["follow", &invite])?;
        Ok(Self {
            publisher,
            stream,
            link,
            follower,
        })
    }
}

// The link is a task beside the commands that wait for what comes over it.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_a_user_wants_comes_before_the_rest() -> Result<()> {
    const RECORDS: u64 = 500_000;
    /// Some ten seconds for all of it, compressed.
    const LINK: u64 = 200_000;
    let pair = Pair::new(RECORDS, LINK).await?;
    let (stream, follower) = (&pair.stream, &pair.follower);
    let begun = |shown: &Value| shown["held_records"].as_u64() > Some(0);
    follower.until(stream, begun).await?;

    let wish = ["--from", "400000", "--to", "400500", "--wait"];
    follower.run(&[&["sync", stream][..], &wish].concat())?;
    let shown = follower.get(&format!("/v1/streams/{stream}")).await?;
    ensure!(shown["synced"] == false, "all came before it: {shown}");
    let rows = follower.run(&["export", stream, "--from", "400000", "--to", "400500"])?;
    ensure!(rows.lines().count() == 501, "{rows}");
    // The rest goes on.
    follower.until_synced(stream, RECORDS).await?;
    Ok(())
}

#[tokio::test]
async fn a_history_of_numbers_takes_half_of_its_bytes_on_a_slow_line() -> Result<()> {
    const RECORDS: u64 = 300_000;
    /// 8 Mbit/s: some seconds for what is not compressed.
    const LINK: u64 = 1_000_000;
    let pair = Pair::new(RECORDS, LINK).await?;
    let (stream, follower) = (&pair.stream, &pair.follower);
    follower.until_synced(stream, RECORDS).await?;
    let carried = pair.link.carried();

    let root = |shown: &Value| shown["root"].clone();
    let path = format!("/v1/streams/{stream}");
    let (shown, published) = (follower.get(&path).await?, pair.publisher.get(&path).await?);
    ensure!(
        root(&shown) == root(&published),
        "{shown} is not {published}"
    );
    let payload = shown["record_bytes"].as_u64().unwrap_or_default();
    println!("{carried} bytes carried for {payload}");
    // Below a part of it nothing would have come this way.
    ensure!(carried > payload / 20, "{carried} bytes for {payload}");
    ensure!(carried < payload / 2, "{carried} bytes for {payload}");
    Ok(())
}
