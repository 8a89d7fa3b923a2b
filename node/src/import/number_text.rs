//! Numbers as spreadsheets write them: with a decimal comma, and with what is no
//! part of a number (thousands separators, units), which is named.

use std::borrow::Cow;

use headwater_protocols::number;

/// What a text that may be a number looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// A number, with a decimal point or without.
    Number,
    /// `1,5`: a number with a decimal comma, which can be nothing else.
    DecimalComma,
    /// `1,500`: a decimal comma, or a thousands separator.
    Ambiguous,
    /// `1,234.5`, `1.234,5`, `1 234`, `1'234`.
    Thousands,
    /// More digits, or a larger exponent, than a number of 64 bits has.
    TooLarge,
    /// `1.5 C`, `5%`: something stands behind the number, or before it.
    WithUnit,
    /// What stands where there is no value: nothing, `-`, `NaN`, `null`, `n/a`.
    Missing,
    /// Everything else.
    Other,
}

/// What stands for a value that is not there, in small letters.
const MISSING: &[&str] = &[
    "",
    "-",
    "--",
    "---",
    ".",
    "?",
    "na",
    "n/a",
    "n.a.",
    "#n/a",
    "nan",
    "null",
    "nil",
    "none",
    "missing",
    "inf",
    "-inf",
    "+inf",
    "infinity",
    "-infinity",
    "#value!",
    "#div/0!",
    "#ref!",
];

/// What separates thousands, beside the comma and the point.
const SEPARATORS: &[char] = &[' ', '\u{a0}', '\u{202f}', '\u{2009}', '\'', '’', '_'];

impl Look {
    /// By the text of a field without the white space around it.
    pub(crate) fn of(text: &str) -> Self {
        if text.parse().is_ok_and(f64::is_finite) {
            return Self::Number;
        }
        if text.len() <= 9 && MISSING.contains(&&*text.to_ascii_lowercase()) {
            return Self::Missing;
        }
        if number::json_token(text).is_some() {
            return Self::TooLarge;
        }
        if let Some(look) = Self::with_comma(text) {
            return look;
        }
        if is_grouped(text) {
            return Self::Thousands;
        }
        let first = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        let before = text.chars().count() - first.chars().count();
        if first.is_empty() || before > 3 || !first_number(first) {
            return Self::Other;
        }
        Self::WithUnit
    }

    /// Digits with one comma between them.
    fn with_comma(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, rest) = unsigned.split_once(',')?;
        let fraction = rest.split(['e', 'E']).next().unwrap_or_default();
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_one =
            are_digits(whole) && are_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
        if !is_one || text.replacen(',', ".", 1).parse::<f64>().is_err() {
            return None;
        }
        let may_be_thousands = rest.len() == 3
            && fraction.len() == 3
            && (1..=3).contains(&whole.len())
            && !whole.starts_with('0');
        Some(if may_be_thousands {
            Self::Ambiguous
        } else {
            Self::DecimalComma
        })
    }

    /// What is wrong with it as a number, and what to do.
    pub(crate) fn advice(self) -> Option<&'static str> {
        match self {
            Self::Number | Self::Missing | Self::Other => None,
            Self::DecimalComma => Some("it has a decimal comma: say --decimal-comma"),
            Self::Ambiguous => Some(
                "it has a decimal comma (say --decimal-comma) or a thousands separator (take it out)",
            ),
            Self::Thousands => {
                Some("it has thousands separators, which are not read: take them out")
            }
            Self::TooLarge => Some(
                "it is beyond the largest number of 64 bits, 1.8e308: if it is an id, it is a text (--value-type text)",
            ),
            Self::WithUnit => Some(
                "there is more than a number: take the unit out, or put such values into a stream that is created with \
                 --value-type text",
            ),
        }
    }
}

/// What may be meant by a value alone that is no number because of one comma in it:
/// nothing beside it tells whether commas are decimal signs here.
pub(crate) fn meant(text: &str) -> Option<String> {
    let text = text.trim();
    let look = Look::of(text);
    let (before, behind) = text.split_once(',')?;
    let stands_between_digits = before.ends_with(|c: char| c.is_ascii_digit())
        && behind.starts_with(|c: char| c.is_ascii_digit());
    if !stands_between_digits {
        return None;
    }
    let (decimal, whole) = (format!("{before}.{behind}"), format!("{before}{behind}"));
    match look {
        Look::DecimalComma => Some(format!("did you mean {decimal}?")),
        Look::Ambiguous => Some(format!(
            "did you mean {decimal} (a decimal comma) or {whole} (a thousands separator)?"
        )),
        _ => None,
    }
}

/// What may stand before a decimal comma: digits, and perhaps a sign and points
/// that separate thousands.
pub(crate) fn is_whole(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = unsigned.split('.');
    groups.next().is_some_and(is_digits) && groups.all(|group| group.len() == 3 && is_digits(group))
}

/// What may stand behind a decimal comma: digits, and perhaps an exponent or a
/// unit.
pub(crate) fn is_fraction(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &text[digits..];
    let exponent = rest.strip_prefix(['e', 'E']).unwrap_or("x");
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let is_exponent = !exponent.is_empty() && exponent.bytes().all(|byte| byte.is_ascii_digit());
    let is_unit = rest.is_empty() || (rest.starts_with([' ', '%', '°']) && rest.len() <= 12);
    digits > 0 && (is_exponent || is_unit)
}

/// Letters and digits to and fro without a break, as in hashes and ids: that is
/// never a number.
pub(crate) fn is_identifier(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+/=".contains(&byte);
    let kinds = text.bytes().filter(u8::is_ascii_alphanumeric);
    let kinds: Vec<bool> = kinds.map(|byte| byte.is_ascii_digit()).collect();
    let turns = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
    text.bytes().all(is_part) && turns >= 2
}

/// The number at the beginning of a text stands alone: no date, no time, no id.
fn first_number(text: &str) -> bool {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ','))
        .unwrap_or(text.len());
    let rest = text[end..].trim_start();
    let is_number = text[..end].replace(',', ".").parse::<f64>().is_ok();
    is_number && rest.len() <= 12 && !rest.contains(|c: char| c.is_ascii_digit())
}

/// Digits in groups of three, with or without a fraction.
fn is_grouped(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit()) || unsigned.len() > 64 {
        return false;
    }
    let is_separator = |c: char| SEPARATORS.contains(&c) || c == ',' || c == '.';
    let Some(separator) = unsigned.chars().find(|&c| is_separator(c)) else {
        return false;
    };
    let mut parts: Vec<&str> = unsigned.split(separator).collect();
    let last = parts.pop().unwrap_or_default();
    let (last, fraction) = match last.split_once([',', '.']) {
        Some((last, fraction)) => (last, Some(fraction)),
        None => (last, None),
    };
    let are_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_group = |text: &str| text.len() == 3 && are_digits(text);
    let first = parts.first().copied().unwrap_or_default();
    (1..=3).contains(&first.len())
        && are_digits(first)
        && parts.iter().skip(1).all(|part| is_group(part))
        && is_group(last)
        && fraction.is_none_or(are_digits)
}

/// The number of a text with a decimal comma, as it is written with a point.
///
/// # Errors
/// It has a point, or several commas.
pub(crate) fn with_point(text: &str) -> Result<Cow<'_, str>, String> {
    let (points, commas) = (text.matches('.').count(), text.matches(',').count());
    if points > 0 || commas > 1 {
        let shown: String = text.chars().take(64).collect();
        return Err(match (points, commas) {
            (1, 0) => format!(
                "value `{shown}` has a decimal point, where the decimal sign of the others is a comma: write all alike"
            ),
            _ => format!(
                "value `{shown}` has thousands separators, which are not read where the comma is the decimal sign: take them out"
            ),
        });
    }
    Ok(match text.contains(',') {
        true => Cow::Owned(text.replacen(',', ".", 1)),
        false => Cow::Borrowed(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_told_from_what_only_begins_like_one() {
        for (look, texts) in [
            (Look::Number, &["1", "-1.5", "1e3", "+3", ".5"][..]),
            (
                Look::DecimalComma,
                &["1,5", "-0,25", "1234,567", "0,500", ",5", "1,5e3", "1,2345"],
            ),
            (Look::Ambiguous, &["1,500", "-12,345"]),
            (
                Look::Thousands,
                &[
                    "1,234.5",
                    "1.234,5",
                    "1 234",
                    "1'234.50",
                    "1\u{202f}234,5",
                    "1,234,567",
                    "1.234.567",
                    "1_000",
                ],
            ),
            (
                Look::WithUnit,
                &["1.5 C", "5%", "12 km/h", "€ 3", "1.5°C", "< 0.1", "1,5 mm"],
            ),
            (Look::TooLarge, &["1e999", "-1e400"]),
            (Look::Missing, &["", "-", "NaN", "n/a", "NULL", "inf"]),
            (
                Look::Other,
                &[
                    "calm",
                    "calm, then not",
                    "2024-01-01",
                    "12:30",
                    "10.0.0.1",
                    "station 7 is closed",
                    "NW",
                ],
            ),
        ] {
            for text in texts {
                assert_eq!(Look::of(text), look, "{text}");
            }
        }
    }

    #[test]
    fn what_may_be_before_and_behind_a_decimal_comma_is_known() {
        for (text, whole, fraction) in [
            ("5", true, true),
            ("05", true, true),
            ("-5", true, false),
            ("1.234", true, false),
            ("1.5", false, false),
            ("5e3", false, true),
            ("5e-03", false, true),
            ("5 C", false, true),
            ("5%", false, true),
            ("5e", false, false),
            ("a5", false, false),
            ("5a7c", false, false),
            ("", false, false),
        ] {
            assert_eq!(
                (is_whole(text), is_fraction(text)),
                (whole, fraction),
                "{text}"
            );
        }
    }

    #[test]
    fn hashes_and_ids_are_no_numbers() {
        for id in ["14057b7e1a08ee11", "550e8400-e29b-41d4", "a1b2"] {
            assert!(Look::of(id) == Look::Other && is_identifier(id), "{id}");
        }
        for other in ["station 7", "12:30", "2024-01-01", "calm", "10.0.0.1"] {
            assert!(!is_identifier(other), "{other}");
        }
    }

    #[test]
    fn a_value_alone_with_one_comma_is_answered_with_what_may_be_meant() {
        for (text, may_be) in [
            ("1,5", Some("did you mean 1.5?")),
            (" -0,25 ", Some("did you mean -0.25?")),
            ("1,5e3", Some("did you mean 1.5e3?")),
            ("0,500", Some("did you mean 0.500?")),
            (
                "1,500",
                Some("did you mean 1.500 (a decimal comma) or 1500 (a thousands separator)?"),
            ),
            ("1,", None),
            (",5", None),
            ("1,2,3", None),
            ("1,234,567", None),
            ("1,234.5", None),
            ("1,5 C", None),
            ("1.5", None),
            ("calm", None),
        ] {
            assert_eq!(meant(text).as_deref(), may_be, "{text}");
        }
    }

    #[test]
    fn a_decimal_comma_becomes_a_point_and_separators_are_refused() {
        assert_eq!(with_point("-1,5").unwrap(), "-1.5");
        assert_eq!(with_point("15").unwrap(), "15");
        for wrong in ["1.234,5", "1,234,567", "1.234.567"] {
            let error = with_point(wrong).unwrap_err();
            assert!(error.contains("thousands separators"), "{error}");
        }
        assert!(with_point("1.5").unwrap_err().contains("decimal point"));
    }
}
