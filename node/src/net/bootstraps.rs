//! Whether any of the configured bootstrap nodes answers. They are dialled by
//! the dialer, again and again; here it is noticed when that leads nowhere.

use std::collections::BTreeMap;

use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::addresses::peer_of;
use super::limits::{BOOTSTRAP_SILENCE_SAID_EVERY, REDIAL_BACKOFF};
use super::private_network::strangers::{HUNG_UP, why_no_channel};
use super::transport::NO_CHANNEL;
use crate::handle::{BootstrapStatus, Node};

/// The bootstrap nodes, and how it goes with them.
#[derive(Debug, Default)]
pub(super) struct Bootstraps {
    nodes: BTreeMap<PeerId, Bootstrap>,
    /// Whether this node is in a private network.
    guarded: bool,
    said: Option<Instant>,
}

#[derive(Debug, Default)]
struct Bootstrap {
    connected: bool,
    /// Dials that failed since it was connected.
    failures: u32,
    error: Cause,
}

/// Why a bootstrap node is not connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cause {
    what: String,
    /// It was there, and perhaps lacks our network key, or we its.
    key_in_doubt: bool,
}

impl Bootstraps {
    /// Those at these addresses. What lacks a peer id is not a bootstrap node.
    pub(super) fn new(addresses: &[Multiaddr], guarded: bool, node: &Node) -> Self {
        let peers = addresses.iter().filter_map(peer_of);
        let bootstraps = Self {
            nodes: peers.map(|peer| (peer, Bootstrap::default())).collect(),
            guarded,
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

    /// Notes that the last connection to a peer is closed; that it `hung_up`
    /// before it said who it is.
    pub(super) fn closed(&mut self, peer: &PeerId, hung_up: bool, node: &Node) {
        let Some(bootstrap) = self.nodes.get_mut(peer) else {
            return;
        };
        bootstrap.connected = false;
        if hung_up {
            bootstrap.failures = bootstrap.failures.saturating_add(1);
            bootstrap.error = Cause {
                what: HUNG_UP.to_owned(),
                key_in_doubt: true,
            };
        }
        node.set_bootstrap(self.status());
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
        bootstrap.error = cause(error, self.guarded);
        let status = self.status();
        if status.is_silent() && self.is_to_be_said(now) {
            tracing::warn!(
                bootstrap_nodes = status.known,
                last_error = status.last_error,
                "no bootstrap node answers; they are dialled again, at least every {} s. Check the \
                 addresses and this machine's network",
                REDIAL_BACKOFF.most().as_secs()
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
            last_error: last.map(|node| node.error.what.clone()),
            key_in_doubt: last.is_some_and(|node| node.error.key_in_doubt),
        }
    }
}

/// What libp2p says of an end without our network key (a handshake failed, a
/// varint is too long) helps nobody.
fn cause(error: &dyn std::error::Error, guarded: bool) -> Cause {
    let text = error.to_string();
    if text.contains(NO_CHANNEL) {
        return Cause {
            what: why_no_channel(guarded).to_owned(),
            key_in_doubt: true,
        };
    }
    Cause {
        what: brief(&text),
        key_in_doubt: text.contains("network key"),
    }
}

/// The innermost error says what the system said; the outer ones, of libp2p,
/// fill lines.
fn brief(text: &str) -> String {
    let last = text.rsplit(": ").next().unwrap_or(text);
    last.strip_suffix(")]").unwrap_or(last).to_owned()
}

/// A list of bootstrap nodes may be the same on all of an operator's machines;
/// none of them is to dial itself.
pub(super) fn without_self(mut addresses: Vec<Multiaddr>, local: PeerId) -> Vec<Multiaddr> {
    addresses.retain(|address| peer_of(address) != Some(local));
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_node_that_is_in_its_own_list_keeps_the_others() {
        let (local, other) = (PeerId::random(), PeerId::random());
        let list = [local, other].map(|peer| {
            let address = format!("/ip4/192.0.2.1/tcp/4600/p2p/{peer}");
            address.parse::<Multiaddr>().unwrap()
        });
        assert_eq!(without_self(list.to_vec(), local), list[1..]);
    }
}
