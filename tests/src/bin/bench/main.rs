//! `scripts/bench`: what users feel, measured between real processes, each
//! figure beside its limit in the same run. docs/benchmarks.md says how.
//!
//! The program starts itself again for every other process that a figure needs.

mod api;
mod attack;
mod clients;
mod command;
mod contention;
mod crowd;
mod export;
mod far;
mod flood;
mod gossip;
mod growth;
mod http;
mod idle;
mod link;
mod live;
mod node;
mod open;
mod process;
mod publish;
mod raw_stream;
mod report;
mod retrieve;
mod rows;
mod slow;
mod sources;
mod sync;
mod wire_bytes;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use process::Role;
use report::Figure;
use sync::RecordSize;

/// Measures Headwater beside its limits. Prints one JSON line a figure.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench")]
struct Arguments {
    /// Smaller sizes: a first look in about a minute, less exact.
    #[arg(long)]
    quick: bool,
    /// Where data folders go; by default the system's folder for temporary
    /// files, or another one if that is in memory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Act as one of the other processes of a figure.
    #[arg(long, hide = true, value_name = "ROLE")]
    child: Option<Role>,
    /// What to measure; everything if none is named.
    #[arg(value_name = "FIGURE")]
    figures: Vec<Name>,
}

/// The names of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum Name {
    #[value(name = "sync_100b")]
    Sync100B,
    #[value(name = "sync_4k")]
    Sync4K,
    WireBytesPerPayloadByte,
    PublishBatch,
    PublishDurableSingles,
    LiveP50,
    LiveP99UnderHistory,
    RetrieveUnderHistory,
    #[value(name = "live_p99_of_1000")]
    LiveP99Of1000,
    #[value(name = "multi_source_8")]
    MultiSource8,
    #[value(name = "sync_100ms_rtt")]
    Sync100MsRtt,
    #[value(name = "sync_numbers_20mbit")]
    SyncNumbers20Mbit,
    #[value(name = "sync_growth_1e7")]
    SyncGrowth1E7,
    #[value(name = "open_1e6_ms")]
    Open1E6Ms,
    IdleStreamBytes,
    ExportCsv,
    ExportParquet,
    #[value(name = "publish_rows8")]
    PublishRows8,
    #[value(name = "export_rows8")]
    ExportRows8,
    PublishHttpSingles,
    #[value(name = "live_sse_500")]
    LiveSse500,
    #[value(name = "lookup_time_1e7")]
    LookupTime1E7,
    AttackHalfRequests,
    AttackStalledReaders,
    AttackHoarders,
}

/// What every figure needs to know.
#[derive(Debug)]
struct Bench {
    /// Smaller sizes.
    quick: bool,
    /// Data folders go here.
    dir: PathBuf,
    /// The file system of that folder.
    filesystem: String,
}

impl Bench {
    /// A size: the full one, or that for a first look.
    fn sized(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }

    /// A new folder, removed when it is dropped.
    fn folder(&self) -> anyhow::Result<tempfile::TempDir> {
        (tempfile::Builder::new().prefix("headwater-bench."))
            .tempdir_in(&self.dir)
            .with_context(|| format!("cannot create a folder in {}", self.dir.display()))
    }

    fn measure(&self, name: Name) -> anyhow::Result<Figure> {
        match name {
            Name::Sync100B => sync::figure(self, "sync_100b", RecordSize::Bytes100),
            Name::Sync4K => sync::figure(self, "sync_4k", RecordSize::Bytes4096),
            Name::WireBytesPerPayloadByte => wire_bytes::figure(self),
            Name::PublishBatch => publish::batch(self),
            Name::PublishDurableSingles => publish::durable_singles(self),
            Name::LiveP50 => live::figure(self),
            Name::LiveP99UnderHistory => contention::figure(self),
            Name::RetrieveUnderHistory => retrieve::figure(self),
            Name::LiveP99Of1000 => crowd::figure(self),
            Name::MultiSource8 => sources::figure(self),
            Name::Sync100MsRtt => far::figure(self),
            Name::SyncNumbers20Mbit => slow::figure(self),
            Name::SyncGrowth1E7 => growth::figure(self),
            Name::Open1E6Ms => open::figure(self),
            Name::IdleStreamBytes => idle::figure(self),
            Name::ExportCsv => export::figure(self, "export_csv", "csv"),
            Name::ExportParquet => export::figure(self, "export_parquet", "parquet"),
            Name::PublishRows8 => rows::publish(self),
            Name::ExportRows8 => rows::export(self),
            Name::PublishHttpSingles => api::durable_posts(self),
            Name::LiveSse500 => api::live_events(self),
            Name::LookupTime1E7 => api::look_up(self),
            Name::AttackHalfRequests => attack::half_requests(self),
            Name::AttackStalledReaders => attack::stalled_readers(self),
            Name::AttackHoarders => attack::hoarders(self),
        }
    }
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let arguments = Arguments::parse();
    let result = match arguments.child {
        Some(role) => role.act(),
        None => measure_all(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripts/bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures one figure after the other; one that fails does not keep the others
/// from being measured.
fn measure_all(arguments: &Arguments) -> anyhow::Result<()> {
    let (dir, filesystem) = report::disk(arguments.dir.as_deref())?;
    let bench = Bench {
        quick: arguments.quick,
        dir,
        filesystem,
    };
    let names = match &arguments.figures[..] {
        [] => clap::ValueEnum::value_variants(),
        names => names,
    };
    let mut failed = 0;
    for &name in names {
        match bench.measure(name) {
            Ok(figure) => figure.print()?,
            Err(error) => {
                failed += 1;
                eprintln!("scripts/bench: {name:?} was not measured: {error:#}");
            }
        }
    }
    anyhow::ensure!(failed == 0, "{failed} figures could not be measured");
    Ok(())
}
