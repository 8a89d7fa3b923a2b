//! Figures as they are printed, and what they are made of.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Bench;

/// File systems that are no disk.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// One figure, beside its limit of the same run.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    figure: &'static str,
    value: Value,
    unit: &'static str,
    against: &'static str,
    against_value: Value,
    ratio: Value,
    command: String,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// The limit of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Against {
    /// What was measured in the same run.
    pub(crate) what: &'static str,
    /// What came out.
    pub(crate) value: f64,
    /// The figure's share of it, or multiple.
    pub(crate) ratio: f64,
}

impl Figure {
    /// A figure.
    pub(crate) fn new(
        bench: &Bench,
        figure: &'static str,
        value: f64,
        unit: &'static str,
        against: Against,
    ) -> Self {
        let quick = if bench.quick { "--quick " } else { "" };
        let mut extra = Map::new();
        extra.insert("fs".to_owned(), bench.filesystem.clone().into());
        Self {
            figure,
            value: rounded(value),
            unit,
            against: against.what,
            against_value: rounded(against.value),
            ratio: rounded(against.ratio),
            command: format!("scripts/bench {quick}{figure}"),
            extra,
        }
    }

    /// Adds what helps to understand it.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a number that helps to understand it.
    pub(crate) fn with_number(self, name: &str, value: f64) -> Self {
        self.with(name, rounded(value))
    }

    /// Prints it as one line.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        let line = serde_json::to_string(self)?;
        writeln!(std::io::stdout(), "{line}").context("cannot print a figure")
    }
}

/// Says on stderr what is going on.
pub(crate) fn progress(what: &str) {
    eprintln!("  {what}");
}

/// Four digits are more than any of the figures is exact.
fn rounded(value: f64) -> Value {
    let rounded = format!("{value:.3e}").parse().unwrap_or(value);
    if rounded.fract() == 0.0 && rounded.abs() < 1e15 {
        Value::from(rounded as i64)
    } else {
        Value::from(rounded)
    }
}

/// The middle one; of two, the greater.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value that this share of the values lies below; 0 when there is none.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * share) as usize;
    let last = sorted.len().saturating_sub(1);
    sorted.get(place.min(last)).copied().unwrap_or(0.0)
}

/// Where data folders go, and which file system that is: never memory, which
/// makes an fsync cost nothing.
pub(crate) fn disk(wanted: Option<&Path>) -> anyhow::Result<(PathBuf, String)> {
    let usual = [std::env::temp_dir(), PathBuf::from("/var/tmp")];
    let candidates = match wanted {
        Some(wanted) => vec![wanted.to_owned()],
        None => usual.to_vec(),
    };
    for dir in &candidates {
        let filesystem = filesystem(dir)?;
        if !IN_MEMORY.contains(&&filesystem[..]) {
            return Ok((dir.clone(), filesystem));
        }
    }
    anyhow::bail!("{candidates:?} are in memory; name a folder on a disk with --dir")
}

/// The type of the file system that a folder is on.
fn filesystem(dir: &Path) -> anyhow::Result<String> {
    let dir = (dir.canonicalize()).with_context(|| format!("no folder {}", dir.display()))?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("no list of mounts")?;
    let mounted = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((Path::new(fields.next()?), fields.next()?))
    });
    let under = mounted.filter(|(point, _)| dir.starts_with(point));
    // The last of the longest: what was mounted later hides what was before.
    let (_, kind) = under
        .max_by_key(|(point, _)| point.components().count())
        .context("the folder is on no file system")?;
    Ok(kind.to_owned())
}

/// How long it takes to write 128 bytes to the end of a file and to sync it, in
/// seconds, as often as asked, with a pause before each.
pub(crate) fn fsyncs(
    dir: &Path,
    times: u64,
    pause: std::time::Duration,
) -> anyhow::Result<Vec<f64>> {
    let mut file = std::fs::File::create(dir.join("fsync"))?;
    (0..times)
        .map(|_| {
            std::thread::sleep(pause);
            let start = std::time::Instant::now();
            file.write_all(&[0x5a; 128])?;
            file.sync_data()?;
            Ok(start.elapsed().as_secs_f64())
        })
        .collect()
}
