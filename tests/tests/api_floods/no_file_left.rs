//! A process that may open no more files.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::honest::{WHOLE_AGAIN, connect};

/// Sets how many files a process may have open.
fn limit(pid: u32, files: u64) -> Result<()> {
    let limited = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--nofile={files}:")])
        .status()
        .context("prlimit (util-linux)")?;
    ensure!(limited.success(), "prlimit: {limited}");
    Ok(())
}

/// The number that the next file of a process would get.
fn next_file(pid: u32) -> Result<u64> {
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?;
    let open: BTreeSet<u64> = open
        .map(|entry| Ok(entry?.file_name().to_string_lossy().parse()?))
        .collect::<Result<_>>()?;
    (0..)
        .find(|file| !open.contains(file))
        .context("no number left")
}

/// The status of `GET /health` over a connection that is there.
async fn health(socket: &mut TcpStream) -> Result<String> {
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    socket.write_all(request).await?;
    let mut answer = vec![0; 64 << 10];
    let read = timeout(WHOLE_AGAIN, socket.read(&mut answer)).await??;
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    let (line, _) = answer.split_once('\r').context("no answer")?;
    let troubled = answer.contains("open-files");
    ensure!(line.ends_with("200 OK") != troubled, "{answer}");
    Ok(line.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_without_files_pauses_and_it_is_said_once_until_it_is_over() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let pid = node.pid().context("no process")?;
    let mut api = connect(&node).await?;
    ensure!(health(&mut api).await?.contains("200"));
    let address = node.address()?;
    let mut parts = address.split('/');
    let (ip, port) = (
        parts.nth(2).context("no ip")?,
        parts.nth(1).context("no port")?,
    );

    limit(pid, next_file(pid)?)?;
    // The system takes them, and the node cannot.
    let waiting: Vec<TcpStream> =
        futures::future::try_join_all((0..8).map(|_| TcpStream::connect(format!("{ip}:{port}"))))
            .await?;
    node.until_logged("cannot accept connections").await?;
    sleep(Duration::from_secs(3)).await;
    let log = node.log();
    let said = |log: &str, text: &str| log.lines().filter(|line| line.contains(text)).count();
    ensure!(said(&log, "cannot accept connections") == 1, "{log}");
    ensure!(said(&log, "a listener failed") == 0, "{log}");
    ensure!(health(&mut api).await?.contains("503"));

    limit(pid, 4_096)?;
    drop(waiting);
    node.until_log(|log| {
        (log.lines()).any(|line| line.contains("open-files") && line.contains("it is over"))
    })
    .await?;
    ensure!(health(&mut api).await?.contains("200"));
    node.run(&["status"])?;
    Ok(())
}
