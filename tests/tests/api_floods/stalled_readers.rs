//! Clients that ask for histories and do not read the answers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::honest::{
    Publisher, WHOLE_AGAIN, descriptors, many_connections, memory_kb, until_descriptors,
};

/// Records of the history: 60 MB of CSV, more than the system keeps for one who
/// does not read.
const RECORDS: u64 = 20_000;

/// Bytes of each value.
const VALUE: usize = 3_000;

/// Memory that the readers may take, in kilobytes: a mebibyte each, and what the
/// store keeps of what was read.
const MEMORY_KB: u64 = 512 << 10;

/// A node with a history.
async fn node_with_history() -> Result<(TestNode, String)> {
    many_connections()?;
    let mut node = TestNode::new()?;
    node.set_open_files(1_024, 4_096);
    node.launch().await?;
    let created = node.json(&["stream", "create", "words", "--value-type", "text"])?;
    let stream = created["id"].as_str().context("no id")?.to_owned();
    let word = "x".repeat(VALUE);
    for from in (0..RECORDS).step_by(2_000) {
        let line = |index: u64| {
            let time = 1_577_836_800 + from + index;
            format!("{{\"time\": {time}, \"time_unit\": \"s\", \"value\": \"{word}\"}}\n")
        };
        node.append(&stream, (0..2_000).map(line).collect::<String>())
            .await?;
    }
    Ok((node, stream))
}

/// One who asks and then reads nothing.
async fn stalled(node: &TestNode, path: &str) -> Result<TcpStream> {
    let url = node.url("")?;
    let address = url.strip_prefix("http://").context("no address")?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(16 << 10)?;
    let mut socket = timeout(WHOLE_AGAIN, socket.connect(address.parse()?)).await??;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    Ok(socket)
}

/// Reads the whole history; how long that took.
async fn read(node: &TestNode, stream: &str) -> Result<Duration> {
    let began = Instant::now();
    let url = node.url(&format!("/v1/streams/{stream}/observations?format=csv"))?;
    let mut answer = reqwest::get(url).await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    let mut bytes = 0;
    while let Some(block) = answer.chunk().await? {
        bytes += block.len();
    }
    ensure!(bytes as u64 > RECORDS * VALUE as u64, "{bytes} bytes");
    Ok(began.elapsed())
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
    // Until all of them stand still.
    publisher.publish_for(Duration::from_secs(5)).await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_do_not_read_make_way_and_who_reads_slowly_goes_on() -> Result<()> {
    let (node, stream) = node_with_history().await?;
    let path = format!("/v1/streams/{stream}/observations?format=csv");
    let mut slow = stalled(&node, &path).await?;
    let mut sockets = Vec::new();
    // More than there are places, and than strangers may have of them.
    for _ in 0..300 {
        sockets.push(stalled(&node, &path).await?);
    }
    let began = Instant::now();
    let mut taken = 0;
    let mut block = vec![0; 64 << 10];
    let reading = async {
        // Slowly, over longer than others may stand still.
        while began.elapsed() < Duration::from_secs(15) {
            let read = timeout(WHOLE_AGAIN, slow.read(&mut block)).await??;
            ensure!(read > 0, "it was cut off after {taken} bytes");
            taken += read;
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    };
    let honest = async {
        sleep(Duration::from_secs(1)).await;
        let took = read(&node, &stream).await?;
        println!("an honest reader beside 300 that do not read: {took:?}");
        ensure!(took < Duration::from_secs(15), "{took:?}");
        Ok(())
    };
    tokio::try_join!(reading, honest)?;
    node.until_logged("a client takes nothing, and others wait")
        .await?;
    Ok(())
}
