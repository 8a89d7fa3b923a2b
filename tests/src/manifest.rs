//! What the streams of tests are.

use headwater_protocols::identity::PublicKey;
use headwater_protocols::limits::DEFAULT_CHUNK_LEVEL;
use headwater_protocols::manifest::{Manifest, ValueType, Visibility};
use headwater_protocols::time::Timestamp;

/// A public stream of numbers with this name, of which nothing else is said.
#[must_use]
pub fn numbers_manifest(publisher: PublicKey, name: &str) -> Manifest {
    Manifest {
        publisher,
        name: name.to_owned(),
        description: String::new(),
        source: String::new(),
        target: None,
        unit: String::new(),
        value_type: ValueType::Number,
        cadence_us: 0,
        chunk_level: DEFAULT_CHUNK_LEVEL,
        prior: None,
        visibility: Visibility::Public,
        retain_us: 0,
        retain_records: 0,
        created: Timestamp(0),
    }
}
