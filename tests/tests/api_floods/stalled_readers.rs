//! Clients that ask for histories and do not read the answers.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use headwater_tests::TestNode;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::history::{ask, asked, node_with_history, read, stalled};
use super::honest::{Publisher, descriptors, memory_kb, until_descriptors};

/// Memory that the readers may take, in kilobytes: a mebibyte each, and what the
/// store keeps of what was read.
const MEMORY_KB: u64 = 512 << 10;

/// Waits until all of them have begun to be answered.
pub(super) async fn until_answered(sockets: &[TcpStream]) -> Result<()> {
    let answered = try_join_all(sockets.iter().map(TcpStream::readable));
    timeout(Duration::from_secs(30), answered).await??;
    Ok(())
}

/// The best of some tries: others work on the machine, too.
async fn best(node: &TestNode, stream: &str) -> Result<Duration> {
    let mut best = read(node, stream).await?;
    for _ in 0..4 {
        best = best.min(read(node, stream).await?);
    }
    Ok(best)
}

async fn endure(readers: usize) -> Result<()> {
    let (node, stream) = node_with_history().await?;
    let mut publisher = Publisher::new(&node)?;
    publisher.publish().await?;
    let alone = best(&node, &stream).await?;
    let (before, memory) = (descriptors(&node)?, memory_kb(&node)?);
    let observations = format!("/v1/streams/{stream}/observations");
    let paths = [
        format!("{observations}?format=csv"),
        format!("{observations}?format=ndjson&order=desc"),
        format!("/v1/streams/{stream}/gaps?limit=10000"),
        format!("/v1/join?streams={stream}&format=json"),
    ];
    let mut sockets = Vec::new();
    for index in 0..readers {
        sockets.push(stalled(&node, &paths[index % paths.len()]).await?);
    }
    // Those for whom there is no place come in when others were cut.
    until_answered(&sockets).await?;
    publisher.publish_for(Duration::from_secs(1)).await?;
    let beside = best(&node, &stream).await?;
    publisher.publish_for(Duration::from_secs(1)).await?;
    let grown = memory_kb(&node)?.saturating_sub(memory);
    println!(
        "{} stalled readers: a history in {beside:?}, {alone:?} without; {grown} KB more, publishing \
         p99 {:?}",
        sockets.len(),
        publisher.p99()
    );
    ensure!(grown < MEMORY_KB, "{grown} KB more");
    // Four fifths of the rate, and what it takes to be let in on a busy machine.
    let most = alone * 5 / 4 + Duration::from_millis(300);
    ensure!(beside < most, "{beside:?} instead of {alone:?}");
    drop(sockets);
    until_descriptors(&node, before + 16).await?;
    publisher.publish().await?;
    publisher.ensure_open().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_readers_that_do_not_read_keep_nobody_from_reading() -> Result<()> {
    endure(64).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_readers_that_do_not_read_keep_nobody_from_reading() -> Result<()> {
    endure(200).await
}

/// Reads so slowly, for so long.
const SLOW_BYTES_PER_S: usize = 16 << 10;
const SLOWLY: Duration = Duration::from_secs(25);

async fn read_slowly(mut socket: TcpStream) -> Result<()> {
    let (began, mut taken) = (Instant::now(), 0);
    let mut block = vec![0; SLOW_BYTES_PER_S / 10];
    while began.elapsed() < SLOWLY {
        let pause = sleep(Duration::from_millis(100));
        let read = timeout(Duration::from_secs(15), socket.read_exact(&mut block)).await;
        let is_read = matches!(read, Ok(Ok(_)));
        ensure!(
            is_read,
            "cut off after {taken} bytes and {:?}: {read:?}",
            began.elapsed()
        );
        taken += block.len();
        pause.await;
    }
    Ok(())
}

/// Reads nothing, and comes again when it is cut.
async fn stall_again_and_again(url: String, path: String) {
    while let Ok(socket) = ask(&url, &path, "", Some(16 << 10)).await {
        // Unless it is told that there is no place.
        let _ = timeout(Duration::from_secs(20), socket.ready(Interest::ERROR)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_do_not_read_make_way_and_who_reads_slowly_goes_on() -> Result<()> {
    let (node, stream) = node_with_history().await?;
    let path = format!("/v1/streams/{stream}/observations?format=csv");
    let (small, usual) = (Some(16 << 10), None);
    let slow = asked(&node, &path, "", small).await?;
    let slow_of_usual_size = asked(&node, &path, "", usual).await?;
    let deaf = stalled(&node, &path).await?;
    let first = [slow, slow_of_usual_size, deaf];
    until_answered(&first).await?;
    let [slow, slow_of_usual_size, deaf] = first;
    let slowly = [slow, slow_of_usual_size].map(|socket| tokio::spawn(read_slowly(socket)));
    // More than there are places, and than strangers may have of them.
    let mut others = JoinSet::new();
    for _ in 0..300 {
        others.spawn(stall_again_and_again(node.url("")?, path.clone()));
    }
    // It waited for somebody to be cut.
    let took = read(&node, &stream).await?;
    println!("an honest reader beside 300 that do not read: {took:?}");
    ensure!(took < Duration::from_secs(15), "{took:?}");
    timeout(Duration::from_secs(15), deaf.ready(Interest::ERROR)).await??;
    ensure!(deaf.take_error()?.is_some(), "it was ended, and not reset");
    for reading in slowly {
        reading.await??;
    }
    node.until_logged("a client takes nothing, and others wait")
        .await?;
    Ok(())
}
