//! Exports: the command on a stopped node, on one core, as CSV and as Parquet.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use headwater::store::RocksStore;
use headwater_protocols::limits::DEFAULT_CHUNK_LEVEL;
use headwater_protocols::store::{History, LogKey, ReadError};
use headwater_reading::{Selection, visit};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::Bench;
use crate::command::{CORE, Cores, Run, headwater};
use crate::report::{Against, Figure, median, progress};

const RUNS: usize = 3;

/// Measures `export_csv` or `export_parquet`.
pub(crate) fn figure(
    bench: &Bench,
    name: &'static str,
    format: &'static str,
) -> anyhow::Result<Figure> {
    let rows = bench.sized(10_000_000, 1_000_000);
    let folder = bench.folder()?;
    let data = folder.path().join("data");
    fill(&data, rows)?;
    let mut reads = Vec::new();
    let mut runs = Vec::new();
    for run in 1..=RUNS {
        reads.push(read(data.join("store"), rows)?);
        let export =
            headwater(&data).args(["export", "numbers", "--format", format, "-o", "/dev/null"]);
        runs.push(export.measured(Cores::One)?);
        progress(&format!(
            "run {run}: {:.0} rows/s, reading alone {:.0} records/s",
            rows as f64 / runs[run - 1].seconds,
            reads[run - 1]
        ));
    }
    let of = |field: fn(&Run) -> f64| median(&runs.iter().map(field).collect::<Vec<_>>());
    let value = rows as f64 / of(|run| run.seconds);
    let limit = median(&reads);
    let against = Against {
        what: "reading the records alone on that core, records/s",
        value: limit,
        ratio: value / limit,
    };
    Ok(Figure::new(bench, name, value, "rows/s", against)
        .with("rows", rows)
        .with("runs", RUNS)
        .with_number("peak_anonymous_mb", of(|run| run.peak_mb)))
}

/// A data folder with a stream of so many numbers, one a second.
fn fill(data: &Path, rows: u64) -> anyhow::Result<()> {
    headwater(data).arg("init").run()?;
    headwater(data)
        .args(["stream", "create", "numbers"])
        .run()?;
    let file = data.join("numbers.csv");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&file)?);
    writeln!(out, "time,value")?;
    for i in 0..rows {
        // Three decimals that go up and down, as a sensor's.
        let value = (i % 86_400).abs_diff(43_200) + i * 7_919 % 1_000;
        writeln!(
            out,
            "{},{}.{:03}",
            1_577_836_800 + i,
            value / 1_000,
            value % 1_000
        )?;
    }
    out.flush()?;
    headwater(data)
        .args(["publish", "numbers", "--time-format", "unix"])
        .args(["--time-column", "time", "--value-column", "value", "--file"])
        .arg(&file)
        .run()?;
    std::fs::remove_file(file).context("cannot remove the numbers")
}

/// Reads every record once, and does nothing with it; records a second.
pub(crate) fn read(store: PathBuf, rows: u64) -> anyhow::Result<f64> {
    let read = move || -> anyhow::Result<f64> {
        let mut core = CpuSet::new();
        core.set(CORE)?;
        sched_setaffinity(Pid::from_raw(0), &core)?;
        let start = Instant::now();
        let store = RocksStore::open(&store)?;
        // The only stream of the folder.
        let key = LogKey {
            number: 0,
            chunk_level: DEFAULT_CHUNK_LEVEL,
        };
        let history = History::new(&store, key);
        let mut seen = 0;
        visit(&history, &Selection::indexes(0, rows), |_, record| {
            seen += u64::from(!record.as_bytes().is_empty());
            Ok::<_, ReadError>(())
        })?;
        ensure!(seen == rows, "{seen} of {rows} records were read");
        Ok(rows as f64 / start.elapsed().as_secs_f64())
    };
    let read = std::thread::spawn(read).join();
    read.map_err(|_| anyhow::anyhow!("reading the records panicked"))?
}
