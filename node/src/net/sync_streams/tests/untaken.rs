//! Peers that leave what is for them, and those that never end what they begin.

use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use headwater_protocols::sync::frame_cost;

use super::super::{Config, Event, Lane};
use super::breaches::Pair;
use super::{MIB, frame};

fn config() -> Config {
    Config {
        stall_timeout: Duration::from_millis(500),
        max_untaken_bytes: MIB,
        ..Config::new(MIB)
    }
}

/// Sends so much that the muxer takes no more of it, and more waits than may.
async fn fill(pair: &mut Pair, frames: usize) {
    let to = pair.raw.peer;
    for _ in 0..frames {
        pair.node.send(to, Lane::Control, frame(0, MIB / 8)).await;
    }
}

#[tokio::test]
async fn no_question_is_read_of_a_peer_that_takes_no_answers_until_it_does() {
    let mut pair = Pair::with(Config {
        stall_timeout: Duration::from_secs(60),
        ..config()
    })
    .await;
    let mut questions = pair.open(&[0, 1, 1]).await;
    assert_eq!(pair.node.frame().await.bytes[..], [1]);
    let mut unread = pair.accept().await;
    fill(&mut pair, 24).await;
    // What the muxer takes is reported; then nothing moves.
    let mut sent = 0;
    while sent == 0 || pair.node.queued_cost(pair.raw.peer).await > 24 * frame_cost(MIB / 8) - sent
    {
        sent += pair.node.sent().await.1;
    }
    questions.write_all(&[1, 2]).await.unwrap();
    questions.flush().await.unwrap();
    // What it answers, and what it delivers, is read all the same.
    let mut delivers = pair.open(&[2, 1, 3]).await;
    assert_eq!(pair.node.frame().await.bytes[..], [3]);
    delivers.write_all(&[1, 4]).await.unwrap();
    delivers.flush().await.unwrap();
    assert_eq!(pair.node.frame().await.bytes[..], [4]);
    assert_eq!(pair.node.frames.try_next(true), None);

    let mut taken = vec![0; 3 * MIB];
    unread.read_exact(&mut taken).await.unwrap();
    assert_eq!(pair.node.frame().await.bytes[..], [2]);
}

#[tokio::test]
async fn a_peer_that_takes_a_little_now_and_then_stands_still() {
    let mut pair = Pair::with(config()).await;
    let mut slow = pair.accept().await;
    fill(&mut pair, 24).await;
    let reads = async {
        loop {
            let mut byte = [0; 512];
            slow.read_exact(&mut byte).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let stalls = async {
        loop {
            match pair.node.event().await {
                Event::Sent { .. } => {}
                other => return other,
            }
        }
    };
    let event = tokio::select! {
        event = stalls => event,
        () = reads => unreachable!("it reads on"),
    };
    assert!(matches!(event, Event::Stalled { .. }), "{event:?}");
}

#[tokio::test]
async fn a_frame_that_does_not_go_on_is_given_up() {
    let mut pair = Pair::with(config()).await;
    let mut half = pair.open(&[2, 200, 1]).await;
    half.write_all(&[7; 100]).await.unwrap();
    half.flush().await.unwrap();
    let event = pair.node.event().await;
    assert!(matches!(event, Event::Stalled { .. }), "{event:?}");
}

#[tokio::test]
async fn an_idle_lane_does_not_stand_still() {
    let mut pair = Pair::with(config()).await;
    let mut lane = pair.open(&[2, 1, 7]).await;
    assert_eq!(pair.node.frame().await.bytes[..], [7]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    lane.write_all(&[1, 8]).await.unwrap();
    lane.flush().await.unwrap();
    assert_eq!(pair.node.frame().await.bytes, Bytes::from_static(&[8]));
}

#[tokio::test]
async fn a_large_frame_in_the_control_lane_is_a_breach() {
    let mut pair = Pair::with(Config {
        max_control_bytes: 100,
        ..config()
    })
    .await;
    let _stream = pair.open(&[0, 101]).await;
    let error = pair.breach().await;
    assert!(
        error.to_string().contains("control frame of 101 bytes"),
        "{error}"
    );
}
