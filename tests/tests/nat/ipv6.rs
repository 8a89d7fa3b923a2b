//! IPv6: everybody has an address of their own, and routers let in what answers
//! only. Both ends have to begin at once there, too.

use anyhow::{Result, ensure};
use headwater_tests::lab::{Kind, Lab, LabNode, Transport};
use tokio::time::Instant;

use super::{FAR_MS, HISTORY, Pair, each_reaches_each, report, watch};

const KINDS: [Kind; 2] = [Kind::Public, Kind::DualStack];

#[tokio::test]
async fn addresses_that_lead_nowhere_from_elsewhere_are_shown_to_nobody() -> Result<()> {
    let Some(lab) = Lab::up(&[Kind::DualStack])? else {
        return Ok(());
    };
    let node = LabNode::start(lab.place(2), Transport::All, &[])
        .await?
        .node;
    let stream = node.create("t")?;
    node.until_log(|log| log.contains("listening address=/ip6/fe80:"))
        .await?;
    let addresses = std::fs::read_to_string(node.dir().join("node.addrs"))?;
    let shown = [
        addresses.clone(),
        node.invite(&stream)?,
        node.run(&["status"])?,
        node.get("/v1/node").await?.to_string(),
    ];
    ensure!(addresses.contains("/ip6/"), "{addresses}");
    ensure!(!shown.iter().any(|text| text.contains("fe80")), "{shown:?}");
    Ok(())
}

#[tokio::test]
async fn two_behind_ipv6_firewalls_are_connected_directly_over_tcp() -> Result<()> {
    each_reaches_each(&KINDS, Transport::Tcp6, FAR_MS).await
}

#[tokio::test]
async fn two_behind_ipv6_firewalls_are_connected_directly_over_quic() -> Result<()> {
    each_reaches_each(&KINDS, Transport::Quic6, FAR_MS).await
}

#[tokio::test]
async fn two_behind_ipv6_firewalls_next_door_are_connected_directly_over_tcp() -> Result<()> {
    each_reaches_each(&KINDS, Transport::Tcp6, "off").await
}

#[tokio::test]
async fn two_behind_ipv6_firewalls_next_door_are_connected_directly_over_quic() -> Result<()> {
    each_reaches_each(&KINDS, Transport::Quic6, "off").await
}

/// Their routers are symmetric over IPv4, and all they know is an address of
/// IPv4: of the relay, and through it.
async fn who_knows_a_relay_over_ipv4_is_reached_over_ipv6(delay_ms: &str) -> Result<()> {
    let transport = Transport::All;
    let Some(lab) = Lab::with_two_of(&[Kind::DualStack])? else {
        return Ok(());
    };
    lab.run(&["delay", delay_ms])?;
    let (relay, bootstrap) = LabNode::relay(&lab, transport).await?;
    let known = ["--bootstrap", &bootstrap];
    let [one, other] = lab.two(Kind::DualStack);
    let publisher = LabNode::start(one, transport, &known).await?;
    let stream = publisher.node.create("t")?;
    publisher.node.publish_numbers(&stream, 0, HISTORY)?;
    publisher.settled().await?;
    let circuit = format!("{bootstrap}/p2p-circuit/p2p/{}", publisher.id);

    let subscriber = LabNode::start(other, transport, &known).await?;
    let up = Instant::now();
    let invite = format!("headwater:{stream}?peer={circuit}");
    subscriber.node.run(&["follow", &invite])?;
    let mut pairs = [Pair::new(&publisher, &subscriber, &stream, up)];
    watch(&mut pairs).await?;
    report(&pairs, transport, &relay)
}

#[tokio::test]
async fn two_that_can_meet_over_ipv6_only_do_so_although_they_know_a_relay_over_ipv4() -> Result<()>
{
    who_knows_a_relay_over_ipv4_is_reached_over_ipv6(FAR_MS).await
}

#[tokio::test]
async fn two_next_door_that_can_meet_over_ipv6_only_do_so_although_they_know_a_relay_over_ipv4()
-> Result<()> {
    who_knows_a_relay_over_ipv4_is_reached_over_ipv6("off").await
}
