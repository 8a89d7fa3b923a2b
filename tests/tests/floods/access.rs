//! Allow and deny lists between real nodes.

use anyhow::{Context, Result, ensure};
use headwater::net::limits::REFUSALS_SAID_EVERY;
use headwater_tests::TestNode;
use headwater_tests::hostile::ATTACKERS;
use tokio::time::Instant;

use super::attacker::Attacker;
use super::victim::Victim;

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_from_a_denied_address_is_refused_and_others_are_not() -> Result<()> {
    let mut victim = Victim::start(&format!("deny = ['{ATTACKERS}']")).await?;
    let started = Instant::now();
    for _ in 0..20 {
        let mut attacker = Attacker::new(&victim.detour()).await?;
        ensure!(!attacker.connect().await?, "it was let in");
    }
    victim.exchange(3).await?;
    let log = victim.node.until_logged("connections were refused").await?;
    let said = log
        .lines()
        .filter(|line| line.contains("connections were refused"));
    // At once, and then once in a while however many there are.
    let most = 1 + started.elapsed().as_secs() / REFUSALS_SAID_EVERY.as_secs();
    ensure!(said.count() as u64 <= most, "refusals are said each: {log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_allow_list_nobody_else_is_connected_with_in_either_direction() -> Result<()> {
    let friend = TestNode::start(&[]).await?;
    let stranger = TestNode::start(&[]).await?;
    let allowed = friend.peer_id()?;
    let (friendly, strange) = (friend.address()?, stranger.address()?);
    let node = TestNode::start(&["--allow", &allowed, "--bootstrap", &friendly, &strange]).await?;
    let stream = node.create("t")?;
    node.publish_numbers(&stream, 0, 10)?;
    let invite = node.invite(&stream)?;
    for reader in [&friend, &stranger] {
        reader.run(&["follow", &invite])?;
    }
    friend.until_synced(&stream, 10).await?;
    // The stranger has been at the door.
    node.until_logged("connections were refused").await?;
    let peers = node.get("/v1/peers").await?;
    let peers: Vec<&str> = (peers.as_array().context("no peers")?.iter())
        .filter_map(|peer| peer["peer_id"].as_str())
        .collect();
    ensure!(peers == [allowed.as_str()], "connected with {peers:?}");
    Ok(())
}
