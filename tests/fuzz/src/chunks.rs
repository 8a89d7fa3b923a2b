//! Chunks of records.

use bytes::Bytes;
use headwater_protocols::record::{CheckedChunk, EncodedChunk, Record, records};

use crate::memory::bounded;

/// A byte of a chunk may become so many of memory: a record of nothing but a time
/// has nine bytes, and the hash of its leaf 32, in a list that grows.
const TIMES: u64 = 16;

/// The first byte says how many records there are to be, the second one how long
/// their values may be.
pub fn chunks(bytes: &[u8]) {
    let [count, max, bytes @ ..] = bytes else {
        return;
    };
    let (count, max) = (u64::from(*count), usize::from(*max));
    let bytes = Bytes::copy_from_slice(bytes);
    let checked = bounded("a chunk", bytes.len(), TIMES, || {
        CheckedChunk::parse(bytes.clone(), count, max)
    });
    let read: Result<Vec<Record>, _> = records(&bytes).collect();
    match checked {
        Err(_) => {
            // Nothing but the number of its records or their length is wrong with
            // what can be read all the same.
            if let Ok(read) = read {
                let is_long = read.iter().any(|record| record.value().len() > max);
                assert!(read.is_empty() || read.len() as u64 != count || is_long);
            }
        }
        Ok(chunk) => {
            let parsed: Vec<Record> = chunk.records().collect();
            assert_eq!(Ok(&parsed), read.as_ref());
            assert_eq!(parsed.len() as u64, count);
            let again = EncodedChunk::of(&parsed);
            assert_eq!(again, chunk.encoded);
            assert_eq!(again.bytes, bytes);
            for (record, leaf) in parsed.iter().zip(&chunk.leaves) {
                assert_eq!(record.leaf(), *leaf);
                assert!(record.value().len() <= max);
                assert!(chunk.encoded.earliest <= record.time());
                assert!(chunk.encoded.latest >= record.time());
                let same = Record::new(record.time(), &record.value());
                assert_eq!(same, *record);
            }
        }
    }
    if let Ok(record) = Record::from_bytes(bytes.clone()) {
        assert_eq!(
            Record::new(record.time(), &record.value()).as_bytes(),
            &bytes
        );
    }
}
