//! What a new stream may be called. Others' manifests are taken with any name:
//! their streams are known by their ids.

use crate::limits::MAX_NAME_BYTES;

/// How every stream id begins that a person could mistake a name for.
const ID_BEGIN: &str = "bafkre";

/// How an invite begins.
const INVITE_BEGIN: &str = "headwater:";

/// A text that cannot be the name of a new stream. What is shown of it is
/// escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is none.
    #[error("a stream needs a name, and this one is empty")]
    Empty,
    /// More than [`MAX_NAME_BYTES`].
    #[error("a name of {0} bytes is too long; a stream's name has at most {MAX_NAME_BYTES}")]
    TooLong(usize),
    /// Nobody sees the blank, and nobody types it.
    #[error("the name `{0}` begins or ends with a blank; leave it off")]
    Blank(String),
    /// It would disturb tables, logs and terminals, or deceive their readers.
    #[error("the name `{0}` has a character that cannot be seen (U+{1:04X}); leave it out")]
    Invisible(String, u32),
    /// A step in a path, to shells and to programs that read a URL.
    #[error("the name `{0}` means a folder to other programs; take another one")]
    Folder(String),
    /// A name that says which stream is meant, and is wrong.
    #[error("the name `{0}` looks like the id of a stream, or like an invite; take another one")]
    LikeId(String),
}

/// Takes a text that can be the name of a new stream, here and wherever it will
/// be read.
///
/// # Errors
/// It cannot.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong(name.len()));
    }
    let shown = || name.chars().flat_map(escaped).collect::<String>();
    if let Some(c) = name.chars().find(|&c| is_invisible(c)) {
        return Err(NameError::Invisible(shown(), c.into()));
    }
    if name.trim() != name {
        return Err(NameError::Blank(shown()));
    }
    if matches!(name, "." | "..") {
        return Err(NameError::Folder(shown()));
    }
    let small = name.to_ascii_lowercase();
    if small.starts_with(ID_BEGIN) || small.starts_with(INVITE_BEGIN) {
        return Err(NameError::LikeId(shown()));
    }
    Ok(())
}

/// A character as a terminal may have it.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let escape = is_invisible(c).then(|| c.escape_unicode());
    let plain = escape.is_none().then_some(c);
    escape.into_iter().flatten().chain(plain)
}

/// Whether a character is obeyed by terminals, turns the text around it, or
/// leaves no trace at all. The joiners of scripts and emoji are none of these.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Marks, embeddings, overrides and isolates of direction.
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Ends of lines and paragraphs.
            | '\u{2028}' | '\u{2029}'
            // Nothing at all.
            | '\u{00ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0001}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_call_things_is_a_name() {
        for name in [
            "t",
            "air pressure, 2 m?",
            "温度 🌊",
            "niño-3.4/sst",
            "...",
            "-5",
            "می\u{200c}خواهم",
            &*"n".repeat(MAX_NAME_BYTES),
        ] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_would_be_taken_for_something_else_is_no_name() {
        let wrong = |name: &str| check_name(name).unwrap_err();
        assert_eq!(wrong(""), NameError::Empty);
        assert_eq!(wrong(&"n".repeat(129)), NameError::TooLong(129));
        for name in [" lead", "trail ", "\u{3000}wide"] {
            assert_eq!(wrong(name), NameError::Blank(name.to_owned()));
        }
        for name in [".", ".."] {
            assert_eq!(wrong(name), NameError::Folder(name.to_owned()));
        }
        for name in [
            "bafkreiabc",
            "BAFKREIABC",
            "bafkre",
            "headwater:x",
            "Headwater:",
        ] {
            assert_eq!(wrong(name), NameError::LikeId(name.to_owned()));
        }
        for (name, shown) in [
            ("a\nb", "`a\\u{a}b`"),
            ("\x1b[2Jx", "`\\u{1b}[2Jx`"),
            ("x\u{9b}1m", "`x\\u{9b}1m`"),
            ("drow\u{202e}", "`drow\\u{202e}`"),
            ("a\u{200b}b", "`a\\u{200b}b`"),
        ] {
            let said = wrong(name).to_string();
            assert!(said.contains(shown) && !said.contains(name), "{said}");
        }
    }
}
