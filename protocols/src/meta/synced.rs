//! The notice of a follower that has caught up.

use bytes::Bytes;
use libp2p_identity::PeerId;
use prost::Message;

use crate::head::Head;
use crate::limits::MAX_LOG_SIZE;
use crate::merkle::Hash;
use crate::wire::{WireError, v1};

/// Its author holds every record of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// Size of the tree.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// Who says so.
    pub peer: PeerId,
}

impl Synced {
    /// The notice of whoever holds everything below a head.
    #[must_use]
    pub fn with(head: &Head, peer: PeerId) -> Self {
        Self {
            size: head.size,
            root: head.root,
            peer,
        }
    }

    /// The whole meta message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let body = v1::meta::Body::Synced(v1::Synced {
            size: self.size,
            root: Bytes::copy_from_slice(&self.root.0),
            peer: self.peer.to_bytes().into(),
        });
        v1::Meta { body: Some(body) }.encode_to_vec().into()
    }

    /// Reads a notice.
    ///
    /// # Errors
    /// There is no such tree or peer.
    pub fn from_wire(wire: &v1::Synced) -> Result<Self, WireError> {
        let what = "a notice of a full sync";
        let bad = |field| WireError::BadField { what, field };
        if wire.size == 0 || wire.size > MAX_LOG_SIZE {
            return Err(bad("size"));
        }
        Ok(Self {
            size: wire.size,
            root: Hash::from_slice(&wire.root).ok_or_else(|| bad("root"))?,
            peer: PeerId::from_bytes(&wire.peer).map_err(|_| bad("peer"))?,
        })
    }
}
