//! Addresses of requests.

use serde::Serialize;

use super::Error;
use crate::invite;

/// The path of something of a stream. An invite names the stream that it is
/// for; every other name is looked up by the node, which also knows what an
/// invite that cannot be read may have meant.
pub(super) fn stream_path(name: &str, rest: &str) -> String {
    let segment = match invite::parse(name) {
        Ok(invite) => invite.stream.to_string(),
        Err(_) => encode(name),
    };
    format!("/v1/streams/{segment}{rest}")
}

/// The address of a path, with what its query says.
pub(super) fn address(path: &str, query: &impl Serialize) -> Result<String, Error> {
    let query =
        serde_urlencoded::to_string(query).map_err(|error| Error::Request(error.to_string()))?;
    Ok(match query.as_str() {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    })
}

/// Percent-encodes a segment of a path.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            // `.` and `..` would be taken for steps in the path.
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use crate::times::Unit;

    #[test]
    fn a_stream_is_named_by_one_segment_of_the_path() {
        let path = |name: &str| stream_path(name, "/head");
        assert_eq!(path("wind"), "/v1/streams/wind/head");
        assert_eq!(path("../node"), "/v1/streams/%2E%2E%2Fnode/head");
        assert_eq!(path("°C?"), "/v1/streams/%C2%B0C%3F/head");
        let id = headwater_protocols::id::LogId([1; 32]);
        assert_eq!(
            path(&format!("headwater:{id}")),
            format!("/v1/streams/{id}/head")
        );
        assert_eq!(path("headwater:x"), "/v1/streams/headwater%3Ax/head");
    }

    #[test]
    fn an_address_says_what_was_asked_and_the_server_reads_the_same() {
        let said = |query: &Query| address("/x", query).unwrap();
        assert_eq!(said(&Query::default()), "/x");
        let query = Query {
            from: Some("1970-01-01T00:00:00+01:00 & more".to_owned()),
            time_unit: Some(Unit::Millis),
            limit: Some(5),
            with_proof: Some(true),
            ..Query::default()
        };
        let address = said(&query);
        assert_eq!(
            address,
            "/x?from=1970-01-01T00%3A00%3A00%2B01%3A00+%26+more&time_unit=ms&limit=5&with_proof=true"
        );
        let read: Query = serde_urlencoded::from_str(&address["/x?".len()..]).unwrap();
        assert_eq!(read, query);
    }
}
