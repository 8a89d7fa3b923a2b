//! Heads of requests that are not answered as any other: too long ones, ambiguous
//! ones, and those of another protocol.

use anyhow::{Context, Result, ensure};
use headwater_tests::{PATIENCE, TestNode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What the node answers to these bytes, up to the end of the connection.
async fn answer(node: &TestNode, parts: &[&[u8]]) -> Result<String> {
    let url = node.url("")?;
    let address = url.strip_prefix("http://").context("no address")?;
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    for part in parts {
        socket.write_all(part).await?;
    }
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
    read.context("the connection does not end")??;
    Ok(String::from_utf8(answer)?)
}

fn ensure_answers(answer: &str, status: u16, word: &str) -> Result<()> {
    let begins = format!("HTTP/1.1 {status} ");
    ensure!(answer.starts_with(&begins), "{status}: {answer}");
    let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
    let head = head.to_ascii_lowercase();
    ensure!(head.contains("connection: close"), "{head}");
    ensure!(head.contains("application/problem+json"), "{head}");
    let problem: serde_json::Value = serde_json::from_str(body)?;
    ensure!(problem["status"] == status, "{problem}");
    ensure!(body.contains(word), "{body}");
    Ok(())
}

#[tokio::test]
async fn a_head_that_is_too_long_is_answered_also_when_all_of_it_is_sent_first() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let line = format!(
        "GET /v1/node?{} HTTP/1.1\r\nhost: localhost\r\n",
        "a".repeat(40_000)
    );
    let cookie = format!("cookie: {}\r\n", "b".repeat(10_000));
    let mut whole = line.clone().into_bytes();
    (0..40).for_each(|_| whole.extend(cookie.as_bytes()));
    whole.extend(b"\r\n");
    ensure_answers(&answer(&node, &[&whole]).await?, 431, "65536 bytes")?;
    // Behind another request, whose answer comes first.
    let first = b"GET /v1/node HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let both = answer(&node, &[first, &whole]).await?;
    let (_, second) = both[1..].split_once("HTTP/1.1").context("one answer")?;
    ensure_answers(&format!("HTTP/1.1{second}"), 431, "65536 bytes")?;
    // What is shorter is read.
    let short = format!("{line}connection: close\r\n\r\n");
    let answer = answer(&node, &[short.as_bytes()]).await?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Ok(())
}

#[tokio::test]
async fn http_2_is_told_that_it_is_not_spoken_here() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let (preface, settings) = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        [0, 0, 0, 4, 0, 0, 0, 0, 0],
    );
    let whole = [&preface[..], &settings].concat();
    ensure_answers(&answer(&node, &[&whole]).await?, 505, "HTTP/1.1")?;
    let parts: Vec<&[u8]> = whole.chunks(7).collect();
    ensure_answers(&answer(&node, &parts).await?, 505, "HTTP/1.1")
}

#[tokio::test]
async fn a_body_that_ends_in_two_ways_is_refused_and_what_follows_it_is_no_request() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let (token, stream) = (node.token()?, node.create("numbers")?);
    let head = format!(
        "POST /v1/streams/{stream}/observations HTTP/1.1\r\nhost: localhost\r\n\
         authorization: Bearer {token}\r\ncontent-type: application/x-ndjson\r\n"
    );
    let body = "c\r\n{\"value\":1}\n\r\n0\r\n\r\n";
    let smuggled = format!("{head}content-length: 12\r\n\r\n{{\"value\":2}}\n");
    for lengths in [
        "Content-Length: 22\r\nTransfer-Encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    ] {
        let request = format!("{head}{lengths}\r\n{body}{smuggled}");
        let answer = answer(&node, &[request.as_bytes()]).await?;
        ensure_answers(&answer, 400, "Transfer-Encoding")?;
        ensure!(answer.matches("HTTP/1.1").count() == 1, "{answer}");
    }
    ensure!(node.show(&stream)?["size"] == 0);
    Ok(())
}

#[tokio::test]
async fn a_body_that_ends_in_two_ways_is_refused_behind_other_requests_too() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let (token, stream) = (node.token()?, node.create("numbers")?);
    let head = format!("POST /v1/streams/{stream}/observations HTTP/1.1\r\nhost: localhost\r\n");
    let ambiguous = format!(
        "{head}authorization: Bearer {token}\r\ncontent-type: application/x-ndjson\r\n\
         content-length: 4\r\ntransfer-encoding: chunked\r\n\r\nc\r\n{{\"value\":1}}\n\r\n0\r\n\r\n"
    );
    for first in [
        "GET /v1/node HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        // Of what is refused nobody reads the body.
        format!("{head}content-length: 12\r\n\r\n{{\"value\":2}}\n"),
    ] {
        let answers = answer(&node, &[first.as_bytes(), ambiguous.as_bytes()]).await?;
        let (_, second) = answers[1..].split_once("HTTP/1.1").context("one answer")?;
        ensure_answers(&format!("HTTP/1.1{second}"), 400, "Transfer-Encoding")?;
    }
    ensure!(node.show(&stream)?["size"] == 0);
    Ok(())
}
