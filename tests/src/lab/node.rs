//! Nodes in the lab.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{Kind, Lab, Place, Transport};
use crate::TestNode;

/// How long it may take until a node that just started is ready for others:
/// it is tested for reachability, and has a place at a relay if it needs one.
const SETTLES: Duration = Duration::from_secs(30);

/// Pause between two looks at a node.
pub const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A node and what it is behind.
#[derive(Debug)]
pub struct LabNode {
    /// The node.
    pub node: TestNode,
    /// What it is behind.
    pub kind: Kind,
    /// Its peer id.
    pub id: String,
}

impl LabNode {
    /// A node at this place, with more arguments for `headwater run`.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(place: &Place, transport: Transport, args: &[&str]) -> Result<Self> {
        let listen = transport.listen(place.port);
        let (first, others) = listen.split_first().context("it listens nowhere")?;
        let others = others.iter().flat_map(|other| ["--listen", other]);
        let args: Vec<&str> = args.iter().copied().chain(others).collect();
        let node = TestNode::start_in(&place.namespace, first, &args).await?;
        let shown = node.get("/v1/node").await?;
        let id = shown["peer_id"].as_str().context("no id")?.to_owned();
        let kind = place.kind;
        Ok(Self { node, kind, id })
    }

    /// A public node that introduces the others and relays for them; its
    /// address.
    ///
    /// # Errors
    /// It does not start.
    pub async fn relay(lab: &Lab, transport: Transport) -> Result<(Self, String)> {
        Self::public(lab.first(), transport, "bootstrap,relay").await
    }

    /// A public node with these roles; its address.
    ///
    /// # Errors
    /// It does not start.
    pub async fn public(
        place: &Place,
        transport: Transport,
        roles: &str,
    ) -> Result<(Self, String)> {
        let external = transport.at(place);
        let mut args = vec!["--role", roles];
        args.extend(external.iter().flat_map(|it| ["--external", it]));
        let node = Self::start(place, transport, &args).await?;
        let first = external.first().context("it is reached nowhere")?;
        let address = format!("{first}/p2p/{}", node.id);
        Ok((node, address))
    }

    /// Whether others know how to reach it: at its public address, or through
    /// a relay.
    ///
    /// # Errors
    /// It does not run.
    pub async fn is_settled(&self) -> Result<bool> {
        let shown = self.node.get("/v1/node").await?;
        let addresses = shown["addresses"].as_array().context("no addresses")?;
        let has = |part: &str| addresses.iter().any(|a| a.to_string().contains(part));
        Ok(match self.kind {
            Kind::Public => true,
            Kind::FullCone => has("203.0.113.") && !has("p2p-circuit"),
            Kind::PortRestricted
            | Kind::Symmetric
            | Kind::Remap
            | Kind::Firewall
            | Kind::DualStack => has("p2p-circuit"),
        })
    }

    /// Waits for that.
    ///
    /// # Errors
    /// It takes too long.
    pub async fn settled(&self) -> Result<()> {
        let started = Instant::now();
        while !self.is_settled().await? {
            if started.elapsed() > SETTLES {
                let shown = self.node.get("/v1/node").await?;
                let log = self.node.log();
                bail!("a {} node does not settle: {shown}\n{log}", self.kind);
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Whether a direct connection to a peer is there; `None` when there is
    /// none at all.
    ///
    /// # Errors
    /// It does not run.
    pub async fn is_direct_to(&self, peer: &str) -> Result<Option<bool>> {
        let peers = self.node.get("/v1/peers").await?;
        let peers = peers.as_array().context("no list")?;
        let Some(found) = peers.iter().find(|found| found["peer_id"] == peer) else {
            return Ok(None);
        };
        let addresses = found["addresses"].as_array().context("no addresses")?;
        let is_direct = |address: &Value| !address.to_string().contains("p2p-circuit");
        Ok(Some(addresses.iter().any(is_direct)))
    }

    /// Records of a stream, once all that the node knows of are held, verified
    /// and fsynced; 0 before.
    pub async fn synced_size(&self, stream: &str) -> u64 {
        // It is not known before anybody has told of it.
        let Ok(shown) = self.node.get(&format!("/v1/streams/{stream}")).await else {
            return 0;
        };
        let size = shown["size"].as_u64().filter(|_| shown["synced"] == true);
        size.unwrap_or(0)
    }

    /// Waits until all of so many records are there.
    ///
    /// # Errors
    /// It takes longer than it may.
    pub async fn holds(&self, stream: &str, size: u64, until: Instant) -> Result<()> {
        loop {
            let held = self.synced_size(stream).await;
            if held >= size {
                return Ok(());
            }
            if Instant::now() > until {
                let (kind, id, log) = (self.kind, &self.id, self.node.log());
                bail!("{kind} node {id}: {held} of {size} records of {stream} are there\n{log}");
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}
