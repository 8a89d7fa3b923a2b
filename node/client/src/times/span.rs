//! Durations as people write them: `10s`, `5m`, `1h30m`, `1d`.

use std::time::Duration;

const UNITS: [(&str, u64); 7] = [
    ("w", 604_800_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Reads whole numbers with units, without spaces between them.
///
/// # Errors
/// It is something else; says what is expected.
pub fn parse(text: &str) -> Result<Duration, String> {
    let expected = || format!("`{text}` is not a duration such as 10s, 5m, 1h30m or 1d");
    let mut rest = text;
    let mut micros = 0_u64;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(expected)?;
        let (number, after) = rest.split_at(digits);
        let unit = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let number: u64 = number.parse().map_err(|_| expected())?;
        let each = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(expected)?
            .1;
        let part = number.checked_mul(each).ok_or_else(expected)?;
        micros = micros.checked_add(part).ok_or_else(expected)?;
        rest = after;
    }
    if text.is_empty() {
        return Err(expected());
    }
    Ok(Duration::from_micros(micros))
}

/// Reads a span that is longer than nothing.
///
/// # Errors
/// As [`parse`]; or it is 0.
pub fn parse_positive(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err(format!("`{text}` must be longer than nothing")),
        span => Ok(span),
    }
}

/// Writes what [`parse`] reads, in at most two units.
#[must_use]
pub fn text(duration: Duration) -> String {
    let mut micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut text = String::new();
    let mut parts = 0;
    for (unit, each) in UNITS.into_iter().filter(|(unit, _)| *unit != "w") {
        if micros >= each && parts < 2 {
            text.push_str(&format!("{}{unit}", micros / each));
            micros %= each;
            parts += 1;
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_whole_numbers_with_units() {
        for (text, seconds) in [
            ("10s", 10.0),
            ("5m", 300.0),
            ("1h30m", 5_400.0),
            ("1d", 86_400.0),
            ("2w", 1_209_600.0),
            ("0s", 0.0),
            ("250ms", 0.25),
            ("1s500ms", 1.5),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for wrong in [
            "",
            "5",
            "s",
            "-5s",
            "1.5h",
            "5 s",
            "5x",
            "1h30",
            "99999999999999w",
        ] {
            assert!(
                parse(wrong).unwrap_err().contains("is not a duration"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn durations_are_written_in_at_most_two_units() {
        for (text_of, seconds) in [
            ("0s", 0.0),
            ("1h", 3_600.0),
            ("1h30m", 5_400.0),
            ("1d2h", 93_784.0),
            ("60ms", 0.06),
        ] {
            assert_eq!(text(Duration::from_secs_f64(seconds)), text_of);
        }
    }

    #[test]
    fn nothing_is_no_span_between_two_observations() {
        for nothing in ["0s", "0d", "0h0m", "00us"] {
            let error = parse_positive(nothing).unwrap_err();
            assert!(error.contains("longer than nothing"), "{error}");
        }
        assert_eq!(parse_positive("1us"), Ok(Duration::from_micros(1)));
        assert!(parse_positive("1").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(micros in any::<u64>()) {
            let written = text(Duration::from_micros(micros));
            prop_assert!(parse(&written).is_ok(), "{}", written);
        }

        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
