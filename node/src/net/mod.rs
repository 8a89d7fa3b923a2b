//! The network: one libp2p swarm, its behaviours, the peers that are kept
//! dialled, and those that are found by the id of a stream. What a message means is decided by the engine.

pub(crate) mod behaviour;
pub(crate) mod dialer;
pub(crate) mod discovery;
pub mod gossip;
pub mod limits;
pub(crate) mod nat;
mod private_network;
pub(crate) mod swarm;
pub mod sync_streams;
mod transport;
