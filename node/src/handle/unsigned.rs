//! Histories that nobody signed, as far as a running node goes: who is at work
//! on which, and the way to the peers that are asked.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use headwater_protocols::quorum::{HistoryId, Question, Reply};
use libp2p::PeerId;
use tokio::sync::mpsc;

use super::{Node, lock};

/// A question for peers on its way to the network.
#[derive(Debug)]
pub(crate) struct ObservationsAsked {
    /// Comes back with every reply.
    pub(crate) round: u64,
    pub(crate) peers: Vec<PeerId>,
    pub(crate) question: Question,
    /// Has room for all replies that may be under way.
    pub(crate) replies: mpsc::Sender<PeerReply>,
}

/// What came of one of them.
#[derive(Debug)]
pub(crate) struct PeerReply {
    pub(crate) round: u64,
    pub(crate) peer: PeerId,
    pub(crate) reply: Reply,
}

/// What a node knows of its work on such histories.
#[derive(Debug, Default)]
pub(super) struct Unsigned {
    network: OnceLock<mpsc::Sender<ObservationsAsked>>,
    in_use: Arc<Mutex<InUse>>,
}

#[derive(Debug, Default)]
struct InUse {
    histories: BTreeSet<HistoryId>,
    /// Peers are being asked for one of them: they answer so many questions of a
    /// node and no more.
    asks: bool,
}

/// Keeps others from a history, until it is dropped.
#[derive(Debug)]
pub(crate) struct HistoryClaim {
    in_use: Arc<Mutex<InUse>>,
    history: HistoryId,
    asks: bool,
}

impl Drop for HistoryClaim {
    fn drop(&mut self) {
        let mut in_use = lock(&self.in_use);
        in_use.histories.remove(&self.history);
        in_use.asks &= !self.asks;
    }
}

impl Node {
    /// Sets about changing a history; with `asks`, by asking peers. `None` while
    /// it is being changed, or peers are being asked for another one.
    pub(crate) fn claim_history(&self, history: HistoryId, asks: bool) -> Option<HistoryClaim> {
        let shared = &self.shared.unsigned.in_use;
        let mut in_use = lock(shared);
        if in_use.asks && asks || !in_use.histories.insert(history) {
            return None;
        }
        in_use.asks |= asks;
        Some(HistoryClaim {
            in_use: shared.clone(),
            history,
            asks,
        })
    }

    /// Sends a question on its way; `false` without a network, or when the node
    /// is stopping.
    pub(crate) async fn ask_observations(&self, asked: ObservationsAsked) -> bool {
        match self.shared.unsigned.network.get() {
            Some(network) => network.send(asked).await.is_ok(),
            None => false,
        }
    }

    /// Whether there are peers that could be asked.
    pub(crate) fn has_network(&self) -> bool {
        self.shared.unsigned.network.get().is_some()
    }

    /// Where questions go: the network, when it starts.
    pub(crate) fn set_observations(&self, network: mpsc::Sender<ObservationsAsked>) {
        // A node has one network.
        let _ = self.shared.unsigned.network.set(network);
    }
}
