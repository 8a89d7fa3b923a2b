//! Connecting to those who were found on a stream's meta topic: our own record
//! for them, dials at the addresses in theirs, and meetings at a rendezvous
//! server for those who cannot be dialled.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use headwater_protocols::engine::Input;
use headwater_protocols::id::LogId;
use headwater_protocols::meta;
use headwater_protocols::wire::v1;
use libp2p::core::ConnectedPoint;
use libp2p::request_response::{self, OutboundRequestId};
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, identify};
use tokio::time::Instant;

use super::addresses::{Networks, Reach, is_circuit, reach, useful, without_peer};
use super::behaviour::Behaviour;
use super::dialer::plain_dial;
use super::discovery::PROTOCOL as KAD;
use super::limits::{MAX_OPEN_MEETINGS, MAX_RENDEZVOUS_SERVERS};
use super::peer_record::SignedRecord;
use super::rendezvous::{self, Server};
use crate::handle::now;

/// What is known of the ways to those who were found.
#[derive(Default)]
pub(super) struct Meetings {
    /// Answers registrations: under the same conditions as Kademlia's questions.
    serves: bool,
    server: Server,
    /// What others are told of us; empty before there is something to tell.
    record: Bytes,
    /// Connected rendezvous servers, and where they are.
    servers: BTreeMap<PeerId, Multiaddr>,
    /// Where the remote end of each connection is.
    remotes: HashMap<ConnectionId, Multiaddr>,
    /// Registrations of ours, and whom we are to meet.
    open: HashMap<OutboundRequestId, PeerId>,
    /// The engine does not know the latest record and servers yet.
    is_news: bool,
}

impl Meetings {
    /// When [`tick`](Self::tick) is to be called.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let end = self.server.next_end()?;
        Some(Instant::now() + Duration::from_micros(end.since(now())))
    }

    /// Does what is due.
    pub(super) fn tick(&mut self) {
        self.server.expire(now());
    }

    /// Answers registrations from now on, or does not any more.
    pub(super) fn serve(&mut self, serves: bool) {
        self.serves = serves;
    }

    /// Takes our latest record.
    pub(super) fn set_record(&mut self, record: Bytes) {
        self.record = record;
        self.is_news = true;
    }

    /// Notes a connection.
    pub(super) fn connected(&mut self, id: ConnectionId, endpoint: &ConnectedPoint) {
        if !endpoint.is_relayed() {
            let remote = endpoint.get_remote_address().clone();
            self.remotes.insert(id, remote);
        }
    }

    /// Notes that a connection is closed, perhaps the last one of its peer.
    pub(super) fn closed(&mut self, id: ConnectionId, peer: &PeerId, is_last: bool) {
        self.remotes.remove(&id);
        if is_last && self.servers.remove(peer).is_some() {
            self.is_news = true;
        }
    }

    /// Takes what a peer says of itself: whoever answers Kademlia's questions
    /// also serves as a rendezvous.
    pub(super) fn identified(&mut self, peer: PeerId, id: ConnectionId, info: &identify::Info) {
        let serves = |protocol: &StreamProtocol| *protocol == KAD;
        if !info.protocols.iter().any(serves) {
            self.is_news |= self.servers.remove(&peer).is_some();
            return;
        }
        let remote = self.remotes.get(&id);
        // The port of one who has dialled us is perhaps not one that it
        // listens on.
        let told = info.listen_addrs.iter().find(|told| {
            let far = remote.and_then(reach).unwrap_or(Reach::Machine);
            !is_circuit(told) && reach(told).is_some_and(|reach| reach >= far)
        });
        let Some(address) = told.or(remote) else {
            return;
        };
        if self.servers.contains_key(&peer) || self.servers.len() < MAX_RENDEZVOUS_SERVERS {
            let address = without_peer(address.clone(), peer);
            let known = self.servers.insert(peer, address.clone());
            self.is_news |= known != Some(address);
        }
    }

    /// What the engine is to be told, if anything is new.
    pub(super) fn news(&mut self) -> Option<Input> {
        if !std::mem::take(&mut self.is_news) || self.record.is_empty() {
            return None;
        }
        let servers = self.servers.iter().map(|(&peer, address)| meta::Server {
            peer,
            address: address.to_vec().into(),
        });
        Some(Input::Reachable {
            record: self.record.clone(),
            servers: servers.collect(),
        })
    }

    /// Dials a peer at the addresses in its record.
    pub(super) fn dial(
        &self,
        swarm: &mut Swarm<Behaviour>,
        peer: PeerId,
        log: LogId,
        record: Bytes,
    ) {
        let networks = Networks::of(swarm.listeners());
        let Some(addresses) = self.addresses_of(peer, record, None, &networks) else {
            tracing::debug!(stream = %log, %peer, "its record is false, or of no use");
            return;
        };
        tracing::debug!(stream = %log, %peer, ?addresses, "dialling a peer found on the meta topic");
        if let Err(error) = swarm.dial(plain_dial(peer, addresses)) {
            tracing::debug!(%peer, %error, "not dialled");
        }
    }

    /// Registers with a server, to meet a peer there.
    pub(super) fn meet(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peer: PeerId,
        hash: [u8; 32],
        server: &meta::Server,
    ) {
        let Ok(address) = Multiaddr::try_from(server.address.to_vec()) else {
            return;
        };
        let addresses = self.dialable([address], &Networks::of(swarm.listeners()));
        let is_there = swarm.is_connected(&server.peer);
        if swarm.is_connected(&peer)
            || server.peer == *swarm.local_peer_id()
            || !is_there && addresses.is_empty()
            || self.open.len() >= MAX_OPEN_MEETINGS
        {
            return;
        }
        tracing::debug!(%peer, server = %server.peer, "going to the rendezvous");
        let registration = v1::Registration {
            hash: Bytes::copy_from_slice(&hash),
            record: self.record.clone(),
        };
        let messages = &mut swarm.behaviour_mut().rendezvous;
        let id = messages.send_request_with_addresses(&server.peer, registration, addresses);
        self.open.insert(id, peer);
    }

    /// Takes what the rendezvous protocol has to say.
    pub(super) fn on_event(&mut self, event: rendezvous::Event, swarm: &mut Swarm<Behaviour>) {
        match event {
            request_response::Event::Message {
                peer,
                connection_id,
                message,
            } => match message {
                request_response::Message::Request {
                    request, channel, ..
                } => {
                    if self.serves {
                        let observed = self.remotes.get(&connection_id);
                        let messages = &mut swarm.behaviour_mut().rendezvous;
                        (self.server).register(messages, peer, request, observed, channel, now());
                    }
                }
                request_response::Message::Response {
                    request_id,
                    response,
                } => {
                    if let Some(other) = self.open.remove(&request_id) {
                        self.met(swarm, other, response);
                    }
                }
            },
            request_response::Event::OutboundFailure {
                request_id, error, ..
            } => {
                if let Some(peer) = self.open.remove(&request_id) {
                    tracing::debug!(%peer, %error, "nobody came to the rendezvous");
                }
            }
            request_response::Event::InboundFailure { .. }
            | request_response::Event::ResponseSent { .. } => {}
        }
    }

    /// The other one is told of us at this moment: both dial.
    fn met(&self, swarm: &mut Swarm<Behaviour>, peer: PeerId, meeting: v1::Meeting) {
        let observed = Multiaddr::try_from(meeting.observed.to_vec()).ok();
        let networks = Networks::of(swarm.listeners());
        let Some(addresses) = self.addresses_of(peer, meeting.record, observed, &networks) else {
            tracing::debug!(%peer, "somebody else came to the rendezvous");
            return;
        };
        let direct: Vec<_> = (addresses.into_iter())
            .filter(|address| !is_circuit(address))
            .collect();
        tracing::debug!(%peer, ?direct, "met; dialling");
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::Disconnected)
            .addresses(direct);
        // Where both ends dial at once, one has to take the part of the
        // listener.
        let options = match peer < *swarm.local_peer_id() {
            true => options.override_role(),
            false => options,
        };
        if let Err(error) = swarm.dial(options.build()) {
            tracing::debug!(%peer, %error, "not dialled");
        }
    }

    /// The addresses in a record that is the peer's own; where it is seen comes
    /// first.
    fn addresses_of(
        &self,
        peer: PeerId,
        record: Bytes,
        observed: Option<Multiaddr>,
        networks: &Networks,
    ) -> Option<Vec<Multiaddr>> {
        let record = SignedRecord::verify(record).ok()?;
        if record.peer != peer {
            return None;
        }
        let all = observed.into_iter().chain(record.addresses);
        let all = all.map(|address| without_peer(address, peer));
        let dialable = self.dialable(all, networks);
        (!dialable.is_empty()).then_some(dialable)
    }

    /// The addresses that a stranger may make us dial: those open to all; those
    /// of a private network, or of this machine, only where somebody else is who
    /// is as near, or where we are in the same network ourselves.
    fn dialable(
        &self,
        addresses: impl IntoIterator<Item = Multiaddr>,
        networks: &Networks,
    ) -> Vec<Multiaddr> {
        let nearest = self.remotes.values().filter_map(reach).min();
        let nearest = nearest.unwrap_or(Reach::World);
        let may = |address: &Multiaddr| match reach(address) {
            Some(Reach::Site) => nearest <= Reach::Site || networks.contain(address),
            Some(reach) => reach >= nearest,
            None => false,
        };
        useful(addresses.into_iter().filter(may), Reach::Machine)
    }
}

#[cfg(test)]
mod tests {
    use libp2p::core::Endpoint;
    use libp2p::core::transport::PortUse;
    use libp2p::identity::Keypair;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn nowhere() -> Networks {
        Networks::default()
    }

    /// Meetings of a node with one connection, to somebody there.
    fn connected_to(remote: &str) -> Meetings {
        let mut meetings = Meetings::default();
        let endpoint = ConnectedPoint::Dialer {
            address: remote.parse().unwrap(),
            role_override: Endpoint::Dialer,
            port_use: PortUse::Reuse,
        };
        meetings.connected(ConnectionId::new_unchecked(1), &endpoint);
        meetings
    }

    #[test]
    fn a_strangers_record_must_be_its_own_and_cannot_name_our_machine() {
        let meetings = Meetings::default();
        let stranger = Keypair::generate_ed25519();
        let peer = stranger.public().to_peer_id();
        let told = addresses(&[
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/192.0.2.1/tcp/1",
        ]);
        let record = SignedRecord::sign(&stranger, told).unwrap().bytes;
        let observed = addresses(&["/ip4/192.0.2.9/tcp/7"]).pop();
        let found = meetings.addresses_of(peer, record.clone(), observed, &nowhere());
        let expected = addresses(&["/ip4/192.0.2.9/tcp/7", "/ip4/192.0.2.1/tcp/1"]);
        assert_eq!(found, Some(expected));
        assert_eq!(
            meetings.addresses_of(PeerId::random(), record.clone(), None, &nowhere()),
            None
        );
        let mut forged = record.to_vec();
        *forged.last_mut().unwrap() ^= 1;
        let found = meetings.addresses_of(peer, forged.into(), None, &nowhere());
        assert_eq!(found, None);
    }

    #[test]
    fn a_stranger_cannot_make_us_dial_into_a_private_network_that_is_not_ours() {
        let inside = addresses(&["/ip4/192.168.1.7/tcp/22", "/ip4/10.0.0.7/tcp/22"]);
        let far = connected_to("/ip4/192.0.2.1/tcp/1");
        assert_eq!(far.dialable(inside.clone(), &nowhere()), []);
        assert_eq!(Meetings::default().dialable(inside.clone(), &nowhere()), []);
        // Two behind one router.
        let ours = Networks::of(&addresses(&["/ip4/192.168.1.2/tcp/4600"]));
        assert_eq!(far.dialable(inside.clone(), &ours), inside[..1]);
        // A network of several parts, in which somebody is already.
        let near = connected_to("/ip4/172.16.0.1/tcp/1");
        assert_eq!(near.dialable(inside.clone(), &nowhere()), inside);
    }

    #[test]
    fn a_stranger_cannot_make_us_dial_our_own_machine_unless_others_are_on_it() {
        let here = addresses(&["/ip4/127.0.0.1/tcp/22"]);
        let ours = Networks::of(&addresses(&["/ip4/127.0.0.1/tcp/4600"]));
        let near = connected_to("/ip4/192.168.1.3/tcp/1");
        assert_eq!(near.dialable(here.clone(), &ours), []);
        let beside = connected_to("/ip4/127.0.0.1/tcp/1");
        assert_eq!(beside.dialable(here.clone(), &nowhere()), here);
    }
}
