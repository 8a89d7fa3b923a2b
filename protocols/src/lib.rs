//! The pure core of Headwater: signed Merkle logs, admission, sync.
//!
//! No sockets, no clock, no randomness of its own, no disk. Input, the time and
//! bytes come in; outputs go out; the same inputs give the same outputs, byte
//! for byte. ARCHITECTURE.md tells which file stands on which floor; a file
//! uses only what stands below it.

// Floor 0
pub mod backoff;
pub mod id;
pub mod limits;
pub mod time;
// Floor 1
pub mod bucket;
pub mod identity;
pub mod number;
pub mod row;
pub mod sealed;
pub mod wire;
// Floor 2
pub mod head;
pub mod kind;
pub mod manifest;
pub mod merkle;
pub mod record;
pub mod recovery;
// Floor 3
pub mod log;
pub mod ranges;
// Floor 4
pub mod store;
// Floor 5
pub mod meta;
pub mod peers;
pub mod quorum;
pub mod rendezvous;
pub mod sync;
// Floor 6
pub mod engine;
// Floor 7
#[cfg(feature = "sim")]
pub mod sim;
