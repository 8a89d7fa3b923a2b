//! How a node ends, and what it leaves behind.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::{FOR_NOW, PATIENCE, Signal, TestNode, binary, send_signal};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

fn addresses(node: &TestNode) -> [PathBuf; 2] {
    ["api.addr", "node.addrs"].map(|name| node.dir().join(name))
}

#[tokio::test]
async fn sigterm_ends_a_node_well_and_takes_its_addresses_away() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    ensure!(addresses(&node).iter().all(|file| file.is_file()));
    // Fails unless the exit status is 0.
    node.stop().await?;
    ensure!(!addresses(&node).iter().any(|file| file.exists()));
    node.launch().await?;
    node.stop().await
}

#[tokio::test]
async fn the_end_of_the_terminal_ends_a_node_as_well_as_sigterm_and_ctrl_c() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    for signal in [Signal::SIGHUP, Signal::SIGINT] {
        node.stop_by(signal).await?;
        ensure!(!addresses(&node).iter().any(|file| file.exists()));
        node.launch().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_node_that_nohup_started_outlives_its_terminal() -> Result<()> {
    let node = TestNode::new()?;
    let mut run = Command::new("nohup")
        .arg(binary())
        .arg("--data-dir")
        .arg(node.dir())
        .args(["run", "--listen", "/ip4/127.0.0.1/tcp/0"])
        .args(["--api-listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let runs = async {
        while !addresses(&node).iter().all(|file| file.is_file()) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, runs).await?;
    let pid = run.id().context("it has ended")?;
    send_signal(pid, Signal::SIGHUP)?;
    node.get("/health").await?;
    // What comes behind it is heard.
    send_signal(pid, Signal::SIGTERM)?;
    let status = timeout(PATIENCE, run.wait()).await??;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[tokio::test]
async fn sigterm_ends_a_node_whose_live_streams_are_read() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 10)?;
    let mut tail = node.spawn(&["tail", &stream, "--follow", "--timeout", "0s"])?;
    let mut lines = BufReader::new(tail.stdout.take().context("no output")?).lines();
    let first = timeout(PATIENCE, lines.next_line()).await??;
    ensure!(first.context("no line")?.contains("0.5"));

    node.stop().await?;
    ensure!(!addresses(&node).iter().any(|file| file.exists()));
    // Who reads must hear that there will be no more for now.
    let output = timeout(PATIENCE, tail.wait_with_output()).await??;
    ensure!(output.status.code() == Some(FOR_NOW), "{output:?}");
    let errors = String::from_utf8(output.stderr)?;
    ensure!(errors.contains("ended the live stream"), "{errors}");
    Ok(())
}

#[tokio::test]
async fn sigterm_ends_a_node_whose_answer_nobody_reads() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let created = node.json(&["stream", "create", "texts", "--value-type", "text"])?;
    let stream = created["id"].as_str().context("no id")?;
    // More than all the buffers on the way take.
    let text = "x".repeat(4_000);
    for _ in 0..4 {
        let rows = (0..2_500)
            .map(|time| format!("{{\"time\":{time},\"time_unit\":\"s\",\"value\":\"{text}\"}}\n"));
        node.append(stream, rows.collect::<String>()).await?;
    }
    let url = node.url(&format!("/v1/streams/{stream}/observations"))?;
    let answer = reqwest::get(url).await?;
    ensure!(answer.status() == 200);
    node.stop().await?;
    // What it got is not mistaken for the whole.
    ensure!(answer.bytes().await.is_err());
    node.launch().await?;
    ensure!(node.show(stream)?["size"] == 10_000);
    Ok(())
}

#[tokio::test]
async fn the_address_of_a_node_that_was_killed_confuses_no_command() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let other = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    other.create("of the other node")?;
    let [api, addrs] = addresses(&node);
    let stale = fs::read_to_string(&api)?;
    node.crash()?;
    ensure!(fs::read_to_string(&api)? == stale);

    let ids = |node: &TestNode| -> Result<String> {
        let listed = node.json(&["list"])?;
        Ok(listed["id"].as_str().context("no id")?.to_owned())
    };
    ensure!(ids(&node)? == stream);
    ensure!(!api.exists() && !addrs.exists(), "the addresses are left");

    // The port may have gone to another program by then, or to another node.
    let program = TcpListener::bind("127.0.0.1:0")?;
    let elsewhere = [
        stale,
        format!("{}\n", program.local_addr()?),
        fs::read_to_string(other.dir().join("api.addr"))?,
        "nonsense".to_owned(),
    ];
    for stale in elsewhere {
        fs::write(&api, &stale)?;
        ensure!(ids(&node)? == stream, "{stale}");
        ensure!(!api.exists(), "{stale} is left");
    }
    // And a node that is launched over it writes its own.
    fs::write(&api, fs::read_to_string(other.dir().join("api.addr"))?)?;
    let status = node.json(&["status"])?;
    ensure!(status["running"] == false, "{status}");
    node.launch().await?;
    ensure!(ids(&node)? == stream);
    Ok(())
}
