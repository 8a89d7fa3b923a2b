//! The records of a CSV file as bytes (RFC 4180; lines end in LF, CR LF or CR),
//! each with the line on which it begins, in bounded memory.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::csv_quotes::{Misquoted, QuoteCheck};
use super::limits::{BUFFER_BYTES, MAX_ROW_BYTES, MAX_ROW_FIELDS};
use crate::wording::counted;

/// Reads records one by one.
#[derive(Debug)]
pub(crate) struct Records<R> {
    input: R,
    core: Reader,
    quotes: QuoteCheck,
    buffer: Box<[u8]>,
    /// What of the buffer was not taken yet.
    ready: std::ops::Range<usize>,
    /// All of the input is in the buffer, and the line end behind it, too.
    is_ended: bool,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// How many bytes and fields the record has.
    length: (usize, usize),
    /// Line ends between records.
    between: u64,
    line: u64,
}

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// The input.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Nothing that follows can be read.
    #[error(
        "line {line}: the row that begins here has more than {MAX_ROW_BYTES} bytes or {MAX_ROW_FIELDS} fields, and no \
         value is as long; a quotation mark may be missing at its end, or this is not CSV"
    )]
    TooLong {
        /// Where it begins.
        line: u64,
    },
    /// The input ends within quotation marks.
    #[error("a quotation mark is never closed{}", and_more(*.lines))]
    Unclosed {
        /// Where the record begins.
        line: u64,
        /// Lines behind that one, which are lost with it.
        lines: u64,
    },
    /// A quotation mark stands where none can. The record behind it can be read.
    #[error("{}{what}{}", at_line(*.line, what), and_more(*.lines))]
    Misquoted {
        /// Where the record begins.
        line: u64,
        /// Lines behind that one which belong to it.
        lines: u64,
        what: Misquoted,
    },
}

/// Lines that are part of a bad row are said: they may have been rows.
fn and_more(lines: u64) -> String {
    match lines {
        0 => String::new(),
        lines => format!("; the row has {}", counted(lines, "more line")),
    }
}

/// The line of a fault, where the record does not begin on it.
fn at_line(line: u64, what: &Misquoted) -> String {
    match what.lines {
        0 => String::new(),
        lines => format!("in line {}: ", line + lines),
    }
}

impl RecordError {
    /// The line of a record that is bad in itself; `None` where nothing that
    /// follows can be read.
    pub(crate) fn bad_line(&self) -> Option<u64> {
        match self {
            Self::Io(_) | Self::TooLong { .. } => None,
            Self::Unclosed { line, .. } | Self::Misquoted { line, .. } => Some(*line),
        }
    }
}

impl<R: Read> Records<R> {
    pub(crate) fn new(input: R, delimiter: u8) -> Self {
        Self {
            input,
            core: ReaderBuilder::new().delimiter(delimiter).build(),
            quotes: QuoteCheck::new(delimiter),
            buffer: vec![0; BUFFER_BYTES].into(),
            ready: 0..0,
            is_ended: false,
            bytes: vec![0; 1024],
            ends: vec![0; 64],
            length: (0, 0),
            between: 0,
            line: 1,
        }
    }

    /// Reads the next record that is not empty; false at the end.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub(crate) fn advance(&mut self) -> Result<bool, RecordError> {
        loop {
            if !self.begin()? {
                return Ok(false);
            }
            self.read()?;
            if !self.is_blank() {
                return Ok(true);
            }
        }
    }

    /// Steps over the line ends before a record; false when none is left.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            let ready = &self.buffer[self.ready.clone()];
            let ends = ready
                .iter()
                .take_while(|&&byte| byte == b'\n' || byte == b'\r');
            let (mut skipped, mut lines) = (0, 0);
            for &byte in ends {
                skipped += 1;
                lines += u64::from(byte == b'\n');
            }
            self.ready.start += skipped;
            self.between += lines;
            if !self.ready.is_empty() {
                self.line = self.core.line() + self.between;
                return Ok(true);
            }
            if !self.fill()? {
                return Ok(false);
            }
        }
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.is_ended {
            return Ok(false);
        }
        loop {
            match self.input.read(&mut self.buffer) {
                Ok(0) => {
                    // The last record ends like all others, unless the end is
                    // within quotation marks.
                    self.is_ended = true;
                    self.buffer[0] = b'\n';
                    self.ready = 0..1;
                    return Ok(true);
                }
                Ok(read) => {
                    self.ready = 0..read;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&mut self) -> Result<(), RecordError> {
        let line = self.line;
        self.length = (0, 0);
        self.quotes.begin();
        loop {
            if self.ready.is_empty() && !self.fill()? {
                let lines = self.quotes.lines_behind();
                return Err(RecordError::Unclosed { line, lines });
            }
            let (bytes, fields) = self.length;
            let (result, taken, put, ended) = self.core.read_record(
                &self.buffer[self.ready.clone()],
                &mut self.bytes[bytes..],
                &mut self.ends[fields..],
            );
            self.quotes
                .push(&self.buffer[self.ready.start..self.ready.start + taken]);
            self.ready.start += taken;
            self.length = (bytes + put, fields + ended);
            let has_room = match result {
                ReadRecordResult::Record => return self.well_quoted(line),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => true,
                ReadRecordResult::OutputFull => grow(&mut self.bytes, MAX_ROW_BYTES),
                ReadRecordResult::OutputEndsFull => grow(&mut self.ends, MAX_ROW_FIELDS),
            };
            if !has_room {
                return Err(RecordError::TooLong { line });
            }
        }
    }

    fn well_quoted(&self, line: u64) -> Result<(), RecordError> {
        let Some(what) = self.quotes.found() else {
            return Ok(());
        };
        let lines = self.quotes.lines_behind();
        Err(RecordError::Misquoted { line, lines, what })
    }

    /// A line of white space alone.
    fn is_blank(&self) -> bool {
        let (bytes, fields) = self.length;
        fields == 1 && self.bytes[..bytes].trim_ascii().is_empty()
    }

    /// How many fields the record has.
    pub(crate) fn len(&self) -> usize {
        self.length.1
    }

    /// A field, without its quotation marks.
    pub(crate) fn get(&self, place: usize) -> Option<&[u8]> {
        if place >= self.length.1 {
            return None;
        }
        let begin = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.get(begin..self.ends[place])
    }

    /// All fields.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|place| self.get(place).unwrap_or_default())
    }

    /// The line on which the record begins, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }
}

/// Makes room for twice as much; false where that is more than there may be.
fn grow<T: Copy + Default>(room: &mut Vec<T>, max: usize) -> bool {
    let larger = room.len().saturating_mul(2).min(max);
    let grows = larger > room.len();
    room.reserve_exact(larger - room.len());
    room.resize(larger, T::default());
    grows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: impl Read, delimiter: u8) -> Vec<Result<(u64, Vec<String>), String>> {
        let mut records = Records::new(input, delimiter);
        let mut found = Vec::new();
        loop {
            match records.advance() {
                Ok(true) => {
                    let fields = records.fields();
                    let fields = fields.map(|field| String::from_utf8_lossy(field).into_owned());
                    found.push(Ok((records.line(), fields.collect())));
                }
                Ok(false) => return found,
                Err(error) => {
                    found.push(Err(error.to_string()));
                    return found;
                }
            }
        }
    }

    fn good(text: &str) -> Vec<(u64, Vec<String>)> {
        let records = all(text.as_bytes(), b',').into_iter();
        records.map(|record| record.unwrap()).collect()
    }

    #[test]
    fn a_record_is_told_by_the_line_on_which_it_begins() {
        let text = "a,b\n\n\"x\ny\",2\n  \nc,\"d\"";
        let lines = |text: &str| good(text).iter().map(|(line, _)| *line).collect::<Vec<_>>();
        assert_eq!(lines(text), [1, 3, 6]);
        assert_eq!(lines(&text.replace('\n', "\r\n")), [1, 3, 6]);
        assert_eq!(good(text)[1].1, ["x\ny", "2"]);
        assert_eq!(good("a,b\r\n1,\"2\"\r\n")[1].1, ["1", "2"]);
        assert_eq!(good("a,b\r1,2\r")[1].1, ["1", "2"]);
        assert!(good("").is_empty() && good("\n \n\r\n").is_empty());
    }

    #[test]
    fn no_byte_but_the_last_one_ends_the_file() {
        let rows = good("1,2\n\u{4}\n3,4\n\u{4}");
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[1], (2, vec!["\u{4}".to_owned()]));
        assert_eq!(rows[3], (4, vec!["\u{4}".to_owned()]));
        for byte in (0..=u8::MAX).filter(|byte| !b"\n\r\" \t\x0b\x0c,".contains(byte)) {
            let text = [b"1,2\n", &[byte][..], b"\n3,4\n"].concat();
            assert_eq!(all(&text[..], b',').len(), 3, "byte {byte}");
        }
        assert_eq!(good("1,\"a\n\u{4}\n\"")[0].1[1], "a\n\u{4}\n");
    }

    #[test]
    fn a_quotation_mark_where_none_can_stand_spoils_its_record_alone() {
        let text = "a,b\n\"a\"b,1\n\"c\",\"d\"\n\"x\ny\"z,\"2\n3\",\n\"a\\\"b\",4\ne,f\"\ng,h\n";
        let mut records = Records::new(text.as_bytes(), b',');
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        loop {
            match records.advance() {
                Ok(true) => good.push(records.line()),
                Ok(false) => break,
                Err(error) => bad.push((error.bad_line().unwrap(), error.to_string())),
            }
        }
        assert_eq!(good, [1, 3, 9]);
        let lines: Vec<_> = bad.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 4, 7, 8]);
        assert!(
            bad[0]
                .1
                .contains("behind the quotation mark that ends it (column 4)")
        );
        let spread = &bad[1].1;
        assert!(
            spread.starts_with("in line 5: ") && spread.ends_with("; the row has 2 more lines"),
            "{spread}"
        );
        assert!(bad[3].1.contains("within a field"), "{bad:?}");
    }

    #[test]
    fn an_end_within_quotation_marks_is_noticed() {
        let lost = all("1,2\n\"3,4\n5,6\n7,8\n".as_bytes(), b',');
        assert_eq!(
            lost[1],
            Err("a quotation mark is never closed; the row has 2 more lines".to_owned())
        );
        for text in ["1,2\n\"3,4\n", "1,2\n\"3,4", "1,2\n\"", "1,2\n3,\"4\"\"\n"] {
            let found = all(text.as_bytes(), b',');
            assert_eq!(found.len(), 2, "{text}");
            assert_eq!(
                found[1],
                Err("a quotation mark is never closed".to_owned()),
                "{text}"
            );
        }
        assert_eq!(good("1,2\n3,\"4\"")[1].1, ["3", "4"]);
    }

    #[test]
    fn a_row_that_is_longer_than_any_is_not_kept() {
        for byte in [0, b',', b'a', b'"'] {
            let input = (&b"1,2\n\""[..]).chain(io::repeat(byte).take(400 << 20));
            let mut records = Records::new(input, b',');
            assert!(records.advance().unwrap());
            let error = records.advance().unwrap_err();
            assert!(matches!(error, RecordError::TooLong { line: 2 }), "{error}");
            assert!(records.bytes.len() <= MAX_ROW_BYTES && records.ends.len() <= MAX_ROW_FIELDS);
        }
        let commas = (&b"1,2\n"[..]).chain(io::repeat(b',').take(400 << 20));
        let mut records = Records::new(commas, b',');
        assert!(records.advance().unwrap() && records.advance().is_err());
        assert!(records.ends.len() <= MAX_ROW_FIELDS);
    }

    #[test]
    fn any_delimiter_is_taken_and_records_may_be_cut_anywhere() {
        /// Hands over a byte at a time.
        struct Slow<'a>(&'a [u8]);
        impl Read for Slow<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let read = self.0.len().min(1);
                buffer[..read].copy_from_slice(&self.0[..read]);
                self.0 = &self.0[read..];
                Ok(read)
            }
        }
        let text = "a;b\r\n\"1;\"\"5\";2\r\n3;4";
        let found = all(Slow(text.as_bytes()), b';');
        assert_eq!(found, all(text.as_bytes(), b';'));
        assert_eq!(found[1], Ok((2, vec!["1;\"5".to_owned(), "2".to_owned()])));
        assert_eq!(found[2].as_ref().unwrap().0, 3);
    }
}
