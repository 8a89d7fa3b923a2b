//! Sizes as people write them: `500MB`, `20GiB`, `1.5TB`.

use std::fmt;

use super::text::Text;

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

impl Text for Size {
    const WHAT: &'static str = "a size such as 500MB, 20GiB or 1.5TB";

    /// Reads a number with a unit; without one it is bytes.
    fn read(text: &str) -> Result<Self, String> {
        let bytes = bytes(text).ok_or_else(|| format!("`{text}` is not {}", Self::WHAT));
        bytes.map(Self)
    }
}

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

fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let each = match unit.trim() {
        "" => 1,
        unit => {
            let known = |(name, _): &&(&str, u64)| name.eq_ignore_ascii_case(unit);
            UNITS.iter().find(known)?.1
        }
    };
    let number: f64 = number.parse().ok()?;
    let bytes = number * each as f64;
    // Beyond this a double does not hold every whole number.
    (0.0..=9.0e15).contains(&bytes).then_some(bytes as u64)
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
            assert_eq!(Size::read(text), Ok(Size(bytes)), "{text}");
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
            assert!(Size::read(text).is_err(), "{text}");
        }
    }
}
