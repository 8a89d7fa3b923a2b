//! Live clients, of both kinds, that stop reading.

use std::time::Duration;

use anyhow::{Result, ensure};
use headwater_tests::TestNode;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::history::{asked, node_with_history, read};
use super::honest::{Publisher, descriptors, memory_kb, until_descriptors};
use super::stalled_readers::until_answered;

/// Places of live clients that show no token.
const PLACES: usize = 540;

/// How long such a client may take nothing, what it takes to tell it, and a busy
/// machine.
const DROPPED: Duration = Duration::from_secs(60);

/// Memory that those clients may take, in kilobytes: what the bounds say of each
/// (256 KiB, and what the connection holds).
const MEMORY_KB: u64 = 480 << 10;

/// What a WebSocket begins with.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// One who follows from the first record on and reads nothing.
async fn follow(node: &TestNode, stream: &str, lines: &str) -> Result<TcpStream> {
    let path = format!("/v1/streams/{stream}/live?from=0");
    asked(node, &path, lines, Some(16 << 10)).await
}

/// The status of an answer.
async fn status(socket: &mut TcpStream) -> Result<String> {
    let mut line = [0; 12];
    timeout(DROPPED, socket.read_exact(&mut line)).await??;
    Ok(String::from_utf8_lossy(&line[9..]).into_owned())
}

/// Follows what is new, with a token, and reads.
struct Follower(BufReader<TcpStream>);

impl Follower {
    async fn begin(node: &TestNode, stream: &str) -> Result<Self> {
        let path = format!("/v1/streams/{stream}/live");
        let token = format!("Authorization: Bearer {}\r\n", node.token()?);
        let mut socket = asked(node, &path, &token, None).await?;
        let status = status(&mut socket).await?;
        ensure!(status == "200", "{status}");
        Ok(Self(BufReader::new(socket)))
    }

    /// Waits for the record at this index; how long that took.
    async fn until(&mut self, index: usize) -> Result<Duration> {
        let (began, wanted) = (Instant::now(), format!("id: {index}\n"));
        let mut line = String::new();
        while line != wanted {
            line.clear();
            let read = self.0.read_line(&mut line);
            ensure!(timeout(DROPPED, read).await?? > 0, "the events have ended");
        }
        Ok(began.elapsed())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_clients_that_stop_reading_slow_nobody_and_their_places_come_back() -> Result<()> {
    let (node, stream) = node_with_history().await?;
    let mut publisher = Publisher::new(&node)?;
    publisher.publish().await?;
    let alone = read(&node, &stream).await?;
    let (before, memory) = (descriptors(&node)?, memory_kb(&node)?);
    let mut sockets = Vec::new();
    for index in 0..PLACES {
        let lines = if index % 2 == 0 { "" } else { UPGRADE };
        sockets.push(follow(&node, &stream, lines).await?);
    }
    until_answered(&sockets).await?;
    let mut refused = follow(&node, &stream, "").await?;
    let said = status(&mut refused).await?;
    ensure!(said == "503", "{said} to one who finds no place");

    // A tenth of the places is for those who show a token.
    let mut follower = Follower::begin(&node, publisher.stream()).await?;
    let mut latest = Duration::ZERO;
    for _ in 0..50 {
        let index = publisher.took.len();
        publisher.publish().await?;
        latest = latest.max(follower.until(index).await?);
    }
    let beside = read(&node, &stream).await?;
    let grown = memory_kb(&node)?.saturating_sub(memory);
    println!(
        "{PLACES} live clients that do not read: a history in {beside:?}, {alone:?} without; a record at most \
         {latest:?} behind its publish, publishing p99 {:?}; {grown} KB more",
        publisher.p99()
    );
    ensure!(
        latest < Duration::from_secs(1),
        "{latest:?} behind the publish"
    );
    ensure!(grown < MEMORY_KB, "{grown} KB more");

    // They are told, or reset; whoever is there then finds a place.
    let began = Instant::now();
    loop {
        let mut socket = follow(&node, &stream, "").await?;
        if status(&mut socket).await? == "200" {
            break;
        }
        ensure!(began.elapsed() < DROPPED, "no place has come back");
        sleep(Duration::from_millis(500)).await;
    }
    for socket in &sockets {
        timeout(DROPPED, socket.ready(Interest::ERROR)).await??;
    }
    until_descriptors(&node, before + 16).await?;
    publisher.publish().await?;
    follower.until(publisher.took.len() - 1).await?;
    publisher.ensure_open().await
}
