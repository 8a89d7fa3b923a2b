//! The pages of a column, unpacked one after another, in bounded memory whatever the
//! file says of itself.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type as PhysicalType};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;

use super::super::limits::{MAX_DELTA_VALUES, MAX_PAGE_HEADER_BYTES, MAX_PAGES_BYTES};
use super::page_header::{PageHeader, PageKind};

/// Bytes by which most headers of pages are told.
const HEADER_BYTES: usize = 4096;

/// What a text of a dictionary takes beside its bytes.
const TEXT_BYTES: usize = 48;

/// The room of all pages that are kept at one time.
#[derive(Debug, Default)]
pub(super) struct Room(AtomicUsize);

/// Bytes of a page, which make room again when nobody needs them any more.
pub(super) struct Held {
    bytes: Vec<u8>,
    taken: usize,
    room: Arc<Room>,
}

impl Room {
    pub(super) fn hold(self: &Arc<Self>, bytes: usize, more: usize) -> Result<Held> {
        let taken = bytes.saturating_add(more);
        let before = self.0.fetch_add(taken, Ordering::Relaxed);
        let held = Held {
            bytes: Vec::new(),
            taken,
            room: Arc::clone(self),
        };
        match before.saturating_add(taken) <= MAX_PAGES_BYTES {
            true => Ok(held),
            false => Err(bad(format!(
                "its pages have more than {} MiB at one time; write it again with smaller pages",
                MAX_PAGES_BYTES >> 20
            ))),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn bad(what: impl Into<String>) -> ParquetError {
    ParquetError::General(what.into())
}

/// Whether pages that are packed so can be unpacked; the name of what they are packed
/// with where they cannot.
pub(super) fn unpacks(codec: Compression) -> std::result::Result<(), &'static str> {
    match codec {
        Compression::UNCOMPRESSED
        | Compression::SNAPPY
        | Compression::GZIP(_)
        | Compression::ZSTD(_) => Ok(()),
        Compression::LZO => Err("LZO"),
        Compression::BROTLI(_) => Err("Brotli"),
        Compression::LZ4 | Compression::LZ4_RAW => Err("LZ4"),
    }
}

/// Reads the pages of one column of a row group.
pub(super) struct Pages {
    file: Arc<File>,
    at: u64,
    end: u64,
    codec: Compression,
    physical: PhysicalType,
    type_length: usize,
    may_lack: bool,
    /// Values of pages that are still to come.
    left: u64,
    room: Arc<Room>,
}

impl Pages {
    pub(super) fn new(
        file: &Arc<File>,
        chunk: &ColumnChunkMetaData,
        room: &Arc<Room>,
    ) -> Result<Self> {
        let begin = match chunk.dictionary_page_offset() {
            Some(begin) if begin > 0 => begin.min(chunk.data_page_offset()),
            _ => chunk.data_page_offset(),
        };
        let unsigned = |number: i64| u64::try_from(number).map_err(|_| bad("it is damaged"));
        let begin = unsigned(begin)?;
        let column = chunk.column_descr();
        let length = match column.physical_type() {
            PhysicalType::FIXED_LEN_BYTE_ARRAY => column.type_length(),
            _ => 0,
        };
        Ok(Self {
            file: Arc::clone(file),
            at: begin,
            end: begin.saturating_add(unsigned(chunk.compressed_size())?),
            codec: chunk.compression(),
            physical: column.physical_type(),
            type_length: usize::try_from(length).map_err(|_| bad("it is damaged"))?,
            may_lack: column.max_def_level() > 0,
            left: unsigned(chunk.num_values())?,
            room: Arc::clone(room),
        })
    }

    fn header(&mut self) -> Result<PageHeader> {
        for most in [HEADER_BYTES, MAX_PAGE_HEADER_BYTES] {
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let mut bytes = vec![0; most.min(left)];
            self.file.read_exact_at(&mut bytes, self.at)?;
            if let Some(header) = PageHeader::read(&bytes) {
                self.at += header.length as u64;
                return Ok(header);
            }
        }
        Err(bad("it is damaged: a page has no header"))
    }

    /// The bytes of a page, of which the first ones are not packed.
    fn bytes(&mut self, header: &PageHeader, plain: usize, more: usize) -> Result<Bytes> {
        let damaged = || bad("it is damaged: a page does not have the bytes that it says");
        if header.packed as u64 > self.end - self.at || plain > header.packed {
            return Err(damaged());
        }
        let mut packed = self.room.hold(header.packed, 0)?;
        packed.bytes = vec![0; header.packed];
        self.file.read_exact_at(&mut packed.bytes, self.at)?;
        self.at += header.packed as u64;
        let mut held = self.room.hold(header.unpacked, more)?;
        let (levels, body) = packed.bytes.split_at(plain);
        let wanted = header.unpacked.checked_sub(plain).ok_or_else(damaged)?;
        held.bytes = Vec::with_capacity(header.unpacked);
        held.bytes.extend_from_slice(levels);
        unpack(self.codec, body, wanted, &mut held.bytes).ok_or_else(damaged)?;
        if held.bytes.len() != header.unpacked {
            return Err(damaged());
        }
        Ok(Bytes::from_owner(held))
    }

    fn page(&mut self, header: &PageHeader) -> Result<Option<Page>> {
        Ok(Some(match header.kind {
            PageKind::Other => {
                self.at += header.packed as u64;
                return Ok(None);
            }
            PageKind::Dictionary {
                values,
                encoding,
                is_sorted,
            } => {
                let (each, beside) = self.least_bytes();
                let needed = (values as usize).saturating_mul(each);
                if needed > header.unpacked {
                    return Err(bad("it is damaged: a dictionary has too few bytes"));
                }
                let more = (values as usize).saturating_mul(beside);
                Page::DictionaryPage {
                    buf: self.bytes(header, 0, more)?,
                    num_values: values,
                    encoding,
                    is_sorted,
                }
            }
            PageKind::Data {
                values,
                encoding,
                levels,
            } => {
                let buf = self.bytes(header, 0, 0)?;
                let begin = match (self.may_lack, buf.first_chunk()) {
                    (false, _) => 0,
                    (true, Some(length)) => u32::from_le_bytes(*length) as usize + 4,
                    (true, None) => return Err(bad("it is damaged: a page has no levels")),
                };
                require_few(encoding, &buf, begin, values)?;
                self.left = self.left.saturating_sub(u64::from(values));
                Page::DataPage {
                    buf,
                    num_values: values,
                    encoding,
                    def_level_encoding: levels,
                    rep_level_encoding: Encoding::RLE,
                    statistics: None,
                }
            }
            PageKind::DataV2 {
                values,
                nulls,
                rows,
                encoding,
                levels: (definitions, repetitions),
                is_packed,
            } => {
                let plain = definitions as usize + repetitions as usize;
                let plain = if is_packed { plain } else { header.packed };
                let buf = self.bytes(header, plain, 0)?;
                let begin = definitions as usize + repetitions as usize;
                require_few(encoding, &buf, begin, values)?;
                self.left = self.left.saturating_sub(u64::from(values));
                Page::DataPageV2 {
                    buf,
                    num_values: values,
                    encoding,
                    num_nulls: nulls,
                    num_rows: rows,
                    def_levels_byte_len: definitions,
                    rep_levels_byte_len: repetitions,
                    is_compressed: false,
                    statistics: None,
                }
            }
        }))
    }

    /// The fewest bytes that a value of a dictionary has there, and what it takes beside
    /// them.
    fn least_bytes(&self) -> (usize, usize) {
        match self.physical {
            PhysicalType::BOOLEAN => (1, 0),
            PhysicalType::INT32 | PhysicalType::FLOAT => (4, 4),
            PhysicalType::INT64 | PhysicalType::DOUBLE => (8, 8),
            PhysicalType::INT96 => (12, 12),
            PhysicalType::BYTE_ARRAY => (4, TEXT_BYTES),
            PhysicalType::FIXED_LEN_BYTE_ARRAY => (self.type_length.max(1), TEXT_BYTES),
        }
    }
}

/// Refuses what a few bytes say to be more than memory has: lengths of texts as
/// differences, and texts that begin as the one before them.
fn require_few(encoding: Encoding, page: &[u8], begin: usize, values: u32) -> Result<()> {
    match encoding {
        Encoding::DELTA_BYTE_ARRAY => Err(bad(
            "it has texts that say only how they differ from the one before (DELTA_BYTE_ARRAY), of which a few bytes can \
             stand for gigabytes; write it again without that encoding",
        )),
        Encoding::DELTA_LENGTH_BYTE_ARRAY => {
            let mut numbers = page.get(begin..).unwrap_or_default().iter();
            let mut varint = || {
                let mut number = 0_u64;
                for shift in (0..63).step_by(7) {
                    let &byte = numbers.next()?;
                    number |= u64::from(byte & 0x7f) << shift;
                    if byte & 0x80 == 0 {
                        return Some(number);
                    }
                }
                None
            };
            let (_, _, count) = (varint(), varint(), varint());
            match count {
                Some(count) if count <= u64::from(values.min(MAX_DELTA_VALUES)) => Ok(()),
                Some(_) | None => Err(bad("it is damaged: a page has more texts than it says")),
            }
        }
        _ => Ok(()),
    }
}

/// Appends what was packed, which has so many bytes; `None` where it has not.
pub(super) fn unpack(
    codec: Compression,
    packed: &[u8],
    wanted: usize,
    out: &mut Vec<u8>,
) -> Option<()> {
    let before = out.len();
    match codec {
        Compression::UNCOMPRESSED => out.extend_from_slice(packed),
        _ if packed.is_empty() || wanted == 0 => {}
        Compression::SNAPPY => {
            out.resize(before + wanted, 0);
            let mut decoder = snap::raw::Decoder::new();
            let written = decoder.decompress(packed, &mut out[before..]).ok()?;
            out.truncate(before + written);
        }
        Compression::GZIP(_) => {
            let mut body = flate2::read::MultiGzDecoder::new(packed).take(wanted as u64 + 1);
            body.read_to_end(out).ok()?;
        }
        Compression::ZSTD(_) => {
            out.resize(before + wanted, 0);
            let written = zstd_safe::decompress(&mut out[before..], packed).ok()?;
            out.truncate(before + written);
        }
        Compression::LZO | Compression::BROTLI(_) | Compression::LZ4 | Compression::LZ4_RAW => {
            return None;
        }
    }
    (out.len() - before == wanted).then_some(())
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        while self.left > 0 && self.at < self.end {
            let header = self.header()?;
            if let Some(page) = self.page(&header)? {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        Err(bad("pages are read in their order"))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        Err(bad("pages are read in their order"))
    }
}
