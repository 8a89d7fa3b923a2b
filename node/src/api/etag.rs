//! Entity tags: a head and a format name the bytes of an answer, so that a
//! client that has them already is not sent them again (RFC 9110, 13.1).

use std::fmt::{self, Display, Formatter};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use data_encoding::HEXLOWER;
use headwater_protocols::head::SignedHead;
use sha2::{Digest, Sha256};

use crate::export::Format;

/// The tag of an answer: the head that it was made under, and its format. The
/// address says the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntityTag {
    opaque: String,
    /// Whether two answers of this tag have the same bytes and not only the
    /// same records: texts may be compressed on their way.
    is_strong: bool,
}

impl EntityTag {
    /// Of the first `size` records below a head: all of them, unless some are
    /// disputed, and those before `begin` that were dropped. A proof has the head itself in it, which is signed anew while
    /// nothing else changes.
    pub(super) fn new(
        head: &SignedHead,
        (begin, size): (u64, u64),
        format: Format,
        has_proof: bool,
    ) -> Self {
        let root = head.root.to_string();
        let root = &root[..16];
        let form = match has_proof {
            true => format!("{}-{}", format.name(), head.time.0),
            false => format.name().to_owned(),
        };
        // Records can be dropped while nothing else changes.
        let begun = match begin {
            0 => String::new(),
            begin => format!("{begin}-"),
        };
        Self {
            opaque: format!("\"{begun}{size}-{root}-{form}\""),
            is_strong: format == Format::Parquet,
        }
    }

    /// Of an address that asks for something else as time goes by: what it asks
    /// for now.
    pub(super) fn of_question(mut self, question: &str) -> Self {
        let hash = HEXLOWER.encode(&Sha256::digest(question)[..8]);
        self.opaque.insert_str(1, &format!("{hash}-"));
        self
    }

    pub(super) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.to_string()).ok()
    }

    /// Whether the client has it already.
    pub(super) fn is_known(&self, headers: &HeaderMap) -> bool {
        tags(headers, &header::IF_NONE_MATCH)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.opaque)
    }
}

impl Display for EntityTag {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let weak = if self.is_strong { "" } else { "W/" };
        write!(f, "{weak}{}", self.opaque)
    }
}

/// The tags of a header. Ours have no commas in them.
fn tags<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(',').map(str::trim))
}

#[cfg(test)]
mod tests {
    use headwater_protocols::head::Head;
    use headwater_protocols::id::LogId;
    use headwater_protocols::identity::SigningKey;
    use headwater_protocols::merkle::Hash;
    use headwater_protocols::time::Timestamp;

    use super::*;

    fn head(size: u64, time: i64) -> SignedHead {
        let head = Head {
            log: LogId([1; 32]),
            size,
            root: Hash([2; 32]),
            time: Timestamp(time),
            successor: None,
        };
        head.sign(&SigningKey::from_secret(&mut [1; 32]))
    }

    #[test]
    fn a_tag_changes_with_the_records_and_not_with_the_signature() {
        let tag = |size, time, proof| {
            EntityTag::new(&head(size, time), (0, size), Format::Parquet, proof)
        };
        assert_eq!(tag(3, 1, false), tag(3, 2, false));
        assert_ne!(tag(3, 1, false), tag(4, 1, false));
        assert_ne!(tag(3, 1, true), tag(3, 2, true));
        assert_ne!(tag(3, 1, true), tag(3, 1, false));
    }

    #[test]
    fn a_client_names_tags_in_lists_weak_or_strong() {
        let csv = EntityTag::new(&head(3, 1), (0, 3), Format::Csv, false);
        assert_eq!(csv.to_string(), "W/\"3-0202020202020202-csv\"");
        let known = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, text.parse().unwrap());
            csv.is_known(&headers)
        };
        assert!(known("*"));
        assert!(known("\"a\", W/\"3-0202020202020202-csv\""));
        assert!(known("\"3-0202020202020202-csv\""));
        assert!(!known("\"3-0202020202020202-json\""));
        assert!(!known(""));
        assert!(!csv.is_known(&HeaderMap::new()));
    }
}
