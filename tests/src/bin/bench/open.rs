//! Opening a data folder with a million records, after a clean end and after
//! kill -9.

use std::path::Path;

use anyhow::Context;

use crate::Bench;
use crate::node::{Batches, Call, Started};
use crate::process::{Process, Role};
use crate::report::{Against, Figure, median, progress};

const RUNS: usize = 3;

/// Opening must take less, in milliseconds.
const LIMIT_MS: f64 = 1_000.0;

/// Measures `open_1e6_ms`.
pub(crate) fn figure(bench: &Bench) -> anyhow::Result<Figure> {
    let records = 1_000_000;
    let mut clean = Vec::new();
    let mut killed = Vec::new();
    let mut bytes = 0;
    for run in 1..=RUNS {
        let dir = bench.folder()?;
        let dir = dir.path().join("store");
        fill(&dir, records)?.kill()?;
        killed.push(open(&dir, records)?);
        // What was opened and closed last has been recovered and closed cleanly.
        clean.push(open(&dir, records)?);
        bytes = folder_bytes(&dir)?;
        progress(&format!(
            "run {run}: {:.0} ms, {:.0} ms after kill -9",
            clean[run - 1],
            killed[run - 1]
        ));
    }
    let value = median(&clean);
    let against = Against {
        what: "one second, ms",
        value: LIMIT_MS,
        ratio: value / LIMIT_MS,
    };
    let figure = Figure::new(bench, "open_1e6_ms", value, "ms", against)
        .with("records", records)
        .with("runs", RUNS)
        .with_number("after_kill_ms", median(&killed))
        .with_number("folder_mb", bytes as f64 / 1e6);
    Ok(figure)
}

/// A process that has just published so many records.
fn fill(dir: &Path, records: u64) -> anyhow::Result<Process> {
    let mut node = Process::start(Role::Node)?;
    let _: Started = node.ask(&offline(dir))?;
    let stream = node.ask(&Call::Create)?;
    let batches = Batches {
        stream,
        records,
        record_bytes: 100,
        numbers: false,
        batch: 10_000,
    };
    let _: f64 = node.ask(&Call::Publish(batches))?;
    Ok(node)
}

/// Opens a folder in a new process, and closes it again; returns the
/// milliseconds until it was open.
fn open(dir: &Path, records: u64) -> anyhow::Result<f64> {
    let mut node = Process::start(Role::Node)?;
    let started: Started = node.ask(&offline(dir))?;
    anyhow::ensure!(
        started.records == records,
        "{} of {records} records are there after a restart",
        started.records
    );
    let _: f64 = node.ask(&Call::Stop)?;
    node.end()?;
    Ok(started.seconds * 1e3)
}

fn offline(dir: &Path) -> Call {
    Call::Start {
        dir: dir.to_owned(),
        key: 1,
        listen: None,
        finds_peers: false,
    }
}

fn folder_bytes(dir: &Path) -> anyhow::Result<u64> {
    let entries = std::fs::read_dir(dir).context("cannot read the data folder")?;
    let mut bytes = 0;
    for entry in entries {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
