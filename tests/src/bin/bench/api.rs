//! The HTTP API under load: durable posts from many clients, live events to
//! many more, and a look-up by time in a long history. The clients are a process
//! of their own.

use std::path::Path;
use std::time::Duration;

use crate::Bench;
use crate::clients::{Arrived, Call as Clients};
use crate::node::{Batches, Call, Published, start_node};
use crate::process::{Process, Role};
use crate::report::{Against, Figure, fsyncs, median, percentile, progress};

/// Runs of each kind, one after the other in turn.
const RUNS: usize = 3;

/// The token of the API; whatever it is.
const TOKEN: &str = "bench";

/// Who posts at the same time.
const POSTERS: u64 = 32;

/// Who follows at the same time, and the pause between two observations.
const FOLLOWERS: u64 = 500;
const EVERY: Duration = Duration::from_millis(10);

/// What a look-up may take, in milliseconds.
const LOOK_UP_MS: f64 = 5.0;

/// A node with its API, and a process of clients.
struct Served {
    node: Process,
    clients: Process,
    api: String,
}

impl Served {
    fn start(dir: &Path) -> anyhow::Result<Self> {
        let (mut node, _) = start_node(dir.join("store"), 1)?;
        let token = TOKEN.to_owned();
        let api = node.ask(&Call::Serve { token })?;
        let clients = Process::start(Role::Clients)?;
        Ok(Self { node, clients, api })
    }

    fn end(self) -> anyhow::Result<()> {
        self.clients.end()?;
        self.node.end()
    }
}

/// Measures `publish_http_singles`.
pub(crate) fn durable_posts(bench: &Bench) -> anyhow::Result<Figure> {
    let each = bench.sized(500, 100);
    let probes = bench.sized(1_000, 200);
    let (mut rates, mut limits, mut synced, mut cpu) = (vec![], vec![], vec![], vec![]);
    for run in 1..=RUNS {
        let dir = bench.folder()?;
        let mut served = Served::start(dir.path())?;
        let stream: String = served.node.ask(&Call::CreateNumbers)?;
        let before: u64 = served.node.ask(&Call::Fsyncs)?;
        let cpu_before = served.node.cpu_s;
        let seconds: f64 = served.clients.ask(&Clients::Publish {
            api: served.api.clone(),
            token: TOKEN.to_owned(),
            stream,
            clients: POSTERS,
            each,
        })?;
        let after: u64 = served.node.ask(&Call::Fsyncs)?;
        cpu.push((served.node.cpu_s - cpu_before) / (POSTERS * each) as f64 * 1e6);
        served.end()?;
        let rate = (POSTERS * each) as f64 / seconds;
        let taken: f64 = fsyncs(dir.path(), probes, Duration::ZERO)?.iter().sum();
        let limit = probes as f64 / taken;
        progress(&format!(
            "run {run}: {rate:.0} requests/s; {limit:.0} fsyncs/s"
        ));
        rates.push(rate);
        limits.push(limit);
        synced.push((after - before) as f64);
    }
    let (value, limit) = (median(&rates), median(&limits));
    let against = Against {
        what: "fsyncs of the disk, 1/s",
        value: limit,
        ratio: value / limit,
    };
    let records = POSTERS * each;
    let name = "publish_http_singles";
    Ok(Figure::new(bench, name, value, "requests/s", against)
        .with("records", records)
        .with("clients", POSTERS)
        .with("runs", RUNS)
        .with_number("fsyncs", median(&synced))
        .with_number("records_per_fsync", records as f64 / median(&synced))
        .with_number("node_cpu_us_per_request", median(&cpu)))
}

/// Measures `live_sse_500`.
pub(crate) fn live_events(bench: &Bench) -> anyhow::Result<Figure> {
    let count = bench.sized(1_000, 200);
    let (mut p50s, mut p99s, mut most) = (vec![], vec![], vec![]);
    let (mut synced, mut lost, mut misplaced, mut events, mut cpu) = (vec![], 0, 0, 0, vec![]);
    for run in 1..=RUNS {
        let dir = bench.folder()?;
        let mut served = Served::start(dir.path())?;
        let stream: String = served.node.ask(&Call::Create)?;
        let () = served.clients.ask(&Clients::Follow {
            api: served.api.clone(),
            stream: stream.clone(),
            clients: FOLLOWERS,
            from: 0,
            count,
        })?;
        let () = served.node.ask(&Call::Nothing)?;
        let cpu_before = served.node.cpu_s;
        let published: Vec<Published> = served.node.ask(&Call::PublishPaced {
            stream,
            count,
            every_us: EVERY.as_micros() as u64,
        })?;
        let took = published.iter().map(|one| one.durable_ns - one.asked_ns);
        let took: Vec<_> = took.map(|ns| ns as f64 / 1e6).collect();
        let published_ns = published.iter().map(|one| one.asked_ns).collect();
        let arrived: Arrived = served.clients.ask(&Clients::Arrived { published_ns })?;
        let () = served.node.ask(&Call::Nothing)?;
        cpu.push((served.node.cpu_s - cpu_before) / (FOLLOWERS * count) as f64 * 1e6);
        progress(&format!("run {run}: {arrived:?}"));
        served.end()?;
        p50s.push(arrived.p50_ms);
        p99s.push(arrived.p99_ms);
        most.push(arrived.max_ms);
        synced.push(percentile(&took, 0.99));
        lost += arrived.lost;
        misplaced += arrived.misplaced;
        events += arrived.events;
    }
    anyhow::ensure!(
        lost == 0 && misplaced == 0,
        "{lost} events were lost, {misplaced} misplaced"
    );
    let (value, limit) = (median(&p99s), median(&synced));
    let against = Against {
        what: "the publish itself, p99, ms",
        value: limit,
        ratio: value / limit,
    };
    Ok(Figure::new(bench, "live_sse_500", value, "ms", against)
        .with("clients", FOLLOWERS)
        .with("observations", count)
        .with("events", events)
        .with("lost", lost)
        .with("runs", RUNS)
        .with_number("delay_p50", median(&p50s))
        .with_number("delay_max", median(&most))
        .with_number("node_cpu_us_per_event", median(&cpu)))
}

/// Measures `lookup_time_1e7`.
pub(crate) fn look_up(bench: &Bench) -> anyhow::Result<Figure> {
    let records = bench.sized(10_000_000, 1_000_000);
    let questions = bench.sized(2_000, 500);
    let dir = bench.folder()?;
    let stream = fill(dir.path(), records)?;
    let times_us = crate::node::times_us(records, questions);
    let (mut asked, mut direct, mut health) = (vec![], vec![], vec![]);
    for run in 1..=RUNS {
        // Opened anew, so that nothing is in the node's own cache.
        let mut served = Served::start(dir.path())?;
        let ms: Vec<f64> = served.clients.ask(&Clients::LookUp {
            api: served.api.clone(),
            stream: stream.clone(),
            times_us: times_us.clone(),
        })?;
        asked.push((percentile(&ms, 0.99), median(&ms)));
        let ms: Vec<f64> = served.clients.ask(&Clients::Health {
            api: served.api.clone(),
            times: questions,
        })?;
        health.push(percentile(&ms, 0.99));
        served.end()?;
        let (mut node, _) = start_node(dir.path().join("store"), 1)?;
        let ms: Vec<f64> = node.ask(&Call::LookUp {
            stream: stream.clone(),
            times_us: times_us.clone(),
        })?;
        node.end()?;
        direct.push(percentile(&ms, 0.99));
        progress(&format!(
            "run {run}: p99 {:.3} ms, p50 {:.3} ms; in the store {:.3} ms, /health {:.3} ms",
            asked[run - 1].0,
            asked[run - 1].1,
            direct[run - 1],
            health[run - 1]
        ));
    }
    let p99s: Vec<_> = asked.iter().map(|(p99, _)| *p99).collect();
    let p50s: Vec<_> = asked.iter().map(|(_, p50)| *p50).collect();
    let (value, limit) = (median(&p99s), median(&direct));
    let against = Against {
        what: "the same look-ups in the store, p99, ms",
        value: limit,
        ratio: value / limit,
    };
    Ok(Figure::new(bench, "lookup_time_1e7", value, "ms", against)
        .with("records", records)
        .with("questions", questions)
        .with("runs", RUNS)
        .with_number("lookup_p50", median(&p50s))
        .with_number("health_p99", median(&health))
        .with_number("limit", LOOK_UP_MS)
        .with("is_within_limit", value <= LOOK_UP_MS))
}

/// A folder with so many records, 16 bytes each, one a second.
fn fill(dir: &Path, records: u64) -> anyhow::Result<String> {
    let (mut node, _) = start_node(dir.join("store"), 1)?;
    let stream: String = node.ask(&Call::Create)?;
    let _: f64 = node.ask(&Call::Publish(Batches {
        stream: stream.clone(),
        records,
        record_bytes: 16,
        numbers: false,
        batch: 10_000,
    }))?;
    node.end()?;
    Ok(stream)
}
