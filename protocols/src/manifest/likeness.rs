//! Names that a reader takes for each other although they are not the same.

use unicode_normalization::UnicodeNormalization;
use unicode_security::confusable_detection::skeleton;

use super::name::is_invisible;

/// How two names that are not the same are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// They are the same text, written otherwise: with other code points for the
    /// same characters (é as one or as two), or with some that leave no trace.
    Written,
    /// They look the same: `a` of Latin and `а` of Cyrillic letters.
    Looks,
}

/// How two names are alike; nothing where they are the same, or where a reader
/// tells them apart. Letters of ASCII are told apart by everybody who types
/// them, `l` and `1` as well.
#[must_use]
pub fn likeness(a: &str, b: &str) -> Option<Likeness> {
    if a == b || (a.is_ascii() && b.is_ascii()) {
        return None;
    }
    let (a, b) = (traced(a), traced(b));
    if a == b {
        return Some(Likeness::Written);
    }
    let looks = skeleton(&a).eq(skeleton(&b));
    looks.then_some(Likeness::Looks)
}

/// The same text as everybody writes it.
fn traced(name: &str) -> String {
    name.nfc().filter(|&c| !leaves_no_trace(c)).collect()
}

/// Whether a character shows nothing by itself. Some of them belong into a text,
/// and none tells two texts apart.
fn leaves_no_trace(c: char) -> bool {
    is_invisible(c)
        || matches!(c,
            // Joiners, and what selects forms.
            '\u{180b}'..='\u{180f}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}'
            // Tags.
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_written_otherwise_is_the_same_text() {
        for (a, b) in [
            ("caf\u{e9}", "cafe\u{301}"),
            ("\u{c5}ngstr\u{f6}m", "\u{212b}ngstro\u{308}m"),
            ("wind", "wi\u{200d}nd"),
            ("wind", "wind\u{fe0f}"),
            ("wind", "wind\u{3164}"),
            ("\u{d55c}", "\u{1112}\u{1161}\u{11ab}"),
        ] {
            assert_eq!(likeness(a, b), Some(Likeness::Written), "{a} {b}");
            assert_eq!(likeness(b, a), Some(Likeness::Written), "{b} {a}");
        }
    }

    #[test]
    fn letters_of_another_script_look_the_same() {
        for (a, b) in [
            ("temperature", "t\u{435}mperature"),
            ("wind", "w\u{456}nd"),
            ("pH", "\u{440}H"),
            ("wind", "ｗｉｎｄ"),
            ("CO2", "\u{421}\u{41e}2"),
        ] {
            assert_eq!(likeness(a, b), Some(Likeness::Looks), "{a} {b}");
        }
    }

    #[test]
    fn what_a_reader_tells_apart_is_not_alike() {
        for (a, b) in [
            ("wind", "wind"),
            ("caf\u{e9}", "caf\u{e9}"),
            ("caf\u{e9}", "cafe"),
            ("wind", "Wind"),
            ("room1", "rooml"),
            ("o3", "03"),
            ("m\u{b2}", "m2"),
            ("temperature", "температура"),
            ("温度", "湿度"),
            ("", ""),
        ] {
            assert_eq!(likeness(a, b), None, "{a} {b}");
        }
    }
}
