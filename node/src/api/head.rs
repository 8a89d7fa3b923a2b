//! The head of a request, as its bytes come: how long it is, and what of it is
//! answered before, or otherwise than, by the library that reads it.

use super::limits::MAX_HEAD_BYTES;

/// Bytes of a line by which it is told what it is.
const TOLD_BYTES: usize = TRANSFER_ENCODING.len();

const CONTENT_LENGTH: &[u8] = b"content-length";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";

/// What HTTP/2 begins with instead of a request (RFC 9113, 3.4), in small letters.
const HTTP_2: &[u8] = b"pri * http/2.0";

/// Why a head is not read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    TooLong,
    Http2,
}

impl Unreadable {
    /// What the other end is told.
    pub(super) fn answer(self) -> String {
        let (status, title, detail) = match self {
            Self::TooLong => (
                431,
                "Request Header Fields Too Large",
                format!(
                    "the head of the request has {MAX_HEAD_BYTES} bytes or more; name fewer streams in its \
                     address, or send fewer cookies"
                ),
            ),
            Self::Http2 => (
                505,
                "HTTP Version Not Supported",
                "HTTP/2 is not spoken here; ask by HTTP/1.1".to_owned(),
            ),
        };
        let body = format!(
            "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\"detail\":\"{detail}\"}}\n"
        );
        format!(
            "HTTP/1.1 {status} {title}\r\nConnection: close\r\n\
             Content-Type: application/problem+json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// What has come of a head. Of a request that comes in one go more of the body may
/// be read before anybody hears of the head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    bytes: usize,
    /// Lines that have ended and had something in them.
    lines: usize,
    /// Bytes of the line that has not, and the first of them in small letters.
    line_bytes: usize,
    line_begins: [u8; TOLD_BYTES],
    is_http_2: bool,
    /// How long the body is said to be, and whether this line says so.
    length: Option<u64>,
    says_length: bool,
    has_coding: bool,
    has_ended: bool,
}

/// Where the body behind a head ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyEnd {
    After(u64),
    /// Behind its last chunk.
    Coded,
}

impl Head {
    /// Whether anything of it has come.
    pub(super) fn has_begun(&self) -> bool {
        self.bytes > 0
    }

    /// Reads of these bytes what is the head's, and returns how many that were.
    pub(super) fn read(&mut self, bytes: &[u8]) -> usize {
        for (read, &byte) in bytes.iter().enumerate() {
            if self.has_ended {
                return read;
            }
            self.bytes += 1;
            match byte {
                b'\n' => self.end_line(),
                b'\r' => {}
                byte => {
                    if byte == b':' && self.lines > 0 {
                        self.has_coding |= self.line_is(TRANSFER_ENCODING);
                        if self.line_is(CONTENT_LENGTH) {
                            (self.length, self.says_length) = (Some(0), true);
                        }
                    }
                    if let Some(length) = self.length.filter(|_| self.says_length)
                        && let Some(digit) = char::from(byte).to_digit(10)
                    {
                        let length = length.saturating_mul(10).saturating_add(digit.into());
                        self.length = Some(length);
                    }
                    if let Some(place) = self.line_begins.get_mut(self.line_bytes) {
                        *place = byte.to_ascii_lowercase();
                    }
                    self.line_bytes += 1;
                }
            }
        }
        bytes.len()
    }

    /// An empty line ends it, but for those before its first.
    fn end_line(&mut self) {
        if self.line_bytes == 0 {
            self.has_ended = self.lines > 0;
            return;
        }
        self.is_http_2 |= self.lines == 0 && self.line_is(HTTP_2);
        self.lines += 1;
        self.line_bytes = 0;
        self.says_length = false;
    }

    /// Whether the line has this in it so far, and nothing else.
    fn line_is(&self, text: &[u8]) -> bool {
        self.line_bytes == text.len() && self.line_begins.starts_with(text)
    }

    /// Why no more of it is read.
    pub(super) fn unreadable(&self) -> Option<Unreadable> {
        if self.is_http_2 {
            return Some(Unreadable::Http2);
        }
        (!self.has_ended && self.bytes >= MAX_HEAD_BYTES).then_some(Unreadable::TooLong)
    }

    /// Whether it says in two ways where its body ends. Two programs may believe two
    /// of them, and take what one sent for the request of another (RFC 9112, 11.2).
    pub(super) fn is_ambiguous(&self) -> bool {
        self.length.is_some() && self.has_coding
    }

    /// Where the body ends, once the head has.
    pub(super) fn body_end(&self) -> Option<BodyEnd> {
        let end = match self.has_coding {
            true => BodyEnd::Coded,
            false => BodyEnd::After(self.length.unwrap_or_default()),
        };
        self.has_ended.then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head that comes in parts of so many bytes.
    fn of(text: &[u8], part: usize) -> Head {
        let mut head = Head::default();
        for part in text.chunks(part) {
            head.read(part);
        }
        head
    }

    #[test]
    fn a_head_that_says_twice_where_its_body_ends_is_ambiguous_however_it_comes() {
        let both = |first: &str, second: &str| {
            format!("\r\nPOST / HTTP/1.1\r\nhost: a\r\n{first}\r\n{second}\r\n\r\n")
        };
        let length = "Content-LENGTH: 4";
        let coding = "transfer-Encoding:chunked";
        for part in [1, 3, 1_000] {
            for (first, second) in [(length, coding), (coding, length)] {
                assert!(of(both(first, second).as_bytes(), part).is_ambiguous());
            }
            for other in [
                "content-length-of: 4",
                "x-content-length: 4",
                "a: content-length: 4",
            ] {
                assert!(
                    !of(both(other, coding).as_bytes(), part).is_ambiguous(),
                    "{other}"
                );
            }
            // What comes behind it is no part of it.
            let behind = format!("{}{coding}\r\n\r\n", both(length, "a: b"));
            assert!(!of(behind.as_bytes(), part).is_ambiguous());
        }
        let address = b"GET content-length:x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(!of(address, 1).is_ambiguous());
    }

    #[test]
    fn a_head_tells_where_its_body_ends() {
        let end = |line: &str| {
            let text = format!("POST /5 HTTP/1.1\r\n{line}\r\na: 6\r\n\r\n7");
            [1, 4, 1_000].map(|part| of(text.as_bytes(), part).body_end())
        };
        let is_always = |end| [Some(end); 3];
        assert_eq!(end("Content-Length: 120"), is_always(BodyEnd::After(120)));
        assert_eq!(end("x-length: 12"), is_always(BodyEnd::After(0)));
        assert_eq!(end("transfer-encoding: chunked"), is_always(BodyEnd::Coded));
        let many = "9".repeat(30);
        let most = is_always(BodyEnd::After(u64::MAX));
        assert_eq!(end(&format!("content-length:{many}")), most);
        assert_eq!(of(b"GET / HTTP/1.1\r\n", 1).body_end(), None);
    }

    #[test]
    fn http_2_is_told_by_its_first_line() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for part in [1, 5, 24] {
            assert_eq!(of(preface, part).unreadable(), Some(Unreadable::Http2));
        }
        let later = b"GET / HTTP/1.1\r\nPRI * HTTP/2.0\r\n\r\n";
        assert_eq!(of(later, 1).unreadable(), None);
    }

    #[test]
    fn an_answer_has_the_length_that_it_says() {
        for why in [Unreadable::TooLong, Unreadable::Http2] {
            let answer = why.answer();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
            let problem: serde_json::Value = serde_json::from_str(body).unwrap();
            let status = problem["status"].as_u64().unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")));
        }
    }
}
