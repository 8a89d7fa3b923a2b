//! What a peer that does not keep to the protocol brings about.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::{PeerId, Stream};

use super::super::{Config, Event, Lane, ProtocolError};
use super::{
    harness::Node,
    raw::{Raw, RawEvent},
};

/// A node, and a raw peer connected to it.
pub(super) struct Pair {
    pub(super) node: Node,
    pub(super) raw: Node<Raw>,
    /// The node's outbound substreams as the raw peer got them.
    inbound: VecDeque<Stream>,
}

impl Pair {
    async fn new() -> Self {
        Self::with(Config::new(1000)).await
    }

    /// With a node that soon takes a suspicion for a breach.
    async fn with_little_grace() -> Self {
        Self::with(Config {
            grace: Duration::from_millis(100),
            ..Config::new(1000)
        })
        .await
    }

    pub(super) async fn with(config: Config) -> Self {
        let mut node = Node::new(config, 4).await;
        let raw = Node::with(Raw::default(), Duration::from_secs(60)).await;
        node.dial(raw.peer, raw.tcp.clone()).await;
        node.ready(raw.peer).await;
        Self {
            node,
            raw,
            inbound: VecDeque::new(),
        }
    }

    pub(super) async fn open(&mut self, first: &[u8]) -> Stream {
        let peer: PeerId = self.node.peer;
        self.raw
            .with_swarm(move |swarm| swarm.behaviour_mut().open(peer))
            .await;
        let mut stream = loop {
            match self.raw.event().await {
                RawEvent::Outbound(stream) => break stream,
                RawEvent::Inbound(stream) => self.inbound.push_back(stream),
            }
        };
        stream.write_all(first).await.unwrap();
        stream.flush().await.unwrap();
        stream
    }

    /// The node's next outbound substream.
    pub(super) async fn accept(&mut self) -> Stream {
        if let Some(stream) = self.inbound.pop_front() {
            return stream;
        }
        match self.raw.event().await {
            RawEvent::Inbound(stream) => stream,
            RawEvent::Outbound(_) => panic!("opened nothing"),
        }
    }

    pub(super) async fn breach(&mut self) -> ProtocolError {
        match self.node.event().await {
            Event::Misbehaved { peer, error, .. } => {
                assert_eq!(peer, self.raw.peer);
                error
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Sends single bytes on the control lane until something else is heard
    /// than that they were sent.
    async fn send_until_an_event(&mut self) -> Event {
        let to = self.raw.peer;
        loop {
            let frame = Bytes::from_static(&[7]);
            // Refused when the event is already on its way.
            let _ = self
                .node
                .with_swarm(move |swarm| swarm.behaviour_mut().send(to, Lane::Control, frame))
                .await;
            match self.node.event().await {
                Event::Sent { .. } => {}
                other => return other,
            }
        }
    }
}

#[tokio::test]
async fn an_unknown_lane_is_a_breach() {
    let mut pair = Pair::new().await;
    let _stream = pair.open(&[9]).await;
    assert_eq!(pair.breach().await, ProtocolError::UnknownLane(9));
}

#[tokio::test]
async fn an_overlong_length_is_a_breach() {
    let mut pair = Pair::new().await;
    let _stream = pair.open(&[1, 0x81, 0x00]).await;
    assert_eq!(pair.breach().await, ProtocolError::BadLength(Lane::Urgent));
}

#[tokio::test]
async fn a_second_substream_of_a_lane_is_a_breach() {
    let mut pair = Pair::with_little_grace().await;
    let _first = pair.open(&[2, 1, 5]).await;
    assert_eq!(pair.node.frame().await.bytes[..], [5]);
    let _second = pair.open(&[2, 1, 6]).await;
    assert_eq!(
        pair.breach().await,
        ProtocolError::DuplicateLane(Lane::Bulk)
    );
    assert_eq!(pair.node.frames.try_next(true), None);
}

#[tokio::test]
async fn a_lane_may_follow_one_that_ended() {
    let mut pair = Pair::new().await;
    let mut first = pair.open(&[2, 1, 5]).await;
    first.close().await.unwrap();
    let _second = pair.open(&[2, 1, 6]).await;
    assert_eq!(pair.node.frame().await.bytes[..], [5]);
    assert_eq!(pair.node.frame().await.bytes[..], [6]);
}

#[tokio::test]
async fn an_end_inside_a_frame_is_a_breach() {
    let mut pair = Pair::with_little_grace().await;
    let mut stream = pair.open(&[0, 1, 5, 3, 1, 2]).await;
    stream.close().await.unwrap();
    assert_eq!(pair.node.frame().await.bytes[..], [5]);
    assert_eq!(pair.breach().await, ProtocolError::Truncated(Lane::Control));
    assert_eq!(pair.node.frames.try_next(true), None);
}

#[tokio::test]
async fn a_connection_that_dies_inside_a_frame_is_no_breach() {
    let mut pair = Pair::new().await;
    let _stream = pair.open(&[0, 3, 1, 2]).await;
    let peer = pair.node.peer;
    pair.raw
        .with_swarm(move |swarm| swarm.disconnect_peer_id(peer).is_ok())
        .await;
    assert!(matches!(pair.node.event().await, Event::Gone { .. }));
}

#[tokio::test]
async fn a_fifth_substream_is_refused() {
    let mut pair = Pair::new().await;
    let mut streams = Vec::new();
    for lane in Lane::ALL {
        streams.push(pair.open(&[lane.to_byte(), 1, 5]).await);
        assert_eq!(pair.node.frame().await.lane, lane);
    }
    // The fourth waits for its lane's byte, the fifth is dropped.
    streams.push(pair.open(&[]).await);
    let mut fifth = pair.open(&[]).await;
    assert!(matches!(fifth.read(&mut [0]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_lane_that_the_remote_drops_is_reopened_once() {
    let mut pair = Pair::new().await;
    drop(pair.accept().await);
    let event = pair.send_until_an_event().await;
    assert!(matches!(event, Event::Reset { .. }), "{event:?}");

    pair.node
        .send(pair.raw.peer, Lane::Control, Bytes::from_static(&[8, 8]))
        .await;
    let mut reopened = pair.accept().await;
    let mut bytes = [0; 4];
    reopened.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, [0, 2, 8, 8]);

    drop(reopened);
    let event = pair.send_until_an_event().await;
    assert!(matches!(event, Event::Gone { .. }), "{event:?}");
}
