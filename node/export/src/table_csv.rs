//! CSV files of rows, as they are written here, read back as what was signed. Unlike
//! other readers it tells an empty text, `""`, from a field without a value.

use std::io::{self, BufRead, BufReader, Read};

use headwater_client::cell::{Cell, TokenWriter};
use headwater_client::times;
use headwater_protocols::manifest::ColumnType;
use headwater_protocols::record::Record;

use super::limits::MAX_READ_LINE_BYTES;
use super::table::Table;

/// Reads the records of a file, one after the other, without its header.
///
/// # Errors
/// `fail` makes them of what cannot be read, with the line; or `take` fails.
pub(super) fn table_rows<E>(
    file: impl Read,
    table: &Table,
    fail: impl Fn(u64, String) -> E,
    mut take: impl FnMut(u64, Record) -> Result<(), E>,
) -> Result<(), E> {
    let mut lines = Lines {
        input: BufReader::with_capacity(1 << 16, file),
        bytes: Vec::new(),
        fields: Vec::new(),
        line: 0,
        next: 1,
    };
    let mut tokens = TokenWriter::default();
    let mut is_header = true;
    loop {
        match lines.advance() {
            Ok(true) if is_header => is_header = false,
            Ok(true) => {
                let read = record(table, &lines.fields, &mut tokens);
                let (index, record) = read.map_err(|why| fail(lines.line, why.to_owned()))?;
                take(index, record)?;
            }
            Ok(false) => return Ok(()),
            Err(error) => return Err(fail(lines.line, error.to_string())),
        }
    }
}

/// A field; nothing where there is no value.
type Field = Option<Vec<u8>>;

/// Cuts a file into its lines, which may go on in quotation marks, and these into fields.
struct Lines<R> {
    input: R,
    bytes: Vec<u8>,
    fields: Vec<Field>,
    /// Where the line begins, from 1.
    line: u64,
    next: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        self.bytes.clear();
        self.line = self.next;
        let mut is_quoted = false;
        loop {
            let from = self.bytes.len();
            let room = MAX_READ_LINE_BYTES.saturating_sub(from) as u64;
            let mut input = (&mut self.input).take(room);
            if input.read_until(b'\n', &mut self.bytes)? == 0 {
                break;
            }
            self.next += 1;
            let quotes = self.bytes[from..].iter().filter(|&&byte| byte == b'"');
            is_quoted ^= quotes.count() % 2 == 1;
            if !is_quoted && self.bytes.ends_with(b"\n") {
                self.bytes.pop();
                self.split();
                return Ok(true);
            }
        }
        match self.bytes.is_empty() {
            true => Ok(false),
            false => Err(io::Error::other("it does not end")),
        }
    }

    fn split(&mut self) {
        self.fields.clear();
        let mut rest = Some(&*self.bytes);
        while let Some(bytes) = rest {
            let mut is_quoted = false;
            let is_end = |byte: &u8| {
                is_quoted ^= *byte == b'"';
                *byte == b',' && !is_quoted
            };
            let end = bytes.iter().position(is_end);
            let field = &bytes[..end.unwrap_or(bytes.len())];
            rest = end.map(|end| &bytes[end + 1..]);
            self.fields.push(unquoted(field));
        }
    }
}

fn unquoted(field: &[u8]) -> Field {
    let Some(quoted) = field.strip_prefix(b"\"") else {
        return (!field.is_empty()).then(|| field.to_vec());
    };
    let mut text = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        // Of two quotation marks one is meant, and behind the last one is nothing.
        if byte != b'"' || bytes.next().is_some() {
            text.push(byte);
        }
    }
    Some(text)
}

fn record(
    table: &Table,
    fields: &[Field],
    tokens: &mut TokenWriter,
) -> Result<(u64, Record), &'static str> {
    let [index, time, cells @ .., token] = fields else {
        return Err("it has too few fields");
    };
    let index = text(index).and_then(|index| index.parse().ok());
    let index = index.ok_or("its index is no whole number")?;
    let time = text(time).and_then(|time| times::exact(time).ok());
    let time = time.ok_or("its time is no RFC 3339 time")?;
    if cells.len() != table.names().count() {
        return Err("it has another number of fields than the stream has columns");
    }
    if let Some(value) = token {
        return Ok((index, Record::new(time, value)));
    }
    let mut value = Vec::new();
    for (cell, column_type) in cells.iter().zip(table.types()) {
        value.push(if value.is_empty() { b'[' } else { b',' });
        put(&mut value, cell, column_type, tokens).ok_or("a field is not UTF-8")?;
    }
    let rest = cells.get(table.types().count()).and_then(Option::as_ref);
    match rest.and_then(|rest| rest.strip_prefix(b"[")) {
        Some(rest) => {
            value.push(b',');
            value.extend_from_slice(rest);
        }
        None => value.push(b']'),
    }
    Ok((index, Record::new(time, &value)))
}

/// Appends the token that a cell is written as.
fn put(
    value: &mut Vec<u8>,
    cell: &Field,
    column_type: ColumnType,
    tokens: &mut TokenWriter,
) -> Option<()> {
    let Some(bytes) = cell else {
        tokens.put(value, &Cell::Missing);
        return Some(());
    };
    let text = str::from_utf8(bytes).ok()?;
    let is_quoted = match column_type {
        ColumnType::Text | ColumnType::Bytes => true,
        // Else it is what RFC 3339 cannot say.
        ColumnType::Time => text.parse::<i64>().is_err(),
        ColumnType::Number | ColumnType::Integer | ColumnType::Bool | ColumnType::Json => false,
    };
    match is_quoted {
        true => tokens.put(value, &Cell::Text(text.into())),
        false => value.extend_from_slice(bytes),
    }
    Some(())
}

fn text(field: &Field) -> Option<&str> {
    str::from_utf8(field.as_ref()?).ok()
}
