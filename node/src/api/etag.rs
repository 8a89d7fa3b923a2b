//! Entity tags: a head and a format name the bytes of an answer, so that a
//! client that has them already is not sent them again (RFC 9110, 13.1).

use std::fmt::{self, Display, Formatter};

use axum::http::{HeaderMap, HeaderValue, header};
use data_encoding::HEXLOWER;
use headwater_export::Format;
use headwater_protocols::head::Head;
use headwater_protocols::merkle::Hash;
use sha2::{Digest, Sha256};

use super::choice::tags;

/// Changes whenever the same records give other bytes in any format than they
/// did before: a client may have a part of a file from before an upgrade.
const BYTES: u32 = 2;

/// The tag of an answer: the head that it was made under, and its format. The
/// address says the rest. Two answers of this tag have the same bytes, unless
/// they were compressed on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntityTag(String);

impl EntityTag {
    /// Of the first `size` records below a head: all of them, unless some are
    /// disputed, and those before `begin` that were dropped. A proof has the head itself in it, which is signed anew while
    /// nothing else changes.
    pub(super) fn new(
        head: &Head,
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
        Self(format!("\"{begun}{size}-{root}-{form}.{BYTES}\""))
    }

    /// Of an address that asks for something else as time goes by: what it asks
    /// for now.
    pub(super) fn of_question(mut self, question: &str) -> Self {
        let hash = HEXLOWER.encode(&Sha256::digest(question)[..8]);
        self.0.insert_str(1, &format!("{hash}-"));
        self
    }

    /// Of several streams: what is read of each is told by its root, its first
    /// record that is kept, and its size.
    pub(super) fn joined(heads: impl Iterator<Item = (Hash, u64, u64)>, format: Format) -> Self {
        let mut all = Sha256::new();
        for (root, begin, size) in heads {
            all.update(root.0);
            all.update(begin.to_be_bytes());
            all.update(size.to_be_bytes());
        }
        let all = HEXLOWER.encode(&all.finalize()[..16]);
        Self(format!("\"{all}-{}.{BYTES}\"", format.name()))
    }

    /// As a header; with the bytes of an answer that may be compressed it is a
    /// weak one.
    pub(super) fn header(&self, is_weak: bool) -> Option<HeaderValue> {
        let tag = match is_weak {
            true => weak(&self.0),
            false => self.0.clone(),
        };
        HeaderValue::try_from(tag).ok()
    }

    /// Whether the client has it already. Whoever insists on a version (`If-Match`)
    /// gets that one, or is told that it is gone, before anything else.
    pub(super) fn is_known(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(header::IF_MATCH) {
            return false;
        }
        let known = tags(headers, &header::IF_NONE_MATCH);
        (known.iter()).any(|tag| *tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.0)
    }
}

/// The tag of what has the same records, if not the same bytes.
pub(super) fn weak(tag: &str) -> String {
    format!("W/{tag}")
}

impl Display for EntityTag {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocols::head::Tree;
    use headwater_protocols::id::LogId;
    use headwater_protocols::merkle::Hash;
    use headwater_protocols::time::Timestamp;

    use super::*;

    fn head(size: u64, time: i64) -> Head {
        let root = Hash([2; 32]);
        Head::of_tree(LogId([1; 32]), Tree { size, root }, Timestamp(time))
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
    fn the_tag_of_a_join_changes_with_each_of_its_streams() {
        let tag = |sizes: [u64; 2]| {
            let heads = sizes.map(|size| (Hash([2; 32]), 0, size));
            EntityTag::joined(heads.into_iter(), Format::Csv)
        };
        assert_eq!(tag([3, 4]), tag([3, 4]));
        assert_ne!(tag([3, 4]), tag([4, 3]));
        assert_ne!(tag([3, 4]), tag([3, 5]));
    }

    #[test]
    fn a_client_names_tags_in_lists_weak_or_strong() {
        let csv = EntityTag::new(&head(3, 1), (0, 3), Format::Csv, false);
        assert_eq!(csv.to_string(), "\"3-0202020202020202-csv.2\"");
        let header = |is_weak| csv.header(is_weak).unwrap();
        assert_eq!(header(false), "\"3-0202020202020202-csv.2\"");
        assert_eq!(header(true), "W/\"3-0202020202020202-csv.2\"");
        let known = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, text.parse().unwrap());
            csv.is_known(&headers)
        };
        assert!(known("*"));
        assert!(known("\"a\", W/\"3-0202020202020202-csv.2\""));
        assert!(known("\"3-0202020202020202-csv.2\""));
        assert!(!known("\"3-0202020202020202-json\""));
        assert!(!known(""));
        assert!(!csv.is_known(&HeaderMap::new()));
        let mut insisting = HeaderMap::new();
        insisting.insert(header::IF_NONE_MATCH, "*".parse().unwrap());
        insisting.insert(header::IF_MATCH, "\"another\"".parse().unwrap());
        assert!(!csv.is_known(&insisting));
    }
}
