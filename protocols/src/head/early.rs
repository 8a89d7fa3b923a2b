//! Heads as version 0.1.0 signed them. Where one was adopted, what is held is proved
//! against it until its owner has signed one in the form of today; nobody else is
//! told of it.

#[cfg(any(test, feature = "sim"))]
use bytes::Bytes;
#[cfg(any(test, feature = "sim"))]
use prost::Message;

use super::{Closing, Head, HeadError, SignedHead};
use crate::id::LogId;
use crate::identity::{BadSignature, Domain, PublicKey, SigningKey};
use crate::limits::{MAX_LOG_SIZE, MAX_SIGNED_HEAD_BYTES};
use crate::merkle::{Hash, empty_root};
use crate::time::Timestamp;
use crate::wire::{WireError, decode_canonical, v1};

const WHAT: &str = "an early head";

/// A head in the form of version 0.1.0, whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlyHead {
    head: Head,
    wire: v1::EarlySignedHead,
}

impl EarlyHead {
    /// Checks form and signature, and that it is a head of `log`.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(
        wire: v1::EarlySignedHead,
        log: LogId,
        owner: &PublicKey,
    ) -> Result<Self, HeadError> {
        let early: v1::EarlyHead = decode_canonical(WHAT, &wire.head, MAX_SIGNED_HEAD_BYTES)?;
        let bad = |field| WireError::BadField { what: WHAT, field };
        let root = Hash::from_slice(&early.root).ok_or_else(|| bad("root"))?;
        if early.size > MAX_LOG_SIZE || (early.size == 0 && root != empty_root()) {
            return Err(bad("size").into());
        }
        if LogId::from_slice(&early.log) != Some(log) {
            return Err(bad("log").into());
        }
        let successor = match &early.successor[..] {
            [] => None,
            digest => Some(LogId::from_slice(digest).ok_or_else(|| bad("successor"))?),
        };
        let signed = owner.verify(Domain::EarlyHead, &wire.head, &wire.signature);
        signed.map_err(|BadSignature| HeadError::Signature(BadSignature))?;
        Ok(Self {
            head: Head {
                log,
                size: early.size,
                root,
                time: Timestamp(early.time_us.max(0)),
                closing: successor.map(|log| Closing {
                    successor: Some(log),
                }),
                lines: Vec::new(),
            },
            wire,
        })
    }

    /// As it stands on disk.
    #[must_use]
    pub fn to_wire(&self) -> v1::EarlySignedHead {
        self.wire.clone()
    }

    /// The same in the form of today. Whoever does so has the same text, as the time
    /// is that of the early one.
    #[must_use]
    pub fn sign_anew(&self, key: &SigningKey) -> SignedHead {
        self.head.clone().sign(key)
    }

    /// As version 0.1.0 signed and stored it.
    #[cfg(any(test, feature = "sim"))]
    #[must_use]
    pub fn sign(head: &Head, key: &SigningKey) -> v1::EarlySignedHead {
        let successor = head.closing.and_then(|closing| closing.successor);
        let early = v1::EarlyHead {
            log: Bytes::copy_from_slice(&head.log.0),
            size: head.size,
            root: Bytes::copy_from_slice(&head.root.0),
            time_us: head.time.0,
            successor: successor.map_or_else(Bytes::new, |log| Bytes::copy_from_slice(&log.0)),
        };
        let bytes = Bytes::from(early.encode_to_vec());
        v1::EarlySignedHead {
            signature: key.sign(Domain::EarlyHead, &bytes).into(),
            head: bytes,
        }
    }
}

impl std::ops::Deref for EarlyHead {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

/// The head that what is held is proved against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdoptedHead {
    /// As others are told.
    Signed(SignedHead),
    /// In the form of version 0.1.0: no head, for others.
    Early(EarlyHead),
}

impl AdoptedHead {
    /// What others can be told.
    #[must_use]
    pub fn signed(&self) -> Option<&SignedHead> {
        match self {
            Self::Signed(head) => Some(head),
            Self::Early(_) => None,
        }
    }
}

impl From<SignedHead> for AdoptedHead {
    fn from(head: SignedHead) -> Self {
        Self::Signed(head)
    }
}

impl std::ops::Deref for AdoptedHead {
    type Target = Head;

    fn deref(&self) -> &Head {
        match self {
            Self::Signed(head) => head,
            Self::Early(head) => head,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Tree;

    fn key() -> SigningKey {
        SigningKey::from_secret(&mut [1; 32])
    }

    fn head() -> Head {
        let root = Hash([6; 32]);
        Head::of_tree(LogId([5; 32]), Tree { size: 300, root }, Timestamp(7))
    }

    #[test]
    fn an_early_head_is_signed_anew_with_its_tree_and_time() {
        let wire = EarlyHead::sign(&head(), &key());
        let early = EarlyHead::verify(wire, head().log, &key().public()).unwrap();
        assert_eq!(*early, head());
        assert_eq!(early.sign_anew(&key()), head().sign(&key()));
        assert_eq!(AdoptedHead::Early(early).signed(), None);
    }

    #[test]
    fn an_early_head_of_another_key_or_log_is_refused() {
        let wire = EarlyHead::sign(&head(), &key());
        let verify =
            |wire: &v1::EarlySignedHead, log| EarlyHead::verify(wire.clone(), log, &key().public());
        assert!(verify(&wire, LogId([9; 32])).is_err());
        let other = EarlyHead::sign(&head(), &SigningKey::from_secret(&mut [2; 32]));
        assert_eq!(
            verify(&other, head().log),
            Err(HeadError::Signature(BadSignature))
        );
        // What is signed today is no early head.
        let today = v1::EarlySignedHead {
            head: wire.head.clone(),
            signature: Bytes::copy_from_slice(head().sign(&key()).signature()),
        };
        assert!(verify(&today, head().log).is_err());
    }
}
