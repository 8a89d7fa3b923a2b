//! A Headwater node: everything that touches the world. What a stream is, what
//! is true and who is asked next is decided in `headwater_protocols`.

pub mod aliases;
pub mod api;
pub mod cli;
pub mod client;
pub mod config;
pub mod failure;
pub mod handle;
mod import;
pub mod instance;
pub mod keys;
pub mod mark;
pub mod net;
pub mod runtime;
mod spans;
pub mod store;
mod wording;
