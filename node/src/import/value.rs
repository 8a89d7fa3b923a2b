//! The values of a stream: from text and JSON to the bytes that are stored, and
//! to the JSON that is sent.

use std::borrow::Cow;
use std::sync::Arc;

use data_encoding::BASE64;
use headwater_client::base64;
use headwater_client::json_value;
use headwater_client::types::StreamView;
use headwater_protocols::manifest::ValueType;
use headwater_protocols::number;
use headwater_protocols::record::max_value_bytes;
use serde_json::value::RawValue;

use super::number_text::meant;
use super::row::RowRules;

/// What the values of a stream must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValueRules {
    value_type: ValueType,
    max_bytes: usize,
    /// Of a stream with columns.
    rows: Option<Arc<RowRules>>,
}

/// A value, as it will be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) bytes: Vec<u8>,
    /// The token of a number that JSON does not know, which was given instead.
    pub(crate) rewritten: Option<Box<str>>,
}

impl Taken {
    /// Bytes that are stored as they were given.
    pub(crate) fn plain(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            rewritten: None,
        }
    }
}

impl ValueRules {
    pub(crate) fn new(value_type: ValueType, chunk_level: u8) -> Self {
        Self {
            value_type,
            max_bytes: max_value_bytes(chunk_level),
            rows: None,
        }
    }

    /// Those of this stream; `None` when its manifest is not known yet.
    pub(crate) fn of(stream: &StreamView) -> Option<Self> {
        let rules = Self::new(stream.value_type?.into(), stream.chunk_level?);
        let rows = match stream.manifest.columns.is_empty() {
            true => None,
            false => Some(Arc::new(RowRules::of_view(stream)?)),
        };
        Some(Self { rows, ..rules })
    }

    /// Those of a stream whose records are such rows.
    #[cfg(test)]
    pub(super) fn of_rows(rows: RowRules, chunk_level: u8) -> Self {
        Self {
            rows: Some(Arc::new(rows)),
            ..Self::new(ValueType::Json, chunk_level)
        }
    }

    /// What rows must be, of a stream with columns.
    pub(crate) fn rows(&self) -> Option<&RowRules> {
        self.rows.as_deref()
    }

    /// A row that was put together.
    ///
    /// # Errors
    /// It is too long for the stream.
    pub(super) fn of_row(&self, row: Vec<u8>) -> Result<Taken, String> {
        self.require_room(&row)?;
        Ok(Taken::plain(row))
    }

    fn require_room(&self, value: &[u8]) -> Result<(), String> {
        match value.len() <= self.max_bytes {
            true => Ok(()),
            false => Err(format!(
                "value of {} bytes is over the stream's limit of {} bytes, which its chunk level sets \
                 (`stream create --chunk-level`) and which never changes",
                value.len(),
                self.max_bytes
            )),
        }
    }

    pub(crate) fn value_type(&self) -> ValueType {
        self.value_type
    }

    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// The bytes of a value that was given as text: its token, or what the
    /// base64 stands for. White space around it belongs to a text alone.
    ///
    /// # Errors
    /// The stream cannot take it; says why.
    pub(crate) fn of_text(&self, text: &str) -> Result<Taken, String> {
        if let Some(rows) = &self.rows {
            let json: &RawValue = serde_json::from_str(text).map_err(|error| {
                let names = rows.listed();
                format!(
                    "`{}` is no row: that is an object with the names of columns, or an array in their order \
                     ({names}), in JSON ({error})",
                    shown(text)
                )
            })?;
            return self.of_row(rows.of_json(json)?);
        }
        if self.value_type == ValueType::Json {
            json_value::check(text).map_err(|why| format!("value `{}` {why}", shown(text)))?;
        }
        self.of_checked(text)
    }

    /// As [`of_text`](Self::of_text), of a value for whose form nothing else speaks: it
    /// comes from a command line, or is a line.
    ///
    /// # Errors
    /// The stream cannot take it; says why, and what may be meant.
    pub(crate) fn of_value_alone(&self, text: &str) -> Result<Taken, String> {
        let is_number = self.value_type == ValueType::Number;
        self.of_text(text)
            .map_err(|why| match meant(text).filter(|_| is_number) {
                Some(meant) => format!("{why}; {meant}"),
                None => why,
            })
    }

    /// The bytes of a text that is JSON, where that is what it must be.
    fn of_checked(&self, text: &str) -> Result<Taken, String> {
        let mut rewritten = None;
        let value = match self.value_type {
            ValueType::Text => text.as_bytes().to_vec(),
            ValueType::Number => {
                let given = text.trim();
                let token = number::json_token(given).unwrap_or(Cow::Borrowed(given));
                rewritten = matches!(token, Cow::Owned(_)).then(|| given.into());
                token.as_bytes().to_vec()
            }
            ValueType::Json => without_breaks(text.trim()),
            ValueType::Bytes => base64::decode(text.trim().as_bytes())
                .map_err(|error| format!("value `{}` is not base64 ({error})", shown(text)))?,
        };
        self.value_type
            .check(&value)
            .map_err(|why| format!("value `{}` {why}", shown(text)))?;
        self.require_room(&value)?;
        Ok(Taken {
            bytes: value,
            rewritten,
        })
    }

    /// The bytes of a value that was given as JSON. A number may be a JSON
    /// string of its token, as fields of CSV files are.
    ///
    /// # Errors
    /// The stream cannot take it; says why.
    pub(crate) fn of_json(&self, json: &RawValue) -> Result<Taken, String> {
        if let Some(rows) = &self.rows {
            return self.of_row(rows.of_json(json)?);
        }
        let token = json.get();
        let is_string = token.starts_with('"');
        match (self.value_type, is_string) {
            (ValueType::Json, _) => {
                json_value::check_parsed(json)
                    .map_err(|why| format!("value `{}` {why}", shown(token)))?;
                self.of_checked(token)
            }
            (ValueType::Number, false) => self.of_text(token),
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

    /// Appends the field of an observation that has its value, or those of its columns.
    pub(crate) fn put_field(&self, out: &mut Vec<u8>, value: &[u8]) {
        match self.rows() {
            // Else it would be taken for the value of that column.
            Some(rows) if !rows.has_whole_value() => rows.put_fields(out, value),
            _ => {
                out.extend_from_slice(br#""value":"#);
                self.put_json(out, value);
            }
        }
    }

    /// Appends a value, which was checked, as JSON without line breaks.
    fn put_json(&self, out: &mut Vec<u8>, value: &[u8]) {
        match self.value_type {
            ValueType::Json => out.extend_from_slice(value),
            ValueType::Number => out.extend_from_slice(value),
            ValueType::Text => put_string(out, &String::from_utf8_lossy(value)),
            ValueType::Bytes => put_string(out, &BASE64.encode(value)),
        }
    }
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
    let mut shown: String = text.chars().take(64).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
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

    fn to_json(rules: &ValueRules, value: &[u8]) -> String {
        let mut out = Vec::new();
        rules.put_json(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_number_keeps_its_token() {
        let rules = rules(ValueType::Number);
        for token in ["1016.60", "-1e3", "0.50"] {
            let taken = Taken {
                bytes: token.as_bytes().to_vec(),
                rewritten: None,
            };
            assert_eq!(rules.of_text(token).as_ref(), Ok(&taken));
            assert_eq!(to_json(&rules, token.as_bytes()), token);
            assert_eq!(rules.of_json(&raw(token)), Ok(taken));
        }
        // What JSON does not know is kept as JSON writes it.
        for (token, json) in [("+4", "4"), ("007", "7"), (" .5 ", "0.5"), ("-5.", "-5")] {
            let taken = Taken {
                bytes: json.as_bytes().to_vec(),
                rewritten: Some(token.trim().into()),
            };
            assert_eq!(rules.of_text(token).as_ref(), Ok(&taken));
            assert_eq!(rules.of_json(&raw(&format!("\"{token}\""))), Ok(taken));
        }
        for wrong in ["", "x", "NaN", "Infinity", "1e999"] {
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
            "value of 257 bytes is over the stream's limit of 256 bytes, which its chunk level sets \
             (`stream create --chunk-level`) and which never changes"
        );
    }

    #[test]
    fn json_text_and_bytes_are_checked() {
        let json = rules(ValueType::Json);
        let bytes_of = |rules: &ValueRules, text: &str| rules.of_text(text).unwrap().bytes;
        assert_eq!(bytes_of(&json, " {\"a\":\n1.50} "), b"{\"a\": 1.50}");
        assert!(json.of_text("{a}").unwrap_err().contains("is not JSON"));
        let bytes = rules(ValueType::Bytes);
        assert_eq!(bytes_of(&bytes, " AP8= "), b"\x00\xff");
        assert_eq!(bytes_of(&rules(ValueType::Text), " a\r"), b" a\r");
        let deep = "[".repeat(129) + &"]".repeat(129);
        assert!(json.of_text(&deep).unwrap_err().contains("more than 128"));
        let twice = r#"{"a":1,"a":2}"#;
        assert!(json.of_text(twice).unwrap_err().contains("key \"a\" twice"));
        for (wrong, why) in [(r#""\ud800""#, "surrogate"), (r#"{"a":1e400}"#, "double")] {
            assert!(json.of_text(wrong).unwrap_err().contains(why), "{wrong}");
            assert!(
                json.of_json(&raw(wrong)).unwrap_err().contains(why),
                "{wrong}"
            );
        }
        assert_eq!(to_json(&bytes, b"\x00\xff"), "\"AP8=\"");
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
            let sent = to_json(&rules_of_text, text.as_bytes());
            prop_assert!(!sent.contains('\n'));
            prop_assert_eq!(rules_of_text.of_json(&raw(&sent)).unwrap().bytes, text.as_bytes());
            let rules_of_number = rules(ValueType::Number);
            if let Ok(value) = rules_of_number.of_text(&token) {
                let sent = to_json(&rules_of_number, &value.bytes);
                prop_assert!(!sent.contains('"'), "{}", sent);
                prop_assert_eq!(rules_of_number.of_json(&raw(&sent)).unwrap().bytes, value.bytes);
            }
        }
    }
}
