//! The values of a stream: from text and JSON to the bytes that are stored, and
//! to the JSON that is sent.

use data_encoding::BASE64;
use headwater_protocols::manifest::ValueType;
use headwater_protocols::record::max_value_bytes;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::api::types::StreamView;

/// What the values of a stream must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ValueRules {
    value_type: ValueType,
    max_bytes: usize,
}

impl ValueRules {
    pub(crate) fn new(value_type: ValueType, chunk_level: u8) -> Self {
        Self {
            value_type,
            max_bytes: max_value_bytes(chunk_level),
        }
    }

    /// Those of this stream; `None` when its manifest is not known yet.
    pub(crate) fn of(stream: &StreamView) -> Option<Self> {
        Some(Self::new(stream.value_type?.into(), stream.chunk_level?))
    }

    pub(crate) fn value_type(&self) -> ValueType {
        self.value_type
    }

    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// The bytes of a value that was given as text: its token, or what the
    /// base64 stands for.
    ///
    /// # Errors
    /// The stream cannot take it; says why.
    pub(crate) fn of_text(&self, text: &str) -> Result<Vec<u8>, String> {
        let value = match self.value_type {
            ValueType::Number | ValueType::Text => text.as_bytes().to_vec(),
            ValueType::Json => {
                serde_json::from_str::<IgnoredAny>(text)
                    .map_err(|error| format!("value `{}` is not JSON ({error})", shown(text)))?;
                without_breaks(text.trim())
            }
            ValueType::Bytes => BASE64
                .decode(text.as_bytes())
                .map_err(|error| format!("value `{}` is not base64 ({error})", shown(text)))?,
        };
        self.value_type
            .check(&value)
            .map_err(|why| format!("value `{}` {why}", shown(text)))?;
        if value.len() > self.max_bytes {
            return Err(format!(
                "value of {} bytes is over the stream's limit of {} bytes",
                value.len(),
                self.max_bytes
            ));
        }
        Ok(value)
    }

    /// The bytes of a value that was given as JSON. A number may be a JSON
    /// string of its token, for those that JSON does not know (`+4`).
    ///
    /// # Errors
    /// The stream cannot take it; says why.
    pub(crate) fn of_json(&self, json: &RawValue) -> Result<Vec<u8>, String> {
        let token = json.get();
        let is_string = token.starts_with('"');
        match (self.value_type, is_string) {
            (ValueType::Json, _) | (ValueType::Number, false) => self.of_text(token),
            (ValueType::Number | ValueType::Text | ValueType::Bytes, true) => {
                let content: String = serde_json::from_str(token)
                    .map_err(|error| format!("value `{}` is not text ({error})", shown(token)))?;
                self.of_text(&content)
            }
            (ValueType::Text | ValueType::Bytes, false) => {
                Err(format!("value `{}` is not a JSON string", shown(token)))
            }
        }
    }

    /// Appends a value, which was checked, as JSON without line breaks.
    pub(crate) fn put_json(&self, out: &mut Vec<u8>, value: &[u8]) {
        match self.value_type {
            ValueType::Json => out.extend_from_slice(value),
            ValueType::Number if is_json_number(value) => out.extend_from_slice(value),
            ValueType::Number | ValueType::Text => put_string(out, &String::from_utf8_lossy(value)),
            ValueType::Bytes => put_string(out, &BASE64.encode(value)),
        }
    }
}

/// Whether JSON knows a finite number's token: it does not know `+4`, `.5`,
/// `5.` and `007`.
fn is_json_number(token: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(token).is_ok()
}

/// In valid JSON a line break is always whitespace between tokens.
fn without_breaks(json: &str) -> Vec<u8> {
    json.replace(['\n', '\r'], " ").into_bytes()
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    let written = serde_json::to_writer(&mut *out, text);
    debug_assert!(written.is_ok(), "a string is always written to memory");
}

/// What an error quotes of a text.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules(value_type: ValueType) -> ValueRules {
        ValueRules::new(value_type, 12)
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn to_json(rules: ValueRules, value: &[u8]) -> String {
        let mut out = Vec::new();
        rules.put_json(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_number_keeps_its_token() {
        let rules = rules(ValueType::Number);
        for (token, json) in [
            ("1016.60", "1016.60"),
            ("-1e3", "-1e3"),
            ("+4", "\"+4\""),
            ("007", "\"007\""),
            (".5", "\".5\""),
        ] {
            assert_eq!(rules.of_text(token).unwrap(), token.as_bytes());
            assert_eq!(to_json(rules, token.as_bytes()), json);
            assert_eq!(rules.of_json(&raw(json)).unwrap(), token.as_bytes());
        }
        for wrong in ["", "x", "NaN", "1e999"] {
            assert!(
                rules.of_text(wrong).unwrap_err().contains("number"),
                "{wrong}"
            );
        }
        for wrong in ["null", "true", "[1]", "\"\"", "\"x\""] {
            assert!(rules.of_json(&raw(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_over_the_limit_is_refused() {
        let rules = rules(ValueType::Text);
        assert_eq!(rules.max_bytes(), 256);
        assert!(rules.of_text(&"x".repeat(256)).is_ok());
        let error = rules.of_text(&"x".repeat(257)).unwrap_err();
        assert_eq!(
            error,
            "value of 257 bytes is over the stream's limit of 256 bytes"
        );
    }

    #[test]
    fn json_text_and_bytes_are_checked() {
        let json = rules(ValueType::Json);
        assert_eq!(json.of_text(" {\"a\":\n1.50} ").unwrap(), b"{\"a\": 1.50}");
        assert!(json.of_text("{a}").unwrap_err().contains("is not JSON"));
        let bytes = rules(ValueType::Bytes);
        assert_eq!(bytes.of_text("AP8=").unwrap(), b"\x00\xff");
        assert_eq!(to_json(bytes, b"\x00\xff"), "\"AP8=\"");
        assert!(bytes.of_text("AP8").unwrap_err().contains("is not base64"));
        assert!(
            rules(ValueType::Text)
                .of_json(&raw("1"))
                .unwrap_err()
                .contains("is not a JSON string")
        );
    }

    proptest! {
        #[test]
        fn a_value_comes_back_from_the_json_that_is_sent(text in "(?s).{0,60}", token in "[-+.0-9eE]{1,6}") {
            let rules_of_text = rules(ValueType::Text);
            let sent = to_json(rules_of_text, text.as_bytes());
            prop_assert!(!sent.contains('\n'));
            prop_assert_eq!(rules_of_text.of_json(&raw(&sent)).unwrap(), text.as_bytes());
            let rules_of_number = rules(ValueType::Number);
            if let Ok(value) = rules_of_number.of_text(&token) {
                let sent = to_json(rules_of_number, &value);
                prop_assert_eq!(rules_of_number.of_json(&raw(&sent)).unwrap(), value);
            }
        }
    }
}
