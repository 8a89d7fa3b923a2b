//! Sizes as people write them: `500MB`, `20GiB`, `1.5TB`.

const UNITS: [(&str, u64); 13] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("T", 1 << 40),
];

/// Reads a number with a unit, in bytes; without one it is bytes.
///
/// # Errors
/// It is something else; says what is expected.
pub fn parse(text: &str) -> Result<u64, String> {
    let expected = || format!("`{text}` is not a size such as 500MB, 20GiB or 1.5TB");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim();
    let each = match unit {
        "" => 1,
        unit => {
            let known = |(name, _): &&(&str, u64)| name.eq_ignore_ascii_case(unit);
            UNITS.iter().find(known).ok_or_else(expected)?.1
        }
    };
    let number: f64 = number.parse().map_err(|_| expected())?;
    let bytes = number * each as f64;
    // Beyond this a double does not hold every whole number.
    if !(0.0..=9.0e15).contains(&bytes) {
        return Err(expected());
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1500", 1_500),
            ("500MB", 500_000_000),
            ("20GiB", 20 << 30),
            ("20 gib", 20 << 30),
            ("1.5K", 1_536),
            ("2T", 2 << 40),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "GB",
            "-1GB",
            "1.2.3K",
            "10 parsecs",
            "1e3",
            "99999T",
            ".",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
