//! Floods against one node: from one address that is not exempt from its
//! limits, while an honest pair goes on. Attackers are on 127.0.0.2, the honest
//! ones on 127.0.0.1.

#![allow(
    clippy::print_stdout,
    reason = "the figures of a flood are what one wants to read"
)]

mod access;
mod attacker;
mod bootstraps;
mod connections;
mod gossip;
mod hoarders;
mod joins_and_offers;
mod peer_records;
mod provider_records;
mod victim;
