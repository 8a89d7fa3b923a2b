//! Live records while history runs flat out between the same two nodes, beside
//! bare gossipsub while a raw stream carries as many bytes.

use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::Bench;
use crate::live::{gossip_delays_ms, ms_between};
use crate::node::{Batches, Call, Published, Stored, start_node};
use crate::raw_stream;
use crate::report::{Against, Figure, median, percentile, progress};

/// Pause between two live records.
const EVERY: Duration = Duration::from_millis(10);

/// Live records before those that count.
const WARM_UP: u64 = 100;

/// Runs of each kind, one after the other in turn.
const RUNS: usize = 3;

/// Bytes of a record of the history.
const RECORD_BYTES: usize = 100;

/// Measures `live_p99_under_history`.
pub(crate) fn figure(bench: &Bench) -> anyhow::Result<Figure> {
    let history = bench.sized(8_000_000, 2_000_000);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let (mut p50s, mut durable, mut counted) = (Vec::new(), Vec::new(), 0);
    for run in 1..=RUNS {
        let delays = node_delays_ms(bench, history)?;
        let live = delays.on_the_way.len();
        counted += live;
        let bytes = history * RECORD_BYTES as u64;
        ours.push(percentile(&delays.on_the_way, 0.99));
        p50s.push(median(&delays.on_the_way));
        durable.push(percentile(&delays.durable, 0.99));
        bare.push(percentile(&bare_delays_ms(live as u64, bytes)?, 0.99));
        progress(&format!(
            "run {run}: {:.2} ms on the way ({live} records), {:.2} ms until durable; gossipsub \
             {:.2} ms",
            ours[run - 1],
            durable[run - 1],
            bare[run - 1]
        ));
    }
    let value = median(&ours);
    let gossip = median(&bare);
    let against = Against {
        what: "bare gossipsub beside a raw stream, p99, ms",
        value: gossip,
        ratio: value / gossip,
    };
    let figure = Figure::new(bench, "live_p99_under_history", value, "ms", against)
        .with("history_records", history)
        .with("live_records", counted as u64)
        .with("runs", RUNS)
        .with_number("live_p50", median(&p50s))
        .with_number("durable_p99", median(&durable));
    Ok(figure)
}

/// In milliseconds, of each record that was published before the history was
/// complete.
#[derive(Debug, Default)]
struct Delays {
    /// From the command to its answer.
    durable: Vec<f64>,
    /// From the answer until the other node has it.
    on_the_way: Vec<f64>,
}

fn node_delays_ms(bench: &Bench, records: u64) -> anyhow::Result<Delays> {
    let dir = bench.folder()?;
    let (mut publisher, address) = start_node(dir.path().join("publisher"), 1)?;
    let (mut subscriber, _) = start_node(dir.path().join("subscriber"), 2)?;
    let streams: Vec<String> = publisher.ask(&Call::CreateEach { count: 2 })?;
    let [history, live] = [&streams[0], &streams[1]];
    let batches = Batches {
        stream: history.clone(),
        records,
        record_bytes: RECORD_BYTES,
        numbers: false,
        batch: 10_000,
    };
    let _: f64 = publisher.ask(&Call::Publish(batches))?;
    let follow = |stream: &String, size: u64| Call::Sync {
        stream: stream.clone(),
        address: address.clone(),
        size,
    };
    let publish = |count: u64| Call::PublishPaced {
        stream: live.clone(),
        count,
        every_us: EVERY.as_micros() as u64,
    };
    // Each has one record from the start.
    let _: f64 = subscriber.ask(&follow(live, 1))?;
    let _: Vec<Published> = publisher.ask(&publish(WARM_UP))?;
    let count = records / 10_000;
    let size = 1 + WARM_UP + count;
    let watched = [(live, size), (history, records + 1)];
    let () = subscriber.ask(&Call::Watch {
        stream: live.clone(),
        size,
    })?;
    let _: f64 = subscriber.ask(&follow(history, 0))?;
    let () = subscriber.ask(&Call::Watch {
        stream: history.clone(),
        size: records + 1,
    })?;
    let published: Vec<Published> = publisher.ask(&publish(count))?;
    let mut stored = Vec::new();
    for (stream, _) in watched {
        let notes: Stored = subscriber.ask(&Call::Stored {
            stream: stream.clone(),
        })?;
        stored.push(notes);
    }
    publisher.end()?;
    subscriber.end()?;
    let complete_ns = stored[1].last().map_or(0, |(_, ns)| *ns);
    let under_load = (WARM_UP + 2..).zip(published);
    let under_load = under_load.filter(|(_, published)| published.asked_ns < complete_ns);
    let mut delays = Delays::default();
    for (size, published) in under_load {
        let is_there = |(held, _): &&(u64, u64)| *held >= size;
        let (_, stored_ns) =
            (stored[0].iter().find(is_there)).context("a record was not stored")?;
        (delays.durable).push(ms_between(published.asked_ns, published.durable_ns));
        (delays.on_the_way).push(ms_between(published.durable_ns, *stored_ns));
    }
    anyhow::ensure!(
        delays.durable.len() >= 20,
        "the history was complete after {} live records",
        delays.durable.len()
    );

    Ok(delays)
}

/// Publish to heard with gossipsub alone, while a raw stream carries bytes
/// between two other processes for as long.
fn bare_delays_ms(count: u64, bytes: u64) -> anyhow::Result<Vec<f64>> {
    thread::scope(|scope| {
        // The stream carries twice as fast as a sync does.
        let load = scope.spawn(|| raw_stream::carry(3 * bytes));
        let delays = gossip_delays_ms(count);
        load.join()
            .map_err(|_| anyhow::anyhow!("the load has panicked"))??;
        delays
    })
}
