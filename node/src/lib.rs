//! A Headwater node: everything that touches the world. What a stream is, what
//! is true and who is asked next is decided in `headwater_protocols`.

pub mod handle;
pub mod net;
pub mod runtime;
pub mod store;
