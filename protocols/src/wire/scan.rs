//! The form of signed messages that later versions add fields to: fields
//! ascending, shortest numbers, scalars once. What is not known is taken out, so
//! that what is left can be held against its one encoding.
//!
//! Two readers of the same bytes must not read two things in them. A decoder of
//! protobuf alone allows that: the last of a scalar counts, messages are merged,
//! and what is unknown is lost.

use super::WireError;

/// From here on a field that is not known does not matter to who does not know it.
pub const FIRST_IGNORED_FIELD: u32 = 64;

/// The largest number that a field of protobuf may have.
const MAX_FIELD: u64 = (1 << 29) - 1;

/// How a field is written.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A number.
    Varint,
    /// Bytes or text.
    Bytes,
    /// A message.
    Message(&'static Form),
}

/// A field that is known.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its number.
    pub number: u32,
    /// How it is written.
    pub shape: Shape,
    /// Whether there may be several.
    pub repeated: bool,
}

impl Field {
    /// A field that stands there once at most.
    #[must_use]
    pub const fn one(number: u32, shape: Shape) -> Self {
        Self {
            number,
            shape,
            repeated: false,
        }
    }

    /// A field that may stand there several times.
    #[must_use]
    pub const fn many(number: u32, shape: Shape) -> Self {
        Self {
            number,
            shape,
            repeated: true,
        }
    }
}

/// The known fields of a message.
#[derive(Debug)]
pub struct Form {
    /// What the message is called in errors: `a manifest`.
    pub what: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

impl Form {
    fn field(&self, number: u32) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number)
    }
}

/// A field that is not known, and must be to read the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewerField {
    /// What the message with it is called: `a manifest`.
    pub what: &'static str,
    /// Its number.
    pub number: u32,
}

/// A message in good form.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The fields that are known, as they were.
    pub known: Vec<u8>,
    /// The first unknown one that must not be ignored.
    pub newer: Option<NewerField>,
}

/// Checks the form of a message, whatever a later version has added to it.
///
/// # Errors
/// It is not in that form.
pub fn scan(message: &[u8], form: &Form) -> Result<Scanned, WireError> {
    let mut scanned = Scanned::default();
    let mut rest = message;
    let mut last = 0;
    while !rest.is_empty() {
        let whole = rest;
        let bad = |field, why| WireError::Form {
            what: form.what,
            field,
            why,
        };
        let (number, kind) = key(&mut rest).map_err(|why| bad(last, why))?;
        let content = content(&mut rest, kind).map_err(|why| bad(number, why))?;
        let field = form.field(number);
        if number < last {
            return Err(bad(number, "stands behind a field of a larger number"));
        }
        if number == last && field.is_some_and(|field| !field.repeated) {
            return Err(bad(number, "stands there twice"));
        }
        last = number;
        let bytes = &whole[..whole.len() - rest.len()];
        match field.map(|field| field.shape) {
            None if number < FIRST_IGNORED_FIELD => {
                let what = form.what;
                scanned.newer = scanned.newer.or(Some(NewerField { what, number }));
            }
            None => {}
            Some(Shape::Varint) if kind == VARINT => scanned.known.extend_from_slice(bytes),
            Some(Shape::Bytes) if kind == LENGTH => scanned.known.extend_from_slice(bytes),
            Some(Shape::Message(inner)) if kind == LENGTH => {
                let inner = scan(content, inner)?;
                put_number(&mut scanned.known, u64::from(number) << 3 | LENGTH);
                put_number(&mut scanned.known, inner.known.len() as u64);
                scanned.known.extend_from_slice(&inner.known);
                scanned.newer = scanned.newer.or(inner.newer);
            }
            Some(_) => return Err(bad(number, "is written as something else")),
        }
    }
    Ok(scanned)
}

/// Whether a message in good form has a field that is not known, which a later
/// version may have added. What is in no good form has nothing.
#[must_use]
pub fn has_more(message: &[u8], form: &Form) -> bool {
    scan(message, form).is_ok_and(|scanned| scanned.known != message)
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED32: u64 = 5;

/// The number of a field and how it is written.
fn key(rest: &mut &[u8]) -> Result<(u32, u64), &'static str> {
    let key = number(rest)?;
    match key >> 3 {
        0 => Err("is followed by a field without a number"),
        field if field > MAX_FIELD => Err("is followed by a field of too large a number"),
        field => Ok((field as u32, key & 7)),
    }
}

/// The bytes of a field behind its key; those of a length without it.
fn content<'a>(rest: &mut &'a [u8], kind: u64) -> Result<&'a [u8], &'static str> {
    let length = match kind {
        VARINT => {
            number(rest)?;
            0
        }
        FIXED64 => 8,
        FIXED32 => 4,
        LENGTH => usize::try_from(number(rest)?).map_err(|_| "is cut off")?,
        _ => return Err("is a group, or written in no way that there is"),
    };
    let (content, behind) = rest.split_at_checked(length).ok_or("is cut off")?;
    *rest = behind;
    Ok(content)
}

/// A number in its shortest form.
fn number(rest: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0;
    for (place, &byte) in rest.iter().enumerate() {
        // The tenth byte has the last bit.
        if place == 9 && byte > 1 {
            return Err("has a number of more than 64 bits");
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            if byte == 0 && place > 0 {
                return Err("has a number that is not in its shortest form");
            }
            *rest = &rest[place + 1..];
            return Ok(value);
        }
    }
    Err("is cut off")
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: Form = Form {
        what: "an inner message",
        fields: &[Field::one(1, Shape::Varint)],
    };
    const OUTER: Form = Form {
        what: "a message",
        fields: &[
            Field::one(1, Shape::Varint),
            Field::many(2, Shape::Bytes),
            Field::one(3, Shape::Message(&INNER)),
        ],
    };

    fn why(bytes: &[u8]) -> String {
        scan(bytes, &OUTER).unwrap_err().to_string()
    }

    #[test]
    fn what_is_known_comes_back_as_it_was() {
        let bytes = [8, 5, 18, 1, 7, 18, 0, 26, 2, 8, 9];
        let scanned = scan(&bytes, &OUTER).unwrap();
        assert_eq!((&scanned.known[..], scanned.newer), (&bytes[..], None));
        assert_eq!(scan(&[], &OUTER), Ok(Scanned::default()));
    }

    #[test]
    fn unknown_fields_from_64_on_are_taken_out_wherever_and_however_often_they_stand() {
        // 64 as a number, 65 as 4 bytes, 65 as 8, 66 with a length, and again.
        let unknown = [
            &[0x80, 4, 1][..],
            &[0x8d, 4, 1, 2, 3, 4],
            &[0x89, 4, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x92, 4, 1, 0xff],
            &[0x92, 4, 0],
        ]
        .concat();
        let bytes = [&[8, 5][..], &unknown].concat();
        let scanned = scan(&bytes, &OUTER).unwrap();
        assert_eq!((&scanned.known[..], scanned.newer), (&[8, 5][..], None));

        let inner = [&[8, 9][..], &unknown].concat();
        let bytes = [&[26, inner.len() as u8][..], &inner].concat();
        let scanned = scan(&bytes, &OUTER).unwrap();
        assert_eq!(
            (&scanned.known[..], scanned.newer),
            (&[26, 2, 8, 9][..], None)
        );
    }

    #[test]
    fn an_unknown_field_below_64_is_told_with_the_message_that_has_it() {
        let newer = |bytes: &[u8]| scan(bytes, &OUTER).unwrap().newer.unwrap();
        let (what, number) = ("a message", 4);
        // The first of two.
        assert_eq!(newer(&[32, 0, 40, 0]), NewerField { what, number });
        let number = 63;
        assert_eq!(newer(&[0xf8, 3, 0]), NewerField { what, number });
        let (what, number) = ("an inner message", 2);
        assert_eq!(newer(&[26, 2, 16, 1]), NewerField { what, number });
    }

    #[test]
    fn unknown_fields_are_found_in_a_message_in_good_form_alone() {
        for known in [
            &[][..],
            &[18, 0, 8, 0x85, 0, 26, 2, 8, 0],
            &[0xff],
            &[0, 0],
            // Cut off, written otherwise, and a text.
            &[26, 3, 16, 1, 8],
            &[32, 0x81, 0],
            b"no message of ours",
        ] {
            assert!(!has_more(known, &OUTER), "{known:?}");
        }
        for more in [&[32, 1][..], &[8, 5, 0x82, 4, 0], &[26, 2, 16, 1]] {
            assert!(has_more(more, &OUTER), "{more:?}");
        }
    }

    #[test]
    fn what_two_readers_could_read_as_two_things_is_refused() {
        for (bytes, reason) in [
            (&[18, 0, 8, 5][..], "field 1 stands behind"),
            (&[8, 5, 8, 6], "field 1 stands there twice"),
            (&[26, 0, 26, 0], "field 3 stands there twice"),
            (&[26, 4, 8, 1, 8, 1], "field 1 stands there twice"),
            (&[0x80, 5, 0, 0x80, 4, 0], "field 64 stands behind"),
            (
                &[8, 0x85, 0],
                "field 1 has a number that is not in its shortest",
            ),
            (&[0x88, 0, 5], "has a number that is not in its shortest"),
            (&[18, 0x80, 0], "field 2 has a number that is not in its"),
            // Also in what is not known.
            (&[0x80, 4, 0x80, 0], "field 64 has a number that is not"),
            (
                &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
                "64 bits",
            ),
            (&[10, 1, 5], "field 1 is written as something else"),
            (&[16, 5], "field 2 is written as something else"),
            (&[0x83, 4, 0x84, 4], "field 64 is a group"),
            (&[0x87, 4], "field 64 is a group, or written in no way"),
            (&[0, 5], "without a number"),
            (&[0xf8, 0xff, 0xff, 0xff, 0x1f, 0], "too large a number"),
            (&[8], "field 1 is cut off"),
            (&[18, 2, 1], "field 2 is cut off"),
            (
                &[18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
                "is cut off",
            ),
            (&[0x80], "is cut off"),
        ] {
            let why = why(bytes);
            assert!(why.contains(reason), "{bytes:?}: {why}");
        }
    }
}
