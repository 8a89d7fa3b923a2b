//! Gossip that is false, that is of no use, and that nobody asked for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_protocols::id::LogId;
use headwater_tests::PATIENCE;
use libp2p::gossipsub::IdentTopic;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attacker::Attacker;
use super::victim::Victim;

const LIMITS: &str = "max_connections = 64\nmax_connections_per_ip = 16";

/// What an attacker says the `number`-th time.
type Saying = fn(u64) -> Vec<u8>;

fn garbage(number: u64) -> Vec<u8> {
    [&[0xff; 200][..], &number.to_be_bytes()].concat()
}

/// A well-formed message of a kind that no version knows (field 1,000, eight
/// bytes): nobody is to blame for it, and it is of no use.
fn useless(number: u64) -> Vec<u8> {
    [&[0xc1, 0x3e][..], &number.to_le_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_publishes_garbage_is_dropped_and_not_passed_on() -> Result<()> {
    let topics: [fn(&LogId) -> String; 2] = [LogId::data_topic, LogId::meta_topic];
    flood_topics("garbage", garbage, &topics).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_publishes_what_is_of_no_use_over_and_over_is_dropped() -> Result<()> {
    flood_topics("useless messages", useless, &[LogId::meta_topic]).await
}

async fn flood_topics(flood: &str, say: Saying, topics: &[fn(&LogId) -> String]) -> Result<()> {
    let mut victim = Victim::start(LIMITS).await?;
    let address = victim.detour();
    let log: LogId = victim.stream.parse()?;
    let mut names = Vec::new();
    let flooding = async {
        let mut attackers = JoinSet::new();
        for (identity, topic) in (0..).zip(topics) {
            attackers.spawn(publish(address.clone(), topic(&log), identity, say));
        }
        while let Some(attacker) = attackers.join_next().await {
            let (name, said) = attacker??;
            println!("{flood}: {name} said {said} things before it was dropped");
            names.push(name);
        }
        Ok(())
    };
    victim.endures(flood, flooding, 64 << 10, 20).await?;
    ensure!(
        victim.attackers().await? == 0,
        "attackers are still connected"
    );
    let log = victim.node.log();
    for name in names {
        let mut lines = log.lines();
        let named = lines.any(|line| line.contains("broke the rules") && line.contains(&name));
        ensure!(named, "{name} was not dropped for it");
    }
    Ok(())
}

/// Publishes until it is dropped; its name, and how often it did.
async fn publish(
    victim: String,
    topic: String,
    identity: u64,
    say: Saying,
) -> Result<(String, u64)> {
    let mut attacker = Attacker::new(&victim).await?;
    let topic = IdentTopic::new(topic);
    attacker.swarm.behaviour_mut().gossip.subscribe(&topic)?;
    ensure!(attacker.connect().await?, "an attacker was refused");
    attacker.work(Duration::from_millis(500)).await;
    let mut said = 0;
    let started = Instant::now();
    while attacker.is_connected() && started.elapsed() < PATIENCE {
        for _ in 0..50 {
            let gossip = &mut attacker.swarm.behaviour_mut().gossip;
            // Its own queue may be full.
            said += u64::from(
                gossip
                    .publish(topic.clone(), say(identity << 32 | said))
                    .is_ok(),
            );
        }
        attacker.work(Duration::from_millis(5)).await;
    }
    ensure!(
        !attacker.is_connected(),
        "still connected after {said} messages"
    );
    Ok((attacker.swarm.local_peer_id().to_string(), said))
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_thousand_subscriptions_cost_little_and_harm_nobody() -> Result<()> {
    let mut victim = Victim::start(LIMITS).await?;
    let address = victim.detour();
    let flooding = async {
        let mut attackers = JoinSet::new();
        for identity in 0..2_u8 {
            attackers.spawn(subscribe(address.clone(), identity));
        }
        while let Some(attacker) = attackers.join_next().await {
            attacker??;
        }
        Ok(())
    };
    victim
        .endures("40,000 subscriptions", flooding, 96 << 10, 20)
        .await?;
    Ok(())
}

async fn subscribe(victim: String, identity: u8) -> Result<()> {
    let mut attacker = Attacker::new(&victim).await?;
    for number in 0..20_000_u32 {
        let mut id = [identity; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let topic = IdentTopic::new(LogId(id).data_topic());
        (attacker.swarm.behaviour_mut().gossip.subscribe(&topic)).context("cannot subscribe")?;
    }
    ensure!(attacker.connect().await?, "an attacker was refused");
    attacker.work(Duration::from_secs(2)).await;
    ensure!(attacker.is_connected(), "20,000 topics are allowed");
    Ok(())
}
