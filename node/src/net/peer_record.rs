//! What a peer says of itself under its signature: its addresses, and how new
//! they are. Whoever passes it on cannot change it.

use bytes::Bytes;
use headwater_protocols::limits::MAX_PEER_RECORD_BYTES;
use libp2p::core::signed_envelope::DecodingError;
use libp2p::core::{PeerRecord, SignedEnvelope};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};

use crate::handle::impossible_time;

/// A peer record whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedRecord {
    /// Who signed it.
    pub(crate) peer: PeerId,
    /// Of two records of one peer the one with the greater number is newer.
    /// libp2p takes the second at which it was signed.
    pub(crate) seq: u64,
    /// Where the peer says that it is.
    pub(crate) addresses: Vec<Multiaddr>,
    /// The envelope, as it is passed on.
    pub(crate) bytes: Bytes,
}

/// Bytes that are no record of use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// Of a kind that this version does not know; nobody is to blame.
    #[error("a peer record of a kind that is not known here: {0}")]
    Foreign(String),
    /// Nobody who had checked it would have passed it on.
    #[error("a false peer record: {0}")]
    False(String),
}

impl SignedRecord {
    /// Checks a record that somebody passed on.
    ///
    /// # Errors
    /// It is not signed by the peer that it is about, or cannot be read.
    pub(crate) fn verify(bytes: Bytes) -> Result<Self, RecordError> {
        if bytes.len() > MAX_PEER_RECORD_BYTES {
            return Err(RecordError::False(format!("{} bytes long", bytes.len())));
        }
        let envelope = SignedEnvelope::from_protobuf_encoding(&bytes);
        let envelope = envelope.map_err(|error| match error {
            // A kind of key that is not compiled in.
            DecodingError::InvalidPublicKey(error) => RecordError::Foreign(error.to_string()),
            error => RecordError::False(error.to_string()),
        })?;
        let record = record_of(envelope)?;
        Ok(Self {
            peer: record.peer_id(),
            seq: record.seq(),
            addresses: record.addresses().to_vec(),
            bytes,
        })
    }

    /// Signs our own, in the form that go-libp2p and js-libp2p read as well.
    /// There is none while the clock cannot be right: what is signed then would
    /// count for less than what peers have, or, before 1970, has no number at all.
    pub(crate) fn sign(keypair: &Keypair, addresses: Vec<Multiaddr>) -> Option<Self> {
        if impossible_time().is_some() {
            return None;
        }
        let record = PeerRecord::new_interop(keypair, addresses).ok()?;
        let bytes = Bytes::from(record.to_signed_envelope().into_protobuf_encoding());
        (bytes.len() <= MAX_PEER_RECORD_BYTES).then(|| Self {
            peer: record.peer_id(),
            seq: record.seq(),
            addresses: record.addresses().to_vec(),
            bytes,
        })
    }
}

/// Reads either form: the one of the specification, and that which identify of
/// rust-libp2p sends.
fn record_of(envelope: SignedEnvelope) -> Result<PeerRecord, RecordError> {
    use libp2p::core::peer_record::FromEnvelopeError;
    let of_rust = PeerRecord::from_signed_envelope(envelope.clone());
    let record = match of_rust {
        Err(FromEnvelopeError::BadPayload(_)) => PeerRecord::from_signed_envelope_interop(envelope),
        record => record,
    };
    record.map_err(|error| match error {
        // Signed well, with a protocol in it that this version does not know.
        FromEnvelopeError::InvalidMultiaddr(error) => RecordError::Foreign(error.to_string()),
        error => RecordError::False(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Multiaddr {
        "/ip4/192.0.2.1/tcp/1".parse().unwrap()
    }

    #[test]
    fn records_of_both_forms_are_read_as_they_were_signed() {
        let key = Keypair::generate_ed25519();
        let ours = SignedRecord::sign(&key, vec![address()]).unwrap();
        assert_eq!(ours.peer, key.public().to_peer_id());
        assert_eq!(SignedRecord::verify(ours.bytes.clone()), Ok(ours.clone()));
        let of_rust = PeerRecord::new(&key, vec![address()]).unwrap();
        let bytes = of_rust.into_signed_envelope().into_protobuf_encoding();
        let read = SignedRecord::verify(bytes.into()).unwrap();
        assert_eq!((read.peer, read.addresses), (ours.peer, ours.addresses));
    }

    #[test]
    fn a_forged_record_is_refused() {
        let key = Keypair::generate_ed25519();
        let bytes = SignedRecord::sign(&key, vec![address()]).unwrap().bytes;
        // Wherever a byte is changed, it is no record of this peer any more.
        for place in 0..bytes.len() {
            let mut forged = bytes.to_vec();
            forged[place] ^= 1;
            match SignedRecord::verify(forged.into()) {
                Ok(record) => panic!("byte {place}: {record:?}"),
                // A key of another kind, or one that is no point of the curve.
                Err(RecordError::Foreign(_)) => assert!(place < 6 + 32, "byte {place}"),
                Err(RecordError::False(_)) => {}
            }
        }
        // Signed by somebody, about somebody else.
        let other = Keypair::generate_ed25519();
        let about = PeerRecord::new(&other, vec![address()]).unwrap();
        let (payload, _) = (about.to_signed_envelope())
            .payload_and_signing_key(
                "libp2p-routing-state".into(),
                b"/libp2p/routing-state-record",
            )
            .map(|(payload, key)| (payload.to_vec(), key.clone()))
            .unwrap();
        let kind = b"/libp2p/routing-state-record".to_vec();
        let forged = SignedEnvelope::new(&key, "libp2p-routing-state".into(), kind, payload);
        let forged = forged.unwrap().into_protobuf_encoding();
        let refused = SignedRecord::verify(forged.into());
        assert!(matches!(refused, Err(RecordError::False(_))), "{refused:?}");
    }

    #[test]
    fn a_record_that_is_too_long_is_neither_made_nor_read() {
        let key = Keypair::generate_ed25519();
        let many: Vec<Multiaddr> = vec![address(); 1_000];
        assert_eq!(SignedRecord::sign(&key, many.clone()), None);
        let long = PeerRecord::new(&key, many).unwrap().into_signed_envelope();
        let read = SignedRecord::verify(long.into_protobuf_encoding().into());
        assert!(matches!(read, Err(RecordError::False(_))), "{read:?}");
    }
}
