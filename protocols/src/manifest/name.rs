//! What a new stream may be called. Others' manifests are taken with any name:
//! their streams are known by their ids.

use cid::Cid;

use crate::limits::MAX_NAME_BYTES;

/// In small letters: how a stream id begins that a person could mistake a name
/// for, an invite, and the id of a peer by its kind of key.
const ID_BEGINNINGS: [&str; 5] = ["bafkre", "headwater:", "12d3koo", "16uiu2h", "k51qzi5"];

/// The id of a peer with another key: SHA-256 of it, in base58.
const OLD_PEER_ID: (&str, usize) = ("Qm", 46);

/// What is shown of a stream id: parts of ids that are shorter name nothing to a
/// reader.
const ID_PART_BYTES: usize = 8;

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
    /// A name that says which stream or peer is meant, and is wrong.
    #[error(
        "the name `{0}` looks like the id of a stream or a peer, a part of one, or an invite; \
         take another one"
    )]
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
    if is_like_id(name) {
        return Err(NameError::LikeId(shown()));
    }
    Ok(())
}

/// Whether a name says of itself that it is an id, or a part of one that is
/// known nowhere yet. Parts of those that are known are found by comparing.
fn is_like_id(name: &str) -> bool {
    let small = name.to_ascii_lowercase();
    let (begin, len) = OLD_PEER_ID;
    ID_BEGINNINGS.iter().any(|id| small.starts_with(id))
        || (name.len() == len && name.starts_with(begin) && name.bytes().all(is_base58))
        || name.parse::<Cid>().is_ok()
        || is_like_id_part(name)
}

/// Whether a text has nothing but the characters of stream ids, and letters stand
/// behind digits as dice throw them: in what people call things digits end a
/// word, nearly always (`station4`, `co2level`).
fn is_like_id_part(name: &str) -> bool {
    let is_base32 = |byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
    let is_turn = |pair: &[u8]| pair[0].is_ascii_digit() && pair[1].is_ascii_lowercase();
    name.len() >= ID_PART_BYTES
        && name.bytes().all(is_base32)
        && name
            .as_bytes()
            .windows(2)
            .filter(|pair| is_turn(pair))
            .count()
            > 1
}

fn is_base58(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() && !matches!(byte, b'0' | b'O' | b'I' | b'l')
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
            | '\u{00ad}' | '\u{034f}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0001}'
            // As a blank, but none that anybody types.
            | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}')
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
            "station4",
            "co2level",
            "no2_and_o3_2m",
            "h2o",
            "2m-temperature",
            "abcdefghijklmnop",
            "Qm",
            "12 o'clock",
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
            "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN",
            "12d3koow",
            "16Uiu2HAm",
            "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
            "k51qzi5uqu5dh",
            "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
            // The end and the middle of an id.
            "wof36n5e",
            "nhyekklss27nh3k72ysco7y32koao5",
        ] {
            assert_eq!(wrong(name), NameError::LikeId(name.to_owned()));
        }
        for (name, shown) in [
            ("a\nb", "`a\\u{a}b`"),
            ("\x1b[2Jx", "`\\u{1b}[2Jx`"),
            ("x\u{9b}1m", "`x\\u{9b}1m`"),
            ("drow\u{202e}", "`drow\\u{202e}`"),
            ("a\u{200b}b", "`a\\u{200b}b`"),
            ("a\u{3164}", "`a\\u{3164}`"),
            ("a\u{34f}b", "`a\\u{34f}b`"),
        ] {
            let said = wrong(name).to_string();
            assert!(said.contains(shown) && !said.contains(name), "{said}");
        }
    }
}
