//! A WebSocket that follows a stream: one text message a record, the object
//! that NDJSON has in lines. The reason with which the node closes it says the
//! index to come back with.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use tokio::time::{interval_at, timeout};

use super::limits::{LIVE_FAREWELL, LIVE_HEARTBEAT, MAX_SOCKET_MESSAGES};
use super::live::{Live, Observation, Said, handed_over};

type Sender = SplitSink<WebSocket, Message>;

/// Sends records until the client goes, stands still, or the node stops.
pub(super) async fn serve(socket: WebSocket, live: Live) {
    // The socket tells when it stands still, so that the records can wait.
    let patience = live.patience();
    let mut observations = handed_over(live, 2 * patience, None);
    let (mut sender, mut receiver) = socket.split();
    let mut next = None;
    let mut heard_since = 0;
    let mut heartbeat = interval_at(tokio::time::Instant::now() + LIVE_HEARTBEAT, LIVE_HEARTBEAT);
    loop {
        let message = tokio::select! {
            observation = observations.recv() => match observation {
                Some(Said::Observation(Observation { index, json })) => {
                    next = Some(index + 1);
                    Message::Text((&*json).into())
                }
                Some(Said::End(problem)) => {
                    let _ = send(&mut sender, Message::Text(problem.into()), patience).await;
                    return close(&mut sender, close_code::POLICY, "the rest is disputed", next).await;
                }
                Some(Said::TooSlow) => {
                    return close(&mut sender, close_code::AGAIN, "too slow", next).await;
                }
                None => {
                    return close(&mut sender, close_code::AWAY, "the node stops", next).await;
                }
            },
            // Pings are answered below; nothing else is expected of a client.
            heard = receiver.next() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) if heard_since >= MAX_SOCKET_MESSAGES => {
                    let why = "too many messages; nothing is expected of a live client";
                    return close(&mut sender, close_code::POLICY, why, next).await;
                }
                Some(Ok(_)) => {
                    heard_since += 1;
                    continue;
                }
            },
            _ = heartbeat.tick() => {
                heard_since = 0;
                Message::Ping(Default::default())
            }
        };
        match send(&mut sender, message, patience).await {
            Sent::Done => {}
            Sent::Gone => return,
            Sent::Stalled => {
                let why = "too slow";
                return close(&mut sender, close_code::AGAIN, why, next).await;
            }
        }
    }
}

enum Sent {
    Done,
    Gone,
    /// The message stays in the socket's buffer.
    Stalled,
}

async fn send(sender: &mut Sender, message: Message, patience: Duration) -> Sent {
    match timeout(patience, sender.send(message)).await {
        Ok(Ok(())) => Sent::Done,
        Ok(Err(_)) => Sent::Gone,
        Err(_) => Sent::Stalled,
    }
}

/// Says why, and where to go on. Whoever does not hear it knows the index of
/// the last record that it has.
async fn close(sender: &mut Sender, code: u16, why: &str, next: Option<u64>) {
    let reason = match next {
        Some(next) => format!("{why}; come back with from={next}"),
        None => format!("{why}; come back"),
    };
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    // It is dropped in any case.
    let _ = send(sender, Message::Close(Some(frame)), LIVE_FAREWELL).await;
}
