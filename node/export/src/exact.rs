//! Which values a typed column gives back, and which it does not.

use std::io::Write;
use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, StringBuilder};
use arrow_array::{ArrayRef, StringArray};
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

/// Decimal digits that a double gives back whatever they are (`DBL_DIG` in C).
const SURE_DIGITS: usize = 15;

/// Doubles between which that is so.
const SURE_SIZES: std::ops::Range<f64> = 1e-290..1e290;

/// Whether a double is the number that its token says. A whole number is, if it
/// is just that (2^53 + 1 is not); any other, if it is the shortest decimal form
/// of the double (`1.50` and `0.1` are).
pub(super) fn is_same(token: &[u8], number: f64) -> bool {
    // Nearly all numbers end here, in no time.
    let has_few_digits = token.len() <= SURE_DIGITS;
    if (has_few_digits && SURE_SIZES.contains(&number.abs())) || is_short(token) {
        return true;
    }
    let is_whole = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-');
    let form = match token.iter().all(is_whole) {
        true => format!("{number:.0}"),
        false => format!("{number:e}"),
    };
    Decimal::parse(token) == Decimal::parse(form.as_bytes())
}

/// Whether a token has so few digits that nothing is lost. Without an exponent
/// it is not so small, either, that a double has fewer digits.
fn is_short(token: &[u8]) -> bool {
    // A sign and a point.
    token.len() <= SURE_DIGITS + 2
        && token.iter().filter(|byte| byte.is_ascii_digit()).count() <= SURE_DIGITS
        && !token.iter().any(|byte| matches!(byte, b'e' | b'E'))
}

/// The tokens of those rows that have one. Nearly always it is none.
#[derive(Debug)]
pub(super) struct Sparse<T> {
    rows: Vec<usize>,
    tokens: Vec<T>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            tokens: Vec::new(),
        }
    }
}

impl<T> Sparse<T> {
    /// This row has one; rows come in order.
    pub(super) fn push(&mut self, row: usize, token: T) {
        self.rows.push(row);
        self.tokens.push(token);
    }

    /// The tokens, in the order of their rows.
    pub(super) fn tokens(&self) -> &[T] {
        &self.tokens
    }

    /// For each of so many rows 1 if it has a token, else 0.
    pub(super) fn levels(&self, rows: usize) -> Vec<i16> {
        let mut levels = vec![0; rows];
        for &row in &self.rows {
            if let Some(level) = levels.get_mut(row) {
                *level = 1;
            }
        }
        levels
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.tokens.clear();
    }
}

impl Sparse<String> {
    /// A column of so many rows; the next rows begin at 0.
    pub(super) fn take(&mut self, rows: usize) -> ArrayRef {
        if self.rows.is_empty() {
            return Arc::new(StringArray::new_null(rows));
        }
        let mut column = StringBuilder::new();
        for (&row, token) in self.rows.iter().zip(&self.tokens) {
            column.append_nulls(row.saturating_sub(column.len()));
            column.append_value(token);
        }
        column.append_nulls(rows.saturating_sub(column.len()));
        self.clear();
        Arc::new(column.finish())
    }
}

/// A number as it is written, in one form: `0.digits × 10^exponent`.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    /// Without zeros at either end; none for zero.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads what parses as a finite double.
    fn parse(token: &[u8]) -> Self {
        let mut parts = token.splitn(2, |byte| matches!(byte, b'e' | b'E'));
        let (mantissa, exponent) = (parts.next().unwrap_or_default(), parts.next());
        let mut parts = mantissa.splitn(2, |&byte| byte == b'.');
        let mut digits = Vec::with_capacity(mantissa.len());
        let only = |part: &[u8], digits: &mut Vec<u8>| {
            digits.extend(part.iter().filter(|byte| byte.is_ascii_digit()));
        };
        only(parts.next().unwrap_or_default(), &mut digits);
        let whole = digits.len();
        only(parts.next().unwrap_or_default(), &mut digits);
        let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
        digits.drain(..zeros);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Self {
                is_negative: false,
                digits,
                exponent: 0,
            };
        }
        let place = whole as i64 - zeros as i64;
        Self {
            is_negative: mantissa.first() == Some(&b'-'),
            digits,
            exponent: exponent.map_or(0, power).saturating_add(place),
        }
    }
}

/// The power of ten behind an `e`.
fn power(digits: &[u8]) -> i64 {
    let text = std::str::from_utf8(digits).unwrap_or_default();
    let beyond = match digits.first() {
        Some(b'-') => i64::MIN,
        _ => i64::MAX,
    };
    text.parse().unwrap_or(beyond)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::finite;

    fn is_exact(token: &str) -> bool {
        is_same(token.as_bytes(), finite(token.as_bytes()).unwrap())
    }

    #[test]
    fn a_double_is_the_number_that_was_written_or_it_is_not() {
        for same in [
            "0",
            "-0",
            "0.0",
            "0e99999999999999999999",
            "1.50",
            "007",
            "+4",
            ".5",
            "5.",
            "1e3",
            "0.1",
            "-273.15",
            "9007199254740992",
            "9007199254740994",
            "12345678901234567e3",
            "1764400000123456768",
            "1e22",
            "1E+22",
            "0.30000000000000004",
            "100000000000000000000",
            "5e-324",
            "1.7976931348623157e308",
            "123456789012345",
            "0.000123456789012345",
        ] {
            assert!(is_exact(same), "{same}");
        }
        for rounded in [
            "9007199254740993",
            "-9007199254740993",
            "9007199254740993.0",
            "1764400000123456789",
            "1764400000123456800",
            "12345678901234567000",
            "0.1234567890123456789",
            "3.14159265358979323846",
            "1e-400",
        ] {
            assert!(!is_exact(rounded), "{rounded}");
        }
    }

    #[test]
    fn a_sparse_column_has_its_tokens_in_their_rows() {
        let mut sparse = Sparse::default();
        for (row, token) in [(1, "a"), (2, "b"), (5, "c")] {
            sparse.push(row, token.to_owned());
        }
        assert_eq!(sparse.levels(7), [0, 1, 1, 0, 0, 1, 0]);
        let shown = |column: ArrayRef| {
            let texts = column.as_any().downcast_ref::<StringArray>().unwrap();
            let texts = texts.iter().map(|text| text.unwrap_or("-").to_owned());
            texts.collect::<String>()
        };
        assert_eq!(shown(sparse.take(7)), "-ab--c-");
        assert_eq!(shown(sparse.take(3)), "---");
    }

    proptest! {
        #[test]
        fn a_whole_number_is_rounded_where_its_double_is_another_one(number in any::<i64>()) {
            let same = number as f64 as i128 == i128::from(number);
            let exact = is_exact(&number.to_string());
            prop_assert_eq!(same, exact);
        }

        #[test]
        fn what_a_double_is_written_as_is_exact(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
            // Of large ones that form looks as a whole number, which it is not.
            let digits = number.to_string();
            prop_assert!(is_exact(&digits) || number.abs() >= 9_007_199_254_740_992.0);
            let shortest = format!("{number:e}");
            prop_assert!(is_exact(&shortest));
        }

        #[test]
        fn fifteen_digits_are_always_given_back(whole in 0_u64..1_000_000_000_000_000, point in 0_usize..15) {
            let mut token = format!("{whole:015}");
            token.insert(point, '.');
            prop_assert!(is_short(token.as_bytes()));
            let number = finite(token.as_bytes()).unwrap();
            let shortest = format!("{number:e}");
            prop_assert_eq!(Decimal::parse(token.as_bytes()), Decimal::parse(shortest.as_bytes()));
        }
    }
}
