//! What a node has done, in numbers, and what a line of its log belongs to.

use std::path::Path;

use anyhow::{Result, ensure};
use headwater_tests::TestNode;
use serde_json::Value;

async fn count(node: &TestNode, name: &str) -> Result<u64> {
    let shown = node.get("/v1/node").await?;
    let count = shown["counters"][name].as_u64();
    count.ok_or_else(|| anyhow::anyhow!("{name} is not counted: {shown}"))
}

#[tokio::test]
async fn records_are_counted_by_the_way_they_came() -> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, 1_000)?;
    ensure!(count(&publisher, "records_published").await? == 1_000);
    ensure!(count(&publisher, "records_fetched").await? == 0);

    let follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    follower.until_synced(&stream, 1_000).await?;
    publisher.publish_numbers(&stream, 1_000, 1)?;
    follower.until_synced(&stream, 1_001).await?;
    ensure!(count(&follower, "records_published").await? == 0);
    // The last ones of a history may come with the answer to the question for the head.
    let live = count(&follower, "records_live").await?;
    ensure!(live >= 1, "{live} came live");
    ensure!(count(&follower, "records_fetched").await? + live >= 1_001);
    ensure!(count(&follower, "frame_bytes_in").await? > count(&follower, "frames_in").await?);
    Ok(())
}

#[tokio::test]
async fn lines_of_the_log_say_which_request_peer_and_stream_they_belong_to() -> Result<()> {
    let mut node = TestNode::new()?;
    node.set_args(&["--log-format", "json"]);
    node.set_env("RUST_LOG", Path::new("headwater=trace"));
    node.launch().await?;
    let stream = node.create("numbers")?;
    let other = TestNode::start(&[]).await?;
    other.run(&["follow", &node.invite(&stream)?])?;
    other.until_synced(&stream, 0).await?;
    let has_span = |line: &Value, name: &str, field: &str| {
        let spans = line["spans"].as_array();
        spans.is_some_and(|spans| {
            (spans.iter()).any(|span| span["name"] == name && !span[field].is_null())
        })
    };
    let lines = |log: &str| -> Vec<Value> {
        (log.lines())
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    };
    let log = node
        .until_log(|log| {
            let lines = lines(log);
            let any = |name, field| lines.iter().any(|line| has_span(line, name, field));
            any("request", "path") && any("peer", "id")
        })
        .await?;
    // What is asked for may have a token in it.
    let path = |line: &Value| line["spans"][0]["path"].as_str().map(str::to_owned);
    let paths: Vec<_> = lines(&log).iter().filter_map(path).collect();
    ensure!(paths.iter().any(|path| path == "/v1/streams"), "{paths:?}");
    ensure!(!paths.iter().any(|path| path.contains('?')), "{paths:?}");
    Ok(())
}
