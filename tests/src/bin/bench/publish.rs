//! Publishing: in batches, beside RocksDB alone; one by one, beside the fsyncs
//! that the disk makes.

use std::path::Path;
use std::time::{Duration, Instant};

use rocksdb::{DB, Options, WriteBatch, WriteOptions};

use crate::Bench;
use crate::node::{Batches, Call, Singles, Started, start_node};
use crate::process::{Process, Role};
use crate::report::{Against, Figure, fsyncs, median, progress};

/// Runs of each kind, one after the other in turn.
const RUNS: usize = 3;

/// Records in one command.
const BATCH: u64 = 10_000;

/// Bytes of a record.
const RECORD_BYTES: u64 = 100;

/// Records of a chunk, and bytes of one with its length.
const CHUNK_RECORDS: u64 = 256;
const CHUNK_RECORD_BYTES: u64 = RECORD_BYTES + 1;

/// Who publishes at the same time.
const TASKS: u64 = 32;

/// Measures `publish_batch`.
pub(crate) fn batch(bench: &Bench) -> anyhow::Result<Figure> {
    let records = bench.sized(1_000_000, 200_000);
    let mut ours = Vec::new();
    let mut raws = Vec::new();
    for run in 1..=RUNS {
        let dir = bench.folder()?;
        let our_rate = records as f64 / publish_all(&dir.path().join("store"), records)?;
        let raw_rate = records as f64 / write_raw(&dir.path().join("raw"), records)?;
        progress(&format!(
            "run {run}: {our_rate:.0} records/s; RocksDB alone {raw_rate:.0}"
        ));
        ours.push(our_rate);
        raws.push(raw_rate);
    }
    let value = median(&ours);
    let raw = median(&raws);
    let against = Against {
        what: "RocksDB alone, records/s",
        value: raw,
        ratio: value / raw,
    };
    let figure = Figure::new(bench, "publish_batch", value, "records/s", against)
        .with("records", records)
        .with("batch", BATCH)
        .with("runs", RUNS);
    Ok(figure)
}

/// Publishes batch after batch to a new stream; returns the seconds.
fn publish_all(dir: &Path, records: u64) -> anyhow::Result<f64> {
    let (mut node, _) = start_node(dir.to_owned(), 1)?;
    let stream = node.ask(&Call::Create)?;
    let batches = Batches {
        stream,
        records,
        record_bytes: RECORD_BYTES as usize,
        numbers: false,
        batch: BATCH,
    };
    let seconds = node.ask(&Call::Publish(batches))?;
    node.end()?;
    Ok(seconds)
}

/// Writes the same bytes in chunks, and syncs as often; returns the seconds.
fn write_raw(dir: &Path, records: u64) -> anyhow::Result<f64> {
    let mut options = Options::default();
    options.create_if_missing(true);
    let db = DB::open(&options, dir)?;
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    let chunks_of = |records: u64| records.div_ceil(CHUNK_RECORDS);
    let mut taken = Duration::ZERO;
    let mut written = 0;
    while written < records {
        let end = records.min(written + BATCH);
        let chunks: Vec<_> = (chunks_of(written)..chunks_of(end))
            .map(|chunk| (chunk.to_be_bytes(), noise(chunk)))
            .collect();
        let start_time = Instant::now();
        let mut batch = WriteBatch::default();
        for (key, value) in &chunks {
            batch.put(key, value);
        }
        db.write_opt(batch, &synced)?;
        taken += start_time.elapsed();
        written = end;
    }
    Ok(taken.as_secs_f64())
}

/// Bytes of a chunk that cannot be compressed.
fn noise(chunk: u64) -> Vec<u8> {
    let bytes = CHUNK_RECORDS * CHUNK_RECORD_BYTES;
    let record = crate::node::records(chunk, 1, 8 + bytes as usize).remove(0);
    record.value().to_vec()
}

/// Measures `publish_durable_singles`.
pub(crate) fn durable_singles(bench: &Bench) -> anyhow::Result<Figure> {
    let each = bench.sized(500, 100);
    let probes = bench.sized(1_000, 200);
    let mut rates = Vec::new();
    let mut limits = Vec::new();
    let mut synced = Vec::new();
    for run in 1..=RUNS {
        let dir = bench.folder()?;
        let singles = publish_singles(&dir.path().join("store"), each)?;
        let rate = (TASKS * each) as f64 / singles.seconds;
        let taken: f64 = fsyncs(dir.path(), probes, Duration::ZERO)?.iter().sum();
        let limit = probes as f64 / taken;
        progress(&format!(
            "run {run}: {rate:.0} records/s; {limit:.0} fsyncs/s"
        ));
        rates.push(rate);
        limits.push(limit);
        synced.push(singles.fsyncs as f64);
    }
    let value = median(&rates);
    let limit = median(&limits);
    let against = Against {
        what: "fsyncs of the disk, 1/s",
        value: limit,
        ratio: value / limit,
    };
    let figure = Figure::new(
        bench,
        "publish_durable_singles",
        value,
        "records/s",
        against,
    )
    .with("records", TASKS * each)
    .with("at_once", TASKS)
    .with("runs", RUNS)
    .with_number("fsyncs", median(&synced))
    .with_number("records_per_fsync", (TASKS * each) as f64 / median(&synced));
    Ok(figure)
}

fn publish_singles(dir: &Path, each: u64) -> anyhow::Result<Singles> {
    let mut node = Process::start(Role::Node)?;
    let start = Call::Start {
        dir: dir.to_owned(),
        key: 1,
        listen: Some("/ip4/127.0.0.1/tcp/0".to_owned()),
        finds_peers: true,
    };
    let _: Started = node.ask(&start)?;
    let stream = node.ask(&Call::Create)?;
    let tasks = TASKS;
    let singles = node.ask(&Call::PublishSingles {
        stream,
        tasks,
        each,
    })?;
    node.end()?;
    Ok(singles)
}
