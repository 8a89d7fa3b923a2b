//! The signed state of a log.

pub mod checkpoint;
pub mod early;

use bytes::Bytes;

use self::checkpoint::{Checkpoint, KNOWN_WORDS};
pub use self::early::{AdoptedHead, EarlyHead};
use crate::id::LogId;
use crate::identity::{BadSignature, PublicKey, SIGNATURE_BYTES, SigningKey};
use crate::limits::{MAX_HEAD_LINE_BYTES, MAX_HEAD_LINES, MAX_LOG_SIZE};
use crate::merkle::{Hash, empty_root};
use crate::time::Timestamp;
use crate::wire::{WireError, v1};

/// The state of a log. What its owner signs is its [`Checkpoint`], a text; on the
/// wire and on disk stand the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The log.
    pub log: LogId,
    /// Records in it.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// When it was signed; never before 1970.
    pub time: Timestamp,
    /// Whether it is the last one.
    pub closing: Option<Closing>,
    /// Lines of later versions, which are signed, kept and ignored.
    pub lines: Vec<String>,
}

/// What a closing head says: nothing follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The log that continues this one.
    pub successor: Option<LogId>,
}

/// The tree that a head stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Records in it.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

impl Tree {
    /// That without a record.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self {
            size: 0,
            root: empty_root(),
        }
    }
}

/// Why a head is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Fields that no head has.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Signed by somebody else, or altered.
    #[error("a head is not signed by the owner of its log")]
    Signature(#[from] BadSignature),
}

impl Head {
    /// An open head.
    #[must_use]
    pub fn of_tree(log: LogId, tree: Tree, time: Timestamp) -> Self {
        Self {
            log,
            size: tree.size,
            root: tree.root,
            time,
            closing: None,
            lines: Vec::new(),
        }
    }

    /// Its tree.
    #[must_use]
    pub fn tree(&self) -> Tree {
        Tree {
            size: self.size,
            root: self.root,
        }
    }

    /// The text that its owner signs.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::of(self)
    }

    /// Signs the head. The records below it must be durable already.
    #[must_use]
    pub fn sign(mut self, key: &SigningKey) -> SignedHead {
        self.time = Timestamp(self.time.0.max(0));
        let signature = key.sign_text(self.checkpoint().as_str());
        SignedHead {
            head: self,
            signature,
        }
    }
}

/// Whether a line may stand in a head although this version does not know what it
/// means: it is no line of a known word, and a line.
fn is_unknown_line(line: &str) -> bool {
    let word = line.split(' ').next().unwrap_or_default();
    !line.is_empty() && !line.contains(char::is_control) && !KNOWN_WORDS.contains(&word)
}

/// A head as it came from somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedHead(pub v1::SignedHead);

impl UnverifiedHead {
    /// Checks the fields, and the signature over the text that they give for
    /// `log`. A head of another log is not signed by anybody as one of this.
    ///
    /// # Errors
    /// It is no head of this log.
    pub fn verify(self, log: LogId, owner: &PublicKey) -> Result<SignedHead, HeadError> {
        let signature = <[u8; SIGNATURE_BYTES]>::try_from(&self.0.signature[..]);
        let head = self.into_head(log)?;
        let signature = signature.map_err(|_| BadSignature)?;
        owner.verify_text(head.checkpoint().as_str(), &signature)?;
        Ok(SignedHead { head, signature })
    }

    /// Its fields.
    fn into_head(self, log: LogId) -> Result<Head, WireError> {
        let wire = self.0;
        let bad = |field| WireError::BadField {
            what: "a head",
            field,
        };
        let root = Hash::from_slice(&wire.root).ok_or_else(|| bad("root"))?;
        if wire.size > MAX_LOG_SIZE || (wire.size == 0 && root != empty_root()) {
            return Err(bad("size"));
        }
        let closing = match wire.closed.as_deref() {
            None => None,
            Some([]) => Some(Closing { successor: None }),
            Some(digest) => {
                let successor = LogId::from_slice(digest).filter(|&successor| successor != log);
                Some(Closing {
                    successor: Some(successor.ok_or_else(|| bad("successor"))?),
                })
            }
        };
        let bytes: usize = wire.lines.iter().map(String::len).sum();
        if wire.lines.len() > MAX_HEAD_LINES
            || bytes > MAX_HEAD_LINE_BYTES
            || !wire.lines.iter().all(|line| is_unknown_line(line))
        {
            return Err(bad("lines"));
        }
        Ok(Head {
            log,
            size: wire.size,
            root,
            time: Timestamp(i64::try_from(wire.time_us).map_err(|_| bad("time"))?),
            closing,
            lines: wire.lines,
        })
    }
}

impl TryFrom<Option<v1::SignedHead>> for UnverifiedHead {
    type Error = WireError;

    fn try_from(wire: Option<v1::SignedHead>) -> Result<Self, WireError> {
        wire.map(Self).ok_or(WireError::BadField {
            what: "a message",
            field: "head (absent)",
        })
    }
}

/// A head whose fields and signature were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    head: Head,
    signature: [u8; SIGNATURE_BYTES],
}

impl SignedHead {
    /// The owner's signature over the text.
    #[must_use]
    pub fn signature(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.signature
    }

    /// As it travels, and stands on disk.
    #[must_use]
    pub fn to_wire(&self) -> v1::SignedHead {
        let head = &self.head;
        v1::SignedHead {
            size: head.size,
            root: Bytes::copy_from_slice(&head.root.0),
            time_us: checkpoint::time_us(head.time),
            closed: head.closing.map(|closing| {
                let successor = closing.successor.as_ref();
                successor.map_or_else(Bytes::new, |log| Bytes::copy_from_slice(&log.0))
            }),
            lines: head.lines.clone(),
            signature: Bytes::copy_from_slice(&self.signature),
        }
    }
}

impl std::ops::Deref for SignedHead {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::limits::MAX_SIGNED_HEAD_BYTES;

    fn key() -> SigningKey {
        SigningKey::from_secret(&mut [1; 32])
    }

    fn head() -> Head {
        let root = Hash([6; 32]);
        Head::of_tree(LogId([5; 32]), Tree { size: 300, root }, Timestamp(1))
    }

    fn closed() -> Head {
        Head {
            closing: Some(Closing {
                successor: Some(LogId([7; 32])),
            }),
            ..head()
        }
    }

    fn verify(wire: v1::SignedHead) -> Result<SignedHead, HeadError> {
        UnverifiedHead(wire).verify(head().log, &key().public())
    }

    #[test]
    fn a_signed_head_comes_back_whole_and_within_its_limit() {
        let largest = Head {
            size: MAX_LOG_SIZE,
            time: Timestamp(i64::MAX),
            lines: vec!["x".repeat(MAX_HEAD_LINE_BYTES / MAX_HEAD_LINES); MAX_HEAD_LINES],
            ..closed()
        };
        for head in [head(), closed(), largest] {
            let signed = head.clone().sign(&key());
            let bytes = signed.to_wire().encode_to_vec();
            assert!(bytes.len() <= MAX_SIGNED_HEAD_BYTES, "{}", bytes.len());
            let back = verify(v1::SignedHead::decode(&bytes[..]).unwrap()).unwrap();
            assert_eq!((&*back, &back), (&head, &signed));
        }
    }

    #[test]
    fn a_head_of_a_hundred_million_records_has_114_bytes() {
        let head = Head {
            size: 100_000_000,
            time: Timestamp(1_764_500_000_000_000),
            ..head()
        };
        assert_eq!(head.sign(&key()).to_wire().encoded_len(), 114);
    }

    #[test]
    fn a_head_with_a_wrong_signature_is_refused() {
        let stranger = SigningKey::from_secret(&mut [2; 32]);
        let mut wire = head().sign(&stranger).to_wire();
        assert_eq!(
            verify(wire.clone()),
            Err(HeadError::Signature(BadSignature))
        );
        wire.signature = Bytes::new();
        assert_eq!(verify(wire), Err(HeadError::Signature(BadSignature)));
    }

    #[test]
    fn a_head_is_signed_for_its_log_and_in_each_of_its_fields() {
        let wire = closed().sign(&key()).to_wire();
        assert!(verify(wire.clone()).is_ok());
        let others: [&dyn Fn(&mut v1::SignedHead); 6] = [
            &|wire| wire.size += 1,
            &|wire| wire.root = Bytes::from_static(&[8; 32]),
            &|wire| wire.time_us += 1,
            &|wire| wire.closed = None,
            &|wire| wire.closed = Some(Bytes::new()),
            &|wire| wire.lines.push("more".to_owned()),
        ];
        for change in others {
            let mut changed = wire.clone();
            change(&mut changed);
            assert_eq!(verify(changed), Err(HeadError::Signature(BadSignature)));
        }
        let other_log = UnverifiedHead(wire).verify(LogId([9; 32]), &key().public());
        assert_eq!(other_log, Err(HeadError::Signature(BadSignature)));
    }

    #[test]
    fn a_head_with_a_field_that_none_has_is_refused() {
        let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
        let itself = Bytes::copy_from_slice(&head().log.0);
        let long = "x".repeat(MAX_HEAD_LINE_BYTES + 1);
        let others: [&dyn Fn(&mut v1::SignedHead); 13] = [
            &|wire| wire.size = MAX_LOG_SIZE + 1,
            &|wire| wire.size = 0,
            &|wire| wire.root = Bytes::from_static(&[6; 31]),
            &|wire| wire.root = Bytes::new(),
            &|wire| wire.time_us = 1 << 63,
            &|wire| wire.closed = Some(Bytes::from_static(&[7; 31])),
            &|wire| wire.closed = Some(itself.clone()),
            &|wire| wire.lines = lines(&["a", "b", "c", "d", "e"]),
            &|wire| wire.lines = lines(&[&long]),
            &|wire| wire.lines = lines(&[""]),
            &|wire| wire.lines = lines(&["two\nlines"]),
            &|wire| wire.lines = lines(&["time 5"]),
            &|wire| wire.lines = lines(&["closed"]),
        ];
        for change in others {
            let mut wire = head().sign(&key()).to_wire();
            change(&mut wire);
            let result = verify(wire.clone());
            assert!(
                matches!(result, Err(HeadError::Wire(_))),
                "{wire:?}: {result:?}"
            );
        }
    }

    #[test]
    fn a_clock_before_1970_signs_the_first_moment_of_it() {
        let early = Head {
            time: Timestamp(-5),
            ..head()
        };
        let signed = early.sign(&key());
        assert_eq!(signed.time, Timestamp(0));
        assert!(verify(signed.to_wire()).is_ok());
    }

    #[test]
    fn an_empty_log_has_the_root_of_nothing() {
        let wrong = Head { size: 0, ..head() };
        assert!(verify(wrong.clone().sign(&key()).to_wire()).is_err());
        let right = Head {
            root: empty_root(),
            ..wrong
        };
        assert!(verify(right.sign(&key()).to_wire()).is_ok());
    }
}
