//! Names of logs.

use std::fmt;
use std::str::FromStr;

use cid::Cid;
use multihash::Multihash;
use sha2::{Digest, Sha256};

/// CID codec of bytes without further structure.
const RAW: u64 = 0x55;
/// Multihash code of SHA-256.
const SHA2_256: u64 = 0x12;

/// Identifies a log: the SHA-256 of what it was created from. For a stream this
/// is the digest inside its stream id, and its text form is that id: a CIDv1
/// (raw, sha2-256, base32).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub [u8; 32]);

/// A text that is no stream id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// Not a CID at all.
    #[error("`{0}` is not a CID")]
    NotCid(String),
    /// A CID of something else.
    #[error("`{0}` is a CID, but not of a stream (CIDv1, raw, sha2-256)")]
    OtherCid(String),
}

impl LogId {
    /// The id of the stream whose manifest has these bytes.
    #[must_use]
    pub fn of_manifest(manifest: &[u8]) -> Self {
        Self(Sha256::digest(manifest).into())
    }

    /// From the 32 bytes of the digest; `None` for any other length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The CIDv1 with this digest.
    #[must_use]
    pub fn cid(&self) -> Cid {
        let hash = Multihash::wrap(SHA2_256, &self.0).expect("32 bytes fit into a multihash");
        Cid::new_v1(RAW, hash)
    }

    /// The last eight characters, enough to tell streams apart at a glance (all
    /// ids begin alike).
    #[must_use]
    pub fn short(&self) -> String {
        let text = self.to_string();
        text[text.len() - 8..].to_owned()
    }

    /// The topic that carries the announcements of this stream.
    #[must_use]
    pub fn data_topic(&self) -> String {
        format!("/headwater/2/{self}/data")
    }

    /// The topic on which the subscribers of this stream talk to each other.
    #[must_use]
    pub fn meta_topic(&self) -> String {
        format!("/headwater/2/{self}/meta")
    }
}

/// One of the two gossip topics of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Announcements.
    Data(LogId),
    /// Heads, fork proofs, and whatever the subscribers tell each other.
    Meta(LogId),
}

impl Topic {
    /// The stream that this topic belongs to.
    #[must_use]
    pub fn log(self) -> LogId {
        match self {
            Self::Data(log) | Self::Meta(log) => log,
        }
    }

    /// Reads `/headwater/2/<stream id>/data` or `…/meta`; `None` for anything else,
    /// also for the id in another base: gossip would carry that as another topic.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (log, kind) = text.strip_prefix("/headwater/2/")?.split_once('/')?;
        let log = log.parse().ok()?;
        let topic = match kind {
            "data" => Self::Data(log),
            "meta" => Self::Meta(log),
            _ => return None,
        };
        (topic.to_string() == text).then_some(topic)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(log) => f.write_str(&log.data_topic()),
            Self::Meta(log) => f.write_str(&log.meta_topic()),
        }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cid().fmt(f)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId(…{})", self.short())
    }
}

impl FromStr for LogId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let cid = Cid::try_from(text).map_err(|_| ParseIdError::NotCid(text.to_owned()))?;
        let other = || ParseIdError::OtherCid(text.to_owned());
        if cid.version() != cid::Version::V1 || cid.codec() != RAW || cid.hash().code() != SHA2_256
        {
            return Err(other());
        }
        Self::from_slice(cid.hash().digest()).ok_or_else(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_id_is_the_cid_that_ipfs_gives_to_the_same_raw_bytes() {
        // The well-known raw CIDv1 of the bytes `hello world`.
        let id = LogId::of_manifest(b"hello world");
        assert_eq!(
            id.to_string(),
            "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
        );
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.short(), "wof36n5e");
    }

    #[test]
    fn a_cid_of_something_else_is_no_stream_id() {
        let v0 = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG";
        assert_eq!(v0.parse::<LogId>(), Err(ParseIdError::OtherCid(v0.into())));
        assert_eq!("x".parse::<LogId>(), Err(ParseIdError::NotCid("x".into())));
    }

    #[test]
    fn topics_are_read_as_they_are_written() {
        let log = LogId::of_manifest(b"x");
        for topic in [Topic::Data(log), Topic::Meta(log)] {
            assert_eq!(Topic::parse(&topic.to_string()), Some(topic));
        }
        assert_eq!(Topic::parse("/headwater/2/x/data"), None);
        let upper = log.to_string().to_uppercase();
        assert_eq!(upper.parse(), Ok(log));
        assert_eq!(Topic::parse(&format!("/headwater/2/{upper}/data")), None);
        assert_eq!(Topic::parse(&format!("/headwater/2/{log}/else")), None);
    }
}
