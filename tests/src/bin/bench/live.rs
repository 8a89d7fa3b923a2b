//! One record: from just before it is published to when another process has
//! stored it; beside bare gossipsub and one fsync.

use std::time::Duration;

use crate::node::{Call, Published, Stored, start_node};
use crate::process::{Process, Role};
use crate::report::{Against, Figure, fsyncs, median, percentile, progress};
use crate::{Bench, gossip};

/// Pause between two records.
const EVERY: Duration = Duration::from_millis(10);

/// Records before those that count: gossipsub's mesh is there after them.
const WARM_UP: u64 = 100;

/// Runs of each kind, one after the other in turn.
const RUNS: usize = 3;

/// Measures `live_p50`, and the 99th percentile beside it.
pub(crate) fn figure(bench: &Bench) -> anyhow::Result<Figure> {
    let count = bench.sized(500, 200);
    let (mut ours, mut bare, mut syncs) = (Delays::default(), Delays::default(), Delays::default());
    let dir = bench.folder()?;
    for run in 1..=RUNS {
        ours.add(node_delays_ms(bench, count)?);
        bare.add(gossip_delays_ms(count)?);
        let synced = fsyncs(dir.path(), count, EVERY)?;
        syncs.add(synced.iter().map(|seconds| seconds * 1e3).collect());
        progress(&format!(
            "run {run}: {:.2} ms; gossipsub {:.2} ms, fsync {:.2} ms",
            ours.p50s[run - 1],
            bare.p50s[run - 1],
            syncs.p50s[run - 1]
        ));
    }
    let value = median(&ours.p50s);
    let gossip = median(&bare.p50s);
    let sync = median(&syncs.p50s);
    let limit = 3.0 * gossip + sync;
    let against = Against {
        what: "bare gossipsub, ms",
        value: gossip,
        ratio: value / gossip,
    };
    let figure = Figure::new(bench, "live_p50", value, "ms", against)
        .with("records", count)
        .with("runs", RUNS)
        .with_number("live_p99", median(&ours.p99s))
        .with_number("gossipsub_p99", median(&bare.p99s))
        .with_number("fsync_p50", sync)
        .with_number("fsync_p99", median(&syncs.p99s))
        .with_number("limit", limit)
        .with("is_within_limit", value <= limit);
    Ok(figure)
}

/// What the runs came to, in milliseconds.
#[derive(Debug, Default)]
struct Delays {
    p50s: Vec<f64>,
    p99s: Vec<f64>,
}

impl Delays {
    fn add(&mut self, run: Vec<f64>) {
        self.p50s.push(median(&run));
        self.p99s.push(percentile(&run, 0.99));
    }
}

/// Publish to stored, between two nodes.
fn node_delays_ms(bench: &Bench, count: u64) -> anyhow::Result<Vec<f64>> {
    let dir = bench.folder()?;
    let (mut publisher, address) = start_node(dir.path().join("publisher"), 1)?;
    let (mut subscriber, _) = start_node(dir.path().join("subscriber"), 2)?;
    let stream: String = publisher.ask(&Call::Create)?;
    let follow = Call::Sync {
        stream: stream.clone(),
        address,
        size: 0,
    };
    let _: f64 = subscriber.ask(&follow)?;
    let mut run = |count: u64, size: u64| -> anyhow::Result<(Vec<Published>, Stored)> {
        let watched = stream.clone();
        let () = subscriber.ask(&Call::Watch {
            stream: watched,
            size,
        })?;
        let published = publisher.ask(&Call::PublishPaced {
            stream: stream.clone(),
            count,
            every_us: EVERY.as_micros() as u64,
        })?;
        let stored = subscriber.ask(&Call::Stored {
            stream: stream.clone(),
        })?;
        Ok((published, stored))
    };
    run(WARM_UP, WARM_UP)?;
    let (published, stored) = run(count, WARM_UP + count)?;
    publisher.end()?;
    subscriber.end()?;
    let delays = (WARM_UP + 1..).zip(published).map(|(size, published)| {
        let (_, stored_ns) = stored.iter().find(|(held, _)| *held >= size)?;
        Some(ms_between(published.asked_ns, *stored_ns))
    });
    let delays: Option<Vec<_>> = delays.collect();
    delays.ok_or_else(|| anyhow::anyhow!("a record was published and never stored"))
}

/// Publish to heard, between two processes with gossipsub alone.
pub(crate) fn gossip_delays_ms(count: u64) -> anyhow::Result<Vec<f64>> {
    let mut publisher = Process::start(Role::Gossip)?;
    let mut subscriber = Process::start(Role::Gossip)?;
    let address: String = publisher.ask(&gossip::Call::Listen)?;
    let () = subscriber.ask(&gossip::Call::Dial(address))?;
    let () = publisher.ask(&gossip::Call::Subscribed)?;
    let mut run = |count: u64| -> anyhow::Result<(Vec<u64>, Vec<u64>)> {
        let every_us = EVERY.as_micros() as u64;
        let published = publisher.ask(&gossip::Call::PublishPaced { count, every_us })?;
        let arrived = subscriber.ask(&gossip::Call::Arrived { count })?;
        Ok((published, arrived))
    };
    run(WARM_UP)?;
    let (published, arrived) = run(count)?;
    anyhow::ensure!(
        arrived.len() == published.len(),
        "gossipsub delivered {} of {} messages",
        arrived.len(),
        published.len()
    );
    let pairs = published.into_iter().zip(arrived);
    Ok(pairs.map(|(from, to)| ms_between(from, to)).collect())
}

pub(crate) fn ms_between(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e6
}
