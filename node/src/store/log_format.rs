//! The form of RocksDB's logs, of writes and of edits of its MANIFEST alike: blocks
//! of 32 KiB with fragments of records, none of which crosses the end of its block
//! (`db/log_format.h`).

use std::io;

/// Length of a block.
pub(super) const BLOCK_BYTES: usize = 32 << 10;
/// CRC-32C (4 bytes, little-endian, masked), length (2), kind (1).
pub(super) const HEADER_BYTES: usize = 7;
/// Behind it, in logs that are written into older files: the log's number.
pub(super) const RECYCLED_HEADER_BYTES: usize = HEADER_BYTES + 4;

/// Kinds of fragments: a whole record, the first part of one, one in the middle,
/// the last one.
mod kind {
    pub(super) const WHOLE: u8 = 1;
    pub(super) const FIRST: u8 = 2;
    pub(super) const MIDDLE: u8 = 3;
    pub(super) const LAST: u8 = 4;
}

/// A part of a record, or the whole of it.
#[derive(Debug)]
pub(super) struct Fragment<'a> {
    kind: u8,
    /// What follows the header; `None` where the block ends before it does.
    payload: Option<&'a [u8]>,
    /// Whether it is what was written, as its checksum says.
    pub(super) is_whole: bool,
    /// Its length with the header, as that says.
    pub(super) bytes: usize,
}

impl<'a> Fragment<'a> {
    /// The one that the rest of a block begins with; `None` where no header has
    /// room.
    pub(super) fn at_begin_of(rest: &'a [u8]) -> Option<Self> {
        let &[c0, c1, c2, c3, l0, l1, kind] = rest.first_chunk::<HEADER_BYTES>()?;
        let header = match kind {
            5..=8 | 11 | 131 => RECYCLED_HEADER_BYTES,
            _ => HEADER_BYTES,
        };
        let bytes = header + usize::from(u16::from_le_bytes([l0, l1]));
        let checked = rest.get(HEADER_BYTES - 1..bytes);
        let expected = u32::from_le_bytes([c0, c1, c2, c3]);
        Some(Self {
            kind,
            payload: rest.get(header..bytes),
            is_whole: checked.is_some_and(|bytes| checksum(bytes) == expected),
            bytes,
        })
    }

    /// Whether its block ends before it does.
    pub(super) fn is_cut(&self) -> bool {
        self.payload.is_none()
    }

    /// Whether zeros stand where it would be: room that was made and not written to.
    pub(super) fn is_blank(&self) -> bool {
        self.kind == 0 && self.bytes == HEADER_BYTES
    }
}

/// The records of a log, and where the last one ends.
///
/// # Errors
/// A fragment is wrong that is not the torn end.
pub(super) fn records(bytes: &[u8]) -> io::Result<(Vec<Vec<u8>>, usize)> {
    let (mut whole, mut part) = (Vec::new(), Vec::new());
    let (mut begin, mut end) = (0, 0);
    for block in bytes.chunks(BLOCK_BYTES) {
        let mut at = 0;
        while let Some(fragment) = Fragment::at_begin_of(&block[at..]) {
            let is_torn = fragment.is_cut() && block.len() < BLOCK_BYTES;
            if fragment.is_blank() || is_torn {
                return Ok((whole, end));
            }
            if !fragment.is_whole {
                return Err(malformed("a record's checksum is wrong"));
            }
            at += fragment.bytes;
            part.extend_from_slice(fragment.payload.unwrap_or_default());
            match fragment.kind {
                kind::WHOLE | kind::LAST => {
                    whole.push(std::mem::take(&mut part));
                    end = begin + at;
                }
                kind::FIRST | kind::MIDDLE => {}
                _ => return Err(malformed("a record's kind is not known")),
            }
        }
        begin += block.len();
    }
    Ok((whole, end))
}

/// Appends a record to a log, or to a part of one that begins so many bytes
/// before its end.
pub(super) fn put_record(bytes: &mut Vec<u8>, at: usize, payload: &[u8]) {
    let mut at = at;
    let mut rest = payload;
    let mut is_first = true;
    loop {
        let left = BLOCK_BYTES - at % BLOCK_BYTES;
        if left < HEADER_BYTES {
            bytes.resize(bytes.len() + left, 0);
            at += left;
            continue;
        }
        let fits = rest.len().min(left - HEADER_BYTES);
        let (part, behind) = rest.split_at(fits);
        let kind = match (is_first, behind.is_empty()) {
            (true, true) => kind::WHOLE,
            (true, false) => kind::FIRST,
            (false, false) => kind::MIDDLE,
            (false, true) => kind::LAST,
        };
        let checksum = checksum(&[&[kind], part].concat());
        bytes.extend_from_slice(&checksum.to_le_bytes());
        // No part is longer than a block.
        bytes.extend_from_slice(&u16::try_from(fits).unwrap_or(u16::MAX).to_le_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(part);
        if behind.is_empty() {
            return;
        }
        at += HEADER_BYTES + fits;
        (rest, is_first) = (behind, false);
    }
}

/// RocksDB's form of a checksum that is stored beside what it is of
/// (`util/crc32c.h`).
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

fn malformed(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written_across_blocks() {
        let payloads: Vec<Vec<u8>> = [0, 1, 40_000, 32_754, 7, 70_000, 3]
            .iter()
            .enumerate()
            .map(|(seed, &length)| vec![seed as u8 + 1; length])
            .collect();
        let mut bytes = Vec::new();
        for payload in &payloads {
            let at = bytes.len();
            put_record(&mut bytes, at, payload);
        }
        let end = bytes.len();
        assert_eq!(records(&bytes).unwrap(), (payloads.clone(), end));
        bytes.resize(end + 100, 0);
        assert_eq!(records(&bytes).unwrap(), (payloads, end));
        bytes[20] ^= 1;
        assert!(records(&bytes).is_err());
    }

    #[test]
    fn a_log_that_ends_within_a_record_has_those_before_it() {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for length in [10, 40_000, 20] {
            let at = bytes.len();
            put_record(&mut bytes, at, &vec![7; length]);
            ends.push(bytes.len());
        }
        for length in 0..bytes.len() {
            let (whole, end) = records(&bytes[..length]).unwrap();
            let before = ends.partition_point(|&end| end <= length) - 1;
            assert_eq!((whole.len(), end), (before, ends[before]), "{length}");
        }
    }

    #[test]
    fn a_length_beyond_its_block_is_no_torn_end_when_the_log_goes_on() {
        let mut bytes = Vec::new();
        put_record(&mut bytes, 0, &[1; 100]);
        let at = bytes.len();
        put_record(&mut bytes, at, &[2; 60_000]);
        bytes[5] = 0xff;
        assert!(records(&bytes).is_err());
    }
}
