//! `export`: observations as CSV or NDJSON.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use futures::TryStreamExt;
use serde::Serialize;

use super::target_file::Target;
use super::{Invocation, output, progress};
use crate::client::Query;

/// Write the observations of a stream as CSV or NDJSON
#[derive(Args, Debug)]
#[command(
    after_help = "The columns are index,time,value; times are RFC 3339 in UTC with microseconds."
)]
pub(crate) struct ExportArgs {
    /// The stream: id, part of it, or name
    stream: String,
    /// How they are written
    #[arg(long, value_enum, default_value_t)]
    format: ExportFormat,
    /// From this index or time (RFC 3339) on
    #[arg(long, value_name = "INDEX|TIME")]
    from: Option<String>,
    /// Up to this index or time, which is left out
    #[arg(long, value_name = "INDEX|TIME")]
    to: Option<String>,
    /// The file to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// A header, then one line each
    #[default]
    Csv,
    /// One JSON object a line
    Ndjson,
}

/// What `--json` prints when there is a file.
#[derive(Serialize)]
struct Exported {
    file: String,
    bytes: u64,
}

pub(super) async fn export(invocation: &Invocation, args: &ExportArgs) -> anyhow::Result<()> {
    let query = Query {
        from: args.from.clone(),
        to: args.to.clone(),
        limit: None,
        format: match args.format {
            ExportFormat::Csv => "csv",
            ExportFormat::Ndjson => "ndjson",
        },
    };
    let bytes = invocation
        .with_client(async |client| {
            // Opened once the node has agreed, so that nothing is left behind.
            let mut observations = client.observations(&args.stream, &query).await?;
            let mut target = Target::open(args.output.as_deref())?;
            let bar = match &target {
                Target::File(_) => progress::bytes("exporting"),
                Target::Stdout | Target::Special(..) => indicatif::ProgressBar::hidden(),
            };
            let mut bytes = 0;
            while let Some(some) = observations.try_next().await? {
                target.write(&some)?;
                bytes += some.len() as u64;
                bar.set_position(bytes);
            }
            bar.finish_and_clear();
            target.finish()?;
            Ok(bytes)
        })
        .await?;
    let Some(file) = args.output.as_ref().filter(|file| file.as_os_str() != "-") else {
        return Ok(());
    };
    let file = file.display().to_string();
    let out = invocation.out;
    match out.json {
        true => out.json(&Exported { file, bytes }),
        false => out.line(format!("wrote {file} ({})", output::bytes(bytes))),
    }
}
