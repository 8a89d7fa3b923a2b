//! `export`: observations as text or as columns.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use futures::TryStreamExt;
use headwater_client::object;
use headwater_client::proof::ExportProof;
use headwater_client::times::Unit;
use headwater_client::types::StreamView;
use headwater_client::{ByteStream, Query};
use serde::Serialize;

use super::json_error::Reported;
use super::namesakes::say_namesakes;
use super::output::{Output, shown_path};
use super::target_file::Target;
use super::{Invocation, Usage, duration, output, progress};
use crate::client::Client;

/// What the proof of a CSV file adds to its name.
pub(super) const PROOF_SUFFIX: &str = ".proof.json";

/// Write the observations of a stream as CSV, NDJSON, Arrow or Parquet
#[derive(Args, Debug)]
#[command(
    after_help = "The columns are index,time,value; of a stream with columns index,time, these, and token, which has the
whole row where they do not give it back. In text, times are RFC 3339 in UTC with microseconds; in Arrow
and Parquet the columns are typed. A file with its proof is checked by whoever has the
stream's id: headwater verify FILE --stream ID"
)]
pub(crate) struct ExportArgs {
    /// The stream: id, part of it, or name
    stream: String,
    /// How they are written [default: csv; ndjson for --json on stdout]
    #[arg(long, value_enum)]
    format: Option<ExportFormat>,
    /// CSV for spreadsheets, which run texts such as =1+2: these stand behind a ' then,
    /// and the file is not what was signed
    #[arg(long, conflicts_with = "with_proof")]
    safe_csv: bool,
    /// From this index or time on: RFC 3339 (UTC if it has no offset), a date, or
    /// 3d for three days ago
    #[arg(long, value_name = "INDEX|TIME")]
    from: Option<String>,
    /// Up to this index or time, which is left out
    #[arg(long, value_name = "INDEX|TIME")]
    to: Option<String>,
    /// The unit of --from and --to where they are numbers since 1970: s, ms, us or
    /// ns. Without it a whole number is an index
    #[arg(long, value_name = "UNIT", value_parser = str::parse::<Unit>, conflicts_with = "with_proof")]
    time_unit: Option<Unit>,
    /// Of a stream with columns these alone, in this order, and no token
    #[arg(long, value_name = "NAME,…", conflicts_with = "with_proof")]
    columns: Option<String>,
    /// A row for each span of this length, such as 1h, in which there are observations,
    /// by time: where it begins, a multiple of it since 1970 (UTC), and one value for all
    /// of each column. Nobody signed these, so that they have no proof
    #[arg(long, value_name = "D", value_parser = duration::parse_positive, conflicts_with = "with_proof")]
    every: Option<Duration>,
    /// Which value that is: mean, min and max are of numbers [default: the mean of numbers,
    /// the last of what is none]
    #[arg(
        long, value_name = "WHICH", requires = "every",
        value_parser = ["mean", "min", "max", "first", "last", "count"],
    )]
    agg: Option<String>,
    /// The file to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Let the file carry its proof: Parquet within, CSV in FILE.proof.json
    #[arg(long)]
    with_proof: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ExportFormat {
    /// A header, then one line each
    Csv,
    /// One JSON object a line
    Ndjson,
    /// An Arrow IPC stream
    Arrow,
    /// An Arrow IPC file (Feather version 2)
    Feather,
    /// A Parquet file
    Parquet,
}

impl ExportFormat {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Arrow => "arrow",
            Self::Feather => "feather",
            Self::Parquet => "parquet",
        }
    }

    /// Refuses to write what is no text to a terminal.
    pub(super) fn require_place(self, output: Option<&Path>) -> anyhow::Result<()> {
        let is_text = match self {
            Self::Csv | Self::Ndjson => true,
            Self::Arrow | Self::Feather | Self::Parquet => false,
        };
        let is_stdout = output.is_none_or(|file| file.as_os_str() == "-");
        if is_text || !is_stdout || !std::io::stdout().is_terminal() {
            return Ok(());
        }
        Err(Usage::error(format!(
            "{} is no text for a terminal; write it into a file with -o FILE, or into a program with \
             a pipe (| PROGRAM)",
            self.name()
        )))
    }
}

/// What a command is to write, by its flags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) format: Option<ExportFormat>,
    pub(super) safe_csv: bool,
    pub(super) output: Option<&'a Path>,
}

impl Wanted<'_> {
    /// The format, and what the API calls it.
    ///
    /// # Errors
    /// The flags contradict each other.
    pub(super) fn format(self, out: Output) -> anyhow::Result<(ExportFormat, &'static str)> {
        let to_stdout = self.output.is_none_or(|file| file.as_os_str() == "-");
        let format = match self.format {
            Some(ExportFormat::Csv) | None if self.safe_csv => {
                out.note(SAFE);
                return match out.json && to_stdout {
                    true => Err(Usage::error("--json is no CSV; leave off one of them")),
                    false => Ok((ExportFormat::Csv, "safe-csv")),
                };
            }
            Some(_) if self.safe_csv => {
                return Err(Usage::error("--safe-csv is for CSV; leave off --format"));
            }
            Some(format) if out.json && to_stdout && format != ExportFormat::Ndjson => {
                return Err(Usage::error(format!(
                    "--json is one JSON object a line; leave it off for --format {}, or name a file \
                     with -o",
                    format.name()
                )));
            }
            None if out.json && to_stdout => ExportFormat::Ndjson,
            format => format.unwrap_or(ExportFormat::Csv),
        };
        format.require_place(self.output)?;
        Ok((format, format.name()))
    }
}

/// What a user of `--safe-csv` must know.
const SAFE: &str = "texts that a spreadsheet would run stand behind a ': this is not what was signed, and \
                    cannot be verified or imported as it was";

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// What `--json` prints when there is a file.
#[derive(Serialize)]
struct Exported<'a> {
    file: String,
    bytes: u64,
    /// What was asked for and is not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

pub(super) async fn export(invocation: &Invocation, args: &ExportArgs) -> anyhow::Result<()> {
    let wanted = Wanted {
        format: args.format,
        safe_csv: args.safe_csv,
        output: args.output.as_deref(),
    };
    let (format, name) = wanted.format(invocation.out)?;
    let sidecar = sidecar(args, format)?;
    let (bytes, left_out) = invocation
        .with_client(async |client| {
            let stream = client.stream(&args.stream).await?;
            say_namesakes(invocation.out, &args.stream, &stream);
            let left_out = left_out(&stream, args);
            if let Some(from) = disowned_from(&stream) {
                let ended = match stream.recovered.is_some() {
                    true => "the stream's recovery key has ended it",
                    false => "the stream was closed",
                };
                invocation.out.note(format!(
                    "{ended}: the export has only what counts, which ends before index {from}"
                ));
            }
            if stream.begin > 0 && args.from.as_deref().is_none_or(|from| from == "0") {
                invocation.out.note(format!(
                    "the export begins at index {}: the records before were dropped by the stream's retention",
                    stream.begin
                ));
            }
            let mut query = Query {
                from: args.from.clone(),
                to: args.to.clone(),
                time_unit: args.time_unit,
                format: Some(name.to_owned()),
                with_proof: (args.with_proof && sidecar.is_none()).then_some(true),
                columns: args.columns.clone(),
                every_us: args.every.map(micros),
                agg: args.agg.clone(),
                ..Query::default()
            };
            let Some(sidecar) = &sidecar else {
                return Ok((write(invocation, client, args, &query).await?, left_out));
            };
            // The proof first: it says how far the file goes.
            let [from, to] = [&query.from, &query.to].map(|bound| bound_index(bound.as_deref()));
            let proof = client.export_proof(&args.stream, from?.unwrap_or(0), to?);
            let proof = proof.await?;
            query.from = Some(proof.from.to_string());
            query.to = Some(proof.to.to_string());
            let mut target = Target::beside(sidecar.clone())?;
            let bytes = write(invocation, client, args, &query).await?;
            target.write(proof.to_json().as_bytes())?;
            target.write(b"\n")?;
            target.finish()?;
            Ok((bytes, left_out))
        })
        .await?;
    if sidecar.is_none() {
        remove_stale_proof(invocation, args.output.as_deref())?;
    }
    let output = args.output.as_deref();
    written(invocation, output, bytes, left_out.as_deref())?;
    match left_out {
        Some(what) => Err(Reported::error(anyhow::Error::msg(what))),
        None => Ok(()),
    }
}

/// From where on what is here is nothing of the stream, by its last head.
fn disowned_from(stream: &StreamView) -> Option<u64> {
    let from = stream.disputed_from.filter(|_| stream.ends_at.is_some());
    from.filter(|&from| from < stream.size)
}

/// What was not exported although it was asked for. An index at which to end
/// was checked by the node.
fn left_out(stream: &StreamView, args: &ExportArgs) -> Option<String> {
    let ends = (args.to.as_ref()).is_some_and(|to| to.parse::<u64>().is_ok());
    // What is beyond the last head is no part of the stream.
    let is_whole = ends || stream.ends_at.is_some();
    let from = stream.disputed_from.filter(|_| !is_whole)?;
    Some(format!(
        "the export ends before index {from}: the publisher of stream {id} signed two histories of it, and \
         what lies beyond is disputed. Export just what is not with --to {from}; the evidence: \
         headwater evidence show {id}",
        id = stream.id
    ))
}

/// Says what was written, and what not, unless it went to stdout.
pub(super) fn written(
    invocation: &Invocation,
    output: Option<&Path>,
    bytes: u64,
    error: Option<&str>,
) -> anyhow::Result<()> {
    let Some(file) = output.filter(|file| file.as_os_str() != "-") else {
        return Ok(());
    };
    let out = invocation.out;
    match out.json {
        true => out.json(&Exported {
            file: file.display().to_string(),
            bytes,
            error,
        }),
        false => out.line(format!(
            "wrote {} ({})",
            shown_path(file),
            output::bytes(bytes)
        )),
    }
}

/// Writes what the node answers; returns how many bytes.
async fn write(
    invocation: &Invocation,
    client: &Client,
    args: &ExportArgs,
    query: &Query,
) -> anyhow::Result<u64> {
    // Opened once the node has agreed, so that nothing is left behind.
    let (observations, left_out) = client.thinned(&args.stream, query).await?;
    if left_out > 0 {
        invocation.out.note(format!(
            "in none of the rows: {} whose values are not what the stream says of them",
            output::counted(left_out, "record")
        ));
    }
    save(observations, args.output.as_deref(), "exporting").await
}

/// Writes bytes as they come to a file or stdout; returns how many.
pub(super) async fn save(
    mut answer: ByteStream,
    output: Option<&Path>,
    what: &'static str,
) -> anyhow::Result<u64> {
    let mut target = Target::open(output)?;
    let bar = match &target {
        Target::File(_) => progress::bytes(what),
        Target::Stdout | Target::Terminal(_) | Target::Special(..) => {
            indicatif::ProgressBar::hidden()
        }
    };
    let mut bytes = 0;
    let mut save = async || -> anyhow::Result<()> {
        while let Some(some) = answer.try_next().await? {
            target.write(&some)?;
            bytes += some.len() as u64;
            bar.set_position(bytes);
        }
        Ok(())
    };
    let saved = save().await;
    bar.finish_and_clear();
    match saved {
        Ok(()) => target.finish()?,
        // In the middle of data nobody looks for a reason.
        Err(error) if bytes > 0 && !matches!(target, Target::File(_)) => {
            return Err(Reported::error(error));
        }
        Err(error) => return Err(error),
    }
    Ok(bytes)
}

/// The file that the proof of a CSV file goes into.
fn sidecar(args: &ExportArgs, format: ExportFormat) -> anyhow::Result<Option<PathBuf>> {
    if !args.with_proof {
        return Ok(None);
    }
    match (format, &args.output) {
        (ExportFormat::Parquet, _) => Ok(None),
        (ExportFormat::Csv, Some(file)) if file.as_os_str() != "-" => Ok(Some(proof_of(file))),
        (ExportFormat::Csv, _) => Err(Usage::error(
            "the proof of a CSV file stands in a file beside it; name the file with -o FILE",
        )),
        (ExportFormat::Ndjson | ExportFormat::Arrow | ExportFormat::Feather, _) => {
            Err(Usage::error(
                "only Parquet and CSV have proofs; leave off --with-proof, or choose one of them",
            ))
        }
    }
}

/// Where the proof of an exported CSV file is.
pub(super) fn proof_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(PROOF_SUFFIX);
    name.into()
}

/// Removes the proof beside a file that was just written without one: it is
/// about the file that was there before.
pub(super) fn remove_stale_proof(
    invocation: &Invocation,
    output: Option<&Path>,
) -> anyhow::Result<()> {
    let Some(proof) = output.filter(|file| file.is_file()).map(proof_of) else {
        return Ok(());
    };
    // What is no file would not end when it is read.
    if !proof.is_file() {
        return Ok(());
    }
    let shown = shown_path(&proof);
    // Another's file of that name stays, and `verify` refuses it.
    if !is_export_proof(&proof) {
        let note = format!("{shown} is not the proof of an export, and was left as it is");
        invocation.out.note(note);
        return Ok(());
    }
    std::fs::remove_file(&proof)
        .with_context(|| format!("{shown} is about an earlier file, and cannot be removed"))?;
    let note = format!("removed {shown}, which was about the file that was there before");
    invocation.out.note(note);
    Ok(())
}

fn is_export_proof(file: &Path) -> bool {
    let json = std::fs::read_to_string(file).unwrap_or_default();
    object::from_json::<ExportProof>(&json).is_ok()
}

fn bound_index(bound: Option<&str>) -> anyhow::Result<Option<u64>> {
    let index = bound.map(str::parse).transpose();
    index.map_err(|_| {
        Usage::error(
            "--with-proof needs indexes in --from and --to: a proof is about a run of them",
        )
    })
}
