//! The secrets that a node may have beside its key and its token: the tokens of
//! programs, the key of its private network, and the recovery key that is kept
//! elsewhere.

mod limits;
mod named_tokens;
mod network_key;
pub mod recovery;

pub use named_tokens::{NamedToken, NamedTokens, Rights};
pub use network_key::NetworkKey;
