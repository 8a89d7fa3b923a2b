//! CSV files.

use std::io::{self, Read};

use crate::import::csv_records::{RecordError, Records};
use crate::import::limits::BUFFER_BYTES;
use crate::import::number_text::with_point;
use crate::memory::bounded;

/// A record: the line on which it begins, and its fields.
type Row = (u64, Vec<Vec<u8>>);

/// What stands between the fields.
const DELIMITERS: [u8; 5] = [b',', b';', b'\t', b'|', b' '];

/// The first byte says what stands between the fields, the second one how many
/// bytes a read brings.
pub fn tables(bytes: &[u8]) {
    let [delimiter, step, bytes @ ..] = bytes else {
        return;
    };
    let delimiter = DELIMITERS[usize::from(*delimiter) % DELIMITERS.len()];
    // A byte order mark is left off before, wherever the bytes come from.
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return;
    }
    let mut rows = Vec::new();
    // Beside the buffer a row of each kind may stand twice while it grows.
    let result = bounded("a table", bytes.len() + BUFFER_BYTES, 4, || {
        let mut records = Records::new(bytes, delimiter);
        let mut count = 0;
        while records.advance()? {
            count += records.fields().count();
            assert!(records.get(records.len()).is_none());
        }
        Ok::<_, RecordError>(count)
    });
    let all = read(bytes, delimiter, &mut rows);
    assert_eq!(all.as_ref().ok(), result.ok().as_ref());
    check_lines(bytes, &rows);
    // However the bytes come, the records are the same.
    let mut in_steps = Vec::new();
    let steps = Steps {
        bytes,
        step: usize::from(*step).max(1),
    };
    let stepwise = read(steps, delimiter, &mut in_steps);
    assert_eq!(
        stepwise.map_err(|error| error.to_string()),
        all.map_err(|error| error.to_string())
    );
    assert_eq!(in_steps, rows);
    if !bytes.contains(&b'"') {
        assert_eq!(rows, split(bytes, delimiter));
    }
    rewritten(&rows, delimiter);
    numbers(&rows);
}

/// Reads a few bytes at a time.
struct Steps<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Steps<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(self.bytes.len()).min(buffer.len());
        let (now, later) = self.bytes.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.bytes = later;
        Ok(count)
    }
}

/// All records up to the first that is none; how many fields they have.
fn read(input: impl Read, delimiter: u8, rows: &mut Vec<Row>) -> Result<usize, RecordError> {
    let mut records = Records::new(input, delimiter);
    let mut count = 0;
    while records.advance()? {
        count += records.len();
        rows.push((
            records.line(),
            records.fields().map(<[u8]>::to_vec).collect(),
        ));
    }
    Ok(count)
}

fn check_lines(bytes: &[u8], rows: &[Row]) {
    let breaks = bytes
        .iter()
        .filter(|&&byte| byte == b'\n' || byte == b'\r')
        .count() as u64;
    assert!(rows.iter().all(|(line, _)| (1..=breaks + 1).contains(line)));
    assert!(rows.windows(2).all(|pair| pair[0].0 <= pair[1].0));
}

/// The records of a table without quotation marks.
fn split(bytes: &[u8], delimiter: u8) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut line = 1;
    for part in bytes.split_inclusive(|&byte| byte == b'\n' || byte == b'\r') {
        let text = part
            .strip_suffix(b"\n")
            .or(part.strip_suffix(b"\r"))
            .unwrap_or(part);
        let fields: Vec<_> = text
            .split(|&byte| byte == delimiter)
            .map(<[u8]>::to_vec)
            .collect();
        let is_blank = fields.len() == 1 && fields[0].trim_ascii().is_empty();
        if !is_blank {
            rows.push((line, fields));
        }
        line += u64::from(part.ends_with(b"\n"));
    }
    rows
}

/// With each field in quotation marks the same is read again.
fn rewritten(rows: &[Row], delimiter: u8) {
    let mut table = Vec::new();
    for (_, fields) in rows {
        for (place, field) in fields.iter().enumerate() {
            table.extend((place > 0).then_some(delimiter));
            table.push(b'"');
            for &byte in field {
                table.extend(std::iter::repeat_n(byte, if byte == b'"' { 2 } else { 1 }));
            }
            table.push(b'"');
        }
        table.push(b'\n');
    }
    let mut again = Vec::new();
    read(&table[..], delimiter, &mut again).expect("it was written by the book");
    let fields =
        |rows: &[Row]| -> Vec<_> { rows.iter().map(|(_, fields)| fields.clone()).collect() };
    let is_blank = |fields: &Vec<Vec<u8>>| fields.len() == 1 && fields[0].trim_ascii().is_empty();
    let expected: Vec<_> = fields(rows)
        .into_iter()
        .filter(|fields| !is_blank(fields))
        .collect();
    assert_eq!(fields(&again), expected);
}

/// With a point a number has no comma any more.
fn numbers(rows: &[Row]) {
    for field in rows.iter().flat_map(|(_, fields)| fields) {
        if let Ok(number) = with_point(&String::from_utf8_lossy(field)) {
            assert!(!number.contains(','), "{number}");
        }
    }
}
