//! The rendezvous protocol over libp2p's request-response: two peers register
//! under the hash of a key, and each gets the other's record and the address at
//! which the server sees it. The rules are in `headwater_protocols::rendezvous`.

use bytes::Bytes;
use headwater_protocols::limits::MAX_PEER_RECORD_BYTES;
use headwater_protocols::rendezvous::{Registered, Rendezvous};
use headwater_protocols::time::Timestamp;
use headwater_protocols::wire::{WireError, decode, v1};
use libp2p::request_response::{self, ProtocolSupport, ResponseChannel};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use prost::Message as _;

use super::codec::{Codec, Message};
use super::limits::{MAX_RENDEZVOUS_STREAMS, RENDEZVOUS_TIMEOUT};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/headwater/rendezvous/1");

/// Bytes of either message: a record, a hash or an address, and the tags.
const MAX_MESSAGE_BYTES: usize = MAX_PEER_RECORD_BYTES + 512;

/// The behaviour.
pub(super) type Messages = request_response::Behaviour<Codec<v1::Registration, v1::Meeting>>;

/// What it has to say.
pub(super) type Event = request_response::Event<v1::Registration, v1::Meeting>;

/// The protocol of a node, both ends.
pub(super) fn messages() -> Messages {
    let config = request_response::Config::default()
        .with_request_timeout(RENDEZVOUS_TIMEOUT)
        .with_max_concurrent_streams(MAX_RENDEZVOUS_STREAMS);
    Messages::new([(PROTOCOL, ProtocolSupport::Full)], config)
}

impl Message for v1::Registration {
    const MAX_BYTES: usize = MAX_MESSAGE_BYTES;

    fn decode(bytes: Bytes) -> Result<Self, WireError> {
        decode("a registration", bytes, MAX_MESSAGE_BYTES)
    }

    fn encode(self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

impl Message for v1::Meeting {
    const MAX_BYTES: usize = MAX_MESSAGE_BYTES;

    fn decode(bytes: Bytes) -> Result<Self, WireError> {
        decode("a meeting", bytes, MAX_MESSAGE_BYTES)
    }

    fn encode(self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// A peer that waits for another one, and the way to it.
struct Waiting<C> {
    channel: C,
    /// What the other one gets.
    says: v1::Meeting,
}

/// The server: who waits for whom. Peers are answered by ways of the kind `C`;
/// when one is let go, its stream is closed.
pub(super) struct Server<C = ResponseChannel<v1::Meeting>> {
    rendezvous: Rendezvous<Waiting<C>>,
}

impl<C> Default for Server<C> {
    fn default() -> Self {
        Self {
            rendezvous: Rendezvous::default(),
        }
    }
}

impl<C> Server<C> {
    /// When [`expire`](Self::expire) is to be called.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.rendezvous.next_end()
    }

    /// Lets those go whom nobody has met in time.
    pub(super) fn expire(&mut self, now: Timestamp) {
        // With a registration its stream is closed.
        self.rendezvous.expire(now);
    }

    /// Takes a registration. `observed` is where its sender is seen. Who is to
    /// be answered comes back; whoever gets no place is not: its stream is
    /// closed.
    pub(super) fn register(
        &mut self,
        peer: PeerId,
        request: v1::Registration,
        observed: Option<&Multiaddr>,
        channel: C,
        now: Timestamp,
    ) -> Vec<(C, v1::Meeting)> {
        let Ok(hash) = <[u8; 32]>::try_from(&request.hash[..]) else {
            return Vec::new();
        };
        if request.record.len() > MAX_PEER_RECORD_BYTES {
            return Vec::new();
        }
        let says = v1::Meeting {
            record: request.record,
            observed: observed.map_or_else(Bytes::new, |address| address.to_vec().into()),
        };
        let waiting = Waiting { channel, says };
        match self.rendezvous.register(hash, peer, waiting, now) {
            Registered::Matched {
                other,
                theirs,
                ours,
            } => {
                tracing::debug!(%peer, %other, "two peers meet");
                vec![(theirs.channel, ours.says), (ours.channel, theirs.says)]
            }
            Registered::Waiting | Registered::Refused => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use libp2p::swarm::SwarmEvent;
    use libp2p::{Swarm, SwarmBuilder, noise, tcp, yamux};

    fn registration() -> v1::Registration {
        v1::Registration {
            hash: Bytes::from_static(&[1; 32]),
            record: Bytes::from_static(b"record"),
        }
    }

    fn swarm() -> Swarm<Messages> {
        SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(
                tcp::Config::default(),
                noise::Config::new,
                yamux::Config::default,
            )
            .unwrap()
            .with_behaviour(|_| messages())
            .unwrap()
            .build()
    }

    /// A server that runs until the test ends, and where it is.
    async fn server() -> (PeerId, Multiaddr) {
        let mut swarm = swarm();
        let listen = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
        swarm.listen_on(listen).unwrap();
        let peer = *swarm.local_peer_id();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        tokio::spawn(async move {
            let mut server = Server::default();
            loop {
                if let SwarmEvent::Behaviour(Event::Message { peer, message, .. }) =
                    swarm.select_next_some().await
                    && let request_response::Message::Request {
                        request, channel, ..
                    } = message
                {
                    let seen = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
                    let now = Timestamp(0);
                    for (channel, says) in server.register(peer, request, Some(&seen), channel, now)
                    {
                        let _ = swarm.behaviour_mut().send_response(channel, says);
                    }
                }
            }
        });
        (peer, address)
    }

    /// Registers with a server; whom it meets there.
    async fn register(server: (PeerId, Multiaddr), record: &'static [u8]) -> Option<v1::Meeting> {
        let mut swarm = swarm();
        let request = v1::Registration {
            record: Bytes::from_static(record),
            ..registration()
        };
        let messages = swarm.behaviour_mut();
        messages.send_request_with_addresses(&server.0, request, vec![server.1]);
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(Event::Message {
                    message: request_response::Message::Response { response, .. },
                    ..
                }) => return Some(response),
                SwarmEvent::Behaviour(Event::OutboundFailure { .. }) => return None,
                _ => {}
            }
        }
    }

    #[tokio::test]
    async fn two_that_register_get_each_others_record_and_a_third_gets_nothing() {
        let server = server().await;
        let one = register(server.clone(), b"one");
        let other = register(server.clone(), b"other");
        let (one, other) = futures::join!(one, other);
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(
            (&one.record[..], &other.record[..]),
            (&b"other"[..], &b"one"[..])
        );
        let seen = Multiaddr::try_from(one.observed.to_vec()).unwrap();
        assert_eq!(seen.to_string(), "/ip4/192.0.2.1/tcp/1");
        assert_eq!(register(server, b"third").await, None);
    }
}
