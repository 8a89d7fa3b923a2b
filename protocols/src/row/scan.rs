//! The tokens of JSON, told from its bytes alone: where one ends, and whether it is
//! one (RFC 8259, with no white space but spaces). Nothing is copied, and nothing is called by itself again, however
//! deep arrays and objects lie in each other.

use crate::limits::MAX_ROW_DEPTH;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// `null`: there is no value.
    Null,
    /// `true`.
    True,
    /// `false`.
    False,
    /// A number.
    Number,
    /// A text within quotation marks.
    Text,
    /// An array or an object.
    Nested,
}

/// The kind of the token that begins here, and its bytes; `None` where there is none.
pub(super) fn token(json: &[u8], at: usize) -> Option<(TokenKind, usize)> {
    let rest = json.get(at..)?;
    let known = |word: &[u8], kind| rest.starts_with(word).then_some((kind, word.len()));
    match rest.first()? {
        b'n' => known(b"null", TokenKind::Null),
        b't' => known(b"true", TokenKind::True),
        b'f' => known(b"false", TokenKind::False),
        b'"' => Some((TokenKind::Text, text(rest)?)),
        b'-' | b'0'..=b'9' => Some((TokenKind::Number, number(rest)?)),
        b'[' | b'{' => Some((TokenKind::Nested, nested(rest)?)),
        _ => None,
    }
}

/// Bytes of the number at the beginning.
fn number(json: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let rest = json.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut at = usize::from(json.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && json[at] == b'0') {
        return None;
    }
    at += whole;
    if json.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = json.get(at) {
        let sign = usize::from(matches!(json.get(at + 1), Some(b'+' | b'-')));
        let power = digits(at + 1 + sign);
        if power == 0 {
            return None;
        }
        at += 1 + sign + power;
    }
    Some(at)
}

/// Bytes of the text at the beginning, with its quotation marks. That its bytes are
/// UTF-8 is known.
fn text(json: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match json.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += escape(json.get(at..)?)?,
            0..0x20 => return None,
            _ => at += 1,
        }
    }
}

/// Bytes of the escape at the beginning. Half of a surrogate pair stands for no
/// character.
fn escape(json: &[u8]) -> Option<usize> {
    match json.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => match unit(json)? {
            0xD800..0xDC00 => {
                let low = json.get(6..).and_then(unit)?;
                (0xDC00..0xE000).contains(&low).then_some(12)
            }
            0xDC00..0xE000 => None,
            _ => Some(6),
        },
        _ => None,
    }
}

/// The UTF-16 unit of the escape `\uXXXX` at the beginning.
fn unit(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        u16::try_from(digit).ok().map(|digit| unit << 4 | digit)
    })
}

/// What is open in a nested token, the innermost last, a bit each.
#[derive(Default)]
struct Open {
    depth: u32,
    objects: u128,
}

impl Open {
    fn push(&mut self, is_object: bool) -> Option<()> {
        if self.depth == MAX_ROW_DEPTH {
            return None;
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(is_object);
        Some(())
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
    }

    fn is_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

/// Bytes of the array or object at the beginning.
fn nested(json: &[u8]) -> Option<usize> {
    let mut open = Open::default();
    let mut at = 0;
    loop {
        // A value begins here.
        at = value(json, at, &mut open)?;
        // What follows on it.
        loop {
            if open.depth == 0 {
                return Some(at);
            }
            at += blanks(json, at);
            let is_object = open.is_object();
            match json.get(at)? {
                b',' => {
                    at += 1;
                    if is_object {
                        at = key(json, at)?;
                    }
                    break;
                }
                b'}' if is_object => open.pop(),
                b']' if !is_object => open.pop(),
                _ => return None,
            }
            at += 1;
        }
    }
}

/// Goes to the end of the first value at this place that has nothing in it, however
/// deep that lies.
fn value(json: &[u8], mut at: usize, open: &mut Open) -> Option<usize> {
    loop {
        at += blanks(json, at);
        let end = match json.get(at)? {
            b'[' => b']',
            b'{' => b'}',
            _ => return token(json, at).map(|(_, bytes)| at + bytes),
        };
        open.push(end == b'}')?;
        at += 1;
        at += blanks(json, at);
        if json.get(at) == Some(&end) {
            open.pop();
            return Some(at + 1);
        }
        if end == b'}' {
            at = key(json, at)?;
        }
    }
}

/// Goes over a key and the colon behind it.
fn key(json: &[u8], mut at: usize) -> Option<usize> {
    at += blanks(json, at);
    if json.get(at) != Some(&b'"') {
        return None;
    }
    at += text(&json[at..])?;
    at += blanks(json, at);
    (json.get(at) == Some(&b':')).then_some(at + 1)
}

/// Spaces alone: a row is one line.
fn blanks(json: &[u8], at: usize) -> usize {
    let rest = json.get(at..).unwrap_or_default();
    rest.iter().take_while(|&&byte| byte == b' ').count()
}
