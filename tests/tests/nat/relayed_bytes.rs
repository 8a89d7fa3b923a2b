//! What a node lets through relays.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::lab::{Kind, LOOK_AGAIN, Lab, LabNode, Transport};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Records of the stream: 35 MB, of which at least 21 MB are left however well
/// they are compressed. (A line counts as slow, and what goes over it is compressed,
/// behind the burst, and on a busy machine from the beginning.)
const RECORDS: u64 = 600_000;

/// Characters of each of them.
const CHARACTERS: usize = 48;

/// What goes through at once, as docs/operating.md says.
const BURST: u64 = 16 << 20;

/// What may go through relays a second.
const RATE: u64 = 512 * 1024;

/// How long it may take until all is there.
const COMPLETES: Duration = Duration::from_secs(120);

/// What has gone through relays, as the node shows it.
fn bytes_of(shown: &Value) -> u64 {
    shown["nat"]["relayed_bytes"].as_u64().unwrap_or(0)
}

/// Publishes texts that nothing can be left out of: each character has 6 bits that
/// do not follow from the others.
fn publish_noise(node: &LabNode) -> Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let create = ["stream", "create", "t", "--value-type", "text"];
    let created = node.node.json(&create)?;
    let stream = created["id"].as_str().context("no id")?.to_owned();
    let mut text = String::from("time,value\n");
    let mut noise: u64 = 0x9e37_79b9_7f4a_7c15;
    for i in 0..RECORDS {
        text.push_str(&format!("{},x", 1_577_836_800 + i));
        for _ in 1..CHARACTERS {
            // xorshift64*
            noise ^= noise >> 12;
            noise ^= noise << 25;
            noise ^= noise >> 27;
            let sextet = noise.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 58;
            text.push(char::from(ALPHABET[sextet as usize]));
        }
        text.push('\n');
    }
    let file = node.node.dir().join("noise.csv");
    std::fs::write(&file, text)?;
    let file = file.to_str().context("a path is no text")?;
    let columns = ["--time-column", "time", "--value-column", "value"];
    let args = ["publish", &stream, "--file", file, "--time-format", "unix"];
    node.node.run(&[&args[..], &columns[..]].concat())?;
    Ok(stream)
}

#[tokio::test]
async fn a_node_counts_what_goes_through_relays_and_keeps_to_its_bound() -> Result<()> {
    let Some(lab) = Lab::with_two_of(&[Kind::Symmetric])? else {
        return Ok(());
    };
    let (_relay, address) = LabNode::relay(&lab, Transport::Tcp).await?;
    let known = ["--bootstrap", &address];
    let [one, other] = lab.two(Kind::Symmetric);
    let publisher = LabNode::start(one, Transport::Tcp, &known).await?;
    let stream = publish_noise(&publisher)?;
    publisher.settled().await?;

    let config = tempfile::NamedTempFile::new()?;
    std::fs::write(&config, format!("relayed_bytes_per_second = {RATE}\n"))?;
    let config = config.path().to_str().context("a path is no text")?;
    let args = [&known[..], &["--config", config]].concat();
    let started = Instant::now();
    let subscriber = LabNode::start(other, Transport::Tcp, &args).await?;
    subscriber.node.run(&["follow", &stream])?;
    while subscriber.synced_size(&stream).await < RECORDS {
        ensure!(started.elapsed() < COMPLETES, "{}", subscriber.node.log());
        let bytes = bytes_of(&subscriber.node.get("/v1/node").await?);
        let seconds = started.elapsed().as_secs() + 1;
        ensure!(
            bytes <= BURST + seconds * RATE,
            "{bytes} bytes went through relays in {seconds} s"
        );
        sleep(LOOK_AGAIN).await;
    }
    // The count is looked at once a second.
    let is_counted = |shown: &Value| bytes_of(shown) > BURST + 4 * RATE;
    let shown = subscriber.node.until_get("/v1/node", is_counted).await?;
    let (bytes, took) = (bytes_of(&shown), started.elapsed());
    let at_least = (bytes - BURST) / RATE;
    ensure!(took.as_secs() + 2 >= at_least, "{bytes} bytes in {took:?}");
    subscriber.node.until_logged("reached its bound").await?;
    let doctor = subscriber.node.run(&["doctor"])?;
    ensure!(doctor.contains("so far"), "{doctor}");
    Ok(())
}
