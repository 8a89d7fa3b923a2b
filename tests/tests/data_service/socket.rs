//! A WebSocket that follows a stream.

use anyhow::{Context, Result, bail, ensure};
use futures::{SinkExt, StreamExt};
use headwater_tests::{PATIENCE, TestNode};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

fn address(node: &TestNode, stream: &str, from: u64) -> Result<String> {
    let url = node.url(&format!("/v1/streams/{stream}/live?from={from}"))?;
    Ok(url.replacen("http", "ws", 1))
}

impl Socket {
    async fn open(node: &TestNode, stream: &str, from: u64) -> Result<Self> {
        let (socket, _) = connect_async(address(node, stream, from)?).await?;
        Ok(Self(socket))
    }

    /// The next message that is not a ping.
    async fn message(&mut self) -> Result<Message> {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await?;
            match message.context("the socket was closed")?? {
                Message::Ping(_) => {}
                message => return Ok(message),
            }
        }
    }

    /// Reads so many records, which must follow on each other.
    async fn records(&mut self, from: u64, to: u64) -> Result<()> {
        for index in from..to {
            let Message::Text(text) = self.message().await? else {
                bail!("no text");
            };
            let record: Value = serde_json::from_str(&text)?;
            ensure!(record["index"] == index, "{record} instead of {index}");
            ensure!(record["time"].is_string() && record["value"].is_number());
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_socket_gets_history_then_live_without_gap_or_double_and_resumes_by_index() -> Result<()>
{
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 3_000)?;
    let mut socket = Socket::open(&node, &stream, 0).await?;
    socket.records(0, 1_000).await?;
    // It grows while its history is read.
    for i in 0..20 {
        node.append(&stream, format!("{{\"value\":{i}}}\n")).await?;
    }
    socket.records(1_000, 3_020).await?;
    node.append(&stream, "{\"value\":1}\n").await?;
    socket.records(3_020, 3_021).await?;
    socket.0.send(Message::Text("anything".into())).await?;
    socket
        .0
        .send(Message::Ping(b"are you there".to_vec().into()))
        .await?;
    ensure!(matches!(socket.message().await?, Message::Pong(_)));

    let mut other = Socket::open(&node, &stream, 3_019).await?;
    other.records(3_019, 3_021).await?;
    // The node says where to go on.
    node.stop().await?;
    let Message::Close(Some(frame)) = other.message().await? else {
        bail!("no reason");
    };
    ensure!(frame.code == CloseCode::Away, "{frame}");
    ensure!(frame.reason.contains("from=3021"), "{frame}");
    Ok(())
}

#[tokio::test]
async fn a_socket_of_a_foreign_page_or_host_is_refused_and_an_ordinary_request_gets_events()
-> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 1)?;
    for (name, value) in [("origin", "http://example.org"), ("host", "example.org")] {
        let mut request = address(&node, &stream, 0)?.into_client_request()?;
        let headers = request.headers_mut();
        headers.insert(name, HeaderValue::from_static(value));
        match connect_async(request).await {
            Err(Error::Http(answer)) => ensure!(answer.status() == 403, "{answer:?}"),
            other => bail!("{name}: {other:?}"),
        }
    }
    let url = node.url(&format!("/v1/streams/{stream}/live?from=0"))?;
    let answer = reqwest::get(&url).await?;
    ensure!(answer.headers()["content-type"] == "text/event-stream");
    // Half a handshake.
    let half = reqwest::Client::new()
        .get(&url)
        .header("upgrade", "websocket")
        .send();
    let half = half.await?;
    ensure!(half.status().is_client_error(), "{half:?}");
    Ok(())
}
