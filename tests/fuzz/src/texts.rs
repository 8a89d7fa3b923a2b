//! What people and programs write: tokens of numbers, ids, topics, names.

use headwater_protocols::id::{LogId, Topic};
use headwater_protocols::limits::MAX_NAME_BYTES;
use headwater_protocols::manifest::{ValueType, check_name};
use headwater_protocols::merkle::Hash;
use headwater_protocols::number::{is_json, json_token};
use headwater_protocols::quorum::HistoryName;
use serde_json::value::RawValue;

use crate::memory::bounded;

/// One text, as anything that is read from texts.
pub fn texts(bytes: &[u8]) {
    for value_type in [ValueType::Number, ValueType::Text, ValueType::Json] {
        let is_value = value_type.check(bytes).is_ok();
        assert!(!is_value || std::str::from_utf8(bytes).is_ok());
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    bounded("a text", text.len(), 64, || {
        number(text);
        id(text);
        topic(text);
        name(text);
    });
}

/// The token of JSON says the same number, and JSON knows it.
fn number(text: &str) {
    let has_blanks = text.contains([' ', '\t', '\n', '\r']);
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let known = is_number && !has_blanks && serde_json::from_str::<&RawValue>(text).is_ok();
    assert_eq!(is_json(text), known);
    let is_finite = text.parse::<f64>().is_ok_and(f64::is_finite);
    let is_value = ValueType::Number.check(text.as_bytes()).is_ok();
    assert_eq!(is_value, known && is_finite);
    let Some(token) = json_token(text) else {
        // Rust reads the same decimal numbers, and words.
        let is_word = text.contains(|c: char| c.is_ascii_alphabetic() && !"eE".contains(c));
        assert!(is_word || text.parse::<f64>().is_err());
        return;
    };
    assert!(is_json(&token));
    assert_eq!(json_token(&token).as_deref(), Some(&*token));
    let value = |token: &str| token.parse::<f64>().map(f64::to_bits);
    assert_eq!(value(&token), value(text));
}

fn id(text: &str) {
    if let Ok(id) = text.parse::<LogId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    if let Ok(hash) = text.parse::<Hash>() {
        assert_eq!(hash.to_string(), text.to_ascii_lowercase());
    }
}

/// A topic has one text: with another one it would be another topic to gossip.
fn topic(text: &str) {
    if let Some(topic) = Topic::parse(text) {
        assert_eq!(topic.to_string(), text);
    }
}

fn name(text: &str) {
    if check_name(text).is_ok() {
        assert!(!text.is_empty() && text.len() <= MAX_NAME_BYTES);
        assert!(!text.contains(char::is_control) && text.trim() == text);
        assert!(
            text.parse::<LogId>().is_err(),
            "a name, and the id of a stream"
        );
    }
    if let Ok(name) = HistoryName::new(text) {
        assert_eq!(name.as_str(), text);
        assert!(text.len() <= MAX_NAME_BYTES && !text.contains(char::is_control));
    }
}
