//! One record that somebody waits for, while history runs flat out between the
//! same two nodes.

use crate::Bench;
use crate::node::{Batches, Call, Stored, start_node};
use crate::report::{Against, Figure, median, percentile, progress};

/// Pause between two questions.
const PAUSE_US: u64 = 5_000;

/// What a user takes for "at once", in milliseconds.
const AT_ONCE_MS: f64 = 50.0;

/// Runs.
const RUNS: usize = 3;

/// Measures `retrieve_under_history`.
pub(crate) fn figure(bench: &Bench) -> anyhow::Result<Figure> {
    let records = bench.sized(8_000_000, 2_000_000);
    let (mut p99s, mut p50s, mut counted) = (Vec::new(), Vec::new(), 0);
    for run in 1..=RUNS {
        let took = retrievals_ms(bench, records)?;
        counted += took.len();
        p99s.push(percentile(&took, 0.99));
        p50s.push(median(&took));
        progress(&format!(
            "run {run}: {:.2} ms, p50 {:.2} ms ({} questions)",
            p99s[run - 1],
            p50s[run - 1],
            took.len(),
        ));
    }
    let value = median(&p99s);
    let against = Against {
        what: "at once, ms",
        value: AT_ONCE_MS,
        ratio: value / AT_ONCE_MS,
    };
    let figure = Figure::new(bench, "retrieve_under_history", value, "ms", against)
        .with("history_records", records)
        .with("questions", counted as u64)
        .with("runs", RUNS)
        .with_number("retrieve_p50", median(&p50s));
    Ok(figure)
}

/// Milliseconds of each question.
fn retrievals_ms(bench: &Bench, records: u64) -> anyhow::Result<Vec<f64>> {
    let dir = bench.folder()?;
    let (mut publisher, address) = start_node(dir.path().join("publisher"), 1)?;
    let (mut subscriber, _) = start_node(dir.path().join("subscriber"), 2)?;
    let stream: String = publisher.ask(&Call::Create)?;
    let batches = Batches {
        stream: stream.clone(),
        records,
        record_bytes: 100,
        numbers: false,
        batch: 10_000,
    };
    let _: f64 = publisher.ask(&Call::Publish(batches))?;
    // Followed, and nothing of it is here yet.
    let _: f64 = subscriber.ask(&Call::Sync {
        stream: stream.clone(),
        address,
        size: 0,
    })?;
    let () = subscriber.ask(&Call::Watch {
        stream: stream.clone(),
        size: records,
    })?;
    let took: Vec<f64> = subscriber.ask(&Call::Retrieve {
        stream: stream.clone(),
        pause_us: PAUSE_US,
    })?;
    let _: Stored = subscriber.ask(&Call::Stored { stream })?;
    publisher.end()?;
    subscriber.end()?;
    anyhow::ensure!(
        took.len() >= 20,
        "the history was too fast for {} questions",
        took.len()
    );
    Ok(took)
}
