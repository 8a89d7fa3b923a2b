//! Nodes that find those who have a stream on its meta topic alone: nobody here
//! answers Kademlia's questions, and they know only a node that introduces them
//! and has nothing of the stream.

use anyhow::{Context, Result, bail, ensure};
use headwater::runtime::{Node, Running, RuntimeConfig, now, start};
use headwater_protocols::engine::{Command, LogStatus, Reply};
use headwater_protocols::id::LogId;
use headwater_protocols::identity::PublicKey;
use headwater_protocols::manifest::{Manifest, ValueType, Visibility};
use headwater_protocols::record::Record;
use headwater_protocols::time::Timestamp;
use headwater_tests::PATIENCE;
use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use tempfile::TempDir;
use tokio::time::timeout;

struct TestNode {
    running: Running,
    key: Keypair,
    _folder: TempDir,
}

impl TestNode {
    async fn start(introducer: Option<&Self>) -> Result<Self> {
        Self::start_with(introducer, |_| {}).await
    }

    async fn start_with(
        introducer: Option<&Self>,
        change: impl FnOnce(&mut RuntimeConfig),
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let key = Keypair::generate_ed25519();
        let mut config = RuntimeConfig::new(folder.path().join("store"), key.clone());
        config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse()?];
        config.introduces = introducer.is_none();
        config.bootstrap = match introducer {
            Some(introducer) => vec![introducer.address()?],
            None => Vec::new(),
        };
        change(&mut config);
        let listens = !config.listen.is_empty();
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

    fn node(&self) -> &Node {
        &self.running.node
    }

    fn address(&self) -> Result<Multiaddr> {
        self.node()
            .addresses()
            .first()
            .cloned()
            .context("no address")
    }

    /// Creates a stream of `count` numbers.
    async fn create(&self, count: u64) -> Result<LogId> {
        let key = self.key.clone().try_into_ed25519()?;
        let publisher = PublicKey::from_bytes(&key.public().to_bytes()).context("a key")?;
        let manifest = Manifest {
            publisher,
            name: "numbers".to_owned(),
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
        let created = Command::Create(Box::new(manifest));
        let Reply::Created(log) = self.node().command(created).await? else {
            bail!("not created");
        };
        let records =
            (0..count).map(|i| Record::new(Timestamp(i as i64), i.to_string().as_bytes()));
        let publish = Command::Publish {
            log,
            records: records.collect(),
            expect_size: Some(0),
        };
        self.node().command(publish).await?;
        Ok(log)
    }

    /// Follows a stream by its id alone.
    async fn follow(&self, log: LogId) -> Result<()> {
        let follow = Command::Follow {
            log,
            peers: Vec::new(),
            newest_first: false,
        };
        self.node().command(follow).await?;
        Ok(())
    }

    async fn until(&self, log: LogId, wanted: impl Fn(&LogStatus) -> bool) -> Result<()> {
        let mut status = self.node().watch(log).context("the stream is not known")?;
        let waited = timeout(PATIENCE, status.wait_for(|status| wanted(status))).await;
        match waited {
            Ok(seen) => {
                seen?;
                Ok(())
            }
            Err(_) => bail!("never became as wanted: {:?}", self.node().stream(log)),
        }
    }

    async fn until_synced(&self, log: LogId, size: u64) -> Result<()> {
        self.until(log, |status| status.synced_size == size).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_joiner_finds_holders_on_the_meta_topic_alone() -> Result<()> {
    let introducer = TestNode::start(None).await?;
    let publisher = TestNode::start(Some(&introducer)).await?;
    let log = publisher.create(10_000).await?;
    let subscriber = TestNode::start(Some(&introducer)).await?;
    subscriber.follow(log).await?;
    subscriber.until_synced(log, 10_000).await?;

    // The publisher is gone; the subscriber answers.
    publisher.running.stop().await?;
    let joiner = TestNode::start(Some(&introducer)).await?;
    joiner.follow(log).await?;
    joiner.until_synced(log, 10_000).await?;
    let root = |node: &TestNode| {
        let status = node.node().stream(log)?;
        status.head.as_ref().map(|head| head.root)
    };
    ensure!(root(&joiner).is_some() && root(&joiner) == root(&subscriber));
    ensure!(
        introducer.node().stream(log).is_none(),
        "it has nothing of it"
    );
    for node in [joiner, subscriber, introducer] {
        node.running.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_listens_nowhere_dials_the_joiner() -> Result<()> {
    let introducer = TestNode::start(None).await?;
    let nowhere = |config: &mut RuntimeConfig| config.listen.clear();
    let publisher = TestNode::start_with(Some(&introducer), nowhere).await?;
    let log = publisher.create(1_000).await?;
    let joiner = TestNode::start(Some(&introducer)).await?;
    joiner.follow(log).await?;
    joiner.until_synced(log, 1_000).await?;
    for node in [joiner, publisher, introducer] {
        node.running.stop().await?;
    }
    Ok(())
}
