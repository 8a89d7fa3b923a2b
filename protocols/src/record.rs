//! Observations, and the chunks that they travel in.

use bytes::{BufMut, Bytes, BytesMut};

use crate::limits::{MAX_CHUNK_LEVEL, MAX_CHUNK_VALUE_BYTES};
use crate::merkle::{Hash, leaf_hash};
use crate::time::Timestamp;

/// Bytes of the time in front of a record's value.
const TIME_BYTES: usize = 8;

/// Largest value of a log with this chunk level, in bytes.
#[must_use]
pub fn max_value_bytes(chunk_level: u8) -> usize {
    MAX_CHUNK_VALUE_BYTES >> chunk_level.min(MAX_CHUNK_LEVEL)
}

/// One observation: a time and a value, as the bytes that are hashed: 8 bytes
/// big-endian microseconds since the Unix epoch, then the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Record(Bytes);

/// Bytes that are no record or no chunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Shorter than its time.
    #[error("a record of {0} bytes is too short for its time (8 bytes)")]
    TooShort(usize),
    /// The value is over the limit of its log.
    #[error("a value of {bytes} bytes is over the limit of {max} bytes of its stream")]
    ValueTooLong {
        /// Bytes of the value.
        bytes: usize,
        /// The limit, from the manifest's chunk level.
        max: usize,
    },
    /// A record's length is cut off, too long, or not in its shortest form.
    #[error("a chunk has a malformed length at byte {0}")]
    BadLength(usize),
    /// The chunk ends within a record.
    #[error("a chunk of {0} bytes ends within a record")]
    Truncated(usize),
    /// More or fewer records than expected.
    #[error("a chunk has {found} records instead of {expected}")]
    Count {
        /// Records in the chunk; one too many stands for any number above.
        found: u64,
        /// Records that it should have.
        expected: u64,
    },
}

impl Record {
    /// A record of this time and value.
    #[must_use]
    pub fn new(time: Timestamp, value: &[u8]) -> Self {
        let mut bytes = BytesMut::with_capacity(TIME_BYTES + value.len());
        bytes.put_i64(time.0);
        bytes.put_slice(value);
        Self(bytes.freeze())
    }

    /// From the bytes that are hashed.
    ///
    /// # Errors
    /// They are too short for a time.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, RecordError> {
        if bytes.len() < TIME_BYTES {
            return Err(RecordError::TooShort(bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// The bytes that are hashed.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// When it was observed.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        time_of(&self.0)
    }

    /// What was observed.
    #[must_use]
    pub fn value(&self) -> Bytes {
        self.0.slice(TIME_BYTES..)
    }

    /// Its leaf in the tree.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        leaf_hash(&self.0)
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({}, {:?})", self.time(), &self.0[TIME_BYTES..])
    }
}

/// The time of a record of at least eight bytes.
fn time_of(record: &[u8]) -> Timestamp {
    let time = record
        .first_chunk::<TIME_BYTES>()
        .expect("a record has at least its time");
    Timestamp(i64::from_be_bytes(*time))
}

/// Appends a record to the bytes of a chunk: its length, then its bytes.
pub fn put_record(chunk: &mut BytesMut, record: &[u8]) {
    put_length(chunk, record.len());
    chunk.put_slice(record);
}

/// Bytes that a record takes up in a chunk.
#[must_use]
pub fn encoded_len(record: &[u8]) -> usize {
    let bits = usize::BITS - record.len().leading_zeros();
    (bits.max(1).div_ceil(7)) as usize + record.len()
}

fn put_length(chunk: &mut BytesMut, mut length: usize) {
    while length >= 0x80 {
        chunk.put_u8((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    chunk.put_u8(length as u8);
}

/// The records of a chunk, one after the other, as byte ranges of it.
#[derive(Clone, Debug)]
struct Ranges<'a> {
    chunk: &'a [u8],
    at: usize,
}

impl Iterator for Ranges<'_> {
    type Item = Result<std::ops::Range<usize>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.chunk.len() {
            return None;
        }
        let result = self.read();
        if result.is_err() {
            self.at = self.chunk.len();
        }
        Some(result)
    }
}

impl Ranges<'_> {
    fn read(&mut self) -> Result<std::ops::Range<usize>, RecordError> {
        let bad = RecordError::BadLength(self.at);
        let mut length = 0_usize;
        // Four bytes hold any length that a chunk can have.
        for (i, &byte) in self.chunk[self.at..].iter().take(4).enumerate() {
            length |= usize::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                if byte == 0 && i > 0 {
                    return Err(bad);
                }
                let from = self.at + i + 1;
                let to = from + length;
                if to > self.chunk.len() {
                    return Err(RecordError::Truncated(self.chunk.len()));
                }
                if length < TIME_BYTES {
                    return Err(RecordError::TooShort(length));
                }
                self.at = to;
                return Ok(from..to);
            }
        }
        Err(bad)
    }
}

/// The records of a chunk that was verified or made here.
pub fn records(chunk: &Bytes) -> impl Iterator<Item = Result<Record, RecordError>> + '_ {
    Ranges { chunk, at: 0 }.map(|range| Ok(Record(chunk.slice(range?))))
}

/// The bytes of a chunk, and the span of its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedChunk {
    /// Each record after its length.
    pub bytes: Bytes,
    /// The earliest time among them.
    pub earliest: Timestamp,
    /// The latest time among them.
    pub latest: Timestamp,
}

impl EncodedChunk {
    /// The chunk of these records, at least one, which the caller has checked
    /// against the limit of the log.
    #[must_use]
    pub fn of(records: &[Record]) -> Self {
        let length = records.iter().map(|r| encoded_len(&r.0)).sum();
        let mut bytes = BytesMut::with_capacity(length);
        let (mut earliest, mut latest) = (Timestamp(i64::MAX), Timestamp(i64::MIN));
        for record in records {
            put_record(&mut bytes, &record.0);
            earliest = earliest.min(record.time());
            latest = latest.max(record.time());
        }
        Self {
            bytes: bytes.freeze(),
            earliest,
            latest,
        }
    }
}

/// A chunk that came from somewhere, its form checked and its records hashed.
#[derive(Clone, Debug)]
pub struct CheckedChunk {
    /// Its bytes and times.
    pub encoded: EncodedChunk,
    /// The leaf hash of each record.
    pub leaves: Vec<Hash>,
}

impl CheckedChunk {
    /// Checks a chunk's form and hashes its records. It must have `count`
    /// records, at least one, with values of at most `max_value` bytes.
    ///
    /// # Errors
    /// It is not such a chunk.
    pub fn parse(bytes: Bytes, count: u64, max_value: usize) -> Result<Self, RecordError> {
        // Nine bytes are the least that a record takes up, so that a false
        // count cannot make us allocate more than the bytes that came.
        let mut leaves = Vec::with_capacity((count as usize).min(bytes.len() / 9));
        let (mut earliest, mut latest) = (Timestamp(i64::MAX), Timestamp(i64::MIN));
        for range in (Ranges {
            chunk: &bytes,
            at: 0,
        }) {
            let record = &bytes[range?];
            let value = record.len() - TIME_BYTES;
            if value > max_value {
                let (bytes, max) = (value, max_value);
                return Err(RecordError::ValueTooLong { bytes, max });
            }
            if leaves.len() as u64 == count {
                let (found, expected) = (count + 1, count);
                return Err(RecordError::Count { found, expected });
            }
            let time = time_of(record);
            earliest = earliest.min(time);
            latest = latest.max(time);
            leaves.push(leaf_hash(record));
        }
        let found = leaves.len() as u64;
        if found != count || count == 0 {
            let expected = count;
            return Err(RecordError::Count { found, expected });
        }
        Ok(Self {
            encoded: EncodedChunk {
                bytes,
                earliest,
                latest,
            },
            leaves,
        })
    }

    /// The records.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        records(&self.encoded.bytes).map(|record| record.expect("the form was checked"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunk_of(records: &[Record]) -> Bytes {
        EncodedChunk::of(records).bytes
    }

    #[test]
    fn the_bytes_of_a_record_are_its_time_and_then_its_value() {
        let record = Record::new(Timestamp(-2), b"4.0");
        assert_eq!(
            record.as_bytes()[..],
            *b"\xff\xff\xff\xff\xff\xff\xff\xfe4.0"
        );
        assert_eq!(record.time(), Timestamp(-2));
        assert_eq!(record.value()[..], *b"4.0");
    }

    #[test]
    fn a_chunk_is_each_record_after_its_length() {
        let chunk = chunk_of(&[
            Record::new(Timestamp(1), b"ab"),
            Record::new(Timestamp(2), &[b'x'; 130]),
        ]);
        assert_eq!(chunk[..11], *b"\x0a\0\0\0\0\0\0\0\x01ab");
        // 138 = 0b1_0001010
        assert_eq!(chunk[11..13], [0x8a, 0x01]);
        assert_eq!(chunk.len(), 11 + 2 + 138);
    }

    #[test]
    fn a_value_over_the_limit_is_refused() {
        let chunk = chunk_of(&[Record::new(Timestamp(0), b"abcd")]);
        assert!(CheckedChunk::parse(chunk.clone(), 1, 4).is_ok());
        assert_eq!(
            CheckedChunk::parse(chunk, 1, 3).unwrap_err(),
            RecordError::ValueTooLong { bytes: 4, max: 3 }
        );
    }

    #[test]
    fn a_malformed_chunk_is_refused_with_what_is_wrong() {
        let parse = |bytes: &'static [u8], count| {
            CheckedChunk::parse(Bytes::from_static(bytes), count, 10).unwrap_err()
        };
        assert_eq!(
            parse(b"", 1),
            RecordError::Count {
                found: 0,
                expected: 1
            }
        );
        assert_eq!(
            parse(b"", 0),
            RecordError::Count {
                found: 0,
                expected: 0
            }
        );
        assert_eq!(parse(b"\x07", 1), RecordError::Truncated(1));
        assert_eq!(parse(b"\x07\0\0\0\0\0\0\0", 1), RecordError::TooShort(7));
        assert_eq!(
            parse(b"\x88\0\0\0\0\0\0\0\0\0", 1),
            RecordError::BadLength(0)
        );
        assert_eq!(parse(b"\xff\xff\xff\xff\x01", 1), RecordError::BadLength(0));
        assert_eq!(parse(b"\x88", 1), RecordError::BadLength(0));
        let two = b"\x08\0\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\0";
        assert_eq!(
            parse(two, 1),
            RecordError::Count {
                found: 2,
                expected: 1
            }
        );
        assert_eq!(
            parse(two, 3),
            RecordError::Count {
                found: 2,
                expected: 3
            }
        );
    }

    proptest! {
        #[test]
        fn what_was_built_is_parsed_to_the_same(
            values in prop::collection::vec((any::<i64>(), prop::collection::vec(any::<u8>(), 0..300)), 1..40)
        ) {
            let built: Vec<_> = values.iter().map(|(t, v)| Record::new(Timestamp(*t), v)).collect();
            let chunk = EncodedChunk::of(&built);
            let length: usize = built.iter().map(|r| encoded_len(r.as_bytes())).sum();
            prop_assert_eq!(chunk.bytes.len(), length);
            let parsed = CheckedChunk::parse(chunk.bytes.clone(), built.len() as u64, 300).unwrap();
            let leaves: Vec<_> = built.iter().map(Record::leaf).collect();
            prop_assert_eq!(&parsed.leaves, &leaves);
            prop_assert_eq!(&parsed.encoded, &chunk);
            prop_assert_eq!(parsed.records().collect::<Vec<_>>(), built);
        }

        #[test]
        fn any_bytes_are_parsed_or_refused_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0_u64..20
        ) {
            let bytes = Bytes::from(bytes);
            if let Ok(chunk) = CheckedChunk::parse(bytes.clone(), count, 1000) {
                // There is one encoding only.
                let again = EncodedChunk::of(&chunk.records().collect::<Vec<_>>());
                prop_assert_eq!(again.bytes, bytes);
            }
        }
    }
}
