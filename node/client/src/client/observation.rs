//! Observations as the API writes them: `{"index":0,"time":"…","value":…}`, and of a
//! stream with columns `{"index":0,"time":"…","temperature":…,"sky":…}`.

use std::borrow::Cow;
use std::fmt;

use futures::{Stream, TryStreamExt, stream};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ByteStream, Error, read_json};

/// Bytes of one line at most: a value of 1 MiB, every byte of it escaped.
const MAX_LINE_BYTES: usize = 8 << 20;

/// One observation.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Its place in the stream.
    pub index: u64,
    /// When it was observed.
    pub time: TimeText,
    /// What a time counts that is a number.
    pub time_unit: Option<String>,
    /// What was observed, as one JSON value, token by token as it was given; of a stream
    /// with columns an object with their names.
    pub value: Box<RawValue>,
    /// Whether it is such an object, whose fields stand beside index and time.
    pub has_columns: bool,
}

impl Serialize for Observation {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(None)?;
        object.serialize_entry("index", &self.index)?;
        object.serialize_entry("time", &self.time)?;
        if let Some(unit) = &self.time_unit {
            object.serialize_entry("time_unit", unit)?;
        }
        if self.has_columns {
            let fields = serde_json::from_str(self.value.get());
            let Fields(fields) = fields.map_err(serde::ser::Error::custom)?;
            for (name, token) in fields {
                object.serialize_entry(&name, &token)?;
            }
        } else {
            object.serialize_entry("value", &self.value)?;
        }
        object.end()
    }
}

impl<'de> Deserialize<'de> for Observation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(OfObject)
    }
}

struct OfObject;

impl<'de> Visitor<'de> for OfObject {
    type Value = Observation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an observation")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Observation, A::Error> {
        let (mut index, mut time, mut time_unit) = (None, None, None);
        let mut values: Vec<(String, Box<RawValue>)> = Vec::new();
        while let Some(Name(name)) = object.next_key()? {
            match &*name {
                "index" => index = Some(object.next_value()?),
                "time" => time = Some(object.next_value()?),
                "time_unit" => time_unit = object.next_value()?,
                _ => values.push((name.into_owned(), object.next_value()?)),
            }
        }
        let has_columns = !matches!(&values[..], [(name, _)] if name == "value");
        let value = match has_columns {
            _ if values.is_empty() => return Err(de::Error::missing_field("value")),
            true => object_of(&values).map_err(de::Error::custom)?,
            false => values.swap_remove(0).1,
        };
        Ok(Observation {
            index: index.ok_or_else(|| de::Error::missing_field("index"))?,
            time: time.ok_or_else(|| de::Error::missing_field("time"))?,
            time_unit,
            value,
            has_columns,
        })
    }
}

/// A name that is copied only where it has to be.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields of an object, in their order.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = object.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(InOrder)
    }
}

fn object_of(fields: &[(String, Box<RawValue>)]) -> serde_json::Result<Box<RawValue>> {
    let mut object = String::from("{");
    for (name, token) in fields {
        if object.len() > 1 {
            object.push(',');
        }
        object.push_str(&serde_json::to_string(name)?);
        object.push(':');
        object.push_str(token.get());
    }
    object.push('}');
    RawValue::from_string(object)
}

/// A time as the API writes it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum TimeText {
    /// RFC 3339.
    Rfc3339(String),
    /// Microseconds since the Unix epoch, for what RFC 3339 cannot say.
    Micros(i64),
}

impl std::fmt::Display for TimeText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rfc3339(text) => f.write_str(text),
            Self::Micros(micros) => micros.fmt(f),
        }
    }
}

impl Observation {
    /// Reads one JSON object.
    ///
    /// # Errors
    /// It is no observation.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        read_json(json, "the node sent something that is no observation")
    }
}

/// Cuts NDJSON into its observations.
pub(super) fn lines(bytes: ByteStream) -> impl Stream<Item = Result<Observation, Error>> {
    parsed_lines(bytes, Observation::parse)
}

/// Cuts a text into its lines, and reads each.
pub(super) fn parsed_lines<T>(
    bytes: ByteStream,
    parse: fn(&[u8]) -> Result<T, Error>,
) -> impl Stream<Item = Result<T, Error>> {
    let start = (bytes, Vec::new(), 0);
    stream::try_unfold(start, move |(mut bytes, mut kept, mut read)| async move {
        loop {
            let rest: &[u8] = &kept[read..];
            if let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let line = parse(&rest[..end])?;
                return Ok(Some((line, (bytes, kept, read + end + 1))));
            }
            kept.drain(..read);
            read = 0;
            if kept.len() > MAX_LINE_BYTES {
                return Err(Error::LineTooLong);
            }
            match bytes.try_next().await? {
                Some(more) => kept.extend_from_slice(&more),
                None if kept.is_empty() => return Ok(None),
                None => {
                    let line = parse(&kept)?;
                    return Ok(Some((line, (bytes, Vec::new(), 0))));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::StreamExt;

    async fn read(pieces: &[&'static str]) -> Result<Vec<(u64, String, String)>, Error> {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|p| Ok(Bytes::from_static(p.as_bytes())))
            .collect();
        lines(stream::iter(pieces).boxed())
            .map_ok(|o| (o.index, o.time.to_string(), o.value.get().to_owned()))
            .try_collect()
            .await
    }

    #[tokio::test]
    async fn observations_are_read_across_the_pieces_they_come_in() {
        let seen = read(&[
            "{\"index\":0,\"time\":\"2024-05-01T12:00:00.000000Z\",\"value\":4.0}\n{\"ind",
            "ex\":1,\"time\":-9223372036854775808,\"value\":{\"a\": 1.50}}",
            "\n{\"index\":2,\"time\":\"x\",\"value\":\"+4\"}",
        ])
        .await
        .unwrap();
        let expected = [
            (0, "2024-05-01T12:00:00.000000Z", "4.0"),
            (1, "-9223372036854775808", "{\"a\": 1.50}"),
            (2, "x", "\"+4\""),
        ];
        let expected = expected.map(|(i, t, v)| (i, t.to_owned(), v.to_owned()));
        assert_eq!(seen, expected);
        assert!(read(&[]).await.unwrap().is_empty());
    }

    #[test]
    fn the_columns_of_a_row_are_its_value_and_are_written_as_they_were() {
        let row = r#"{"index":5,"time":"x","temperature":1.50,"value":null,"sky":"a \"b\"","at":{"a": 1}}"#;
        let read = Observation::parse(row.as_bytes()).unwrap();
        assert!(read.has_columns && read.index == 5);
        assert_eq!(
            read.value.get(),
            r#"{"temperature":1.50,"value":null,"sky":"a \"b\"","at":{"a": 1}}"#
        );
        assert_eq!(serde_json::to_string(&read).unwrap(), row);
        let one = r#"{"index":5,"time":-5,"time_unit":"us","value":{"a": 1}}"#;
        let read = Observation::parse(one.as_bytes()).unwrap();
        assert!(!read.has_columns);
        assert_eq!(serde_json::to_string(&read).unwrap(), one);
        for wrong in [
            r#"{"index":5,"time":"x"}"#,
            r#"{"time":"x","value":1}"#,
            r#"{"index":5,"value":1}"#,
            r#"{"index":-1,"time":"x","value":1}"#,
            "[5,\"x\",null,1]",
        ] {
            assert!(Observation::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_was_cut_off_is_an_error() {
        assert!(read(&["{\"index\":0,\"ti"]).await.is_err());
    }
}
