//! The header of a page, as Parquet keeps it: Thrift's compact protocol, as far as
//! headers need it.

use parquet::basic::Encoding;

/// Structs within each other that a header may have: the page, its kind, its statistics.
const MAX_DEPTH: usize = 8;

/// What stands ahead of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub(super) kind: PageKind,
    /// Bytes of the page as it is read, and as it stands in the file.
    pub(super) unpacked: usize,
    pub(super) packed: usize,
    /// Bytes of the header itself.
    pub(super) length: usize,
}

/// What a page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageKind {
    Data {
        values: u32,
        encoding: Encoding,
        levels: Encoding,
    },
    /// Its levels stand ahead of what is packed.
    DataV2 {
        values: u32,
        nulls: u32,
        rows: u32,
        encoding: Encoding,
        /// Bytes of the levels: of definitions, and of repetitions.
        levels: (u32, u32),
        is_packed: bool,
    },
    Dictionary {
        values: u32,
        encoding: Encoding,
        is_sorted: bool,
    },
    /// Something else, which is passed over.
    Other,
}

/// The numbers of a struct by their field, and the structs in it.
#[derive(Debug, Default)]
struct Numbers {
    own: [Option<i64>; 9],
    within: Vec<(usize, Numbers)>,
}

impl Numbers {
    fn size(&self, field: usize) -> Option<u32> {
        u32::try_from(*self.own.get(field)?.as_ref()?).ok()
    }

    fn encoding(&self, field: usize) -> Option<Encoding> {
        Some(match self.size(field)? {
            0 => Encoding::PLAIN,
            2 => Encoding::PLAIN_DICTIONARY,
            3 => Encoding::RLE,
            #[expect(deprecated, reason = "old files have it")]
            4 => Encoding::BIT_PACKED,
            5 => Encoding::DELTA_BINARY_PACKED,
            6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            7 => Encoding::DELTA_BYTE_ARRAY,
            8 => Encoding::RLE_DICTIONARY,
            9 => Encoding::BYTE_STREAM_SPLIT,
            _ => return None,
        })
    }

    fn kind(&self, field: usize) -> Option<&Self> {
        let mut within = self.within.iter();
        within.find_map(|(at, numbers)| (*at == field).then_some(numbers))
    }
}

impl PageHeader {
    /// Reads a header; `None` where these bytes are none, or not all of one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut input = Compact { bytes, at: 0 };
        let numbers = input.numbers(0)?;
        let kind = match numbers.size(1)? {
            0 => {
                let data = numbers.kind(5)?;
                PageKind::Data {
                    values: data.size(1)?,
                    encoding: data.encoding(2)?,
                    levels: data.encoding(3)?,
                }
            }
            2 => {
                let dictionary = numbers.kind(7)?;
                PageKind::Dictionary {
                    values: dictionary.size(1)?,
                    encoding: dictionary.encoding(2)?,
                    is_sorted: dictionary.own[3] == Some(1),
                }
            }
            3 => {
                let data = numbers.kind(8)?;
                PageKind::DataV2 {
                    values: data.size(1)?,
                    nulls: data.size(2)?,
                    rows: data.size(3)?,
                    encoding: data.encoding(4)?,
                    levels: (data.size(5)?, data.size(6)?),
                    is_packed: data.own[7] != Some(0),
                }
            }
            _ => PageKind::Other,
        };
        Some(Self {
            kind,
            unpacked: numbers.size(2)? as usize,
            packed: numbers.size(3)? as usize,
            length: input.at,
        })
    }
}

/// Thrift's compact protocol.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn number(&mut self) -> Option<i64> {
        let coded = self.varint()?;
        Some((coded >> 1).cast_signed() ^ -(coded & 1).cast_signed())
    }

    fn pass(&mut self, bytes: u64) -> Option<()> {
        let at = self.at.checked_add(usize::try_from(bytes).ok()?)?;
        self.at = Some(at).filter(|&at| at <= self.bytes.len())?;
        Some(())
    }

    fn numbers(&mut self, depth: usize) -> Option<Numbers> {
        let (mut numbers, mut field) = (Numbers::default(), 0_i64);
        if depth == MAX_DEPTH {
            return None;
        }
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(numbers);
            }
            field = match head >> 4 {
                0 => self.number()?,
                more => field.checked_add(i64::from(more))?,
            };
            let place = usize::try_from(field).unwrap_or(usize::MAX);
            let own = numbers.own.get_mut(place);
            match head & 0x0f {
                is @ (1 | 2) => {
                    if let Some(own) = own {
                        *own = Some(i64::from(is == 1));
                    }
                }
                4..=6 => {
                    let number = self.number()?;
                    if let Some(own) = own {
                        *own = Some(number);
                    }
                }
                12 => {
                    let within = self.numbers(depth + 1)?;
                    if own.is_some() && numbers.within.len() < MAX_DEPTH {
                        numbers.within.push((place, within));
                    }
                }
                other => self.skip(other, depth)?,
            }
        }
    }

    /// Passes over a value that is no number.
    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            1..=3 => self.pass(1),
            4..=6 => self.varint().map(drop),
            7 => self.pass(8),
            8 => {
                let bytes = self.varint()?;
                self.pass(bytes)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => self.varint()?,
                    count => u64::from(count),
                };
                (0..count).try_for_each(|_| self.skip(head & 0x0f, depth))
            }
            12 => self.numbers(depth + 1).map(drop),
            // Headers have no maps.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_a_data_page_is_read_with_its_statistics_passed_over() {
        // type 0, 100 bytes, 80 packed, {5 values, RLE_DICTIONARY, RLE, RLE, {min "ab"}}.
        let bytes = [
            0x15, 0x00, 0x15, 0xc8, 0x01, 0x15, 0xa0, 0x01, 0x2c, 0x15, 0x0a, 0x15, 0x10, 0x15,
            0x06, 0x15, 0x06, 0x1c, 0x18, 0x02, b'a', b'b', 0x00, 0x00, 0x00, 0xff,
        ];
        let header = PageHeader::read(&bytes).unwrap();
        assert_eq!(
            header,
            PageHeader {
                kind: PageKind::Data {
                    values: 5,
                    encoding: Encoding::RLE_DICTIONARY,
                    levels: Encoding::RLE,
                },
                unpacked: 100,
                packed: 80,
                length: 25,
            }
        );
        for length in 0..25 {
            assert_eq!(PageHeader::read(&bytes[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_header_without_an_end_is_none() {
        assert_eq!(PageHeader::read(&[0x1c; 1 << 16]), None);
        assert_eq!(
            PageHeader::read(&[0x19, 0xfc, 0xff, 0xff, 0xff, 0x0f]),
            None
        );
        assert_eq!(PageHeader::read(&[0xff; 64]), None);
    }
}
