//! The end of a log whose owner's key was lost or stolen, in the word of a key
//! that was kept elsewhere. It makes no tree: it picks one of the heads that the
//! owner has signed, and says that this is the last.

use bytes::Bytes;
use prost::Message;

use crate::head::{HeadError, SignedHead, Tree, UnverifiedHead};
use crate::id::LogId;
use crate::identity::{BadSignature, Domain, ED25519, PublicKey, SigningKey, key_hash};
use crate::limits::{MAX_RECOVERY_BYTES, MAX_RECOVERY_STATEMENTS, MAX_SIGNED_RECOVERY_BYTES};
use crate::merkle::Hash;
use crate::time::Timestamp;
use crate::wire::{Field, Form, NewerField, Shape, WireError, decode_canonical, scan, v1};

const WHAT: &str = "a recovery";

/// The head has a form of its own, which is held against it when it is verified.
const FORM: Form = Form {
    what: WHAT,
    fields: &[
        Field::one(1, Shape::Bytes),
        Field::one(2, Shape::Bytes),
        Field::one(3, Shape::Bytes),
        Field::one(4, Shape::Varint),
    ],
};

/// Why a recovery is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// Not a recovery, or not in its form.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Of a later version: nobody is to blame.
    #[error("a recovery is signed in a way that this version does not know (type {0})")]
    NewerSignature(u32),
    /// Of a later version: nobody is to blame.
    #[error("{} has field {}, which this version does not know", .0.what, .0.number)]
    NewerField(NewerField),
    /// Signed by a key that the manifest does not name.
    #[error("a recovery is signed by another key than the one that its stream's manifest names")]
    OtherKey,
    /// The manifest names no key.
    #[error("a recovery is of a stream whose manifest names no recovery key")]
    NoKey,
    /// Altered.
    #[error("a recovery is not signed by its key")]
    Signature(#[from] BadSignature),
    /// The recovery of another log.
    #[error("a recovery is that of log {found}, not of {expected}")]
    OtherLog {
        /// The log that was meant.
        expected: LogId,
        /// The log that it is of.
        found: LogId,
    },
    /// The head in it is none of the owner's.
    #[error("a recovery picks a head that its stream's owner has not signed: {0}")]
    Head(HeadError),
}

impl RecoveryError {
    /// Whether a later version may have made it: then nobody did anything wrong.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::NewerSignature(_) | Self::NewerField(_))
    }
}

/// Which head of a log is the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The last head; its tree is all that counts.
    pub head: SignedHead,
    /// The log that continues this one.
    pub successor: Option<LogId>,
    /// When it was said.
    pub issued: Timestamp,
}

impl Recovery {
    /// Signs it with the recovery key.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> SignedRecovery {
        let wire = v1::Recovery {
            stream: Bytes::copy_from_slice(&self.head.log.0),
            head: Some(self.head.to_wire()),
            successor: (self.successor)
                .map_or_else(Bytes::new, |log| Bytes::copy_from_slice(&log.0)),
            issued_us: u64::try_from(self.issued.0).unwrap_or(0),
        };
        let issued = Timestamp(self.issued.0.max(0));
        let bytes = Bytes::from(wire.encode_to_vec());
        let signature = Bytes::from(key.sign(Domain::Recovery, &bytes));
        SignedRecovery {
            recovery: Self { issued, ..self },
            bytes,
            public_key: Bytes::copy_from_slice(&key.public().to_bytes()),
            signature,
        }
    }

    fn from_wire(wire: v1::Recovery, log: LogId, owner: &PublicKey) -> Result<Self, RecoveryError> {
        let bad = |field| WireError::BadField { what: WHAT, field };
        let found = LogId::from_slice(&wire.stream).ok_or_else(|| bad("stream"))?;
        if found != log {
            let expected = log;
            return Err(RecoveryError::OtherLog { expected, found });
        }
        let successor = match &wire.successor[..] {
            [] => None,
            digest => Some(LogId::from_slice(digest).ok_or_else(|| bad("successor"))?),
        };
        if successor == Some(log) {
            return Err(bad("successor (itself)").into());
        }
        let issued = i64::try_from(wire.issued_us).map_err(|_| bad("issued"))?;
        let head = UnverifiedHead::try_from(wire.head)?;
        Ok(Self {
            head: head.verify(log, owner).map_err(RecoveryError::Head)?,
            successor,
            issued: Timestamp(issued),
        })
    }
}

/// A recovery as it came from somewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct UnverifiedRecovery(pub v1::SignedRecovery);

impl UnverifiedRecovery {
    /// Checks form and signature, that the manifest of `log` names its key by
    /// `hash`, and that the owner has signed the head which it picks.
    ///
    /// # Errors
    /// It is not so.
    pub fn verify(
        self,
        log: LogId,
        owner: &PublicKey,
        hash: Option<&[u8; 32]>,
    ) -> Result<SignedRecovery, RecoveryError> {
        let wire = self.0;
        let bytes = wire.encoded_len();
        if bytes > MAX_SIGNED_RECOVERY_BYTES {
            let (what, max) = ("a signed recovery", MAX_SIGNED_RECOVERY_BYTES);
            return Err(WireError::TooLong { what, bytes, max }.into());
        }
        let hash = hash.ok_or(RecoveryError::NoKey)?;
        // Whether it is the right key is known whatever kind it is of. A type of
        // more than the one byte that is hashed is that of no manifest's key.
        let signature_type =
            u8::try_from(wire.signature_type).map_err(|_| RecoveryError::OtherKey)?;
        if key_hash(signature_type, &wire.public_key) != *hash {
            return Err(RecoveryError::OtherKey);
        }
        if signature_type != ED25519 {
            return Err(RecoveryError::NewerSignature(wire.signature_type));
        }
        let key = PublicKey::from_bytes(&wire.public_key).ok_or(BadSignature)?;
        key.verify(Domain::Recovery, &wire.recovery, &wire.signature)?;
        if wire.recovery.len() > MAX_RECOVERY_BYTES {
            let (what, bytes, max) = (WHAT, wire.recovery.len(), MAX_RECOVERY_BYTES);
            return Err(WireError::TooLong { what, bytes, max }.into());
        }
        let scanned = scan(&wire.recovery, &FORM)?;
        if let Some(newer) = scanned.newer {
            return Err(RecoveryError::NewerField(newer));
        }
        let known = decode_canonical(WHAT, &scanned.known.into(), MAX_RECOVERY_BYTES)?;
        Ok(SignedRecovery {
            recovery: Recovery::from_wire(known, log, owner)?,
            // Copies: what is kept must not keep the frame that it came in.
            bytes: Bytes::copy_from_slice(&wire.recovery),
            public_key: Bytes::copy_from_slice(&wire.public_key),
            signature: Bytes::copy_from_slice(&wire.signature),
        })
    }
}

/// A recovery whose form and signature were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRecovery {
    recovery: Recovery,
    bytes: Bytes,
    public_key: Bytes,
    signature: Bytes,
}

impl SignedRecovery {
    /// As it travels, and stands on disk.
    #[must_use]
    pub fn to_wire(&self) -> v1::SignedRecovery {
        v1::SignedRecovery {
            recovery: self.bytes.clone(),
            signature_type: ED25519.into(),
            public_key: self.public_key.clone(),
            signature: self.signature.clone(),
        }
    }

    /// What it picks. Statements of one choice say the same, whenever they were
    /// made: a smaller one comes first, one without a successor before others.
    fn choice(&self) -> (u64, Hash, Option<LogId>) {
        (self.head.size, self.head.root, self.successor)
    }

    /// Everything about it, in an order that all have in common.
    fn order(&self) -> impl Ord + '_ {
        (self.choice(), self.issued.0, &self.bytes, &self.signature)
    }
}

impl std::ops::Deref for SignedRecovery {
    type Target = Recovery;

    fn deref(&self) -> &Recovery {
        &self.recovery
    }
}

/// What all recoveries of a log come to that are known: the one that counts, and
/// with it, where the key has said two things, another one that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    counts: SignedRecovery,
    other: Option<SignedRecovery>,
}

impl From<SignedRecovery> for Recovered {
    fn from(counts: SignedRecovery) -> Self {
        Self {
            counts,
            other: None,
        }
    }
}

impl Recovered {
    /// The last head. Of two that the key has picked it is the smaller, and of
    /// two of one size, which only an owner that forked can have signed, the one
    /// of the smaller root: whichever it is, all must come to the same, and
    /// whoever has the recovery key could have picked less than either.
    #[must_use]
    pub fn head(&self) -> &SignedHead {
        &self.counts.head
    }

    /// All that counts of the log.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.head().tree()
    }

    /// The log that continues it. A key that has said two things names none: it
    /// may be stolen, too.
    #[must_use]
    pub fn successor(&self) -> Option<LogId> {
        match self.other {
            None => self.counts.successor,
            Some(_) => None,
        }
    }

    /// When that was said.
    #[must_use]
    pub fn issued(&self) -> Timestamp {
        self.counts.issued
    }

    /// Whether the key has said two things.
    #[must_use]
    pub fn is_contradicted(&self) -> bool {
        self.other.is_some()
    }

    /// Whether both say the same of what counts, and of what continues it.
    #[must_use]
    pub fn comes_to(&self, other: &Self) -> bool {
        let what = |one: &Self| (one.tree(), one.successor(), one.is_contradicted());
        what(self) == what(other)
    }

    /// As it travels, and stands on disk.
    #[must_use]
    pub fn to_wire(&self) -> v1::Recovered {
        v1::Recovered {
            statements: self.statements().map(SignedRecovery::to_wire).collect(),
        }
    }

    /// Checks what a recovery key is said to have said of a log.
    ///
    /// # Errors
    /// It has not, or nothing is said.
    pub fn verify(
        wire: v1::Recovered,
        log: LogId,
        owner: &PublicKey,
        hash: Option<&[u8; 32]>,
    ) -> Result<Self, RecoveryError> {
        let wrong = WireError::BadField {
            what: WHAT,
            field: "statements: neither one nor two",
        };
        if wire.statements.len() > MAX_RECOVERY_STATEMENTS {
            return Err(wrong.into());
        }
        let mut all: Option<Self> = None;
        for statement in wire.statements {
            let said = UnverifiedRecovery(statement)
                .verify(log, owner, hash)?
                .into();
            all = Some(match all {
                None => said,
                Some(all) => strongest(all, said),
            });
        }
        all.ok_or_else(|| wrong.into())
    }

    /// What shows all this: one statement or two, the one that counts first.
    pub fn statements(&self) -> impl Iterator<Item = &SignedRecovery> {
        std::iter::once(&self.counts).chain(&self.other)
    }
}

/// What two nodes come to that tell each other what they know, in whatever order:
/// of each choice the statement that comes first, and of the choices the first
/// two. A third one changes nothing: the smallest counts, and there is no
/// successor.
#[must_use]
pub fn strongest(a: Recovered, b: Recovered) -> Recovered {
    let mut all: Vec<_> = [Some(a.counts), a.other, Some(b.counts), b.other]
        .into_iter()
        .flatten()
        .collect();
    all.sort_by(|one, other| one.order().cmp(&other.order()));
    all.dedup_by_key(|statement| statement.choice());
    let mut first = all.into_iter();
    let counts = first.next().expect("there were two");
    let other = first.next();
    Recovered { counts, other }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
