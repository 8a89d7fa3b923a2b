//! Histories that nobody signed, taken from peers by quorum.
//!
//! Signatures decide what is true. Where there are none, connected peers are
//! asked for what they hold just before a time, and what two thirds of those who
//! answer agree on is taken; then for what lies before that, until they agree
//! that there is nothing. The result is as good as the peers are: it is kept in
//! a table of its own, and never served or shown as verified.
//!
//! [`Walk`] asks and counts, [`tally`] holds the rules of the vote, [`kept`]
//! what is stored.

pub mod kept;
pub mod messages;
pub mod tally;
mod walk;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use libp2p_identity::PeerId;
use sha2::{Digest, Sha256};

use crate::limits::{
    MAX_GROUP_VALUES, MAX_NAME_BYTES, MAX_OBSERVATIONS_BYTES, MAX_UNSIGNED_VALUE_BYTES,
};
use crate::time::Timestamp;

pub use messages::{Absurd, Answer, Question, Refusal};
pub use tally::{Ballot, Report, Said, Silence};
pub use walk::{Agreed, Input, Outcome, Output, Reply, Walk};

/// Stands before the name in what is hashed, so that no other hash is an id.
const DOMAIN: &[u8] = b"headwater unsigned history 1\0";

/// What people call a history that nobody signed. Nobody owns a name: whoever
/// uses the same one means the same history, or gets no quorum.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryName(String);

/// A text cannot name a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// There is nothing to see of it.
    #[error("the name of a history is empty, or begins or ends with white space")]
    Blank,
    /// More than [`MAX_NAME_BYTES`].
    #[error("the name of a history has {0} bytes, more than the {MAX_NAME_BYTES} allowed")]
    TooLong(usize),
    /// It would disturb tables and logs.
    #[error("the name of a history has a control character")]
    Control,
}

impl HistoryName {
    /// Takes a text of 1 to [`MAX_NAME_BYTES`] bytes without control characters
    /// and without white space around it.
    ///
    /// # Errors
    /// It is another one.
    pub fn new(text: &str) -> Result<Self, BadName> {
        if text.is_empty() || text.trim() != text {
            return Err(BadName::Blank);
        }
        if text.len() > MAX_NAME_BYTES {
            return Err(BadName::TooLong(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(BadName::Control);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What peers call it.
    #[must_use]
    pub fn id(&self) -> HistoryId {
        let hash = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(self.0.as_bytes());
        HistoryId(hash.finalize().into())
    }
}

impl fmt::Display for HistoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a history: the hash of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryId(pub [u8; 32]);

/// All observations of a history that share a time. They are voted on as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// When.
    pub time: Timestamp,
    /// UTF-8 texts, in the order of the history.
    pub values: Vec<Bytes>,
}

impl Group {
    /// What it takes of [`MAX_OBSERVATIONS_BYTES`].
    #[must_use]
    pub fn cost(&self) -> usize {
        self.values
            .iter()
            .fold(16, |cost, value| cost + value.len() + 4)
    }

    /// What is wrong with it, if something is: nobody may keep or tell such a
    /// group.
    #[must_use]
    pub fn flaw(&self) -> Option<&'static str> {
        let is_text = |value: &Bytes| std::str::from_utf8(value).is_ok();
        if self.values.is_empty() {
            Some("a time without a value")
        } else if self.values.len() > MAX_GROUP_VALUES {
            Some("too many values of one time")
        } else if self
            .values
            .iter()
            .any(|v| v.len() > MAX_UNSIGNED_VALUE_BYTES)
        {
            Some("a value that is too long")
        } else if self.cost() > MAX_OBSERVATIONS_BYTES {
            Some("values of one time that are too long together")
        } else if !self.values.iter().all(is_text) {
            Some("a value that is not UTF-8")
        } else {
            None
        }
    }
}

/// Whose vote it is. Peer ids cost nothing, addresses do: all peers in a part of
/// the address space that one party may well have to itself have one vote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prefix {
    /// A /16 of IPv4.
    V4([u8; 2]),
    /// A /32 of IPv6.
    V6([u8; 4]),
    /// The last two labels of the name that was dialled.
    Name(String),
    /// A relay, which does not tell where those behind it are.
    Relay(PeerId),
    /// The peer itself. On one machine and in a private network addresses say
    /// nothing about who is who, and whoever is there is trusted that far.
    Peer(PeerId),
}

impl Prefix {
    /// The prefix of a peer at this address.
    #[must_use]
    pub fn of(peer: PeerId, ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) if ip.is_loopback() || ip.is_private() || ip.is_link_local() => {
                Self::Peer(peer)
            }
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                Self::V4([a, b])
            }
            IpAddr::V6(ip)
                if ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() =>
            {
                Self::Peer(peer)
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.octets();
                Self::V6([a, b, c, d])
            }
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4([a, b]) => write!(f, "{a}.{b}.0.0/16"),
            Self::V6([a, b, c, d]) => write!(f, "{a:02x}{b:02x}:{c:02x}{d:02x}::/32"),
            Self::Name(name) => f.write_str(name),
            Self::Relay(relay) => write!(f, "relay {relay}"),
            Self::Peer(peer) => write!(f, "peer {peer}"),
        }
    }
}
