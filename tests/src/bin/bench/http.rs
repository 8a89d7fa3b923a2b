//! A client of the node's HTTP API that costs next to nothing, so that what is
//! measured is the node: one connection that is kept, requests as bytes, answers
//! read as they come.

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Bytes of an answer's head or of a line of events: far more than the node
/// sends.
const MAX_LINE: usize = 64 << 10;

/// One connection to the API.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    address: String,
    line: Vec<u8>,
}

/// What is left of an answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(usize),
    Chunks,
}

impl Connection {
    /// Connects to `ip:port`.
    pub(crate) async fn to(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            address: address.to_owned(),
            line: Vec::new(),
        })
    }

    /// The bytes of a `GET`.
    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        let address = &self.address;
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes()
    }

    /// The bytes of a `POST` of JSON.
    pub(crate) fn post(&self, path: &str, token: &str, json: &str) -> Vec<u8> {
        let (address, length) = (&self.address, json.len());
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}"
        );
        head.into_bytes()
    }

    /// Sends a request and reads the whole answer; its body.
    pub(crate) async fn ask(&mut self, request: &[u8], status: u16) -> anyhow::Result<Vec<u8>> {
        let body = self.begin(request, status).await?;
        let mut bytes = Vec::new();
        match body {
            Body::Length(length) => {
                bytes.resize(length, 0);
                self.stream.read_exact(&mut bytes).await?;
            }
            Body::Chunks => while self.chunk(&mut bytes).await? {},
        }
        Ok(bytes)
    }

    /// Sends a request and reads the whole answer, of which nothing is kept; the bytes
    /// of its body.
    pub(crate) async fn drain(&mut self, request: &[u8], status: u16) -> anyhow::Result<usize> {
        let body = self.begin(request, status).await?;
        ensure!(
            body == Body::Chunks,
            "an answer that is written as it is read"
        );
        let (mut bytes, mut chunk) = (0, Vec::new());
        while self.chunk(&mut chunk).await? {
            bytes += chunk.len();
            chunk.clear();
        }
        Ok(bytes)
    }

    /// Begins to follow events; each is then taken by [`next_id`](Self::next_id).
    pub(crate) async fn subscribe(&mut self, path: &str) -> anyhow::Result<()> {
        let request = self.get(path);
        let body = self.begin(&request, 200).await?;
        ensure!(body == Body::Chunks, "events come without an end");
        Ok(())
    }

    /// The id of the next event. One event is one chunk, as the node sends it.
    pub(crate) async fn next_id(&mut self) -> anyhow::Result<u64> {
        let mut event = Vec::new();
        loop {
            event.clear();
            ensure!(self.chunk(&mut event).await?, "the events have ended");
            let mut lines = event.split(|&byte| byte == b'\n');
            if let Some(id) = lines.find_map(|line| line.strip_prefix(b"id: ")) {
                return Ok(std::str::from_utf8(id)?.parse()?);
            }
        }
    }

    /// Sends a request and reads the head of its answer.
    async fn begin(&mut self, request: &[u8], status: u16) -> anyhow::Result<Body> {
        self.stream.get_mut().write_all(request).await?;
        let first = self.read_line().await?.to_owned();
        let mut body = Body::Length(0);
        loop {
            let line = self.read_line().await?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(length) = line.strip_prefix("content-length:") {
                body = Body::Length(length.trim().parse()?);
            } else if line.starts_with("transfer-encoding:") {
                body = Body::Chunks;
            }
        }
        let found = first.split(' ').nth(1).unwrap_or_default();
        if found != status.to_string() {
            bail!("the node answered `{first}`");
        }
        Ok(body)
    }

    /// Reads one chunk; false when it was the last.
    async fn chunk(&mut self, bytes: &mut Vec<u8>) -> anyhow::Result<bool> {
        let length = usize::from_str_radix(self.read_line().await?, 16)?;
        let start = bytes.len();
        bytes.resize(start + length, 0);
        self.stream.read_exact(&mut bytes[start..]).await?;
        let end = self.read_line().await?;
        ensure!(end.is_empty(), "a chunk does not end where it should");
        Ok(length > 0)
    }

    async fn read_line(&mut self) -> anyhow::Result<&str> {
        self.line.clear();
        self.stream.read_until(b'\n', &mut self.line).await?;
        ensure!(
            self.line.ends_with(b"\r\n") && self.line.len() <= MAX_LINE,
            "the answer is cut off"
        );
        Ok(std::str::from_utf8(&self.line[..self.line.len() - 2])?)
    }
}
