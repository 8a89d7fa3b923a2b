//! Messages as they travel: generated from `proto/`, decoded with bounds.

mod scan;

use bytes::{Buf, Bytes};
use prost::{Message, decode_length_delimiter as varint};

use crate::limits::{MAX_FRAME_BYTES, MAX_FRAME_FIELDS};

pub use self::scan::{
    FIRST_IGNORED_FIELD, Field, Form, NewerField, Scanned, Shape, has_more, scan,
};

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
    /// Longer lists than a message of its kind may have.
    #[error("{what} has more than {max} fields")]
    TooMany {
        /// The kind of message.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// Decodable, but not the one encoding of its content.
    #[error("{0} is not in its canonical encoding")]
    NotCanonical(&'static str),
    /// Decodable, and not in the form that signed messages have.
    #[error("{what} is not in its form: field {field} {why}")]
    Form {
        /// The kind of message.
        what: &'static str,
        /// The number of the field; that of the one before where it has none.
        field: u32,
        /// What is wrong with it.
        why: &'static str,
    },
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

/// The field of a frame whose message has lists within messages.
const EVIDENCE: usize = 17;

/// Decodes a frame of a sync stream, which is bounded in its fields, too.
///
/// # Errors
/// Too long, too many fields, or undecodable.
pub fn decode_frame(bytes: Bytes) -> Result<v1::Frame, WireError> {
    let (what, max) = ("a frame", MAX_FRAME_FIELDS);
    if bytes.len() <= MAX_FRAME_BYTES && count_body_fields(&bytes, max) > max {
        return Err(WireError::TooMany { what, max });
    }
    decode(what, bytes, MAX_FRAME_BYTES)
}

fn count_body_fields(mut frame: &[u8], max: usize) -> usize {
    let mut count = 0;
    while let Some((tag, body)) = next_field(&mut frame)
        && count <= max
    {
        // Evidence has a fork proof, and that what is common. (Hashes may look like
        // messages: that is half of what there may be at most.)
        let depth = if tag == EVIDENCE { 2 } else { 0 };
        count += count_fields(body, depth, max);
    }
    count
}

/// Counts the fields of a message, and those within them to a depth; not much
/// beyond `max`. Behind what is no field there is nothing to decode.
fn count_fields(mut message: &[u8], depth: u8, max: usize) -> usize {
    let mut count = 0;
    while let Some((_, inner)) = next_field(&mut message)
        && count <= max
    {
        count += 1;
        if depth > 0 {
            count += count_fields(inner, depth - 1, max);
        }
    }
    count
}

/// The number of the next field, and its bytes if it has a length.
fn next_field<'a>(message: &mut &'a [u8]) -> Option<(usize, &'a [u8])> {
    let key = varint(&mut *message).ok()?;
    let length = match key & 7 {
        0 => varint(&mut *message).ok().map(|_| 0)?,
        1 => 8,
        2 => varint(&mut *message).ok()?,
        5 => 4,
        // The fields of a group, whose ends these are, count as those beside it.
        _ => 0,
    };
    let field = message.get(..length)?;
    message.advance(length);
    Some((key >> 3, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_encoding_of_one_message_is_refused() {
        let interval = v1::Interval {
            from: 7,
            ..v1::Interval::default()
        };
        let canonical = Bytes::from(interval.encode_to_vec());
        assert_eq!(
            decode_canonical::<v1::Interval>("an interval", &canonical, 99),
            Ok(interval)
        );

        let twice = Bytes::from([&canonical[..], &canonical[..]].concat());
        let unknown_field = Bytes::from([&canonical[..], &[0x78, 1]].concat());
        let long_varint = Bytes::from_static(&[0x08, 0x87, 0x00]);
        for second in [twice, unknown_field, long_varint] {
            assert!(decode::<v1::Interval>("an interval", second.clone(), 99).is_ok());
            assert_eq!(
                decode_canonical::<v1::Interval>("an interval", &second, 99),
                Err(WireError::NotCanonical("an interval"))
            );
        }
    }

    fn field(tag: usize, inner: &[u8]) -> Vec<u8> {
        let mut field = Vec::new();
        for number in [tag << 3 | 2, inner.len()] {
            prost::encode_length_delimiter(number, &mut field).unwrap();
        }
        field.extend_from_slice(inner);
        field
    }

    /// A frame of nothing but these bytes, again and again, in the field of a body.
    fn dense(tag: usize, element: &[u8]) -> Bytes {
        field(tag, &element.repeat(1_000_000 / element.len())).into()
    }

    #[test]
    fn a_frame_with_more_elements_than_any_list_may_have_is_not_decoded() {
        let too_many = Err(WireError::TooMany {
            what: "a frame",
            max: MAX_FRAME_FIELDS,
        });
        // Streams that were discovered, chunks of a delivery, intervals of a head.
        for (tag, element) in [(19, b"\x0a\0"), (11, b"\x12\0"), (9, b"\x1a\0")] {
            assert_eq!(decode_frame(dense(tag, element)), too_many);
            let in_a_group = [b"\x83\x03", &element[..], b"\x84\x03"].concat();
            assert_eq!(decode_frame(dense(tag, &in_a_group)), too_many);
        }
        // Evidence, in it a fork proof, in it hashes, and what is common.
        for inner in [&b"\x1a\0"[..], b"\x2a\x02\x12\0"] {
            let evidence = field(2, &inner.repeat(200_000));
            assert_eq!(decode_frame(dense(EVIDENCE, &evidence)), too_many);
        }
    }

    #[test]
    fn a_frame_with_the_longest_lists_that_there_may_be_is_decoded() {
        let held = vec![v1::Interval { from: 1, to: 2 }; crate::limits::MAX_INTERVALS];
        let head = v1::frame::Body::Head(Box::new(v1::HeadState {
            held,
            ..v1::HeadState::default()
        }));
        // Hashes that look like as many fields as can be.
        let hashes = vec![Bytes::from_static(&[0x08; 32]); 62];
        let fork = v1::ForkProof {
            left: hashes.clone(),
            right: hashes.clone(),
            common: Some(v1::Common {
                tree: hashes.clone(),
                smaller: hashes.clone(),
                larger: hashes,
                ..v1::Common::default()
            }),
            ..v1::ForkProof::default()
        };
        let evidence = v1::frame::Body::Evidence(Box::new(v1::Evidence {
            recovered: None,
            log: Bytes::from_static(&[0x08; 32]),
            fork: Some(fork),
        }));
        let chunk = v1::frame::Body::Delivery(v1::Delivery {
            first: 0,
            chunks: vec![Bytes::from_static(&[0x08; 4_000]); crate::limits::MAX_OFFERED],
        });
        for body in [head, evidence, chunk] {
            let body = Some(body);
            let frame = v1::Frame { id: 1, body };
            assert_eq!(decode_frame(frame.encode_to_vec().into()), Ok(frame));
        }
    }

    #[test]
    fn a_message_over_its_limit_is_not_even_decoded() {
        let result = decode::<v1::Interval>("an interval", Bytes::from_static(&[0xff; 9]), 8);
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
