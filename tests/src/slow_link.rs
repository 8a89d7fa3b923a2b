//! A way to a node with a limited rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::TestNode;

/// Forwards TCP connections to a node; what the node sends comes at a limited
/// rate.
#[derive(Debug)]
pub struct SlowLink {
    address: String,
    /// Bytes that came from the node.
    carried: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl SlowLink {
    /// A link to a node that passes on `bytes_per_s` of what the node sends,
    /// a connection.
    ///
    /// # Errors
    /// The node does not run.
    pub async fn to(node: &TestNode, bytes_per_s: u64) -> Result<Self> {
        let addresses = std::fs::read_to_string(node.dir().join("node.addrs"))?;
        let address = addresses
            .lines()
            .next()
            .context("the node has no address")?;
        let mut parts = address.split('/');
        let port = parts.nth(4).context("the address has no port")?.to_owned();
        let id = address
            .rsplit('/')
            .next()
            .context("the address has no id")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let ours = listener.local_addr()?.port();
        let carried = Arc::new(AtomicU64::new(0));
        let counted = carried.clone();
        let task = tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let target = format!("127.0.0.1:{port}");
                tokio::spawn(forward(from, target, bytes_per_s, counted.clone()));
            }
        });
        Ok(Self {
            address: format!("/ip4/127.0.0.1/tcp/{ours}/p2p/{id}"),
            carried,
            task,
        })
    }

    /// The multiaddr of the link, with the node's peer id.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Bytes that came from the node, over all connections.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

impl Drop for SlowLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Forwards one connection until either end closes it.
async fn forward(
    mut from: TcpStream,
    target: String,
    bytes_per_s: u64,
    carried: Arc<AtomicU64>,
) -> Result<()> {
    let mut to = TcpStream::connect(target).await?;
    let (mut from_read, mut from_write) = from.split();
    let (mut to_read, mut to_write) = to.split();
    let slow = async {
        let mut buffer = vec![0; 16 * 1024];
        let mut due = Instant::now();
        loop {
            let count = to_read.read(&mut buffer).await?;
            if count == 0 {
                return anyhow::Ok(());
            }
            carried.fetch_add(count as u64, Ordering::Relaxed);
            from_write.write_all(&buffer[..count]).await?;
            let micros = count as u64 * 1_000_000 / bytes_per_s;
            due = due.max(Instant::now()) + Duration::from_micros(micros);
            sleep_until(due).await;
        }
    };
    tokio::select! {
        ended = slow => ended,
        ended = copy(&mut from_read, &mut to_write) => {
            ended?;
            Ok(())
        }
    }
}
