//! The signed state of a log.

use bytes::Bytes;
use prost::Message;

use crate::id::LogId;
use crate::identity::{BadSignature, Domain, PublicKey, SigningKey};
use crate::limits::{MAX_LOG_SIZE, MAX_SIGNED_HEAD_BYTES};
use crate::merkle::{Hash, empty_root};
use crate::time::Timestamp;
use crate::wire::{WireError, decode_canonical, v1};

/// The state of a log: {id, size, root, time, successor if closed}.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The log.
    pub log: LogId,
    /// Records in it.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// When it was signed.
    pub time: Timestamp,
    /// The log that continues this one, once it is closed.
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

/// Why a head is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not a head in its one encoding.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Signed by somebody else, or altered.
    #[error("a head is not signed by the owner of its log")]
    Signature(#[from] BadSignature),
    /// The head of another log.
    #[error("a head is that of log {found}, not of {expected}")]
    OtherLog {
        /// The log that was meant.
        expected: LogId,
        /// The log that it belongs to.
        found: LogId,
    },
}

impl Head {
    /// Its tree.
    #[must_use]
    pub fn tree(&self) -> Tree {
        Tree {
            size: self.size,
            root: self.root,
        }
    }

    /// Signs the head. The records below it must be durable already.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> SignedHead {
        let bytes = Bytes::from(self.to_wire().encode_to_vec());
        let signature = Bytes::from(key.sign(Domain::Head, &bytes));
        SignedHead {
            head: self,
            bytes,
            signature,
        }
    }

    fn to_wire(self) -> v1::Head {
        v1::Head {
            log: Bytes::copy_from_slice(&self.log.0),
            size: self.size,
            root: Bytes::copy_from_slice(&self.root.0),
            time_us: self.time.0,
            successor: self
                .successor
                .map_or_else(Bytes::new, |log| Bytes::copy_from_slice(&log.0)),
        }
    }

    fn from_wire(wire: &v1::Head) -> Result<Self, WireError> {
        let bad = |field| WireError::BadField {
            what: "a head",
            field,
        };
        let root = Hash::from_slice(&wire.root).ok_or_else(|| bad("root"))?;
        if wire.size > MAX_LOG_SIZE || (wire.size == 0 && root != empty_root()) {
            return Err(bad("size"));
        }
        Ok(Self {
            log: LogId::from_slice(&wire.log).ok_or_else(|| bad("log id"))?,
            size: wire.size,
            root,
            time: Timestamp(wire.time_us),
            successor: match &wire.successor[..] {
                [] => None,
                digest => Some(LogId::from_slice(digest).ok_or_else(|| bad("successor"))?),
            },
        })
    }
}

/// A head as it came from somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedHead {
    /// A `Head` in its only encoding.
    pub bytes: Bytes,
    /// The owner's signature.
    pub signature: Bytes,
}

impl UnverifiedHead {
    /// Checks form and signature, and that it is a head of `log`.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(self, log: LogId, owner: &PublicKey) -> Result<SignedHead, HeadError> {
        let wire: v1::Head = decode_canonical("a head", &self.bytes, MAX_SIGNED_HEAD_BYTES)?;
        let head = Head::from_wire(&wire)?;
        if head.log != log {
            return Err(HeadError::OtherLog {
                expected: log,
                found: head.log,
            });
        }
        owner.verify(Domain::Head, &self.bytes, &self.signature)?;
        Ok(SignedHead {
            head,
            // Copies: a head that is kept must not keep the frame it came in.
            bytes: Bytes::copy_from_slice(&self.bytes),
            signature: Bytes::copy_from_slice(&self.signature),
        })
    }
}

impl TryFrom<Option<v1::SignedHead>> for UnverifiedHead {
    type Error = WireError;

    fn try_from(wire: Option<v1::SignedHead>) -> Result<Self, WireError> {
        let wire = wire.ok_or(WireError::BadField {
            what: "a message",
            field: "head (absent)",
        })?;
        Ok(Self {
            bytes: wire.head,
            signature: wire.signature,
        })
    }
}

/// A head whose form and signature were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    head: Head,
    bytes: Bytes,
    signature: Bytes,
}

impl SignedHead {
    /// The bytes that are signed.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The owner's signature over the bytes.
    #[must_use]
    pub fn signature(&self) -> &Bytes {
        &self.signature
    }

    /// As it travels.
    #[must_use]
    pub fn to_wire(&self) -> v1::SignedHead {
        v1::SignedHead {
            head: self.bytes.clone(),
            signature: self.signature.clone(),
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
    use super::*;

    fn head() -> Head {
        Head {
            log: LogId([5; 32]),
            size: 300,
            root: Hash([6; 32]),
            time: Timestamp(-1),
            successor: Some(LogId([7; 32])),
        }
    }

    fn unverified(signed: &SignedHead) -> UnverifiedHead {
        UnverifiedHead::try_from(Some(signed.to_wire())).unwrap()
    }

    #[test]
    fn a_signed_head_comes_back_whole_and_within_its_limit() {
        let key = SigningKey::from_secret(&mut [1; 32]);
        let largest = Head {
            size: MAX_LOG_SIZE,
            time: Timestamp(i64::MIN),
            ..head()
        };
        for head in [head(), largest] {
            let signed = head.sign(&key);
            let back = unverified(&signed).verify(head.log, &key.public()).unwrap();
            assert_eq!(*back, head);
            assert!(signed.bytes().len() + signed.signature().len() < MAX_SIGNED_HEAD_BYTES);
        }
    }

    #[test]
    fn a_head_with_a_wrong_signature_is_refused() {
        let key = SigningKey::from_secret(&mut [1; 32]);
        let stranger = SigningKey::from_secret(&mut [2; 32]);
        let forged = unverified(&head().sign(&stranger));
        assert_eq!(
            forged.verify(head().log, &key.public()),
            Err(HeadError::Signature(BadSignature))
        );
    }

    #[test]
    fn a_head_of_another_log_is_refused() {
        let key = SigningKey::from_secret(&mut [1; 32]);
        let result = unverified(&head().sign(&key)).verify(LogId([0; 32]), &key.public());
        assert!(matches!(result, Err(HeadError::OtherLog { .. })));
    }

    #[test]
    fn an_empty_log_has_the_root_of_nothing() {
        let key = SigningKey::from_secret(&mut [1; 32]);
        let wrong = Head { size: 0, ..head() };
        assert!(
            unverified(&wrong.sign(&key))
                .verify(wrong.log, &key.public())
                .is_err()
        );
        let right = Head {
            root: empty_root(),
            ..wrong
        };
        assert!(
            unverified(&right.sign(&key))
                .verify(right.log, &key.public())
                .is_ok()
        );
    }
}
