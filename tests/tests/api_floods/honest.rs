//! The honest program beside a flood, and what a flood does to the node.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How soon after a flood a node is as it was.
pub(super) const WHOLE_AGAIN: Duration = Duration::from_secs(5);

/// Publishes one observation after the other, each over a connection of its own,
/// until it is dropped.
pub(super) struct Publisher<'a> {
    node: &'a TestNode,
    stream: String,
    pub(super) took: Vec<Duration>,
}

impl<'a> Publisher<'a> {
    pub(super) fn new(node: &'a TestNode) -> Result<Self> {
        let stream = node.create("own")?;
        let took = Vec::new();
        Ok(Self { node, stream, took })
    }

    /// What it publishes.
    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    /// Publishes one; how long that took is kept.
    pub(super) async fn publish(&mut self) -> Result<()> {
        let began = Instant::now();
        let line = "{\"value\": 1.5}";
        let answer = timeout(WHOLE_AGAIN, self.node.append(&self.stream, line)).await;
        answer.context("a publish was not answered")??;
        self.took.push(began.elapsed());
        Ok(())
    }

    /// Publishes for so long.
    pub(super) async fn publish_for(&mut self, time: Duration) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < time {
            self.publish().await?;
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// The slowest but one in a hundred.
    pub(super) fn p99(&self) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        let place = took.len().saturating_sub(1) * 99 / 100;
        took.get(place).copied().unwrap_or_default()
    }

    /// Checks that the own stream is open, whole, and can be read.
    pub(super) async fn ensure_open(&self) -> Result<()> {
        let shown = self
            .node
            .get(&format!("/v1/streams/{}", self.stream))
            .await?;
        ensure!(shown["reopening"].is_null(), "{shown}");
        let count = u64::try_from(self.took.len())?;
        ensure!(shown["size"] == count, "{count} were published: {shown}");
        Ok(())
    }
}

/// Files that the node has open now.
pub(super) fn descriptors(node: &TestNode) -> Result<usize> {
    let pid = node.pid().context("the node does not run")?;
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Kilobytes of memory that the node has now.
pub(super) fn memory_kb(node: &TestNode) -> Result<u64> {
    let pid = node.pid().context("the node does not run")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.context("no VmRSS")?.parse()?)
}

/// Waits until the node has no more than so many files open.
pub(super) async fn until_descriptors(node: &TestNode, most: usize) -> Result<()> {
    let ended = Instant::now();
    loop {
        let open = descriptors(node)?;
        if open <= most {
            return Ok(());
        }
        ensure!(ended.elapsed() < WHOLE_AGAIN, "{open} files are still open");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Lets this test have many connections.
pub(super) fn many_connections() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(())
}

/// A connection to the node's API.
pub(super) async fn connect(node: &TestNode) -> Result<TcpStream> {
    let url = node.url("")?;
    let address = url.strip_prefix("http://").context("no address")?;
    Ok(timeout(WHOLE_AGAIN, TcpStream::connect(address)).await??)
}
