//! Streams of which not everything is kept, on real disks.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use serde_json::Value;

/// A stream of numbers of which so much is kept; its id.
fn create(node: &TestNode, args: &[&str]) -> Result<String> {
    let created = node.json(&[&["stream", "create", "numbers"], args].concat())?;
    Ok(created["id"].as_str().context("no id")?.to_owned())
}

/// Waits until a node has a head of `size`, all from `begin` on, and no more.
async fn until_kept(node: &TestNode, stream: &str, begin: u64, size: u64) -> Result<Value> {
    let is_so = |shown: &Value| {
        shown["size"] == size
            && shown["synced"] == true
            && shown["begin"] == begin
            && shown["held"] == serde_json::json!([[begin, size]])
    };
    node.until(stream, is_so).await
}

/// The lines that an export of the numbers `[from, to)` has.
fn lines(from: u64, to: u64) -> Vec<String> {
    (from..to).map(|i| format!("{i},{i}.5")).collect()
}

/// The lines of an export, without their times.
fn exported(node: &TestNode, stream: &str) -> Result<Vec<String>> {
    let csv = node.export(stream)?;
    let fields = csv.lines().skip(1).map(|line| {
        let mut fields = line.split(',');
        let (index, value) = (fields.next()?, fields.nth(1)?);
        Some(format!("{index},{value}"))
    });
    fields.collect::<Option<_>>().context("a line is too short")
}

/// The status of an answer of the API.
async fn status_of(node: &TestNode, path: &str) -> Result<(u16, String)> {
    let answer = reqwest::get(node.url(path)?).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

#[tokio::test]
async fn whoever_was_away_while_all_that_it_had_was_dropped_comes_back_and_proves_the_rest()
-> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let stream = create(
        &publisher,
        &["--retain-records", "100", "--chunk-level", "5"],
    )?;
    let invite = publisher.invite(&stream)?;
    let mut follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &invite])?;
    // Its head ends within a chunk.
    publisher.publish_numbers(&stream, 0, 150)?;
    until_kept(&follower, &stream, 32, 150).await?;
    follower.stop().await?;

    for from in (150..5_150).step_by(500) {
        publisher.publish_numbers(&stream, from, 500)?;
    }
    // 5,150 records: of the last 100 the first lies in the chunk of 5,024.
    until_kept(&publisher, &stream, 5_024, 5_150).await?;
    follower.launch().await?;
    until_kept(&follower, &stream, 5_024, 5_150).await?;
    let newcomer = TestNode::start(&[]).await?;
    newcomer.run(&["follow", &follower.invite(&stream)?])?;
    until_kept(&newcomer, &stream, 5_024, 5_150).await?;

    for node in [&publisher, &follower, &newcomer] {
        ensure!(exported(node, &stream)? == lines(5_024, 5_150));
        let said = node.run(&["sync", "--wait", &stream])?;
        ensure!(said.contains("from index 5024 on"), "{said}");
        // What was dropped is not looked for anywhere.
        for path in ["observations?from=7&to=8", "proof/7"] {
            let path = format!("/v1/streams/{stream}/{path}");
            let (status, body) = status_of(node, &path).await?;
            ensure!(
                status == 410 && body.contains("retention"),
                "{path}: {body}"
            );
        }
        let dropped = ["sync", &stream, "--from", "7", "--to", "8", "--wait"];
        let refused = node.fails(&dropped)?;
        ensure!(refused.contains("retention"), "{refused}");
        // What is kept of a range is all that is waited for.
        let said = node.run(&["sync", &stream, "--from", "10", "--wait"])?;
        ensure!(said.contains("5024 to 5149 are held"), "{said}");
        let refused = node.fails(&["export", &stream, "--from", "10"])?;
        ensure!(refused.contains("5024"), "{refused}");
        let shown = node.run(&["show", &stream])?;
        ensure!(shown.contains("the latest 100 records"), "{shown}");

        // What is kept is proved to whoever has nothing but the stream's id.
        let proof = node.dir().join("proof.json");
        let proof = proof.to_str().context("path")?;
        node.run(&["prove", &stream, "5024", "-o", proof])?;
        node.run(&["verify", proof, "--stream", &stream])?;
        let file = node.dir().join("numbers.parquet");
        let file = file.to_str().context("path")?;
        let args = ["export", &stream, "--format", "parquet", "--with-proof"];
        node.run(&[&args[..], &["-o", file]].concat())?;
        node.run(&["verify", file, "--stream", &stream])?;
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_of_its_latest_record_is_a_value_that_changes() -> Result<()> {
    let mut publisher = TestNode::start(&[]).await?;
    let stream = create(&publisher, &["--latest-only"])?;
    let follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    for version in 0..20 {
        publisher.publish_numbers(&stream, version, 1)?;
        until_kept(&follower, &stream, version, version + 1).await?;
        ensure!(exported(&follower, &stream)? == lines(version, version + 1));
    }
    until_kept(&publisher, &stream, 19, 20).await?;
    let gone = format!("/v1/streams/{stream}/observations?from=18&to=19");
    ensure!(status_of(&follower, &gone).await?.0 == 410);
    let last = format!("/v1/streams/{stream}/observations?at_or_before=2050-01-01T00:00:00Z");
    let last = follower.get(&last).await?;
    ensure!(last[0]["index"] == 19, "{last}");
    let tail = follower.run(&["tail", &stream])?;
    ensure!(tail.lines().count() == 1, "{tail}");
    let shown = follower.show(&stream)?;
    ensure!(shown["retain_records"] == 1 && shown["chunk_level"] == 0);

    publisher.kill()?;
    publisher.launch().await?;
    publisher.publish_numbers(&stream, 20, 1)?;
    until_kept(&publisher, &stream, 20, 21).await?;
    Ok(())
}

#[tokio::test]
async fn a_node_killed_while_records_go_claims_nothing_that_is_not_there() -> Result<()> {
    const BATCH: u64 = 20_000;
    let seed = match std::env::var("HEADWATER_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos()),
    };
    println!("HEADWATER_SEED={seed}");
    let mut publisher = TestNode::start(&[]).await?;
    // Ten steps and more for each batch.
    let args = ["--retain-records", "10", "--chunk-level", "1"];
    let stream = create(&publisher, &args)?;
    for kill in 0..5 {
        let from = kill * BATCH;
        publisher.publish_numbers(&stream, from, BATCH)?;
        let pause = (seed >> kill) % 25;
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        publisher.kill()?;
        publisher.launch().await?;
        let size = from + BATCH;
        let shown = publisher.get(&format!("/v1/streams/{stream}")).await?;
        println!("killed after {pause} ms, restarted with {}", shown["held"]);
        ensure!(shown["size"] == size, "{shown}");
        until_kept(&publisher, &stream, size - 10, size).await?;
        ensure!(exported(&publisher, &stream)? == lines(size - 10, size));
    }
    let follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    until_kept(&follower, &stream, 5 * BATCH - 10, 5 * BATCH).await?;
    Ok(())
}

/// Bytes of the files in a folder and those below it.
fn bytes_in(dir: &std::path::Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        // The store removes files of its own at any time.
        let Ok(about) = path.metadata() else { continue };
        bytes += match about.is_dir() {
            true => bytes_in(&path).unwrap_or(0),
            false => about.len(),
        };
    }
    Ok(bytes)
}

#[tokio::test]
async fn the_disk_gets_back_what_is_not_kept() -> Result<()> {
    const BATCHES: u64 = 200;
    let publisher = TestNode::start(&[]).await?;
    let types = ["--value-type", "text", "--chunk-level", "4"];
    let kept = create(
        &publisher,
        &[&types[..], &["--retain-records", "32"]].concat(),
    )?;
    // Text that cannot be made much shorter.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut value = || {
        let mut text = String::with_capacity(50_000);
        while text.len() < 50_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text += &format!("{:016x}", state ^ state >> 29);
        }
        text
    };
    let mut most = 0;
    for batch in 0..BATCHES {
        let lines = (0..16).map(|i| {
            let time = 1_600_000_000 + batch * 16 + i;
            format!("{{\"time\":{time}000000,\"value\":\"{}\"}}\n", value())
        });
        let body = lines.collect::<String>();
        publisher.append(&kept, body).await?;
        most = most.max(bytes_in(publisher.dir())?);
    }
    let size = BATCHES * 16;
    until_kept(&publisher, &kept, size - 32, size).await?;
    // What is left is the log of writes, which is bounded, and what was dropped
    // since the disk was told last.
    let is_small = |shown: &Value| {
        shown["disk_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes < 30_000_000)
    };
    publisher.until(&kept, is_small).await?;
    let published = size * 50_000;
    let mut left = published;
    for _ in 0..600 {
        left = bytes_in(publisher.dir())?;
        if left < published / 3 * 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    println!("{published} bytes were published, {most} on the disk at most, {left} at last");
    ensure!(left < published / 3 * 2, "{left} bytes are left");
    Ok(())
}
