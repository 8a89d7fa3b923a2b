//! One range of bytes, as clients of files ask for it (RFC 9110, 14).

use axum::http::{HeaderMap, header};

/// A range, before it is known how long the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteRange {
    /// `bytes=2-5`: from the first to the last byte.
    Between(u64, u64),
    /// `bytes=2-`: all from a byte on, as who goes on with a download asks.
    From(u64),
    /// `bytes=-8`: so many at the end.
    Last(u64),
}

impl ByteRange {
    /// The range that is asked for. Nothing for several ones, or one that is not
    /// understood: a server may leave those out.
    pub(super) fn asked(headers: &HeaderMap) -> Option<Self> {
        let mut ranges = headers.get_all(header::RANGE).iter();
        let (range, another) = (ranges.next()?, ranges.next());
        if another.is_some() {
            return None;
        }
        Self::parse(range.to_str().ok()?)
    }

    fn parse(range: &str) -> Option<Self> {
        let range = range.trim().strip_prefix("bytes=")?.trim();
        match range.split_once('-')? {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// The bytes `[from, to)` of an answer of this length, at least one; nothing
    /// where it has none of them.
    pub(super) fn within(self, length: u64) -> Option<(u64, u64)> {
        let (from, to) = match self {
            Self::Between(first, last) => (first, last.saturating_add(1).min(length)),
            Self::From(first) => (first, length),
            Self::Last(bytes) => (length.saturating_sub(bytes), length),
        };
        (from < to).then_some((from, to))
    }
}

/// Digits alone: `parse` would take a sign.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &str) -> Option<ByteRange> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        ByteRange::asked(&headers)
    }

    fn of_ten(range: &str) -> Option<(u64, u64)> {
        asked(range).unwrap().within(10)
    }

    #[test]
    fn a_range_has_a_beginning_an_end_or_both() {
        assert_eq!(of_ten("bytes=0-0"), Some((0, 1)));
        assert_eq!(of_ten("bytes=2-5"), Some((2, 6)));
        assert_eq!(of_ten("bytes=2-"), Some((2, 10)));
        assert_eq!(of_ten("bytes=2-99999999999999999999"), Some((2, 10)));
        assert_eq!(of_ten("bytes=-3"), Some((7, 10)));
        assert_eq!(of_ten("bytes=-30"), Some((0, 10)));
        for beyond in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(of_ten(beyond), None, "{beyond}");
        }
        assert_eq!(ByteRange::asked(&HeaderMap::new()), None);
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        for range in ["", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b"] {
            assert_eq!(asked(range), None, "{range}");
        }
        for range in ["bytes=0-1,4-5", "bytes=+1-2", "bytes=--3", "lines=0-1"] {
            assert_eq!(asked(range), None, "{range}");
        }
        let mut two = HeaderMap::new();
        two.append(header::RANGE, "bytes=0-1".parse().unwrap());
        two.append(header::RANGE, "bytes=4-5".parse().unwrap());
        assert_eq!(ByteRange::asked(&two), None);
    }
}
