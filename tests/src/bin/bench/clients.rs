//! A process that is many clients of a node's HTTP API.

use std::time::{Duration, Instant};

use anyhow::Context;
use headwater_client::times::text::to_text;
use headwater_protocols::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::flood::{Flood, Kind};
use crate::http::Connection;
use crate::node::PATIENCE;
use crate::process::{Calls, answer, monotonic_ns};
use crate::report::percentile;

/// How long an event may take that is not lost.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// A call of the process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Call {
    /// So many clients publish so many observations each, one a request, each
    /// waiting for the answer; answered by the seconds.
    Publish {
        api: String,
        token: String,
        stream: String,
        clients: u64,
        each: u64,
    },
    /// So many clients follow a stream by Server-Sent Events, from an index on,
    /// until each has so many; answered when all are connected.
    Follow {
        api: String,
        stream: String,
        clients: u64,
        from: u64,
        count: u64,
    },
    /// Wait until they have; with the time at which each was published, in
    /// nanoseconds. Answered by [`Arrived`].
    Arrived { published_ns: Vec<u64> },
    /// Ask for the record at or before each time (microseconds), one after the
    /// other; answered by the milliseconds of each.
    LookUp {
        api: String,
        stream: String,
        times_us: Vec<i64>,
    },
    /// Publish so many observations, each over a connection of its own, with a pause
    /// before each; answered by the milliseconds of each.
    PublishAnew {
        api: String,
        token: String,
        stream: String,
        count: u64,
        every_us: u64,
    },
    /// Read an answer so often, whole; answered by the bytes a second.
    Read {
        api: String,
        path: String,
        times: u64,
    },
    /// So many clients that mean no good, from now on.
    Flood {
        api: String,
        kind: Kind,
        clients: u64,
    },
    /// Answered by how often those have connected.
    Connected,
    /// Ask whether the node is well, so often; answered by the milliseconds of
    /// each.
    Health { api: String, times: u64 },
}

/// What came of all events.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Arrived {
    /// Events that came, each once and in order, of all clients.
    pub(crate) events: u64,
    /// Events that did not come.
    pub(crate) lost: u64,
    /// Events that came twice or in disorder.
    pub(crate) misplaced: u64,
    /// Delays behind the publish, in milliseconds: median, 99th percentile,
    /// longest.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// The events of one client: which, and when.
type Events = Vec<(u64, u64)>;

/// Plays the clients.
pub(crate) async fn act() -> anyhow::Result<()> {
    let mut calls = Calls::from_stdin();
    let mut following = Vec::new();
    let mut flood = None;
    while let Some(call) = calls.next().await? {
        match call {
            Call::Publish {
                api,
                token,
                stream,
                clients,
                each,
            } => answer(publish(&api, &token, &stream, clients, each).await),
            Call::Follow {
                api,
                stream,
                clients,
                from,
                count,
            } => answer(follow(&mut following, &api, &stream, clients, from, count).await),
            Call::Arrived { published_ns } => {
                answer(arrived(std::mem::take(&mut following), &published_ns).await)
            }
            Call::LookUp {
                api,
                stream,
                times_us,
            } => answer(look_up(&api, &stream, &times_us).await),
            Call::PublishAnew {
                api,
                token,
                stream,
                count,
                every_us,
            } => answer(publish_anew(&api, &token, &stream, count, every_us).await),
            Call::Read { api, path, times } => answer(read(&api, &path, times).await),
            Call::Flood { api, kind, clients } => {
                answer(Flood::begin(&api, &kind, clients).map(|begun| flood = Some(begun)))
            }
            Call::Connected => answer(Ok(flood.as_ref().map_or(0, Flood::connected))),
            Call::Health { api, times } => answer(health(&api, times).await),
        }?;
    }
    Ok(())
}

async fn publish(
    api: &str,
    token: &str,
    stream: &str,
    clients: u64,
    each: u64,
) -> anyhow::Result<f64> {
    let path = format!("/v1/streams/{stream}/observations");
    let mut tasks = JoinSet::new();
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Connection::to(api).await?);
    }
    let start = Instant::now();
    for (client, mut connection) in (0..).zip(connections) {
        let (path, token) = (path.clone(), token.to_owned());
        tasks.spawn(async move {
            for i in 0..each {
                let json = format!(r#"{{"value":{}.25}}"#, client * each + i);
                let request = connection.post(&path, &token, &json);
                connection.ask(&request, 201).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(start.elapsed().as_secs_f64())
}

async fn follow(
    following: &mut Vec<JoinHandle<anyhow::Result<Events>>>,
    api: &str,
    stream: &str,
    clients: u64,
    from: u64,
    count: u64,
) -> anyhow::Result<()> {
    let path = format!("/v1/streams/{stream}/live?from={from}");
    for _ in 0..clients {
        let mut connection = Connection::to(api).await?;
        connection.subscribe(&path).await?;
        following.push(tokio::spawn(async move {
            let mut events = Events::new();
            while (events.len() as u64) < count {
                let Ok(index) = timeout(LOST_AFTER, connection.next_id()).await else {
                    break;
                };
                events.push((index? - from, monotonic_ns()?));
            }
            Ok(events)
        }));
    }
    Ok(())
}

async fn arrived(
    following: Vec<JoinHandle<anyhow::Result<Events>>>,
    published_ns: &[u64],
) -> anyhow::Result<Arrived> {
    let expected = following.len() * published_ns.len();
    let (mut delays_ms, mut misplaced) = (Vec::new(), 0);
    for client in following {
        let events = timeout(PATIENCE, client).await;
        let events = events.context("a client does not end")???;
        for (place, (index, at_ns)) in (0..).zip(events) {
            let asked_ns = usize::try_from(index)
                .ok()
                .and_then(|i| published_ns.get(i));
            match asked_ns {
                Some(asked_ns) if index == place => {
                    delays_ms.push(at_ns.saturating_sub(*asked_ns) as f64 / 1e6);
                }
                _ => misplaced += 1,
            }
        }
    }
    Ok(Arrived {
        events: delays_ms.len() as u64,
        lost: (expected - delays_ms.len()) as u64,
        misplaced,
        p50_ms: percentile(&delays_ms, 0.5),
        p99_ms: percentile(&delays_ms, 0.99),
        max_ms: percentile(&delays_ms, 1.0),
    })
}

async fn look_up(api: &str, stream: &str, times_us: &[i64]) -> anyhow::Result<Vec<f64>> {
    let mut connection = Connection::to(api).await?;
    let mut ms = Vec::new();
    for &time_us in times_us {
        let time = to_text(Timestamp(time_us));
        let path = format!("/v1/streams/{stream}/observations?at_or_before={time}");
        let request = connection.get(&path);
        let start = Instant::now();
        let found = connection.ask(&request, 200).await?;
        ms.push(start.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(found.len() > 2, "no record was found at or before {time}");
    }
    Ok(ms)
}

async fn health(api: &str, times: u64) -> anyhow::Result<Vec<f64>> {
    let mut connection = Connection::to(api).await?;
    let request = connection.get("/health");
    let mut ms = Vec::new();
    for _ in 0..times {
        let start = Instant::now();
        connection.ask(&request, 200).await?;
        ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(ms)
}

async fn publish_anew(
    api: &str,
    token: &str,
    stream: &str,
    count: u64,
    every_us: u64,
) -> anyhow::Result<Vec<f64>> {
    let path = format!("/v1/streams/{stream}/observations");
    let mut ms = Vec::new();
    for i in 0..count {
        tokio::time::sleep(Duration::from_micros(every_us)).await;
        let start = Instant::now();
        let mut connection = Connection::to(api).await?;
        let request = connection.post(&path, token, &format!(r#"{{"value":{i}.25}}"#));
        connection.ask(&request, 201).await?;
        ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(ms)
}

async fn read(api: &str, path: &str, times: u64) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut bytes = 0;
    for _ in 0..times {
        let mut connection = Connection::to(api).await?;
        let request = connection.get(path);
        bytes += connection.drain(&request, 200).await?;
    }
    Ok(bytes as f64 / start.elapsed().as_secs_f64())
}
