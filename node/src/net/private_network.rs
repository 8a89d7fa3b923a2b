//! Private networks: who has not the network's key gets nothing of a node,
//! because its connections never reach the swarm.
//!
//! Over TCP the key encrypts everything, below noise (libp2p's pnet). QUIC has
//! no place for that, and a circuit through a relay is a stream inside a
//! connection that somebody else has made: there both ends prove the key to
//! each other, see [`handshake`], as soon as they know who they are.

mod handshake;
mod proof;
pub(super) mod strangers;

use libp2p::PeerId;
use libp2p::core::ConnectedPoint;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::pnet::{PnetConfig, PreSharedKey};
use tokio::time::Instant;

use crate::keys::NetworkKey;
use handshake::{ProofError, prove};
use proof::ProofKey;
use strangers::Strangers;

/// The private network that a node is in. Cheap to clone.
#[derive(Clone)]
pub(super) struct PrivateNetwork {
    local: PeerId,
    cipher: PnetConfig,
    proof: ProofKey,
    strangers: Strangers,
}

impl PrivateNetwork {
    /// The network with this key, for the node with this id.
    pub(super) fn new(local: PeerId, key: &NetworkKey, strangers: Strangers) -> Self {
        Self {
            local,
            cipher: PnetConfig::new(PreSharedKey::new(*key.secret())),
            proof: ProofKey::new(key),
            strangers,
        }
    }

    /// What encrypts a TCP connection.
    pub(super) fn cipher(&self) -> PnetConfig {
        self.cipher
    }

    /// Lets a connection in once both ends have proved the key.
    ///
    /// # Errors
    /// The other end has not; the connection is closed and the log says so.
    pub(super) async fn admit(
        self,
        (peer, mut connection): (PeerId, StreamMuxerBox),
        endpoint: ConnectedPoint,
    ) -> Result<(PeerId, StreamMuxerBox), ProofError> {
        match prove(&mut connection, &self.proof, self.local, peer).await {
            Ok(()) => Ok((peer, connection)),
            Err(error) => {
                self.refused(peer, &endpoint, &error);
                Err(error)
            }
        }
    }

    fn refused(&self, peer: PeerId, endpoint: &ConnectedPoint, error: &ProofError) {
        let address = endpoint.get_remote_address();
        if self.strangers.is_news(peer, Instant::now()) {
            tracing::warn!(%peer, %address, "not let into the private network: {error}");
        } else {
            tracing::debug!(%peer, %address, "not let into the private network: {error}");
        }
    }
}
