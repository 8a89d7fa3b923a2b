//! Values in text formats.
//!
//! A value was checked by the node that published it, and by nobody since: a
//! follower proves that the publisher signed it, not that it is what the
//! manifest promises. So each one is looked at before it goes into JSON as it
//! is; one that would break the document around it becomes a JSON string.

use std::borrow::Cow;

use data_encoding::BASE64;
use headwater_client::json_value;
use headwater_protocols::manifest::ValueType;
use headwater_protocols::number;

/// Appends a value as one JSON value without a line break.
///
/// Numbers and JSON are the token that was given. A number that JSON does not
/// know (`+4`, `.5`, `007`: older versions took them) is written as JSON writes
/// it, so that all values of a stream of numbers are numbers.
pub fn put_json(out: &mut Vec<u8>, value_type: ValueType, value: &[u8]) {
    match value_type {
        ValueType::Number => put_number(out, value),
        ValueType::Json if is_json(value) => put_without_breaks(out, value),
        ValueType::Json | ValueType::Text => put_string(out, value),
        ValueType::Bytes => {
            out.push(b'"');
            put_base64(out, value);
            out.push(b'"');
        }
    }
}

/// A value as the content of a CSV field: its token, or base64 for bytes.
pub(super) fn csv_field<'a>(
    value_type: ValueType,
    value: &'a [u8],
    base64: &'a mut Vec<u8>,
) -> &'a [u8] {
    match value_type {
        ValueType::Number | ValueType::Json | ValueType::Text => value,
        ValueType::Bytes => {
            base64.clear();
            put_base64(base64, value);
            base64
        }
    }
}

/// A value as a number; `None` when it is not a finite one.
pub(super) fn finite(value: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    number.is_finite().then_some(number)
}

/// A value as text; bytes that are not UTF-8 become U+FFFD, as in JSON.
pub(super) fn text(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
}

fn is_json(value: &[u8]) -> bool {
    // As text, because the parser does not look at bytes that it skips.
    std::str::from_utf8(value).is_ok_and(|text| json_value::check(text).is_ok())
}

fn put_number(out: &mut Vec<u8>, value: &[u8]) {
    let token = std::str::from_utf8(value).ok().and_then(number::json_token);
    // One that no double has ends the reading of everything.
    match token.filter(|token| json_value::is_finite(token)) {
        Some(token) => out.extend_from_slice(token.as_bytes()),
        None => put_string(out, value),
    }
}

/// In valid JSON a line break is always whitespace between tokens.
fn put_without_breaks(out: &mut Vec<u8>, json: &[u8]) {
    out.extend(json.iter().map(|&byte| match byte {
        b'\n' | b'\r' => b' ',
        other => other,
    }));
}

fn put_string(out: &mut Vec<u8>, value: &[u8]) {
    let written = serde_json::to_writer(&mut *out, &*text(value));
    debug_assert!(written.is_ok(), "a string is always written to memory");
}

fn put_base64(out: &mut Vec<u8>, value: &[u8]) {
    let from = out.len();
    out.resize(from + BASE64.encode_len(value.len()), 0);
    BASE64.encode_mut(value, &mut out[from..]);
}
