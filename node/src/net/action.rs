//! What the rooms of the network want done. They are told what happens and what
//! is so, and decide; the loop, which alone has the swarm, does it and tells them
//! what came of it (`swarm/acting`).

use std::num::NonZeroU8;

use headwater_protocols::id::LogId;
use headwater_protocols::quorum::Question;
use headwater_protocols::wire::v1;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};

use super::peer_question::Request;

/// One thing to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Drop a peer that has broken the rules, and how.
    Ban(PeerId, String),
    /// Dial a peer.
    Dial(Dial),
    /// Close all connections to a peer.
    Disconnect(PeerId),
    /// Close a connection.
    Close(ConnectionId),
    /// Ask a relay for a place, by listening at this address of it.
    AskRelay { relay: PeerId, circuit: Multiaddr },
    /// Close a listener.
    StopListening(ListenerId),
    /// Tell others that we are reached at an address.
    AddAddress(Multiaddr),
    /// Tell them so no more.
    RemoveAddress(Multiaddr),
    /// Have it found out whether others reach us at an address.
    TestAddress(Multiaddr),
    /// Register at a rendezvous server, which may be at these addresses, to meet
    /// a peer.
    Register {
        peer: PeerId,
        server: PeerId,
        addresses: Vec<Multiaddr>,
        registration: v1::Registration,
    },
    /// Ask a peer for others.
    AskPeers { peer: PeerId, request: Request },
    /// Make a query of Kademlia.
    Query(Query),
    /// Say no more that we have a stream.
    StopProviding(LogId),
    /// Ask a peer for observations of an unsigned history; what comes of it bears
    /// this number.
    AskObservations {
        number: u64,
        peer: PeerId,
        question: Question,
    },
}

/// A query of Kademlia about a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Query {
    /// Who has it?
    Lookup(LogId),
    /// We have it.
    Announce(LogId),
}

/// A dial of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) peer: PeerId,
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) unless: Unless,
    /// From a port of its own, not from the one that we listen on.
    pub(super) from_new_port: bool,
    /// The part of the listener is taken, because the other one dials as well.
    pub(super) as_listener: bool,
    /// Addresses that are tried at a time, if not as many as usual.
    pub(super) at_once: Option<NonZeroU8>,
}

/// When a dial is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unless {
    Never,
    Connected,
    ConnectedOrDialled,
}

impl Dial {
    /// A dial at these addresses, unless the peer is connected or dialled.
    pub(super) fn new(peer: PeerId, addresses: Vec<Multiaddr>) -> Self {
        Self {
            peer,
            addresses,
            unless: Unless::ConnectedOrDialled,
            from_new_port: false,
            as_listener: false,
            at_once: None,
        }
    }

    /// It as libp2p takes it.
    pub(super) fn options(self) -> DialOpts {
        let condition = match self.unless {
            Unless::Never => PeerCondition::Always,
            Unless::Connected => PeerCondition::Disconnected,
            Unless::ConnectedOrDialled => PeerCondition::DisconnectedAndNotDialing,
        };
        let mut options = DialOpts::peer_id(self.peer).condition(condition);
        if let Some(factor) = self.at_once {
            options = options.override_dial_concurrency_factor(factor);
        }
        let mut options = options.addresses(self.addresses);
        if self.from_new_port {
            options = options.allocate_new_port();
        }
        if self.as_listener {
            options = options.override_role();
        }
        options.build()
    }
}
