//! A peer over js-libp2p, written from docs/formats.md and the schemas alone,
//! and nodes of ours understand each other.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64;
use headwater_tests::{JsPeer, PATIENCE, TestNode, js_peer};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

/// Connects the peer to a node.
async fn dial(peer: &mut JsPeer, node: &TestNode) -> Result<()> {
    let address = node.address()?;
    peer.ask("dial", json!({"address": address})).await?;
    Ok(())
}

/// Lets the peer ask a node what a stream is, and join its data topic.
async fn follow(peer: &mut JsPeer, node: &TestNode, stream: &str) -> Result<()> {
    let id = node.peer_id()?;
    peer.ask("follow", json!({"stream": stream, "peer": id}))
        .await?;
    Ok(())
}

/// Waits until the peer and a node are in each other's mesh of a stream.
async fn in_mesh(peer: &mut JsPeer, node: &TestNode, stream: &str) -> Result<()> {
    let (id, topic) = (node.peer_id()?, format!("/headwater/2/{stream}/data"));
    let grafted =
        |event: &Value| event["event"] == "graft" && event["peer"] == id && event["topic"] == topic;
    peer.until(grafted).await?;
    Ok(())
}

/// All of it: the peer knows the stream from this node, and is in its mesh.
async fn join(peer: &mut JsPeer, node: &TestNode, stream: &str) -> Result<()> {
    dial(peer, node).await?;
    follow(peer, node, stream).await?;
    in_mesh(peer, node, stream).await
}

/// Publishes one number, the `index`-th.
async fn append(node: &TestNode, stream: &str, index: u64) -> Result<()> {
    let record = format!("{{\"time\":{index},\"time_unit\":\"us\",\"value\":{index}.5}}");
    node.append(stream, record).await?;
    Ok(())
}

/// Waits for the announcement that ends at this size.
async fn announced(peer: &mut JsPeer, size: u64) -> Result<Value> {
    let wanted = |event: &Value| event["event"] == "announced" && event["size"] == size;
    peer.until(wanted).await
}

#[tokio::test]
async fn a_js_peer_makes_the_texts_of_heads_and_refuses_those_of_the_documents() -> Result<()> {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vectors/heads.json");
    let read = js_peer::run("heads.mjs", json!({"vectors": vectors})).await?;
    ensure!(read.is_none_or(|read| read == "13 heads read\n"));
    Ok(())
}

#[tokio::test]
async fn a_js_peer_and_a_node_tell_each_other_who_they_are() -> Result<()> {
    let Some(mut peer) = JsPeer::start().await? else {
        return Ok(());
    };
    let node = TestNode::start(&["--role", "bootstrap"]).await?;
    dial(&mut peer, &node).await?;
    let identified = peer.until(|event| event["event"] == "identified").await?;
    let version = env!("CARGO_PKG_VERSION");
    ensure!(identified["peer"] == node.peer_id()?);
    ensure!(
        identified["agent"] == format!("headwater/{version}"),
        "{identified}"
    );
    ensure!(
        identified["protocol_version"] == "/headwater/1",
        "{identified}"
    );
    let protocols = identified["protocols"].as_array().context("no protocols")?;
    for protocol in ["/headwater/sync/2", "/headwater/kad/2", "/meshsub/1.1.0"] {
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
        append(&publisher, &stream, i).await?;
        let shown = publisher.get(&format!("/v1/streams/{stream}")).await?;
        let announced = announced(&mut peer, i + 1).await?;
        ensure!(announced["root"] == shown["root"], "{announced}");
        let wanted = json!([{"time_us": i.to_string(), "value": format!("{i}.5")}]);
        ensure!(announced["observations"] == wanted, "{announced}");
    }
    ensure!(peer.told("refused").count() == 0);
    Ok(())
}

/// A publisher and a follower that has everything of its stream, but the two do
/// not connect to each other any more.
async fn strangers(size: u64) -> Result<(TestNode, TestNode, String)> {
    let mut publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, size)?;
    let follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    follower.until_synced(&stream, size).await?;
    publisher.stop().await?;
    publisher.set_args(&["--deny", &follower.peer_id()?]);
    publisher.launch().await?;
    Ok((publisher, follower, stream))
}

#[tokio::test]
async fn what_a_js_peer_relays_is_accepted_by_a_node_that_is_not_connected_otherwise() -> Result<()>
{
    let Some(mut peer) = JsPeer::start().await? else {
        return Ok(());
    };
    let (publisher, follower, stream) = strangers(1_000).await?;
    join(&mut peer, &publisher, &stream).await?;
    dial(&mut peer, &follower).await?;
    in_mesh(&mut peer, &follower, &stream).await?;
    for i in 1_000..1_020 {
        append(&publisher, &stream, i).await?;
    }
    follower.until_synced(&stream, 1_020).await?;
    ensure!(follower.export(&stream)? == publisher.export(&stream)?);
    let peers = follower.get("/v1/peers").await?;
    let ids: Vec<_> = (peers.as_array().into_iter().flatten())
        .map(|seen| &seen["peer_id"])
        .collect();
    ensure!(ids == [peer.id()], "{peers}");
    Ok(())
}

#[tokio::test]
async fn a_js_peer_that_hears_everything_from_two_nodes_takes_it_once() -> Result<()> {
    let Some(mut peer) = JsPeer::start().await? else {
        return Ok(());
    };
    let publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, 10)?;
    let follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    follower.until_synced(&stream, 10).await?;
    join(&mut peer, &publisher, &stream).await?;
    dial(&mut peer, &follower).await?;
    in_mesh(&mut peer, &follower, &stream).await?;
    for i in 10..30 {
        append(&publisher, &stream, i).await?;
        announced(&mut peer, i + 1).await?;
    }
    follower.until_synced(&stream, 30).await?;
    ensure!(peer.told("announced").count() == 20);
    ensure!(peer.told("refused").count() == 0);
    Ok(())
}

#[tokio::test]
async fn messages_have_the_same_ids_for_a_js_peer_and_for_a_node() -> Result<()> {
    // It lets nobody into its mesh, so it is told the ids of what there is. (It
    // is dialled, because it would let in whom it has dialled itself.)
    let Some(mut peer) = JsPeer::start_with(json!({"lazy": true})).await? else {
        return Ok(());
    };
    let publisher = TestNode::start(&["--bootstrap", peer.address()]).await?;
    let stream = publisher.create("numbers")?;
    let by = publisher.peer_id()?;
    let identified = |event: &Value| event["event"] == "identified" && event["peer"] == by;
    peer.until(identified).await?;
    follow(&mut peer, &publisher, &stream).await?;
    for i in 0..3 {
        append(&publisher, &stream, i).await?;
        let announced = announced(&mut peer, i + 1).await?;
        let offered = |event: &Value| {
            let mut ids = event["ids"].as_array().into_iter().flatten();
            event["event"] == "offered" && ids.any(|id| *id == announced["id"])
        };
        peer.until(offered).await?;
    }
    let mesh = peer.ask("mesh", json!({"stream": stream})).await?;
    ensure!(mesh["peers"] == json!([]), "{mesh}");
    Ok(())
}

/// Everything that can be wrong with an announcement, each in its own way.
fn garbage(announcement: &[u8]) -> Vec<Vec<u8>> {
    let altered = |place: usize| {
        let mut bytes = announcement.to_vec();
        bytes[place] ^= 1;
        bytes
    };
    let last = announcement.len() - 1;
    vec![
        b"no message of ours".to_vec(),
        announcement[..last].to_vec(),
        // The last byte of a record, and one of the head.
        altered(last),
        altered(40),
        // A second encoding: the same message, and one of its fields once more.
        [announcement, &[0x10, 0]].concat(),
        // What belongs to another topic, or to nobody.
        Vec::new(),
    ]
}

#[tokio::test]
async fn a_js_peer_that_publishes_garbage_is_disconnected_and_heard_no_more() -> Result<()> {
    let (Some(mut liar), Some(mut honest), Some(mut listener)) = (
        JsPeer::start().await?,
        JsPeer::start().await?,
        JsPeer::start().await?,
    ) else {
        return Ok(());
    };
    let (publisher, node, stream) = strangers(10).await?;
    // Two announcements that the node does not know yet.
    join(&mut honest, &publisher, &stream).await?;
    let mut announcements = Vec::new();
    for i in 10..12 {
        append(&publisher, &stream, i).await?;
        announcements.push(announced(&mut honest, i + 1).await?["data"].clone());
    }
    let publish = |data: &Value| json!({"stream": stream, "data": data});

    // Whoever has a true one is believed.
    for peer in [&mut liar, &mut listener] {
        dial(peer, &node).await?;
        follow(peer, &node, &stream).await?;
        in_mesh(peer, &node, &stream).await?;
    }
    liar.ask("publish", publish(&announcements[0])).await?;
    node.until_synced(&stream, 11).await?;
    announced(&mut listener, 11).await?;

    let second = BASE64.decode(announcements[1].as_str().context("no data")?.as_bytes())?;
    for bytes in garbage(&second) {
        let data = json!(BASE64.encode(&bytes));
        // It may be disconnected already.
        let _ = liar.ask("publish", publish(&data)).await;
    }
    let id = node.peer_id()?;
    let dropped = |event: &Value| event["event"] == "disconnected" && event["peer"] == id;
    liar.until(dropped).await?;

    // From now on not even the truth is taken from it; others are believed.
    let _ = dial(&mut liar, &node).await;
    let _ = liar.ask("publish", publish(&announcements[1])).await;
    dial(&mut honest, &node).await?;
    in_mesh(&mut honest, &node, &stream).await?;
    ensure!(node.show(&stream)?["size"] == 11, "it is still believed");
    listener.ask("publish", publish(&announcements[1])).await?;
    node.until_synced(&stream, 12).await?;
    append(&publisher, &stream, 12).await?;
    node.until_synced(&stream, 13).await?;
    ensure!(node.export(&stream)? == publisher.export(&stream)?);

    // Nothing of it has been passed on.
    announced(&mut listener, 13).await?;
    for peer in [&honest, &listener] {
        ensure!(peer.told("refused").count() == 0, "{:?}", peer.events());
    }
    Ok(())
}

/// A node that introduces others.
async fn bootstrap() -> Result<(TestNode, String)> {
    let node = TestNode::start(&["--role", "bootstrap"]).await?;
    let address = node.address()?;
    Ok((node, address))
}

/// Asks again until somebody is said to have the stream.
async fn providers(peer: &mut JsPeer, stream: &str) -> Result<Value> {
    let started = Instant::now();
    loop {
        let answer = peer.ask("providers", json!({"stream": stream})).await?;
        if answer["providers"] != json!([]) {
            return Ok(answer["providers"].clone());
        }
        ensure!(started.elapsed() < PATIENCE, "nobody is found");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_js_peer_finds_a_stream_by_its_id_through_kademlia() -> Result<()> {
    let Some(mut peer) = JsPeer::start().await? else {
        return Ok(());
    };
    let (introducer, known) = bootstrap().await?;
    let publisher = TestNode::start(&["--bootstrap", &known]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, 10)?;

    dial(&mut peer, &introducer).await?;
    let providers = providers(&mut peer, &stream).await?;
    let publisher_id = publisher.peer_id()?;
    ensure!(providers[0]["peer"] == publisher_id, "{providers}");
    let found = providers[0]["addresses"][0].as_str();
    let found = format!("{}/p2p/{publisher_id}", found.context("no address")?);
    peer.ask("dial", json!({"address": found})).await?;
    follow(&mut peer, &publisher, &stream).await?;
    in_mesh(&mut peer, &publisher, &stream).await?;
    append(&publisher, &stream, 10).await?;
    announced(&mut peer, 11).await?;
    Ok(())
}

#[tokio::test]
async fn a_node_finds_a_js_peer_that_provides_a_stream_and_hears_the_stream_from_it() -> Result<()>
{
    let Some(mut peer) = JsPeer::start().await? else {
        return Ok(());
    };
    let (introducer, known) = bootstrap().await?;
    // The publisher itself cannot be found.
    let publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, 10)?;
    join(&mut peer, &publisher, &stream).await?;
    dial(&mut peer, &introducer).await?;
    peer.ask("provide", json!({"stream": stream})).await?;

    let node = TestNode::start(&["--bootstrap", &known]).await?;
    node.run(&["follow", &stream])?;
    let id = node.peer_id()?;
    peer.until(|event| event["event"] == "connected" && event["peer"] == id)
        .await?;
    // The peer tells it what the stream is, and relays what is live.
    in_mesh(&mut peer, &node, &stream).await?;
    node.until(&stream, |shown| shown["name"] == "numbers")
        .await?;
    // A peer that keeps no history tells each head once: what it says before its
    // stream to the node is open is lost.
    let mut heard = None;
    for size in 11..=60 {
        append(&publisher, &stream, size - 1).await?;
        announced(&mut peer, size).await?;
        let is_heard = |shown: &Value| shown["size"] == size;
        let is_heard = node.until(&stream, is_heard);
        if let Ok(shown) = timeout(Duration::from_secs(2), is_heard).await {
            shown?;
            heard = Some(size);
            break;
        }
    }
    // From then on the node hears everything.
    let first = heard.context("nothing was heard from the js peer")?;
    for size in first + 1..=first + 20 {
        append(&publisher, &stream, size - 1).await?;
        let shown = node.until(&stream, |shown| shown["size"] == size).await?;
        ensure!(shown["root"] == publisher.show(&stream)?["root"]);
    }
    let held = node.show(&stream)?["held_records"].as_u64();
    ensure!(held >= Some(20), "it holds {held:?} records");
    Ok(())
}

#[tokio::test]
async fn nodes_that_know_only_a_js_peer_find_each_other_through_it() -> Result<()> {
    let Some(peer) = JsPeer::start_with(json!({"kad": "server"})).await? else {
        return Ok(());
    };
    let known = ["--bootstrap", peer.address()];
    let mut publisher = TestNode::start(&known).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, 1_000)?;
    // js-libp2p keeps no provider that does not say where it is.
    publisher.keep_port()?;
    let own = publisher.address()?;
    publisher.stop().await?;
    publisher.set_args(&[&known[..], &["--external", &own]].concat());
    publisher.launch().await?;

    let node = TestNode::start(&known).await?;
    node.run(&["follow", &stream])?;
    node.until_synced(&stream, 1_000).await?;
    Ok(())
}
