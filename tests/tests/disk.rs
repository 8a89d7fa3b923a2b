//! Disks fill up and fail. What was acknowledged stays.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::{FOR_NOW, TestNode};
use serde_json::Value;
use tempfile::TempDir;

/// Publishes one number over the API of a running node.
async fn publish(node: &TestNode, stream: &str, value: u64) -> Result<Value> {
    let url = node.url(&format!("/v1/streams/{stream}/observations"))?;
    let request = reqwest::Client::new().post(url).bearer_auth(node.token()?);
    let body = format!(r#"{{"time": {value}, "value": {value}}}"#);
    let request = request
        .header("content-type", "application/json")
        .body(body);
    let answer = request.send().await?;
    let status = answer.status();
    let body: Value = answer.json().await?;
    ensure!(status.is_success(), "{status}: {}", body["detail"]);
    Ok(body)
}

#[tokio::test]
async fn a_failed_fsync_closes_the_stream_and_a_restart_goes_on_without_a_fork() -> Result<()> {
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
    for value in 0..10 {
        publish(&node, &stream, value).await?;
    }

    fs::write(&flag, "")?;
    let Err(error) = publish(&node, &stream, 10).await else {
        bail!("a publish whose sync failed was acknowledged");
    };
    println!("{error:#}");
    let shown = node.show(&stream)?;
    ensure!(
        shown["size"] == 10,
        "a head was signed for what is not durable: {shown}"
    );
    ensure!(
        shown["closed"].is_string(),
        "the stream is not closed: {shown}"
    );
    fs::remove_file(&flag)?;
    // The disk is well again, but nobody knows what it kept.
    ensure!(publish(&node, &stream, 11).await.is_err());

    node.kill()?;
    node.launch().await?;
    let size = node.show(&stream)?["size"].as_u64().context("size")?;
    ensure!(size == 10 || size == 11, "{size} records");
    let at = publish(&node, &stream, 12).await?;
    ensure!(at["from"] == size, "{at}");
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_loses_nothing_that_was_acknowledged() -> Result<()> {
    let Some(disk) = SmallDisk::new()? else {
        println!("skipped: a tmpfs cannot be mounted here");
        return Ok(());
    };
    let mut node = TestNode::new()?;
    node.use_dir(&disk.0.path().join("data"))?;
    node.launch().await?;
    let created = node.json(&["stream", "create", "texts", "--value-type", "text"])?;
    let stream = created["id"].as_str().context("id")?;

    let url = node.url(&format!("/v1/streams/{stream}/observations"))?;
    let client = reqwest::Client::new();
    let mut acknowledged = 0;
    let refusal = loop {
        // Not compressible, so that the disk does fill up.
        let rows: Vec<_> = (0..1_000_u64)
            .map(|i| format!(r#"{{"time":{i},"value":"{}"}}"#, noise(acknowledged + i)))
            .collect();
        let answer = client
            .post(&url)
            .bearer_auth(node.token()?)
            .header("content-type", "application/x-ndjson")
            .body(rows.join("\n"))
            .send()
            .await?;
        if !answer.status().is_success() {
            break answer.text().await?;
        }
        acknowledged += 1_000;
        ensure!(acknowledged < 1_000_000, "the disk does not fill up");
    };
    println!("after {acknowledged} records: {refusal}");
    ensure!(
        refusal.contains("full"),
        "the refusal does not say why: {refusal}"
    );
    ensure!(node.show(stream)?["size"] == acknowledged);

    node.kill()?;
    disk.grow()?;
    node.launch().await?;
    let size = node.show(stream)?["size"].as_u64().context("size")?;
    ensure!(
        size >= acknowledged,
        "{acknowledged} were acknowledged, {size} are left"
    );
    let exported = node.export(stream)?;
    ensure!(exported.lines().count() as u64 == size + 1);
    let more = client
        .post(node.url(&format!("/v1/streams/{stream}/observations"))?)
        .bearer_auth(node.token()?)
        .json(&serde_json::json!({"value": "room again"}))
        .send()
        .await?;
    ensure!(more.status().is_success(), "{}", more.text().await?);
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

/// A file system of its own with room for 48 MiB.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where none can be mounted.
    fn new() -> Result<Option<Self>> {
        let disk = Self(tempfile::tempdir()?);
        if disk.mount(&["-t", "tmpfs", "-o", "size=48m", "tmpfs"])? {
            return Ok(Some(disk));
        }
        Ok(None)
    }

    /// Makes room.
    fn grow(&self) -> Result<()> {
        ensure!(self.mount(&["-o", "remount,size=512m"])?);
        Ok(())
    }

    fn mount(&self, args: &[&str]) -> Result<bool> {
        let mut mount = Command::new("mount");
        Ok(mount.args(args).arg(self.0.path()).status()?.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_disk_that_fills_during_an_import_leaves_whole_rows_and_a_way_to_go_on() -> Result<()> {
    let Some(disk) = SmallDisk::new()? else {
        println!("skipped: a tmpfs cannot be mounted here");
        return Ok(());
    };
    let mut node = TestNode::new()?;
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
    node.use_dir(&disk.0.path().join("data"))?;
    node.launch().await?;
    let errors = node.fails_with(FOR_NOW, &["import", file, "--create", "old"])?;
    ensure!(errors.contains("full"), "it does not say why: {errors}");
    ensure!(errors.contains("was created"), "{errors}");
    let stored = node.show("old")?["size"].as_u64().context("size")?;
    ensure!(stored < rows, "the disk did not fill up");

    node.kill()?;
    disk.grow()?;
    node.launch().await?;
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
