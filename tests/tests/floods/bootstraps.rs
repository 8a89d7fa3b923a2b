//! Bootstrap nodes that do not answer.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Result, ensure};
use headwater_tests::{PATIENCE, TestNode};
use libp2p::PeerId;
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn a_node_whose_bootstrap_nodes_are_all_dead_says_so_and_goes_on_trying() -> Result<()> {
    // A node that is not there yet, and two that never will be.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let later = TestNode::new()?;
    let id = later.json(&["status"])?["peer_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let address = format!("{listen}/p2p/{id}");
    let dead = [1, 2].map(|port| format!("/ip4/127.0.0.9/tcp/{port}/p2p/{}", PeerId::random()));
    let node = TestNode::start(&["--bootstrap", &address, &dead[0], &dead[1]]).await?;

    let silent = until(&node, |bootstrap| bootstrap["silent"] == true).await?;
    ensure!(silent["known"] == 3 && silent["connected"] == 0, "{silent}");
    let why = silent["last_error"].as_str().unwrap_or_default();
    ensure!(why.contains("refused"), "{silent}");
    let status = node.run(&["status"])?;
    ensure!(status.contains("none of 3 answers"), "{status}");

    // It is said once, however often they are dialled.
    sleep(Duration::from_secs(3)).await;
    let log = node.log();
    let said = log
        .lines()
        .filter(|line| line.contains("no bootstrap node answers"));
    ensure!(said.count() == 1, "{log}");
    let dials = log
        .lines()
        .filter(|line| line.contains("cannot connect"))
        .count();
    println!("dead bootstrap nodes: {dials} dials of 3 addresses within the first seconds");
    ensure!((6..30).contains(&dials), "{dials} dials");

    let mut later = later;
    later.launch_on(port).await?;
    let alive = until(&node, |bootstrap| bootstrap["connected"] == 1).await?;
    ensure!(alive["silent"] == false, "{alive}");
    ensure!(node.run(&["status"])?.contains("1 of 3 connected"));
    Ok(())
}

async fn until(
    node: &TestNode,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> Result<serde_json::Value> {
    let started = Instant::now();
    loop {
        let shown = node.get("/v1/node").await?["bootstrap"].clone();
        if wanted(&shown) {
            return Ok(shown);
        }
        ensure!(started.elapsed() < PATIENCE, "never as wanted: {shown}");
        sleep(Duration::from_millis(50)).await;
    }
}
