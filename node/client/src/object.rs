//! Structs that are read from objects (in TOML: tables) alone: serde takes an
//! array for one, too, by the places of its elements, and what somebody meant
//! as something else would be taken for what it is not.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A struct that is read from an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// Reads the fields, one after the other, as they come.
struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with named fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

/// Reads a struct from JSON.
///
/// # Errors
/// It is not JSON, or not this struct.
pub fn from_json<'a, T: Deserialize<'a>>(json: &'a str) -> serde_json::Result<T> {
    serde_json::from_str(json).map(|Object(value)| value)
}

/// Reads a struct from bytes that may be JSON.
///
/// # Errors
/// They are not JSON, or not this struct.
pub fn from_json_bytes<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    serde_json::from_slice(json).map(|Object(value)| value)
}

/// For a field that is one.
///
/// # Errors
/// It is no object.
pub fn one<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Object::deserialize(from).map(|Object(value)| value)
}

/// For a field that may be left off.
///
/// # Errors
/// It is there, and no object.
pub fn optional<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let object = Option::<Object<T>>::deserialize(from)?;
    Ok(object.map(|Object(value)| value))
}

/// For a field that is a list.
///
/// # Errors
/// An element is no object.
pub fn list<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let objects = Vec::<Object<T>>::deserialize(from)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Deserialize)]
    struct Inner {
        b: u8,
    }

    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        a: &'a RawValue,
        #[serde(default, deserialize_with = "optional")]
        inner: Option<Inner>,
        #[serde(default, deserialize_with = "list")]
        all: Vec<Inner>,
    }

    #[test]
    fn a_struct_is_read_from_an_object_and_its_tokens_are_kept() {
        let json = r#"{"a": 1.50,"inner":{"b":2},"all":[{"b":3},{"b":4}]}"#;
        let outer: Outer<'_> = from_json(json).unwrap();
        assert_eq!(outer.a.get(), "1.50");
        assert_eq!(outer.inner.unwrap().b, 2);
        let all: Vec<_> = outer.all.iter().map(|inner| inner.b).collect();
        assert_eq!(all, [3, 4]);
        let bytes: Outer<'_> = from_json_bytes(br#"{"a":[],"inner":null}"#).unwrap();
        assert!(bytes.inner.is_none() && bytes.all.is_empty());
    }

    #[test]
    fn an_array_is_no_struct_however_deep_it_stands() {
        for json in [
            "[1,null,[]]",
            "[1]",
            "[]",
            r#"{"a":1,"inner":[2]}"#,
            r#"{"a":1,"all":[[3]]}"#,
            r#"{"a":1,"all":[{"b":3},[4]]}"#,
            "5",
            "null",
            "\"a\"",
        ] {
            assert!(from_json::<Outer<'_>>(json).is_err(), "{json}");
            assert!(
                from_json_bytes::<Outer<'_>>(json.as_bytes()).is_err(),
                "{json}"
            );
        }
        for json in [r#"{"a":1} x"#, r#"{"a":1,"a":2}"#, r#"{"a":1"#] {
            assert!(from_json::<Outer<'_>>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_table_of_toml_is_no_array_either() {
        #[derive(Deserialize)]
        struct Config {
            #[serde(default, deserialize_with = "optional")]
            inner: Option<Inner>,
            #[serde(default = "three", deserialize_with = "one")]
            other: Inner,
        }
        fn three() -> Inner {
            Inner { b: 3 }
        }
        let read = |text| toml::from_str::<Config>(text);
        assert_eq!(read("[inner]\nb = 1").unwrap().inner.unwrap().b, 1);
        assert!(read("").unwrap().inner.is_none());
        assert!(read("inner = [1]").is_err());
        assert_eq!(read("").unwrap().other.b, 3);
        assert_eq!(read("other.b = 4").unwrap().other.b, 4);
        assert!(read("other = [4]").is_err());
    }
}
