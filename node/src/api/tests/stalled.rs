//! Live clients that take nothing, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::*;

/// A history of twelve megabytes, far more than the buffers of a connection.
const RECORDS: u64 = 4_000;

/// Bytes of a buffer of the system, which may double it.
const BUFFER: u32 = 16 << 10;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// One who reads `GET /v1/streams/{id}/live`.
struct Client {
    socket: BufReader<TcpStream>,
}

impl Client {
    /// Of HTTP/1.0, where the answer ends with the connection.
    async fn open(address: SocketAddr, stream: &str, last: Option<u64>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(BUFFER).unwrap();
        let mut socket = socket.connect(address).await.unwrap();
        let last = last.map(|last| format!("Last-Event-ID: {last}\r\n"));
        let request = format!(
            "GET /v1/streams/{stream}/live?from=0 HTTP/1.0\r\nHost: localhost\r\n{}\r\n",
            last.unwrap_or_default()
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains(" 200 "), "{head}");
        let socket = BufReader::new(socket);
        Self { socket }
    }

    /// The index of the next record; `None` at the end.
    async fn next(&mut self) -> Option<u64> {
        let (mut line, mut id) = (String::new(), None);
        loop {
            line.clear();
            if self.socket.read_line(&mut line).await.unwrap() == 0 {
                return None;
            }
            match (line.trim_end().strip_prefix("id:"), id) {
                (Some(text), _) => id = Some(text.trim().parse().unwrap()),
                // A blank line ends an event.
                (None, Some(id)) if line.trim_end().is_empty() => return Some(id),
                (None, _) => {}
            }
        }
    }

    /// Reads the records `[from, to)`, each once. On a busy machine it may be
    /// dropped, too: then it comes back.
    async fn read_all(address: SocketAddr, stream: &str, from: u64, to: u64) {
        let mut next = from;
        while next < to {
            let mut client = Self::open(address, stream, next.checked_sub(1)).await;
            while next < to
                && let Some(index) = client.next().await
            {
                assert_eq!(index, next);
                next += 1;
            }
        }
    }
}

/// The API on a port, where a live client may stand still for a moment only.
async fn serve(state: ApiState) -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(BUFFER).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(16).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router(state)).await });
    address
}

#[tokio::test]
async fn a_live_client_that_stands_still_is_dropped_comes_back_and_slows_nobody() {
    let api = Api::start().await;
    let manifest = json!({"name": "words", "value_type": "text"});
    let (_, created) = api.call("POST", "/v1/streams", manifest).await;
    let stream = created["id"].as_str().unwrap().to_owned();
    let observations = format!("/v1/streams/{stream}/observations");
    let word = json!({"value": "x".repeat(3_000)});
    let half: Value = vec![word.clone(); RECORDS as usize / 2].into();
    for _ in 0..2 {
        let (status, _) = api.call("POST", &observations, half.clone()).await;
        assert_eq!(status, 201);
    }
    let state = api.state.clone();
    let state = state.with_live_patience(Duration::from_millis(100));
    let address = serve(state.clone()).await;

    let test = async {
        let mut stalled = Client::open(address, &stream, None).await;
        assert_eq!(stalled.next().await, Some(0));
        // The others get everything, and what is new.
        Client::read_all(address, &stream, 0, RECORDS).await;
        let (status, _) = api.call("POST", &observations, word).await;
        assert_eq!(status, 201);
        Client::read_all(address, &stream, RECORDS - 1, RECORDS + 1).await;

        // All places are free again: also that of the one who stands still.
        while state.live().taken() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut next = 1;
        while let Some(index) = stalled.next().await {
            assert_eq!(index, next);
            next += 1;
        }
        assert!(next < RECORDS, "it was not dropped");
        Client::read_all(address, &stream, next, RECORDS + 1).await;
    };
    timeout(PATIENCE, test).await.unwrap();
}
