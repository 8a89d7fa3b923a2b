//! Whether any of the configured bootstrap nodes answers. They are dialled by
//! the dialer, again and again; here it is noticed when that leads nowhere.

use std::collections::BTreeMap;

use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::addresses::peer_of;
use super::limits::{BOOTSTRAP_SILENCE_SAID_EVERY, MAX_REDIAL};
use crate::handle::{BootstrapStatus, Node};

/// The bootstrap nodes, and how it goes with them.
#[derive(Debug, Default)]
pub(super) struct Bootstraps {
    nodes: BTreeMap<PeerId, Bootstrap>,
    said: Option<Instant>,
}

#[derive(Debug, Default)]
struct Bootstrap {
    connected: bool,
    /// Dials that failed since it was connected.
    failures: u32,
    error: String,
}

impl Bootstraps {
    /// Those at these addresses. What lacks a peer id is not a bootstrap node.
    pub(super) fn new(addresses: &[Multiaddr], node: &Node) -> Self {
        let peers = addresses.iter().filter_map(peer_of);
        let bootstraps = Self {
            nodes: peers.map(|peer| (peer, Bootstrap::default())).collect(),
            said: None,
        };
        node.set_bootstrap(bootstraps.status());
        bootstraps
    }

    /// Notes that a peer is connected.
    pub(super) fn connected(&mut self, peer: &PeerId, node: &Node) {
        let Some(bootstrap) = self.nodes.get_mut(peer) else {
            return;
        };
        *bootstrap = Bootstrap {
            connected: true,
            ..Bootstrap::default()
        };
        if self.said.take().is_some() {
            tracing::info!(%peer, "a bootstrap node answers again");
        }
        node.set_bootstrap(self.status());
    }

    /// Notes that the last connection to a peer is closed.
    pub(super) fn closed(&mut self, peer: &PeerId, node: &Node) {
        if let Some(bootstrap) = self.nodes.get_mut(peer) {
            bootstrap.connected = false;
            node.set_bootstrap(self.status());
        }
    }

    /// Notes that a peer could not be dialled, and says so when no bootstrap
    /// node can.
    pub(super) fn dial_failed(
        &mut self,
        peer: &PeerId,
        error: &dyn std::error::Error,
        node: &Node,
        now: Instant,
    ) {
        let Some(bootstrap) = self.nodes.get_mut(peer) else {
            return;
        };
        bootstrap.failures = bootstrap.failures.saturating_add(1);
        bootstrap.error = brief(error);
        let status = self.status();
        if status.is_silent() && self.is_to_be_said(now) {
            tracing::warn!(
                bootstrap_nodes = status.known,
                last_error = status.last_error,
                "no bootstrap node answers; they are dialled again, at least every {} s. Check the \
                 addresses and this machine's network",
                MAX_REDIAL.as_secs()
            );
        }
        node.set_bootstrap(status);
    }

    fn is_to_be_said(&mut self, now: Instant) -> bool {
        let is_fresh =
            (self.said).is_some_and(|said| now.duration_since(said) < BOOTSTRAP_SILENCE_SAID_EVERY);
        if !is_fresh {
            self.said = Some(now);
        }
        !is_fresh
    }

    fn status(&self) -> BootstrapStatus {
        let nodes = self.nodes.values();
        let failed = |bootstrap: &&Bootstrap| !bootstrap.connected && bootstrap.failures > 0;
        let last = nodes
            .clone()
            .filter(failed)
            .max_by_key(|node| node.failures);
        BootstrapStatus {
            known: nodes.clone().count(),
            connected: nodes.clone().filter(|node| node.connected).count(),
            failing: nodes.clone().filter(failed).count(),
            last_error: last.map(|node| node.error.clone()),
        }
    }
}

/// The innermost error says what the system said; the outer ones, of libp2p,
/// fill lines.
fn brief(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let last = text.rsplit(": ").next().unwrap_or(&text);
    last.strip_suffix(")]").unwrap_or(last).to_owned()
}
