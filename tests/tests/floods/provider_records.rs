//! Provider records by the thousand, with addresses that lead nowhere.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use headwater_protocols::id::LogId;
use headwater_tests::TestNode;
use libp2p::kad::{Event, QueryResult, RecordKey};
use libp2p::swarm::SwarmEvent;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::attacker::{Attacker, BehaviourEvent};
use super::victim::Victim;

const IDENTITIES: u64 = 60;
const KEYS: u64 = 40;

/// More connections of one address than there should be, so that the flood
/// gets as far as the records.
const LIMITS: &str = "max_connections = 256\nmax_connections_per_ip = 128";

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_provider_is_found_behind_sixty_false_ones_of_one_address() -> Result<()> {
    let mut victim = Victim::start(LIMITS).await?;
    let address = victim.address()?;
    // Found at the victim by its id alone; an attacker says of itself the same.
    let publisher = TestNode::start(&["--bootstrap", &address]).await?;
    let stream = publisher.create("sought")?;
    publisher.publish_numbers(&stream, 0, 10)?;
    let first = TestNode::start(&["--bootstrap", &address]).await?;
    first.run(&["follow", &stream])?;
    first.until_synced(&stream, 10).await?;
    drop(first);
    // And the victim itself seeks a stream that only attackers claim to have.
    let claimed = LogId([9; 32]);
    victim.node.run(&["follow", &claimed.to_string()])?;

    let sought: LogId = stream.parse()?;
    let own = address
        .split("/p2p/")
        .next()
        .context("no address")?
        .to_owned();
    let (detour, mut attackers) = (victim.detour(), JoinSet::new());
    let flood = async {
        for identity in 0..IDENTITIES {
            let claim = claim(detour.clone(), own.clone(), identity, vec![sought, claimed]);
            attackers.spawn(claim);
        }
        let mut answered = 0;
        while let Some(attacker) = attackers.join_next().await {
            answered += attacker??;
        }
        println!("provider records: {answered} announced");
        ensure!(
            answered > IDENTITIES * KEYS / 2,
            "only {answered} announced"
        );
        Ok(())
    };
    victim
        .endures("provider records", flood, 64 << 10, 200)
        .await?;

    let started = Instant::now();
    let joiner = TestNode::start(&["--bootstrap", &address]).await?;
    joiner.run(&["follow", &stream])?;
    joiner.until_synced(&stream, 10).await?;
    println!(
        "provider records: the stream was found after {:?}",
        started.elapsed()
    );
    ensure!(started.elapsed() < Duration::from_secs(30));
    let shown = victim.node.show(&claimed.to_string())?;
    ensure!(
        shown["sources"]
            .as_array()
            .context("no sources")?
            .is_empty()
    );
    Ok(())
}

/// Claims to provide streams, and many more, at addresses where nobody is, at
/// which the victim itself is, or somebody in a private network.
async fn claim(victim: String, own: String, identity: u64, streams: Vec<LogId>) -> Result<u64> {
    let mut attacker = Attacker::new(&victim).await?;
    for address in ["/ip4/127.0.0.2/tcp/9", "/ip4/127.0.0.2/udp/9/quic-v1", &own] {
        attacker.swarm.add_external_address(address.parse()?);
    }
    // A list that is far longer than anybody needs.
    for port in 1..60 {
        let address = format!("/ip4/127.0.0.2/tcp/{port}");
        attacker.swarm.add_external_address(address.parse()?);
    }
    attacker.connect_patiently().await?;
    let others = (0..KEYS).map(|number| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&identity.to_be_bytes());
        id[8..16].copy_from_slice(&number.to_be_bytes());
        LogId(id)
    });
    let kad = &mut attacker.swarm.behaviour_mut().kad;
    for log in streams.into_iter().chain(others) {
        kad.start_providing(RecordKey::from(log.cid().hash().to_bytes()))?;
    }
    let mut announced = 0;
    let until = Instant::now() + Duration::from_secs(4);
    while let Ok(event) = timeout_at(until, attacker.swarm.select_next_some()).await {
        if let SwarmEvent::Behaviour(BehaviourEvent::Kad(Event::OutboundQueryProgressed {
            result: QueryResult::StartProviding(Ok(_)),
            ..
        })) = event
        {
            announced += 1;
        }
    }
    Ok(announced)
}
