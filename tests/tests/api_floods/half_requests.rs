//! Connections that begin a request and never end it.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::select_all;
use headwater::api::limits::{HEAD_TIMEOUT, MAX_API_CONNECTIONS, TARPIT};
use headwater_tests::TestNode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::honest::{
    Publisher, WHOLE_AGAIN, connect, descriptors, many_connections, until_descriptors,
};

/// Half a head.
const HALF: &[u8] = b"GET /v1/node HTTP/1.1\r\nHost: localhost\r\nX-Rest: ";

/// How many begin a request and stay.
const HALF_REQUESTS: usize = 1_600;

/// One that stays, if it is let in.
async fn half_request(node: &TestNode) -> Option<TcpStream> {
    let mut socket = connect(node).await.ok()?;
    socket.write_all(HALF).await.ok()?;
    Some(socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn half_requests_use_up_no_descriptors_and_keep_nobody_from_publishing() -> Result<()> {
    many_connections()?;
    let mut node = TestNode::new()?;
    // As shells and services have it.
    node.set_open_files(1_024, 4_096);
    node.launch().await?;
    let before = descriptors(&node)?;
    let mut publisher = Publisher::new(&node)?;
    publisher.publish().await?;

    let mut sockets = Vec::new();
    while sockets.len() < HALF_REQUESTS {
        sockets.push(half_request(&node).await);
        if sockets.len() % 100 == 0 {
            publisher.publish().await?;
        }
    }
    let most = descriptors(&node)?;
    publisher.publish_for(Duration::from_secs(2)).await?;
    println!(
        "{HALF_REQUESTS} half requests: {most} files open, publishing p99 {:?}",
        publisher.p99()
    );
    publisher.ensure_open().await?;
    node.run(&["status"])?;
    drop(sockets);

    until_descriptors(&node, before + 64).await?;
    publisher.publish().await?;
    publisher.ensure_open().await?;
    let healthy = node.get("/health").await?;
    ensure!(healthy["status"] == "ok", "{healthy}");
    let log = node.log();
    let said = log
        .lines()
        .filter(|line| line.contains("Too many open files"));
    ensure!(said.count() == 0, "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_closed_in_the_middle_of_a_head_hears_of_it_later() -> Result<()> {
    many_connections()?;
    let node = TestNode::start(&[]).await?;
    let mut sockets = Vec::new();
    while sockets.len() < MAX_API_CONNECTIONS {
        sockets.extend(half_request(&node).await);
    }
    let crowded = Instant::now();
    for _ in 0..50 {
        sockets.extend(half_request(&node).await);
    }
    // Others are answered meanwhile: there is a place for them.
    node.get("/v1/node").await?;
    let closed = select_all(sockets.iter().map(|socket| Box::pin(socket.readable())));
    let (_, at, _) = timeout(Duration::from_secs(60), closed).await?;
    let heard = crowded.elapsed();
    ensure!(heard >= TARPIT, "number {at} heard after {heard:?}");
    ensure!(heard < HEAD_TIMEOUT, "nobody had to go: {heard:?}");
    Ok(())
}

/// Waits until the node closes a connection; how long that took.
async fn until_closed(mut socket: TcpStream) -> Result<Duration> {
    let began = Instant::now();
    let mut rest = Vec::new();
    // A reset ends it as well.
    let _ = timeout(Duration::from_secs(60), socket.read_to_end(&mut rest)).await?;
    Ok(began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_end_the_head_of_a_request_is_let_go() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let silent = connect(&node).await?;
    let mut half = connect(&node).await?;
    half.write_all(HALF).await?;
    // One letter a second is no head, either.
    let mut slow = connect(&node).await?;
    let mut second = connect(&node).await?;
    second
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await?;
    let mut answer = [0; 12];
    second.read_exact(&mut answer).await?;
    ensure!(&answer == b"HTTP/1.1 200", "{answer:?}");
    second.write_all(HALF).await?;
    let began = Instant::now();
    let dripping = async {
        while slow.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        anyhow::Ok(began.elapsed())
    };
    let (silent, half, second, dripping) = tokio::try_join!(
        until_closed(silent),
        until_closed(half),
        until_closed(second),
        dripping
    )?;
    for time in [silent, half, second, dripping] {
        ensure!(time < Duration::from_secs(20), "{time:?}");
        ensure!(time > WHOLE_AGAIN, "{time:?}");
    }
    Ok(())
}
