//! Nodes behind routers that meet without any relay: at a public node, which
//! tells each of the other at the same moment.

use anyhow::Result;
use headwater_tests::lab::{Kind, Lab, LabNode, Transport};
use tokio::time::Instant;

use super::{FAR_MS, HISTORY, Pair, report, watch};

async fn two_meet_at_a_public_node(transport: Transport, delay_ms: &str) -> Result<()> {
    // Each in a half of its own; the public node is with the publisher.
    let Some(lab) = Lab::with_two_of(&[Kind::PortRestricted])? else {
        return Ok(());
    };
    lab.run(&["delay", delay_ms])?;
    let (server, bootstrap) = LabNode::public(lab.first(), transport, "bootstrap").await?;
    let known = ["--bootstrap", &bootstrap];
    let [one, other] = lab.two(Kind::PortRestricted);
    let publisher = LabNode::start(one, transport, &known).await?;
    let stream = publisher.node.create("t")?;
    publisher.node.publish_numbers(&stream, 0, HISTORY)?;

    let subscriber = LabNode::start(other, transport, &known).await?;
    let up = Instant::now();
    subscriber.node.run(&["follow", &stream])?;
    let mut pairs = [Pair::new(&publisher, &subscriber, &stream, up)];
    watch(&mut pairs).await?;
    report(&pairs, transport, &server)
}

#[tokio::test]
async fn two_behind_routers_meet_without_any_relay_over_tcp() -> Result<()> {
    two_meet_at_a_public_node(Transport::Tcp, FAR_MS).await
}

#[tokio::test]
async fn two_behind_routers_meet_without_any_relay_over_quic() -> Result<()> {
    two_meet_at_a_public_node(Transport::Quic, FAR_MS).await
}

#[tokio::test]
async fn two_behind_routers_next_door_meet_without_any_relay_over_tcp() -> Result<()> {
    two_meet_at_a_public_node(Transport::Tcp, "off").await
}

#[tokio::test]
async fn two_behind_routers_next_door_meet_without_any_relay_over_quic() -> Result<()> {
    two_meet_at_a_public_node(Transport::Quic, "off").await
}
