//! Messages as they travel: generated from `proto/`, decoded with bounds.

use bytes::Bytes;
use prost::Message;

/// The messages of `proto/headwater/v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/headwater.v1.rs"));
}

/// Bytes that are no message of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than a message of its kind may be.
    #[error("{what} has {bytes} bytes, more than the {max} allowed")]
    TooLong {
        /// The kind of message.
        what: &'static str,
        /// Its bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Not decodable.
    #[error("{what} cannot be decoded: {why}")]
    Undecodable {
        /// The kind of message.
        what: &'static str,
        /// The decoder's complaint.
        why: String,
    },
    /// Decodable, but not the one encoding of its content.
    #[error("{0} is not in its canonical encoding")]
    NotCanonical(&'static str),
    /// A field is absent, or has a value that it cannot have.
    #[error("{what} has a bad {field}")]
    BadField {
        /// The kind of message.
        what: &'static str,
        /// The field.
        field: &'static str,
    },
}

/// Decodes a message of at most `max` bytes.
///
/// # Errors
/// Too long, or undecodable.
pub fn decode<M: Message + Default>(
    what: &'static str,
    bytes: Bytes,
    max: usize,
) -> Result<M, WireError> {
    if bytes.len() > max {
        let bytes = bytes.len();
        return Err(WireError::TooLong { what, bytes, max });
    }
    M::decode(bytes).map_err(|error| WireError::Undecodable {
        what,
        why: error.to_string(),
    })
}

/// Decodes a message of at most `max` bytes that must be in the one encoding
/// that this crate itself would give it: no unknown fields, no repeated scalar,
/// fields in order. What is signed must not have a second form.
///
/// # Errors
/// Too long, undecodable, or not canonical.
pub fn decode_canonical<M: Message + Default>(
    what: &'static str,
    bytes: &Bytes,
    max: usize,
) -> Result<M, WireError> {
    let message: M = decode(what, bytes.clone(), max)?;
    if message.encode_to_vec() != *bytes {
        return Err(WireError::NotCanonical(what));
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_encoding_of_one_message_is_refused() {
        let head = v1::Head {
            size: 7,
            ..v1::Head::default()
        };
        let canonical = Bytes::from(head.encode_to_vec());
        assert_eq!(
            decode_canonical::<v1::Head>("a head", &canonical, 99),
            Ok(head)
        );

        let twice = Bytes::from([&canonical[..], &canonical[..]].concat());
        let unknown_field = Bytes::from([&canonical[..], &[0x78, 1]].concat());
        let long_varint = Bytes::from_static(&[0x10, 0x87, 0x00]);
        for second in [twice, unknown_field, long_varint] {
            assert!(decode::<v1::Head>("a head", second.clone(), 99).is_ok());
            assert_eq!(
                decode_canonical::<v1::Head>("a head", &second, 99),
                Err(WireError::NotCanonical("a head"))
            );
        }
    }

    #[test]
    fn a_message_over_its_limit_is_not_even_decoded() {
        let result = decode::<v1::Head>("a head", Bytes::from_static(&[0xff; 9]), 8);
        assert!(matches!(
            result,
            Err(WireError::TooLong {
                bytes: 9,
                max: 8,
                ..
            })
        ));
    }
}
