//! The key of a stream in Kademlia.

use headwater_protocols::id::LogId;
use libp2p::kad::RecordKey;

/// How a multihash of 32 bytes of SHA-256 begins.
const SHA2_256_32: [u8; 2] = [0x12, 32];

/// The key of a stream: the multihash of its id, as every libp2p
/// implementation derives it from a CID.
pub(in crate::net) fn key(log: LogId) -> RecordKey {
    RecordKey::from(log.cid().hash().to_bytes())
}

/// The stream of a key; `None` when it is the key of something else.
pub(super) fn log_of(key: &RecordKey) -> Option<LogId> {
    LogId::from_slice(key.as_ref().strip_prefix(&SHA2_256_32)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_stream_is_the_multihash_of_its_id() {
        let log = LogId::of_manifest(b"x");
        let bytes = key(log).to_vec();
        assert_eq!(bytes.len(), 34);
        assert_eq!(bytes[2..], log.0);
        assert_eq!(log_of(&key(log)), Some(log));
        assert_eq!(log_of(&RecordKey::new(&log.0)), None);
    }
}
