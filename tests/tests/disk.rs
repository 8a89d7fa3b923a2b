//! Disks fill up and fail. What was acknowledged stays, what can be read is read,
//! and writing goes on by itself.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::small_disk::SmallDisk;
use headwater_tests::{FOR_NOW, TestNode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// How long it may take until a node notices that its disk works again.
const NOTICED: Duration = Duration::from_secs(60);

/// Publishes one value over the API of a running node; the status, and what it
/// says.
async fn post(node: &TestNode, stream: &str, value: Value) -> Result<(u16, Value)> {
    let url = node.url(&format!("/v1/streams/{stream}/observations"))?;
    let request = reqwest::Client::new().post(url).bearer_auth(node.token()?);
    let answer = request
        .json(&json!({"time": 1, "time_unit": "us", "value": value}))
        .send();
    let answer = answer.await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// Publishes one value as soon as that is possible again.
async fn post_when_possible(node: &TestNode, stream: &str, value: Value) -> Result<Value> {
    let since = Instant::now();
    loop {
        let (status, body) = post(node, stream, value.clone()).await?;
        if status == 201 {
            return Ok(body);
        }
        let log = node.log();
        ensure!(since.elapsed() < NOTICED, "{status} {body}\n{log}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// The status of a route that is open to everybody, and what it says.
async fn look(node: &TestNode, path: &str) -> Result<(u16, Value)> {
    let answer = reqwest::get(node.url(path)?).await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// Waits until a node says of itself that it is well, or that it is not.
async fn until_health(node: &TestNode, wanted: u16) -> Result<Value> {
    let since = Instant::now();
    loop {
        let (status, health) = look(node, "/health").await?;
        if status == wanted {
            return Ok(health);
        }
        ensure!(since.elapsed() < NOTICED, "{health}\n{}", node.log());
        sleep(Duration::from_millis(50)).await;
    }
}

fn count(text: &str, wanted: &str) -> usize {
    text.matches(wanted).count()
}

/// The trouble is named everywhere, once in the log.
async fn ensure_named(node: &TestNode) -> Result<()> {
    let health = until_health(node, 503).await?;
    ensure!(health["troubles"][0]["name"] == "disk", "{health}");
    let (status, ready) = look(node, "/ready").await?;
    ensure!(status == 503, "{ready}");
    let shown = node.get("/v1/node").await?;
    ensure!(shown["troubles"][0]["severity"] == "failure", "{shown}");
    let found = node.command(&["doctor"])?;
    let found = String::from_utf8(found.stdout)?;
    ensure!(found.contains("nothing is published or fetched"), "{found}");
    let status = node.run(&["status"])?;
    ensure!(status.contains("trouble"), "{status}");
    let log = node.log();
    let lines = count(&log, "trouble=\"disk\"") + count(&log, "a request failed");
    ensure!(lines == 1, "{lines} lines in the log: {log}");
    Ok(())
}

/// Text that does not compress: 100 hex digits from a counter.
fn noise(mut state: u64) -> String {
    let mut text = String::new();
    while text.len() < 100 {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        text.push_str(&format!("{:08x}", state >> 32));
    }
    text
}

/// Publishes texts until that is refused: how many were acknowledged, and the
/// refusal.
async fn publish_until_refused(node: &TestNode, stream: &str) -> Result<(u64, u16, String)> {
    publish_by(&reqwest::Client::new(), node, stream).await
}

async fn publish_by(
    client: &reqwest::Client,
    node: &TestNode,
    stream: &str,
) -> Result<(u64, u16, String)> {
    let url = node.url(&format!("/v1/streams/{stream}/observations"))?;
    let mut acknowledged = 0;
    loop {
        let rows: Vec<_> = (acknowledged..acknowledged + 1_000)
            .map(|i| format!(r#"{{"time":{i},"time_unit":"us","value":"{}"}}"#, noise(i)))
            .collect();
        let request = client.post(&url).bearer_auth(node.token()?);
        let request = request.header("content-type", "application/x-ndjson");
        let answer = request.body(rows.join("\n")).send().await?;
        let status = answer.status();
        if !status.is_success() {
            return Ok((acknowledged, status.as_u16(), answer.text().await?));
        }
        acknowledged += 1_000;
        ensure!(acknowledged < 1_000_000, "the disk does not fill up");
    }
}

fn create_texts(node: &TestNode, name: &str) -> Result<String> {
    let created = node.json(&["stream", "create", name, "--value-type", "text"])?;
    Ok(created["id"].as_str().context("id")?.to_owned())
}

/// A node with a fresh folder on this disk.
fn node_on(disk: &SmallDisk) -> Result<TestNode> {
    let mut node = TestNode::new()?;
    node.use_dir(&disk.path().join("data"))?;
    Ok(node)
}

#[tokio::test]
async fn after_a_failed_fsync_the_stream_is_read_back_and_goes_on_without_a_fork() -> Result<()> {
    let mut node = TestNode::new()?;
    let shim = node.dir().join("fsync_fails.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/fsync_fails.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&shim, &source])
        .arg("-ldl")
        .status()?;
    ensure!(compiled.success(), "the shim does not compile");
    let flag = node.dir().join("fsync-fails");
    node.set_env("LD_PRELOAD", &shim);
    node.set_env("FSYNC_FAILS_WHILE", &flag);
    node.launch().await?;
    let stream = node.create("numbers")?;
    let follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &node.invite(&stream)?])?;
    for value in 0..10 {
        ensure!(post(&node, &stream, json!(value)).await?.0 == 201);
    }
    follower.until_synced(&stream, 10).await?;

    fs::write(&flag, "")?;
    let (status, refusal) = post(&node, &stream, json!(10)).await?;
    println!("{status} {refusal}");
    ensure!(
        status == 500
            && refusal["detail"]
                .as_str()
                .is_some_and(|d| d.contains("not known yet"))
    );
    let shown = node.show(&stream)?;
    ensure!(
        shown["size"] == 10,
        "a head was signed for what is not durable: {shown}"
    );
    ensure!(
        shown["stopped"].is_string() && shown["stopped_since"].is_string(),
        "the stream is not stopped: {shown}"
    );
    let (status, refusal) = post(&node, &stream, json!(10)).await?;
    ensure!(status == 503, "{refusal}");
    ensure!(node.export(&stream)?.lines().count() == 11);
    until_health(&node, 503).await?;

    fs::remove_file(&flag)?;
    let at = post_when_possible(&node, &stream, json!(11)).await?;
    let size = at["to"].as_u64().context("to")?;
    ensure!(size == 11 || size == 12, "{at}");
    until_health(&node, 200).await?;
    follower.until_synced(&stream, size).await?;
    ensure!(follower.show(&stream)?["forked"] == false);
    ensure!(follower.export(&stream)? == node.export(&stream)?);

    node.kill()?;
    node.launch().await?;
    ensure!(node.show(&stream)?["size"] == size);
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_named_and_left_by_itself_when_there_is_room() -> Result<()> {
    let Some(disk) = SmallDisk::new(48)? else {
        return Ok(());
    };
    let mut node = node_on(&disk)?;
    node.launch().await?;
    let other = create_texts(&node, "other")?;
    let stream = create_texts(&node, "texts")?;
    ensure!(post(&node, &other, json!("a")).await?.0 == 201);
    let (acknowledged, status, refusal) = publish_until_refused(&node, &stream).await?;
    println!("after {acknowledged} records: {status} {refusal}");
    ensure!(
        status == 507 && refusal.contains("the disk is full"),
        "{refusal}"
    );
    ensure!(
        acknowledged > 100_000,
        "only {acknowledged} records had room"
    );
    ensure!(node.show(&stream)?["size"] == acknowledged);
    // The last kilobytes, too, and what table files that are written again leave.
    while look(&node, "/health").await?.0 == 200 {
        post(&node, &stream, json!(noise(7).repeat(30))).await?;
    }
    for _ in 0..20 {
        ensure!(post(&node, &stream, json!(noise(7).repeat(30))).await?.0 == 507);
    }
    ensure_named(&node).await?;
    let size = node.show(&stream)?["size"].as_u64().context("size")?;
    let exported = node.export(&stream)?;
    ensure!(exported.lines().count() as u64 == size + 1);
    // A file that has to be written first does not fit.
    let filler = disk.fill()?;
    let parquet = format!("/v1/streams/{stream}/observations?format=parquet");
    let head = reqwest::Client::new().head(node.url(&parquet)?).send();
    let status = head.await?.status();
    ensure!(status == 507, "{status}");
    fs::remove_file(filler)?;
    // What is kept back is enough to delete something.
    node.run(&["stream", "delete", &other, "--own"])?;
    ensure!(node.show(&other).is_err());

    disk.resize(512)?;
    let at = post_when_possible(&node, &stream, json!("room again")).await?;
    ensure!(at["from"] == size, "{at}");
    until_health(&node, 200).await?;
    let log = node.log();
    ensure!(count(&log, "it is over") == 1, "{log}");
    Ok(())
}

#[tokio::test]
async fn a_disk_that_others_fill_to_the_last_byte_stops_nothing_for_ever() -> Result<()> {
    let Some(disk) = SmallDisk::new(64)? else {
        return Ok(());
    };
    let mut node = node_on(&disk)?;
    node.launch().await?;
    let (stream, large) = (create_texts(&node, "texts")?, create_texts(&node, "large")?);
    for i in 0..100 {
        ensure!(post(&node, &stream, json!(noise(i))).await?.0 == 201);
        ensure!(post(&node, &large, json!(noise(i).repeat(30))).await?.0 == 201);
    }
    let filler = disk.fill()?;
    let mut status = 201;
    for i in 0..500 {
        status = post(&node, &stream, json!(noise(i).repeat(30))).await?.0;
        if status != 201 {
            break;
        }
    }
    ensure!(status == 507, "{status}");
    ensure_named(&node).await?;
    let size = node.show(&stream)?["size"].as_u64().context("size")?;
    ensure!(node.export(&stream)?.lines().count() as u64 == size + 1);
    let since = Instant::now();
    // The room that is kept back opens the store again, for this alone.
    while let Err(error) = node.run(&["stream", "delete", &large, "--own"]) {
        ensure!(since.elapsed() < NOTICED, "{error:#}\n{}", node.log());
        sleep(Duration::from_millis(200)).await;
    }
    ensure!(post(&node, &stream, json!("x")).await?.0 == 507);
    fs::remove_file(filler)?;
    let at = post_when_possible(&node, &stream, json!("room again")).await?;
    ensure!(at["from"].as_u64() >= Some(size), "{at}");
    until_health(&node, 200).await?;

    node.kill()?;
    node.launch().await?;
    ensure!(node.show(&stream)?["size"] == at["to"]);
    Ok(())
}

#[tokio::test]
async fn a_follower_whose_disk_is_full_says_so_and_completes_when_there_is_room() -> Result<()> {
    let Some(disk) = SmallDisk::new(48)? else {
        return Ok(());
    };
    let publisher = TestNode::start(&[]).await?;
    let stream = create_texts(&publisher, "texts")?;
    let total = 600_000;
    for from in (0..total).step_by(50_000) {
        let rows: Vec<_> = (from..from + 50_000)
            .map(|i| format!(r#"{{"time":{i},"time_unit":"us","value":"{}"}}"#, noise(i)))
            .collect();
        publisher.append(&stream, rows.join("\n")).await?;
    }
    let mut node = node_on(&disk)?;
    node.launch().await?;
    node.run(&["follow", &publisher.invite(&stream)?])?;
    ensure_named(&node).await?;
    let waits = |shown: &Value| shown["waits_for_room"] == true || shown["stopped"].is_string();
    let shown = node.until(&stream, waits).await?;
    ensure!(shown["synced"] == false, "{shown}");
    let said = node.fails_with(FOR_NOW, &["sync", &stream, "--wait", "--timeout", "1s"])?;
    ensure!(said.contains("disk"), "{said}");

    disk.resize(512)?;
    node.until_synced(&stream, total).await?;
    until_health(&node, 200).await?;
    ensure!(node.export(&stream)? == publisher.export(&stream)?);
    Ok(())
}

#[tokio::test]
async fn a_disk_that_fills_during_an_import_leaves_whole_rows_and_a_way_to_go_on() -> Result<()> {
    let Some(disk) = SmallDisk::new(48)? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("old.csv");
    let row = |i: u64| format!("{},{}", 1_600_000_000 + i, noise(i));
    let rows = 600_000;
    let mut text = String::from("ts,value\n");
    for i in 0..rows {
        text.push_str(&row(i));
        text.push('\n');
    }
    fs::write(&file, text)?;
    let file = file.to_str().context("path")?;
    let mut node = node_on(&disk)?;
    node.launch().await?;
    let errors = node.fails_with(
        FOR_NOW,
        &["import", file, "--create", "old", "--value-type", "text"],
    )?;
    ensure!(errors.contains("full"), "it does not say why: {errors}");
    ensure!(errors.contains("was created"), "{errors}");
    let stored = node.show("old")?["size"].as_u64().context("size")?;
    ensure!(stored < rows, "the disk did not fill up");

    disk.resize(512)?;
    until_health(&node, 200).await?;
    let kept = node.show("old")?["size"].as_u64().context("size")?;
    ensure!(
        kept >= stored,
        "{stored} were acknowledged, {kept} are left"
    );
    node.run(&["import", file, "--to", "old", "--resume"])?;
    let exported = node.export("old")?;
    let value = |line: &str| line.rsplit(',').next().unwrap_or("").to_owned();
    let mut count = 0;
    for (i, line) in (0..).zip(exported.lines().skip(1)) {
        ensure!(value(line) == noise(i), "{line}");
        count += 1;
    }
    ensure!(count == rows, "{count} of {rows} rows");
    Ok(())
}

#[tokio::test]
async fn a_start_on_a_full_disk_reads_and_writes_when_there_is_room() -> Result<()> {
    let Some(disk) = SmallDisk::new(64)? else {
        return Ok(());
    };
    let mut node = node_on(&disk)?;
    node.launch().await?;
    let stream = create_texts(&node, "texts")?;
    let large = create_texts(&node, "large")?;
    for i in 0..200 {
        ensure!(post(&node, &stream, json!(noise(i))).await?.0 == 201);
        ensure!(post(&node, &large, json!(noise(i).repeat(30))).await?.0 == 201);
    }
    node.kill()?;
    // Nothing is kept back, either.
    let _ = fs::remove_file(node.dir().join("store/reserve"));
    let filler = disk.fill()?;
    ensure!(
        node.export(&stream)?.lines().count() == 201,
        "without a node"
    );
    let refused = node.fails_with(FOR_NOW, &["publish", &stream, "x"])?;
    ensure!(refused.contains("full"), "{refused}");
    node.launch_without_addresses().await?;
    ensure_named(&node).await?;
    ensure!(node.export(&stream)?.lines().count() == 201);
    let (status, refusal) = post(&node, &stream, json!("x")).await?;
    ensure!(status == 507, "{refusal}");

    fs::remove_file(filler)?;
    let at = post_when_possible(&node, &stream, json!("room again")).await?;
    ensure!(at["from"] == 200, "{at}");
    until_health(&node, 200).await?;
    Ok(())
}

#[tokio::test]
async fn a_disk_that_is_mounted_read_only_is_read_with_and_without_a_node() -> Result<()> {
    let Some(disk) = SmallDisk::new(64)? else {
        return Ok(());
    };
    let mut node = node_on(&disk)?;
    node.launch().await?;
    let stream = create_texts(&node, "texts")?;
    for i in 0..20 {
        ensure!(post(&node, &stream, json!(noise(i))).await?.0 == 201);
    }
    node.kill()?;
    disk.set_read_only(true)?;
    ensure!(
        node.export(&stream)?.lines().count() == 21,
        "without a node"
    );
    let refused = node.fails_with(FOR_NOW, &["publish", &stream, "x"])?;
    ensure!(count(&refused, "Read-only file system") == 1, "{refused}");
    node.launch_without_addresses().await?;
    ensure_named(&node).await?;
    ensure!(node.export(&stream)?.lines().count() == 21);
    let (status, refusal) = post(&node, &stream, json!("x")).await?;
    ensure!(status == 503, "{refusal}");

    disk.set_read_only(false)?;
    let at = post_when_possible(&node, &stream, json!("again")).await?;
    ensure!(at["from"] == 20, "{at}");
    Ok(())
}

/// Lets a process have so many files open from now on.
fn allow_files(pid: u32, limit: usize) -> Result<()> {
    let set = Command::new("prlimit")
        .args(["--pid", &pid.to_string()])
        .arg(format!("--nofile={limit}:"))
        .status()?;
    ensure!(set.success(), "prlimit ended with {set}");
    Ok(())
}

#[tokio::test]
async fn without_descriptors_publishing_is_refused_and_nothing_lost_and_goes_on_by_itself()
-> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = create_texts(&node, "texts")?;
    let pid = node.pid().context("it runs")?;
    // One connection, which is open already: there will be none for another.
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(1)
        .build()?;
    let ask = async |path: &str| -> Result<(u16, String)> {
        let answer = client.get(node.url(path)?).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    };
    ensure!(ask("/health").await?.0 == 200);
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    allow_files(pid, open)?;
    let (acknowledged, status, said) = publish_by(&client, &node, &stream).await?;
    ensure!(status == 503, "{status}: {said}");
    ensure!(said.contains("oo many") && said.contains("files"), "{said}");
    let (status, health) = ask("/health").await?;
    ensure!(
        status == 503 && health.contains("too many files are open"),
        "{health}"
    );
    ensure!(health.contains("LimitNOFILE"), "{health}");

    allow_files(pid, 4_096)?;
    until_health(&node, 200).await?;
    post_when_possible(&node, &stream, json!("after it")).await?;
    let shown = node.show(&stream)?;
    let size = shown["size"].as_u64().context("size")?;
    ensure!(size > acknowledged, "{size} of {acknowledged}");
    ensure!(shown["held"] == json!([[0, size]]), "{shown}");
    let rows = node.run(&["export", &stream, "--format", "ndjson"])?;
    let rows: Vec<&str> = rows.lines().collect();
    for (at, row) in rows.iter().take(usize::try_from(acknowledged)?).enumerate() {
        ensure!(row.contains(&noise(at as u64)), "{at}: {row}");
    }
    ensure!(rows.len() as u64 == size);
    node.until_logged("it is over").await?;
    Ok(())
}

#[tokio::test]
async fn a_start_with_too_few_descriptors_says_how_many_are_needed() -> Result<()> {
    let node = TestNode::new()?;
    let log = node.dir().join("said");
    for limit in [24, 200] {
        let mut process = Command::new("prlimit")
            .arg(format!("--nofile={limit}:{limit}"))
            .arg(headwater_tests::binary())
            .arg("--data-dir")
            .arg(node.dir())
            .args(["run", "--listen", "/ip4/127.0.0.1/tcp/0"])
            .args(["--api-listen", "127.0.0.1:0"])
            .env("HEADWATER_MARK_DIR", node.mark_dir())
            .stdout(std::process::Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()?;
        let since = Instant::now();
        let wanted = format!("may have {limit} files open, and the node needs 832");
        while !fs::read_to_string(&log)?.contains(&wanted) {
            let said = fs::read_to_string(&log)?;
            ensure!(since.elapsed() < NOTICED, "{limit}: {said}");
            ensure!(!said.contains("panicked"), "{limit}: {said}");
            sleep(Duration::from_millis(20)).await;
        }
        let _ = process.kill();
        process.wait()?;
    }
    Ok(())
}
