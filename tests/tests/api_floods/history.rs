//! A node with a history that is larger than the buffers of a connection, and
//! those who ask for it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::honest::{WHOLE_AGAIN, many_connections};

/// Records of the history: 60 MB of CSV, more than the system keeps for one who
/// does not read.
pub(super) const RECORDS: u64 = 20_000;

/// Bytes of each value.
pub(super) const VALUE: usize = 3_000;

/// A node with a history.
pub(super) async fn node_with_history() -> Result<(TestNode, String)> {
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
pub(super) async fn stalled(node: &TestNode, path: &str) -> Result<TcpStream> {
    asked(node, path, "", Some(16 << 10)).await
}

/// One who has asked, with these lines in the head, and whose system keeps so much
/// of the answer.
pub(super) async fn asked(
    node: &TestNode,
    path: &str,
    lines: &str,
    buffer: Option<u32>,
) -> Result<TcpStream> {
    ask(&node.url("")?, path, lines, buffer).await
}

/// The same of a node at this address.
pub(super) async fn ask(
    url: &str,
    path: &str,
    lines: &str,
    buffer: Option<u32>,
) -> Result<TcpStream> {
    let address = url.strip_prefix("http://").context("no address")?;
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    let mut socket = timeout(WHOLE_AGAIN, socket.connect(address.parse()?)).await??;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
    socket.write_all(request.as_bytes()).await?;
    Ok(socket)
}

/// Reads the whole history; how long that took.
pub(super) async fn read(node: &TestNode, stream: &str) -> Result<Duration> {
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
