use futures::future::{Either, join, select};
use libp2p::core::transport::{MemoryTransport, Transport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{noise, quic, yamux};

use super::*;
use crate::keys::NetworkKey;
use crate::net::transport::tests::{Listening, connect};

/// One end of a connection that nobody has used yet.
struct Side {
    peer: PeerId,
    connection: StreamMuxerBox,
}

impl Side {
    async fn prove(&mut self, key: &ProofKey, other: PeerId) -> Result<(), ProofError> {
        prove(&mut self.connection, key, self.peer, other).await
    }
}

fn key(byte: u8) -> ProofKey {
    ProofKey::new(&NetworkKey::new([byte; 32]))
}

/// A node as it is without a private network, in memory or on QUIC.
async fn node(keypair: &Keypair, address: &str) -> Listening {
    let transport = if address.starts_with("/memory") {
        MemoryTransport::default()
            .upgrade(Version::V1)
            .authenticate(noise::Config::new(keypair).unwrap())
            .multiplex(yamux::Config::default())
            .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
            .boxed()
    } else {
        quic::tokio::Transport::new(quic::Config::new(keypair))
            .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
            .boxed()
    };
    Listening::new(keypair.public().to_peer_id(), transport, address).await
}

/// Two ends of a connection: of the one who has dialled, and of the other.
async fn pair_of(address: &str, one: &Keypair, other: &Keypair) -> (Side, Side) {
    let mut one = node(one, address).await;
    let mut other = node(other, address).await;
    let (dialled, accepted) = connect(&mut one, &mut other).await;
    let side = |peer, connected: io::Result<(PeerId, StreamMuxerBox)>| Side {
        peer,
        connection: connected.unwrap().1,
    };
    (side(one.peer, dialled), side(other.peer, accepted))
}

async fn pair(address: &str) -> (Side, Side) {
    let keypair = Keypair::generate_ed25519;
    pair_of(address, &keypair(), &keypair()).await
}

const MEMORY: &str = "/memory/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// What the honest end of a connection makes of a hostile one, who has dialled.
async fn against(
    mut honest: Side,
    mut hostile: Side,
    attack: impl AsyncFnOnce(&mut StreamMuxerBox, PeerId),
) -> Result<(), ProofError> {
    let (us, them) = (honest.peer, hostile.peer);
    let attack = async {
        attack(&mut hostile.connection, us).await;
        // It goes on as long as it is let.
        ended(&mut hostile.connection).await;
    };
    let key = key(1);
    let (prove, attack) = (Box::pin(honest.prove(&key, them)), Box::pin(attack));
    match select(prove, attack).await {
        Either::Left((proved, _)) => proved,
        Either::Right(((), prove)) => prove.await,
    }
}

async fn attacked(attack: impl AsyncFnOnce(&mut StreamMuxerBox, PeerId)) -> Result<(), ProofError> {
    let (hostile, honest) = pair(MEMORY).await;
    against(honest, hostile, attack).await
}

/// What the honest end says first.
async fn hear(connection: &mut StreamMuxerBox) -> (SubstreamBox, [u8; NONCE_BYTES]) {
    let mut inbound = accept(connection).await.unwrap();
    let greeting: [u8; 20] = read(connection, &mut inbound).await.unwrap();
    assert_eq!(greeting, GREETING);
    let nonce = read(connection, &mut inbound).await.unwrap();
    (inbound, nonce)
}

async fn greet(connection: &mut StreamMuxerBox, nonce: [u8; NONCE_BYTES]) -> SubstreamBox {
    let mut outbound = open(connection).await.unwrap();
    let said = [&GREETING[..], &nonce].concat();
    write(connection, &mut outbound, &said).await.unwrap();
    outbound
}

#[tokio::test]
async fn who_has_the_same_key_is_let_in_and_finds_a_connection_that_is_as_new() {
    for address in [MEMORY, QUIC] {
        let (mut one, mut other) = pair(address).await;
        let (us, them) = (one.peer, other.peer);
        let key = key(1);
        let (here, there) = join(one.prove(&key, them), other.prove(&key, us)).await;
        here.unwrap();
        there.unwrap();
        // The first stream that either end sees is the first one that the other
        // opens now.
        let mut ends = [(one, other)];
        for _ in 0..2 {
            let [(from, to)] = &mut ends;
            let ask = async {
                let mut stream = open(&mut from.connection).await.unwrap();
                write(&mut from.connection, &mut stream, b"first")
                    .await
                    .unwrap();
                // It must not go before it was read.
                let _: [u8; 1] = read(&mut from.connection, &mut stream).await.unwrap();
            };
            let answer = async {
                let mut stream = accept(&mut to.connection).await.unwrap();
                let heard: [u8; 5] = read(&mut to.connection, &mut stream).await.unwrap();
                assert_eq!(&heard, b"first", "{address}");
                write(&mut to.connection, &mut stream, b"!").await.unwrap();
                // Until it has arrived.
                ended(&mut to.connection).await;
            };
            select(Box::pin(ask), Box::pin(answer)).await;
            let [(one, other)] = ends;
            ends = [(other, one)];
        }
    }
}

#[tokio::test]
async fn both_ends_hear_that_the_other_one_has_another_key() {
    for address in [MEMORY, QUIC] {
        let (mut one, mut other) = pair(address).await;
        let (us, them) = (one.peer, other.peer);
        let (key, wrong) = (key(1), key(2));
        // Whoever is ready first closes its end, as a node does.
        let here = async move { one.prove(&key, them).await };
        let there = async move { other.prove(&wrong, us).await };
        let (here, there) = join(here, there).await;
        assert!(matches!(here, Err(ProofError::OtherKey)), "{here:?}");
        assert!(matches!(there, Err(ProofError::OtherKey)), "{there:?}");
    }
}

#[tokio::test]
async fn who_begins_with_other_protocols_has_no_key() {
    let proved = attacked(async |connection, _| {
        let mut stream = open(connection).await.unwrap();
        let said = b"\x13/multistream/1.0.0\n\x0f/ipfs/id/1.0.0\n";
        write(connection, &mut stream, said).await.unwrap();
    });
    let proved = proved.await;
    assert!(matches!(proved, Err(ProofError::NoKey)), "{proved:?}");
}

#[tokio::test]
async fn garbage_is_refused() {
    let proved = attacked(async |connection, _| {
        let mut stream = open(connection).await.unwrap();
        write(connection, &mut stream, &[0xff; 4_096])
            .await
            .unwrap();
    });
    let proved = proved.await;
    assert!(matches!(proved, Err(ProofError::Malformed)), "{proved:?}");
}

#[tokio::test]
async fn what_a_node_says_itself_proves_nothing() {
    let proved = attacked(async |connection, _| {
        let (mut inbound, nonce) = hear(connection).await;
        let mut outbound = greet(connection, nonce).await;
        let tag: [u8; TAG_BYTES] = read(connection, &mut inbound).await.unwrap();
        write(connection, &mut outbound, &tag).await.unwrap();
    });
    let proved = proved.await;
    assert!(matches!(proved, Err(ProofError::OtherKey)), "{proved:?}");
}

#[tokio::test]
async fn a_tag_made_by_guessing_the_key_or_swapping_the_roles_is_refused() {
    for (proof, swapped) in [(key(2), false), (key(1), true)] {
        let (hostile, honest) = pair(MEMORY).await;
        let peer = hostile.peer;
        let attack = async move |connection: &mut StreamMuxerBox, honest: PeerId| {
            let (mut inbound, nonce) = hear(connection).await;
            let them = End {
                peer: honest,
                nonce,
            };
            let nonce = [5; NONCE_BYTES];
            let us = End { peer, nonce };
            let mut outbound = greet(connection, nonce).await;
            let tag = match swapped {
                true => proof.tag(&them, &us),
                false => proof.tag(&us, &them),
            };
            write(connection, &mut outbound, &tag).await.unwrap();
            let _: [u8; TAG_BYTES] = read(connection, &mut inbound).await.unwrap();
        };
        let proved = against(honest, hostile, attack).await;
        assert!(matches!(proved, Err(ProofError::OtherKey)), "{proved:?}");
    }
}

#[tokio::test]
async fn a_proof_is_good_for_one_connection() {
    let (one, other) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let mut recorded = None;
    let (member, honest) = pair_of(MEMORY, &one, &other).await;
    let peer = member.peer;
    let first = against(honest, member, async |connection, honest| {
        let (mut inbound, nonce) = hear(connection).await;
        let them = End {
            peer: honest,
            nonce,
        };
        let nonce = [5; NONCE_BYTES];
        let us = End { peer, nonce };
        let mut outbound = greet(connection, nonce).await;
        let tag = key(1).tag(&us, &them);
        write(connection, &mut outbound, &tag).await.unwrap();
        recorded = Some((nonce, tag));
        let _: [u8; TAG_BYTES] = read(connection, &mut inbound).await.unwrap();
    });
    // It was a good one.
    first.await.unwrap();
    let (nonce, tag) = recorded.unwrap();
    let (replayer, honest) = pair_of(MEMORY, &one, &other).await;
    let second = against(honest, replayer, async |connection, _| {
        let (mut inbound, _) = hear(connection).await;
        let mut outbound = greet(connection, nonce).await;
        write(connection, &mut outbound, &tag).await.unwrap();
        let _: [u8; TAG_BYTES] = read(connection, &mut inbound).await.unwrap();
    });
    let second = second.await;
    assert!(matches!(second, Err(ProofError::OtherKey)), "{second:?}");
}

#[tokio::test]
async fn a_proof_that_breaks_off_is_none() {
    let whole = [&GREETING[..], &[5; NONCE_BYTES], &[5; TAG_BYTES]].concat();
    for length in [1, 19, 20, 51, 52, whole.len() - 1] {
        let proved = attacked(async |connection, _| {
            let mut stream = open(connection).await.unwrap();
            write(connection, &mut stream, &whole[..length])
                .await
                .unwrap();
            driven(connection, stream.close().boxed())
                .await
                .unwrap()
                .unwrap();
        });
        let proved = proved.await;
        assert!(
            matches!(proved, Err(ProofError::Ended(_))),
            "{length}: {proved:?}"
        );
    }
}

#[tokio::test]
async fn who_says_nothing_or_too_little_is_not_waited_for() {
    let silent = attacked(async |_, _| {});
    let slow = attacked(async |connection, _| {
        let mut stream = greet(connection, [5; NONCE_BYTES]).await;
        write(connection, &mut stream, &[5]).await.unwrap();
        // Many other streams instead.
        for _ in 0..50 {
            let mut stream = open(connection).await.unwrap();
            write(connection, &mut stream, &[0; 1_024]).await.unwrap();
        }
        // The stream must stay open.
        ended(connection).await;
    });
    let (silent, slow) = join(silent, slow).await;
    assert!(matches!(silent, Err(ProofError::Late)), "{silent:?}");
    assert!(matches!(slow, Err(ProofError::Late)), "{slow:?}");
}
