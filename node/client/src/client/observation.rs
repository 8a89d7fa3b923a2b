//! Observations as the API writes them: `{"index":0,"time":"…","value":…}`.

use anyhow::Context;
use futures::{Stream, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ByteStream;

/// Bytes of one line at most: a value of 1 MiB, every byte of it escaped.
const MAX_LINE_BYTES: usize = 8 << 20;

/// One observation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// Its place in the stream.
    pub index: u64,
    /// When it was observed.
    pub time: TimeText,
    /// What a time counts that is a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_unit: Option<String>,
    /// What was observed, as one JSON value, token by token as it was given.
    pub value: Box<RawValue>,
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
    pub fn parse(json: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(json).context("the node sent something that is no observation")
    }
}

/// Cuts NDJSON into its observations.
pub(super) fn lines(bytes: ByteStream) -> impl Stream<Item = anyhow::Result<Observation>> {
    parsed_lines(bytes, Observation::parse)
}

/// Cuts a text into its lines, and reads each.
pub(super) fn parsed_lines<T>(
    bytes: ByteStream,
    parse: fn(&[u8]) -> anyhow::Result<T>,
) -> impl Stream<Item = anyhow::Result<T>> {
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
            anyhow::ensure!(
                kept.len() <= MAX_LINE_BYTES,
                "the node sent a line without end"
            );
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

    async fn read(pieces: &[&'static str]) -> anyhow::Result<Vec<(u64, String, String)>> {
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

    #[tokio::test]
    async fn what_was_cut_off_is_an_error() {
        assert!(read(&["{\"index\":0,\"ti"]).await.is_err());
    }
}
