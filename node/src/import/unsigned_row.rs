//! A line of a history that nobody signs: there is no stream that says what its
//! values are, so that each is a text or a number.

use std::borrow::Cow;

use bytes::Bytes;
use headwater_client::object;
use headwater_client::times::{self, Unit};
use headwater_protocols::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// One observation. The token of a number is kept as it was written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row<'a> {
    #[serde(borrow)]
    time: &'a RawValue,
    time_unit: Option<Unit>,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// Its time, and the bytes of its value.
///
/// # Errors
/// It is none; says why.
pub(crate) fn read(line: &[u8]) -> Result<(Timestamp, Bytes), String> {
    let row: Row<'_> = object::from_json_bytes(line).map_err(|error| error.to_string())?;
    let written = row.time.get();
    let time = times::of_json(written, row.time_unit, None)
        .and_then(|moment| times::observed(moment, written));
    let time = time.map_err(|error| format!("the time {error}"))?.time;
    let value = text_or_number(row.value)?;
    Ok((time, Bytes::copy_from_slice(value.as_bytes())))
}

fn text_or_number(token: &RawValue) -> Result<Cow<'_, str>, String> {
    let token = token.get();
    match token.as_bytes().first() {
        Some(b'"') => {
            let text: String = serde_json::from_str(token).map_err(|error| error.to_string())?;
            Ok(Cow::Owned(text))
        }
        Some(b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(token)),
        _ => Err("a value is a text or a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_time_and_a_text_or_a_number() {
        let row = |line: &str| read(line.as_bytes());
        let (time, value) = row(r#"{"time":"1970-01-01T00:00:01Z","value":1.50}"#).unwrap();
        assert_eq!((time, &value[..]), (Timestamp(1_000_000), &b"1.50"[..]));
        let (time, value) = row(r#"{"time":-7,"time_unit":"us","value":"a \"b\""}"#).unwrap();
        assert_eq!((time, &value[..]), (Timestamp(-7), &b"a \"b\""[..]));
        for bad in [
            "",
            "1",
            r#"{"value":1}"#,
            r#"{"time":1764400000,"value":1}"#,
            r#"{"time":null,"value":1}"#,
            r#"{"time":"1h","value":1}"#,
            r#"{"time":"2024-05-01","value":null}"#,
            r#"{"time":"2024-05-01","value":[1]}"#,
            r#"{"time":1.5,"value":1}"#,
            r#"{"time":"soon","value":1}"#,
            r#"{"time":"2024-05-01","value":1,"more":1}"#,
        ] {
            assert!(row(bad).is_err(), "{bad}");
        }
    }
}
