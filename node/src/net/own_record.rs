//! What we say of ourselves to other peers: our addresses, signed once however
//! many protocols tell them.

use std::sync::Arc;

use libp2p::Multiaddr;
use libp2p::identity::Keypair;

use super::addresses::{Reach, reach, useful, without_peer};
use super::peer_record::SignedRecord;

/// Our latest record.
pub(super) struct OwnRecord {
    keypair: Keypair,
    addresses: Vec<Multiaddr>,
    record: Option<Arc<SignedRecord>>,
}

impl OwnRecord {
    /// Nothing is signed yet.
    pub(super) fn new(keypair: Keypair) -> Self {
        Self {
            keypair,
            addresses: Vec::new(),
            record: None,
        }
    }

    /// Takes the addresses of ours, the best ones first, and signs those that
    /// are of use to others. The record comes back when it is a new one.
    pub(super) fn addresses_changed(
        &mut self,
        addresses: &[Multiaddr],
    ) -> Option<Arc<SignedRecord>> {
        let local = self.keypair.public().to_peer_id();
        let ours = |address: &Multiaddr| without_peer(address.clone(), local);
        let farthest = addresses.iter().filter_map(reach).max();
        // Loopback leads to us only where there is nothing else.
        let at_least = farthest.map_or(Reach::Machine, |far| far.min(Reach::Site));
        let addresses = useful(addresses.iter().map(ours), at_least);
        if addresses == self.addresses && self.record.is_some() {
            return None;
        }
        let Some(record) = SignedRecord::sign(&self.keypair, addresses.clone()) else {
            tracing::warn!("the addresses of this node do not fit into a record");
            return None;
        };
        self.addresses = addresses;
        self.record = Some(Arc::new(record));
        self.record.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_record_names_loopback_only_where_there_is_nothing_else_and_is_signed_once() {
        let addresses = |texts: &[&str]| -> Vec<Multiaddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let keypair = Keypair::generate_ed25519();
        let local = keypair.public().to_peer_id();
        let mut own = OwnRecord::new(keypair);
        let loopback = format!("/ip4/127.0.0.1/tcp/1/p2p/{local}");
        let record = own.addresses_changed(&addresses(&[&loopback])).unwrap();
        assert_eq!(record.addresses, addresses(&["/ip4/127.0.0.1/tcp/1"]));
        let checked = SignedRecord::verify(record.bytes.clone()).unwrap();
        assert_eq!(checked.peer, local);

        let site = format!("/ip4/192.168.1.2/tcp/1/p2p/{local}");
        let both = addresses(&[&loopback, &site]);
        let record = own.addresses_changed(&both).unwrap();
        assert_eq!(record.addresses, addresses(&["/ip4/192.168.1.2/tcp/1"]));
        assert!(own.addresses_changed(&both).is_none());
    }
}
