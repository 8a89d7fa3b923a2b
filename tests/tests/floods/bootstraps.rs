//! Bootstrap nodes that do not answer.

use std::time::Duration;

use anyhow::{Result, ensure};
use headwater::net::limits::REDIAL_BACKOFF;
use headwater_tests::TestNode;
use libp2p::PeerId;
use serde_json::Value;
use tokio::time::Instant;

#[tokio::test]
async fn a_node_whose_bootstrap_nodes_are_all_dead_says_so_and_goes_on_trying() -> Result<()> {
    // A node that is not there yet, and two that never will be.
    let mut later = TestNode::new()?;
    let port = later.take_port()?;
    let id = later.json(&["status"])?["peer_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let address = format!("{listen}/p2p/{id}");
    let dead = [1, 2].map(|port| format!("/ip4/127.0.0.9/tcp/{port}/p2p/{}", PeerId::random()));
    let started = Instant::now();
    let node = TestNode::start(&["--bootstrap", &address, &dead[0], &dead[1]]).await?;

    let silent = |shown: &Value| shown["bootstrap"]["silent"] == true;
    let silent = node.until_get("/v1/node", silent).await?["bootstrap"].clone();
    ensure!(silent["known"] == 3 && silent["connected"] == 0, "{silent}");
    let why = silent["last_error"].as_str().unwrap_or_default();
    ensure!(why.contains("refused"), "{silent}");
    let status = node.run(&["status"])?;
    ensure!(status.contains("none of 3 answers"), "{status}");

    // It is said once, however often they are dialled.
    let dials = |log: &str| log.matches("cannot connect").count();
    let log = node.until_log(|log| dials(log) >= 12).await?;
    let said = log.matches("no bootstrap node answers").count();
    ensure!(said == 1, "{log}");
    let (dials, most) = (dials(&node.log()), 3 * most_dials(started.elapsed()));
    println!("dead bootstrap nodes: {dials} dials of 3 addresses, of {most} that there may be");
    ensure!(dials <= most, "{dials} dials");

    later.launch().await?;
    let alive = |shown: &Value| shown["bootstrap"]["connected"] == 1;
    let alive = node.until_get("/v1/node", alive).await?;
    ensure!(alive["bootstrap"]["silent"] == false, "{alive}");
    ensure!(node.run(&["status"])?.contains("1 of 3 connected"));
    Ok(())
}

/// Dials of one address within this time, at most: the pauses between them
/// double.
fn most_dials(time: Duration) -> usize {
    let (mut dials, mut failures) = (1, 0);
    let mut due = REDIAL_BACKOFF.next(&mut failures);
    while due <= time {
        due += REDIAL_BACKOFF.next(&mut failures);
        dials += 1;
    }
    dials
}
