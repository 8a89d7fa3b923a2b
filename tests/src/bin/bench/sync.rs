//! History from one process to another: followed by address, verified, stored,
//! fsynced; beside one raw libp2p stream that carries the same bytes.

use crate::Bench;
use crate::node::{Batches, Call, start_node};
use crate::process::{PeakMemory, Process};
use crate::raw_stream::{self, RawRun};
use crate::report::{Against, Figure, median, progress};

/// Runs of each kind, one after the other in turn.
const RUNS: usize = 3;

/// Bytes of one record, its time included.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RecordSize {
    /// 8 of time and 92 of value.
    Bytes100,
    /// 8 of time and 4,088 of value.
    Bytes4096,
    /// A number with three decimals: 8 of time and 7 of value.
    Number,
}

impl RecordSize {
    fn bytes(self) -> u64 {
        match self {
            Self::Bytes100 => 100,
            Self::Bytes4096 => 4096,
            Self::Number => 15,
        }
    }

    /// Records of a command: of at most 8 MiB.
    fn batch(self) -> u64 {
        match self {
            Self::Bytes100 | Self::Number => 10_000,
            Self::Bytes4096 => 2_000,
        }
    }
}

/// A process that has a stream, and what others need to follow it.
pub(crate) struct Upstream {
    pub(crate) process: Process,
    pub(crate) stream: String,
    pub(crate) address: String,
    pub(crate) records: u64,
    pub(crate) record_bytes: u64,
    _dir: tempfile::TempDir,
}

impl Upstream {
    /// Starts it and fills it.
    pub(crate) fn filled(bench: &Bench, size: RecordSize, records: u64) -> anyhow::Result<Self> {
        progress(&format!(
            "publishing {records} records of {} bytes",
            size.bytes()
        ));
        let dir = bench.folder()?;
        let (mut process, address) = start_node(dir.path().join("store"), 1)?;
        let stream: String = process.ask(&Call::Create)?;
        let batches = Batches {
            stream: stream.clone(),
            records,
            record_bytes: size.bytes() as usize,
            numbers: matches!(size, RecordSize::Number),
            batch: size.batch(),
        };
        let _: f64 = process.ask(&Call::Publish(batches))?;
        Ok(Self {
            process,
            stream,
            address,
            records,
            record_bytes: size.bytes(),
            _dir: dir,
        })
    }

    /// Bytes of all its records.
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.records * self.record_bytes
    }
}

/// One downstream that got everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SyncRun {
    pub(crate) seconds: f64,
    pub(crate) downstream_cpu_s: f64,
    pub(crate) upstream_cpu_s: f64,
    pub(crate) downstream_peak_mb: f64,
    pub(crate) upstream_peak_mb: f64,
}

/// Follows the stream in a new process, at an address that leads to upstream.
pub(crate) fn sync(
    bench: &Bench,
    upstream: &mut Upstream,
    address: String,
) -> anyhow::Result<SyncRun> {
    let dir = bench.folder()?;
    let (mut downstream, _) = start_node(dir.path().join("store"), 2)?;
    let stream = || upstream.stream.clone();
    let root: String = upstream.process.ask(&Call::Root { stream: stream() })?;
    let before = (upstream.process.cpu_s, downstream.cpu_s);
    let memory = [&upstream.process, &downstream].map(PeakMemory::watch);
    let call = Call::Sync {
        stream: stream(),
        address,
        size: upstream.records,
    };
    let seconds = downstream.ask(&call)?;
    for process in [&mut downstream, &mut upstream.process] {
        let same: String = process.ask(&Call::Root { stream: stream() })?;
        anyhow::ensure!(same == root, "not the same root: {same}, not {root}");
    }
    let [upstream_memory, downstream_memory] = memory;
    let run = SyncRun {
        seconds,
        upstream_cpu_s: upstream.process.cpu_s - before.0,
        downstream_cpu_s: downstream.cpu_s - before.1,
        upstream_peak_mb: upstream_memory.end_mb()?,
        downstream_peak_mb: downstream_memory.end_mb()?,
    };
    downstream.end()?;
    Ok(run)
}

/// Measures `sync_100b` or `sync_4k`.
pub(crate) fn figure(
    bench: &Bench,
    name: &'static str,
    size: RecordSize,
) -> anyhow::Result<Figure> {
    let records = match size {
        RecordSize::Bytes100 | RecordSize::Number => bench.sized(1_000_000, 200_000),
        RecordSize::Bytes4096 => bench.sized(100_000, 20_000),
    };
    let mut upstream = Upstream::filled(bench, size, records)?;
    let payload = upstream.payload_bytes();
    let mut syncs = Vec::new();
    let mut raws = Vec::new();
    for run in 1..=RUNS {
        let address = upstream.address.clone();
        let sync = sync(bench, &mut upstream, address)?;
        let raw = raw_stream::carry(payload)?;
        progress(&format!(
            "run {run}: {:.0} records/s, {:.1} MB/s; raw stream {:.0} MB/s",
            records as f64 / sync.seconds,
            payload as f64 / sync.seconds / 1e6,
            raw.mb_per_s,
        ));
        syncs.push(sync);
        raws.push(raw);
    }
    upstream.process.end()?;

    let of = |part: fn(&SyncRun) -> f64| median(&syncs.iter().map(part).collect::<Vec<_>>());
    let of_raw = |part: fn(&RawRun) -> f64| median(&raws.iter().map(part).collect::<Vec<_>>());
    let seconds = of(|run| run.seconds);
    let mb_per_s = payload as f64 / seconds / 1e6;
    let raw_mb_per_s = of_raw(|run| run.mb_per_s);
    let against = Against {
        what: "raw libp2p stream, MB/s",
        value: raw_mb_per_s,
        ratio: mb_per_s / raw_mb_per_s,
    };
    let figure = Figure::new(bench, name, records as f64 / seconds, "records/s", against)
        .with("records", records)
        .with("runs", RUNS)
        .with_number("mb_per_s", mb_per_s)
        .with_number("downstream_cpu_s", of(|run| run.downstream_cpu_s))
        .with_number("upstream_cpu_s", of(|run| run.upstream_cpu_s))
        .with_number("raw_cpu_s", of_raw(|run| run.cpu_s))
        .with_number(
            "downstream_peak_anonymous_mb",
            of(|run| run.downstream_peak_mb),
        )
        .with_number("upstream_peak_anonymous_mb", of(|run| run.upstream_peak_mb));
    Ok(figure)
}
