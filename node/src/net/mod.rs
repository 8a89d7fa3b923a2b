//! The network: one libp2p swarm, its behaviours, and the peers that are kept
//! dialled. What a message means is decided by the engine.

pub(crate) mod behaviour;
pub(crate) mod dialer;
pub mod gossip;
pub mod limits;
pub(crate) mod swarm;
pub mod sync_streams;
