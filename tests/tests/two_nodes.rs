//! Two nodes in one process, over real sockets and real stores.

use anyhow::{Context, Result, bail, ensure};
use headwater::runtime::{Node, Running, RuntimeConfig, now, start};
use headwater_protocols::engine::{Command, LogStatus, Reply};
use headwater_protocols::id::LogId;
use headwater_protocols::identity::PublicKey;
use headwater_protocols::manifest::{Manifest, ValueType, Visibility};
use headwater_protocols::record::Record;
use headwater_protocols::time::Timestamp;
use headwater_tests::PATIENCE;
use libp2p::identity::Keypair;
use tempfile::TempDir;

struct TestNode {
    running: Running,
    key: Keypair,
    _folder: TempDir,
}

impl TestNode {
    async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let key = Keypair::generate_ed25519();
        let mut config = RuntimeConfig::new(folder.path().join("store"), key.clone());
        config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse()?];
        let running = start(config).await?;
        let mut addresses = running.node.watch_addresses();
        tokio::time::timeout(PATIENCE, addresses.wait_for(|a| !a.is_empty())).await??;
        Ok(Self {
            running,
            key,
            _folder: folder,
        })
    }

    fn node(&self) -> &Node {
        &self.running.node
    }

    async fn create(&self, name: &str) -> Result<LogId> {
        let key = self.key.clone().try_into_ed25519()?;
        let publisher = PublicKey::from_bytes(&key.public().to_bytes()).context("a key")?;
        let manifest = Manifest {
            publisher,
            name: name.to_owned(),
            description: String::new(),
            source: String::new(),
            target: None,
            unit: String::new(),
            value_type: ValueType::Number,
            cadence_us: 0,
            chunk_level: 8,
            prior: None,
            visibility: Visibility::Public,
            retain_us: 0,
            retain_records: 0,
            created: now(),
        };
        match self
            .node()
            .command(Command::Create(Box::new(manifest)))
            .await?
        {
            Reply::Created(log) => Ok(log),
            other => bail!("created: {other:?}"),
        }
    }

    async fn publish(&self, log: LogId, from: u64, count: u64) -> Result<()> {
        let records = (from..from + count)
            .map(|i| Record::new(Timestamp(i as i64), i.to_string().as_bytes()))
            .collect();
        let expect_size = Some(from);
        let command = Command::Publish {
            log,
            records,
            expect_size,
        };
        let reply = self.node().command(command).await?;
        ensure!(matches!(reply, Reply::Published(at) if at.from == from && at.to == from + count));
        Ok(())
    }

    async fn follow(&self, log: LogId, from: &Self) -> Result<()> {
        let address = from.node().addresses()[0].clone();
        let peers = vec![address.to_string()];
        let newest_first = false;
        let command = Command::Follow {
            log,
            peers,
            newest_first,
        };
        self.node().command(command).await?;
        self.node().keep_dialled(address);
        Ok(())
    }

    async fn until(&self, log: LogId, wanted: impl Fn(&LogStatus) -> bool) -> Result<()> {
        let mut status = self.node().watch(log).context("the stream is not known")?;
        let waited = tokio::time::timeout(PATIENCE, status.wait_for(|status| wanted(status))).await;
        match waited {
            Ok(seen) => {
                seen?;
                Ok(())
            }
            Err(_) => bail!("never became as wanted: {:?}", self.node().stream(log)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_and_live_records_reach_a_follower_whole() -> Result<()> {
    let publisher = TestNode::start().await?;
    let log = publisher.create("numbers").await?;
    for batch in 0..20 {
        publisher.publish(log, batch * 5_000, 5_000).await?;
    }
    let follower = TestNode::start().await?;
    follower.follow(log, &publisher).await?;
    follower
        .until(log, |status| status.synced_size == 100_000)
        .await?;
    for live in 0..300 {
        publisher.publish(log, 100_000 + live, 1).await?;
    }
    follower
        .until(log, |status| status.synced_size == 100_300)
        .await?;
    let root = |node: &TestNode| {
        node.node()
            .stream(log)
            .and_then(|s| s.head.clone())
            .map(|h| h.root)
    };
    ensure!(root(&publisher) == root(&follower));
    let node = follower.node();
    let history = node.history(log).context("no history")?;
    for index in [0, 255, 256, 99_999, 100_000, 100_299] {
        ensure!(history.record(index)?.value() == index.to_string());
    }
    drop(history);
    follower.running.stop().await?;
    publisher.running.stop().await
}

/// Two topics a stream: gossipsub tells a new peer all of them in one frame,
/// and its default limits drop such a list in silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_are_followed_by_one_node() -> Result<()> {
    const STREAMS: usize = 1_000;
    let publisher = TestNode::start().await?;
    let mut logs = Vec::new();
    for i in 0..STREAMS {
        let log = publisher.create(&format!("stream {i}")).await?;
        publisher.publish(log, 0, 1).await?;
        logs.push(log);
    }
    let follower = TestNode::start().await?;
    for &log in &logs {
        follower.follow(log, &publisher).await?;
    }
    for &log in &logs {
        follower
            .until(log, |status| status.synced_size == 1)
            .await?;
    }
    for &log in &logs {
        publisher.publish(log, 1, 1).await?;
    }
    for &log in &logs {
        follower
            .until(log, |status| status.synced_size == 2)
            .await?;
    }
    follower.running.stop().await?;
    publisher.running.stop().await
}
