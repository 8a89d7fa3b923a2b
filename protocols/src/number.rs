//! Tokens of numbers, as JSON has them.
//!
//! A stream of numbers keeps the tokens that it is given, digit for digit. They
//! must be such that every reader takes them for numbers: JSON does not know
//! `+3`, `.5`, `5.` and `007`, which say nothing else than `3`, `0.5`, `5` and
//! `7`.

use std::borrow::Cow;

/// A decimal number, cut into its parts.
struct Parts<'a> {
    sign: &'a str,
    whole: &'a str,
    /// What stands behind the point, if there is one.
    fraction: Option<&'a str>,
    /// From the `e` on.
    exponent: &'a str,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Option<Self> {
        let unsigned = token.strip_prefix(['-', '+']).unwrap_or(token);
        let sign = &token[..token.len() - unsigned.len()];
        let end = unsigned.find(['e', 'E']).unwrap_or(unsigned.len());
        let (number, exponent) = unsigned.split_at(end);
        let (whole, fraction) = match number.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (number, None),
        };
        let has_digits = !whole.is_empty() || fraction.is_some_and(|digits| !digits.is_empty());
        let are_right = has_digits
            && are_digits(whole)
            && are_digits(fraction.unwrap_or_default())
            && (exponent.is_empty() || is_power(&exponent[1..]));
        are_right.then_some(Self {
            sign,
            whole,
            fraction,
            exponent,
        })
    }
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_power(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && are_digits(digits)
}

/// The token by which JSON says the same number: the one that is given, wherever
/// it can be. `None` for what is no decimal number.
#[must_use]
pub fn json_token(token: &str) -> Option<Cow<'_, str>> {
    if is_json(token) {
        return Some(Cow::Borrowed(token));
    }
    let parts = Parts::of(token)?;
    let sign = if parts.sign == "-" { "-" } else { "" };
    let whole = match parts.whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let fraction = parts.fraction.unwrap_or_default();
    let point = if fraction.is_empty() { "" } else { "." };
    let exponent = parts.exponent;
    Some(Cow::Owned(format!(
        "{sign}{whole}{point}{fraction}{exponent}"
    )))
}

/// Whether JSON knows this token of a number (RFC 8259, section 6). Each value is looked
/// at several times on its way, so that this goes through its bytes once.
#[must_use]
pub fn is_json(token: &str) -> bool {
    let unsigned = token.strip_prefix('-').unwrap_or(token).as_bytes();
    let behind_whole = match unsigned {
        [b'0', rest @ ..] => rest,
        [b'1'..=b'9', rest @ ..] => behind_digits(rest),
        _ => return false,
    };
    let behind_fraction = match behind_whole {
        [b'.', b'0'..=b'9', rest @ ..] => behind_digits(rest),
        rest => rest,
    };
    match behind_fraction {
        [] => true,
        [b'e' | b'E', b'+' | b'-', b'0'..=b'9', rest @ ..]
        | [b'e' | b'E', b'0'..=b'9', rest @ ..] => behind_digits(rest).is_empty(),
        _ => false,
    }
}

fn behind_digits(bytes: &[u8]) -> &[u8] {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    &bytes[digits.count()..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_that_json_knows_stays_as_it_is() {
        for token in [
            "0",
            "-0",
            "7",
            "1016.60",
            "-1e3",
            "1E+05",
            "0.50e-07",
            "9007199254740993",
            "1e999",
        ] {
            assert!(
                matches!(json_token(token), Some(Cow::Borrowed(_))),
                "{token}"
            );
            assert!(is_json(token), "{token}");
        }
    }

    #[test]
    fn other_tokens_say_the_same_number_as_json_says_it() {
        for (token, json) in [
            ("+3", "3"),
            (".5", "0.5"),
            ("-.5", "-0.5"),
            ("+.50e1", "0.50e1"),
            ("5.", "5"),
            ("-5.e+2", "-5e+2"),
            ("007", "7"),
            ("-007.50", "-7.50"),
            ("000", "0"),
            ("-00", "-0"),
            ("+007.", "7"),
        ] {
            assert_eq!(json_token(token).as_deref(), Some(json), "{token}");
            assert!(!is_json(token), "{token}");
        }
    }

    #[test]
    fn what_is_no_decimal_number_has_no_token() {
        for wrong in [
            "",
            "+",
            "-",
            ".",
            "-.",
            "e5",
            ".e5",
            "1e",
            "1e+",
            "1e1.5",
            "--1",
            "+-1",
            "1.2.3",
            "NaN",
            "nan",
            "inf",
            "Infinity",
            "-infinity",
            "0x1",
            "1_000",
            "1,5",
            "1 ",
            " 1",
            "١",
            "1e٣",
        ] {
            assert_eq!(json_token(wrong), None, "{wrong}");
            assert!(!is_json(wrong), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn the_number_is_the_same_and_its_token_stays(text in "[-+.0-9eE]{1,8}") {
            // What Rust reads as a decimal number has a token, and nothing else.
            let number = text.parse::<f64>().ok();
            prop_assert_eq!(number.is_some(), json_token(&text).is_some());
            if let (Some(number), Some(token)) = (number, json_token(&text)) {
                prop_assert_eq!(token.parse::<f64>().map(f64::to_bits), Ok(number.to_bits()));
                prop_assert!(is_json(&token), "{}", token);
            }
        }

        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "\\PC*") {
            let _ = json_token(&text);
        }
    }
}
