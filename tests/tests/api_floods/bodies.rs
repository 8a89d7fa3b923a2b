//! Bodies that are begun and do not come.

use anyhow::{Result, ensure};
use headwater_tests::TestNode;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::honest::{Publisher, connect, many_connections, memory_kb};

/// What each says that it is going to send.
const SAID: usize = 16_000_000;

/// What each sends of it.
const SENT: usize = 4_000_000;

/// More than the node reads at a time.
const BODIES: usize = 30;

/// What they may take, in kilobytes.
const MEMORY_KB: u64 = 400 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_come_fill_no_memory_and_make_way() -> Result<()> {
    many_connections()?;
    let node = TestNode::start(&[]).await?;
    let mut publisher = Publisher::new(&node)?;
    publisher.publish().await?;
    let stream = node.create("large")?;
    let before = memory_kb(&node)?;
    let token = node.token()?;
    let head = format!(
        "POST /v1/streams/{stream}/observations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \
         {token}\r\nContent-Length: {SAID}\r\n\r\n"
    );
    let part = vec![b' '; SENT];
    let mut sockets = Vec::new();
    for _ in 0..BODIES {
        let mut socket = connect(&node).await?;
        socket.write_all(head.as_bytes()).await?;
        // Those that are not read yet take no more than the system keeps.
        let half_second = std::time::Duration::from_millis(500);
        let _ = timeout(half_second, socket.write_all(&part)).await;
        sockets.push(socket);
        publisher.publish().await?;
        let grown = memory_kb(&node)?.saturating_sub(before);
        ensure!(
            grown < MEMORY_KB,
            "{grown} KB after {} bodies",
            sockets.len()
        );
    }
    // One of a length that has to wait for room gets it.
    let began = Instant::now();
    let line = format!("{{\"value\": 1{}}}\n", " ".repeat(100_000));
    node.append(&stream, line).await?;
    println!(
        "a body of 100 KB beside {} that do not come: {:?}, publishing p99 {:?}",
        sockets.len(),
        began.elapsed(),
        publisher.p99()
    );
    Ok(())
}
