//! What programs on the same machine can do to a node over its HTTP API, with and
//! without a token: an honest one beside them goes on, and the node is whole
//! soon after they end.

#![allow(
    clippy::print_stdout,
    reason = "the figures of a flood are what one wants to read"
)]

mod bodies;
mod half_requests;
mod history;
mod honest;
mod no_file_left;
mod pages_elsewhere;
mod stalled_live;
mod stalled_readers;
