//! A node inside the test's own process, over real sockets and a real store.

use anyhow::{Context, Result, bail, ensure};
use headwater::runtime::{Node, Running, RuntimeConfig, now, start};
use headwater_protocols::engine::{Command, LogStatus};
use headwater_protocols::id::LogId;
use headwater_protocols::identity::PublicKey;
use headwater_protocols::manifest::Manifest;
use headwater_protocols::merkle::Hash;
use headwater_protocols::record::Record;
use headwater_protocols::time::Timestamp;
use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{PATIENCE, numbers_manifest};

/// A running node with a folder of its own.
#[derive(Debug)]
pub struct InProcessNode {
    running: Running,
    key: Keypair,
    _folder: TempDir,
}

impl InProcessNode {
    /// Starts a node that listens on a free port of loopback, unless `change`
    /// says otherwise, and waits until it does.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(change: impl FnOnce(&mut RuntimeConfig)) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let key = Keypair::generate_ed25519();
        let mut config = RuntimeConfig::new(folder.path().join("store"), key.clone());
        config.options.listen = vec!["/ip4/127.0.0.1/tcp/0".parse()?];
        change(&mut config);
        let listens = !config.options.listen.is_empty();
        let running = start(config).await?;
        if listens {
            let mut addresses = running.node.watch_addresses();
            timeout(PATIENCE, addresses.wait_for(|a| !a.is_empty())).await??;
        }
        Ok(Self {
            running,
            key,
            _folder: folder,
        })
    }

    /// Its handle.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.running.node
    }

    /// Where it listens, with its peer id.
    ///
    /// # Errors
    /// It listens nowhere.
    pub fn address(&self) -> Result<Multiaddr> {
        let addresses = self.node().addresses();
        addresses.into_iter().next().context("no address")
    }

    /// Creates a stream of numbers.
    ///
    /// # Errors
    /// The node refuses.
    pub async fn create(&self, name: &str) -> Result<LogId> {
        let key = self.key.clone().try_into_ed25519()?;
        let publisher = PublicKey::from_bytes(&key.public().to_bytes()).context("a key")?;
        let manifest = Manifest {
            created: now(),
            ..numbers_manifest(publisher, name)
        };
        Ok(self.node().ask(Command::create(manifest)).await?)
    }

    /// Appends the numbers from `from` on.
    ///
    /// # Errors
    /// The stream has another size than `from`, or the node refuses.
    pub async fn publish(&self, log: LogId, from: u64, count: u64) -> Result<()> {
        let records = (from..from + count)
            .map(|i| Record::new(Timestamp(i as i64), i.to_string().as_bytes()))
            .collect();
        let publish = Command::publish(log, records, Some(from), None);
        let at = self.node().ask(publish).await?;
        ensure!(at.from == from && at.to == from + count);
        Ok(())
    }

    /// Follows a stream, with the addresses of peers that have it.
    ///
    /// # Errors
    /// The node refuses.
    pub async fn follow(&self, log: LogId, peers: &[Multiaddr]) -> Result<()> {
        let command = Command::Follow {
            log,
            peers: peers.iter().map(ToString::to_string).collect(),
            newest_first: false,
        };
        self.node().ask(command.done()).await?;
        for peer in peers {
            self.node().keep_dialled(peer.clone());
        }
        Ok(())
    }

    /// Waits until a stream is held to this size, verified and fsynced.
    ///
    /// # Errors
    /// The stream is not known, or it takes longer than [`PATIENCE`].
    pub async fn until_synced(&self, log: LogId, size: u64) -> Result<()> {
        let mut status = self.node().watch(log).context("the stream is not known")?;
        let is_synced = |status: &std::sync::Arc<LogStatus>| status.synced_size == size;
        match timeout(PATIENCE, status.wait_for(is_synced)).await {
            Ok(seen) => seen.map(drop).context("the node has stopped"),
            Err(_) => bail!("never held {size}: {:?}", self.node().stream(log)),
        }
    }

    /// The root of a stream's adopted head.
    #[must_use]
    pub fn root(&self, log: LogId) -> Option<Hash> {
        let status = self.node().stream(log)?;
        status.head.as_ref().map(|head| head.root)
    }

    /// Stops it.
    ///
    /// # Errors
    /// It has panicked.
    pub async fn stop(self) -> Result<()> {
        self.running.stop().await
    }
}
