//! Connections that go dead without a word: an address that leaves its machine, a
//! machine that goes to another network, a router that forgets. What was
//! connected before never comes back to life, and data goes on all the same.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::lab::{Kind, LOOK_AGAIN, Lab, LabNode, Transport};
use tokio::time::{Instant, sleep};

use super::HISTORY;

/// What was said for this test to happen: live records and history go on.
const GOES_ON: Duration = Duration::from_secs(30);

/// Records that are published at once after the change: more than live ones.
const MORE: u64 = 20_000;

/// What goes dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// The publisher gets another address.
    PublisherMoves,
    /// The subscriber goes to another network.
    SubscriberRoams,
    /// The router of the subscriber forgets its connections.
    RouterForgets,
}

/// A publisher and a subscriber that are connected and have all.
struct Two {
    lab: Lab,
    _introducer: Option<LabNode>,
    publisher: LabNode,
    subscriber: LabNode,
    stream: String,
}

impl Two {
    /// A public publisher, and a subscriber behind a router; both know a node
    /// that introduces them.
    async fn introduced(transport: Transport) -> Result<Option<Self>> {
        let Some(lab) = Lab::up(&[Kind::Public, Kind::PortRestricted])? else {
            return Ok(None);
        };
        let (introducer, bootstrap) = LabNode::relay(&lab, transport).await?;
        let known = ["--bootstrap", &bootstrap];
        let publisher = LabNode::start(lab.place(2), transport, &known).await?;
        let subscriber = LabNode::start(lab.place(3), transport, &known).await?;
        Self::begin(lab, Some(introducer), publisher, subscriber).await
    }

    /// Two public nodes that know nobody but each other.
    async fn alone(transport: Transport) -> Result<Option<Self>> {
        let Some(lab) = Lab::up(&[Kind::Public, Kind::Public])? else {
            return Ok(None);
        };
        let publisher = LabNode::start(lab.place(2), transport, &[]).await?;
        let subscriber = LabNode::start(lab.place(3), transport, &[]).await?;
        Self::begin(lab, None, publisher, subscriber).await
    }

    async fn begin(
        lab: Lab,
        introducer: Option<LabNode>,
        publisher: LabNode,
        subscriber: LabNode,
    ) -> Result<Option<Self>> {
        let stream = publisher.node.create("t")?;
        publisher.node.publish_numbers(&stream, 0, HISTORY)?;
        subscriber
            .node
            .run(&["follow", &publisher.node.invite(&stream)?])?;
        subscriber
            .holds(&stream, HISTORY, Instant::now() + GOES_ON)
            .await?;
        let until = Instant::now() + GOES_ON;
        while subscriber.is_direct_to(&publisher.id).await? != Some(true) {
            ensure!(Instant::now() < until, "not connected directly");
            sleep(LOOK_AGAIN).await;
        }
        Ok(Some(Self {
            lab,
            _introducer: introducer,
            publisher,
            subscriber,
            stream,
        }))
    }

    fn change(&self, change: Change) -> Result<()> {
        match change {
            Change::PublisherMoves => self.lab.run(&["move", "2"]),
            Change::SubscriberRoams => self.lab.run(&["roam", "3", "port-restricted"]),
            Change::RouterForgets => self.lab.run(&["forget", "3"]),
        }
    }

    /// The change happens, and what is published from then on arrives.
    async fn goes_on_after(self, change: Change) -> Result<()> {
        // What the lab is like by itself has settled.
        sleep(Duration::from_secs(3)).await;
        let from = &self.publisher.node;
        self.change(change)?;
        let changed = Instant::now();
        from.publish_numbers(&self.stream, HISTORY, MORE)?;
        let all = HISTORY + MORE;
        self.subscriber
            .holds(&self.stream, all, changed + GOES_ON)
            .await?;
        let history = changed.elapsed();
        from.append(&self.stream, format!("{{\"value\":{all}}}"))
            .await?;
        self.subscriber
            .holds(&self.stream, all + 1, changed + GOES_ON)
            .await?;
        let live = changed.elapsed();
        self.tells_the_truth(change, changed + GOES_ON).await?;
        #[allow(clippy::print_stderr, reason = "the figures of the change")]
        {
            let truth = changed.elapsed();
            eprintln!("{change:?}: history {history:?}, live {live:?}, truth {truth:?}");
        }
        Ok(())
    }

    /// No old address is shown any more, by the node that had it or its peer.
    async fn tells_the_truth(&self, change: Change, until: Instant) -> Result<()> {
        let (old, new, moved, other) = match change {
            Change::PublisherMoves => {
                let new = "198.51.100.102";
                ("198.51.100.2/", new, &self.publisher, &self.subscriber)
            }
            Change::SubscriberRoams => (
                "203.0.113.2/",
                "203.0.113.103",
                &self.subscriber,
                &self.publisher,
            ),
            Change::RouterForgets => return Ok(()),
        };
        loop {
            let peers = other.node.get("/v1/peers").await?;
            let peers = peers.as_array().context("no list")?;
            let found = peers.iter().find(|peer| peer["peer_id"] == moved.id);
            let at = found.map_or_else(String::new, |peer| peer["addresses"].to_string());
            let own = moved.node.get("/v1/node").await?["addresses"].to_string();
            let invite = moved.node.invite(&self.stream)?;
            let lan = own.contains("/10.0.2.");
            if at.contains(new) && ![&at, &own, &invite].iter().any(|it| it.contains(old)) && !lan {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "peers: {at}\nnode: {own}\ninvite: {invite}"
            );
            sleep(LOOK_AGAIN).await;
        }
    }
}

async fn introduced(change: Change, transport: Transport) -> Result<()> {
    match Two::introduced(transport).await? {
        Some(two) => two.goes_on_after(change).await,
        None => Ok(()),
    }
}

#[tokio::test]
async fn a_publisher_that_gets_another_address_is_followed_there_over_tcp() -> Result<()> {
    introduced(Change::PublisherMoves, Transport::Tcp).await
}

#[tokio::test]
async fn a_publisher_that_gets_another_address_is_followed_there_over_quic() -> Result<()> {
    introduced(Change::PublisherMoves, Transport::Quic).await
}

#[tokio::test]
async fn a_subscriber_that_goes_to_another_network_goes_on_there_over_tcp() -> Result<()> {
    introduced(Change::SubscriberRoams, Transport::Tcp).await
}

#[tokio::test]
async fn a_subscriber_that_goes_to_another_network_goes_on_there_over_quic() -> Result<()> {
    introduced(Change::SubscriberRoams, Transport::Quic).await
}

#[tokio::test]
async fn a_router_that_forgets_its_connections_holds_nobody_up_over_tcp() -> Result<()> {
    introduced(Change::RouterForgets, Transport::Tcp).await
}

#[tokio::test]
async fn a_router_that_forgets_its_connections_holds_nobody_up_over_all() -> Result<()> {
    introduced(Change::RouterForgets, Transport::All).await
}

#[tokio::test]
async fn two_that_know_nobody_else_find_each_other_at_a_new_address() -> Result<()> {
    match Two::alone(Transport::Tcp).await? {
        Some(two) => two.goes_on_after(Change::PublisherMoves).await,
        None => Ok(()),
    }
}

/// Whether others reach a node directly, and whether it tells them so: its
/// addresses have `here` in them, and not `away`.
async fn is_reached(node: &LabNode, here: &str, away: &str) -> Result<bool> {
    let shown = node.node.get("/v1/node").await?;
    let addresses = shown["addresses"].to_string();
    let is_public = shown["nat"]["reachability"] == "public";
    Ok(is_public && addresses.contains(here) && !addresses.contains(away))
}

async fn until_reached(node: &LabNode, here: &str, away: &str) -> Result<()> {
    let until = Instant::now() + GOES_ON;
    while !is_reached(node, here, away).await? {
        ensure!(Instant::now() < until, "not reached at {here}");
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// A node of this kind and the one that introduces it and finds out how it is
/// reached.
async fn tested(kind: Kind) -> Result<Option<(Lab, LabNode, LabNode)>> {
    let Some(lab) = Lab::up(&[kind])? else {
        return Ok(None);
    };
    let (introducer, bootstrap) = LabNode::relay(&lab, Transport::Tcp).await?;
    let known = ["--bootstrap", &bootstrap];
    let node = LabNode::start(lab.place(2), Transport::Tcp, &known).await?;
    Ok(Some((lab, introducer, node)))
}

#[tokio::test]
async fn an_address_of_this_machine_that_comes_back_is_told_to_others_again() -> Result<()> {
    let Some((lab, _introducer, node)) = tested(Kind::Public).await? else {
        return Ok(());
    };
    let (first, second) = ("198.51.100.2/", "198.51.100.102/");
    until_reached(&node, first, second).await?;
    lab.run(&["move", "2"])?;
    until_reached(&node, second, first).await?;
    lab.run(&["return", "2"])?;
    until_reached(&node, first, second).await
}

#[tokio::test]
async fn a_router_passes_on_again_what_it_did_when_the_address_behind_it_is_back() -> Result<()> {
    let Some((lab, introducer, node)) = tested(Kind::FullCone).await? else {
        return Ok(());
    };
    let (outside, circuit) = ("203.0.113.1/", "p2p-circuit");
    until_reached(&node, outside, circuit).await?;
    lab.run(&["move", "2"])?;
    let until = Instant::now() + GOES_ON;
    loop {
        let shown = node.node.get("/v1/node").await?;
        if shown["addresses"].to_string().contains(circuit) {
            break;
        }
        ensure!(Instant::now() < until, "no place at a relay: {shown}");
        sleep(LOOK_AGAIN).await;
    }
    // Peers see it at the address of before, which leads to where it was.
    sleep(Duration::from_secs(6)).await;
    ensure!(!is_reached(&node, outside, "nothing").await?, "not reached");
    ensure!(node.is_direct_to(&introducer.id).await? == Some(true));
    lab.run(&["return", "2"])?;
    until_reached(&node, outside, circuit).await
}
