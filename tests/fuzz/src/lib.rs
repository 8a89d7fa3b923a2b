//! What reads hostile bytes, held against bytes of any kind. Each function that
//! is public here is a fuzz target; it panics where a promise is broken, not only
//! where a reader panics: what was read and written again must be the same, what
//! was verified must be true, and a reader allocates no more than a multiple of
//! its input.
//!
//! `scripts/fuzz` runs them; `corpus/` has an input for each way that was found
//! through the readers.
//!
//! The readers of CSV stand in `node`, which cannot be had without RocksDB. They
//! need nothing of the world, so their files are compiled here once more, as they
//! are; an import of something else does not compile.

// As in `node`: these files name each other by these paths. Not all of them is
// used here.
#[cfg(feature = "node")]
#[allow(dead_code)]
mod import;
#[cfg(feature = "node")]
#[allow(dead_code)]
#[path = "../../../node/src/wording.rs"]
mod wording;

mod boxes;
mod chunks;
#[cfg(feature = "node")]
mod clock;
mod fields;
mod hostile;
mod manifests;
mod memory;
mod messages;
mod owner;
mod peer;
#[cfg(feature = "node")]
mod proofs;
mod ranges;
#[cfg(feature = "node")]
mod tables;
mod texts;
mod trees;
mod world;

pub use boxes::boxes;
pub use chunks::chunks;
#[cfg(feature = "node")]
pub use clock::times;
pub use manifests::manifests;
pub use messages::messages;
pub use owner::hostile_owner;
pub use peer::hostile_peer;
#[cfg(feature = "node")]
pub use proofs::proofs;
pub use ranges::ranges;
#[cfg(feature = "node")]
pub use tables::tables;
pub use texts::texts;
pub use trees::trees;
