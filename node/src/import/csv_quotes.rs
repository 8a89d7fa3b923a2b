//! Quotation marks of a CSV file, as RFC 4180 has them: a field stands within two
//! of them or has none, and within them one is written twice. Readers guess what
//! else may be meant, and each guesses something else; here it is told where it
//! stands.

use std::fmt;

/// The first quotation mark of a record that stands where none can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misquoted {
    fault: Fault,
    /// Line ends of the record before it.
    pub(crate) lines: u64,
    /// The character in its line, from 1.
    column: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// `"a"b`: a field goes on behind its end.
    Behind,
    /// `a"b`: one within a field that did not begin with one.
    Within,
}

/// Where in a field the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Start,
    Plain,
    Quoted,
    /// Behind a quotation mark that ends the field, unless another one follows.
    Ended,
}

/// Looks at a record byte by byte, as it is read.
#[derive(Debug)]
pub(crate) struct QuoteCheck {
    delimiter: u8,
    place: Place,
    lines: u64,
    /// Line ends before the last character that is none.
    reached: u64,
    /// Characters of the line up to here.
    column: u64,
    found: Option<Misquoted>,
}

impl QuoteCheck {
    pub(crate) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            place: Place::Start,
            lines: 0,
            reached: 0,
            column: 0,
            found: None,
        }
    }

    /// Another record begins.
    pub(crate) fn begin(&mut self) {
        *self = Self::new(self.delimiter);
    }

    /// Lines of the record behind that on which it begins.
    pub(crate) fn lines_behind(&self) -> u64 {
        self.reached
    }

    pub(crate) fn found(&self) -> Option<Misquoted> {
        self.found
    }

    /// Looks at the next bytes of the record.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let is_outside = matches!(self.place, Place::Start | Place::Plain);
        if is_outside && !bytes.contains(&b'"') {
            return self.push_plain(bytes);
        }
        for &byte in bytes {
            self.push_byte(byte);
        }
    }

    /// Bytes without a quotation mark, outside of any.
    fn push_plain(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else {
            return;
        };
        self.place = match last == self.delimiter {
            true => Place::Start,
            false => Place::Plain,
        };
        self.reached = self.lines;
        // A line end is the end of the record, too, so that nobody asks for the column.
        if last == b'\n' {
            self.lines += 1;
            self.column = 0;
            return;
        }
        let begins_character = |byte: &&u8| !matches!(byte, 0x80..=0xbf);
        self.column += bytes.iter().filter(begins_character).count() as u64;
    }

    fn push_byte(&mut self, byte: u8) {
        if !matches!(byte, 0x80..=0xbf) {
            self.column += 1;
        }
        let is_end = byte == self.delimiter || matches!(byte, b'\n' | b'\r');
        self.place = match (self.place, byte) {
            (Place::Start | Place::Ended, b'"') => Place::Quoted,
            (Place::Quoted, b'"') => Place::Ended,
            (Place::Quoted, _) => Place::Quoted,
            (Place::Start | Place::Plain | Place::Ended, _) if is_end => Place::Start,
            (Place::Plain, b'"') => self.fault(Fault::Within),
            (Place::Ended, _) => self.fault(Fault::Behind),
            (Place::Start | Place::Plain, _) => Place::Plain,
        };
        match byte {
            b'\n' => (self.lines, self.column) = (self.lines + 1, 0),
            b'\r' => {}
            _ => self.reached = self.lines,
        }
    }

    fn fault(&mut self, fault: Fault) -> Place {
        self.found.get_or_insert(Misquoted {
            fault,
            lines: self.lines,
            column: self.column,
        });
        // So go on those who read it.
        Place::Plain
    }
}

impl fmt::Display for Misquoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            Fault::Behind => "a field goes on behind the quotation mark that ends it",
            Fault::Within => "a quotation mark stands within a field that does not begin with one",
        };
        write!(
            f,
            "{what} (column {}); a field with quotation marks stands within two of them, and each of its own is written twice \
             (\"a \"\"b\"\" c\")",
            self.column
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<Misquoted> {
        let mut whole = QuoteCheck::new(b',');
        whole.push(text.as_bytes());
        // Wherever it is cut, the same is found.
        for cut in 0..=text.len() {
            let mut check = QuoteCheck::new(b',');
            check.push(&text.as_bytes()[..cut]);
            check.push(&text.as_bytes()[cut..]);
            assert_eq!(check.found(), whole.found(), "{text} cut at {cut}");
        }
        whole.found()
    }

    #[test]
    fn fields_are_quoted_wholly_or_not_at_all() {
        for good in [
            "a,b\n",
            "\"a\",b\r\n",
            "a,\"b \"\"c\"\"\"\n",
            "\"\",\"\"\"\"\n",
            "\"a\nb\",\"c,d\"",
            "a\\b,'c'\n",
            "\"a\\\\\",b\n",
        ] {
            assert_eq!(found(good), None, "{good}");
        }
        for (bad, fault, column) in [
            ("\"a\"b,c\n", Fault::Behind, 4),
            ("\"a\" ,c\n", Fault::Behind, 4),
            ("\"a\\\"b\",c\n", Fault::Behind, 5),
            ("x,é\"b\n", Fault::Within, 4),
            ("x,5\" pipe\n", Fault::Within, 4),
            ("x, \"y\"\n", Fault::Within, 4),
            ("a\"b,c\",d", Fault::Within, 2),
        ] {
            let expected = Misquoted {
                fault,
                lines: 0,
                column,
            };
            assert_eq!(found(bad), Some(expected), "{bad}");
        }
    }

    #[test]
    fn the_line_of_a_fault_is_counted_within_the_record() {
        let fault = found("\"a\r\nb\n\"c,d\n").unwrap();
        assert_eq!((fault.lines, fault.column), (2, 2));
        let lines = |text: &str| {
            let mut check = QuoteCheck::new(b',');
            check.push(text.as_bytes());
            check.lines_behind()
        };
        assert_eq!(lines("a,b\r\n"), 0);
        assert_eq!(lines("\"a\nb\n"), 1);
        assert_eq!(lines("\"a\nb\n\n"), 1);
        assert!(fault.to_string().contains("(column 2)"), "{fault}");
    }

    #[test]
    fn the_next_record_is_looked_at_anew() {
        let mut check = QuoteCheck::new(b';');
        check.push(b"a\"b");
        assert!(check.found().is_some());
        check.begin();
        check.push(b"\"a\";b");
        assert_eq!(check.found(), None);
    }
}
