//! A bound of what streams take on the disk.

use anyhow::{Context, Result, ensure};
use headwater_tests::{TestNode, USAGE};
use serde_json::Value;

/// Texts of `bytes` that do not compress, one a line; each seed has others.
fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(bytes + 64);
    while text.len() < bytes {
        text.push_str(r#"{"time":0,"time_unit":"us","value":""#);
        for _ in 0..180 {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let bits = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 34;
            for at in 0..5 {
                let six = (bits >> (6 * at)) as usize % 64;
                let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
                text.push(char::from(letters[six]));
            }
        }
        text.push_str("\"}\n");
    }
    text
}

/// Creates a stream of texts and fills it with so many MiB.
async fn texts(node: &TestNode, name: &str, mib: u64) -> Result<String> {
    let created = node.json(&["stream", "create", name, "--value-type", "text"])?;
    let stream = created["id"].as_str().context("id")?.to_owned();
    for part in 0..mib {
        node.append(&stream, noise(part, 1 << 20)).await?;
    }
    Ok(stream)
}

fn state(node: &Value) -> &Value {
    &node["max_disk"]["state"]
}

#[tokio::test]
async fn a_history_stops_before_the_bound_while_live_records_come_and_goes_on_after_a_deletion()
-> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let first = texts(&publisher, "first", 9).await?;
    let second = texts(&publisher, "second", 12).await?;
    let node = TestNode::start(&["--max-disk", "16MiB"]).await?;
    node.run(&["follow", &publisher.invite(&first)?])?;
    node.until(&first, |shown| shown["synced"] == true).await?;

    node.run(&["follow", &publisher.invite(&second)?])?;
    let waits = |shown: &Value| shown["waits_for_room"] == true;
    let shown = node.until(&second, waits).await?;
    ensure!(shown["missing_records"].as_u64() > Some(0), "{shown}");
    // The engine counts what it takes; the disk is measured twice a second.
    node.until_get("/v1/node", |node| state(node) == "no-history")
        .await?;
    let listed = node.run(&["list", "--disk"])?;
    ensure!(listed.contains("DISK"), "{listed}");
    ensure!(node.run(&["status"])?.contains("max disk"));
    // What is new comes all the same.
    let size = shown["size"].as_u64().context("size")?;
    publisher.append(&second, noise(99, 1)).await?;
    let has_last = |shown: &Value| {
        let last = shown["held"].as_array().and_then(|held| held.last());
        last.is_some_and(|interval| interval[1] == size + 1)
    };
    node.until(&second, has_last).await?;
    // Of a flush both files and log count for a moment.
    let used = |node: &Value| node["max_disk"]["used_bytes"].as_u64();
    let fits = |node: &Value| used(node).is_some_and(|used| used <= 16 << 20);
    node.until_get("/v1/node", fits).await?;

    node.run(&["stream", "delete", "first"])?;
    node.until(&second, |shown| shown["synced"] == true).await?;
    let free = node
        .until_get("/v1/node", |node| state(node) == "free")
        .await?;
    println!("{}", free["max_disk"]);
    ensure!(node.export(&second)? == publisher.export(&second)?);
    Ok(())
}

#[tokio::test]
async fn a_publish_beyond_the_bound_is_refused_as_a_whole_with_and_without_a_node() -> Result<()> {
    let mut node = TestNode::start_configured("max_disk = \"16MiB\"", &[]).await?;
    let stream = texts(&node, "texts", 1).await?;
    let mut size = 0;
    let refusal = loop {
        size = node.show(&stream)?["size"]
            .as_u64()
            .context("size")?
            .max(size);
        match node.append(&stream, noise(size, 3 << 20)).await {
            Ok(_) => {}
            Err(refusal) => break format!("{refusal:#}"),
        }
    };
    ensure!(
        refusal.contains("507") && refusal.contains("max_disk"),
        "{refusal}"
    );
    let shown = node.show(&stream)?;
    ensure!(
        shown["size"] == size && shown["stopped"].is_null(),
        "{shown}"
    );
    // The bound was not reached long before.
    ensure!(shown["disk_bytes"].as_u64() > Some(6 << 20), "{shown}");

    node.stop().await?;
    let lines = noise(7, 14 << 20);
    let refused = node
        .command_with_input(&["publish", &stream, "--ndjson"], &lines)
        .await?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        !refused.status.success() && said.contains("max_disk"),
        "{said}"
    );
    ensure!(
        node.fails_with(USAGE, &["run", "--max-disk", "1MB"])?
            .contains("too little")
    );
    ensure!(
        node.fails_with(USAGE, &["run", "--max-disk", "much"])?
            .contains("not a size")
    );
    Ok(())
}
