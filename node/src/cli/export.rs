//! `export`: observations as CSV or NDJSON.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use futures::TryStreamExt;
use serde::Serialize;

use super::target_file::Target;
use super::{Invocation, output, progress};
use crate::api::types::StreamView;
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
    let (bytes, left_out) = invocation
        .with_client(async |client| {
            let stream = client.stream(&args.stream).await?;
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
            Ok((bytes, left_out(&stream, args)))
        })
        .await?;
    written(invocation, args, bytes)?;
    match left_out {
        Some(what) => bail!("{what}"),
        None => Ok(()),
    }
}

/// What was not exported although it was asked for. An index at which to end
/// was checked by the node.
fn left_out(stream: &StreamView, args: &ExportArgs) -> Option<String> {
    let ends = (args.to.as_ref()).is_some_and(|to| to.parse::<u64>().is_ok());
    let from = stream.disputed_from.filter(|_| !ends)?;
    Some(format!(
        "the export ends before index {from}: the publisher of stream {id} signed two histories of it, and \
         what lies beyond is disputed. Export just what is not with --to {from}; the evidence: \
         headwater evidence show {id}",
        id = stream.id
    ))
}

fn written(invocation: &Invocation, args: &ExportArgs, bytes: u64) -> anyhow::Result<()> {
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
