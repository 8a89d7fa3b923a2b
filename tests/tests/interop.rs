//! A peer over js-libp2p, written from docs/formats.md and the schemas alone,
//! and nodes of ours understand each other.

use anyhow::{Context, Result, ensure};
use headwater_tests::{JsPeer, TestNode, js_peer};
use serde_json::{Value, json};

/// The peer id of a node.
async fn id(node: &TestNode) -> Result<String> {
    let shown = node.get("/v1/node").await?;
    Ok(shown["peer_id"].as_str().context("no peer id")?.to_owned())
}

/// A multiaddr of a node, with its peer id.
async fn address(node: &TestNode) -> Result<String> {
    let shown = node.get("/v1/node").await?;
    Ok(shown["addresses"][0]
        .as_str()
        .context("no address")?
        .to_owned())
}

/// Connects the peer to a node and lets it join a stream's data topic; it has
/// the manifest from that node, and is in its mesh.
async fn join(peer: &mut JsPeer, node: &TestNode, stream: &str) -> Result<()> {
    peer.ask("dial", json!({"address": address(node).await?}))
        .await?;
    let id = id(node).await?;
    peer.ask("follow", json!({"stream": stream, "peer": id}))
        .await?;
    let topic = format!("/headwater/1/{stream}/data");
    let grafted =
        |event: &Value| event["event"] == "graft" && event["peer"] == id && event["topic"] == topic;
    peer.until(grafted).await?;
    Ok(())
}

/// Waits for the announcement that ends at this size.
async fn announced(peer: &mut JsPeer, size: u64) -> Result<Value> {
    let wanted = |event: &Value| event["event"] == "announced" && event["size"] == size;
    peer.until(wanted).await
}

#[tokio::test]
async fn a_js_peer_and_a_node_tell_each_other_who_they_are() -> Result<()> {
    let Some(mut peer) = JsPeer::start().await? else {
        return Ok(());
    };
    let node = TestNode::start(&["--role", "bootstrap"]).await?;
    peer.ask("dial", json!({"address": address(&node).await?}))
        .await?;
    let identified = peer.until(|event| event["event"] == "identified").await?;
    let version = env!("CARGO_PKG_VERSION");
    ensure!(identified["peer"] == id(&node).await?);
    ensure!(
        identified["agent"] == format!("headwater/{version}"),
        "{identified}"
    );
    ensure!(
        identified["protocol_version"] == "/headwater/1",
        "{identified}"
    );
    let protocols = identified["protocols"].as_array().context("no protocols")?;
    for protocol in ["/headwater/sync/1", "/headwater/kad/1", "/meshsub/1.1.0"] {
        ensure!(protocols.contains(&json!(protocol)), "{identified}");
    }
    let seen = |peers: &Value| {
        let mut peers = peers.as_array().into_iter().flatten();
        peers.any(|seen| seen["peer_id"] == peer.id() && seen["agent"] == js_peer::AGENT)
    };
    node.until_get("/v1/peers", seen).await?;
    Ok(())
}

#[tokio::test]
async fn a_js_peer_checks_announcements_by_the_published_schemas_alone() -> Result<()> {
    let Some(mut peer) = JsPeer::start().await? else {
        return Ok(());
    };
    let publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, 1_000)?;
    join(&mut peer, &publisher, &stream).await?;

    for i in 1_000..1_005 {
        let record = format!("{{\"time\":{i},\"value\":{i}.5}}");
        publisher.append(&stream, record).await?;
        let shown = publisher.get(&format!("/v1/streams/{stream}")).await?;
        let announced = announced(&mut peer, i + 1).await?;
        ensure!(announced["root"] == shown["root"], "{announced}");
        let wanted = json!([{"time_us": i.to_string(), "value": format!("{i}.5")}]);
        ensure!(announced["observations"] == wanted, "{announced}");
    }
    ensure!(peer.told("refused").count() == 0);
    Ok(())
}
