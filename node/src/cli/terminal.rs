//! Terminals: what one would obey is shown instead, how wide texts are on it,
//! and how wide it is itself.

use std::borrow::Cow;

use headwater_protocols::manifest::is_invisible;
use unicode_width::UnicodeWidthStr;

use crate::wording::printable_lines;

/// What begins a code of colour, and what ends it: those that `Output` writes.
const COLOUR: (&str, char) = ("\x1b[", 'm');

/// Stands where the rest of a text was cut off.
const CUT: char = '…';

/// A text of ours, in which what is somebody else's was made printable before:
/// should that have been forgotten, colours are all that a terminal obeys.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c == '\n' || !is_invisible(c);
    if text.chars().all(is_plain) {
        return text.into();
    }
    let pieces = pieces(text).map(|piece| match piece {
        Piece::Colour(code) => code.to_owned(),
        Piece::Text(text) => printable_lines(text),
    });
    pieces.collect::<String>().into()
}

/// JSON whose texts no terminal obeys, and which means the same.
pub(crate) fn harmless_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if is_invisible(c) && c != '\n' {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units).iter();
            units.for_each(|unit| safe.push_str(&format!("\\u{unit:04x}")));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Bytes on their way to a terminal, as they come: characters may be cut
/// anywhere.
#[derive(Debug, Default)]
pub(crate) struct TerminalText {
    /// The beginning of a character whose end has not come.
    begun: Vec<u8>,
}

impl TerminalText {
    /// What a terminal may have of all that came.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.begun.extend_from_slice(bytes);
        let whole = self.begun.len() - unfinished(&self.begun);
        let rest = self.begun.split_off(whole);
        let text = std::mem::replace(&mut self.begun, rest);
        printable_lines(&String::from_utf8_lossy(&text))
    }
}

/// How many bytes at the end begin a character that may still come.
fn unfinished(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => 0,
        Err(_) => (1..=3.min(bytes.len()))
            .find(|&back| {
                let end = &bytes[bytes.len() - back..];
                std::str::from_utf8(end)
                    .is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
            })
            .unwrap_or(0),
    }
}

/// A part of a text of ours.
enum Piece<'a> {
    Colour(&'a str),
    Text(&'a str),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(len) = colour_at_start(rest) {
            let (code, behind) = rest.split_at(len);
            rest = behind;
            return Some(Piece::Colour(code));
        }
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let end = rest[first..]
            .find(COLOUR.0)
            .map_or(rest.len(), |at| first + at);
        let (text, behind) = rest.split_at(end);
        rest = behind;
        Some(Piece::Text(text))
    })
}

/// How long the code of colour is that a text begins with.
fn colour_at_start(text: &str) -> Option<usize> {
    let code = text.strip_prefix(COLOUR.0)?;
    let digits = code.find(|c: char| !c.is_ascii_digit())?;
    let is_whole = code[digits..].starts_with(COLOUR.1);
    is_whole.then(|| COLOUR.0.len() + digits + COLOUR.1.len_utf8())
}

/// Columns of a terminal that a text takes up, without what only colours it.
pub(crate) fn width(text: &str) -> usize {
    let widths = pieces(text).map(|piece| match piece {
        Piece::Colour(_) => 0,
        Piece::Text(text) => text.width(),
    });
    widths.sum()
}

/// A text in at most so many columns.
pub(crate) fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return text.into();
    }
    let mut short = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Colour(code) => short.push_str(code),
            Piece::Text(text) => {
                for c in text.chars() {
                    short.push(c);
                    if width(&short) >= columns {
                        short.pop();
                        break;
                    }
                }
            }
        }
    }
    short.push(CUT);
    short.into()
}

/// How many columns lines should have at most: as the user says by `COLUMNS`, or
/// as the terminal has; no bound where there is none.
pub(crate) fn columns() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok();
    let said = said.and_then(|said| said.trim().parse().ok());
    let said = said.filter(|&columns: &usize| columns > 0);
    said.or_else(|| {
        let (width, _) = terminal_size::terminal_size_of(std::io::stdout())?;
        Some(width.0.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_our_own_texts_only_colours_are_obeyed() {
        let ours = "\x1b[31mstopped\x1b[0m\n";
        assert_eq!(harmless(ours), ours);
        assert_eq!(
            harmless("\x1b[1;31m\x1b[2J\x1b]0;x\x07\x1b[31mred"),
            "\\u{1b}[1;31m\\u{1b}[2J\\u{1b}]0;x\\u{7}\x1b[31mred"
        );
        assert_eq!(harmless("\x1b["), "\\u{1b}[");
    }

    #[test]
    fn json_means_the_same_on_a_terminal() {
        let json = "{\"value\":\"\u{9b}2J\u{7f}\u{202e}\u{e0001}é\"}\n";
        let shown = harmless_json(json);
        assert!(!shown.trim_end().chars().any(is_invisible), "{shown}");
        let parse = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(parse(&shown), parse(json));
    }

    #[test]
    fn bytes_reach_a_terminal_whole_wherever_they_are_cut() {
        let bytes = "0,温度 🌊\x1b[2J\n".as_bytes();
        for cut in 0..=bytes.len() {
            let mut text = TerminalText::default();
            let shown = text.push(&bytes[..cut]) + &text.push(&bytes[cut..]);
            assert_eq!(shown, "0,温度 🌊\\u{1b}[2J\n", "{cut}");
        }
        let mut text = TerminalText::default();
        assert_eq!(text.push(b"\xff\x9bx"), "\u{fffd}\u{fffd}x");
    }

    #[test]
    fn wide_characters_take_two_columns_and_colours_none() {
        assert_eq!(width("wind"), 4);
        assert_eq!(width("温度"), 4);
        assert_eq!(width("🌊"), 2);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(width("\x1b[31m温度\x1b[0m"), 4);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("wind", 4), "wind");
        assert_eq!(cut("windy", 4), "win…");
        assert_eq!(width(&cut("温度温度", 4)), 3);
        assert_eq!(cut("\x1b[31mwindy\x1b[0m", 4), "\x1b[31mwin\x1b[0m…");
    }
}
