//! What stands between the fields of a CSV file.

use std::fmt;
use std::str::FromStr;

/// A byte between fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delimiter(u8);

/// How those are called that cannot be seen or typed with ease.
const NAMES: &[(&str, u8)] = &[
    ("tab", b'\t'),
    ("\\t", b'\t'),
    ("comma", b','),
    ("semicolon", b';'),
    ("pipe", b'|'),
    ("space", b' '),
];

impl Delimiter {
    pub(crate) const COMMA: Self = Self(b',');

    /// Those that are found out, the likeliest first.
    pub(crate) const FOUND_OUT: [Self; 4] = [Self::COMMA, Self(b';'), Self(b'\t'), Self(b'|')];

    pub(crate) fn byte(self) -> u8 {
        self.0
    }
}

impl FromStr for Delimiter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((_, byte)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(Self(*byte));
        }
        match text.as_bytes() {
            [byte] if !byte.is_ascii_alphanumeric() && !b"\"\n\r.+-".contains(byte) => {
                Ok(Self(*byte))
            }
            _ => Err(format!(
                "`{text}` is no delimiter; say one character as `;`, or tab, comma, semicolon, pipe, space"
            )),
        }
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b'\t' => f.write_str("tab"),
            b' ' => f.write_str("space"),
            byte => write!(f, "`{}`", char::from(byte).escape_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_one_character_or_its_name() {
        let read = |text: &str| text.parse::<Delimiter>().map(Delimiter::byte);
        for (text, byte) in [
            (";", b';'),
            ("tab", b'\t'),
            ("\\t", b'\t'),
            ("|", b'|'),
            ("\t", b'\t'),
        ] {
            assert_eq!(read(text), Ok(byte));
        }
        for wrong in ["", ";;", "\"", "a", "1", "\n", "ü", "."] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Delimiter(b'\t').to_string(), "tab");
        assert_eq!(Delimiter(b';').to_string(), "`;`");
    }
}
