//! Two nodes behind one router that does not lead back to those behind it who
//! call its outside address: they meet at their private addresses.

use anyhow::{Context, Result, ensure};
use headwater_tests::lab::{Kind, LOOK_AGAIN, Lab, LabNode, Transport};
use tokio::time::{Instant, sleep};

use super::{DIRECT, HISTORY, Pair, report, watch};

/// One pair behind each router.
const KINDS: [Kind; 3] = [Kind::PortRestricted, Kind::Remap, Kind::Symmetric];

/// Addresses at which a node is connected with a peer.
async fn ways(node: &LabNode, peer: &LabNode) -> Result<Vec<String>> {
    let peers = node.node.get("/v1/peers").await?;
    let peers = peers.as_array().context("no list")?;
    let found = peers.iter().find(|found| found["peer_id"] == peer.id);
    let addresses = found.and_then(|found| found["addresses"].as_array());
    let text = |address: &serde_json::Value| address.as_str().unwrap_or_default().to_owned();
    Ok(addresses.into_iter().flatten().map(text).collect())
}

async fn neighbours_meet_at_home(transport: Transport, introducer: &str) -> Result<()> {
    match Lab::with(&KINDS, 2)? {
        Some(lab) => neighbours_meet(&lab, transport, introducer).await,
        None => Ok(()),
    }
}

async fn neighbours_meet(lab: &Lab, transport: Transport, introducer: &str) -> Result<()> {
    let (introducer, bootstrap) = LabNode::public(lab.first(), transport, introducer).await?;
    let known = ["--bootstrap", &bootstrap];
    let (mut publishers, mut subscribers) = (Vec::new(), Vec::new());
    for kind in KINDS {
        let publisher = LabNode::start(lab.two(kind)[0], transport, &known).await?;
        let stream = publisher.node.create("t")?;
        publisher.node.publish_numbers(&stream, 0, HISTORY)?;
        publishers.push((publisher, stream));
    }
    for kind in KINDS {
        let subscriber = LabNode::start(lab.two(kind)[1], transport, &known).await?;
        subscribers.push((subscriber, Instant::now()));
    }
    let mut pairs = Vec::new();
    for ((publisher, stream), (subscriber, up)) in publishers.iter().zip(&subscribers) {
        subscriber.node.run(&["follow", stream])?;
        pairs.push(Pair::new(publisher, subscriber, stream, *up).always_direct());
    }
    watch(&mut pairs).await?;
    report(&pairs, transport, &introducer)?;
    let started = Instant::now();
    for pair in &pairs {
        // The relayed connection lasts a little longer.
        loop {
            let ways = ways(pair.to, pair.from).await?;
            if !ways.is_empty() && ways.iter().all(|way| way.starts_with("/ip4/10.")) {
                break;
            }
            ensure!(started.elapsed() < DIRECT, "{}: {ways:?}", pair.to.kind);
            sleep(LOOK_AGAIN).await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_behind_one_router_are_connected_at_their_private_addresses_over_tcp() -> Result<()> {
    neighbours_meet_at_home(Transport::Tcp, "bootstrap,relay").await
}

#[tokio::test]
async fn two_behind_one_router_are_connected_at_their_private_addresses_over_quic() -> Result<()> {
    neighbours_meet_at_home(Transport::Quic, "bootstrap,relay").await
}

#[tokio::test]
async fn two_behind_one_router_meet_without_any_relay() -> Result<()> {
    neighbours_meet_at_home(Transport::Tcp, "bootstrap").await
}

/// Addresses alone do not tell that the two are near.
async fn two_parts_of_one_network(transport: Transport) -> Result<()> {
    let Some(lab) = Lab::with(&KINDS, 2)? else {
        return Ok(());
    };
    for kind in KINDS {
        let far = lab.two(kind)[1].node.to_string();
        lab.run(&["part", &far])?;
    }
    neighbours_meet(&lab, transport, "bootstrap,relay").await
}

#[tokio::test]
async fn two_in_different_parts_of_one_network_do_not_stay_on_the_relay_over_tcp() -> Result<()> {
    two_parts_of_one_network(Transport::Tcp).await
}

#[tokio::test]
async fn two_in_different_parts_of_one_network_do_not_stay_on_the_relay_over_quic() -> Result<()> {
    two_parts_of_one_network(Transport::Quic).await
}
