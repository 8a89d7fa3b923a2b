//! How sentences have numbers, and texts from somebody else: without anything in
//! them that a terminal would obey.

use std::fmt::Write;

use headwater_protocols::manifest::is_invisible;

/// A text from somebody else, in one line, with nothing in it that a terminal
/// would obey.
pub(crate) fn printable(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same, of a text that may have several lines.
pub(crate) fn printable_lines(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) && !stays(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// 8759 → `8,759`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `8,759 records`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    let mut text = grouped(number);
    let plural = if number == 1 { "" } else { "s" };
    // Writing to a string does not fail.
    let _ = write!(text, " {thing}{plural}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(printable("21 °C\n"), "21 °C\\u{a}");
        assert_eq!(
            printable("\x1b[2J\u{9b}\u{202e}"),
            "\\u{1b}[2J\\u{9b}\\u{202e}"
        );
        assert_eq!(printable_lines("a\n\tb\r\x07"), "a\n\tb\\u{d}\\u{7}");
    }

    #[test]
    fn numbers_are_grouped_and_things_are_counted() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(counted(2, "record"), "2 records");
    }
}
