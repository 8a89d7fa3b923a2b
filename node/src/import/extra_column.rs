//! A column that is not read: where something else stands in it than should, the
//! row is shifted or torn, and its value is another one than was meant.

use super::limits::MAX_ID_BYTES;
use super::number_text::{is_fraction, is_whole};

/// What a column beside those of times and values has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// 64 bits in hexadecimal digits.
    Hash,
    /// The id of a row or of a stream.
    Id,
    /// Nobody knows: it stands behind that of the values, and has no name.
    Unnamed,
}

/// What to do where the comma separates the fields and is the decimal sign, too.
pub(crate) const DECIMAL_COMMAS: &str = "this looks like numbers with a decimal comma, where the comma separates the fields, \
                                         too: write such numbers in quotation marks, or another delimiter between the fields, \
                                         and say --decimal-comma";

impl Extra {
    /// Looks at the field of a row, which has this value.
    ///
    /// # Errors
    /// It is something else.
    pub(crate) fn check(self, field: &str, value: &str) -> Result<(), String> {
        match self {
            Self::Hash if !field.is_empty() && !is_hash(field) => Err(format!(
                "`{}` is no hash of 16 hexadecimal digits",
                shown(field)
            )),
            Self::Id if !field.is_empty() && !is_id(field) => {
                Err(format!("`{}` is no id", shown(field)))
            }
            Self::Unnamed if is_split_number(value, field) => Err(format!(
                "`{}` stands in a column without a name behind the value `{}`; {DECIMAL_COMMAS}",
                shown(field),
                shown(value)
            )),
            Self::Hash | Self::Id | Self::Unnamed => Ok(()),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Whether two fields may be one number whose decimal comma was taken for the end
/// of the first.
pub(crate) fn is_split_number(whole: &str, fraction: &str) -> bool {
    is_whole(whole) && is_fraction(fraction)
}

/// 64 bits in hexadecimal digits.
pub(crate) fn is_hash(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A whole number, or a word without white space that is no number; of hexadecimal
/// digits some look like one (`12345e67`).
pub(crate) fn is_id(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:/+=@#".contains(&byte);
    let is_hexadecimal = text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_number = text.parse::<f64>().is_ok() && !is_hexadecimal;
    !text.is_empty()
        && text.len() <= MAX_ID_BYTES
        && text.bytes().all(is_part)
        && (!is_number || text.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_64_bits_and_an_id_is_one_word() {
        assert!(is_hash("4d8f695a04b7e36e") && is_hash("0011223344556677"));
        for other in [
            "",
            "5",
            "4d8f695a04b7e36",
            "4d8f695a04b7e36e0",
            "4d8f695a04b7e36g",
        ] {
            assert!(!is_hash(other), "{other}");
        }
        for id in [
            "7",
            "a7",
            "12345e67",
            "550e8400-e29b-41d4-a716-446655440000",
            "x/y:z",
        ] {
            assert!(is_id(id), "{id}");
        }
        for other in ["", "7.5", "-7", "1e5", "5 C", "a b", "inf", "5%"] {
            assert!(!is_id(other), "{other}");
        }
    }

    #[test]
    fn what_does_not_belong_into_a_column_is_named() {
        assert!(Extra::Hash.check("", "1").is_ok() && Extra::Id.check("", "1").is_ok());
        assert!(
            Extra::Hash
                .check("5", "1")
                .unwrap_err()
                .contains("`5` is no hash")
        );
        assert!(
            Extra::Id
                .check("7.5", "1")
                .unwrap_err()
                .contains("`7.5` is no id")
        );
        assert!(
            Extra::Unnamed.check("note", "1").is_ok() && Extra::Unnamed.check("5", "1.5").is_ok()
        );
        assert!(
            Extra::Unnamed
                .check("5", "1")
                .unwrap_err()
                .contains("--decimal-comma")
        );
    }
}
