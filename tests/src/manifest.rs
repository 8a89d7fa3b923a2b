//! What the streams of tests are.

use headwater_protocols::identity::PublicKey;
use headwater_protocols::limits::DEFAULT_CHUNK_LEVEL;
use headwater_protocols::manifest::{Manifest, NONCE_BYTES};

/// A public stream of numbers with this name, of which nothing else is said.
#[must_use]
pub fn numbers_manifest(publisher: PublicKey, name: &str) -> Manifest {
    Manifest {
        chunk_level: DEFAULT_CHUNK_LEVEL,
        ..Manifest::new(publisher, name, [7; NONCE_BYTES])
    }
}
