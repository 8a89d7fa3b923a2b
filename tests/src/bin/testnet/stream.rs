//! The stream that all follow.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::node::Node;

/// What is published, from the root of the checkout, where the script goes.
const HISTORY: &str = "tests/data/seattle-weather-hourly-normals.csv";

/// Makes the stream; its id.
pub(crate) fn create(publisher: &Node) -> Result<String> {
    let created = publisher.run(&[
        "stream",
        "create",
        "testnet",
        "--value-type",
        "number",
        "--unit",
        "°C",
        "--source",
        "NOAA hourly climate normals, Seattle",
        "--json",
    ])?;
    text_of(&created, "id")
}

/// Publishes its history.
pub(crate) fn publish(publisher: &Node, stream: &str) -> Result<()> {
    let columns = ["--time-column", "date", "--value-column", "temperature"];
    let args = [&["publish", stream, "--file", HISTORY][..], &columns].concat();
    publisher.run(&args).map(drop)
}

/// Lets a node follow the stream by the invite of another, until all of the history
/// is there.
pub(crate) fn follow(node: &Node, stream: &str, from: &Node) -> Result<()> {
    let invite = text_of(&from.run(&["show", stream, "--json"])?, "invite")?;
    node.run(&["follow", &invite])?;
    let sync = ["sync", stream, "--wait", "--timeout", "60s"];
    node.run(&sync).map(drop)
}

fn text_of(answer: &str, field: &str) -> Result<String> {
    let answer: Value = serde_json::from_str(answer)?;
    let text = answer[field].as_str();
    Ok(text
        .with_context(|| format!("no {field} in {answer}"))?
        .to_owned())
}
