//! Two real swarms on loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod breaches;
mod harness;
mod preference;
mod raw;
mod untaken;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use headwater_protocols::sync::frame_cost;
use libp2p::{
    Multiaddr,
    swarm::{SwarmEvent, dummy},
};

use super::{Config, Event, InboundFrame, Lane, NotConnected, ProtocolError};
use harness::Node;

const MIB: usize = 1024 * 1024;

/// A frame whose bytes tell its number and its length. They are noise: on a busy
/// machine a line counts as slow, and what can be made smaller takes no room in it.
fn frame(number: usize, len: usize) -> Bytes {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64 ^ ((number as u64) << 32) ^ len as u64;
    let words = std::iter::repeat_with(move || {
        // xorshift64*
        noise ^= noise >> 12;
        noise ^= noise << 25;
        noise ^= noise >> 27;
        noise.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    });
    words.flatten().take(len).collect()
}

async fn frames_arrive_unaltered_and_in_order(address: fn(&Node) -> Multiaddr) {
    let mut sender = Node::new(Config::new(5 * MIB), 4).await;
    let mut receiver = Node::new(Config::new(5 * MIB), 4).await;
    let to = receiver.peer;
    sender.dial(to, address(&receiver)).await;
    sender.ready(to).await;
    receiver.ready(sender.peer).await;

    let lens = [1, 1024, 4 * MIB, 1024, 1, 0, 20_000, 16_384, 70_000, 1];
    let mut expected: BTreeMap<Lane, Vec<Bytes>> = BTreeMap::new();
    for (number, len) in lens.into_iter().enumerate() {
        for lane in Lane::ALL {
            let bytes = frame(number, len);
            expected.entry(lane).or_default().push(bytes.clone());
            sender.send(to, lane, bytes).await;
        }
    }

    let mut received: BTreeMap<Lane, Vec<Bytes>> = BTreeMap::new();
    for _ in 0..lens.len() * Lane::ALL.len() {
        let InboundFrame {
            peer, lane, bytes, ..
        } = receiver.frame().await;
        assert_eq!(peer, sender.peer);
        received.entry(lane).or_default().push(bytes);
    }
    assert!(received == expected, "frames differ");

    let total = lens.iter().map(|&len| frame_cost(len)).sum::<usize>();
    let mut sent: BTreeMap<Lane, usize> = BTreeMap::new();
    while sent.values().sum::<usize>() < total * Lane::ALL.len() {
        let (lane, bytes) = sender.sent().await;
        *sent.entry(lane).or_default() += bytes;
    }
    assert_eq!(sent, Lane::ALL.map(|lane| (lane, total)).into());
    assert_eq!(sender.queued_cost(to).await, 0);
}

#[tokio::test]
async fn frames_arrive_unaltered_and_in_order_over_tcp() {
    frames_arrive_unaltered_and_in_order(|node| node.tcp.clone()).await;
}

#[tokio::test]
async fn frames_arrive_unaltered_and_in_order_over_quic() {
    frames_arrive_unaltered_and_in_order(|node| node.quic.clone()).await;
}

#[tokio::test]
async fn a_full_channel_holds_the_sender_back_until_it_is_drained() {
    let mut impatient = Config::new(5 * MIB);
    impatient.stall_timeout = Duration::from_secs(1);
    let mut sender = Node::new(impatient, 1).await;
    let mut receiver = Node::new(Config::new(5 * MIB), 1).await;
    let to = receiver.peer;
    sender.dial(to, receiver.tcp.clone()).await;
    sender.ready(to).await;

    let (count, len) = (64, MIB);
    for number in 0..count {
        sender.send(to, Lane::Bulk, frame(number, len)).await;
    }
    let mut sent = 0;
    loop {
        match sender.event().await {
            Event::Sent { bytes, .. } => sent += bytes,
            Event::Stalled { peer, .. } => {
                assert_eq!(peer, to);
                break;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(sent < 16 * MIB, "{sent} bytes went into a full channel");
    assert_eq!(sender.queued_cost(to).await, count * frame_cost(len) - sent);

    for number in 0..count {
        assert!(receiver.frame().await.bytes == frame(number, len));
    }
    while sent < count * frame_cost(len) {
        sent += sender.sent().await.1;
    }
    assert_eq!(sent, count * frame_cost(len));
}

#[tokio::test]
async fn the_control_lane_overtakes_queued_bulk() {
    let mut sender = Node::new(Config::new(5 * MIB), 4).await;
    let mut receiver = Node::new(Config::new(5 * MIB), 4).await;
    let to = receiver.peer;
    sender.dial(to, receiver.tcp.clone()).await;
    sender.ready(to).await;
    for number in 0..64 {
        sender.send(to, Lane::Bulk, frame(number, MIB)).await;
    }
    receiver.frame().await;
    sender.send(to, Lane::Control, frame(1, 100)).await;
    let mut bulk_before = 0;
    while receiver.frame().await.lane != Lane::Control {
        bulk_before += 1;
    }
    assert!(bulk_before < 40, "{bulk_before} bulk frames came first");
}

#[tokio::test]
async fn an_oversized_frame_is_a_breach_and_is_not_delivered() {
    let mut sender = Node::new(Config::new(MIB), 4).await;
    let mut receiver = Node::new(Config::new(1000), 4).await;
    let to = receiver.peer;
    sender.dial(to, receiver.tcp.clone()).await;
    sender.ready(to).await;
    sender.send(to, Lane::Urgent, frame(0, 2000)).await;

    receiver.ready(sender.peer).await;
    match receiver.event().await {
        Event::Misbehaved { peer, error, .. } => {
            assert_eq!(peer, sender.peer);
            let expected = ProtocolError::FrameTooLarge {
                lane: Lane::Urgent,
                bytes: 2000,
                max_bytes: 1000,
            };
            assert_eq!(error, expected);
        }
        other => panic!("unexpected {other:?}"),
    }
    assert_eq!(receiver.frames.try_next(true), None);
}

#[tokio::test]
async fn a_peer_without_the_protocol_is_never_ready() {
    let mut node = Node::new(Config::new(MIB), 4).await;
    let stranger = Node::with(dummy::Behaviour, Duration::from_secs(60)).await;
    node.dial(stranger.peer, stranger.tcp.clone()).await;
    // The connection goes as soon as nobody wants it, without any event of ours.
    loop {
        match node.swarm_event().await {
            SwarmEvent::Behaviour(event) => panic!("unexpected {event:?}"),
            SwarmEvent::ConnectionClosed { .. } => break,
            _ => {}
        }
    }
    let refused = node
        .with_swarm(move |swarm| {
            let behaviour = swarm.behaviour_mut();
            behaviour.send(stranger.peer, Lane::Control, Bytes::new())
        })
        .await;
    assert_eq!(refused, Err(NotConnected));
}

#[tokio::test]
async fn a_closed_connection_means_gone_on_both_sides() {
    let mut one = Node::new(Config::new(MIB), 4).await;
    let mut other = Node::new(Config::new(MIB), 4).await;
    let (a, b) = (one.peer, other.peer);
    one.dial(b, other.tcp.clone()).await;
    one.ready(b).await;
    other.ready(a).await;
    one.with_swarm(move |swarm| swarm.disconnect_peer_id(b).is_ok())
        .await;
    assert!(matches!(one.event().await, Event::Gone { peer } if peer == b));
    assert!(matches!(other.event().await, Event::Gone { peer } if peer == a));
}

#[tokio::test]
async fn frames_take_the_remaining_connection_when_the_preferred_one_closes() {
    let mut one = Node::new(Config::new(MIB), 4).await;
    let mut other = Node::new(Config::new(MIB), 4).await;
    let to = other.peer;
    one.dial(to, other.quic.clone()).await;
    one.ready(to).await;
    let quic = one.preferred(to).await;

    // TCP is better than QUIC and takes over.
    one.dial(to, other.tcp.clone()).await;
    assert!(matches!(one.event().await, Event::Reset { peer, .. } if peer == to));
    let tcp = one.preferred(to).await;
    assert_ne!(tcp, quic);
    one.send(to, Lane::Bulk, frame(1, 1000)).await;
    assert_eq!(other.frame().await.bytes, frame(1, 1000));
    assert_eq!(one.sent().await, (Lane::Bulk, frame_cost(1000)));

    one.with_swarm(move |swarm| swarm.close_connection(tcp))
        .await;
    assert!(matches!(one.event().await, Event::Reset { peer, .. } if peer == to));
    assert_eq!(one.preferred(to).await, quic);
    for lane in Lane::ALL {
        one.send(to, lane, frame(2, 70_000)).await;
        assert_eq!(other.frame().await.bytes, frame(2, 70_000));
    }
}

#[tokio::test]
async fn a_frame_under_way_is_finished_when_its_connection_is_left() {
    let mut one = Node::new(Config::new(5 * MIB), 4).await;
    let mut other = Node::new(Config::new(5 * MIB), 1).await;
    let to = other.peer;
    one.dial(to, other.quic.clone()).await;
    one.ready(to).await;
    // More than QUIC's windows take while nobody reads.
    let (count, len) = (16, 4 * MIB);
    for number in 0..count {
        one.send(to, Lane::Bulk, frame(number, len)).await;
    }
    one.sent().await;

    one.dial(to, other.tcp.clone()).await;
    while !matches!(one.event().await, Event::Reset { .. }) {}
    assert_eq!(one.queued_cost(to).await, 0);
    let tcp = one.preferred(to).await;
    one.with_swarm(move |swarm| swarm.close_connection(tcp))
        .await;
    let event = one.event().await;
    assert!(matches!(event, Event::Reset { .. }), "{event:?}");
    one.send(to, Lane::Bulk, frame(count, 10)).await;

    // The lane is still in step, and without what had not been begun.
    let mut arrived = 0;
    loop {
        let bytes = other.frame().await.bytes;
        if bytes == frame(count, 10) {
            break;
        }
        assert!(bytes == frame(arrived, len));
        arrived += 1;
    }
    assert!(arrived < count, "nothing was discarded");
    assert_eq!(one.sent().await, (Lane::Bulk, frame_cost(10)));
}
