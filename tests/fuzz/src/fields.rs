//! Changes to a message that leave it a message: its fields are altered, doubled
//! or left out, whatever they mean.

use bytes::Bytes;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

/// Where a list of fields may stand in another one.
const MAX_DEPTH: usize = 4;

#[derive(Clone, Debug)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
    Fields(Vec<Field>),
}

#[derive(Clone, Debug)]
struct Field {
    tag: u32,
    value: Value,
}

/// Numbers that readers compare with, beside those of the script.
const NUMBERS: [u64; 8] = [0, 1, 2, 128, 1 << 32, 1 << 62, (1 << 62) + 1, u64::MAX];

/// Alters the field that `place` counts, in the way that `how` says. `size` is a
/// number that matters just now.
pub(crate) fn altered(message: &[u8], [place, how, number]: [u8; 3], size: u64) -> Bytes {
    let Some(mut fields) = parse(message, MAX_DEPTH) else {
        return Bytes::copy_from_slice(message);
    };
    let count = count(&fields).max(1);
    let mut place = usize::from(place) % count;
    alter(&mut fields, &mut place, how, number, size);
    let mut bytes = Vec::new();
    put(&fields, &mut bytes);
    debug_assert!(parse(&bytes, MAX_DEPTH).is_some());
    bytes.into()
}

fn parse(mut bytes: &[u8], depth: usize) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (tag, wire_type) = decode_key(&mut bytes).ok()?;
        let number = decode_varint(&mut bytes).ok()?;
        let value = match wire_type {
            WireType::Varint => Value::Number(number),
            WireType::LengthDelimited => {
                let length = usize::try_from(number).ok()?;
                let (inner, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                let inner_fields =
                    (depth > 0 && !inner.is_empty()).then(|| parse(inner, depth - 1));
                match inner_fields.flatten() {
                    Some(fields) => Value::Fields(fields),
                    None => Value::Bytes(inner.to_vec()),
                }
            }
            _ => return None,
        };
        fields.push(Field { tag, value });
    }
    Some(fields)
}

fn put(fields: &[Field], out: &mut Vec<u8>) {
    for field in fields {
        let inner = match &field.value {
            Value::Number(number) => {
                encode_key(field.tag, WireType::Varint, out);
                encode_varint(*number, out);
                continue;
            }
            Value::Bytes(bytes) => bytes.clone(),
            Value::Fields(fields) => {
                let mut inner = Vec::new();
                put(fields, &mut inner);
                inner
            }
        };
        encode_key(field.tag, WireType::LengthDelimited, out);
        encode_varint(inner.len() as u64, out);
        out.extend_from_slice(&inner);
    }
}

fn count(fields: &[Field]) -> usize {
    let inner = fields.iter().map(|field| match &field.value {
        Value::Fields(fields) => 1 + count(fields),
        _ => 1,
    });
    inner.sum()
}

fn alter(fields: &mut Vec<Field>, place: &mut usize, how: u8, number: u8, size: u64) {
    for at in 0..fields.len() {
        if *place == 0 {
            return alter_here(fields, at, how, number, size);
        }
        *place -= 1;
        if let Value::Fields(inner) = &mut fields[at].value {
            let within = count(inner);
            if *place < within {
                return alter(inner, place, how, number, size);
            }
            *place -= within;
        }
    }
}

fn alter_here(fields: &mut Vec<Field>, at: usize, how: u8, number: u8, size: u64) {
    match (how % 8, &mut fields[at].value) {
        (0, _) => drop(fields.remove(at)),
        (1, _) => {
            let copy = fields[at].clone();
            // A list of hundreds, too.
            let times = if number < 128 {
                1
            } else {
                usize::from(number) * 4
            };
            fields.splice(at..at, std::iter::repeat_n(copy, times));
        }
        (2, _) => {
            let other = usize::from(number) % fields.len();
            fields.swap(at, other);
        }
        (_, Value::Number(value)) => *value = altered_number(*value, number, size),
        (3, Value::Bytes(bytes)) => bytes.truncate(usize::from(number) % (bytes.len() + 1)),
        (4, Value::Bytes(bytes)) => bytes.resize(bytes.len() + usize::from(number), number),
        (_, Value::Bytes(bytes)) => {
            if let Some(byte) = (!bytes.is_empty()).then(|| usize::from(number) % bytes.len()) {
                bytes[byte] ^= 1 << (how % 8);
            }
        }
        (_, Value::Fields(fields)) => fields.truncate(usize::from(number) % (fields.len() + 1)),
    }
}

fn altered_number(value: u64, number: u8, size: u64) -> u64 {
    match number {
        0..32 => NUMBERS[usize::from(number) % NUMBERS.len()],
        32..64 => value.wrapping_add(1),
        64..96 => value.wrapping_sub(1),
        96..112 => size,
        112..128 => size + 1,
        128..144 => size.wrapping_sub(1),
        144..160 => value.wrapping_mul(2),
        _ => number.into(),
    }
}
