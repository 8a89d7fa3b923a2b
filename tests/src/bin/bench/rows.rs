//! Rows of eight columns: a file of them is published, and exported again, by commands on
//! a stopped node.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};

use crate::Bench;
use crate::command::{Cores, Run, headwater};
use crate::export::read;
use crate::report::{Against, Figure, median, progress};

const RUNS: usize = 3;

/// A weather station.
const COLUMNS: &str = "temperature:number:°C,wind:number:m/s,pressure:number:hPa,humidity:integer:%,rain:number:mm,\
                       gust:number:m/s,station:integer,sky:text";

/// Measures `publish_rows8`.
pub(crate) fn publish(bench: &Bench) -> anyhow::Result<Figure> {
    let rows = bench.sized(3_000_000, 1_000_000);
    let folder = bench.folder()?;
    let file = folder.path().join("weather.csv");
    write(&file, rows)?;
    let (mut runs, mut splits) = (Vec::new(), Vec::new());
    for run in 1..=RUNS {
        splits.push(split(&file, rows)?);
        let data = created(folder.path(), run)?;
        runs.push(published(&data, &file)?);
        progress(&format!(
            "run {run}: {:.0} rows/s, splitting alone {:.0} rows/s",
            rows as f64 / runs[run - 1].seconds,
            splits[run - 1]
        ));
    }
    let of = |field: fn(&Run) -> f64| median(&runs.iter().map(field).collect::<Vec<_>>());
    let value = rows as f64 / of(|run| run.seconds);
    let limit = median(&splits);
    let against = Against {
        what: "splitting the file into fields alone, rows/s",
        value: limit,
        ratio: value / limit,
    };
    Ok(
        Figure::new(bench, "publish_rows8", value, "rows/s", against)
            .with("rows", rows)
            .with("runs", RUNS)
            .with_number("peak_anonymous_mb", of(|run| run.peak_mb)),
    )
}

/// Measures `export_rows8`.
pub(crate) fn export(bench: &Bench) -> anyhow::Result<Figure> {
    let rows = bench.sized(3_000_000, 1_000_000);
    let folder = bench.folder()?;
    let file = folder.path().join("weather.csv");
    write(&file, rows)?;
    let data = created(folder.path(), 0)?;
    published(&data, &file)?;
    let (mut reads, mut csv, mut parquet) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=RUNS {
        reads.push(read(data.join("store"), rows)?);
        for (format, runs) in [("csv", &mut csv), ("parquet", &mut parquet)] {
            let export =
                headwater(&data).args(["export", "weather", "--format", format, "-o", "/dev/null"]);
            runs.push(export.measured(Cores::One)?);
        }
        progress(&format!(
            "run {run}: CSV {:.0} rows/s, Parquet {:.0} rows/s, reading alone {:.0} records/s",
            rows as f64 / csv[run - 1].seconds,
            rows as f64 / parquet[run - 1].seconds,
            reads[run - 1]
        ));
    }
    let of =
        |runs: &[Run], field: fn(&Run) -> f64| median(&runs.iter().map(field).collect::<Vec<_>>());
    let rate = |runs| rows as f64 / of(runs, |run| run.seconds);
    let (value, limit) = (rate(&csv), median(&reads));
    let against = Against {
        what: "reading the records alone on that core, records/s",
        value: limit,
        ratio: value / limit,
    };
    Ok(Figure::new(bench, "export_rows8", value, "rows/s", against)
        .with("rows", rows)
        .with("runs", RUNS)
        .with_number("parquet_rows_per_s", rate(&parquet))
        .with_number("peak_anonymous_mb", of(&csv, |run| run.peak_mb))
        .with_number("parquet_peak_anonymous_mb", of(&parquet, |run| run.peak_mb)))
}

/// A node with a stream that takes the rows.
fn created(folder: &Path, run: usize) -> anyhow::Result<PathBuf> {
    let data = folder.join(format!("data{run}"));
    headwater(&data).arg("init").run()?;
    let create = headwater(&data).args(["stream", "create", "weather", "--columns", COLUMNS]);
    create.run()?;
    Ok(data)
}

fn published(data: &Path, file: &Path) -> anyhow::Result<Run> {
    let publish = headwater(data).args(["publish", "weather", "--time-column", "date", "--file"]);
    publish.arg(file).measured(Cores::All)
}

/// A row a minute.
fn write(file: &Path, rows: u64) -> anyhow::Result<()> {
    // The same in each run (xorshift64).
    let mut noise = 8_u64;
    let mut below = |bound: u64| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise % bound
    };
    let mut out = BufWriter::new(File::create(file).context("cannot write the rows")?);
    writeln!(
        out,
        "date,temperature,wind,pressure,humidity,rain,gust,station,sky"
    )?;
    let begin = jiff::Timestamp::from_second(1_577_836_800)?;
    for row in 0..rows {
        let time = begin + jiff::SignedDuration::from_secs(i64::try_from(60 * row)?);
        write!(out, "{time},{}.{:02},", below(30), below(100))?;
        write!(
            out,
            "{}.{},{}.{},",
            below(20),
            below(10),
            980 + below(60),
            below(10)
        )?;
        write!(out, "{},{}.{:02},", below(101), below(5), below(100))?;
        let sky = ["clear", "cloudy", "rain"][usize::try_from(below(3))?];
        writeln!(out, "{}.{},{},{sky}", below(40), below(10), below(50))?;
    }
    out.flush().context("cannot write the rows")
}

/// Splits the file into fields with the CSV reader that everybody uses; rows a second.
fn split(file: &Path, rows: u64) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut reader = csv::Reader::from_path(file)?;
    let (mut record, mut seen) = (csv::ByteRecord::new(), 0);
    while reader.read_byte_record(&mut record)? {
        seen += u64::from(record.len() == 9);
    }
    ensure!(seen == rows, "{seen} of {rows} rows were split");
    Ok(rows as f64 / start.elapsed().as_secs_f64())
}
