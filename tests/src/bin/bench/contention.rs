//! Live records while history runs flat out between the same two nodes, beside
//! bare gossipsub while a raw stream carries as many bytes.

use std::thread;
use std::time::Duration;

use crate::Bench;
use crate::live::{gossip_delays_ms, ms_between};
use crate::node::{Batches, Call, Stored, start_node};
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
    let (mut p50s, mut counted) = (Vec::new(), 0);
    for run in 1..=RUNS {
        let delays = node_delays_ms(bench, history)?;
        counted += delays.len();
        let bytes = history * RECORD_BYTES as u64;
        ours.push(percentile(&delays, 0.99));
        p50s.push(median(&delays));
        bare.push(percentile(
            &bare_delays_ms(delays.len() as u64, bytes)?,
            0.99,
        ));
        progress(&format!(
            "run {run}: {:.2} ms ({} records); gossipsub {:.2} ms",
            ours[run - 1],
            delays.len(),
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
        .with_number("live_p50", median(&p50s));
    Ok(figure)
}

/// Publish to stored, of those that were published before the history was
/// complete.
fn node_delays_ms(bench: &Bench, records: u64) -> anyhow::Result<Vec<f64>> {
    let dir = bench.folder()?;
    let (mut publisher, address) = start_node(dir.path().join("publisher"), 1)?;
    let (mut subscriber, _) = start_node(dir.path().join("subscriber"), 2)?;
    let streams: Vec<String> = publisher.ask(&Call::CreateEach { count: 2 })?;
    let [history, live] = [&streams[0], &streams[1]];
    let batches = Batches {
        stream: history.clone(),
        records,
        record_bytes: RECORD_BYTES,
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
    let _: Vec<u64> = publisher.ask(&publish(WARM_UP))?;
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
    let published: Vec<u64> = publisher.ask(&publish(count))?;
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
    let under_load = under_load.filter(|(_, published_ns)| *published_ns < complete_ns);
    let delays: Option<Vec<f64>> = under_load
        .map(|(size, published_ns)| {
            let (_, stored_ns) = stored[0].iter().find(|(held, _)| *held >= size)?;
            Some(ms_between(published_ns, *stored_ns))
        })
        .collect();
    let delays = delays.ok_or_else(|| anyhow::anyhow!("a record was never stored"))?;
    anyhow::ensure!(
        delays.len() >= 20,
        "the history was complete after {} live records",
        delays.len()
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
