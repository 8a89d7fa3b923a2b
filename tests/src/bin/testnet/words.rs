//! What is said on stdout while something goes on.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::Instant;

/// Writes a line.
pub(crate) fn line(text: &str) {
    // Nobody reads it any more; what goes on goes on.
    let _ = writeln!(io::stdout(), "{text}");
}

/// Says what begins.
pub(crate) fn step(text: &str) {
    let (bold, plain) = bold();
    line(&format!("{bold}▸ {text}{plain}"));
}

/// Says something about it.
pub(crate) fn note(text: &str) {
    line(&format!("  {text}"));
}

/// What makes words bold, and what ends that; nothing where it would be read as it
/// stands.
pub(crate) fn bold() -> (&'static str, &'static str) {
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !no_color {
        ("\x1b[1m", "\x1b[0m")
    } else {
        ("", "")
    }
}

/// The time since then, as "0.4 s".
pub(crate) fn since(start: Instant) -> String {
    let tenths = start.elapsed().as_millis() / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}
