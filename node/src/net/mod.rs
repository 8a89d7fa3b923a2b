//! The network: one libp2p swarm, its behaviours, the peers that are kept
//! dialled, and those that are found by the id of a stream. What a message means
//! is decided by the engine.
//!
//! `swarm` alone has the swarm. The other rooms are told what happens, and say
//! what is to be done, as an `Action`.

mod access;
mod action;
pub(crate) mod addresses;
pub(crate) mod behaviour;
mod bootstraps;
mod codec;
pub(crate) mod connection_limits;
mod departures;
pub(crate) mod dialer;
pub(crate) mod discovery;
pub(crate) mod exchange;
mod familiar;
pub mod gossip;
mod gossip_noise;
mod gossip_offenders;
pub(crate) mod idle;
pub mod limits;
mod lines;
pub(crate) mod meetings;
mod narrow_paths;
pub(crate) mod nat;
mod newcomer_rates;
pub(crate) mod observations;
pub(crate) mod origin;
mod own_record;
pub(crate) mod peer_book;
mod peer_question;
pub(crate) mod peer_record;
mod private_network;
mod refusals;
pub(crate) mod rendezvous;
mod rivals;
pub(crate) mod swarm;
pub mod sync_streams;
mod transport;

/// For jitter and choices, which need to differ between nodes, not to be
/// secret; without the system's random bytes they do not.
fn random() -> u64 {
    getrandom::u64().unwrap_or(0)
}
