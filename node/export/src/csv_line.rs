//! Lines of CSV (RFC 4180, with LF): a field is quoted where it must be, and
//! where it is empty, so that an empty text is `""` and what is missing is
//! nothing.

use std::fmt::Display;
use std::io::{self, Write};

use headwater_protocols::manifest::ValueType;
use headwater_protocols::number;

/// Bytes that are collected before they go to the writer.
const BUFFER_BYTES: usize = 64 * 1024;

/// Writes field after field, and ends lines.
#[derive(Debug)]
pub(super) struct CsvLines<W: Write> {
    out: W,
    lines: Vec<u8>,
    /// Whether the line has a field.
    is_begun: bool,
    /// Whether spreadsheets are kept from running fields.
    is_safe: bool,
}

impl<W: Write> CsvLines<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            lines: Vec::with_capacity(BUFFER_BYTES),
            is_begun: false,
            is_safe: false,
        }
    }

    /// Lines in which no text is a formula.
    pub(super) fn safe(out: W) -> Self {
        Self {
            is_safe: true,
            ..Self::new(out)
        }
    }

    /// A value of a stream. Numbers are no formulas, whatever their sign; what
    /// somebody has published in their place may be anything.
    pub(super) fn value(&mut self, value_type: ValueType, text: &[u8]) {
        match value_type {
            ValueType::Number if !self.is_safe || is_number(text) => self.exact(text),
            ValueType::Number => self.field(text),
            ValueType::Text | ValueType::Json | ValueType::Bytes => self.field(text),
        }
    }

    /// A text, which may be empty.
    pub(super) fn field(&mut self, text: &[u8]) {
        if self.is_safe && is_formula(text) {
            let text = [b"'", text].concat();
            return self.exact(&text);
        }
        self.exact(text);
    }

    fn exact(&mut self, text: &[u8]) {
        self.part();
        let is_special = |byte: &u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
        if !text.is_empty() && !text.iter().any(is_special) {
            self.lines.extend_from_slice(text);
            return;
        }
        self.lines.push(b'"');
        for (turn, piece) in text.split(|&byte| byte == b'"').enumerate() {
            if turn > 0 {
                self.lines.extend_from_slice(b"\"\"");
            }
            self.lines.extend_from_slice(piece);
        }
        self.lines.push(b'"');
    }

    /// What is written without a comma, quote or line break.
    pub(super) fn plain(&mut self, what: impl Display) -> io::Result<()> {
        self.part();
        write!(self.lines, "{what}")
    }

    /// A field that has no value.
    pub(super) fn missing(&mut self) {
        self.part();
    }

    /// Ends the line.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.lines.push(b'\n');
        self.is_begun = false;
        if self.lines.len() >= BUFFER_BYTES {
            self.write()?;
        }
        Ok(())
    }

    /// Writes what was collected.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write()?;
        self.out.flush()
    }

    fn part(&mut self) {
        if self.is_begun {
            self.lines.push(b',');
        }
        self.is_begun = true;
    }

    fn write(&mut self) -> io::Result<()> {
        self.out.write_all(&self.lines)?;
        self.lines.clear();
        Ok(())
    }
}

fn is_number(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| number::json_token(text).is_some())
}

/// Whether a spreadsheet that opens the file would run a text instead of showing
/// it (OWASP's list of CSV injections).
fn is_formula(text: &[u8]) -> bool {
    const WIDE: [&str; 4] = ["＝", "＋", "－", "＠"];
    let is_wide = || WIDE.iter().any(|sign| text.starts_with(sign.as_bytes()));
    matches!(
        text.first(),
        Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n')
    ) || is_wide()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_back_and_an_empty_one_is_not_a_missing_one() {
        let rows: [&[Option<&str>]; 4] = [
            &[Some("a"), Some(""), None, Some("b c")],
            &[Some(""), None],
            &[None, Some(",\"\r\n"), Some("\"")],
            &[Some("ü\0'"), Some("\"\""), Some("a\nb")],
        ];
        let mut out = Vec::new();
        let mut lines = CsvLines::new(&mut out);
        for row in rows {
            for field in row {
                match field {
                    Some(text) => lines.field(text.as_bytes()),
                    None => lines.missing(),
                }
            }
            lines.end().unwrap();
        }
        lines.finish().unwrap();
        assert!(out.starts_with(b"a,\"\",,b c\n\"\",\n,\",\"\"\r\n\",\"\"\"\"\n"));
        let mut reader = csv::ReaderBuilder::new();
        let mut reader = reader
            .has_headers(false)
            .flexible(true)
            .from_reader(&out[..]);
        for (row, read) in rows.iter().zip(reader.records()) {
            let wanted: Vec<_> = row.iter().map(|field| field.unwrap_or_default()).collect();
            assert_eq!(read.unwrap(), wanted);
        }
    }

    #[test]
    fn no_text_is_a_formula_where_lines_are_safe_and_numbers_stay_what_they_are() {
        let write = |mut lines: CsvLines<Vec<u8>>| {
            for text in [
                "=cmd|'/c calc'!A0",
                "@x",
                "\t=1",
                "+1,2",
                "-",
                "＝1",
                "a=1",
                "'",
                "",
            ] {
                lines.value(ValueType::Text, text.as_bytes());
            }
            for number in ["-5", "+5", "=cmd|'/c calc'!A0", "-5+cmd"] {
                lines.value(ValueType::Number, number.as_bytes());
            }
            lines.end().unwrap();
            lines.write().unwrap();
            String::from_utf8(lines.out).unwrap()
        };
        assert_eq!(
            write(CsvLines::safe(Vec::new())),
            "'=cmd|'/c calc'!A0,'@x,'\t=1,\"'+1,2\",'-,'＝1,a=1,',\"\",-5,+5,'=cmd|'/c calc'!A0,'-5+cmd\n"
        );
        assert_eq!(
            write(CsvLines::new(Vec::new())),
            "=cmd|'/c calc'!A0,@x,\t=1,\"+1,2\",-,＝1,a=1,',\"\",-5,+5,=cmd|'/c calc'!A0,-5+cmd\n"
        );
    }

    #[test]
    fn long_tables_are_written_in_parts_and_whole() {
        let mut out = Vec::new();
        let mut lines = CsvLines::new(&mut out);
        for number in 0..50_000 {
            lines.plain(number).unwrap();
            lines.field(b"x");
            lines.end().unwrap();
        }
        assert!(lines.lines.len() < 2 * BUFFER_BYTES);
        lines.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 50_000);
        assert!(text.ends_with("\n49999,x\n"));
    }
}
