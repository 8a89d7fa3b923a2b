//! What the rooms of the network want done. They are told what happens and what
//! is so, and decide; the loop, which alone has the swarm, does it and tells them
//! what came of it (`swarm/acting`).

use headwater_protocols::quorum::Question;
use libp2p::PeerId;

/// One thing to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Drop a peer that has broken the rules, and how.
    Ban(PeerId, String),
    /// Ask a peer for observations of an unsigned history; what comes of it bears
    /// this number.
    AskObservations {
        number: u64,
        peer: PeerId,
        question: Question,
    },
}
