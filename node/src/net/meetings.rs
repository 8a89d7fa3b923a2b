//! Connecting to those who were found on a stream's meta topic: our own record
//! for them, dials at the addresses in theirs, and meetings at a rendezvous
//! server for those who cannot be dialled.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use headwater_protocols::engine::Input;
use headwater_protocols::id::LogId;
use headwater_protocols::meta;
use headwater_protocols::time::Timestamp;
use headwater_protocols::wire::v1;
use libp2p::core::ConnectedPoint;
use libp2p::request_response::ResponseChannel;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, StreamProtocol, identify};
use tokio::time::Instant;

use super::action::{Action, Dial, Unless};
use super::addresses::{Networks, Reach, is_circuit, reach, useful, without_peer};
use super::dialer::plain_dial;
use super::discovery::table::PROTOCOL as KAD;
use super::limits::{MAX_OPEN_MEETINGS, MAX_RENDEZVOUS_SERVERS};
use super::peer_record::SignedRecord;
use super::rendezvous::Server;

/// What is known of the ways to those who were found. Who registers here is
/// answered by a way of the kind `C`.
pub(super) struct Meetings<C = ResponseChannel<v1::Meeting>> {
    local: PeerId,
    /// Answers registrations: under the same conditions as Kademlia's questions.
    serves: bool,
    server: Server<C>,
    /// What others are told of us; empty before there is something to tell.
    record: Bytes,
    /// Connected rendezvous servers, and where they are.
    servers: BTreeMap<PeerId, Multiaddr>,
    /// Where the remote end of each connection is.
    remotes: HashMap<ConnectionId, Multiaddr>,
    /// Registrations of ours that are not answered.
    open: usize,
    /// The engine does not know the latest record and servers yet.
    is_news: bool,
}

impl<C> Meetings<C> {
    /// Those of the node with this id.
    pub(super) fn new(local: PeerId) -> Self {
        Self {
            local,
            serves: false,
            server: Server::default(),
            record: Bytes::new(),
            servers: BTreeMap::new(),
            remotes: HashMap::new(),
            open: 0,
            is_news: false,
        }
    }

    /// When [`tick`](Self::tick) is to be called.
    pub(super) fn next_due(&self, clock: Instant, now: Timestamp) -> Option<Instant> {
        let end = self.server.next_end()?;
        Some(clock + end.duration_since(now))
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.server.expire(now);
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
        peer: PeerId,
        log: LogId,
        record: Bytes,
        networks: &Networks,
    ) -> Option<Action> {
        let Some(addresses) = self.addresses_of(peer, record, None, networks) else {
            tracing::debug!(stream = %log, %peer, "its record is false, or of no use");
            return None;
        };
        tracing::debug!(stream = %log, %peer, ?addresses, "dialling a peer found on the meta topic");
        Some(Action::Dial(plain_dial(peer, addresses)))
    }

    /// Registers with a server, to meet a peer there.
    pub(super) fn meet(
        &mut self,
        peer: PeerId,
        hash: [u8; 32],
        server: &meta::Server,
        networks: &Networks,
        is_connected: impl Fn(&PeerId) -> bool,
    ) -> Option<Action> {
        let address = Multiaddr::try_from(server.address.to_vec()).ok()?;
        let addresses = self.dialable([address], networks);
        if is_connected(&peer)
            || server.peer == self.local
            || !is_connected(&server.peer) && addresses.is_empty()
            || self.open >= MAX_OPEN_MEETINGS
        {
            return None;
        }
        tracing::debug!(%peer, server = %server.peer, "going to the rendezvous");
        self.open += 1;
        Some(Action::Register {
            peer,
            server: server.peer,
            addresses,
            registration: v1::Registration {
                hash: Bytes::copy_from_slice(&hash),
                record: self.record.clone(),
            },
        })
    }

    /// Takes the registration of a peer that is here by this connection. Who is
    /// to be answered comes back.
    pub(super) fn register(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        registration: v1::Registration,
        channel: C,
        now: Timestamp,
    ) -> Vec<(C, v1::Meeting)> {
        if !self.serves {
            return Vec::new();
        }
        let observed = self.remotes.get(&id);
        (self.server).register(peer, registration, observed, channel, now)
    }

    /// Nobody has come to meet us.
    pub(super) fn missed(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// The other one is told of us at this moment: both dial.
    pub(super) fn met(
        &mut self,
        peer: PeerId,
        meeting: v1::Meeting,
        networks: &Networks,
    ) -> Option<Action> {
        self.open = self.open.saturating_sub(1);
        let observed = Multiaddr::try_from(meeting.observed.to_vec()).ok();
        let Some(addresses) = self.addresses_of(peer, meeting.record, observed, networks) else {
            tracing::debug!(%peer, "somebody else came to the rendezvous");
            return None;
        };
        let direct: Vec<_> = (addresses.into_iter())
            .filter(|address| !is_circuit(address))
            .collect();
        tracing::debug!(%peer, ?direct, "met; dialling");
        Some(Action::Dial(Dial {
            unless: Unless::Connected,
            // Where both ends dial at once, one has to take the part of the
            // listener.
            as_listener: peer < self.local,
            ..Dial::new(peer, direct)
        }))
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

    /// Meetings of a node without a connection.
    fn alone() -> Meetings<u32> {
        Meetings::new(PeerId::random())
    }

    /// Meetings of a node with one connection, to somebody there.
    fn connected_to(remote: &str) -> Meetings<u32> {
        let mut meetings = alone();
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
        let meetings = alone();
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
        assert_eq!(alone().dialable(inside.clone(), &nowhere()), []);
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

    fn server_at(address: &str) -> meta::Server {
        meta::Server {
            peer: PeerId::random(),
            address: address.parse::<Multiaddr>().unwrap().to_vec().into(),
        }
    }

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn a_node_goes_to_a_server_that_it_can_reach_and_not_to_one_that_it_is_itself() {
        let mut meetings = alone();
        let peer = PeerId::random();
        let near = server_at("/ip4/192.168.1.7/tcp/1");
        assert_eq!(meetings.meet(peer, KEY, &near, &nowhere(), |_| false), None);
        // Where it is does not matter once it is connected.
        let there = |connected: &PeerId| *connected == near.peer;
        let registered = meetings.meet(peer, KEY, &near, &nowhere(), there);
        assert!(matches!(registered, Some(Action::Register { server, .. }) if server == near.peer));
        let both = meetings.meet(peer, KEY, &near, &nowhere(), |_| true);
        assert_eq!(both, None, "the peer is connected already");
        let ourselves = meta::Server {
            peer: meetings.local,
            ..server_at("/ip4/192.0.2.1/tcp/1")
        };
        assert_eq!(
            meetings.meet(peer, KEY, &ourselves, &nowhere(), |_| false),
            None
        );
    }

    #[test]
    fn meetings_that_nobody_comes_to_are_bounded_and_make_room_once_they_are_over() {
        let mut meetings = alone();
        let server = server_at("/ip4/192.0.2.1/tcp/1");
        let meet = |meetings: &mut Meetings<u32>| {
            let peer = PeerId::random();
            meetings.meet(peer, KEY, &server, &nowhere(), |_| false)
        };
        let gone = (0..10 * MAX_OPEN_MEETINGS).filter_map(|_| meet(&mut meetings));
        assert_eq!(gone.count(), MAX_OPEN_MEETINGS);
        meetings.missed();
        assert!(meet(&mut meetings).is_some());
        assert!(meet(&mut meetings).is_none());
    }

    #[test]
    fn of_two_that_have_met_one_takes_the_part_of_the_listener_and_neither_dials_a_relay() {
        let keys = [Keypair::generate_ed25519(), Keypair::generate_ed25519()];
        let relay = PeerId::random();
        let circuit = format!("/ip4/192.0.2.9/tcp/1/p2p/{relay}/p2p-circuit");
        let told = addresses(&["/ip4/192.0.2.1/tcp/1", &circuit]);
        let mut listeners = 0;
        for (us, them) in [(0, 1), (1, 0)] {
            let mut meetings = Meetings::<u32>::new(keys[us].public().to_peer_id());
            let peer = keys[them].public().to_peer_id();
            let meeting = v1::Meeting {
                record: SignedRecord::sign(&keys[them], told.clone()).unwrap().bytes,
                observed: Bytes::new(),
            };
            let Some(Action::Dial(dial)) = meetings.met(peer, meeting, &nowhere()) else {
                panic!("not dialled");
            };
            assert_eq!((dial.peer, &dial.addresses[..]), (peer, &told[..1]));
            listeners += usize::from(dial.as_listener);
        }
        assert_eq!(listeners, 1);
    }

    #[test]
    fn two_that_register_under_one_key_are_told_of_each_other_where_a_node_serves() {
        let mut meetings = connected_to("/ip4/192.0.2.1/tcp/1");
        let registration = |record: &'static [u8]| v1::Registration {
            hash: Bytes::copy_from_slice(&KEY),
            record: Bytes::from_static(record),
        };
        let (one, other) = (PeerId::random(), PeerId::random());
        let (here, elsewhere) = (
            ConnectionId::new_unchecked(1),
            ConnectionId::new_unchecked(2),
        );
        let now = Timestamp(0);
        let register = |meetings: &mut Meetings<u32>| {
            let first = meetings.register(one, here, registration(b"one"), 1, now);
            assert!(first.is_empty());
            meetings.register(other, elsewhere, registration(b"other"), 2, now)
        };
        assert!(register(&mut meetings).is_empty(), "it does not serve");
        meetings.serve(true);
        let told = register(&mut meetings);
        let records: Vec<_> = told
            .iter()
            .map(|(to, says)| (*to, &says.record[..]))
            .collect();
        assert_eq!(records, [(1, &b"other"[..]), (2, &b"one"[..])]);
        let seen_at = addresses(&["/ip4/192.0.2.1/tcp/1"])[0].to_vec();
        assert_eq!(told[1].1.observed, seen_at);
    }
}
