//! One range of bytes, as clients of Parquet ask for it (RFC 9110, 14).

use axum::http::{HeaderMap, header};

/// What is asked for of an answer of a known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it: no range, several ones, or none that is understood; a server
    /// may leave those out.
    All,
    /// The bytes `[from, to)`, at least one.
    Part {
        /// The first byte.
        from: u64,
        /// The byte behind the last one.
        to: u64,
    },
    /// A range that begins behind the end.
    Beyond,
}

/// Reads the header `Range`.
pub(super) fn asked(headers: &HeaderMap, length: u64) -> Asked {
    let range = headers.get(header::RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    range
        .and_then(|range| parse(range, length))
        .unwrap_or(Asked::All)
}

fn parse(range: &str, length: u64) -> Option<Asked> {
    let range = range.trim().strip_prefix("bytes=")?.trim();
    let (first, last) = range.split_once('-')?;
    let (from, to) = match (first, last) {
        ("", last) => (length.saturating_sub(number(last)?), length),
        (first, "") => (number(first)?, length),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            (first, last.saturating_add(1).min(length))
        }
    };
    Some(match from < to {
        true => Asked::Part { from, to },
        false => Asked::Beyond,
    })
}

/// Digits alone: `parse` would take a sign.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ten(range: &str) -> Asked {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        asked(&headers, 10)
    }

    #[test]
    fn a_range_has_a_beginning_an_end_or_both() {
        let part = |from, to| Asked::Part { from, to };
        assert_eq!(of_ten("bytes=0-0"), part(0, 1));
        assert_eq!(of_ten("bytes=2-5"), part(2, 6));
        assert_eq!(of_ten("bytes=2-"), part(2, 10));
        assert_eq!(of_ten("bytes=2-99999999999999999999"), part(2, 10));
        assert_eq!(of_ten("bytes=-3"), part(7, 10));
        assert_eq!(of_ten("bytes=-30"), part(0, 10));
        assert_eq!(of_ten("bytes=10-"), Asked::Beyond);
        assert_eq!(of_ten("bytes=-0"), Asked::Beyond);
        assert_eq!(asked(&HeaderMap::new(), 10), Asked::All);
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        for range in ["", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b"] {
            assert_eq!(of_ten(range), Asked::All, "{range}");
        }
        for range in ["bytes=0-1,4-5", "bytes=+1-2", "bytes=--3", "lines=0-1"] {
            assert_eq!(of_ten(range), Asked::All, "{range}");
        }
    }
}
