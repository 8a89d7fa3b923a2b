//! What `doctor` and `status` say of the network.

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use serde_json::Value;

use super::{ensure_says, json_lines};

/// What `doctor` finds about something.
fn finding(node: &TestNode, about: &str) -> Result<Value> {
    let output = node.command(&["doctor", "--json"])?;
    let findings = json_lines(&String::from_utf8(output.stdout)?)?;
    let mut found = findings
        .into_iter()
        .filter(|finding| finding["about"] == about);
    found
        .next()
        .with_context(|| format!("nothing about {about}"))
}

fn text<'a>(finding: &'a Value, key: &str) -> &'a str {
    finding[key].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_first_node_alone_has_no_problem() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    // Fails if there is a problem.
    node.run(&["doctor"])?;
    let peers = finding(&node, "peers")?;
    ensure!(peers["level"] == "note", "{peers}");
    ensure_says(text(&peers, "advice"), &["--bootstrap", &node.address()?])?;

    let unknown = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    node.run(&["follow", unknown])?;
    node.fails(&["doctor"])?;
    Ok(())
}

#[tokio::test]
async fn a_bootstrap_node_that_is_named_is_not_asked_for_again() -> Result<()> {
    let mut bootstrap = TestNode::start(&["--role", "bootstrap"]).await?;
    bootstrap.keep_port()?;
    let address = bootstrap.address()?;
    let node = TestNode::start(&["--bootstrap", &address]).await?;
    let connected = |shown: &Value| shown["bootstrap"]["connected"] == 1;
    node.until_get("/v1/node", connected).await?;
    node.run(&["doctor"])?;
    let reached = finding(&node, "reached")?;
    ensure!(
        !text(&reached, "advice").contains("connect to"),
        "{reached}"
    );

    bootstrap.stop().await?;
    let silent = |shown: &Value| shown["bootstrap"]["silent"] == true;
    node.until_get("/v1/node", silent).await?;
    node.fails(&["doctor"])?;
    let peers = finding(&node, "peers")?;
    ensure!(peers["level"] == "note", "{peers}");
    ensure!(!text(&peers, "advice").contains("name a node"), "{peers}");
    let said = finding(&node, "bootstrap")?;
    ensure!(said["level"] == "problem", "{said}");
    ensure_says(text(&said, "advice"), &["check the addresses"])
}

#[tokio::test]
async fn a_network_key_that_is_missing_or_wrong_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let maker = TestNode::new()?;
    let mut keys = Vec::new();
    for name in ["ours", "other"] {
        let key = folder.path().join(name);
        let key = key.to_str().context("path")?.to_owned();
        maker.run(&["network", "new", &key])?;
        keys.push(key);
    }
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let args = ["--private-network", &keys[0]];
        let member = TestNode::start_on(listen, &args).await?;
        let address = member.address()?;
        for (key, advice) in [(None, "--private-network"), (Some(&keys[1]), "fingerprint")] {
            let mut args = vec!["--bootstrap", &address];
            args.extend(
                key.iter()
                    .flat_map(|key| ["--private-network", key.as_str()]),
            );
            let stranger = TestNode::start_on(listen, &args).await?;
            let in_doubt = |shown: &Value| {
                let bootstrap = &shown["bootstrap"];
                bootstrap["silent"] == true && bootstrap["key_in_doubt"] == true
            };
            stranger.until_get("/v1/node", in_doubt).await?;
            let said = finding(&stranger, "bootstrap")?;
            ensure!(said["level"] == "problem", "{listen} {key:?}: {said}");
            ensure_says(text(&said, "advice"), &[advice])?;
            let why = text(&said, "what");
            ensure!(why.contains("key"), "{listen} {key:?}: {why}");
            let status = stranger.run(&["status"])?;
            ensure!(status.contains("key"), "{status}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_start_alone_warns_of_nothing() -> Result<()> {
    let mut node = TestNode::new()?;
    node.set_env("RUST_LOG", "info".as_ref());
    node.launch().await?;
    node.until_logged("listening").await?;
    // Kademlia looks around half a second after each address that it is told.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let log = node.log();
    ensure!(!log.contains("WARN"), "{log}");
    Ok(())
}
