//! The requests of a connection, as their bytes come. The next one may come before the
//! last is answered, and behind a body that nobody wanted, so that each head is found
//! by where the body before it ends.

use super::head::{BodyEnd, Head};

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Head(Head),
    /// So much of a body.
    Body(u64),
    /// The line with the size of a chunk, as far as it was said.
    Size {
        size: Option<u64>,
        is_said: bool,
    },
    /// So much of a chunk.
    Chunk(u64),
    /// What may be said behind the last chunk: lines, of which an empty one is the end.
    Trailer {
        is_empty: bool,
    },
    /// Nothing that is answered.
    Nothing,
}

/// The requests that have come, and those of them that somebody answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requests {
    next: Next,
    come: u64,
    asked: u64,
    /// Which of them says in two ways where its body ends: with it the connection ends.
    ambiguous: Option<u64>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            next: Next::Head(Head::default()),
            come: 0,
            asked: 0,
            ambiguous: None,
        }
    }
}

impl Requests {
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let [byte, rest @ ..] = bytes {
            bytes = match &mut self.next {
                Next::Head(head) => {
                    let read = head.read(bytes);
                    self.head_read();
                    &bytes[read..]
                }
                Next::Body(left) => skipped(bytes, left),
                Next::Chunk(left) => skipped(bytes, left),
                Next::Size { .. } | Next::Trailer { .. } => {
                    self.line_read(*byte);
                    rest
                }
                Next::Nothing => return,
            };
            match self.next {
                Next::Body(0) => self.next = Next::Head(Head::default()),
                Next::Chunk(0) => self.next = SIZE,
                _ => {}
            }
        }
    }

    /// Somebody answers the next one; whether it is ambiguous.
    pub(super) fn asked(&mut self) -> bool {
        self.asked += 1;
        self.ambiguous == Some(self.asked)
    }

    /// Goes on behind a head that has ended.
    fn head_read(&mut self) {
        if let Next::Head(head) = &self.next
            && let Some(end) = head.body_end()
        {
            self.come += 1;
            self.next = match end {
                _ if head.is_ambiguous() => {
                    self.ambiguous = Some(self.come);
                    Next::Nothing
                }
                BodyEnd::After(bytes) => Next::Body(bytes),
                BodyEnd::Coded => SIZE,
            };
        }
    }

    /// Reads of what is said in lines between the chunks of a body, and behind them.
    fn line_read(&mut self, byte: u8) {
        match (&mut self.next, byte) {
            // The end of the chunk before.
            (Next::Size { size: None, .. }, b'\n') => {}
            (Next::Size { size: Some(0), .. }, b'\n') => {
                self.next = Next::Trailer { is_empty: true };
            }
            (
                Next::Size {
                    size: Some(size), ..
                },
                b'\n',
            ) => self.next = Next::Chunk(*size),
            (Next::Size { size, is_said }, byte) => {
                let digit = char::from(byte).to_digit(16).filter(|_| !*is_said);
                match digit {
                    Some(digit) => {
                        let before = size.unwrap_or_default().saturating_mul(16);
                        *size = Some(before.saturating_add(digit.into()));
                    }
                    None => *is_said = size.is_some(),
                }
            }
            (Next::Trailer { is_empty: true }, b'\n') => self.next = Next::Head(Head::default()),
            (Next::Trailer { is_empty }, byte) => match byte {
                b'\n' => *is_empty = true,
                b'\r' => {}
                _ => *is_empty = false,
            },
            _ => {}
        }
    }
}

/// The line of a chunk's size, from its beginning.
const SIZE: Next = Next::Size {
    size: None,
    is_said: false,
};

/// What is behind so many bytes, of which those that are here are left no longer.
fn skipped<'a>(bytes: &'a [u8], left: &mut u64) -> &'a [u8] {
    let here = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    *left -= here as u64;
    &bytes[here..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMBIGUOUS: &str =
        "POST / HTTP/1.1\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n";

    /// Which of the first few requests are ambiguous, when they come in parts.
    fn ambiguous(text: &str, part: usize) -> Vec<u64> {
        let mut requests = Requests::default();
        for part in text.as_bytes().chunks(part) {
            requests.read(part);
        }
        (1..10).filter(|_| requests.asked()).collect()
    }

    #[test]
    fn a_request_is_found_behind_others_whatever_their_bodies_have_in_them() {
        let first = [
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
            // A body that looks like a request.
            format!(
                "\r\nPOST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n{AMBIGUOUS}",
                AMBIGUOUS.len()
            ),
            format!(
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{:X};a=5\r\n{AMBIGUOUS}\r\n\
                 1 \r\n\n\r\n0\r\n\r\n",
                AMBIGUOUS.len()
            ),
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: 1\r\nb: 2\r\n\r\n"
                .to_owned(),
        ];
        for part in [1, 7, 10_000] {
            for first in &first {
                assert_eq!(ambiguous(&first.repeat(3), part), [0; 0], "{first}");
                let text = format!("{}{AMBIGUOUS}", first.repeat(2));
                assert_eq!(ambiguous(&text, part), [3], "{first}");
            }
            // What comes behind it is not answered.
            assert_eq!(ambiguous(&AMBIGUOUS.repeat(2), part), [1]);
        }
    }
}
