//! Nodes tell each other of others, so that nobody depends on one peer, on a
//! bootstrap node, or on a list.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use headwater_protocols::id::LogId;
use headwater_protocols::peers::{Answer, Told};
use headwater_tests::{PATIENCE, TestNode};
use libp2p::core::PeerRecord;
use libp2p::identity::Keypair;
use libp2p::request_response::{self, Message, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{StreamProtocol, SwarmBuilder, identify, noise, tcp, yamux};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

/// Pause between two looks at a network.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

async fn peers(node: &TestNode) -> Result<Vec<String>> {
    let peers = node.get("/v1/peers").await?;
    let peers = peers.as_array().context("no list")?;
    let ids = peers.iter().filter_map(|peer| peer["peer_id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

/// Waits until a node is connected to another one.
async fn until_connected(node: &TestNode, other: &str) -> Result<()> {
    let is_there = |peers: &Value| {
        let mut peers = peers.as_array().into_iter().flatten();
        peers.any(|peer| peer["peer_id"] == other)
    };
    node.until_get("/v1/peers", is_there).await?;
    Ok(())
}

/// Publishes `count` numbers one by one, starting with the `from`-th.
async fn publish_live(publisher: &TestNode, stream: &str, from: u64, count: u64) -> Result<()> {
    for i in from..from + count {
        let record = format!("{{\"time\":{i},\"time_unit\":\"us\",\"value\":{i}}}");
        publisher.append(stream, record).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_node_whose_only_known_peer_goes_away_has_got_others_from_it() -> Result<()> {
    let mut publisher = TestNode::start(&[]).await?;
    publisher.keep_port()?;
    let stream = publisher.create("t")?;
    publisher.publish_numbers(&stream, 0, 100)?;
    let mut middle = TestNode::start(&[]).await?;
    middle.run(&["follow", &publisher.invite(&stream)?])?;
    middle.until_synced(&stream, 100).await?;
    // All that these two know is the middle.
    let far = TestNode::start(&[]).await?;
    let other = TestNode::start(&[]).await?;
    for node in [&far, &other] {
        node.run(&["follow", &middle.invite(&stream)?])?;
    }
    for node in [&far, &other] {
        until_connected(node, &publisher.peer_id()?).await?;
        node.until_synced(&stream, 100).await?;
    }
    until_connected(&far, &other.peer_id()?).await?;
    middle.stop().await?;
    publish_live(&publisher, &stream, 100, 20).await?;
    for node in [&far, &other] {
        node.until_synced(&stream, 120).await?;
    }

    // The publisher comes back to a network that it has known before, and to
    // which it was never given an address.
    publisher.kill()?;
    publisher.launch().await?;
    publish_live(&publisher, &stream, 120, 20).await?;
    for node in [&far, &other] {
        node.until_synced(&stream, 140).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_node_that_comes_back_finds_its_peers_although_every_bootstrap_node_is_gone() -> Result<()>
{
    let mut bootstrap = TestNode::start(&["--role", "bootstrap"]).await?;
    let known = ["--bootstrap", &bootstrap.address()?];
    let mut publisher = TestNode::start(&known).await?;
    publisher.keep_port()?;
    let stream = publisher.create("t")?;
    publisher.publish_numbers(&stream, 0, 100)?;
    let mut subscriber = TestNode::start(&known).await?;
    let mut restored = TestNode::start(&known).await?;
    for node in [&subscriber, &restored] {
        node.run(&["follow", &stream])?;
        node.until_synced(&stream, 100).await?;
    }
    subscriber.stop().await?;
    restored.stop().await?;
    bootstrap.kill()?;
    publisher.publish_numbers(&stream, 100, 10)?;

    subscriber.launch().await?;
    subscriber.until_synced(&stream, 110).await?;
    subscriber.until_logged("no bootstrap node answers").await?;
    // Nor does it need to be told of any.
    restored.set_args(&[]);
    restored.launch().await?;
    restored.until_synced(&stream, 110).await?;

    // The publisher, too, looks for those who left it.
    publisher.stop().await?;
    subscriber.stop().await?;
    restored.keep_port()?;
    restored.stop().await?;
    restored.launch().await?;
    publisher.set_args(&[]);
    publisher.launch().await?;
    publisher.publish_numbers(&stream, 110, 10)?;
    restored.until_synced(&stream, 120).await?;
    Ok(())
}

#[tokio::test]
async fn two_networks_that_know_nothing_of_each_other_merge_when_two_of_them_meet() -> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("t")?;
    publisher.publish_numbers(&stream, 0, 100)?;
    let mut here = TestNode::start(&[]).await?;
    here.run(&["follow", &publisher.invite(&stream)?])?;
    let mut there = TestNode::start(&[]).await?;
    there.run(&["follow", &stream])?;
    let far = TestNode::start(&[]).await?;
    far.run(&["follow", &there.invite(&stream)?])?;
    here.until_synced(&stream, 100).await?;
    until_connected(&far, &there.peer_id()?).await?;
    ensure!(peers(&far).await?.len() == 1, "they have met already");

    there.run(&["follow", &here.invite(&stream)?])?;
    far.until_synced(&stream, 100).await?;
    until_connected(&far, &publisher.peer_id()?).await?;
    // Those who met are not needed any more.
    here.stop().await?;
    there.stop().await?;
    publish_live(&publisher, &stream, 100, 20).await?;
    far.until_synced(&stream, 120).await?;
    Ok(())
}

/// Nodes of the mesh; `HEADWATER_MESH_NODES` and `HEADWATER_MESH_ROUNDS` make
/// the test larger.
fn setting(name: &str, default: usize) -> usize {
    let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(default)
}

const MIN_PEERS: usize = 4;
const LONGEST_SHORTAGE: Duration = Duration::from_secs(30);
const ROUND: Duration = Duration::from_secs(8);

/// How long each node has been below its minimum.
#[derive(Default)]
struct Shortages {
    since: BTreeMap<String, Instant>,
    longest: Duration,
}

impl Shortages {
    async fn look(&mut self, nodes: &[TestNode]) -> Result<()> {
        for node in nodes {
            let name = node.dir().display().to_string();
            let company = peers(node).await?.len();
            if company >= MIN_PEERS {
                self.since.remove(&name);
                continue;
            }
            let since = *self.since.entry(name).or_insert_with(Instant::now);
            self.longest = self.longest.max(since.elapsed());
            ensure!(
                since.elapsed() < LONGEST_SHORTAGE,
                "{company} peers for {:?}: {}",
                since.elapsed(),
                node.log()
            );
        }
        Ok(())
    }
}

/// A node that is told of one other, and of nobody else.
async fn newcomer(stream: &str, known: &TestNode) -> Result<TestNode> {
    let node = TestNode::start(&["--min-peers", "4"]).await?;
    node.run(&["follow", &known.invite(stream)?])?;
    Ok(node)
}

#[tokio::test]
async fn nobody_stays_alone_while_a_tenth_of_a_mesh_is_replaced_again_and_again() -> Result<()> {
    let size = setting("HEADWATER_MESH_NODES", 20);
    let rounds = setting("HEADWATER_MESH_ROUNDS", 2);
    let publisher = TestNode::start(&["--min-peers", "4"]).await?;
    let stream = publisher.create("t")?;
    publisher.publish_numbers(&stream, 0, 1_000)?;
    let mut nodes = vec![newcomer(&stream, &publisher).await?];
    while nodes.len() < size - 1 {
        // Each knows the one that came before it: a chain, if nobody did more.
        nodes.push(newcomer(&stream, &nodes[nodes.len() - 1]).await?);
    }
    let mut shortages = Shortages::default();
    let mut published = 1_000;
    for round in 0..=rounds {
        let until = Instant::now() + ROUND;
        while Instant::now() < until {
            publish_live(&publisher, &stream, published, 1).await?;
            published += 1;
            shortages.look(&nodes).await?;
            sleep(LOOK_AGAIN).await;
        }
        for place in 0..size.div_ceil(10) {
            if round < rounds {
                // One of those in the middle of the chain, by a crash, and a
                // stranger in its place.
                nodes.remove((place + 1) * nodes.len() / 4).kill()?;
                nodes.push(newcomer(&stream, &nodes[place]).await?);
            }
        }
    }
    for node in &nodes {
        node.until_synced(&stream, published).await?;
    }
    let root = publisher.show(&stream)?["root"].clone();
    for node in &nodes {
        ensure!(node.show(&stream)?["root"] == root, "another root");
    }
    let served = publisher.show(&stream)?["served_records"].clone();
    eprintln!(
        "{size} nodes, {published} records, longest shortage {:?}, served by the publisher {served}",
        shortages.longest
    );
    Ok(())
}

/// A peer that speaks identify and answers every question for peers with the
/// same bytes.
#[derive(NetworkBehaviour)]
struct Liar {
    identify: identify::Behaviour,
    peers: request_response::Behaviour<RawBytes>,
}

/// Questions and answers of any bytes.
#[derive(Clone, Default)]
pub(crate) struct RawBytes;

impl request_response::Codec for RawBytes {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut bytes = Vec::new();
        io.take(1 << 20).read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn read_response<T>(&mut self, of: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read_request(of, io).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }

    async fn write_response<T>(
        &mut self,
        of: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        self.write_request(of, io, bytes).await
    }
}

/// Answers a node's questions with these records; whether the node ends the
/// connection, and does so before nothing has happened for so long.
async fn answer_with(
    node: &TestNode,
    stream: &str,
    record: Vec<u8>,
    quiet: Duration,
) -> Result<bool> {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )?
        .with_behaviour(|key| {
            let protocol = StreamProtocol::new("/headwater/peers/2");
            let peers = [(protocol, ProtocolSupport::Full)];
            Liar {
                identify: identify::Behaviour::new(identify::Config::new(
                    "/headwater/1".to_owned(),
                    key.public(),
                )),
                peers: request_response::Behaviour::new(peers, Default::default()),
            }
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let told = Told {
        record: record.into(),
        subscribed: [0].into(),
    };
    let answer = Answer {
        peers: vec![told],
        ..Answer::default()
    };
    let mut answered = false;
    loop {
        let wait = if answered { quiet } else { PATIENCE };
        let event = match timeout(wait, swarm.next()).await {
            Ok(event) => event.context("the swarm has ended")?,
            Err(_) if answered => return Ok(false),
            Err(_) => bail!("no question came: {}", node.log()),
        };
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                let peer = swarm.local_peer_id();
                node.run(&[
                    "follow",
                    &format!("headwater:{stream}?peer={address}/p2p/{peer}"),
                ])?;
            }
            SwarmEvent::Behaviour(LiarEvent::Peers(request_response::Event::Message {
                message: Message::Request { channel, .. },
                ..
            })) => {
                let peers = &mut swarm.behaviour_mut().peers;
                answered |= peers.send_response(channel, answer.encode()).is_ok();
            }
            SwarmEvent::ConnectionClosed { .. } if answered => return Ok(true),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_peer_that_passes_on_a_forged_record_is_dropped() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    // A stream that nobody has, so that the node asks everybody.
    let stream = LogId::of_manifest(b"nobody has it").to_string();
    let key = Keypair::generate_ed25519();
    let nobody = PeerRecord::new(&key, vec!["/ip4/127.0.0.1/tcp/9".parse()?])?;
    let genuine = nobody.into_signed_envelope().into_protobuf_encoding();
    let mut forged = genuine.clone();
    *forged.last_mut().context("empty")? ^= 1;

    // Nobody is there, but the record is true.
    let dropped = answer_with(&node, &stream, genuine, Duration::from_secs(5)).await?;
    ensure!(!dropped, "an honest peer was dropped: {}", node.log());
    ensure!(node.log().contains(&key.public().to_peer_id().to_string()));

    let dropped = answer_with(&node, &stream, forged, PATIENCE).await?;
    ensure!(dropped, "a liar stays: {}", node.log());
    node.until_logged("false peer record").await?;
    let shown: Value = node.get("/v1/peers").await?;
    ensure!(shown.as_array().is_some_and(|peers| peers.len() <= 1));
    Ok(())
}
