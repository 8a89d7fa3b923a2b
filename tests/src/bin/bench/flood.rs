//! Those who mean a node no good. Clients begin requests and never end them, or ask for
//! histories and never read them; peers ask and never read the answers. Whoever is
//! closed comes again at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use futures::AsyncWriteExt as _;
use headwater_tests::hostile::{CONTROL, Detour, QUESTION, Speaker};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What they do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Half a head, and then nothing.
    HalfRequests,
    /// This, of which nothing is read.
    StalledReaders { path: String },
    /// Peers, at this multiaddr, that ask and take no answer.
    Hoarders { address: String },
}

/// Bytes that the system of a reader takes which reads nothing.
const RECEIVED: u32 = 16 << 10;

/// Until one that does not read, and was not closed, has been told that there is no
/// place.
const TOLD_AFTER: Duration = Duration::from_secs(20);

/// A flood, until it is dropped.
#[derive(Debug)]
pub(crate) struct Flood {
    _clients: JoinSet<()>,
    connected: Arc<AtomicU64>,
}

impl Flood {
    /// So many clients at a time.
    pub(crate) fn begin(api: &str, kind: &Kind, clients: u64) -> anyhow::Result<Self> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("cannot open many files")?;
        let connected = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let (api, kind, connected) = (api.to_owned(), kind.clone(), connected.clone());
            tasks.spawn(async move {
                loop {
                    if once(&api, &kind, &connected).await.is_err() {
                        // It is refused, or all ports are taken.
                        sleep(Duration::from_millis(10)).await;
                    }
                }
            });
        }
        Ok(Self {
            _clients: tasks,
            connected,
        })
    }

    /// How often they have connected.
    pub(crate) fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }
}

/// From connecting until it is closed.
async fn once(api: &str, kind: &Kind, connected: &AtomicU64) -> anyhow::Result<()> {
    match kind {
        Kind::HalfRequests => {
            let mut stream = TcpStream::connect(api).await?;
            // Ports that were closed from here would be taken for a minute.
            stream.set_zero_linger()?;
            connected.fetch_add(1, Ordering::Relaxed);
            let half = format!("GET /v1/node HTTP/1.1\r\nHost: {api}\r\nX-Rest: ");
            stream.write_all(half.as_bytes()).await?;
            let mut answer = [0; 1_024];
            while stream.read(&mut answer).await? > 0 {}
        }
        Kind::StalledReaders { path } => {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(RECEIVED)?;
            let mut stream = socket.connect(api.parse()?).await?;
            stream.set_zero_linger()?;
            connected.fetch_add(1, Ordering::Relaxed);
            let request = format!("GET {path} HTTP/1.1\r\nHost: {api}\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let _ = timeout(TOLD_AFTER, stream.ready(Interest::ERROR)).await;
        }
        Kind::Hoarders { address } => {
            // From a place of their own: what one place may have is not shared.
            let detour = Detour::to(address).await?;
            let mut hoarder = Speaker::connect(detour.address()).await?;
            connected.fetch_add(1, Ordering::Relaxed);
            let mut lane = hoarder.lane(CONTROL).await?;
            hoarder.ignore_answers().await?;
            let questions = QUESTION.repeat(8 << 10);
            // It waits where nothing is taken any more.
            loop {
                lane.write_all(&questions).await?;
            }
        }
    }
    Ok(())
}
