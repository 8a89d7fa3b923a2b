//! Which values a typed column gives back byte for byte, and which it does not.

use std::io::Write;

use headwater_protocols::manifest::ValueType;

/// Tells whether the exact bytes of a value must be written beside it, so that
/// its hash can be computed again: `1.50` as a double is `1.5`.
#[derive(Debug)]
pub(super) struct Tokens {
    value_type: ValueType,
    /// Reused for each number.
    digits: Vec<u8>,
}

impl Tokens {
    pub(super) fn new(value_type: ValueType) -> Self {
        Self {
            value_type,
            digits: Vec::new(),
        }
    }

    /// Whether the typed column does not give back these bytes.
    pub(super) fn needed(&mut self, value: &[u8]) -> bool {
        match self.value_type {
            ValueType::Number => super::value::finite(value)
                .is_none_or(|number| number_token(number, &mut self.digits) != value),
            ValueType::Text | ValueType::Json => std::str::from_utf8(value).is_err(),
            ValueType::Bytes => false,
        }
    }
}

/// The token of a number that has none beside it: its shortest decimal form
/// without an exponent, as Rust's `Display` writes it.
pub(super) fn number_token(number: f64, digits: &mut Vec<u8>) -> &[u8] {
    digits.clear();
    let written = write!(digits, "{number}");
    debug_assert!(written.is_ok(), "memory takes any text");
    digits
}
