//! A WebSocket that follows a stream: one text message a record, the object
//! that NDJSON has in lines. The reason with which the node closes it says the
//! index to come back with.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::time::{interval_at, timeout};

use super::limits::{LIVE_FAREWELL, LIVE_HEARTBEAT, MAX_SOCKET_MESSAGES};
use super::line::Cut;
use super::live_client::{Live, handed_over};
use super::live_said::{Observation, Said};

type Sender = SplitSink<WebSocket, Message>;
type Receiver = SplitStream<WebSocket>;

/// Sends records until the client goes, stands still, or the node stops.
pub(super) async fn serve(socket: WebSocket, live: Live) {
    let line = live.line();
    let (mut sender, mut receiver) = socket.split();
    let last = send_all(&mut sender, &mut receiver, live).await;
    // While the socket is there: closed as usual, it would go on to offer what
    // waits.
    if let (Last::Untold, Some(line)) = (last, line) {
        line.cut(Cut::Stalled);
    }
}

/// How it ended.
enum Last {
    /// The client is gone, or was told why.
    Told,
    /// It takes nothing.
    Untold,
}

async fn send_all(sender: &mut Sender, receiver: &mut Receiver, live: Live) -> Last {
    // The socket tells when it stands still, so that the records can wait.
    let patience = live.patience();
    let mut observations = handed_over(live, 2 * patience, None);
    let mut next = None;
    let mut heard_since = 0;
    let mut heartbeat = interval_at(tokio::time::Instant::now() + LIVE_HEARTBEAT, LIVE_HEARTBEAT);
    loop {
        let message = tokio::select! {
            observation = observations.recv() => match observation {
                Some(Said::Observation(Observation { index, json }, _)) => {
                    next = Some(index + 1);
                    Message::Text((&*json).into())
                }
                Some(Said::Reset(reset)) => {
                    next = next.map(|next: u64| next.min(reset.from));
                    let reset = serde_json::json!({ "reset": reset });
                    Message::Text(reset.to_string().into())
                }
                Some(Said::Ended(ended)) => {
                    let ended = serde_json::json!({ "ended": ended });
                    Message::Text(ended.to_string().into())
                }
                Some(Said::End(problem)) => {
                    let _ = send(sender, Message::Text(problem.into()), patience).await;
                    return close(sender, close_code::POLICY, "the rest is disputed", next).await;
                }
                Some(Said::TooSlow) => {
                    return close(sender, close_code::AGAIN, "too slow", next).await;
                }
                None => {
                    return close(sender, close_code::AWAY, "the node stops", next).await;
                }
            },
            // Pings are answered below; nothing else is expected of a client.
            heard = receiver.next() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Last::Told,
                Some(Ok(_)) if heard_since >= MAX_SOCKET_MESSAGES => {
                    let why = "too many messages; nothing is expected of a live client";
                    return close(sender, close_code::POLICY, why, next).await;
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
        match send(sender, message, patience).await {
            Sent::Done => {}
            Sent::Gone => return Last::Told,
            Sent::Stalled => {
                let why = "too slow";
                return close(sender, close_code::AGAIN, why, next).await;
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
async fn close(sender: &mut Sender, code: u16, why: &str, next: Option<u64>) -> Last {
    let reason = match next {
        Some(next) => format!("{why}; come back with from={next}"),
        None => format!("{why}; come back"),
    };
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    // It is dropped in any case.
    match send(sender, Message::Close(Some(frame)), LIVE_FAREWELL).await {
        Sent::Done | Sent::Gone => Last::Told,
        Sent::Stalled => Last::Untold,
    }
}
