//! What one value may be.

use crate::number;
use crate::wire::v1;

/// What the values of a stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A finite number, kept as the token that was given, which is one of JSON.
    Number,
    /// UTF-8 text.
    Text,
    /// One JSON value, kept as the token that was given.
    Json,
    /// Any bytes.
    Bytes,
}

impl ValueType {
    /// Checks a value against its type.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn check(self, value: &[u8]) -> Result<(), &'static str> {
        if matches!(self, Self::Bytes) {
            return Ok(());
        }
        let text = std::str::from_utf8(value).map_err(|_| "is not UTF-8")?;
        match self {
            Self::Number => match text.parse::<f64>() {
                Ok(number) if number.is_infinite() && number::json_token(text).is_some() => {
                    Err("is beyond the largest number of 64 bits, 1.8e308")
                }
                Ok(number) if !number.is_finite() => Err("is not a finite number"),
                // Readers of JSON, too, must take it for a number.
                Ok(_) if number::is_json(text) => Ok(()),
                Ok(_) => Err("is not a number as JSON writes it"),
                Err(_) => Err("is not a number"),
            },
            // The JSON itself is parsed at the edge, where the value comes in.
            Self::Json if text.trim().is_empty() => Err("is not JSON"),
            Self::Text | Self::Json | Self::Bytes => Ok(()),
        }
    }

    /// As it travels.
    #[must_use]
    pub fn to_wire(self) -> v1::ValueType {
        match self {
            Self::Number => v1::ValueType::Number,
            Self::Text => v1::ValueType::Text,
            Self::Json => v1::ValueType::Json,
            Self::Bytes => v1::ValueType::Bytes,
        }
    }

    /// `None` when it is not said.
    #[must_use]
    pub fn from_wire(wire: v1::ValueType) -> Option<Self> {
        Some(match wire {
            v1::ValueType::Number => Self::Number,
            v1::ValueType::Text => Self::Text,
            v1::ValueType::Json => Self::Json,
            v1::ValueType::Bytes => Self::Bytes,
            v1::ValueType::Unspecified => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_finite_number() {
        for good in ["0", "-1.5e3", "1016.60", "-0.5"] {
            assert_eq!(ValueType::Number.check(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [
            "",
            "x",
            "NaN",
            "inf",
            "-infinity",
            // Numbers, but none of JSON.
            "+4",
            ".5",
            "5.",
            "007",
            "1e999",
            "1 ",
            "\u{ff11}",
        ] {
            assert!(ValueType::Number.check(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(ValueType::Text.check(b"\xff"), Err("is not UTF-8"));
        assert_eq!(ValueType::Bytes.check(b"\xff"), Ok(()));
    }
}
