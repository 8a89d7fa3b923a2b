//! Searching for streams on real nodes.

use anyhow::{Context, Result, ensure};
use headwater_tests::{FOR_NOW, TestNode, USAGE};
use serde_json::Value;

fn create(node: &TestNode, name: &str, description: &str) -> Result<String> {
    let args = ["stream", "create", name, "--description", description];
    let created = node.json(&[&args[..], &["--unit", "m/s"]].concat())?;
    Ok(created["id"].as_str().context("id")?.to_owned())
}

fn found(answer: &Value, id: &str) -> Option<Value> {
    let streams = answer["streams"].as_array()?;
    streams.iter().find(|stream| stream["id"] == id).cloned()
}

#[tokio::test]
async fn a_stream_that_one_of_four_nodes_publishes_is_found_and_followed_by_its_id() -> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let wind = create(&publisher, "wind", "at the pier")?;
    publisher.publish_numbers(&wind, 0, 10)?;
    let at = publisher.address()?;
    let follower = TestNode::start(&["--bootstrap", &at]).await?;
    let rain = create(&follower, "rain", "beside the pier")?;
    follower.run(&["follow", &publisher.invite(&wind)?])?;
    follower.until_synced(&wind, 10).await?;
    let other = TestNode::start(&["--bootstrap", &at]).await?;
    create(&other, "snow", "on the hill")?;
    let addresses = [at, follower.address()?, other.address()?];
    let bootstrap: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let node = TestNode::start(&[&["--bootstrap"], &bootstrap[..]].concat()).await?;

    // As soon as all of them are connected.
    let all = |answer: &Value| {
        let peers = |id: &str| found(answer, id).map(|stream| stream["peers"].clone());
        peers(&wind) == Some(2.into()) && peers(&rain) == Some(1.into())
    };
    let answer = node.until_get("/v1/discover?q=PIER", all).await?;
    ensure!(
        answer["streams"].as_array().map(Vec::len) == Some(2),
        "{answer}"
    );
    let stream = found(&answer, &wind).context("wind")?;
    ensure!(stream["size"] == 10 && stream["known"] == false, "{stream}");
    ensure!(
        stream["name"] == "wind" && stream["unit"] == "m/s",
        "{stream}"
    );
    let invite = stream["invite"].as_str().context("invite")?.to_owned();
    ensure!(invite.contains("?peer="), "{stream}");

    let table = node.run(&["discover", "wind", "pier"])?;
    ensure!(
        table.contains("at the pier") && !table.contains("rain"),
        "{table}"
    );
    ensure!(node.run(&["discover", "hail"])?.is_empty());
    node.run(&["follow", &invite])?;
    node.until_synced(&wind, 10).await?;
    let again = node.json(&["discover", "wind"])?;
    ensure!(again["known"] == true, "{again}");
    let long = node.fails_with(USAGE, &["discover", &"x".repeat(200)])?;
    ensure!(long.contains("too long"), "{long}");
    Ok(())
}

#[test]
fn searching_needs_a_running_node() -> Result<()> {
    let node = TestNode::new()?;
    ensure!(
        node.fails_with(FOR_NOW, &["discover"])?
            .contains("needs a running node")
    );
    Ok(())
}
